//! Providers that misbehave: every fault of the simulator, from the provider's socket to the run's result. A table says
//! what becomes of each; the log, the result and the number of provider calls must agree with it.

use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::domain::Timestamp;
use simulator::{SimulatorConfig, expected_text};
use tokio::net::TcpListener;

use crate::stage::client::{answer, assert_sound, kinds};
use crate::stage::{Client, Mode, Stage, all_modes};

const PROMPT: &str = "Tell me something";

/// What a provider call shows before it fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Shows {
    /// Not even an empty piece.
    Nothing,
    /// Pieces with so many tokens in them.
    Tokens(u32),
}

/// How a run ends.
#[derive(Debug, Clone, Copy)]
enum Ends {
    /// With so many tokens, and with or without a report of what they took.
    Answered { tokens: u32, usage: bool },
    /// With this code; and whether another submit may help.
    Failed { code: &'static str, retryable: bool },
}

/// A script and what must become of it.
#[derive(Debug, Clone, Copy)]
struct Case {
    script: &'static str,
    /// Whether the answer is asked for in pieces or whole.
    whole: bool,
    /// How many of its provider calls fail, how, and what each of them shows.
    failures: usize,
    code: &'static str,
    shows: Shows,
    ends: Ends,
}

/// Fails three times, and then for good.
const fn hopeless(script: &'static str, code: &'static str, shows: Shows) -> Case {
    let ends = Ends::Failed {
        code,
        retryable: true,
    };
    Case {
        script,
        whole: false,
        failures: 3,
        code,
        shows,
        ends,
    }
}

/// Fails at once, because trying again is no use.
const fn refused(script: &'static str, code: &'static str, shows: Shows) -> Case {
    let ends = Ends::Failed {
        code,
        retryable: false,
    };
    Case {
        script,
        whole: false,
        failures: 1,
        code,
        shows,
        ends,
    }
}

/// Fails so often and then answers with four tokens.
const fn recovers(script: &'static str, failures: usize, code: &'static str, shows: Shows) -> Case {
    let ends = Ends::Answered {
        tokens: 4,
        usage: true,
    };
    Case {
        script,
        whole: false,
        failures,
        code,
        shows,
        ends,
    }
}

/// Is an answer in spite of it.
const fn answered(script: &'static str, usage: bool) -> Case {
    let ends = Ends::Answered { tokens: 4, usage };
    Case {
        script,
        whole: false,
        failures: 0,
        code: "",
        shows: Shows::Nothing,
        ends,
    }
}

/// The same, asked for whole. Nothing of it can be seen before its end.
const fn whole(case: Case) -> Case {
    Case { whole: true, ..case }
}

const INTERRUPTED: &str = "provider_interrupted";
const MALFORMED: &str = "provider_malformed";
const SERVER_ERROR: &str = "provider_server_error";

#[rustfmt::skip]
const CASES: &[Case] = &[
    // A status says by itself whether it makes sense to come back.
    refused("sim:fault=400", "provider_rejected", Shows::Nothing),
    refused("sim:fault=401", "provider_unauthorized", Shows::Nothing),
    refused("sim:fault=403", "provider_unauthorized", Shows::Nothing),
    refused("sim:fault=404", "provider_rejected", Shows::Nothing),
    refused("sim:fault=422", "provider_rejected", Shows::Nothing),
    hopeless("sim:fault=408", SERVER_ERROR, Shows::Nothing),
    hopeless("sim:fault=429", "provider_rate_limited", Shows::Nothing),
    hopeless("sim:fault=500", SERVER_ERROR, Shows::Nothing),
    hopeless("sim:fault=503", SERVER_ERROR, Shows::Nothing),
    recovers("sim:tokens=4,fault=429,times=1", 1, "provider_rate_limited", Shows::Nothing),
    recovers("sim:tokens=4,fault=500,times=1", 1, SERVER_ERROR, Shows::Nothing),
    recovers("sim:tokens=4,fault=500,times=2", 2, SERVER_ERROR, Shows::Nothing),
    recovers("sim:tokens=4,fault=503,times=1", 1, SERVER_ERROR, Shows::Nothing),
    recovers("sim:tokens=4,fault=503,times=2", 2, SERVER_ERROR, Shows::Nothing),
    // No answer, or none that is the protocol.
    hopeless("sim:fault=html", SERVER_ERROR, Shows::Nothing),
    hopeless("sim:fault=html200", MALFORMED, Shows::Nothing),
    hopeless("sim:fault=wrong_type", MALFORMED, Shows::Nothing),
    hopeless("sim:fault=refuse", INTERRUPTED, Shows::Nothing),
    recovers("sim:tokens=4,fault=refuse,times=2", 2, INTERRUPTED, Shows::Nothing),
    hopeless("sim:fault=empty", "provider_empty_answer", Shows::Nothing),
    recovers("sim:tokens=4,fault=empty,times=1", 1, "provider_empty_answer", Shows::Nothing),
    // An answer that breaks off. The first of each before anything was seen, the others after it was.
    hopeless("sim:fault=reset", INTERRUPTED, Shows::Nothing),
    recovers("sim:tokens=4,fault=reset,times=1", 1, INTERRUPTED, Shows::Nothing),
    hopeless("sim:fault=cut", INTERRUPTED, Shows::Nothing),
    hopeless("sim:tokens=4,fault=cut,after=2", INTERRUPTED, Shows::Tokens(2)),
    hopeless("sim:tokens=4,fault=cut,after=4", INTERRUPTED, Shows::Tokens(4)),
    recovers("sim:tokens=4,fault=cut,after=2,times=1", 1, INTERRUPTED, Shows::Tokens(2)),
    recovers("sim:tokens=4,fault=cut,after=2,times=2", 2, INTERRUPTED, Shows::Tokens(2)),
    hopeless("sim:fault=cut_dirty", INTERRUPTED, Shows::Nothing),
    hopeless("sim:tokens=4,fault=cut_dirty,after=2", INTERRUPTED, Shows::Tokens(2)),
    recovers("sim:tokens=4,fault=cut_dirty,after=2,times=1", 1, INTERRUPTED, Shows::Tokens(2)),
    hopeless("sim:tokens=4,fault=no_finish", INTERRUPTED, Shows::Tokens(4)),
    recovers("sim:tokens=4,fault=no_finish,times=1", 1, INTERRUPTED, Shows::Tokens(4)),
    hopeless("sim:fault=error_event", SERVER_ERROR, Shows::Nothing),
    hopeless("sim:tokens=4,fault=error_event,after=2", SERVER_ERROR, Shows::Tokens(2)),
    recovers("sim:tokens=4,fault=error_event,after=2,times=2", 2, SERVER_ERROR, Shows::Tokens(2)),
    // An answer that is damaged in the middle.
    hopeless("sim:tokens=4,fault=malformed,after=2", MALFORMED, Shows::Tokens(2)),
    recovers("sim:tokens=4,fault=malformed,after=2,times=1", 1, MALFORMED, Shows::Tokens(2)),
    hopeless("sim:tokens=4,fault=bad_utf8,after=2", MALFORMED, Shows::Tokens(2)),
    recovers("sim:tokens=4,fault=bad_utf8,after=2,times=1", 1, MALFORMED, Shows::Tokens(2)),
    refused("sim:tokens=4,fault=giant_line,after=2", "answer_too_large", Shows::Tokens(2)),
    // Poor manners that cost nothing.
    answered("sim:tokens=4,fault=no_usage", false),
    answered("sim:tokens=4,fault=duplicate_usage", true),
    // Whole answers.
    whole(answered("sim:tokens=4,key=whole", true)),
    whole(answered("sim:tokens=4,fault=no_usage,key=whole", false)),
    whole(refused("sim:fault=400,key=whole", "provider_rejected", Shows::Nothing)),
    whole(recovers("sim:tokens=4,fault=503,times=2,key=whole", 2, SERVER_ERROR, Shows::Nothing)),
    whole(hopeless("sim:fault=html,key=whole", SERVER_ERROR, Shows::Nothing)),
    whole(hopeless("sim:fault=html200,key=whole", MALFORMED, Shows::Nothing)),
    whole(hopeless("sim:fault=wrong_type,key=whole", MALFORMED, Shows::Nothing)),
    whole(hopeless("sim:fault=refuse,key=whole", INTERRUPTED, Shows::Nothing)),
    whole(hopeless("sim:tokens=4,fault=reset,after=2,key=whole", INTERRUPTED, Shows::Nothing)),
    whole(hopeless("sim:tokens=4,fault=cut,after=2,key=whole", INTERRUPTED, Shows::Nothing)),
    whole(hopeless("sim:tokens=4,fault=cut_dirty,after=2,key=whole", INTERRUPTED, Shows::Nothing)),
    whole(recovers("sim:tokens=4,fault=cut,after=2,times=1,key=whole-once", 1, INTERRUPTED, Shows::Nothing)),
    whole(hopeless("sim:tokens=4,fault=error_event,key=whole", SERVER_ERROR, Shows::Nothing)),
    whole(hopeless("sim:tokens=4,fault=malformed,key=whole", INTERRUPTED, Shows::Nothing)),
    whole(hopeless("sim:tokens=4,fault=bad_utf8,key=whole", MALFORMED, Shows::Nothing)),
    whole(hopeless("sim:tokens=4,fault=no_finish,key=whole", INTERRUPTED, Shows::Nothing)),
    whole(hopeless("sim:fault=empty,key=whole", "provider_empty_answer", Shows::Nothing)),
    whole(refused("sim:tokens=4,fault=giant_line,size=70000000,key=whole", "answer_too_large", Shows::Nothing)),
];

/// One of each way to fail, for where the whole table would only repeat itself.
const FEW: [&str; 6] = [
    "sim:fault=400",
    "sim:fault=500",
    "sim:tokens=4,fault=503,times=2",
    "sim:tokens=4,fault=cut,after=2,times=1",
    "sim:tokens=4,fault=malformed,after=2",
    "sim:tokens=4,fault=no_usage",
];

fn text(tokens: u32) -> String {
    expected_text(SimulatorConfig::default().seed, PROMPT, tokens)
}

/// The types of events in order; how an answer is cut into pieces is the journal's business. Attempts that found nobody
/// to call are left out: the cases share one provider, and when it asks one of them for a pause, all of them keep it.
fn story(events: &[Value]) -> Vec<String> {
    let mut story = kinds(events);
    story.dedup_by(|after, before| after == "output.delta" && before == "output.delta");
    while let Some(at) = story.iter().position(|kind| kind == "route.unavailable") {
        assert_eq!(
            (&*story[at - 1], &*story[at + 1]),
            ("attempt.started", "run.requeued")
        );
        story.drain(at - 1..=at + 1);
    }
    story
}

/// Every run has its three calls: what holds them back in an outage is tested elsewhere.
const NO_BUDGET: (&str, &str) = ("MCP_RETRY_PERCENT", "off");

impl Case {
    fn calls(&self) -> usize {
        self.failures + usize::from(matches!(self.ends, Ends::Answered { .. }))
    }

    fn story(&self) -> Vec<&'static str> {
        let mut story = vec!["run.queued"];
        for failure in 1..=self.failures {
            story.extend(["attempt.started", "route.selected"]);
            if self.shows != Shows::Nothing {
                story.push("output.delta");
            }
            story.push("provider.failed");
            if failure < self.calls() {
                story.push("run.requeued");
            }
        }
        match self.ends {
            Ends::Answered { usage, .. } => {
                story.extend(["attempt.started", "route.selected", "output.delta"]);
                story.extend(usage.then_some("usage.reported"));
                story.push("run.succeeded");
            }
            Ends::Failed { .. } => story.push("run.failed"),
        }
        story
    }

    /// The text of the result: the answer, or what the last call left of one.
    fn text(&self) -> String {
        match (self.ends, self.shows) {
            (Ends::Answered { tokens, .. }, _) | (_, Shows::Tokens(tokens)) => text(tokens),
            (_, Shows::Nothing) => String::new(),
        }
    }

    async fn play(&self, stage: &Stage, client: &Client) {
        let mut body = json!({"prompt": PROMPT, "model": self.script});
        if self.whole {
            body["params"] = json!({"stream": false});
        }
        let run = client.submit(&body).await;
        let result = client.result(&run).await;
        let events = client.history(&run).await;
        assert_sound(&events);
        assert_eq!(story(&events), self.story(), "{self:?}");
        let calls = stage.simulator.requests();
        let calls: Vec<_> = calls.iter().filter(|call| call.model == self.script).collect();
        assert_eq!(calls.len(), self.calls(), "{self:?}");
        assert!(calls.iter().all(|call| call.stream != self.whole), "{self:?}");
        assert_eq!(result["text"], self.text(), "{self:?}: {result}");
        assert_eq!(result["text"], answer(&events).text, "{self:?}");

        for failed in events.iter().filter(|event| event["type"] == "provider.failed") {
            assert_eq!(failed["data"]["code"], self.code, "{self:?}");
            let message = failed["data"]["message"].as_str().expect("a message");
            assert!(!message.contains("127.0.0.1"), "{self:?}: {message}");
        }
        match self.ends {
            Ends::Answered { usage, .. } => {
                assert_eq!(result["status"], "succeeded", "{self:?}: {result}");
                assert_eq!(result["finish_reason"], "stop", "{self:?}: {result}");
                assert_eq!(result["error"], Value::Null, "{self:?}: {result}");
                let tokens = result["usage"]["completion_tokens"].as_u64();
                assert_eq!(tokens, usage.then_some(4), "{self:?}: {result}");
            }
            Ends::Failed { code, retryable } => {
                assert_eq!(result["status"], "failed", "{self:?}: {result}");
                assert_eq!(result["error"]["code"], code, "{self:?}: {result}");
                assert_eq!(result["error"]["retryable"], retryable, "{self:?}: {result}");
                let last = &events.last().expect("an event")["data"];
                assert_eq!(last["code"], code, "{self:?}");
                assert_eq!(last["retryable"], retryable, "{self:?}");
            }
        }
        // Output of a failed call is taken back by the next attempt, aloud.
        let announced = events
            .iter()
            .skip_while(|event| event["type"] != "output.delta")
            .filter(|event| event["type"] == "attempt.started");
        for started in announced.filter(|_| self.shows != Shows::Nothing) {
            assert_eq!(started["data"]["void_after"], "0-1", "{self:?}");
        }
    }
}

all_modes! {
    async fn every_fault_ends_as_it_should(mode: Mode) {
        let stage = Stage::with(mode, &[NO_BUDGET]).await;
        let client = stage.client();
        let cases = CASES.iter().filter(|case| mode == Mode::Embedded || FEW.contains(&case.script));
        join_all(cases.map(|case| case.play(&stage, &client))).await;
        stage.close().await;
    }

    async fn a_provider_that_says_when_to_come_back_is_left_alone_until_then(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let asked = async |script: &str| {
            let run = client.submit_to(script).await;
            assert_eq!(client.result(&run).await["status"], "succeeded");
            let events = client.history(&run).await;
            let moment = |value: &Value| -> Timestamp { serde_json::from_value(value.clone()).expect("a moment") };
            let nth = |kind: &str, n: usize| {
                events.iter().filter(|event| event["type"] == kind).nth(n).expect("an event")
            };
            let first = moment(&nth("attempt.started", 0)["at"]);
            let second = moment(&nth("attempt.started", 1)["at"]);
            let not_before = moment(&nth("run.requeued", 0)["data"]["not_before"]);
            // Events are stamped when they are committed, so it is the attempt that is known to be older than the answer.
            assert!(not_before.since(first).as_secs() >= 2, "{script}: {events:#?}");
            assert!(second >= not_before, "{script}: {events:#?}");
        };
        // One after the other: while a key rests, nobody else is sent there either.
        asked("sim:tokens=1,fault=429,times=1,retry_after=2").await;
        asked("sim:tokens=1,fault=429,times=1,retry_after=date:2").await;
        asked("sim:tokens=1,fault=503,times=1,retry_after=2").await;
        stage.close().await;
    }

    async fn an_answer_broken_in_sight_starts_anew_or_fails_as_the_run_wants(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let submit = async |script: &str, on_interruption: &str| {
            let run = client
                .submit(&json!({"prompt": PROMPT, "model": script, "on_interruption": on_interruption}))
                .await;
            (client.result(&run).await, client.history(&run).await)
        };

        let (result, events) = submit("sim:tokens=8,fault=cut,after=5,times=1,key=restart", "restart").await;
        assert_eq!((&result["status"], &result["text"]), (&json!("succeeded"), &json!(text(8))));
        let voided = events.iter().position(|event| event["data"]["void_after"] == "0-1").expect("a rewind");
        let before = answer(&events[..voided]).text;
        assert_eq!((before, answer(&events).text), (text(5), text(8)));

        let (result, events) = submit("sim:tokens=8,fault=cut,after=5,times=1,key=fail", "fail").await;
        assert_eq!(result["error"]["code"], "interrupted", "{result}");
        assert_eq!(result["error"]["retryable"], true);
        assert_eq!(result["text"], text(5));
        assert_eq!(
            story(&events),
            ["run.queued", "attempt.started", "route.selected", "output.delta", "provider.failed", "run.failed"]
        );

        // Before anything was seen there is nothing to be interrupted.
        for script in ["sim:tokens=8,fault=503,times=2,key=unseen", "sim:tokens=8,fault=cut,times=1,key=unseen-cut"] {
            let (result, _) = submit(script, "fail").await;
            assert_eq!((&result["status"], &result["text"]), (&json!("succeeded"), &json!(text(8))), "{script}");
        }
        stage.close().await;
    }

    async fn what_we_do_not_know_is_passed_on(mode: Mode) {
        let stage = Stage::open(mode).await;
        let client = stage.client();
        let run = client.submit(&json!({
            "prompt": PROMPT,
            "model": "sim:tokens=3,unknown=1",
            "params": {"x_vendor": {"deep": [1, null]}, "top_p": 0.5},
        })).await;
        let result = client.result(&run).await;
        let events = client.history(&run).await;
        assert_eq!(result["text"], text(3));
        // One piece with the role and one per token, and the last chunk: they all bring some.
        let reasoning = result["message"]["reasoning_content"].as_str().expect("reasoning");
        assert!(reasoning.len() >= 2 * 3 && reasoning.replace("hm", "").is_empty(), "{result}");
        assert_eq!(answer(&events).message["reasoning_content"], reasoning);
        assert!(events.iter().any(|event| event["data"]["delta"]["reasoning_content"].is_string()));
        assert_eq!(result["usage"]["completion_tokens_details"], json!({"reasoning_tokens": 0}));
        // What stood beside the answer, at the top of the chunks.
        let end = &events.last().expect("an end")["data"];
        assert!(end["provider_metadata"]["x_vendor"].is_object(), "{end}");
        assert_eq!(result["provider_metadata"], end["provider_metadata"]);
        assert_eq!(answer(&events).provider_metadata["x_vendor"], end["provider_metadata"]["x_vendor"]);
        let sent: Value = serde_json::from_str(&stage.simulator.requests()[0].body).expect("JSON");
        assert_eq!((&sent["x_vendor"], &sent["top_p"]), (&json!({"deep": [1, null]}), &json!(0.5)));

        let run = client.submit_to("sim:tokens=3,tools=1").await;
        let result = client.result(&run).await;
        assert_eq!(result["finish_reason"], "tool_calls");
        assert_eq!(result["text"], "");
        let call = &result["message"]["tool_calls"][0];
        assert_eq!((&call["type"], &call["index"]), (&json!("function"), &json!(0)), "{result}");
        let arguments = call["function"]["arguments"].as_str().expect("arguments");
        let arguments: Value = serde_json::from_str(arguments).expect("the pieces are put together");
        assert!(arguments["query"].is_string(), "{result}");
        let events = client.history(&run).await;
        assert_eq!(answer(&events).message["tool_calls"], result["message"]["tool_calls"]);
        stage.close().await;
    }

    async fn a_provider_that_is_not_there_is_tried_three_times(mode: Mode) {
        let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", closed.local_addr().expect("an address"));
        drop(closed);
        let stage = Stage::with(mode, &[("MCP_SIMULATOR_URL", &url)]).await;
        let client = stage.client();
        let run = client.submit_to("sim").await;
        let result = client.result(&run).await;
        assert_eq!(result["error"]["code"], "provider_unreachable", "{result}");
        assert_eq!(result["error"]["retryable"], true);
        assert_eq!(story(&client.history(&run).await), hopeless("sim", "", Shows::Nothing).story());
        assert_eq!(stage.simulator.stats().requests, 0);
        stage.close().await;
    }
}

/// Each timeout alone, so that it is certain which of them it was. The others keep their defaults, which are longer than
/// any test.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_a_failure_and_the_call_is_dropped() {
    let timeouts: [(&str, &str, &[&str]); 3] = [
        (
            "MCP_FIRST_TOKEN_TIMEOUT_MS",
            "no output came in time",
            &["sim:fault=stall_headers", "sim:fault=stall", "sim:first=1m"],
        ),
        (
            "MCP_BETWEEN_TOKENS_TIMEOUT_MS",
            "its stream stalled",
            &["sim:tokens=4,fault=stall,after=2", "sim:tokens=4,pace=1m"],
        ),
        (
            "MCP_TOTAL_TIMEOUT_MS",
            "the whole call took too long",
            &["sim:tokens=1000000,pace=50ms", "sim:tokens=4,fault=stall,after=2"],
        ),
    ];
    for (setting, message, scripts) in timeouts {
        let stage = Stage::with(Mode::Embedded, &[(setting, "400"), NO_BUDGET]).await;
        let client = stage.client();
        join_all(scripts.iter().map(async |script| {
            let run = client.submit_to(script).await;
            let result = client.result(&run).await;
            assert_eq!(result["error"]["code"], "provider_timeout", "{script}: {result}");
            assert_eq!(result["error"]["retryable"], true, "{script}");
            let said = result["error"]["message"].as_str().expect("a message");
            assert!(said.contains(message), "{script}: {said}");
            let said = result["text"].as_str().expect("a text");
            assert!(text(1_000).starts_with(said), "{script}: {said}");
            let failed = client.history(&run).await;
            let failed = kinds(&failed)
                .into_iter()
                .filter(|kind| kind == "provider.failed");
            assert_eq!(failed.count(), 3, "{script}");
        }))
        .await;
        // Ends only when no provider call is open.
        stage.close().await;
    }
}
