//! A process that is watched.

use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Runs a part of `told` to its end in a process with only these variables. One that does not end is a failure.
pub(crate) fn tell(part: &str, variables: &[(&str, &str)]) -> Output {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("told::{part}"), "--exact", "--ignored", "--nocapture"])
        .env_clear()
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id();
    let (ended, end) = mpsc::channel();
    let waiting = std::thread::spawn(move || ended.send(child.wait_with_output()));
    let Ok(output) = end.recv_timeout(Duration::from_secs(30)) else {
        Command::new("kill")
            .args(["-9", &id.to_string()])
            .status()
            .unwrap();
        panic!("{part} does not end");
    };
    waiting.join().unwrap().unwrap();
    let output = output.unwrap();
    assert!(
        output.status.success() && text(&output.stdout).contains("1 passed"),
        "{part}: {}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
