//! How calls ended lately: counts in ten slots of time, so that old ends drop out without being kept one by one.

use std::time::Duration;

use super::super::moment::{Moment, nanos};

/// Slots of a window.
pub(super) const SLOTS: u64 = 10;

/// Ends within the window that slides.
#[derive(Debug)]
pub(super) struct Window {
    slot_nanos: u64,
    slots: [Slot; SLOTS as usize],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Which slot of time this is, counted from the clock's beginning.
    index: u64,
    well: u32,
    ill: u32,
}

impl Window {
    pub(super) fn over(length: Duration) -> Self {
        Self {
            slot_nanos: (nanos(length) / SLOTS).max(1),
            slots: [Slot::default(); SLOTS as usize],
        }
    }

    pub(super) fn add(&mut self, well: bool, now: Moment) {
        let index = now.nanos() / self.slot_nanos;
        // The remainder of a division by ten is an index.
        let slot = &mut self.slots[(index % SLOTS) as usize];
        if slot.index != index {
            // An end that comes late, by a moment taken before a newer one was counted, is not worth a slot.
            if slot.index > index {
                return;
            }
            *slot = Slot {
                index,
                well: 0,
                ill: 0,
            };
        }
        if well {
            slot.well = slot.well.saturating_add(1);
        } else {
            slot.ill = slot.ill.saturating_add(1);
        }
    }

    /// How many ended, and how many of them badly.
    pub(super) fn counts(&self, now: Moment) -> (u32, u32) {
        let index = now.nanos() / self.slot_nanos;
        let fresh = |slot: &&Slot| slot.index <= index && slot.index + SLOTS > index;
        self.slots.iter().filter(fresh).fold((0, 0), |(all, ill), slot| {
            (
                all.saturating_add(slot.well).saturating_add(slot.ill),
                ill.saturating_add(slot.ill),
            )
        })
    }

    pub(super) fn clear(&mut self) {
        self.slots = [Slot::default(); SLOTS as usize];
    }
}
