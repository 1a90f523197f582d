//! Where the head's series live: pages of slots that never move, each with a one-byte lock.
//!
//! Finding a slot takes no lock, so appenders of different series do not meet. A freed slot is used again only when no
//! reader is left that may still hold its number.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::prefetch::{LINE, prefetch};
use crate::series::Series;

const PAGE: usize = 1024;
const PAGES: usize = 1 << 16;

/// All slots of a head.
pub(crate) struct Slots {
    pages: Box<[OnceLock<Box<[Mutex<Series>]>>]>,
    /// Slots ever handed out.
    used: AtomicU32,
    /// Freed slots with the epoch in which they were freed, oldest first.
    freed: Mutex<VecDeque<(u64, u32)>>,
}

/// As many series as slots can be numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotsFull;

impl Slots {
    pub(crate) fn new() -> Slots {
        Slots {
            pages: (0..PAGES).map(|_| OnceLock::new()).collect(),
            used: AtomicU32::new(0),
            freed: Mutex::new(VecDeque::new()),
        }
    }

    /// Takes a vacant slot. Readers older than `lowest_reader` are gone.
    pub(crate) fn take(&self, lowest_reader: u64) -> Result<u32, SlotsFull> {
        let mut freed = self.freed.lock();
        if let Some(&(epoch, slot)) = freed.front()
            && epoch < lowest_reader
        {
            freed.pop_front();
            return Ok(slot);
        }
        let slot = self.used.load(Ordering::Acquire);
        let page = slot as usize / PAGE;
        let cell = self.pages.get(page).ok_or(SlotsFull)?;
        cell.get_or_init(|| (0..PAGE).map(|_| Mutex::new(Series::vacant())).collect());
        // Only here, under the lock of `freed`, and after the page is there.
        self.used.store(slot + 1, Ordering::Release);
        Ok(slot)
    }

    /// Gives a slot back, which the caller has made vacant.
    pub(crate) fn give(&self, slot: u32, epoch: u64) {
        self.freed.lock().push_back((epoch, slot));
    }

    /// Locks a slot; `None` for a number never handed out.
    #[inline]
    pub(crate) fn lock(&self, slot: u32) -> Option<MutexGuard<'_, Series>> {
        let page = self.pages.get(slot as usize / PAGE)?.get()?;
        page.get(slot as usize % PAGE).map(Mutex::lock)
    }

    /// Fetches a slot that will be locked soon.
    #[inline]
    pub(crate) fn expect(&self, slot: u32) {
        let page = self.pages.get(slot as usize / PAGE).and_then(OnceLock::get);
        if let Some(cell) = page.and_then(|page| page.get(slot as usize % PAGE)) {
            let start = std::ptr::from_ref(cell).cast::<u8>();
            for line in (0..std::mem::size_of_val(cell)).step_by(LINE) {
                prefetch(start.wrapping_add(line));
            }
        }
    }

    /// One more than the largest slot handed out.
    pub(crate) fn bound(&self) -> u32 {
        self.used.load(Ordering::Acquire)
    }

    /// Locks every slot in use, one after another.
    pub(crate) fn each(&self, mut f: impl FnMut(u32, &mut Series)) {
        for slot in 0..self.bound() {
            if let Some(mut series) = self.lock(slot)
                && series.reference != 0
            {
                f(slot, &mut series);
            }
        }
    }
}
