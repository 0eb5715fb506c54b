//! Enums that have one name everywhere (database, API, logs, metrics) and parse back from it.

/// Why a text is not one of the names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a {noun}: expected one of {expected}")]
pub struct UnknownName {
    pub(super) noun: &'static str,
    pub(super) value: String,
    pub(super) expected: String,
}

/// `Display` and `FromStr` for an enum with `ALL` and `as_str`.
macro_rules! named {
    ($name:ident, $noun:literal) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .into_iter()
                    .find(|candidate| candidate.as_str() == text)
                    .ok_or_else(|| $crate::domain::UnknownName {
                        noun: $noun,
                        value: text.chars().take(64).collect(),
                        expected: Self::ALL.map(|candidate| candidate.as_str()).join(", "),
                    })
            }
        }
    };
}
pub(super) use named;
