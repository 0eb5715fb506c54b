//! The commands of a user, one file each, and what `submit` and `tail` share: following a run and telling of it.
//! A command parses nothing and speaks no protocol: it asks the client and prints through the screen.

pub(crate) mod bench;
pub(crate) mod cancel;
pub(crate) mod health;
pub(crate) mod list;
pub(crate) mod openapi;
pub(crate) mod providers;
pub(crate) mod result;
pub(crate) mod simulate;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod tail;

mod following;
mod key_value;
mod narrator;
mod run_table;
mod summary;

use crate::args::{OutputArgs, ServerArgs};
use crate::client::{Client, Server};
use crate::exit::CliError;
use crate::output::Screen;

/// What every command that talks to a server begins with.
fn begin(server: &ServerArgs, output: OutputArgs) -> Result<(Client, Screen), CliError> {
    Ok((Client::new(Server::of(server)?)?, Screen::new(output.format)))
}
