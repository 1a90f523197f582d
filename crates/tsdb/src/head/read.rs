//! Reading the head: which series, and what of each.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use model::Matcher;
use ondisk::chunk::{ChunkIter, Encoding, first_samples};
use ondisk::tombstones::Interval;
use parking_lot::RwLockReadGuard;
use roaring::RoaringBitmap;
use storage::{Chunk, TimeRange};

use super::Head;
use super::selected::Selected;
use crate::failure::DbError;
use crate::isolation::Reading;
use crate::matching::{self, LabelIndex};
use crate::merge;
use crate::postings::HeadPostings;
use crate::symbols::Symbols;

/// Which samples a reader of the head wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visible {
    /// All, in order or not.
    All,
    /// Those in order.
    InOrder,
    /// Out-of-order chunks that were flushed.
    Late,
}

/// A consistent view of the head.
pub(crate) struct HeadReader {
    head: Arc<Head>,
    reading: Reading,
    range: TimeRange,
}

/// Postings and symbols, locked together.
struct HeadIndex<'a> {
    postings: RwLockReadGuard<'a, HeadPostings>,
    symbols: RwLockReadGuard<'a, Symbols>,
}

impl LabelIndex for HeadIndex<'_> {
    fn all(&self) -> Result<RoaringBitmap, DbError> {
        Ok(self.postings.all().clone())
    }

    fn with_values(&self, name: &str, values: &[&str]) -> Result<RoaringBitmap, DbError> {
        let mut out = RoaringBitmap::new();
        if let Some(name) = self.symbols.find(name) {
            for value in values.iter().filter_map(|v| self.symbols.find(v)) {
                self.postings.add_to(name, value, &mut out);
            }
        }
        Ok(out)
    }

    fn count(&self, name: &str, values: &[&str]) -> Result<u64, DbError> {
        let Some(name) = self.symbols.find(name) else {
            return Ok(0);
        };
        let values = values.iter().filter_map(|v| self.symbols.find(v));
        Ok(values.map(|v| self.postings.count(name, v)).sum())
    }

    fn narrowed(
        &self,
        mut found: RoaringBitmap,
        name: &str,
        values: &[&str],
    ) -> Result<RoaringBitmap, DbError> {
        if let ([value], Some(name)) = (values, self.symbols.find(name)) {
            match self.symbols.find(value) {
                Some(value) => self.postings.narrow(name, value, &mut found),
                None => found.clear(),
            }
            return Ok(found);
        }
        Ok(found & self.with_values(name, values)?)
    }

    fn with_matching(
        &self,
        name: &str,
        prefix: &str,
        test: &dyn Fn(&str) -> bool,
    ) -> Result<RoaringBitmap, DbError> {
        let mut out = RoaringBitmap::new();
        if let Some(name) = self.symbols.find(name) {
            for (value, _) in self.postings.values(name) {
                let text = self.symbols.text(value);
                if text.starts_with(prefix) && test(text) {
                    self.postings.add_to(name, value, &mut out);
                }
            }
        }
        Ok(out)
    }

    fn values(
        &self,
        name: &str,
        test: &dyn Fn(&str) -> bool,
        among: Option<&RoaringBitmap>,
    ) -> Result<Vec<String>, DbError> {
        let Some(name) = self.symbols.find(name) else {
            return Ok(Vec::new());
        };
        let values = self
            .postings
            .values(name)
            .map(|(v, _)| (v, self.symbols.text(v)));
        let values = values.filter(|(_, text)| test(text));
        let values = values.filter(|(v, _)| among.is_none_or(|a| self.postings.meets(name, *v, a)));
        Ok(values.map(|(_, text)| text.to_owned()).collect())
    }

    fn names(&self, among: Option<&RoaringBitmap>) -> Result<Vec<String>, DbError> {
        let has = |name: u32| match among {
            None => true,
            Some(among) => self
                .postings
                .values(name)
                .any(|(v, _)| self.postings.meets(name, v, among)),
        };
        let names = self.postings.names().filter(|n| has(*n));
        Ok(names.map(|n| self.symbols.text(n).to_owned()).collect())
    }
}

impl HeadReader {
    pub(crate) fn new(head: Arc<Head>, range: TimeRange) -> HeadReader {
        let reading = head.isolation.read(range);
        HeadReader {
            head,
            reading,
            range,
        }
    }

    /// The first and the last instant the head holds samples of in order.
    pub(crate) fn times(&self) -> (i64, i64) {
        let head = &self.head;
        (head.min_time.load(Relaxed), head.max_time.load(Relaxed))
    }

    fn index(&self) -> HeadIndex<'_> {
        let postings = self.head.postings.read();
        HeadIndex {
            postings,
            symbols: self.head.symbols.read(),
        }
    }

    /// The series that fulfil all matchers, in label order.
    pub(crate) fn series(&self, matchers: &[Matcher]) -> Result<Selected, DbError> {
        let slots = matching::series(&self.index(), matchers)?;
        Ok(self.head.selected(slots.iter()))
    }

    pub(crate) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, DbError> {
        matching::label_values(&self.index(), name, matchers, limit)
    }

    pub(crate) fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Vec<String>, DbError> {
        matching::label_names(&self.index(), matchers, limit)
    }

    /// Whether a series has chunks that touch the reader's range.
    pub(crate) fn has_chunks(&self, slot: u32) -> bool {
        let Some(series) = self.head.slots.lock(slot) else {
            return false;
        };
        let cut = series.marks.visible_to(self.reading.epoch());
        let touches = |min: i64, max: i64| min <= self.range.max && self.range.min <= max;
        let finished = series.finished.iter().map(|c| (c.min_time(), c.max_time()));
        let open = series.open_chunk().map(|(min, max, _)| (min, max));
        let mut in_order = finished.chain(open).filter(|c| c.0 <= cut);
        let late = series.out_of_order.as_ref().and_then(|o| o.range());
        in_order.any(|(min, max)| touches(min, max)) || late.is_some_and(|r| touches(r.0, r.1))
    }

    /// Chunks of a series that touch the reader's range, as they were when the reader began.
    pub(crate) fn chunks(&self, slot: u32, which: Visible) -> Result<Vec<Chunk>, DbError> {
        self.head
            .chunks(slot, self.range, which, Some(self.reading.epoch()))
    }
}

impl Head {
    /// How many series may fulfil all matchers.
    pub(crate) fn at_most(&self, matchers: &[Matcher]) -> Option<u64> {
        let postings = self.postings.read();
        let symbols = self.symbols.read();
        matching::at_most(&HeadIndex { postings, symbols }, matchers)
    }

    /// Whether a reader of `range` finds anything here.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        let late = (self.late_min.load(Relaxed), self.late_max.load(Relaxed));
        range.max >= self.min_time.load(Relaxed)
            || (late.0 <= late.1 && range.min <= late.1 && late.0 <= range.max)
    }

    /// Chunks of a series within a range; with a reader's epoch only what it may see. Deleted samples are gone.
    pub(crate) fn chunks(
        &self,
        slot: u32,
        range: TimeRange,
        which: Visible,
        reader: Option<u64>,
    ) -> Result<Vec<Chunk>, DbError> {
        let mut stored: Vec<(i64, i64, Encoding, crate::chunk_files::FileRef)> = Vec::new();
        let mut chunks = Vec::new();
        let (cut, deleted, has_late);
        {
            let Some(series) = self.slots.lock(slot) else {
                return Ok(chunks);
            };
            cut = reader.map_or(i64::MAX, |epoch| series.marks.visible_to(epoch));
            deleted = series.deleted.as_deref().cloned();
            has_late = series.out_of_order.is_some();
            let touches = |min: i64, max: i64| min <= range.max && range.min <= max;
            if which != Visible::Late {
                for c in &series.finished {
                    if touches(c.min_time(), c.max_time()) && c.min_time() <= cut {
                        stored.push((c.min_time(), c.max_time(), c.encoding(), c.at()));
                    }
                }
                if let Some((min, max, encoding)) = series.open_chunk()
                    && touches(min, max)
                    && min <= cut
                {
                    let data = Bytes::from(series.open_bytes());
                    chunks.push(Chunk {
                        min_time: min,
                        max_time: max,
                        encoding,
                        data,
                    });
                }
            }
            if which != Visible::InOrder
                && let Some(side) = &series.out_of_order
            {
                for c in &side.finished {
                    if touches(c.min_time(), c.max_time()) {
                        stored.push((c.min_time(), c.max_time(), c.encoding(), c.at()));
                    }
                }
                if which == Visible::All {
                    let inside = merge::encode(&side.samples).into_iter();
                    chunks.extend(inside.filter(|c| touches(c.min_time, c.max_time)));
                }
            }
        }
        for (min_time, max_time, encoding, at) in stored {
            let data = self.files.read(at)?;
            chunks.push(Chunk {
                min_time,
                max_time,
                encoding,
                data,
            });
        }
        if cut != i64::MAX {
            let mut seen = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                seen.extend(until(chunk, cut)?);
            }
            chunks = seen;
        }
        if let Some(deleted) = deleted {
            let mut left = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                left.extend(merge::trim(chunk, Interval::ALL, Some(&deleted))?);
            }
            chunks = left;
        }
        chunks.sort_by_key(|c| c.min_time);
        if which == Visible::All && has_late {
            chunks = merge::disjoint_histograms(chunks)?;
        }
        Ok(chunks)
    }
}

/// A chunk without what comes after `last`. Out-of-order chunks are not cut: they are no part of isolation, and end
/// before the newest sample in order anyway.
fn until(chunk: Chunk, last: i64) -> Result<Option<Chunk>, DbError> {
    if chunk.max_time <= last {
        return Ok(Some(chunk));
    }
    let mut iter = ChunkIter::new(chunk.encoding, &chunk.data[..])?;
    let (mut n, mut max_time) = (0, chunk.min_time);
    while iter.next()?.is_some() && iter.time() <= last {
        n += 1;
        max_time = iter.time();
    }
    if n == 0 {
        return Ok(None);
    }
    let data = first_samples(chunk.encoding, &chunk.data, n);
    Ok(Some(Chunk {
        data,
        max_time,
        ..chunk
    }))
}
