//! Signs requests with AWS Signature Version 4: everything the provider decides by is covered as it is sent - method,
//! path, query, host, body, the service's own headers and the session's token. Source: "Signature Version 4 for API
//! requests" in AWS's IAM user guide; the arithmetic is AWS's own library's.
//!
//! The library is handed the body's hash and not the body, and what it logs of a request holds no secret.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::Request;
use reqwest::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use shared::catalog::AwsKey;
use shared::domain::Timestamp;

use super::fault::Fault;

/// AWS insists on a signature of every header of this family.
const OWN_HEADERS: &str = "x-amz-";
/// What the library calls the origin of credentials.
const SOURCE: &str = "environment";

/// Signs for one service in one region.
#[derive(Debug)]
pub(super) struct Signer {
    key: AwsKey,
}

impl Signer {
    /// Takes a key whose every part can stand in a header; the secret is not sent.
    pub(super) fn new(key: AwsKey) -> Option<Self> {
        let usable = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
        let token = key.session_token.as_ref().map(ExposeSecret::expose_secret);
        let is_usable = usable(&key.service)
            && usable(&key.region)
            && usable(key.access_key_id.expose_secret())
            && token.is_none_or(usable);
        is_usable.then_some(Self { key })
    }

    /// Adds the signature. Whatever is changed afterwards makes it void.
    pub(super) fn sign(&self, request: &mut Request, now: Timestamp) -> Result<(), Fault> {
        let signature = self.signature(request, now);
        let headers = signature.ok_or_else(|| Fault::unsupported("the request cannot be signed"))?;
        request.headers_mut().extend(headers);
        Ok(())
    }

    fn signature(&self, request: &Request, now: Timestamp) -> Option<Vec<(HeaderName, HeaderValue)>> {
        let AwsKey {
            service,
            region,
            access_key_id,
            secret_access_key,
            session_token,
        } = &self.key;
        let token = session_token.as_ref().map(ExposeSecret::expose_secret);
        let identity = Credentials::new(
            access_key_id.expose_secret(),
            secret_access_key.expose_secret(),
            token.map(str::to_owned),
            None,
            SOURCE,
        )
        .into();
        let since_epoch = Duration::from_millis(u64::try_from(now.millis()).ok()?);
        let params = SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(UNIX_EPOCH + since_epoch)
            .settings(SigningSettings::default())
            .build()
            .ok()?
            .into();
        let covered = request.headers().iter().filter(|(name, _)| is_covered(name));
        let covered: Vec<(&str, &str)> = covered
            .map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect::<Option<_>>()?;
        let body = request
            .body()
            .and_then(|body| body.as_bytes())
            .unwrap_or_default();
        let body = SignableBody::Precomputed(hex(&Sha256::digest(body)));
        let url = request.url().as_str();
        let signable =
            SignableRequest::new(request.method().as_str(), url, covered.into_iter(), body).ok()?;
        let (instructions, _) = sign(signable, &params).ok()?.into_parts();
        let header = |(name, value): (&str, &str)| {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some((name.parse().ok()?, value))
        };
        instructions.headers().map(header).collect()
    }
}

/// Whether a proxy on the way may not change it: trace and connection headers it may.
fn is_covered(name: &HeaderName) -> bool {
    name == HOST || name == CONTENT_TYPE || name.as_str().starts_with(OWN_HEADERS)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use reqwest::Method;
    use reqwest::header::AUTHORIZATION;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
    /// 2015-08-30T12:36:00Z, the time of AWS's examples.
    const THEN: Timestamp = Timestamp::from_millis(1_440_938_160_000);

    fn key(token: Option<&str>) -> AwsKey {
        AwsKey {
            service: "service".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: SECRET.into(),
            session_token: token.map(Into::into),
        }
    }

    fn signed(key: AwsKey, change: impl FnOnce(&mut Request)) -> Request {
        let url = "https://example.amazonaws.com/".parse().unwrap();
        let mut request = Request::new(Method::POST, url);
        change(&mut request);
        Signer::new(key).unwrap().sign(&mut request, THEN).unwrap();
        request
    }

    fn authorization(request: &Request) -> &str {
        request.headers()[AUTHORIZATION].to_str().unwrap()
    }

    /// `post-vanilla` and `post-sts-header-before` of the Signature Version 4 test suite that AWS publishes.
    #[test]
    fn aws_own_examples() {
        let plain = signed(key(None), |_| {});
        assert_eq!(
            authorization(&plain),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        assert_eq!(plain.headers()["x-amz-date"], "20150830T123600Z");
        let temporary = signed(key(Some(TOKEN)), |_| {});
        assert_eq!(
            authorization(&temporary),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-security-token, \
             Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        );
        assert_eq!(temporary.headers()["x-amz-security-token"], TOKEN);
    }

    #[test]
    fn what_a_proxy_may_change_is_not_covered() {
        let plain = signed(key(None), |_| {});
        let traced = signed(key(None), |request| {
            let headers = request.headers_mut();
            headers.insert("traceparent", HeaderValue::from_static("00-1-2-01"));
            headers.insert("accept", HeaderValue::from_static("*/*"));
        });
        assert_eq!(authorization(&plain), authorization(&traced));
        let own = signed(key(None), |request| {
            request
                .headers_mut()
                .insert("x-amz-target", HeaderValue::from_static("t"));
        });
        let covered = "SignedHeaders=host;x-amz-date;x-amz-target,";
        assert!(authorization(&own).contains(covered), "{own:?}");
    }

    #[test]
    fn a_key_that_no_header_can_hold_is_none() {
        let bad = [
            ("", TOKEN),
            ("A B", TOKEN),
            ("A\n", TOKEN),
            ("A", ""),
            ("A", "t\r\n"),
        ];
        for (id, token) in bad {
            let key = AwsKey {
                access_key_id: id.into(),
                ..key(Some(token))
            };
            assert!(Signer::new(key).is_none(), "{id:?} {token:?}");
        }
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_secret_and_no_content_is_shown_or_logged() {
        let lines = Lines::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || written.clone())
            .finish();
        let request = tracing::subscriber::with_default(subscriber, || {
            signed(key(Some(TOKEN)), |request| {
                *request.body_mut() = Some("a prompt".into());
            })
        });
        let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("canonical_request"), "{log}");
        let signer = Signer::new(key(Some(TOKEN))).unwrap();
        for text in [log, format!("{signer:?}"), format!("{:?}", request.headers())] {
            for hidden in [SECRET, TOKEN, "prompt"] {
                assert!(!text.contains(hidden), "{text}");
            }
        }
    }
}
