//! A block from samples at hand, for backfilling.

use std::collections::BTreeMap;
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
