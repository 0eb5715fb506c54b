//! What only a terminal gets, shown in a real pseudo-terminal.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::program::mcpctl;
use crate::server::{Server, beginning, delta, hello, rewind};

/// Runs it in a terminal: the exit code, and everything the terminal got.
async fn show(mut command: Command) -> (i32, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let side = || {
        let path = std::ffi::OsStr::from_bytes(name.as_bytes());
        Stdio::from(OpenOptions::new().read(true).write(true).open(path).unwrap())
    };
    let mut child = command
        .env("TERM", "xterm")
        .stdout(side())
        .stderr(side())
        .spawn()
        .unwrap();
    // Our copies of its side, so that reading ends when the program does.
    drop(command);
    let reading = tokio::task::spawn_blocking(move || {
        let mut terminal = File::from(terminal);
        let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
        // A terminal nobody has open any more is an error to read (EIO), not an end.
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            text.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8(text).unwrap()
    });
    let status = timeout(Duration::from_secs(60), child.wait())
        .await
        .expect("it ends")
        .unwrap();
    (status.code().unwrap(), reading.await.unwrap())
}

#[tokio::test]
async fn without_a_flag_a_terminal_follows() {
    let server = Server::start().await.log(&hello());
    let (code, text) = show(mcpctl(&server.url(), &["submit", "Hello"])).await;
    assert_eq!(code, 0, "{text:?}");
    assert!(
        text.contains("Hello world\r\n") && text.contains("simulated: true"),
        "{text:?}"
    );
    let (code, text) = show(mcpctl(&server.url(), &["submit", "Hello", "--detach"])).await;
    assert_eq!(code, 0);
    assert!(!text.contains("Hello world"), "{text:?}");
}

#[tokio::test]
async fn an_answer_cannot_steer_the_terminal() {
    let mut log = beginning();
    log.push(("1-3", "output.delta", delta("\u{1b}]0;owned\u{7}\u{9b}2Jfine")));
    log.push(("1-4", "run.succeeded", json!({"finish_reason": "stop"})));
    let server = Server::start().await.log(&log);
    let (code, text) = show(mcpctl(&server.url(), &["submit", "Hello"])).await;
    assert_eq!(code, 0);
    assert!(text.contains("␛]0;owned␇\u{fffd}2Jfine"), "{text:?}");
}

#[tokio::test]
async fn a_rewind_is_told_between_the_two_answers() {
    let mut log = beginning();
    log.extend([
        ("1-3", "output.delta", delta("first try")),
        ("2-1", "attempt.started", rewind(2, "1-2")),
        ("2-2", "output.delta", delta("second try")),
        ("2-3", "run.succeeded", json!({"finish_reason": "stop"})),
    ]);
    let server = Server::start().await.log(&log);
    let (code, text) = show(mcpctl(&server.url(), &["submit", "Hello"])).await;
    assert_eq!(code, 0);
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text:?}"));
    assert!(place("first try\r\n") < place("starts anew"), "{text:?}");
    assert!(place("starts anew") < place("second try\r\n"), "{text:?}");
}

#[tokio::test]
async fn errors_are_red_unless_colour_is_not_wanted() {
    let server = Server::start()
        .await
        .refuse(422, "invalid_field")
        .refuse(422, "invalid_field");
    let (code, text) = show(mcpctl(&server.url(), &["submit", "Hello"])).await;
    assert_eq!(code, 1);
    assert!(text.contains("\x1b[1;31merror:\x1b[0m"), "{text:?}");
    let mut plain = mcpctl(&server.url(), &["submit", "Hello"]);
    plain.env("NO_COLOR", "1");
    let (_, text) = show(plain).await;
    assert!(
        text.contains("error: the server") && !text.contains("\x1b[1"),
        "{text:?}"
    );
}
