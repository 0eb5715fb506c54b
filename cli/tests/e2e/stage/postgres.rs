//! A Postgres server of a test's own, for campaigns that stop, kill and freeze it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use shared::domain::RunId;
use tempfile::TempDir;

use super::ports;

/// Where Debian keeps the programs, a folder for each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It ends its sessions and writes everything down.
    Fast,
    /// It drops everything, and recovers from its log when it starts again.
    Immediate,
}

/// A server; stopped and removed when dropped.
pub(crate) struct Postgres {
    programs: PathBuf,
    home: TempDir,
    password: String,
    port: u16,
}

impl Postgres {
    /// Makes a server and starts it.
    pub(crate) async fn start() -> Self {
        let making = tokio::task::spawn_blocking(Self::make);
        making.await.expect("a server")
    }

    fn make() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let mut server = Self {
            programs: programs(),
            home,
            password: RunId::new().uuid().simple().to_string(),
            port: 0,
        };
        fs::write(server.path("password"), &server.password).expect("written");
        if is_root() {
            let owned = Command::new("chown")
                .arg("-R")
                .arg("nobody:")
                .arg(server.home.path())
                .status();
            assert!(owned.expect("chown runs").success());
        }
        let data = server.path("data");
        let options = [
            "--username=mcp",
            "--pwfile=password",
            "--no-sync",
            "--auth=password",
            "--encoding=UTF8",
        ];
        let made = server.run(
            "initdb",
            &[&["--no-locale", "--pgdata", text(&data)], &options[..]].concat(),
        );
        assert!(made.status.success(), "{made:?}");
        let mut settings = fs::read_to_string(data.join("postgresql.conf")).expect("settings");
        settings.push_str("\nlisten_addresses = '127.0.0.1'\nmax_connections = 60\nlog_connections = on\n");
        settings.push_str(&format!(
            "unix_socket_directories = '{}'\n",
            server.home.path().display()
        ));
        fs::write(data.join("postgresql.conf"), settings).expect("written");
        // A port that was seen free may be taken a moment later, so the server itself tries.
        for _ in 0..50 {
            server.port = ports::next();
            if server.launch().status.success() {
                return server;
            }
        }
        panic!("{}", server.log());
    }

    /// An address at which databases can be made.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://mcp:{}@127.0.0.1:{}/postgres",
            self.password, self.port
        )
    }

    /// Stops it; returns when it is gone.
    pub(crate) fn stop(&self, how: Stop) {
        let how = match how {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        let stopped = self.run("pg_ctl", &["stop", "--wait", "--pgdata=data", "--mode", how]);
        assert!(stopped.status.success(), "{stopped:?}");
    }

    /// Starts it again, at the same address; returns when it can be asked.
    pub(crate) fn start_again(&self) {
        let started = self.launch();
        assert!(started.status.success(), "{started:?}\n{}", self.log());
    }

    /// Stops every process of it in its tracks: it takes connections and answers nothing.
    pub(crate) fn freeze(&self) {
        // The postmaster first: it starts no others afterwards.
        self.signal("STOP", &[self.postmaster()]);
        self.signal("STOP", &self.children());
    }

    /// Ends [`Postgres::freeze`].
    pub(crate) fn thaw(&self) {
        let mut processes = self.children();
        processes.push(self.postmaster());
        self.signal("CONT", &processes);
    }

    /// How often somebody has connected so far; who knocked while it could not answer does not count.
    pub(crate) fn connections(&self) -> usize {
        self.log().matches("connection authorized").count()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("server.log")).unwrap_or_default()
    }

    fn launch(&self) -> Output {
        let port = format!("-p {}", self.port);
        let log = ["--log=server.log", "--options", &port];
        self.run(
            "pg_ctl",
            &[&["start", "--wait", "--silent", "--pgdata=data"], &log[..]].concat(),
        )
    }

    /// Runs one of the server's programs in its folder. Postgres refuses to run as root.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let group = Command::new("id")
                .args(["-g", "nobody"])
                .output()
                .expect("id runs");
            let group = String::from_utf8(group.stdout).expect("a number");
            command
                .args(["--reuid=nobody", "--clear-groups", "--regid", group.trim(), "--"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        command
            .args(arguments)
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        // A server keeps what it inherits: a pipe would never end.
        if arguments.first() == Some(&"start") {
            command
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null());
            let status = command.status().expect("the program runs");
            return Output {
                status,
                stdout: Vec::new(),
                stderr: Vec::new(),
            };
        }
        command.output().expect("the program runs")
    }

    fn postmaster(&self) -> u32 {
        let text = fs::read_to_string(self.path("data").join("postmaster.pid")).expect("a running server");
        text.lines()
            .next()
            .and_then(|line| line.parse().ok())
            .expect("a process id")
    }

    fn children(&self) -> Vec<u32> {
        let parent = self.postmaster();
        let path = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(path).expect("a running server");
        children
            .split_whitespace()
            .filter_map(|child| child.parse().ok())
            .collect()
    }

    fn signal(&self, name: &str, processes: &[u32]) {
        for process in processes {
            // A child may have ended since it was listed.
            let _ = Command::new("kill")
                .args([format!("-{name}"), process.to_string()])
                .output();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.path("data/postmaster.pid").exists() {
            self.thaw();
            self.run("pg_ctl", &["stop", "--pgdata=data", "--mode=immediate"]);
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("a process").uid() == 0
}

/// The folder of initdb and pg_ctl: `MCP_TEST_PG_BIN`, else Debian's newest.
fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("MCP_TEST_PG_BIN") {
        return folder.into();
    }
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().filter_map(Result::ok);
    versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .map(|newest| Path::new(DEBIAN).join(newest.to_string()).join("bin"))
        .expect("no PostgreSQL server programs: set MCP_TEST_PG_BIN to the folder with initdb and pg_ctl")
}
