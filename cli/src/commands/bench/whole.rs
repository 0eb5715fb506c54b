//! Reads an answer that came in one piece: the result of a run, or a chat completion. It is parsed once it is all
//! there; whatever is not such an answer is an error and never an answer of no words.

use serde::Deserialize;

use super::answer::End;

/// What such an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    /// Words of its text.
    pub(super) words: u64,
    /// Output tokens, as the provider counted them.
    pub(super) reported: Option<u64>,
    /// How the run ended; none if it does not say.
    pub(super) end: Option<End>,
}

#[derive(Deserialize)]
struct RunResult {
    status: String,
    text: String,
    usage: Option<RunUsage>,
    error: Option<RunError>,
}

#[derive(Deserialize)]
struct RunUsage {
    output_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct RunError {
    code: String,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<CompletionUsage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

#[derive(Deserialize)]
struct CompletionUsage {
    completion_tokens: Option<u64>,
}

/// The result of a run, as the native API gives it to who has waited.
pub(super) fn run(body: &[u8]) -> Whole {
    let Ok(result) = serde_json::from_slice::<RunResult>(body) else {
        return strange("the answer is not the result of a run");
    };
    let end = match (result.status.as_str(), result.error) {
        ("succeeded", _) => End::Complete,
        (_, Some(error)) => End::Failed(format!("the run failed: {}", error.code)),
        (status, None) => End::Failed(format!("the run ended {status}")),
    };
    Whole {
        words: words(&result.text),
        reported: result.usage.and_then(|usage| usage.output_tokens),
        end: Some(end),
    }
}

/// A chat completion, as OpenAI answers it. It is complete only when the provider said why it stopped.
pub(super) fn completion(body: &[u8]) -> Whole {
    let Ok(completion) = serde_json::from_slice::<Completion>(body) else {
        return strange("the answer is not a chat completion");
    };
    let Some(choice) = completion.choices.into_iter().next() else {
        return strange("the completion has no choice");
    };
    Whole {
        words: words(&choice.message.content.unwrap_or_default()),
        reported: completion.usage.and_then(|usage| usage.completion_tokens),
        end: choice.finish_reason.map(|_| End::Complete),
    }
}

fn strange(why: &str) -> Whole {
    Whole {
        words: 0,
        reported: None,
        end: Some(End::Failed(why.to_owned())),
    }
}

/// As they are counted in a stream.
fn words(text: &str) -> u64 {
    let words = text
        .split([' ', '\n', '\r', '\t'])
        .filter(|word| !word.is_empty());
    words.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(why: &str) -> Option<End> {
        Some(End::Failed(why.to_owned()))
    }

    #[test]
    fn a_result_says_how_its_run_ended() {
        let good = run(br#"{"status":"succeeded","text":"About \u201ca b\u201d:\nNo","usage":{"output_tokens":5},"error":null}"#);
        assert_eq!((good.words, good.reported), (4, Some(5)));
        assert_eq!(good.end, Some(End::Complete));
        let bad = run(br#"{"status":"failed","text":"","usage":null,"error":{"code":"provider_error"}}"#);
        assert_eq!(bad.end, failed("the run failed: provider_error"));
        let cancelled = run(br#"{"status":"cancelled","text":"","usage":null,"error":null}"#);
        assert_eq!(cancelled.end, failed("the run ended cancelled"));
        // Not ended in time, it is not a result but a run.
        let run = run(br#"{"request_id":"run_1","status":"running"}"#);
        assert_eq!(run.end, failed("the answer is not the result of a run"));
    }

    #[test]
    fn a_completion_without_a_reason_to_stop_is_none() {
        let of = |reason: &str| {
            completion(
                format!(
                    r#"{{"choices":[{{"message":{{"content":"a b"}},"finish_reason":{reason}}}],
                        "usage":{{"completion_tokens":2}}}}"#
                )
                .as_bytes(),
            )
        };
        assert_eq!(
            of("\"stop\""),
            Whole {
                words: 2,
                reported: Some(2),
                end: Some(End::Complete)
            }
        );
        assert_eq!(of("null").end, None);
        for body in [&br#"{"choices":[]}"#[..], br#"{"error":{"message":"x"}}"#, b""] {
            assert!(matches!(completion(body).end, Some(End::Failed(_))), "{body:?}");
        }
    }
}
