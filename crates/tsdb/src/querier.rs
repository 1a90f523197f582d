//! Reading a range across blocks and head: series merged by labels, chunks handed out compressed.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, Matcher};
use ondisk::index::{SeriesEntry, SymbolCache};
use ondisk::tombstones::Tombstones;
use storage::{
    Answer, Chunk, Querier, SelectHints, Series, SeriesSet, SourceRead, StorageError, TimeRange,
};

use crate::block::Block;
use crate::failure::DbError;
use crate::head::{HeadReader, Selected, Visible};
use crate::matching;
use crate::merge;

/// A consistent view of a range.
pub(crate) struct DbQuerier {
    range: TimeRange,
    blocks: Vec<Arc<Block>>,
    head: Option<Arc<HeadReader>>,
}

impl DbQuerier {
    pub(crate) fn new(
        range: TimeRange,
        blocks: Vec<Arc<Block>>,
        head: Option<HeadReader>,
    ) -> DbQuerier {
        DbQuerier {
            range,
            blocks,
            head: head.map(Arc::new),
        }
    }

    /// The part of the range that a selection asks for: of a query that compares today with last week, each side reads
    /// its own blocks only.
    fn wanted(&self, hints: &SelectHints) -> TimeRange {
        let range = TimeRange {
            min: self.range.min.max(hints.start),
            max: self.range.max.min(hints.end),
        };
        // Without hints both are zero.
        match (hints.start, hints.end) {
            (0, 0) => self.range,
            _ if range.min > range.max => self.range,
            _ => range,
        }
    }

    fn union<F>(&self, limit: usize, mut of: F) -> Result<Answer<Vec<String>>, StorageError>
    where
        F: FnMut(Place<'_>) -> Result<Vec<String>, DbError>,
    {
        let mut lists = Vec::new();
        for block in &self.blocks {
            lists.push(of(Place::Block(block))?);
        }
        if let Some(head) = &self.head {
            lists.push(of(Place::Head(head))?);
        }
        let mut value: Vec<String> = match lists.len() {
            1 => lists.swap_remove(0),
            _ => lists
                .into_iter()
                .flatten()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        };
        if limit > 0 {
            value.truncate(limit);
        }
        Ok(Answer {
            value,
            warnings: Vec::new(),
        })
    }
}

enum Place<'a> {
    Block(&'a Block),
    Head(&'a HeadReader),
}

impl Querier for DbQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let labels_only = hints.func.as_deref() == Some("series");
        let range = self.wanted(hints);
        let mut sources: Vec<Source> = Vec::new();
        for block in self.blocks.iter().filter(|b| b.overlaps(range)) {
            let references = block.select(matchers)?;
            let meta = block.meta();
            let read = SourceRead {
                name: format!("block {}", meta.ulid),
                min_time: meta.min_time,
                // A block's own end is the first instant after it.
                max_time: meta.max_time - 1,
                ..SourceRead::default()
            };
            let series = Box::new(BlockSeries {
                tombstones: block.tombstones(),
                block: block.clone(),
                references: references.into_iter(),
                range,
                labels_only,
                entry: SeriesEntry::default(),
                cache: SymbolCache::default(),
                scratch: Vec::new(),
            });
            sources.push(Source { series, read });
        }
        if let Some(head) = &self.head {
            let (min_time, max_time) = head.times();
            let read = SourceRead {
                name: "head".into(),
                min_time,
                max_time,
                ..SourceRead::default()
            };
            let series = Box::new(HeadSeries {
                selected: head.series(matchers)?,
                next: 0,
                scratch: Vec::new(),
                head: head.clone(),
                labels_only,
            });
            sources.push(Source { series, read });
        }
        Ok(Box::new(Merged::new(sources, hints.limit)?))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError> {
        self.union(limit, |source| match source {
            Place::Block(block) => matching::label_names(block, matchers, limit),
            Place::Head(head) => head.label_names(matchers, limit),
        })
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError> {
        self.union(limit, |source| match source {
            Place::Block(block) => matching::label_values(block, name, matchers, limit),
            Place::Head(head) => head.label_values(name, matchers, limit),
        })
    }
}

/// Series of one source, in label order.
trait NextSeries: Send {
    fn next(&mut self) -> Result<Option<Series>, DbError>;
}

struct BlockSeries {
    block: Arc<Block>,
    tombstones: Arc<Tombstones>,
    references: roaring::bitmap::IntoIter,
    range: TimeRange,
    labels_only: bool,
    entry: SeriesEntry,
    cache: SymbolCache,
    scratch: Vec<u8>,
}

impl NextSeries for BlockSeries {
    fn next(&mut self) -> Result<Option<Series>, DbError> {
        for reference in self.references.by_ref() {
            self.block.series(reference, &mut self.entry)?;
            let range = self.range;
            let touched = self
                .entry
                .chunks
                .iter()
                .any(|c| c.min_time <= range.max && range.min <= c.max_time);
            if !touched {
                continue;
            }
            let chunks = match self.labels_only {
                true => Vec::new(),
                false => {
                    let block = &self.block;
                    block.chunks(reference, &self.entry, range, &self.tombstones)?
                }
            };
            let labels = self
                .block
                .labels_with(&self.entry, &mut self.cache, &mut self.scratch)?;
            return Ok(Some(Series { labels, chunks }));
        }
        Ok(None)
    }
}

struct HeadSeries {
    head: Arc<HeadReader>,
    selected: Selected,
    next: usize,
    scratch: Vec<u8>,
    labels_only: bool,
}

impl NextSeries for HeadSeries {
    fn next(&mut self) -> Result<Option<Series>, DbError> {
        while let Some(slot) = self.selected.slot(self.next) {
            let nth = self.next;
            self.next += 1;
            let chunks = match self.labels_only {
                true if self.head.has_chunks(slot) => Vec::new(),
                true => continue,
                false => match self.head.chunks(slot, Visible::All)? {
                    chunks if chunks.is_empty() => continue,
                    chunks => chunks,
                },
            };
            let labels = self.selected.labels(nth, &mut self.scratch);
            return Ok(Some(Series { labels, chunks }));
        }
        Ok(None)
    }
}

/// Series of one place, and what was taken of them.
struct Source {
    series: Box<dyn NextSeries>,
    read: SourceRead,
}

impl Source {
    fn next(&mut self) -> Result<Option<Series>, DbError> {
        let next = self.series.next()?;
        if let Some(series) = &next {
            self.read.series += 1;
            self.read.chunks += series.chunks.len() as u64;
            self.read.bytes += series
                .chunks
                .iter()
                .map(|c| c.data.len() as u64)
                .sum::<u64>();
        }
        Ok(next)
    }
}

/// Several sources as one. There are few of them, and mostly all stand at the same series: looking at each front is
/// quicker than keeping them in order.
struct Merged {
    sources: Vec<Source>,
    /// The next series of each source.
    fronts: Vec<Option<Series>>,
    left: usize,
    failed: bool,
}

impl Merged {
    fn new(mut sources: Vec<Source>, limit: usize) -> Result<Merged, DbError> {
        let mut fronts = Vec::with_capacity(sources.len());
        for source in &mut sources {
            fronts.push(source.next()?);
        }
        let left = if limit == 0 { usize::MAX } else { limit };
        Ok(Merged {
            sources,
            fronts,
            left,
            failed: false,
        })
    }

    /// Takes the front of a source, which moves on.
    fn take(&mut self, source: usize) -> Result<Option<Series>, DbError> {
        let next = match &self.fronts[source] {
            Some(_) => self.sources[source].next()?,
            None => None,
        };
        Ok(std::mem::replace(&mut self.fronts[source], next))
    }

    fn advance(&mut self) -> Result<Option<Series>, DbError> {
        let mut least: Option<(usize, &Labels)> = None;
        for (i, front) in self.fronts.iter().enumerate() {
            if let Some(series) = front
                && least.is_none_or(|(_, labels)| series.labels < *labels)
            {
                least = Some((i, &series.labels));
            }
        }
        let Some((first, _)) = least else {
            return Ok(None);
        };
        let Some(mut series) = self.take(first)? else {
            return Ok(None);
        };
        let mut end = series.chunks.last().map_or(i64::MIN, |c| c.min_time);
        let (mut sorted, mut alone) = (true, true);
        for i in first + 1..self.fronts.len() {
            let same = matches!(&self.fronts[i], Some(front) if front.labels == series.labels);
            if same && let Some(mut more) = self.take(i)? {
                sorted &= more.chunks.first().is_none_or(|c| end <= c.min_time);
                end = more.chunks.last().map_or(end, |c| c.min_time);
                series.chunks.append(&mut more.chunks);
                alone = false;
            }
        }
        if !sorted {
            series.chunks.sort_by_key(|c: &Chunk| c.min_time);
        }
        if !alone {
            series.chunks = merge::disjoint_histograms(series.chunks)?;
        }
        Ok(Some(series))
    }
}

impl SeriesSet for Merged {
    fn next(&mut self) -> Option<Result<Series, StorageError>> {
        if self.failed || self.left == 0 {
            return None;
        }
        self.left -= 1;
        let next = self.advance();
        self.failed = next.is_err();
        next.map_err(StorageError::from).transpose()
    }

    fn sources(&self) -> Vec<SourceRead> {
        self.sources.iter().map(|s| s.read.clone()).collect()
    }
}
