//! Making blocks: from a range of the head, and from other blocks. Memory depends on labels, not on samples.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};
use std::path::Path;
use std::sync::Arc;

use env::Disk;
use hashbrown::hash_map::HashMap;
use ondisk::index::SeriesEntry;
use ondisk::meta::{Compaction, HINT_OUT_OF_ORDER, HINT_SELECTED, HINT_STALE, Meta, Parent, Ulid};
use ondisk::tombstones::{Interval, Tombstones};
use storage::{Chunk, TimeRange};

use crate::block::Block;
use crate::block_writer::BlockWriter;
use crate::failure::DbError;
use crate::head::{Head, Visible};
use crate::merge;
use crate::metrics::Metrics;

/// Where and how blocks are written.
pub(crate) struct Target<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) parent: &'a Path,
    pub(crate) ulid: Ulid,
    pub(crate) segment_max: u64,
    pub(crate) metrics: &'a Metrics,
}

impl Target<'_> {
    fn writer(&self) -> Result<BlockWriter, DbError> {
        BlockWriter::new(self.disk.clone(), self.parent, self.ulid, self.segment_max)
    }
}

/// Writes what the head has in `[min, max)`. `None` when that is nothing.
pub(crate) fn head_block(
    head: &Head,
    (min, max): (i64, i64),
    which: Visible,
    target: &Target<'_>,
) -> Result<Option<Meta>, DbError> {
    let mut writer = target.writer()?;
    let range = TimeRange { min, max: max - 1 };
    // Series that have something in the range, with their labels as symbols.
    let mut sets = Vec::new();
    head.slots.each(|slot, series| {
        let in_order = which != Visible::Late
            && series.first_time().is_some_and(|first| first < max)
            && series.last_time() >= min;
        let late = which != Visible::InOrder
            && series
                .out_of_order
                .as_ref()
                .and_then(|o| o.range())
                .is_some_and(|r| r.0 < max && r.1 >= min);
        if in_order || late {
            sets.push((series.labels.clone(), slot));
        }
    });
    // Symbols in order; ranks replace strings from here on.
    let mut ranks: Vec<u32>;
    let mut order: Vec<(Vec<(u32, u32)>, u32)>;
    {
        let symbols = head.symbols.read();
        let mut used = vec![false; symbols.bound()];
        for (set, _) in &sets {
            for (name, value) in symbols.pairs(set) {
                used[name as usize] = true;
                used[value as usize] = true;
            }
        }
        let mut texts: Vec<(&str, u32)> = symbols
            .iter()
            .filter(|(s, _)| used[*s as usize])
            .map(|(s, text)| (text, s))
            .collect();
        texts.sort_unstable();
        ranks = vec![0; symbols.bound()];
        for (text, symbol) in texts {
            ranks[symbol as usize] = writer.add_symbol(text)?;
        }
        order = Vec::with_capacity(sets.len());
        for (set, slot) in sets {
            let labels = symbols
                .pairs(&set)
                .map(|(n, v)| (ranks[n as usize], ranks[v as usize]));
            order.push((labels.collect(), slot));
        }
    }
    order.sort_unstable();
    let keep = Interval { min, max: max - 1 };
    for (labels, slot) in order {
        let mut chunks = Vec::new();
        for chunk in head.chunks(slot, range, which, None)? {
            chunks.extend(merge::trim(chunk, keep, None)?);
        }
        let chunks = merge::disjoint(chunks)?;
        observe(target.metrics, &chunks);
        writer.add_series(&labels, &chunks)?;
    }
    let mut meta = Meta::new(target.ulid, min, max);
    if which == Visible::Late {
        meta.compaction.hints = vec![HINT_OUT_OF_ORDER.to_owned()];
    }
    writer.finish(meta)
}

fn observe(metrics: &Metrics, chunks: &[Chunk]) {
    for chunk in chunks {
        let samples = ondisk::chunk::count(chunk.encoding, &chunk.data);
        metrics
            .compaction_chunk_size
            .observe(chunk.data.len() as f64);
        metrics.compaction_chunk_samples.observe(f64::from(samples));
        // Milliseconds, as upstream, whatever the name says.
        metrics
            .compaction_chunk_range
            .observe((chunk.max_time - chunk.min_time) as f64);
    }
}

/// One input of a merge: where it stands in its series.
struct Input {
    block: Arc<Block>,
    tombstones: Arc<Tombstones>,
    references: std::vec::IntoIter<u32>,
    /// The input's symbols as numbers of the output.
    symbols: HashMap<u32, u32>,
    dense: Vec<u32>,
    entry: SeriesEntry,
    /// The segment being read, and up to where its memory was given free.
    behind: (usize, usize),
}

/// Chunks that are read once do not stay mapped in memory: after so many bytes what lies behind is given free.
const RELEASE: usize = 8 << 20;

/// The next series of an input, least labels first.
struct Front {
    labels: Vec<(u32, u32)>,
    chunks: Vec<Chunk>,
    input: usize,
}

impl PartialEq for Front {
    fn eq(&self, other: &Front) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Front {}

impl PartialOrd for Front {
    fn partial_cmp(&self, other: &Front) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Front {
    fn cmp(&self, other: &Front) -> Ordering {
        other
            .labels
            .cmp(&self.labels)
            .then(other.input.cmp(&self.input))
    }
}

impl Input {
    fn open(block: &Arc<Block>) -> Result<Input, DbError> {
        let all = crate::matching::LabelIndex::all(&**block)?;
        let mut references: Vec<u32> = all.into_iter().collect();
        let mut entry = SeriesEntry::default();
        if block.index().version() == 1 {
            // Nothing promises that the oldest indexes have their series in label order.
            let mut keyed = Vec::with_capacity(references.len());
            for reference in references {
                block.series(reference, &mut entry)?;
                keyed.push((block.labels(&entry)?, reference));
            }
            keyed.sort();
            references = keyed.into_iter().map(|(_, reference)| reference).collect();
        }
        Ok(Input {
            block: block.clone(),
            tombstones: block.tombstones(),
            references: references.into_iter(),
            symbols: HashMap::new(),
            dense: Vec::new(),
            entry,
            behind: (0, 0),
        })
    }

    /// Series come in the order of their chunks, so nothing before this one's is read again.
    fn release(&mut self) {
        let Some(first) = self.entry.chunks.first() else {
            return;
        };
        let (segment, offset) = (first.chunk.segment(), first.chunk.offset());
        let (at, from) = self.behind;
        if segment > at {
            self.block.release(at, from, usize::MAX);
            self.behind = (segment, 0);
        } else if segment == at && offset >= from.saturating_add(RELEASE) {
            self.block.release(segment, from, offset);
            self.behind.1 = offset;
        }
    }

    fn number(&self, symbol: u32) -> Result<u32, DbError> {
        let dense = self.dense.get(symbol as usize).copied();
        let found = dense.or_else(|| self.symbols.get(&symbol).copied());
        found.ok_or_else(|| DbError::corrupt(self.block.dir(), 0, "series with an unknown symbol"))
    }

    fn next(&mut self, input: usize) -> Result<Option<Front>, DbError> {
        let Some(reference) = self.references.next() else {
            return Ok(None);
        };
        self.block.series(reference, &mut self.entry)?;
        let mut labels = Vec::with_capacity(self.entry.labels.len());
        for &(name, value) in &self.entry.labels {
            labels.push((self.number(name)?, self.number(value)?));
        }
        self.release();
        let range = TimeRange::ALL;
        let chunks = self
            .block
            .chunks(reference, &self.entry, range, &self.tombstones)?;
        Ok(Some(Front {
            labels,
            chunks,
            input,
        }))
    }
}

/// Merges the symbols of all inputs into the writer.
fn merge_symbols(inputs: &mut [Input], writer: &mut BlockWriter) -> Result<(), DbError> {
    let blocks: Vec<Arc<Block>> = inputs.iter().map(|i| i.block.clone()).collect();
    let mut streams: Vec<_> = blocks
        .iter()
        .map(|b| b.index().symbols().peekable())
        .collect();
    loop {
        let least = streams
            .iter_mut()
            .filter_map(|s| s.peek().map(|(_, text)| *text))
            .min();
        let Some(least) = least else { return Ok(()) };
        let number = writer.add_symbol(least)?;
        for (stream, input) in streams.iter_mut().zip(&mut *inputs) {
            while let Some((reference, _)) = stream.next_if(|(_, text)| *text == least) {
                // Symbols of newer indexes are numbered from 0 without gaps.
                if reference as usize == input.dense.len() {
                    input.dense.push(number);
                } else {
                    input.symbols.insert(reference, number);
                }
            }
        }
    }
}

/// Merges blocks into one. `None` when nothing is left of them.
pub(crate) fn merge_blocks(
    blocks: &[Arc<Block>],
    target: &Target<'_>,
) -> Result<Option<Meta>, DbError> {
    let mut writer = target.writer()?;
    let mut inputs = Vec::with_capacity(blocks.len());
    for block in blocks {
        inputs.push(Input::open(block)?);
    }
    merge_symbols(&mut inputs, &mut writer)?;
    target.metrics.populating_block.set(1.0);
    let merged = merge_series(&mut inputs, &mut writer);
    target.metrics.populating_block.set(0.0);
    merged?;
    let metas: Vec<Meta> = blocks.iter().map(|b| b.meta()).collect();
    writer.finish(merged_meta(target.ulid, &metas))
}

fn merge_series(inputs: &mut [Input], writer: &mut BlockWriter) -> Result<(), DbError> {
    let mut fronts = BinaryHeap::new();
    for (i, input) in inputs.iter_mut().enumerate() {
        fronts.extend(input.next(i)?);
    }
    while let Some(Front {
        labels,
        mut chunks,
        input,
    }) = fronts.pop()
    {
        fronts.extend(inputs[input].next(input)?);
        while fronts.peek().is_some_and(|f| f.labels == labels) {
            let Some(same) = fronts.pop() else { break };
            chunks.extend(same.chunks);
            fronts.extend(inputs[same.input].next(same.input)?);
        }
        writer.add_series(&labels, &merge::disjoint(chunks)?)?;
    }
    Ok(())
}

/// What a block made of others says about itself.
fn merged_meta(ulid: Ulid, inputs: &[Meta]) -> Meta {
    let min = inputs.iter().map(|m| m.min_time).min().unwrap_or(0);
    let max = inputs.iter().map(|m| m.max_time).max().unwrap_or(0);
    let sources: BTreeSet<Ulid> = inputs
        .iter()
        .flat_map(|m| m.compaction.sources.iter().copied())
        .collect();
    let parents: Vec<Parent> = inputs.iter().map(Meta::as_parent).collect();
    let mut hints = Vec::new();
    let any = |hint: &str| inputs.iter().any(|m| m.compaction.has_hint(hint));
    if inputs
        .iter()
        .all(|m| m.compaction.has_hint(HINT_OUT_OF_ORDER))
    {
        hints.push(HINT_OUT_OF_ORDER.to_owned());
    }
    for hint in [HINT_SELECTED, HINT_STALE] {
        if any(hint) {
            hints.push(hint.to_owned());
        }
    }
    let mut meta = Meta::new(ulid, min, max);
    meta.compaction = Compaction {
        level: inputs.iter().map(|m| m.compaction.level).max().unwrap_or(0) + 1,
        sources: sources.into_iter().collect(),
        parents,
        hints,
        ..Compaction::default()
    };
    // What other programs noted about a lone input still holds.
    if let [only] = inputs {
        meta.others = only.others.clone();
    }
    meta
}

/// Writes a block anew without its deleted samples. `None` when nothing is left of it.
pub(crate) fn clean_block(
    block: &Arc<Block>,
    target: &Target<'_>,
) -> Result<Option<Meta>, DbError> {
    let mut writer = target.writer()?;
    let mut inputs = vec![Input::open(block)?];
    merge_symbols(&mut inputs, &mut writer)?;
    merge_series(&mut inputs, &mut writer)?;
    let old = block.meta();
    let mut meta = Meta::new(target.ulid, old.min_time, old.max_time);
    meta.compaction.parents = vec![old.as_parent()];
    meta.compaction.hints = old.compaction.hints.clone();
    meta.others = old.others;
    writer.finish(meta)
}
