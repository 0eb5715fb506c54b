//! The address of an entry in a run's log: `epoch-seq`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Addresses one entry of a run's log. Ordered by epoch, then by `seq`, which is dense from 1 inside an epoch.
///
/// Opaque to clients: they keep the latest one they saw and hand it back. `0-0` stands before the first entry.
/// Both parts fit a signed 32-bit column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Minted by the ledger at every change of writer.
    pub epoch: u32,
    /// Dense from 1 inside an epoch.
    pub seq: u32,
}

impl Cursor {
    /// Before everything.
    pub const START: Self = Self { epoch: 0, seq: 0 };
    /// The `run.queued` entry. It is the only entry of epoch 0, so whatever follows it has another epoch.
    pub const QUEUED: Self = Self { epoch: 0, seq: 1 };

    /// The entry `seq` of `epoch`.
    #[must_use]
    pub const fn new(epoch: u32, seq: u32) -> Self {
        Self { epoch, seq }
    }

    /// Whether `next` is certain to be the entry right after this one. A new epoch is not certain, because the old
    /// one may have entries not seen yet; except after [`Cursor::QUEUED`], which is known to be alone.
    #[must_use]
    pub fn is_followed_by(self, next: Self) -> bool {
        let same_epoch = next.epoch == self.epoch && self.seq.checked_add(1) == Some(next.seq);
        let first_claim = self == Self::QUEUED && next == Self::new(1, 1);
        same_epoch || first_claim
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

/// Why a text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor: expected `epoch-seq`, such as `1-4`, as an earlier event gave it")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let part = |digits: &str| -> Result<u32, CursorError> {
            let canonical =
                digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
            if !canonical {
                return Err(CursorError);
            }
            digits
                .parse::<i32>()
                .ok()
                .and_then(|n| u32::try_from(n).ok())
                .ok_or(CursorError)
        };
        let (epoch, seq) = text.split_once('-').ok_or(CursorError)?;
        Ok(Self {
            epoch: part(epoch)?,
            seq: part(seq)?,
        })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_by_epoch_then_seq() {
        assert!(Cursor::new(1, 9) < Cursor::new(2, 1));
        assert!(Cursor::new(1, 9) < Cursor::new(1, 10));
    }

    #[test]
    fn parses_only_its_own_form() {
        assert_eq!("12-7".parse(), Ok(Cursor::new(12, 7)));
        assert_eq!("0-0".parse(), Ok(Cursor::START));
        for bad in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "1--1",
            "+1-1",
            " 1-1",
            "1-1 ",
            "01-1",
            "1-2-3",
            "2147483648-1",
            "1-99999999999",
            "a-b",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(CursorError), "{bad}");
        }
    }

    #[test]
    fn a_new_epoch_is_a_hole_except_after_the_first_entry() {
        assert!(Cursor::new(1, 1).is_followed_by(Cursor::new(1, 2)));
        assert!(!Cursor::new(1, 1).is_followed_by(Cursor::new(1, 3)));
        assert!(!Cursor::new(1, 5).is_followed_by(Cursor::new(2, 1)));
        assert!(Cursor::QUEUED.is_followed_by(Cursor::new(1, 1)));
        assert!(!Cursor::QUEUED.is_followed_by(Cursor::new(2, 1)));
    }
}
