//! What values of a catalog file may be. Each check says what is wrong and what to do.

use super::{Credentials, Limits};

/// A provider's name: part of ids (`provider/model`) and of metrics.
pub(super) fn provider_name(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    if !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "`{name}` cannot be a provider's name: at most 64 lower-case letters, digits, `-`, `_`, `.`"
    ))
}

/// An address to which paths are added. `{PLACEHOLDER}`s stand for values of variables.
pub(super) fn base_url(text: &str) -> Result<(), String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            return Err("base_url: a `{` has no `}`".to_owned());
        };
        variable(name)?;
        filled.push_str(before);
        // What begins with a placeholder leaves the scheme to its value.
        filled.push_str(if filled.is_empty() {
            "https://host"
        } else {
            "value"
        });
        rest = after;
    }
    filled.push_str(rest);
    address(&filled).map_err(|reason| format!("base_url {reason}"))
}

/// An address without placeholders.
pub(super) fn address(text: &str) -> Result<(), String> {
    let plain = |url: &url::Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    if url::Url::parse(text).is_ok_and(|url| plain(&url)) {
        return Ok(());
    }
    Err(
        "must be an address such as https://api.example.com/v1, without a query, a user or a password"
            .to_owned(),
    )
}

/// The name of a variable. Ours are read by the configuration, and an unknown one is an error there.
pub(super) fn variable(name: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.starts_with("MCP_") {
        return Err(format!(
            "`{name}`: names that begin with MCP_ are our own settings"
        ));
    }
    if !name.is_empty() && name.bytes().all(allowed) && !name.as_bytes()[0].is_ascii_digit() {
        return Ok(());
    }
    // What stands there may be the key, and is not repeated.
    Err("this is not a variable's name; the key itself does not belong here".to_owned())
}

/// Credentials whose parts can be looked up.
pub(super) fn credentials(credentials: &Credentials) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match credentials {
        Credentials::SigV4(of) if of.service.is_empty() || !of.service.bytes().all(allowed) => {
            return Err(format!(
                "`{}` is not a service's name, such as bedrock",
                of.service
            ));
        }
        Credentials::ServiceAccount(of) if of.scope.is_empty() => {
            return Err("a service account needs a scope".to_owned());
        }
        Credentials::SigV4(_) | Credentials::ServiceAccount(_) => {}
    }
    credentials.variables().into_iter().try_for_each(variable)
}

/// The name of an HTTP header (RFC 9110, 5.6.2).
pub(super) fn header(name: &str) -> Result<(), String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(token) {
        return Ok(());
    }
    Err(format!("`{name}` is not the name of a header"))
}

/// A path below the base URL.
pub(super) fn path(text: &str) -> Result<(), String> {
    if text.starts_with('/') && !text.contains(['?', '#', ' ']) {
        return Ok(());
    }
    Err(format!(
        "`{text}` is not a path: it begins with a slash and has no query"
    ))
}

/// Limits that let something through.
pub(super) fn limits(limits: &Limits) -> Result<(), String> {
    if limits.rpm == Some(0) || limits.tpm == Some(0) || limits.concurrency == Some(0) {
        return Err("a limit is at least 1; `enabled = false` switches a provider off".to_owned());
    }
    Ok(())
}
