//! Which provider and model answers a run.
//!
//! The way of a choice: [`need`] (what the run asks for) ▸ `links` (what its name stands for) ▸ `table` (who there is) ▸
//! [`candidates`] (who can, and who is passed over why) ▸ `score` (how good each would be, by the [`policy`]) ▸
//! [`choose`] (one of those nearly as good as the best) ▸ [`breaker`] and [`pacing`] (may it go now?) ▸ [`plan`] (the
//! choice and its [`report`]). What is learned when the call ends comes back by its [`ticket`] into the [`figures`].
//!
//! Makes no call and waits for nothing: time and randomness are handed in, so that a choice can be repeated and
//! explained.

pub mod breaker;
pub mod candidates;
pub mod choose;
pub mod draw;
pub mod figures;
pub mod hedge;
mod links;
pub mod moment;
pub mod need;
pub mod pacing;
pub mod plan;
pub mod policy;
mod recent;
pub mod report;
pub mod retry_budget;
mod score;
mod snapshot;
mod table;
mod tally;
mod task;
#[cfg(test)]
mod tests;
pub mod ticket;
pub mod verdict;
