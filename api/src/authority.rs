//! Who is asking: an extractor in every handler's signature, so that the signature states the permission.
//!
//! With API keys configured, a request brings one as `Authorization: Bearer`, as `x-api-key`, or - browsers cannot set
//! headers on a WebSocket - as a subprotocol: `Sec-WebSocket-Protocol: mcp.v1, bearer.<key>`. Without keys everybody
//! on this machine is the tenant `local`; what comes from elsewhere, or on behalf of a web page from elsewhere (DNS
//! rebinding, cross-site requests), is turned away.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use http::uri::Authority as HostAndPort;
use http::{HeaderMap, HeaderName, Uri, header};
use shared::config::ApiKey;
use shared::domain::TenantId;
use shared::ledger::RunRecord;
use subtle::ConstantTimeEq;

use crate::problem::{Code, Problem};

/// The WebSocket subprotocol this API speaks. A server must pick one of those a client offered (RFC 6455, 4.2.2).
pub(crate) const SUBPROTOCOL: &str = "mcp.v1";

const BEARER_SUBPROTOCOL: &str = "bearer.";
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Whose runs a request may touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authority {
    /// Who is accounted for what is submitted.
    pub(crate) tenant: TenantId,
    /// Whether every tenant's runs and the admin endpoints are open.
    pub(crate) admin: bool,
}

impl Authority {
    /// Whether a run may be seen, watched and cancelled.
    pub(crate) fn may_touch(&self, run: &RunRecord) -> bool {
        self.admin || run.tenant == self.tenant
    }

    /// Who a cancel is ascribed to in the log.
    pub(crate) fn role(&self, run: &RunRecord) -> &'static str {
        if run.tenant == self.tenant {
            "client"
        } else {
            "admin"
        }
    }
}

/// That an admin is asking.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admin;

/// Decides who is let in.
#[derive(Clone)]
pub(crate) struct Gate {
    keys: Arc<[ApiKey]>,
}

impl Gate {
    /// Lets in who has one of these keys; this machine, when there are none.
    pub(crate) fn new(keys: &[ApiKey]) -> Self {
        Self { keys: keys.into() }
    }

    fn authority(&self, parts: &Parts) -> Result<Authority, Problem> {
        if self.keys.is_empty() {
            only_this_machine(&parts.headers, &parts.uri)?;
            return Ok(Authority {
                tenant: TenantId::local(),
                admin: true,
            });
        }
        let Some(presented) = presented_key(&parts.headers) else {
            return Err(Problem::new(Code::Unauthorized)
                .detail("send an API key as `Authorization: Bearer <key>` or `x-api-key: <key>`"));
        };
        let digest = ApiKey::digest_of(presented);
        // Every key is compared, in constant time, so that the time taken says nothing.
        let mut found = None;
        for key in self.keys.iter() {
            if bool::from(key.digest.ct_eq(&digest)) {
                found = Some(key);
            }
        }
        match found {
            Some(key) => Ok(Authority {
                tenant: key.tenant.clone(),
                admin: key.admin,
            }),
            None => Err(Problem::new(Code::Unauthorized).detail("this API key is not known here")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Authority
where
    Gate: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let authority = Gate::from_ref(state).authority(parts)?;
        tracing::debug!(tenant = %authority.tenant, admin = authority.admin, "let in");
        Ok(authority)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin
where
    Gate: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let authority = Authority::from_request_parts(parts, state).await?;
        if authority.admin {
            Ok(Self)
        } else {
            Err(Problem::new(Code::AdminRequired))
        }
    }
}

/// The key a request brings: the first place that has one counts.
fn presented_key(headers: &HeaderMap) -> Option<&str> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(authorization) = text(header::AUTHORIZATION) {
        let (scheme, key) = authorization.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| key.trim());
    }
    if let Some(key) = text(X_API_KEY) {
        return Some(key.trim());
    }
    let offered = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    offered
        .flat_map(|list| list.split(','))
        .find_map(|protocol| protocol.trim().strip_prefix(BEARER_SUBPROTOCOL))
}

/// Refuses what was not addressed to this machine by a loopback name, and what a foreign web page sends.
fn only_this_machine(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let refused = |header: &'static str, what: &'static str| {
        Problem::new(Code::OriginNotAllowed)
            .detail(format!("no API keys are configured (MCP_API_KEYS), so {what}"))
            .field(header)
    };
    // HTTP/2 has no `Host`; its `:authority` is in the URI.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(HostAndPort::as_str));
    if !host.is_some_and(|host| {
        host.parse()
            .is_ok_and(|host: HostAndPort| is_loopback(host.host()))
    }) {
        return Err(refused("host", "only requests to a loopback address are let in"));
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    if !origin.is_some_and(|origin| origin.host().is_some_and(is_loopback)) {
        return Err(refused("origin", "only web pages of this machine are let in"));
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let lower = host.to_ascii_lowercase();
    // `localhost` and all names below it are this machine (RFC 6761, 6.3).
    lower == "localhost"
        || lower.ends_with(".localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::get("/"), |request, (name, value)| {
            request.header(*name, *value)
        });
        request.body(()).unwrap().into_parts().0
    }

    fn code(gate: &Gate, headers: &[(&str, &str)]) -> Result<Authority, Code> {
        gate.authority(&parts(headers)).map_err(|problem| problem.code())
    }

    #[test]
    fn without_keys_only_this_machine_is_let_in() {
        let gate = Gate::new(&[]);
        for host in [
            "localhost",
            "LocalHost:8000",
            "api.localhost",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:80",
            "[::1]",
        ] {
            let local = Authority {
                tenant: TenantId::local(),
                admin: true,
            };
            assert_eq!(code(&gate, &[("host", host)]), Ok(local), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "0.0.0.0",
            "10.0.0.1",
            "a@b/c",
            "",
        ] {
            assert_eq!(
                code(&gate, &[("host", host)]),
                Err(Code::OriginNotAllowed),
                "{host}"
            );
        }
        assert_eq!(code(&gate, &[]), Err(Code::OriginNotAllowed));
    }

    #[test]
    fn without_keys_web_pages_from_elsewhere_are_turned_away() {
        let gate = Gate::new(&[]);
        let from = |origin: &str| code(&gate, &[("host", "localhost:8000"), ("origin", origin)]);
        for origin in ["http://localhost:3000", "http://127.0.0.1:8000", "https://[::1]"] {
            assert!(from(origin).is_ok(), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "http://localhost.evil.example",
            "file://",
            "",
        ] {
            assert_eq!(from(origin), Err(Code::OriginNotAllowed), "{origin}");
        }
    }

    #[test]
    fn a_key_may_come_in_three_ways() {
        let gate = Gate::new(&[
            "acme:sk-acme-0123456789".parse().unwrap(),
            "root:sk-root-0123456789:admin".parse().unwrap(),
        ]);
        let tenant =
            |headers: &[(&str, &str)]| code(&gate, headers).map(|authority| authority.tenant.to_string());
        assert_eq!(
            tenant(&[("authorization", "Bearer sk-acme-0123456789")]),
            Ok("acme".to_owned())
        );
        assert_eq!(
            tenant(&[("authorization", "bearer sk-acme-0123456789")]),
            Ok("acme".to_owned())
        );
        assert_eq!(
            tenant(&[("x-api-key", "sk-root-0123456789")]),
            Ok("root".to_owned())
        );
        let protocols = ("sec-websocket-protocol", "mcp.v1, bearer.sk-acme-0123456789");
        assert_eq!(tenant(&[protocols]), Ok("acme".to_owned()));
        for bad in [
            &[][..],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer sk-acme-012345678")],
            &[("authorization", "Basic sk-acme-0123456789")],
            &[("authorization", "sk-acme-0123456789")],
            &[("x-api-key", "")],
            &[("sec-websocket-protocol", "mcp.v1")],
            // The first place counts: a wrong key is not mended by a right one elsewhere.
            &[
                ("authorization", "Bearer wrong"),
                ("x-api-key", "sk-acme-0123456789"),
            ],
        ] {
            assert_eq!(tenant(bad), Err(Code::Unauthorized), "{bad:?}");
        }
    }
}
