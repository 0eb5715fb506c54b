//! An OpenAI-compatible provider with a script and faults, over real HTTP.
//!
//! It stands where a provider would stand: tests prove what the worker does when a provider misbehaves, benchmarks
//! measure the control plane without paying anybody, and a machine without an API key has something to talk to.
//! Answers are deterministic: the same seed and the same messages give the same text, whatever the delays and limits.
//!
//! It must never be mistaken for a model. Every response carries [`SIMULATED_HEADER`], and it never proxies a request
//! to anybody else.
//!
//! # Surface
//!
//! | method and path | what |
//! |---|---|
//! | `POST /v1/chat/completions` | streamed (one token per SSE chunk) or whole |
//! | `GET /v1/models` | the names in [`MODELS`] |
//! | `GET /simulator/stats` | [`Stats`] as JSON |
//! | `GET /simulator/requests` | the last requests, oldest first: `{"data": [`[`RequestRecord`]`, ...]}` |
//!
//! The same observations are available in process through [`Simulator`], where they can be awaited.
//!
//! # Scripts
//!
//! A request says how it wants to be treated, either in its model name, `sim:option=value,option=value`, or in the
//! header `x-simulator: option=value,option=value`. Options of the header win over those of the model name; with the
//! header present any model name is accepted. The response echoes the model name as it was sent.
//!
//! | model | first token after | then a token every |
//! |---|---|---|
//! | `sim` | [`SimulatorConfig::first_token_delay`] | [`SimulatorConfig::token_interval`] |
//! | `sim-fast` | 0 | 0 |
//! | `sim-slow` | 2 s | 200 ms |
//!
//! | option | value | meaning |
//! |---|---|---|
//! | `first` | duration (`0`, `250us`, `200ms`, `1.5s`, `2m`) | time from the request to the first token |
//! | `pace` | duration | time between two tokens, kept as a schedule: a late token does not delay the next |
//! | `tokens` | 0 to 1000000 | length of the answer; `max_tokens` in the request cuts it with `finish_reason: "length"` |
//! | `seed` | integer | replaces [`SimulatorConfig::seed`] |
//! | `unknown` | `1` or `0` | unknown fields in every chunk: `x_vendor` at the top, `reasoning_content` beside the content |
//! | `tools` | `1` or `0` | a tool call in pieces instead of text, `finish_reason: "tool_calls"`, at least two tokens |
//! | `fault` | a name or status below | what goes wrong |
//! | `after` | integer, default 0 | tokens sent before the fault, at most the length of the answer |
//! | `skip` | integer, default 0 | so many requests with the same key are answered before the first fails |
//! | `times` | integer, default every time | only so many requests with the same key fail, later ones are answered |
//! | `key` | text | what `skip` and `times` count by; by default the whole model name, or the header if there is one |
//! | `retry_after` | seconds (`2`) or `date:2` | `Retry-After` of a status fault, in seconds or as the HTTP date that many seconds ahead |
//! | `size` | bytes, default 8388608, at most 268435456 | length of `giant_line` |
//!
//! An option that is unknown, given twice or has a bad value is a 400 that names it.
//!
//! # Faults
//!
//! Those without an answer. They come at once, or after `first` if the script itself says `first`:
//!
//! | fault | what the client sees |
//! |---|---|
//! | `400` to `599` | that status with an OpenAI-shaped error, and `Retry-After` if the script says so |
//! | `html` | 502 with an HTML page |
//! | `html200` | 200 with an HTML page |
//! | `refuse` | the connection is closed without a byte of response. A refused *connect* needs no simulator: point the client to a closed port |
//! | `stall_headers` | nothing at all; the connection stays open |
//!
//! Those that break the answer off. A whole (not streamed) answer is broken in the middle of its JSON, at the time at
//! which the token would have been sent:
//!
//! | fault | what the client sees |
//! |---|---|
//! | `reset` | TCP RST |
//! | `cut` | the body ends cleanly, without `finish_reason` and `[DONE]` |
//! | `cut_dirty` | the connection is closed in the middle of the body, which the HTTP client reports as an error |
//! | `stall` | nothing more, the connection stays open; with `after=0` headers and never a token |
//! | `error_event` | `data: {"error": ...}`, then the end of the body; whole: 200 with `{"error": ...}` |
//!
//! Those that damage the answer, which goes on afterwards:
//!
//! | fault | what the client sees |
//! |---|---|
//! | `malformed` | one chunk that is not JSON; whole: half of the JSON |
//! | `bad_utf8` | one chunk with bytes that are not UTF-8 in its content |
//! | `giant_line` | one chunk of `size` bytes on a single line; whole: content of that length |
//! | `empty` | no content, `finish_reason: "stop"` |
//! | `no_usage` | no usage although it was asked for |
//! | `duplicate_usage` | the usage chunk twice; a whole answer is not affected |
//! | `no_finish` | content and `[DONE]`, but never a `finish_reason`; whole: it is `null` |
//! | `wrong_type` | content type `application/json` on a stream; whole: `text/event-stream` |

mod chat;
mod clock;
mod encode;
mod faults;
mod plan;
mod refusal;
mod request;
mod script;
mod server;
mod stats;
mod stream;
mod text;
mod whole;
mod wire;

pub use script::MODELS;
pub use server::{SIMULATED_HEADER, Simulator, SimulatorConfig, serve};
pub use stats::{Outcome, RequestRecord, Stats};
pub use text::expected_text;
