//! The other server, as a process that goes with its test.

use std::env;
use std::process::Stdio;
use std::time::Duration;

use shared::catalog::{Auth, Dialect, Quirks};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use worker::providers::{Provider, ProviderSettings, Timeouts};

/// Names the program.
const PROGRAM: &str = "PEER_LLMPOSTER";

/// So long that only a defect reaches it.
pub(crate) const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(30),
    first_token: Duration::from_secs(30),
    between_tokens: Duration::from_secs(30),
    total: Duration::from_secs(60),
};

/// The dialects it speaks.
pub(crate) const DIALECTS: [Dialect; 3] = [Dialect::OpenAi, Dialect::Anthropic, Dialect::Gemini];

/// A running llmposter with `fixtures.yaml`.
pub(crate) struct Peer {
    address: String,
    /// Is killed when this is dropped.
    _process: Child,
}

impl Peer {
    pub(crate) async fn start() -> Self {
        let program = env::var(PROGRAM)
            .unwrap_or_else(|_| panic!("{PROGRAM} names no program: run scripts/check-dialects"));
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/fixtures.yaml");
        let mut process = Command::new(&program)
            .args(["--fixtures", fixtures, "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut heard = Vec::new();
        while let Some(line) = said.next_line().await.unwrap() {
            if let Some((_, address)) = line.split_once("listening on ") {
                let address = address.trim().to_owned();
                // It may say more, and must not wait for a reader.
                tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
                return Self {
                    address,
                    _process: process,
                };
            }
            heard.push(line);
        }
        panic!("{program} does not listen: {}", heard.join("\n"))
    }

    /// A client of this server.
    pub(crate) fn provider(&self, dialect: Dialect, timeouts: Timeouts) -> Provider {
        let (version, auth) = match dialect {
            Dialect::Anthropic => ("v1", Auth::Header("x-api-key".to_owned())),
            Dialect::Gemini => ("v1beta", Auth::Header("x-goog-api-key".to_owned())),
            _ => ("v1", Auth::Bearer),
        };
        let settings = ProviderSettings {
            name: "peer".to_owned(),
            dialect,
            base_url: format!("{}/{version}", self.address),
            query: Vec::new(),
            auth,
            api_keys: vec!["sk-test-0123456789".into()],
            credentials: None,
            api_key_env: None,
            quirks: Quirks::default(),
            timeouts,
            simulated: false,
        };
        Provider::new(settings).unwrap()
    }
}
