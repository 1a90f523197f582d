//! What a replay knows of series by their references and slots, laid out for logs: references come in long runs.

use hashbrown::hash_map::HashMap;

use crate::series::Finished;

const PAGE: usize = 1024;

/// Slots by reference, in pages: references in a log run in long sequences.
#[derive(Default)]
pub(super) struct SlotTable {
    pages: Vec<Box<[u32; PAGE]>>,
    by_number: HashMap<u64, u32>,
}

impl SlotTable {
    pub(super) fn get(&self, reference: u64) -> Option<u32> {
        self.lookup().get(reference)
    }

    /// Asks for one reference after the other.
    pub(super) fn lookup(&self) -> SlotLookup<'_> {
        SlotLookup {
            table: self,
            number: u64::MAX,
            page: None,
        }
    }

    pub(super) fn set(&mut self, reference: u64, slot: Option<u32>) {
        let page = *self
            .by_number
            .entry(reference / PAGE as u64)
            .or_insert_with(|| {
                self.pages.push(Box::new([0; PAGE]));
                (self.pages.len() - 1) as u32
            });
        self.pages[page as usize][reference as usize % PAGE] = slot.map_or(0, |s| s + 1);
    }
}

/// Remembers the page of the reference before, which mostly is the right one.
pub(super) struct SlotLookup<'a> {
    table: &'a SlotTable,
    number: u64,
    page: Option<&'a [u32; PAGE]>,
}

impl SlotLookup<'_> {
    #[inline]
    pub(super) fn get(&mut self, reference: u64) -> Option<u32> {
        let number = reference / PAGE as u64;
        if number != self.number {
            self.number = number;
            let page = self.table.by_number.get(&number);
            self.page = page.map(|page| &*self.table.pages[*page as usize]);
        }
        // Slots are kept one higher, so that zero means none.
        self.page?[reference as usize % PAGE].checked_sub(1)
    }
}

/// The newest time in chunk files by slot. Most samples of a log are in chunk files already; asking here costs one read
/// of a dense list instead of one of the series.
#[derive(Default)]
pub(super) struct Covered(Vec<i64>);

impl Covered {
    pub(super) fn set(&mut self, slot: u32, until: i64) {
        let at = slot as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, i64::MIN);
        }
        self.0[at] = until;
    }

    pub(super) fn has(&self, slot: u32, t: i64) -> bool {
        self.0.get(slot as usize).is_some_and(|until| t <= *until)
    }
}

/// Up to when chunk files have the samples of a reference. Most samples of a log are in chunk files already; who reads
/// the log leaves them out at once.
#[derive(Default)]
pub(super) struct Filed {
    pages: Vec<Box<[i64; PAGE]>>,
    by_number: HashMap<u64, u32>,
}

impl Filed {
    pub(super) fn new(chunks: &HashMap<u64, Vec<Finished>>) -> Filed {
        let mut filed = Filed::default();
        for (reference, chunks) in chunks {
            let Some(until) = chunks.iter().map(Finished::max_time).max() else {
                continue;
            };
            let number = reference / PAGE as u64;
            let page = *filed.by_number.entry(number).or_insert_with(|| {
                filed.pages.push(Box::new([i64::MIN; PAGE]));
                (filed.pages.len() - 1) as u32
            });
            filed.pages[page as usize][*reference as usize % PAGE] = until;
        }
        filed
    }

    /// Asks for one reference after the other.
    pub(super) fn lookup(&self) -> FiledLookup<'_> {
        FiledLookup {
            filed: self,
            number: u64::MAX,
            page: None,
        }
    }
}

/// Remembers the page of the reference before.
pub(super) struct FiledLookup<'a> {
    filed: &'a Filed,
    number: u64,
    page: Option<&'a [i64; PAGE]>,
}

impl FiledLookup<'_> {
    #[inline]
    pub(super) fn has(&mut self, reference: u64, t: i64) -> bool {
        let number = reference / PAGE as u64;
        if number != self.number {
            self.number = number;
            let page = self.filed.by_number.get(&number);
            self.page = page.map(|page| &*self.filed.pages[*page as usize]);
        }
        self.page
            .is_some_and(|page| t <= page[reference as usize % PAGE])
    }
}
