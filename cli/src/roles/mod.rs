//! The roles of the control plane: what runs until it is told to stop, and the migration before it.

pub(crate) mod api;
pub(crate) mod migrate;
pub(crate) mod up;
pub(crate) mod worker;
