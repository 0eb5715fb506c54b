//! Requests signed with AWS Signature Version 4, as they arrive: the server's side of it is worked out here anew, from
//! the published algorithm and from nothing but the bytes on the socket. Whatever the hour, the request says when it
//! was signed.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use shared::catalog::{Catalog, LiveCredentials, LiveProvider};
use shared::config::Environment;
use worker::providers::{ErrorKind, Provider, ProviderSettings, SettingsError};

use crate::calling::{PATIENT, settings, soon};
use crate::dialects::{Asked, json};
use crate::wire::answer_with;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLE//token+of/a/session==";
const ANSWER: &str = include_str!("fixtures/bedrock/cached.json");
const NOVA: &str = "us.amazon.nova-micro-v1:0";

/// Bedrock as the catalog has it, at this address, with what these variables hold.
fn live(base_url: &str, variables: &[(&str, &str)]) -> LiveProvider {
    let file = format!("[providers.bedrock]\nbase_url = '{base_url}'");
    let catalog = Catalog::built_in().merge("catalog.toml", &file).unwrap();
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let variables = Environment::from_values(owned).variables();
    let mut live = catalog.liveness(&variables).live;
    assert_eq!(live.len(), 1, "{live:?}");
    live.remove(0)
}

fn built(live: LiveProvider) -> Result<Provider, SettingsError> {
    Provider::new(ProviderSettings {
        dialect: live.provider.dialect,
        auth: live.provider.auth.clone(),
        api_keys: live.keys,
        credentials: live.credentials,
        api_key_env: live.key_env,
        ..settings(live.base_url, PATIENT)
    })
}

fn variables(token: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let mut variables = vec![
        ("AWS_ACCESS_KEY_ID", ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "eu-central-1"),
    ];
    variables.extend(token.map(|token| ("AWS_SESSION_TOKEN", token)));
    variables
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Every byte but the unreserved ones and slashes, as the algorithm has it for all services but S3: also the `%` of
/// what is encoded already.
fn encoded(path: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let one = |byte: u8| {
        if kept(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    path.bytes().map(one).collect()
}

/// A request as it came over the socket, without a query.
#[derive(Debug)]
struct Arrived {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Arrived {
    fn read(request: &str) -> Self {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_lowercase(), value.trim().to_owned())
        };
        Self {
            method: first.next().unwrap(),
            path: first.next().unwrap(),
            headers: lines.map(header).collect(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> &str {
        let mut all = self.headers.iter().filter(|(is, _)| is == name);
        let found = all.next().unwrap_or_else(|| panic!("no {name}: {self:?}"));
        assert!(all.next().is_none(), "{name} twice: {self:?}");
        &found.1
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(is, _)| is == name)
    }

    /// Of `Authorization`: its credential, the names it covers, its signature.
    fn said(&self) -> (&str, &str, &str) {
        let value = self.header("authorization");
        let rest = value.strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap();
        let (credential, rest) = rest.split_once(", SignedHeaders=").unwrap();
        let (covered, signature) = rest.split_once(", Signature=").unwrap();
        (credential, covered, signature)
    }

    /// The signature that this secret makes of what arrived.
    fn signature(&self, secret: &str) -> String {
        let (credential, covered, _) = self.said();
        let scope = credential.split_once('/').unwrap().1;
        let headers: String = covered
            .split(';')
            .map(|name| format!("{name}:{}\n", self.header(name)))
            .collect();
        let canonical = format!(
            "{}\n{}\n\n{headers}\n{covered}\n{}",
            self.method,
            encoded(&self.path),
            hash(self.body.as_bytes())
        );
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
            self.header("x-amz-date"),
            hash(canonical.as_bytes())
        );
        let first = format!("AWS4{secret}").into_bytes();
        let key = scope.split('/').fold(first, |key, part| keyed(&key, part));
        hex(&keyed(&key, &text))
    }

    fn is_signed_by(&self, secret: &str) -> bool {
        self.signature(secret) == self.said().2
    }
}

/// What arrives of a call that is answered.
async fn arrived(model: &'static str, stream: bool, variables: &[(&str, &str)]) -> Arrived {
    let (base_url, server) = answer_with(json("200 OK", ANSWER)).await;
    let provider = built(live(&base_url, variables)).unwrap();
    let asked = Asked::of(model);
    let asked = if stream { asked } else { asked.whole() };
    soon(asked.of_provider(&provider)).await;
    Arrived::read(&soon(server).await.unwrap())
}

/// `post-vanilla` of the Signature Version 4 test suite that AWS publishes: the arithmetic here is AWS's.
#[test]
fn the_check_agrees_with_awss_own_example() {
    let example = Arrived::read(
        "POST / HTTP/1.1\r\nHost:example.amazonaws.com\r\nX-Amz-Date:20150830T123600Z\r\n\
         Authorization:AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b\r\n\r\n",
    );
    assert!(example.is_signed_by(SECRET));
    assert!(!example.is_signed_by("another secret"));
}

#[tokio::test]
async fn what_arrives_is_what_was_signed() {
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-6";
    let in_path = "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.anthropic.claude-sonnet-4-6";
    for (model, segment, stream, operation) in [
        (NOVA, "us.amazon.nova-micro-v1%3A0", true, "converse-stream"),
        (NOVA, "us.amazon.nova-micro-v1%3A0", false, "converse"),
        (arn, in_path, false, "converse"),
        ("a b+ü", "a%20b+%C3%BC", false, "converse"),
    ] {
        let mut arrived = arrived(model, stream, &variables(None)).await;
        assert_eq!(arrived.path, format!("/v1/model/{segment}/{operation}"));
        let (credential, covered, _) = arrived.said();
        let date = &arrived.header("x-amz-date")[..8];
        assert_eq!(
            credential,
            format!("{ID}/{date}/eu-central-1/bedrock/aws4_request")
        );
        assert_eq!(covered, "content-type;host;x-amz-date");
        assert!(!arrived.has("x-amz-security-token"));
        assert!(arrived.is_signed_by(SECRET), "{arrived:?}");
        // It would be noticed if anything were not covered.
        assert!(!arrived.is_signed_by("another secret"));
        arrived.body.push(' ');
        assert!(!arrived.is_signed_by(SECRET));
        arrived.body.pop();
        arrived.path = arrived.path.replace("model", "Model");
        assert!(!arrived.is_signed_by(SECRET));
    }
}

#[tokio::test]
async fn a_sessions_token_is_sent_and_covered() {
    let mut arrived = arrived(NOVA, false, &variables(Some(TOKEN))).await;
    assert_eq!(arrived.header("x-amz-security-token"), TOKEN);
    assert_eq!(
        arrived.said().1,
        "content-type;host;x-amz-date;x-amz-security-token"
    );
    assert!(arrived.is_signed_by(SECRET), "{arrived:?}");
    for (name, value) in &mut arrived.headers {
        if name == "x-amz-security-token" {
            *value = "another".to_owned();
        }
    }
    assert!(!arrived.is_signed_by(SECRET));
}

#[tokio::test]
async fn a_bearer_key_comes_first() {
    let mut both = variables(Some(TOKEN));
    both.push(("AWS_BEARER_TOKEN_BEDROCK", "bearer-0123456789"));
    let arrived = arrived(NOVA, false, &both).await;
    assert_eq!(arrived.header("authorization"), "Bearer bearer-0123456789");
    assert!(!arrived.has("x-amz-date") && !arrived.has("x-amz-security-token"));
}

/// AWS's explanation of a wrong signature quotes what was to be signed, the session's token with it.
#[tokio::test]
async fn a_refused_signature_is_a_refused_key_and_gives_nothing_away() {
    let explained = format!(
        "The request signature we calculated does not match the signature you provided. The Canonical String for \
         this request should have been 'POST / host:x x-amz-security-token:{TOKEN}' by {ID} and {SECRET}"
    );
    let body = serde_json::json!({"message": explained}).to_string();
    let (base_url, server) = answer_with(json("403 Forbidden", &body)).await;
    let provider = built(live(&base_url, &variables(Some(TOKEN)))).unwrap();
    let outcome = soon(Asked::of(NOVA).of_provider(&provider)).await;
    assert!(Arrived::read(&soon(server).await.unwrap()).is_signed_by(SECRET));
    let error = outcome.failure();
    assert_eq!(*error.kind(), ErrorKind::Unauthorized { status: 403 });
    assert!(!error.retryable());
    assert!(error.to_string().contains("does not match"), "{error}");
    assert!(error.public_message().contains("check AWS_ACCESS_KEY_ID"));
    for text in [
        error.to_string(),
        error.public_message(),
        format!("{error:?}"),
        format!("{provider:?}"),
    ] {
        for hidden in [ID, SECRET, TOKEN] {
            assert!(!text.contains(hidden), "{text}");
        }
    }
}

#[test]
fn a_key_that_cannot_be_sent_is_refused_by_its_variable() {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKID\u{7}EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "eu-central-1"),
    ];
    let found = live("http://127.0.0.1:1", &variables);
    let Some(LiveCredentials::SigV4(key)) = &found.credentials else {
        panic!("{found:?}");
    };
    assert_eq!(key.secret_access_key.expose_secret(), SECRET);
    let error = built(found).unwrap_err();
    assert!(matches!(error, SettingsError::ApiKey { .. }), "{error}");
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
}
