//! Redis goes away, comes back, forgets, or cannot be reached, under load and with workers being killed: nothing is lost,
//! doubled or gapped, the API never refuses a submit for it, and capacity comes back.

mod crew;
mod load;
mod memory;
mod outages;
mod partitions;
mod scene;
mod start;
