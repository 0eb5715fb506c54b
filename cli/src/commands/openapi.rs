//! `mcpctl openapi`: the document of the HTTP API, as the code says it. Needs no server.

use crate::args::Format;
use crate::exit::CliError;
use crate::output::Screen;

pub(crate) async fn run() -> Result<(), CliError> {
    let mut screen = Screen::new(Format::Json);
    Ok(screen.json(&api::openapi_json()).await?)
}
