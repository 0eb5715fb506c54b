//! The scripts, and one function per script. What each does, and how things are laid out, is said in the scripts
//! themselves. All of them may repeat; a call that was not answered may have been carried out.

use std::time::Duration;

use redis::{FromRedisValue, ParsingError, Script, Value};

use super::entry;
use crate::dispatch::Hint;
use crate::domain::TenantId;
use crate::ledger::QueuedRun;
use crate::redis_link::{LinkError, RedisLink};

/// A proposal counts for so long. One that was not concluded by then goes back to its queue.
pub(super) const HOLD: Duration = Duration::from_secs(5);
/// A tenant at its limit is left out for so long, unless one of its runs ends before that. All workers say so; this is
/// for those that could not.
const PARK: Duration = Duration::from_secs(1);
/// After an offer was refused, the ledger is asked as well for so long.
const LOST: Duration = Duration::from_secs(5);
/// Entries that one call moves from each of the waiting sets at most.
const PACE: u32 = 256;

/// What [`Scripts::propose`] answers.
pub(super) struct Proposal {
    /// Whether everything queued was offered once. If not, nothing is proposed.
    pub(super) complete: bool,
    /// Whether an offer was refused lately.
    pub(super) lost: bool,
    /// When something waiting here is due.
    pub(super) due: Option<Duration>,
    /// What to try.
    pub(super) hints: Vec<Hint>,
}

/// A run that was proposed, not granted, and is still queued.
pub(super) struct Back<'a> {
    /// As it was proposed.
    pub(super) proposed: &'a Hint,
    /// As it is.
    pub(super) queued: QueuedRun,
}

/// The scripts over one slot's keys.
pub(super) struct Scripts {
    base: String,
    offer: Script,
    propose: Script,
    conclude: Script,
    lost: Script,
    complete: Script,
}

/// A script with what all of them share in front. One that gives memory back in the end must not be refused for want of
/// it, so it is marked; the first line of a script is where Redis looks for that.
macro_rules! script {
    ($flags:literal, $file:literal) => {
        Script::new(concat!(
            "#!lua",
            $flags,
            "\n",
            include_str!("scripts/shelf.lua"),
            include_str!($file)
        ))
    };
}

impl Scripts {
    /// For the keys that begin with `base`, which holds a hash tag.
    pub(super) fn new(base: String) -> Self {
        Self {
            base,
            // Without flags: refused while memory is short.
            offer: script!(" flags=", "scripts/offer.lua"),
            propose: script!(" flags=allow-oom", "scripts/propose.lua"),
            conclude: script!(" flags=allow-oom", "scripts/conclude.lua"),
            lost: script!(" flags=allow-oom", "scripts/lost.lua"),
            complete: script!(" flags=allow-oom", "scripts/complete.lua"),
        }
    }

    /// A key or channel.
    pub(super) fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.base)
    }

    pub(super) async fn offer(&self, link: &RedisLink, hints: &[Hint]) -> Result<(), LinkError> {
        let mut call = self.offer.key(&self.base);
        for hint in hints {
            call.arg(entry::encode(hint)).arg(entry::millis(hint.delay));
        }
        link.invoke(&call).await
    }

    pub(super) async fn propose(
        &self,
        link: &RedisLink,
        process: &str,
        limit: u32,
        freed: &[TenantId],
        claimed: &[Vec<u8>],
    ) -> Result<Proposal, LinkError> {
        let mut call = self.propose.key(&self.base);
        call.arg(limit)
            .arg(process)
            .arg(entry::millis(HOLD))
            .arg(PACE)
            .arg(freed.len());
        for tenant in freed {
            call.arg(tenant.as_str());
        }
        for entry in claimed {
            call.arg(entry);
        }
        link.invoke(&call).await
    }

    pub(super) async fn conclude(
        &self,
        link: &RedisLink,
        over: &[Vec<u8>],
        back: Vec<Back<'_>>,
    ) -> Result<(), LinkError> {
        let mut call = self.conclude.key(&self.base);
        call.arg(entry::millis(PARK))
            .arg(entry::millis(HOLD))
            .arg(over.len());
        for entry in over {
            call.arg(entry);
        }
        for Back { proposed, queued } in back {
            let full = u8::from(queued.full);
            let fresh = Hint::from(queued);
            call.arg(entry::encode(proposed))
                .arg(entry::encode(&fresh))
                .arg(entry::millis(fresh.delay))
                .arg(full);
        }
        link.invoke(&call).await
    }

    pub(super) async fn lost(&self, link: &RedisLink) -> Result<(), LinkError> {
        let mut call = self.lost.key(&self.base);
        link.invoke(call.arg(entry::millis(LOST))).await
    }

    pub(super) async fn complete(&self, link: &RedisLink, rebuild: &str) -> Result<bool, LinkError> {
        let mut call = self.complete.key(&self.base);
        link.invoke(call.arg(rebuild)).await
    }
}

impl FromRedisValue for Proposal {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let strange = || ParsingError::from("not a proposal");
        let Value::Array(parts) = value else {
            return Err(strange());
        };
        let mut parts = parts.into_iter();
        let mut number = || match parts.next() {
            Some(Value::Int(number)) => Ok(number),
            _ => Err(strange()),
        };
        let (complete, lost, due) = (number()? != 0, number()? != 0, number()?);
        // What another version wrote and this one cannot read is left to that one.
        let hint = |part| match part {
            Value::BulkString(entry) => entry::decode(&entry),
            _ => None,
        };
        Ok(Self {
            complete,
            lost,
            due: u64::try_from(due).ok().map(Duration::from_millis),
            hints: parts.filter_map(hint).collect(),
        })
    }
}
