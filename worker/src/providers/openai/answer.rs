//! Reads an answer that comes in chunks, or whole, as OpenAI writes it: `[DONE]` after the last, an `error` in place
//! of a chunk.

use super::chunk::{self, Chunk};
use crate::providers::dialect::{Flow, ReadAnswer};
use crate::providers::wire::{Assembly, Fault};

/// Reads one answer. What its parts mean together, the assembly knows.
#[derive(Debug)]
pub(in crate::providers) struct ChunkReader;

impl ChunkReader {
    fn take(json: &[u8], assembly: &mut Assembly) -> Result<(), Fault> {
        let text =
            std::str::from_utf8(json).map_err(|error| Fault::malformed(format!("not UTF-8: {error}")))?;
        match chunk::read(text, assembly) {
            Ok(Chunk::Part) => Ok(()),
            Ok(Chunk::Error(error)) => Err(Fault::reported(&error)),
            // The error's own text may quote the answer, which is not for the log.
            Err(error) => Err(Fault::malformed(format!(
                "{} bytes that are not a chat completion: {:?} error at line {} column {}",
                json.len(),
                error.classify(),
                error.line(),
                error.column()
            ))),
        }
    }
}

impl ReadAnswer for ChunkReader {
    fn event(&mut self, _name: &[u8], data: &[u8], assembly: &mut Assembly) -> Result<Flow, Fault> {
        if data == b"[DONE]" {
            return Ok(Flow::Done);
        }
        Self::take(data, assembly).map(|()| Flow::More)
    }

    fn whole(&mut self, body: &[u8], assembly: &mut Assembly) -> Result<(), Fault> {
        Self::take(body, assembly)
    }
}
