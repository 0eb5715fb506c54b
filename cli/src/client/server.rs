//! Which server, and as whom: the address, the key, and the flags a suggested command has to repeat so that it means
//! the same server. The key is never shown, not even in part.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::{env, fs};

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::args::ServerArgs;
use crate::exit::CliError;

const KEY_VARIABLE: &str = "MCP_API_KEY";

/// The address of a server: `http` or `https`, perhaps with a path in front of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl(Url);

impl ServerUrl {
    pub(crate) const DEFAULT: &'static str = "http://127.0.0.1:8000";

    fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
            None => false,
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl FromStr for ServerUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        // An empty variable is one that is not set, as everywhere in the configuration.
        let text = if text.is_empty() { Self::DEFAULT } else { text };
        let url = Url::parse(text).map_err(|_| "expected a URL such as `http://127.0.0.1:8000`")?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err("expected `http://` or `https://` and a host, such as `http://127.0.0.1:8000`");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold credentials: use MCP_API_KEY or --api-key-file");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must end with the path: no `?` and no `#`");
        }
        Ok(Self(url))
    }
}

/// A server, and the key to show it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    url: ServerUrl,
    key: Option<SecretString>,
    flags: String,
}

impl Server {
    /// Reads the key, if there is one.
    pub(crate) fn of(args: &ServerArgs) -> Result<Self, CliError> {
        let key = match &args.api_key_file {
            Some(path) => Some(read_key(path)?),
            None => env::var(KEY_VARIABLE)
                .ok()
                .map(|key| key.trim().to_owned())
                .filter(|key| !key.is_empty()),
        };
        let mut flags = String::new();
        let from_environment = env::var("MCP_SERVER").is_ok_and(|set| set.parse() == Ok(args.server.clone()));
        if args.server.to_string() != ServerUrl::DEFAULT && !from_environment {
            flags.push_str(&format!(" --server {}", args.server));
        }
        if let Some(path) = &args.api_key_file {
            flags.push_str(&format!(" --api-key-file {}", quoted(&path.to_string_lossy())));
        }
        let server = Self {
            url: args.server.clone(),
            key: key.map(Into::into),
            flags,
        };
        server.authorization()?;
        Ok(server)
    }

    pub(crate) fn url(&self) -> &ServerUrl {
        &self.url
    }

    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether it is on this machine: then a proxy is not asked.
    pub(crate) fn is_local(&self) -> bool {
        self.url.is_loopback()
    }

    /// The address of a resource: `segments` are encoded, so that none can leave its place.
    pub(crate) fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.url.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> Result<Option<HeaderValue>, CliError> {
        let Some(key) = &self.key else { return Ok(None) };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).map_err(|_| {
            CliError::Usage {
                problem: "the API key holds characters that no key has (control characters or line ends)"
                    .to_owned(),
                next: format!("set {KEY_VARIABLE}, or --api-key-file FILE, to the key and nothing else"),
            }
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// A command to type that means this server.
    pub(crate) fn command(&self, command: &str) -> String {
        format!("mcpctl {command}{}", self.flags)
    }
}

/// As a shell reads it back.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn read_key(path: &Path) -> Result<String, CliError> {
    let unusable = |why: String| CliError::Usage {
        problem: format!("--api-key-file {}: {why}", path.display()),
        next: format!("write the key, and nothing else, into {}", path.display()),
    };
    let text = fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let key = text.trim();
    if key.is_empty() {
        return Err(unusable("the file is empty".to_owned()));
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        Server {
            url: url.parse().unwrap(),
            key: Some("sk-secret".to_owned().into()),
            flags: String::new(),
        }
    }

    #[test]
    fn only_addresses_of_servers() {
        for bad in [
            "127.0.0.1:8000",
            "localhost:8000",
            "ftp://x",
            "http://u:p@x",
            "http://x/?a=1",
            "http://x/#a",
            "x y",
        ] {
            assert!(bad.parse::<ServerUrl>().is_err(), "{bad}");
        }
        assert_eq!("".parse::<ServerUrl>().unwrap().to_string(), ServerUrl::DEFAULT);
        assert_eq!(
            "http://[::1]:8000/".parse::<ServerUrl>().unwrap().to_string(),
            "http://[::1]:8000"
        );
    }

    #[test]
    fn a_path_in_front_is_kept_and_segments_are_encoded() {
        assert_eq!(
            server("https://host/mcp/").at(&["v1", "a/../b"]).as_str(),
            "https://host/mcp/v1/a%2F..%2Fb"
        );
        assert_eq!(server("http://host:1").at(&["v1"]).as_str(), "http://host:1/v1");
    }

    #[test]
    fn loopback() {
        for local in [
            "http://127.0.0.1:8000",
            "http://localhost",
            "http://[::1]",
            "http://127.8.8.8",
        ] {
            assert!(server(local).is_local(), "{local}");
        }
        for far in [
            "http://10.0.0.1",
            "https://example.org",
            "http://localhost.example.org",
        ] {
            assert!(!server(far).is_local(), "{far}");
        }
    }

    #[test]
    fn a_path_in_a_suggested_command_survives_the_shell() {
        assert_eq!(quoted("/etc/key-1.txt"), "/etc/key-1.txt");
        assert_eq!(quoted("/my keys/it's"), r"'/my keys/it'\''s'");
    }

    #[test]
    fn the_key_is_never_shown() {
        let server = server("http://x");
        let header = server.authorization().unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer sk-secret");
        assert!(!format!("{server:?} {header:?}").contains("sk-secret"));
    }
}
