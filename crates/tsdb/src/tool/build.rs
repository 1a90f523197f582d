//! Blocks from samples at hand, for backfilling: collected in any order, or series by series.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::Disk;
use hashbrown::hash_map::HashMap;
use model::Labels;
use ondisk::meta::{Meta, Ulid};
use ondisk::segment::SEGMENT_BYTES_MAX;

use crate::block_writer::BlockWriter;
use crate::failure::DbError;
use crate::merge::{self, Sample, Value};

/// Collects the samples of one block.
pub struct BlockBuilder {
    disk: Arc<dyn Disk>,
    parent: PathBuf,
    series: HashMap<Labels, Vec<Sample>>,
    samples: usize,
}

impl BlockBuilder {
    /// A block that will be written to `parent`.
    pub fn new(disk: Arc<dyn Disk>, parent: &Path) -> BlockBuilder {
        BlockBuilder {
            disk,
            parent: parent.to_owned(),
            series: HashMap::new(),
            samples: 0,
        }
    }

    /// Adds a sample, in any order; of two at one time the first one stays.
    pub fn add(&mut self, labels: &Labels, t: i64, value: Value) {
        self.samples += 1;
        let sample = Sample { t, value };
        match self.series.get_mut(labels) {
            Some(list) => list.push(sample),
            None => {
                self.series.insert(labels.clone(), vec![sample]);
            }
        }
    }

    /// Samples so far.
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Writes the block. Its range is that of its samples. `None` when there are none.
    pub fn finish(self, ulid: Ulid) -> Result<Option<Meta>, DbError> {
        if self.is_empty() {
            return Ok(None);
        }
        self.disk
            .create_dir_all(&self.parent)
            .map_err(DbError::io("create", &self.parent))?;
        let mut writer = BlockWriter::new(self.disk, &self.parent, ulid, SEGMENT_BYTES_MAX)?;
        let mut symbols: BTreeMap<&str, u32> = self
            .series
            .keys()
            .flat_map(|l| l.iter())
            .flat_map(|(n, v)| [(n, 0), (v, 0)])
            .collect();
        for (text, number) in &mut symbols {
            *number = writer.add_symbol(text)?;
        }
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        let mut order: Vec<(&Labels, &Vec<Sample>)> = self.series.iter().collect();
        order.sort_by(|a, b| a.0.cmp(b.0));
        let number = |text: &str| symbols.get(text).copied().unwrap_or(0);
        for (labels, samples) in order {
            let mut samples = samples.clone();
            samples.sort_by_key(|s| s.t);
            samples.dedup_by_key(|s| s.t);
            if let (Some(first), Some(last)) = (samples.first(), samples.last()) {
                (min, max) = (min.min(first.t), max.max(last.t));
            }
            let pairs: Vec<(u32, u32)> =
                labels.iter().map(|(n, v)| (number(n), number(v))).collect();
            writer.add_series(&pairs, &merge::encode(&samples))?;
        }
        writer.finish(Meta::new(ulid, min, max.saturating_add(1)))
    }
}

/// Writes a block series by series, in the order of their labels: memory depends on labels, not on samples.
pub struct BlockStream {
    writer: BlockWriter,
    ulid: Ulid,
    symbols: BTreeMap<String, u32>,
    samples: Vec<Sample>,
    range: (i64, i64),
}

impl BlockStream {
    /// A block in `parent` for series with these label names and values.
    pub fn new(
        disk: Arc<dyn Disk>,
        parent: &Path,
        ulid: Ulid,
        texts: BTreeSet<String>,
    ) -> Result<BlockStream, DbError> {
        disk.create_dir_all(parent)
            .map_err(DbError::io("create", parent))?;
        let mut writer = BlockWriter::new(disk, parent, ulid, SEGMENT_BYTES_MAX)?;
        let mut symbols = BTreeMap::new();
        for text in texts {
            let number = writer.add_symbol(&text)?;
            symbols.insert(text, number);
        }
        Ok(BlockStream {
            writer,
            ulid,
            symbols,
            samples: Vec::new(),
            range: (i64::MAX, i64::MIN),
        })
    }

    /// Adds a series with its samples, which come by time, each time once.
    pub fn add(
        &mut self,
        labels: &Labels,
        samples: impl IntoIterator<Item = (i64, f64)>,
    ) -> Result<(), DbError> {
        self.samples.clear();
        let floats = samples.into_iter().map(|(t, v)| Sample {
            t,
            value: Value::Float(v),
        });
        self.samples.extend(floats);
        if let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) {
            self.range = (self.range.0.min(first.t), self.range.1.max(last.t));
        }
        let number = |text: &str| {
            let known = self.symbols.get(text).copied();
            known.ok_or_else(|| DbError::Options(format!("text {text:?} was not announced")))
        };
        let mut pairs = Vec::with_capacity(labels.len());
        for (name, value) in labels.iter() {
            pairs.push((number(name)?, number(value)?));
        }
        self.writer
            .add_series(&pairs, &merge::encode(&self.samples))
    }

    /// Gives the block its name. Its range is `[min, max)`, or that of its samples without one. `None` without samples.
    pub fn finish(self, range: Option<(i64, i64)>) -> Result<Option<Meta>, DbError> {
        let (min, max) = range.unwrap_or((self.range.0, self.range.1.saturating_add(1)));
        self.writer.finish(Meta::new(self.ulid, min, max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Block;
    use env::sim::SimDisk;

    #[test]
    fn a_stream_is_a_block() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let dir = Path::new("/blocks");
        let labels =
            |i: usize| Labels::from_pairs([("__name__", "m".to_owned()), ("i", format!("{i:03}"))]);
        let texts = (0..50).flat_map(|i| {
            let of = labels(i);
            of.iter()
                .flat_map(|(n, v)| [n.to_owned(), v.to_owned()])
                .collect::<Vec<_>>()
        });
        let ulid = Ulid::new(1, [1; 10]);
        let mut stream = BlockStream::new(disk.clone(), dir, ulid, texts.collect()).unwrap();
        let unknown = stream.add(&Labels::from_pairs([("a", "b")]), [(1, 1.0)]);
        assert!(unknown.is_err());
        for i in 0..50 {
            stream
                .add(
                    &labels(i),
                    (0..300).map(|t| (t * 10, (t * i as i64) as f64)),
                )
                .unwrap();
        }
        let meta = stream.finish(Some((0, 7_200_000))).unwrap().unwrap();
        assert_eq!(
            (meta.stats.num_series, meta.stats.num_samples),
            (50, 15_000)
        );
        let block = Block::open(disk, &dir.join(ulid.to_string())).unwrap();
        assert_eq!(block.meta().max_time, 7_200_000);
        assert_eq!(block.index().all_postings().unwrap().len(), 50);
    }
}
