//! The roles of the control plane: what runs until it is told to stop, and the migration before it.
//!
//! Each role reads its configuration, opens the ledger, puts the parts together and waits for a signal. What all of them
//! share is in [`start`] and [`signals`].

pub(crate) mod api;
mod embedded;
pub(crate) mod migrate;
mod paths;
pub(crate) mod providers;
mod signals;
pub(crate) mod start;
pub(crate) mod up;
pub(crate) mod worker;
