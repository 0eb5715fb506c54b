//! What will be done with one request: its script, the configuration and the request itself, resolved into decisions.
//!
//! Pure: decides, does nothing. Must never leave a choice to the code that writes the answer.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    encode::{Finish, Usage},
    faults::{Fault, RetryAfter},
    request::ChatRequest,
    script::Script,
    server::SimulatorConfig,
    text::Words,
};

const GIANT_LINE: usize = 8 * 1024 * 1024;

/// The decisions for one request.
#[derive(Debug)]
pub(crate) struct Plan {
    /// From the request to the first token.
    first: Duration,
    /// From one token to the next.
    pace: Duration,
    /// Tokens of the answer, after every limit.
    pub(crate) tokens: u32,
    pub(crate) finish: Finish,
    pub(crate) usage: Usage,
    /// Whether usage chunks and fields are written at all in a stream.
    pub(crate) include_usage: bool,
    /// The function that is called instead of answering with text.
    pub(crate) function: Option<String>,
    /// Whether fields that no client knows are added.
    pub(crate) unknown: bool,
    pub(crate) fault: Option<Fault>,
    /// Tokens before the fault; at most `tokens`.
    pub(crate) after: u32,
    /// How long a fault that comes instead of an answer is held back.
    pub(crate) fault_delay: Duration,
    pub(crate) retry_after: Option<RetryAfter>,
    /// Length of a giant line in bytes.
    pub(crate) size: usize,
    seed: u64,
}

impl Plan {
    /// `fault` is the script's if it is still to happen.
    pub(crate) fn new(
        config: &SimulatorConfig,
        script: &Script,
        request: &ChatRequest,
        fault: Option<Fault>,
    ) -> Self {
        let function = script
            .tools
            .unwrap_or(false)
            .then(|| request.function().unwrap_or("look_up").to_owned());
        let wanted = match (fault, &function) {
            (Some(Fault::Empty), _) => 0,
            // A tool call needs the opening and the closing of its arguments.
            (_, Some(_)) => script.tokens.unwrap_or(config.tokens).max(2),
            (_, None) => script.tokens.unwrap_or(config.tokens),
        };
        let tokens = request.max_tokens().map_or(wanted, |limit| wanted.min(limit));
        let finish = match &function {
            _ if tokens < wanted => Finish::Length,
            Some(_) if tokens > 0 => Finish::ToolCalls,
            _ => Finish::Stop,
        };
        let prompt_words: usize = request
            .conversation()
            .iter()
            .map(|(_, text)| text.split_whitespace().count())
            .sum();
        Self {
            first: script.first.unwrap_or(config.first_token_delay),
            pace: script.pace.unwrap_or(config.token_interval),
            tokens,
            finish,
            usage: Usage {
                prompt: prompt_words as u64,
                completion: u64::from(tokens),
            },
            include_usage: request.wants_usage() && fault != Some(Fault::NoUsage),
            function: function.filter(|_| tokens > 0),
            unknown: script.unknown.unwrap_or(false),
            fault,
            after: script.after.unwrap_or(0).min(tokens),
            fault_delay: script.first.unwrap_or(Duration::ZERO),
            retry_after: script.retry_after,
            size: script.size.unwrap_or(GIANT_LINE),
            seed: script.seed.unwrap_or(config.seed),
        }
    }

    /// When token number `index` (from 0) is due. A schedule, so that a late token does not delay the others.
    pub(crate) fn due(&self, started: Instant, index: u32) -> Instant {
        started + self.first.saturating_add(self.pace.saturating_mul(index))
    }

    /// The pieces of this answer.
    pub(crate) fn pieces(&self, request: &ChatRequest) -> Pieces {
        let conversation = request.conversation();
        let prompt = conversation
            .iter()
            .rev()
            .find(|(role, _)| *role == "user")
            .map_or("", |(_, text)| text);
        let messages = conversation.iter().map(|(role, text)| (*role, text.as_ref()));
        Pieces {
            words: Words::new(self.seed, messages, prompt),
            arguments: self.function.is_some().then_some(self.tokens_of_arguments()),
            given: 0,
            word: String::new(),
        }
    }

    /// The length at which the arguments of a tool call would be closed; never reached if the answer is cut.
    fn tokens_of_arguments(&self) -> u32 {
        if self.finish == Finish::Length {
            u32::MAX
        } else {
            self.tokens
        }
    }
}

/// The tokens of one answer in order: words, or the arguments of a tool call (`{"query":"` words `"}`).
#[derive(Debug)]
pub(crate) struct Pieces {
    words: Words,
    arguments: Option<u32>,
    given: u32,
    word: String,
}

impl Pieces {
    /// Appends the next token to `out`.
    pub(crate) fn push_next(&mut self, out: &mut String) {
        self.given += 1;
        match self.arguments {
            None => self.words.push_next(out),
            Some(_) if self.given == 1 => out.push_str("{\"query\":\""),
            Some(last) if self.given == last => out.push_str("\"}"),
            Some(_) => {
                self.word.clear();
                self.words.push_next(&mut self.word);
                for character in self.word.chars() {
                    // Words hold no control characters, so these two are all that JSON wants escaped.
                    if matches!(character, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(character);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(script: &str) -> Plan {
        let body = json!({ "model": "sim", "messages": [{ "role": "user", "content": "hello" }] });
        let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
        let script = Script::parse(script).unwrap();
        Plan::new(&SimulatorConfig::default(), &script, &request, script.fault)
    }

    #[test]
    fn tokens_are_due_on_a_schedule() {
        let started = Instant::now();
        let plan = plan("first=200ms,pace=15ms");
        for (index, millis) in [(0, 200), (1, 215), (100, 1_700)] {
            assert_eq!(plan.due(started, index) - started, Duration::from_millis(millis));
        }
    }

    #[test]
    fn what_the_script_leaves_open_is_the_configurations() {
        let plan = plan("");
        let config = SimulatorConfig::default();
        assert_eq!(
            (plan.first, plan.pace, plan.tokens, plan.seed),
            (
                config.first_token_delay,
                config.token_interval,
                config.tokens,
                config.seed
            )
        );
    }

    #[test]
    fn a_fault_without_an_answer_waits_only_for_a_delay_of_its_own() {
        assert_eq!(plan("fault=500").fault_delay, Duration::ZERO);
        assert_eq!(plan("fault=500,first=3s").fault_delay, Duration::from_secs(3));
    }
}
