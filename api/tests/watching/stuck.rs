//! Clients that do not read: what they cost is bounded, and nobody else notices them.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Server, heard, until_closed};
use crate::stage::Stage;

const MIB: usize = 1024 * 1024;
/// Said first, until everything that may be filled - sockets, the feed's backlog, the database's caches - is full.
const FILLING: usize = 48 * MIB;
/// Said after that.
const SAID: usize = 40 * MIB;
/// What that may add: the noise of an allocator, a fraction of what one client kept whole would cost.
const KEPT: usize = 16 * MIB;
/// Pieces of one commit; together small enough for the feed to keep, so that its backlog counts, too.
const PIECES: usize = 3;
const PIECE: usize = 20 * 1024;

/// Memory of this process, without the files it has mapped.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Sends a request and reads nothing but the beginning of the answer.
async fn never_reading(server: &Server, path: &str, headers: &str) -> TcpStream {
    let mut connection = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.address);
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    connection.read_exact(&mut status).await.unwrap();
    assert!(status.starts_with(b"HTTP/1.1 101") || status.starts_with(b"HTTP/1.1 200"));
    connection
}

#[tokio::test]
async fn clients_that_never_read_cost_a_bounded_amount_and_disturb_nobody() {
    let stage = Stage::open().await;
    let server = Server::start(&stage).await;
    let run = stage.accept("local").await;
    let mut attempt = stage.start(run).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let stuck_socket = never_reading(&server, &format!("/mcp/v1/stream/{run}"), upgrade).await;
    let stuck_events = never_reading(&server, &format!("/mcp/v1/request/{run}/events"), "").await;
    let mut quick = server.socket(&format!("/mcp/v1/stream/{run}")).await;
    for _ in 0..2 {
        heard(&mut quick).await.unwrap();
    }

    let heavy = "x".repeat(MIB);
    for _ in 0..FILLING / MIB {
        attempt.say(&[&heavy]).await;
        assert!(heard(&mut quick).await.unwrap().len() > MIB);
    }
    let baseline = resident();

    let piece = "x".repeat(PIECE);
    let mut most = 0;
    for _ in 0..SAID / (PIECE * PIECES) {
        attempt.say(&[piece.as_str(); PIECES]).await;
        for _ in 0..PIECES {
            assert!(heard(&mut quick).await.unwrap().len() > PIECE);
        }
        most = most.max(resident());
    }
    let more = most.saturating_sub(baseline);
    assert!(more < KEPT, "{} MiB more for {} MiB said", more / MIB, SAID / MIB);

    // They are still connected: it was not by losing them that memory was saved.
    for mut connection in [stuck_socket, stuck_events] {
        let mut some = vec![0; MIB];
        connection.read_exact(&mut some).await.unwrap();
    }
    attempt.succeed("").await;
    let (rest, code) = until_closed(quick).await;
    assert!(rest.last().unwrap().contains("run.succeeded"));
    assert_eq!((rest.len(), code), (1, 1000));
    server.stop().await;
}
