//! One WebSocket conversation about one run: its log goes out, a cancel may come in. It holds one entry and the
//! connection's buffers for a client that does not read, and gives up on it after a while; it never holds up others.
//!
//! Sending and receiving go on side by side, so that a cancel is heard while a long history is still being sent.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{Sink, SinkExt, StreamExt};
use serde::Deserialize;
use shared::watch::Watcher;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::drain::Drain;

/// How long a conversation waits for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Between two pings.
    pub(super) ping_every: Duration,
    /// Until a frame is handed to the network.
    pub(super) write: Duration,
    /// Until the client has answered the close.
    pub(super) close: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(15),
            write: Duration::from_secs(30),
            close: Duration::from_secs(5),
        }
    }
}

/// Pings that may go unanswered.
const MISSED_PONGS: u32 = 2;

/// Why a conversation is over. The numbers are part of the public protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The terminal event was sent.
    Told,
    /// This process is shutting down.
    Draining,
    /// The client does not read.
    Stuck,
    /// The ledger does not answer.
    LedgerAway,
    /// What the client said, or where it wanted to begin, makes no sense.
    BadCursor,
    /// The client sent something that is not a message of this protocol.
    BadMessage,
    /// There is no such run, or not for this client.
    UnknownRun,
    /// The run's log never had this cursor.
    UnknownCursor,
    /// The connection is gone, or the client closed it, or it answers no pings.
    Gone,
}

impl Ending {
    /// What the client is told; nothing when it cannot hear it.
    const fn frame(self) -> Option<(u16, &'static str)> {
        match self {
            Self::Told => Some((1000, "the run has ended")),
            Self::Draining => Some((1013, "draining: come back with your cursor")),
            Self::Stuck => Some((1013, "too slow: come back with your cursor")),
            Self::LedgerAway => Some((1013, "the ledger is away: come back with your cursor")),
            Self::BadCursor => Some((4400, "malformed cursor")),
            Self::BadMessage => Some((4400, "bad message")),
            Self::UnknownRun => Some((4404, "unknown run")),
            Self::UnknownCursor => Some((4409, "unknown cursor")),
            Self::Gone => None,
        }
    }
}

/// What a client may say.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum ClientMessage {
    /// Cancel the run.
    Cancel {},
}

/// Sends what the watcher brings until the run has ended, this process drains, or the client is gone. `cancel` is
/// called when the client asks for it, and answers how the conversation ends when that could not be done.
pub(super) async fn converse<C, F>(
    socket: WebSocket,
    mut watcher: Watcher,
    drain: &Drain,
    patience: Patience,
    cancel: C,
) where
    C: Fn() -> F,
    F: Future<Output = Result<(), Ending>>,
{
    let (mut sink, mut stream) = socket.split();
    let unanswered = AtomicU32::new(0);
    let ending = tokio::select! {
        biased;
        () = drain.draining() => Ending::Draining,
        ending = listen(&mut stream, &unanswered, cancel) => ending,
        ending = tell(&mut sink, &mut watcher, &unanswered, patience) => ending,
    };
    drop(watcher);
    close(sink, stream, ending, patience).await;
}

/// Ends a conversation that never began.
pub(super) async fn refuse(socket: WebSocket, ending: Ending) {
    let (sink, stream) = socket.split();
    close(sink, stream, ending, Patience::default()).await;
}

async fn tell<S>(sink: &mut S, watcher: &mut Watcher, unanswered: &AtomicU32, patience: Patience) -> Ending
where
    S: Sink<Message> + Unpin,
{
    let mut pings = interval_at(Instant::now() + patience.ping_every, patience.ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            _ = pings.tick() => {
                if unanswered.fetch_add(1, Ordering::Relaxed) >= MISSED_PONGS {
                    return Ending::Gone;
                }
                Message::Ping(Bytes::new())
            }
            entry = watcher.next() => match entry {
                Some(entry) => Message::Text(entry.to_json().into()),
                None => return Ending::Told,
            },
        };
        // What is here already goes out together.
        let more = watcher.buffered() > 0;
        let sent = timeout(patience.write, async {
            if more {
                sink.feed(message).await
            } else {
                sink.send(message).await
            }
        });
        match sent.await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ending::Gone,
            Err(_) => return Ending::Stuck,
        }
    }
}

async fn listen<C, F>(stream: &mut SplitStream<WebSocket>, unanswered: &AtomicU32, cancel: C) -> Ending
where
    C: Fn() -> F,
    F: Future<Output = Result<(), Ending>>,
{
    while let Some(message) = stream.next().await {
        // Too large, or not WebSocket at all. When it is the connection that broke, nobody hears the answer.
        let Ok(message) = message else {
            return Ending::BadMessage;
        };
        // Whatever it says, the client is there.
        unanswered.store(0, Ordering::Relaxed);
        match message {
            Message::Text(text) => match serde_json::from_str(&text) {
                Ok(ClientMessage::Cancel {}) => {
                    if let Err(ending) = cancel().await {
                        return ending;
                    }
                }
                Err(_) => return Ending::BadMessage,
            },
            Message::Binary(_) => return Ending::BadMessage,
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return Ending::Gone,
        }
    }
    Ending::Gone
}

/// Says why, and waits for the client to have read it: a connection dropped with unread input would be reset, and the
/// last frames lost with it.
async fn close(
    mut sink: SplitSink<WebSocket, Message>,
    mut stream: SplitStream<WebSocket>,
    ending: Ending,
    patience: Patience,
) {
    let farewell = async {
        if let Some((code, reason)) = ending.frame() {
            sink.send(Message::Close(Some(CloseFrame {
                code,
                reason: reason.into(),
            })))
            .await
            .ok()?;
        }
        while let Some(Ok(_)) = stream.next().await {}
        Some(())
    };
    // Without an answer in time there is nobody to be polite to.
    let _ = timeout(patience.close, farewell).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::ws::WebSocketUpgrade;
    use axum::routing::get;
    use shared::domain::{Cursor, RunId};
    use shared::watch::Watch;
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;
    use tokio_tungstenite::tungstenite::{self, Message as Frame};

    use super::*;
    use crate::stage::Stage;

    /// A server of nothing but this conversation. What it sends is told once a conversation is over.
    struct Host {
        address: SocketAddr,
        over: mpsc::Receiver<()>,
        task: JoinHandle<()>,
    }

    impl Host {
        async fn start(stage: &Stage, run: RunId, patience: Patience) -> Self {
            let watch = Watch::new(Arc::clone(&stage.ledger.log), Arc::clone(&stage.feed.subscribe));
            let (told, over) = mpsc::channel(1);
            let begin = async move |upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async move |socket| {
                    let watcher = watch.open(run, Cursor::START).await.unwrap();
                    converse(socket, watcher, &Drain::default(), patience, async || Ok(())).await;
                    told.send(()).await.unwrap();
                })
            };
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new().route("/", get(begin));
            let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
            Self { address, over, task }
        }

        fn url(&self) -> String {
            format!("ws://{}/", self.address)
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    const QUICK_PINGS: Patience = Patience {
        ping_every: Duration::from_millis(20),
        write: Duration::from_secs(30),
        close: Duration::from_millis(20),
    };

    #[tokio::test]
    async fn a_client_that_answers_pings_is_kept_as_long_as_the_run_lasts() {
        let stage = Stage::open().await;
        let run = stage.accept("local").await;
        let patience = Patience {
            close: Duration::from_secs(5),
            ..QUICK_PINGS
        };
        let mut host = Host::start(&stage, run, patience).await;
        let (mut socket, _) = tokio_tungstenite::connect_async(host.url()).await.unwrap();
        let (long_enough, come) = tokio::sync::oneshot::channel();
        let client = async {
            let mut long_enough = Some(long_enough);
            let mut pings = 0;
            // Reading answers them.
            while let Some(frame) = socket.next().await {
                match frame.unwrap() {
                    Frame::Ping(_) => pings += 1,
                    Frame::Close(frame) => return frame.map(|frame| u16::from(frame.code)),
                    _ => {}
                }
                if pings > 2 * MISSED_PONGS
                    && let Some(long_enough) = long_enough.take()
                {
                    long_enough.send(()).unwrap();
                }
            }
            None
        };
        let worker = async {
            come.await.unwrap();
            stage.start(run).await.succeed("").await;
        };
        let (closed, ()) = tokio::join!(client, worker);
        assert_eq!(closed, Some(1000));
        drop(socket);
        host.over.recv().await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_answers_no_pings_is_taken_for_gone() {
        let stage = Stage::open().await;
        let run = stage.accept("local").await;
        let mut host = Host::start(&stage, run, QUICK_PINGS).await;
        let (mut socket, _) = tokio_tungstenite::connect_async(host.url()).await.unwrap();
        host.over.recv().await.unwrap();
        let mut pings = 0;
        while let Some(Ok(frame)) = socket.next().await {
            assert!(!frame.is_close(), "{frame:?}");
            pings += u32::from(frame.is_ping());
        }
        assert_eq!(pings, MISSED_PONGS);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up_in_time() {
        let stage = Stage::open().await;
        let run = stage.accept("local").await;
        let mut attempt = stage.start(run).await;
        let text = "x".repeat(512 * 1024);
        for _ in 0..64 {
            attempt.say(&[&text]).await;
        }
        attempt.succeed("").await;
        let patience = Patience {
            write: Duration::from_millis(50),
            ..QUICK_PINGS
        };
        let patience = Patience {
            ping_every: Duration::from_secs(60),
            ..patience
        };
        let mut host = Host::start(&stage, run, patience).await;
        let (mut socket, _) = tokio_tungstenite::connect_async(host.url()).await.unwrap();
        host.over.recv().await.unwrap();
        let mut entries = 0;
        let end = loop {
            match socket.next().await {
                Some(Ok(frame)) => entries += u32::from(frame.is_text()),
                end => break end,
            }
        };
        assert!(
            entries < 60,
            "{entries}: it was not kept until everything was sent"
        );
        // It was cut off, and knows that this was not the end.
        assert!(
            matches!(
                end,
                Some(Err(tungstenite::Error::Protocol(_) | tungstenite::Error::Io(_)))
            ),
            "{end:?}"
        );
    }
}
