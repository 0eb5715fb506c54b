//! The router as a whole, over catalogs written for the occasion.

mod choosing;
mod learning;
mod names;
mod passing_over;
mod reporting;
mod stage;
