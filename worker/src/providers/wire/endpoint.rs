//! Where a provider's API is: a base URL that was checked, and addresses below it. Holds no secret and no state.

use reqwest::Url;

/// A base URL with the query that goes with every request.
#[derive(Debug, Clone)]
pub(in crate::providers) struct Endpoint {
    base: Url,
}

impl Endpoint {
    /// Checks the base URL.
    ///
    /// # Errors
    /// What is wrong with it, never the URL itself: it may hold a password.
    pub(in crate::providers) fn new(base_url: &str, query: &[(String, String)]) -> Result<Self, String> {
        let mut base = Url::parse(base_url).map_err(|error| format!("cannot be read: {error}"))?;
        check(&base)?;
        if !query.is_empty() {
            base.query_pairs_mut().extend_pairs(query);
        }
        Ok(Self { base })
    }

    /// The base URL, the fixed query included.
    pub(in crate::providers) fn base(&self) -> &Url {
        &self.base
    }

    /// The address below the base URL with these segments, each encoded where it must be: a model's name may hold a
    /// slash, and stays one segment.
    pub(in crate::providers) fn below<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        // Only a URL without a host has no segments; those are refused above.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

fn check(base: &Url) -> Result<(), &'static str> {
    if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
        return Err("must begin with http:// or https:// and name a host");
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err("must not hold a user or password; give an API key instead");
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err("must not have a query or fragment");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_stay_segments() {
        for base in ["https://x/v1", "https://x/v1/"] {
            let endpoint = Endpoint::new(base, &[]).unwrap();
            let url = endpoint.below(["models", "meta/llama 3:free?", "..", "answer"]);
            assert_eq!(
                url.as_str(),
                "https://x/v1/models/meta%2Fllama%203:free%3F/answer"
            );
        }
        let bare = Endpoint::new("https://x", &[("v".to_owned(), "a&b".to_owned())]).unwrap();
        assert_eq!(bare.below(["chat"]).as_str(), "https://x/chat?v=a%26b");
    }
}
