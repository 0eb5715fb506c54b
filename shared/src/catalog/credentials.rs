//! What stands in for a key where none is set: credentials by which every request is signed, or by which keys are had
//! that last for a while. Names of variables only; [`LiveCredentials`] is what they held.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use super::Absence;
use crate::config::Variables;

/// The variables of credentials, by the way they are used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub enum Credentials {
    /// Every request is signed with AWS Signature Version 4.
    #[serde(rename = "sigv4")]
    SigV4(SigV4),
    /// A service account of Google gets access tokens, which are sent as bearer keys.
    #[serde(rename = "service_account")]
    ServiceAccount(ServiceAccount),
}

/// Where the parts of an AWS access key are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigV4 {
    /// The service that the signature is for, by AWS's name: `bedrock`.
    pub service: String,
    /// The variable of the region that the signature is for.
    pub region_env: String,
    /// The variable of the access key's id.
    pub access_key_id_env: String,
    /// The variable of the access key's secret.
    pub secret_access_key_env: String,
    /// The variable of the session's token, which temporary access keys have.
    pub session_token_env: Option<String>,
}

/// Where the key of a service account is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccount {
    /// The variable that names the file of the key, in JSON as Google hands it out.
    pub file_env: String,
    /// What the access tokens are to be good for: OAuth scopes, with spaces between them.
    pub scope: String,
}

/// Credentials, ready to be used. Shown without their secrets.
#[derive(Debug, Clone)]
pub enum LiveCredentials {
    /// See [`Credentials::SigV4`].
    SigV4(AwsKey),
    /// See [`Credentials::ServiceAccount`].
    ServiceAccount(AccountFile),
}

/// An AWS access key, and what it signs for.
#[derive(Debug, Clone)]
pub struct AwsKey {
    /// The service.
    pub service: String,
    /// The region.
    pub region: String,
    /// The key's id.
    pub access_key_id: SecretString,
    /// The key's secret, which is never sent.
    pub secret_access_key: SecretString,
    /// The session's token; none for keys that last.
    pub session_token: Option<SecretString>,
}

/// The file of a service account's key, which is read when a token is needed: what is in it may be replaced.
#[derive(Debug, Clone)]
pub struct AccountFile {
    /// Where it is.
    pub path: PathBuf,
    /// What the access tokens are to be good for.
    pub scope: String,
}

impl Credentials {
    /// The variables without which there are no credentials. The first is what messages name.
    #[must_use]
    pub fn required(&self) -> Vec<&str> {
        match self {
            Self::SigV4(of) => vec![&of.access_key_id_env, &of.secret_access_key_env],
            Self::ServiceAccount(of) => vec![&of.file_env],
        }
    }

    /// Every variable that is read.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        let mut all = self.required();
        if let Self::SigV4(of) = self {
            all.push(&of.region_env);
            all.extend(of.session_token_env.as_deref());
        }
        all
    }

    /// Those without which there are no credentials, and which are not set.
    pub(super) fn missing(&self, variables: &Variables) -> Vec<String> {
        let unset = |name: &&str| variables.get(name).is_none();
        self.required()
            .into_iter()
            .filter(unset)
            .map(str::to_owned)
            .collect()
    }

    /// What the variables hold.
    pub(super) fn read(&self, variables: &Variables) -> Result<LiveCredentials, Absence> {
        let value = |name: &str| {
            let value = variables.get(name).map(|value| value.trim().to_owned());
            value.ok_or_else(|| Absence::NoSetting(name.to_owned()))
        };
        match self {
            Self::SigV4(of) => {
                let token = of.session_token_env.as_deref();
                Ok(LiveCredentials::SigV4(AwsKey {
                    service: of.service.clone(),
                    region: value(&of.region_env)?,
                    access_key_id: value(&of.access_key_id_env)?.into(),
                    secret_access_key: value(&of.secret_access_key_env)?.into(),
                    session_token: token.and_then(|name| value(name).ok()).map(Into::into),
                }))
            }
            Self::ServiceAccount(of) => Ok(LiveCredentials::ServiceAccount(AccountFile {
                path: value(&of.file_env)?.into(),
                scope: of.scope.clone(),
            })),
        }
    }
}

impl LiveCredentials {
    /// All of it that no text may show.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretString> {
        let key = match self {
            Self::SigV4(key) => Some(key),
            // What is in the file stays there.
            Self::ServiceAccount(_) => None,
        };
        key.into_iter().flat_map(|key| {
            [&key.access_key_id, &key.secret_access_key]
                .into_iter()
                .chain(&key.session_token)
        })
    }
}
