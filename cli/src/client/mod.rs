//! The API as a client sees it: requests and their typed answers, the stream of a run with reconnection by cursor,
//! and errors that say what failed, why, and what to type next. Prints nothing and reads no argument.

mod backoff;
mod error;
mod follow;
mod http;
mod problem;
mod server;
mod socket;
mod views;

pub(crate) use error::ClientError;
pub(crate) use follow::{End, Entry, FollowError, Follower, Step, go_on};
pub(crate) use http::{Client, Outcome, Reply};
pub(crate) use server::{Server, ServerUrl};
pub(crate) use views::{
    Accepted, ErrorView, FleetModel, FleetView, ListQuery, NewRun, ResultView, RunView, Tokens,
};
