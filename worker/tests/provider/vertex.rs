//! Gemini's dialect at Vertex AI, with the access tokens of a service account: one server plays the issuer of tokens and
//! the models, and looks at signatures with the public half of a key that was made for the test.

use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::catalog::Catalog;
use shared::config::Environment;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use worker::providers::{ErrorKind, Provider, ProviderSettings};

use crate::calling::{Outcome, PATIENT, settings, soon};
use crate::dialects::{self, Asked};
use crate::wire::{plain, read_request};

const TEXT: &str = include_str!("fixtures/gemini/text.sse");
const MODEL: &str = "gemini-2.5-flash";
const ACCOUNT: &str = "worker@project.iam.gserviceaccount.com";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// What the issuer says to the n-th who asks, from 1.
type Issuer = fn(usize) -> Vec<u8>;

fn granted(number: usize, expires_in: u64) -> Vec<u8> {
    let token = format!("ya29.token-{number}");
    let body = json!({"access_token": token, "expires_in": expires_in, "token_type": "Bearer"});
    dialects::json("200 OK", &body.to_string())
}

fn lasting(number: usize) -> Vec<u8> {
    granted(number, 3599)
}

/// Issuer and models, until it is dropped.
struct Google {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Drop for Google {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Google {
    /// Models answer any token but this one.
    async fn start(issuer: Issuer, refused: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            let mut answering = JoinSet::new();
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let noted = Arc::clone(&noted);
                answering.spawn(async move {
                    let request = read_request(&mut socket).await;
                    let response = {
                        let mut noted = noted.lock().unwrap();
                        noted.push(request.clone());
                        answer(&request, &noted, issuer, refused)
                    };
                    socket.write_all(&response).await.unwrap();
                    socket.shutdown().await.unwrap();
                });
            }
        });
        Self {
            address,
            seen,
            server,
        }
    }

    fn issuer(&self) -> String {
        format!("{}/token", self.address)
    }

    /// Requests for tokens, and of models.
    fn seen(&self) -> (Vec<String>, Vec<String>) {
        let seen = self.seen.lock().unwrap().clone();
        seen.into_iter().partition(|request| asks_for_token(request))
    }

    /// The tokens that models were called with.
    fn sent(&self) -> Vec<String> {
        let (_, calls) = self.seen();
        let token = |call: &String| {
            let line = call
                .lines()
                .find_map(|line| line.strip_prefix("authorization: Bearer "));
            line.unwrap().to_owned()
        };
        calls.iter().map(token).collect()
    }
}

fn asks_for_token(request: &str) -> bool {
    request.starts_with("POST /token ")
}

fn answer(request: &str, seen: &[String], issuer: Issuer, refused: &str) -> Vec<u8> {
    if asks_for_token(request) {
        return issuer(seen.iter().filter(|request| asks_for_token(request)).count());
    }
    if request.contains(&format!("authorization: Bearer {refused}\r\n")) {
        let message = format!("Request had invalid authentication credentials: {refused}");
        let body = json!({"error": {"code": 401, "message": message, "status": "UNAUTHENTICATED"}});
        return dialects::json("401 Unauthorized", &body.to_string());
    }
    dialects::events(&TEXT.replace('\n', "\r\n"))
}

/// A service account with a key of its own, and its file.
struct Account {
    key: RsaKeyPair,
    folder: TempDir,
}

impl Account {
    fn new(token_uri: &str) -> Self {
        let account = Self {
            key: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        let der: Pkcs8V1Der<'_> = account.key.as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| str::from_utf8(line).unwrap())
            .collect();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        );
        account.write(
            &json!({"type": "service_account", "project_id": "p", "private_key_id": "key-1", "private_key": pem,
                "client_email": ACCOUNT, "client_id": "1", "token_uri": token_uri})
            .to_string(),
        );
        account
    }

    fn path(&self) -> String {
        self.folder.path().join("account.json").display().to_string()
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    /// Header and claims of the token that this request for one holds, if the account signed it.
    fn signed(&self, request: &str) -> Option<(Value, Value)> {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-type: application/x-www-form-urlencoded"));
        let form: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes())
            .into_owned()
            .collect();
        assert_eq!(form[0].0, "grant_type");
        assert_eq!(form[0].1, "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!((form[1].0.as_str(), form.len()), ("assertion", 2));
        let (signed, signature) = form[1].1.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).ok()?;
        let part = |text: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        Some((part(header), part(claims)))
    }

    /// Vertex as the catalog has it, at this address.
    fn provider(&self, address: &str) -> Provider {
        let base_url = format!("{address}/v1/projects/p/locations/europe-west1/publishers/google");
        let variables = [
            ("GOOGLE_APPLICATION_CREDENTIALS", self.path()),
            ("VERTEX_BASE_URL", base_url),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        let found = Catalog::built_in().liveness(&Environment::from_values(variables).variables());
        let [live] = <[_; 1]>::try_from(found.live).unwrap();
        assert_eq!(*live.provider.name, *"vertex");
        Provider::new(ProviderSettings {
            dialect: live.provider.dialect,
            auth: live.provider.auth.clone(),
            quirks: live.provider.quirks.clone(),
            api_keys: live.keys,
            credentials: live.credentials,
            api_key_env: live.key_env,
            ..settings(live.base_url, PATIENT)
        })
        .unwrap()
    }
}

async fn call(provider: &Provider) -> Outcome {
    soon(Asked::of(MODEL).of_provider(provider)).await
}

#[tokio::test]
async fn a_token_is_had_for_a_signed_claim_and_kept() {
    let google = Google::start(lasting, "none").await;
    let account = Account::new(&google.issuer());
    let provider = account.provider(&google.address);
    for _ in 0..3 {
        call(&provider).await.complete();
    }
    let (asked, calls) = google.seen();
    assert_eq!(asked.len(), 1);
    assert_eq!(google.sent(), ["ya29.token-1"; 3]);
    let address = "POST /v1/projects/p/locations/europe-west1/publishers/google/models/gemini-2.5-flash:\
        streamGenerateContent?alt=sse HTTP/1.1\r\n";
    assert!(calls[0].starts_with(address), "{}", calls[0]);

    let (header, claims) = account.signed(&asked[0]).unwrap();
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    let iat = claims["iat"].as_i64().unwrap();
    assert_eq!(
        claims,
        json!({"iss": ACCOUNT, "scope": SCOPE, "aud": google.issuer(), "iat": iat, "exp": iat + 3600})
    );
    let another = Account::new(&google.issuer());
    assert!(another.signed(&asked[0]).is_none(), "signed by anybody");
}

#[tokio::test]
async fn many_callers_ask_once() {
    let google = Google::start(lasting, "none").await;
    let account = Account::new(&google.issuer());
    let provider = account.provider(&google.address);
    let outcomes = join_all((0..16).map(|_| call(&provider))).await;
    outcomes.iter().for_each(|outcome| {
        outcome.complete();
    });
    assert_eq!(google.seen().0.len(), 1);
    assert_eq!(google.sent(), ["ya29.token-1"; 16]);
}

#[tokio::test]
async fn a_token_that_is_over_is_replaced() {
    let google = Google::start(|number| granted(number, 0), "none").await;
    let account = Account::new(&google.issuer());
    let provider = account.provider(&google.address);
    for _ in 0..2 {
        call(&provider).await.complete();
    }
    assert_eq!(google.sent(), ["ya29.token-1", "ya29.token-2"]);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_and_not_repeated() {
    let google = Google::start(lasting, "ya29.token-1").await;
    let account = Account::new(&google.issuer());
    let provider = account.provider(&google.address);
    let refused = call(&provider).await;
    let error = refused.failure();
    assert_eq!(*error.kind(), ErrorKind::Unauthorized { status: 401 });
    for text in [error.to_string(), error.public_message(), format!("{error:?}")] {
        assert!(!text.contains("token-1"), "{text}");
        assert!(text.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{text}");
    }
    call(&provider).await.complete();
    call(&provider).await.complete();
    assert_eq!(google.sent(), ["ya29.token-1", "ya29.token-2", "ya29.token-2"]);
    let shown = format!("{provider:?}");
    assert!(!shown.contains("token-2"), "{shown}");
}

#[tokio::test]
async fn why_there_is_no_token_is_told_to_all_who_waited() {
    let cases: [(Issuer, ErrorKind, &str); 4] = [
        (
            |_| {
                let body = json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
                dialects::json("400 Bad Request", &body.to_string())
            },
            ErrorKind::Unauthorized { status: 401 },
            "invalid_grant: Invalid JWT Signature.",
        ),
        (
            |_| plain("503 Service Unavailable", "later"),
            ErrorKind::Server {
                status: 503,
                retry_after: None,
            },
            "later",
        ),
        (
            |_| dialects::json("200 OK", r#"{"id_token": "x"}"#),
            ErrorKind::Malformed,
            "is no token's",
        ),
        (
            |_| plain("302 Found\r\nlocation: http://127.0.0.1:1/", ""),
            ErrorKind::Unauthorized { status: 401 },
            "redirects are not followed",
        ),
    ];
    for (issuer, kind, words) in cases {
        let google = Google::start(issuer, "none").await;
        let account = Account::new(&google.issuer());
        let provider = account.provider(&google.address);
        let outcomes = join_all((0..16).map(|_| call(&provider))).await;
        for outcome in &outcomes {
            let error = outcome.failure();
            assert_eq!(*error.kind(), kind, "{error}");
            let text = error.to_string();
            assert!(
                text.contains("no access token: ") && text.contains(words),
                "{text}"
            );
        }
        let (asked, calls) = google.seen();
        assert_eq!((asked.len(), calls.len()), (1, 0), "{words}");
        // Who comes later asks anew.
        call(&provider).await.failure();
        assert_eq!(google.seen().0.len(), 2, "{words}");
    }
}

#[tokio::test]
async fn nobody_issues_tokens() {
    let google = Google::start(lasting, "none").await;
    let account = Account::new("http://127.0.0.1:1/token");
    let outcome = call(&account.provider(&google.address)).await;
    let error = outcome.failure();
    assert_eq!(*error.kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("no access token: "), "{error}");
    assert!(google.sent().is_empty());
}

#[tokio::test]
async fn a_file_that_is_no_accounts_key_is_told_and_not_shown() {
    let google = Google::start(lasting, "none").await;
    let account = Account::new(&google.issuer());
    let provider = account.provider(&google.address);
    let good = std::fs::read_to_string(account.path()).unwrap();
    let changed = |field: &str, value: &str| {
        let mut file: Value = serde_json::from_str(&good).unwrap();
        file[field] = value.into();
        file.to_string()
    };
    for (text, words) in [
        ("hunter2".to_owned(), "in JSON"),
        (changed("private_key", "hunter2"), "is no RSA key"),
        (changed("type", "authorized_user"), "other credentials"),
        (changed("token_uri", "hunter2"), "token_uri"),
        (changed("token_uri", "ftp://hunter2/"), "must begin with http"),
    ] {
        account.write(&text);
        let outcome = call(&provider).await;
        let error = outcome.failure();
        assert_eq!(*error.kind(), ErrorKind::Unauthorized { status: 401 }, "{words}");
        let shown = error.to_string();
        assert!(shown.contains(words), "{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("PRIVATE"),
            "{shown}"
        );
        let public = error.public_message();
        assert!(
            public.contains("check GOOGLE_APPLICATION_CREDENTIALS"),
            "{public}"
        );
    }
    std::fs::remove_file(account.path()).unwrap();
    let outcome = call(&provider).await;
    assert!(outcome.failure().to_string().contains("cannot be read"));
    assert!(google.sent().is_empty());
    // Once the file is as it should be, no restart is needed.
    account.write(&good);
    call(&provider).await.complete();
}

/// Vertex refuses a field that it does not know, and its calls have no ids.
#[tokio::test]
async fn calls_of_tools_go_back_without_ids() {
    let google = Google::start(lasting, "none").await;
    let account = Account::new(&google.issuer());
    let asked = Asked {
        messages: json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [
                {"id": "call-7", "type": "function", "function": {"name": "now", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call-7", "content": "noon"},
        ]),
        ..Asked::of(MODEL)
    };
    soon(asked.of_provider(&account.provider(&google.address)))
        .await
        .complete();
    let (_, calls) = google.seen();
    let (_, body) = calls[0].split_once("\r\n\r\n").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body["contents"][1]["parts"][0]["functionCall"],
        json!({"name": "now", "args": {}})
    );
    assert_eq!(
        body["contents"][2]["parts"][0]["functionResponse"],
        json!({"name": "now", "response": {"output": "noon"}})
    );
}
