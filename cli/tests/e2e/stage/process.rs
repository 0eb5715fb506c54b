//! Processes of `mcpctl`, and what can be done to them.

use std::fmt;
use std::io::{Seek as _, Write as _};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::watch;

use super::soon;

/// A process that is not started yet.
pub(crate) struct Command(tokio::process::Command);

impl Command {
    pub(crate) fn mcpctl(arguments: &[&str], settings: &[(String, String)]) -> Self {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_mcpctl"));
        // Nothing of the environment the tests run in may reach it.
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .args(arguments)
            .env_clear()
            .env("PATH", path)
            .envs(settings.iter().cloned());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self(command)
    }

    /// More settings of the environment.
    pub(crate) fn with(mut self, settings: &[(&str, &str)]) -> Self {
        self.0.envs(settings.iter().copied());
        self
    }

    pub(crate) fn start(mut self) -> Process {
        let mut child = self.0.spawn().expect("mcpctl starts");
        let output = Lines::read(child.stdout.take().expect("piped"));
        let log = Lines::read(child.stderr.take().expect("piped"));
        Process {
            child,
            output,
            log,
            origin: None,
        }
    }

    /// What it reads on stdin.
    pub(crate) fn reading(mut self, text: &str) -> Self {
        // A file needs nobody who writes while the process runs.
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file.rewind().expect("rewound");
        self.0.stdin(file);
        self
    }

    /// Starts it and waits for its end.
    pub(crate) async fn finish(self) -> Finished {
        self.start().finish().await
    }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn success(&self) -> bool {
        self.status.success()
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.status, self.stdout, self.stderr
        )
    }
}

/// A running process.
pub(crate) struct Process {
    child: Child,
    output: Lines,
    log: Lines,
    /// Where it listens.
    pub(crate) origin: Option<String>,
}

impl Process {
    /// The first line of stdout that contains this.
    pub(crate) async fn line_with(&mut self, part: &str) -> String {
        self.output.line_with(part, &self.log).await
    }

    /// The first line of the log that contains this.
    pub(crate) async fn log_with(&mut self, part: &str) -> String {
        self.log.line_with(part, &self.log).await
    }

    /// The same, where the process may end without ever saying it.
    pub(crate) async fn says_or_ends(&mut self, part: &str) -> bool {
        soon(part, self.log.find(part)).await.is_some()
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("a running process")
    }

    /// Sends a signal: `STOP`, `CONT`, `TERM`, ...
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end and for all it said.
    pub(crate) async fn finish(mut self) -> Finished {
        let status = self.ended().await;
        self.output.ended().await;
        self.log.ended().await;
        Finished {
            status,
            stdout: self.output.text(),
            stderr: self.log.text(),
        }
    }

    /// `kill -9`; returns when it is dead.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("killed");
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_none()
    }

    /// Waits for it to end by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        soon("the end of the process", self.child.wait())
            .await
            .expect("a status")
    }

    /// SIGTERM, and a clean end. A process that was killed before is fine.
    pub(crate) async fn stop(mut self) {
        if !self.runs() {
            return;
        }
        self.signal("TERM");
        let status = self.ended().await;
        assert!(status.success(), "{status}\n{}", self.log());
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }
}

/// Sends a signal to a process that is there.
pub(super) fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(sent.success(), "kill -{name} {pid}");
}

impl Drop for Process {
    /// Whoever reads of a failure wants to know what the processes had to say.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- log of {:?}, {:?}\n{}",
                self.child.id(),
                self.origin,
                self.log()
            );
        }
    }
}

/// Lines as they come.
pub(super) struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    read: watch::Receiver<(usize, bool)>,
}

impl Lines {
    pub(super) fn read(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (progress, read) = watch::channel((0, false));
        let kept = Arc::clone(&lines);
        let _reading = tokio::spawn(async move {
            let mut stream = BufReader::new(stream).lines();
            while let Ok(Some(line)) = stream.next_line().await {
                let mut kept = kept.lock().expect("no panic while locked");
                kept.push(line);
                progress.send_replace((kept.len(), false));
            }
            progress.send_modify(|progress| progress.1 = true);
        });
        Self { lines, read }
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().expect("no panic while locked").join("\n")
    }

    async fn ended(&mut self) {
        self.read
            .wait_for(|(_, ended)| *ended)
            .await
            .expect("the reader tells its end");
    }

    async fn line_with(&self, part: &str, log: &Self) -> String {
        match soon(part, self.find(part)).await {
            Some(line) => line,
            None => panic!(
                "the process ended without saying `{part}`:\n{}\n{}",
                self.text(),
                log.text()
            ),
        }
    }

    /// The first line that contains this; none when the stream ended without it.
    pub(super) async fn find(&self, part: &str) -> Option<String> {
        let found = || {
            self.lines
                .lock()
                .expect("no panic while locked")
                .iter()
                .find(|line| line.contains(part))
                .cloned()
        };
        let mut read = self.read.clone();
        loop {
            // Before the look: a line that comes after it is news.
            let (_, ended) = *read.borrow_and_update();
            if let Some(line) = found() {
                return Some(line);
            }
            if ended {
                return None;
            }
            read.changed().await.ok()?;
        }
    }
}
