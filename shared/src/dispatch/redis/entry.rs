//! Hints as Redis keeps them: bytes whose order is that of the queue. The layout is described, and taken apart again, in
//! `scripts/shelf.lua`.

use std::time::Duration;

use uuid::Uuid;

use crate::dispatch::Hint;
use crate::domain::{Class, TenantId};

/// Where a hint goes: 16 bytes of run, 4 of epoch, 1 of class, then the tenant. A UUIDv7 begins with its time, so that
/// older runs sort first; the epoch is big-endian, so that earlier ones do.
pub(super) fn encode(hint: &Hint) -> Vec<u8> {
    let mut entry = Vec::with_capacity(21 + hint.tenant.as_str().len());
    entry.extend_from_slice(hint.run.uuid().as_bytes());
    entry.extend_from_slice(&hint.epoch.to_be_bytes());
    entry.push(b'0' + hint.class as u8);
    entry.extend_from_slice(hint.tenant.as_str().as_bytes());
    entry
}

/// The hint that an entry stands for, due now; none when it is not one of ours.
pub(super) fn decode(entry: &[u8]) -> Option<Hint> {
    let (run, rest) = entry.split_first_chunk::<16>()?;
    let (epoch, rest) = rest.split_first_chunk::<4>()?;
    let (class, tenant) = rest.split_first()?;
    let tenant: TenantId = std::str::from_utf8(tenant).ok()?.parse().ok()?;
    let class = Class::ALL.get(usize::from(class.checked_sub(b'0')?))?;
    Some(Hint {
        run: Uuid::from_bytes(*run).into(),
        epoch: u32::from_be_bytes(*epoch),
        tenant,
        class: *class,
        delay: Duration::ZERO,
    })
}

/// A delay in whole milliseconds, never shorter than it is.
pub(super) fn millis(delay: Duration) -> u64 {
    u64::try_from(delay.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RunId;

    fn hint(run: RunId, epoch: u32, class: Class) -> Hint {
        Hint {
            run,
            epoch,
            tenant: "acme-2_b".parse().unwrap(),
            class,
            delay: Duration::ZERO,
        }
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for class in Class::ALL {
            for epoch in [0, 1, 10, 255, 256, u32::MAX] {
                let hint = hint(RunId::new(), epoch, class);
                assert_eq!(decode(&encode(&hint)), Some(hint));
            }
        }
    }

    #[test]
    fn entries_sort_by_age_then_by_epoch() {
        let (older, newer) = (RunId::new(), RunId::new());
        let entries: Vec<Vec<u8>> = [(older, 0), (older, 2), (older, 256), (newer, 0)]
            .into_iter()
            .map(|(run, epoch)| encode(&hint(run, epoch, Class::Batch)))
            .collect();
        assert!(entries.is_sorted(), "{entries:?}");
    }

    #[test]
    fn what_is_not_an_entry_is_no_hint() {
        let entry = encode(&hint(RunId::new(), 0, Class::Batch));
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&entry[..21]), None);
        let mut strange = entry.clone();
        strange[20] = b'3';
        assert_eq!(decode(&strange), None);
        let mut strange = entry;
        strange[21] = 0xff;
        assert_eq!(decode(&strange), None);
    }

    #[test]
    fn a_delay_is_never_cut_short() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::from_micros(1_000)), 1);
        assert_eq!(millis(Duration::from_micros(1_001)), 2);
    }
}
