//! Promise 14 from outside: watchers that never read cost the process a bounded amount of memory and disturb nobody.

use std::net::SocketAddr;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;

use crate::stage::client::answer;
use crate::stage::{Client, Mode, Stage, all_modes, soon};

/// So many that keeping for each of them what was said would be far above the bound.
const WATCHERS: usize = 100;
const TOKENS: u32 = 100_000;
/// The memory that stuck watchers may cost beyond what reading ones do, in KiB; in all it may be twice as much.
const MORE: u64 = 24 * 1024;

/// A WebSocket that is opened and then never read; the system takes as little for it as it can.
async fn stuck(client: &Client, run: &str) -> WebSocketStream<TcpStream> {
    let host = client.origin().strip_prefix("http://").expect("a plain address");
    let address: SocketAddr = host.parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4 * 1024).expect("a small buffer");
    let stream = socket.connect(address).await.expect("connected");
    let url = format!("ws://{host}/mcp/v1/stream/{run}");
    tokio_tungstenite::client_async(url, stream)
        .await
        .expect("a WebSocket")
        .0
}

/// The most memory a process has had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// One run under the eyes of many watchers: by how much the memory of the process they are connected to has grown
/// since it began, in KiB, and how much was said to each, in bytes.
async fn watched(mode: Mode, reading: bool) -> (u64, usize) {
    let stage = Stage::open(mode).await;
    let client = stage.client();
    let run = client.submit_to(&format!("sim:first=3s,tokens={TOKENS}")).await;
    let mut held = Vec::new();
    let mut readers = Vec::new();
    for _ in 0..WATCHERS {
        if reading {
            let watcher = client.watch(&run, None).await;
            readers.push(tokio::spawn(async move { watcher.rest().await.len() }));
        } else {
            held.push(stuck(&client, &run).await);
        }
    }
    let before = peak(stage.apis[0].pid());
    let frames = soon("the end of the run", client.watch(&run, None).await.rest()).await;
    let events: Vec<_> = frames
        .iter()
        .map(|frame| serde_json::from_str(frame).expect("JSON"))
        .collect();
    assert_eq!(answer(&events).text, client.result(&run).await["text"]);
    for seen in join_all(readers).await {
        assert_eq!(seen.expect("a reader"), frames.len());
    }
    let cost = peak(stage.apis[0].pid()) - before;
    // It is not by losing them that memory was saved: once they read, they are told from the beginning.
    for mut socket in held {
        for frame in &frames[..5] {
            let told = soon("a late frame", socket.next())
                .await
                .expect("a frame")
                .expect("still connected");
            assert_eq!(told.to_text().expect("text"), frame);
        }
    }
    stage.close().await;
    (cost, frames.iter().map(String::len).sum())
}

all_modes! {
    async fn watchers_that_never_read_cost_a_bounded_amount(mode: Mode) {
        let (reading, _) = watched(mode, true).await;
        let (stuck, said) = watched(mode, false).await;
        let kept = (WATCHERS * said / 1024) as u64;
        assert!(kept > 2 * MORE, "said too little to tell: {kept} KiB");
        println!("cost {stuck} KiB with stuck watchers, {reading} KiB with reading ones; {kept} KiB said");
        assert!(stuck < reading + MORE && stuck < 2 * MORE);
    }
}
