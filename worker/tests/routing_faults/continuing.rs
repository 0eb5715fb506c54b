//! An answer that breaks off in sight, under each policy of a run.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::response::sse::{Event as Sse, Sse as SseBody};
use futures_util::stream;
use serde_json::{Value, json};
use shared::domain::{CallOutcome, EventType, FailureCode, Interruption, Status};
use simulator::Simulator;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::stage::{File, PROMPT, Stage, simulator, text};

/// A server that speaks Gemini's protocol, says one thing, and remembers what it was asked.
struct Gemini {
    url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    serving: JoinHandle<()>,
}

const REST: &str = "and that is all.";

impl Gemini {
    async fn start() -> Self {
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let answer = async |State(asked): State<Arc<Mutex<Vec<Value>>>>, body: String| {
            asked.lock().unwrap().push(serde_json::from_str(&body).unwrap());
            let event = json!({
                "candidates": [{"index": 0, "finishReason": "STOP",
                    "content": {"role": "model", "parts": [{"text": REST}]}}],
                "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14},
            });
            SseBody::new(stream::iter([Ok::<_, std::convert::Infallible>(
                Sse::default().data(event.to_string()),
            )]))
        };
        let app = Router::new().fallback(answer).with_state(Arc::clone(&asked));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1beta", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, asked, serving }
    }
}

impl Drop for Gemini {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn broken_first(bad: &Simulator, tokens: u32) -> File {
    let script = format!("sim-fast:tokens=8,fault=cut,after={tokens}");
    File::default()
        .provider("bad", &bad.base_url())
        .model("bad", &script, "first")
        .chain()
}

#[tokio::test(flavor = "multi_thread")]
async fn continue_goes_on_from_what_was_said() {
    let (bad, gemini) = (simulator().await, Gemini::start().await);
    let file = broken_first(&bad, 5)
        .provider_with("gemini", &gemini.url, "dialect = \"gemini\"")
        .model("gemini", "gemini-2.5-flash", "second");
    let stage = Stage::open(&file).await;
    let run = stage.submit(Interruption::Continue, json!({})).await;
    let told = stage.told(run).await;
    let expected = text(5) + REST;
    assert_eq!(told.text(), expected);
    let answer = told.result.result.answer.as_deref().expect("an answer");
    let answer: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(
        (&answer["text"], &answer["message"]["role"]),
        (&json!(expected), &json!("assistant"))
    );
    // Nothing was taken back.
    assert_eq!(told.events(EventType::AttemptStarted).len(), 1);
    assert_eq!(told.routes(), ["bad", "gemini"]);
    {
        let asked = gemini.asked.lock().unwrap();
        let contents = asked[0]["contents"].as_array().unwrap();
        assert_eq!(contents[0]["parts"][0]["text"], PROMPT);
        let last = contents.last().unwrap();
        assert_eq!(
            (&last["role"], &last["parts"][0]["text"]),
            (&json!("model"), &json!(text(5)))
        );
    }
    let outcomes: Vec<_> = told.calls.iter().map(|one| one.call.outcome).collect();
    assert_eq!(outcomes, [CallOutcome::Interrupted, CallOutcome::Succeeded]);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_go_on_it_begins_again_aloud() {
    let (bad, good) = (simulator().await, simulator().await);
    let file =
        broken_first(&bad, 5)
            .provider("good", &good.base_url())
            .model("good", "sim-fast:tokens=8", "second");
    let stage = Stage::open(&file).await;
    let run = stage.submit(Interruption::Continue, json!({})).await;
    let told = stage.told(run).await;
    assert_eq!(told.text(), text(8));
    assert_eq!(told.events(EventType::AttemptStarted).len(), 2);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fail_ends_the_run_with_what_was_said() {
    let (bad, good) = (simulator().await, simulator().await);
    let file =
        broken_first(&bad, 5)
            .provider("good", &good.base_url())
            .model("good", "sim-fast:tokens=8", "second");
    let stage = Stage::open(&file).await;
    let run = stage.submit(Interruption::Fail, json!({})).await;
    let told = stage.told(run).await;
    assert_eq!(told.result.result.status, Status::Failed);
    let failure = told.result.result.failure.as_ref().expect("a failure");
    assert_eq!(
        (failure.code, failure.retryable),
        (FailureCode::Interrupted, true)
    );
    assert_eq!(told.text(), text(5));
    assert_eq!(good.stats().requests, 0);

    // Before anything was seen there is nothing to be interrupted.
    let file =
        broken_first(&bad, 0)
            .provider("good", &good.base_url())
            .model("good", "sim-fast:tokens=8", "second");
    let unseen = Stage::open(&file).await;
    let run = unseen.submit(Interruption::Fail, json!({})).await;
    assert_eq!(unseen.told(run).await.text(), text(8));
    stage.close().await;
    unseen.close().await;
}
