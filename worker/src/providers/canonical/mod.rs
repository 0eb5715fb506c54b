//! A call's prompt and parameters in our canonical form, which is OpenAI's: read into types, for dialects that write
//! them another way. `messages` reads the conversation, `tools` what the model may call, `params` everything else.
//!
//! What cannot be read, and what no dialect but OpenAI's has a form for and would change the answer, is refused here,
//! before anything is sent, with the name of the field. Nothing here knows a provider.

mod beginning;
mod messages;
mod names;
mod params;
mod tools;

pub(super) use beginning::Unsent;
pub(super) use messages::{Message, Part, Role, Source, ToolCall};
pub(super) use names::{kept, without_dropped};
pub(super) use params::{Effort, Format, Params};
pub(super) use tools::{Choice, Function, Tool};
