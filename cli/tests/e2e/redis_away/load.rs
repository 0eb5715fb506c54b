//! Clients that go on submitting whatever happens to Redis, and see every run to its end. That it is away is no reason to
//! refuse anything: a submit that is not accepted fails the campaign.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::stage::client::{answer, assert_sound, kinds, parsed};
use crate::stage::{Client, Stage, soon};

/// Clients, each with one run at a time.
pub(super) const CLIENTS: usize = 8;

/// Runs that end in every way there is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Answered at once.
    Quick,
    /// Answered over a second: long enough that its worker may be killed meanwhile.
    Streamed,
    /// Waits in the queue for its second try.
    Retried,
    /// Holds its slot until it is cancelled.
    Cancelled,
}

const KINDS: [Kind; 4] = [Kind::Quick, Kind::Streamed, Kind::Retried, Kind::Cancelled];

/// The clients.
pub(super) struct Load {
    clients: JoinSet<u64>,
    stop: Arc<AtomicBool>,
    finished: Arc<AtomicU64>,
}

impl Load {
    /// Each client submits to one of the APIs and reads again from another.
    pub(super) fn start(apis: &[Client]) -> Self {
        let (stop, finished) = <(Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let own = apis[number % apis.len()].clone();
            let other = apis[(number + 1) % apis.len()].clone();
            let (stop, finished) = (Arc::clone(&stop), Arc::clone(&finished));
            clients.spawn(async move {
                let mut runs = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Neighbours begin with another kind, and none keeps to its own.
                    let kind = KINDS[(number / 2 + usize::try_from(runs).expect("few")) % KINDS.len()];
                    one(&own, &other, kind, &format!("{number}-{runs}")).await;
                    runs += 1;
                    finished.fetch_add(1, Ordering::Relaxed);
                }
                runs
            });
        }
        Self {
            clients,
            stop,
            finished,
        }
    }

    /// Waits until every client could have finished one run of each kind from now on.
    pub(super) async fn goes_on(&mut self) {
        let least = self.finished.load(Ordering::Relaxed) + (CLIENTS * KINDS.len()) as u64;
        soon("progress of the load", async {
            while self.finished.load(Ordering::Relaxed) < least {
                // A client ends before it is told to only when it saw what must not be.
                if let Some(ended) = self.clients.try_join_next() {
                    panic!("a client has ended: {ended:?}");
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }

    /// Lets every client see its last run to the end; answers how many runs there were.
    pub(super) async fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut runs = 0;
        while let Some(client) = soon("every client's last run", self.clients.join_next()).await {
            runs += client.expect("a client that saw what it was promised");
        }
        runs
    }
}

/// One run, from its submit to its replay.
async fn one(own: &Client, other: &Client, kind: Kind, key: &str) {
    let model = match kind {
        Kind::Quick => format!("sim:tokens=10,key={key}"),
        Kind::Streamed => format!("sim:tokens=40,pace=25ms,key={key}"),
        Kind::Retried => format!("sim:tokens=10,fault=503,times=1,key={key}"),
        Kind::Cancelled => format!("sim:fault=stall_headers,key={key}"),
    };
    let run = own.submit_to(&model).await;
    let mut watcher = own.watch(&run, None).await;
    if let Kind::Cancelled = kind {
        watcher.until("attempt.started").await;
        let status = other.cancel(&run).await.status;
        assert!(
            matches!(status, StatusCode::ACCEPTED | StatusCode::OK),
            "{status}"
        );
    }
    // Every frame was held to be later than the one before.
    let seen = watcher.rest().await;
    let events = parsed(&seen);
    assert_sound(&events);
    let (end, status, text) = match kind {
        Kind::Quick | Kind::Retried => ("run.succeeded", "succeeded", Stage::text(10)),
        Kind::Streamed => ("run.succeeded", "succeeded", Stage::text(40)),
        Kind::Cancelled => ("run.cancelled", "cancelled", String::new()),
    };
    assert_eq!(kinds(&events).last().expect("events"), end, "{run}: {events:#?}");
    assert_eq!(answer(&events).text, text, "{run}");
    // Live view, replay and history are one, byte for byte; what was skipped live would be here.
    assert_eq!(other.watch(&run, None).await.rest().await, seen, "{run}");
    let history: Vec<String> = other.history(&run).await.iter().map(Value::to_string).collect();
    let live: Vec<String> = events.iter().map(Value::to_string).collect();
    assert_eq!(history, live, "{run}");
    let result = other.get(&format!("/mcp/v1/request/{run}/result")).await;
    assert_eq!(result.status, StatusCode::OK, "{}", result.body);
    assert_eq!(result.body["status"], status, "{run}: {}", result.body);
    assert_eq!(result.body["text"], text, "{run}");
}
