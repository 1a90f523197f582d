//! Reading a range across blocks and head: series merged by labels, chunks handed out compressed.

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use model::{Labels, Matcher};
use ondisk::index::SeriesEntry;
use ondisk::tombstones::Tombstones;
use storage::{Answer, Chunk, Querier, SelectHints, Series, SeriesSet, StorageError, TimeRange};

use crate::block::Block;
use crate::failure::DbError;
use crate::head::{HeadReader, Visible};
use crate::matching;

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

    fn union<F>(&self, limit: usize, mut of: F) -> Result<Answer<Vec<String>>, StorageError>
    where
        F: FnMut(Source<'_>) -> Result<Vec<String>, DbError>,
    {
        let mut lists = Vec::new();
        for block in &self.blocks {
            lists.push(of(Source::Block(block))?);
        }
        if let Some(head) = &self.head {
            lists.push(of(Source::Head(head))?);
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

enum Source<'a> {
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
        let mut sources: Vec<Box<dyn NextSeries>> = Vec::new();
        for block in &self.blocks {
            let references = block.select(matchers)?;
            sources.push(Box::new(BlockSeries {
                tombstones: block.tombstones(),
                block: block.clone(),
                references: references.into_iter(),
                range: self.range,
                labels_only,
                entry: SeriesEntry::default(),
            }));
        }
        if let Some(head) = &self.head {
            let series = head.series(matchers)?.into_iter();
            sources.push(Box::new(HeadSeries {
                head: head.clone(),
                series,
                labels_only,
            }));
        }
        Ok(Box::new(Merged::new(sources, hints.limit)?))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError> {
        self.union(limit, |source| match source {
            Source::Block(block) => matching::label_names(block, matchers, limit),
            Source::Head(head) => head.label_names(matchers, limit),
        })
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError> {
        self.union(limit, |source| match source {
            Source::Block(block) => matching::label_values(block, name, matchers, limit),
            Source::Head(head) => head.label_values(name, matchers, limit),
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
            let labels = self.block.labels(&self.entry)?;
            return Ok(Some(Series { labels, chunks }));
        }
        Ok(None)
    }
}

struct HeadSeries {
    head: Arc<HeadReader>,
    series: std::vec::IntoIter<(Labels, u32)>,
    labels_only: bool,
}

impl NextSeries for HeadSeries {
    fn next(&mut self) -> Result<Option<Series>, DbError> {
        for (labels, slot) in self.series.by_ref() {
            if self.labels_only {
                if self.head.has_chunks(slot) {
                    return Ok(Some(Series {
                        labels,
                        chunks: Vec::new(),
                    }));
                }
                continue;
            }
            let chunks = self.head.chunks(slot, Visible::All)?;
            if chunks.is_empty() {
                continue;
            }
            return Ok(Some(Series { labels, chunks }));
        }
        Ok(None)
    }
}

/// The next series of a source, ordered so that the heap gives the least labels first, and of equal ones the source
/// that comes first.
struct Front(Series, usize);

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
            .0
            .labels
            .cmp(&self.0.labels)
            .then(other.1.cmp(&self.1))
    }
}

/// Several sources as one.
struct Merged {
    sources: Vec<Box<dyn NextSeries>>,
    fronts: BinaryHeap<Front>,
    left: usize,
    failed: bool,
}

impl Merged {
    fn new(mut sources: Vec<Box<dyn NextSeries>>, limit: usize) -> Result<Merged, DbError> {
        let mut fronts = BinaryHeap::new();
        for (i, source) in sources.iter_mut().enumerate() {
            fronts.extend(source.next()?.map(|series| Front(series, i)));
        }
        let left = if limit == 0 { usize::MAX } else { limit };
        Ok(Merged {
            sources,
            fronts,
            left,
            failed: false,
        })
    }

    fn advance(&mut self) -> Result<Option<Series>, DbError> {
        let Some(Front(mut series, source)) = self.fronts.pop() else {
            return Ok(None);
        };
        self.fronts
            .extend(self.sources[source].next()?.map(|next| Front(next, source)));
        let mut merged = false;
        while self
            .fronts
            .peek()
            .is_some_and(|front| front.0.labels == series.labels)
        {
            let Some(Front(same, source)) = self.fronts.pop() else {
                break;
            };
            series.chunks.extend(same.chunks);
            merged = true;
            self.fronts
                .extend(self.sources[source].next()?.map(|next| Front(next, source)));
        }
        if merged {
            series.chunks.sort_by_key(|c: &Chunk| c.min_time);
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
}
