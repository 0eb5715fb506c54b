//! Access tokens of a Google service account: had for a token that its key signs, kept until shortly before they
//! expire, and fetched once however many calls wait for one. Source: "Using OAuth 2.0 for Server to Server
//! Applications" in Google's identity documentation, RFC 7523.
//!
//! The account's file is read for each token, so that a key can be replaced; neither it nor a token is ever shown. A
//! failure to get one is told to all that waited for it, and to nobody who comes later.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use shared::catalog::AccountFile;
use shared::clock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::client::http_client;
use super::endpoint::Endpoint;
use super::fault::Fault;
use crate::providers::ErrorKind;

/// A token is replaced that long before it expires: longer than any call takes to be accepted.
const EARLY: Duration = Duration::from_secs(300);
/// Of a short life this part is left unused in place of that.
const EARLY_PART: u32 = 10;
/// What the signed token is good for: Google takes an hour at most.
const LONGEST_CLAIM: i64 = 3600;
/// One answer of the token's issuer may not take longer.
const LONGEST_EXCHANGE: Duration = Duration::from_secs(15);
/// The answer is one token.
const MOST_BYTES: usize = 64 * 1024;
const GRANT: &str = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";

/// One account's tokens.
#[derive(Debug)]
pub(super) struct AccessTokens {
    account: AccountFile,
    connect: Duration,
    current: RwLock<Option<Arc<Token>>>,
    /// How many times a token was asked for, by success or failure.
    asked: AtomicU64,
    /// Held by whoever asks for one, with what became of the last failure.
    exchange: Mutex<Option<Fault>>,
}

#[derive(Debug)]
struct Token {
    /// `Bearer TOKEN`, sensitive.
    header: HeaderValue,
    secret: SecretString,
    until: Instant,
}

/// The account's file, as far as it is needed.
#[derive(Deserialize)]
struct Account {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

impl AccessTokens {
    /// Reads nothing yet.
    pub(super) fn new(account: AccountFile, connect: Duration) -> Self {
        Self {
            account,
            connect,
            current: RwLock::default(),
            asked: AtomicU64::new(0),
            exchange: Mutex::default(),
        }
    }

    /// The value of `Authorization`. Cancel-safe: who waits no longer leaves the asking to the next.
    pub(super) async fn header(&self) -> Result<HeaderValue, Fault> {
        if let Some(token) = self.usable() {
            return Ok(token.header.clone());
        }
        let before = self.asked.load(Ordering::Acquire);
        let mut last = self.exchange.lock().await;
        if let Some(token) = self.usable() {
            return Ok(token.header.clone());
        }
        // Somebody asked while we waited, and what they were told is meant for us too.
        if self.asked.load(Ordering::Acquire) != before
            && let Some(fault) = &*last
        {
            return Err(fault.clone());
        }
        let outcome = self.exchange().await;
        self.asked.fetch_add(1, Ordering::Release);
        match outcome {
            Ok(token) => {
                let header = token.header.clone();
                *last = None;
                self.keep(Some(Arc::new(token)));
                Ok(header)
            }
            Err(fault) => {
                *last = Some(fault.clone());
                Err(fault)
            }
        }
    }

    /// The token was refused: it is not used again.
    pub(super) fn refused(&self, sent: &HeaderValue) {
        if self.current().is_some_and(|token| token.header == *sent) {
            self.keep(None);
        }
    }

    /// The token in use, which no text may show.
    pub(super) fn secret(&self) -> Option<SecretString> {
        self.current().map(|token| token.secret.clone())
    }

    fn usable(&self) -> Option<Arc<Token>> {
        self.current().filter(|token| Instant::now() < token.until)
    }

    fn current(&self) -> Option<Arc<Token>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn keep(&self, token: Option<Arc<Token>>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Signs for a token and gets it.
    async fn exchange(&self) -> Result<Token, Fault> {
        let account = read(&self.account.path).await?;
        let assertion = self.assertion(&account)?;
        let issuer = Endpoint::new(&account.token_uri, &[])
            .map_err(|problem| unusable(format!("the token_uri in the service account's file {problem}")))?;
        let url = issuer.base().clone();
        let failed = |error| {
            let fault = Fault::unsent(error);
            let detail = format!("no access token: {}", fault.detail);
            Fault { detail, ..fault }
        };
        let client = http_client(url.scheme() == "https", self.connect).map_err(failed)?;
        let asked = Instant::now();
        let response = client
            .post(url)
            .timeout(LONGEST_EXCHANGE)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(format!("grant_type={GRANT}&assertion={assertion}"))
            .send()
            .await;
        let mut response = response.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(failed)? {
            if body.len() + bytes.len() > MOST_BYTES {
                return Err(no_token(ErrorKind::Malformed, "the answer is no token's"));
            }
            body.extend_from_slice(&bytes);
        }
        if !response.status().is_success() {
            return Err(refusal(response.status(), &body));
        }
        token(&body, asked).ok_or_else(|| no_token(ErrorKind::Malformed, "the answer is no token's"))
    }

    fn assertion(&self, account: &Account) -> Result<String, Fault> {
        let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes());
        let key = key.map_err(|_| unusable("the private_key in the service account's file is no RSA key"))?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&account.private_key_id);
        let iat = clock::now().millis() / 1000;
        let claims = Claims {
            iss: &account.client_email,
            scope: &self.account.scope,
            aud: &account.token_uri,
            iat,
            exp: iat + LONGEST_CLAIM,
        };
        encode(&header, &claims, &key)
            .map_err(|_| unusable("the private_key in the service account's file does not sign"))
    }
}

async fn read(path: &Path) -> Result<Account, Fault> {
    let text = tokio::fs::read(path)
        .await
        .map_err(|error| unusable(format!("the service account's file cannot be read: {error}")))?;
    // What the parser says may quote the file.
    let account: Account = serde_json::from_slice(&text)
        .map_err(|_| unusable("the file is not the key of a service account in JSON"))?;
    if account.kind == "service_account" {
        Ok(account)
    } else {
        Err(unusable(
            "the file is not the key of a service account, but other credentials",
        ))
    }
}

fn token(body: &[u8], asked: Instant) -> Option<Token> {
    let granted: Granted = serde_json::from_slice(body).ok()?;
    let mut header = HeaderValue::from_str(&format!("Bearer {}", granted.access_token)).ok()?;
    header.set_sensitive(true);
    let life = Duration::from_secs(granted.expires_in);
    Some(Token {
        header,
        secret: granted.access_token.into(),
        until: asked.checked_add(life - EARLY.min(life / EARLY_PART))?,
    })
}

/// The issuer refused. Whatever it calls bad in our request is the account or its key.
fn refusal(status: reqwest::StatusCode, body: &[u8]) -> Fault {
    let mut fault = Fault::refused(status, None, body);
    if matches!(fault.kind, ErrorKind::Rejected { .. }) {
        fault = fault.of_kind(ErrorKind::Unauthorized { status: 401 });
    }
    if let Ok(refused) = serde_json::from_slice::<Refused>(body) {
        let described = refused.error_description.map(|text| format!(": {text}"));
        fault.quote = Some(format!("{}{}", refused.error, described.unwrap_or_default()));
    }
    fault.detail = format!("no access token: {}", fault.detail);
    fault
}

/// What this machine holds is no good: like a key that is refused.
fn unusable(why: impl AsRef<str>) -> Fault {
    no_token(ErrorKind::Unauthorized { status: 401 }, why.as_ref())
}

fn no_token(kind: ErrorKind, why: &str) -> Fault {
    Fault::new(kind, format!("no access token: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_replaced_before_it_expires() {
        let now = Instant::now();
        for (life, used) in [(3600, 3300), (600, 540), (0, 0)] {
            let body =
                format!(r#"{{"access_token": "ya29.x", "expires_in": {life}, "token_type": "Bearer"}}"#);
            let token = token(body.as_bytes(), now).unwrap();
            assert_eq!(token.until, now + Duration::from_secs(used));
            assert!(!format!("{token:?}").contains("ya29"), "{token:?}");
        }
        for bad in [
            r#"{"access_token": "a\nb", "expires_in": 9}"#,
            r#"{"id_token": "a"}"#,
            "<html>",
        ] {
            assert!(token(bad.as_bytes(), now).is_none(), "{bad}");
        }
        let endless = format!(r#"{{"access_token": "a", "expires_in": {}}}"#, u64::MAX);
        assert!(token(endless.as_bytes(), now).is_none());
    }
}
