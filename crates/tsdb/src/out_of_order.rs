//! Samples of a series that came after newer ones: a few decoded ones in order of time, then chunks in files.

use ondisk::record::AnyHistogram;

use crate::chunk_files::{ChunkFiles, FileRef};
use crate::merge::{self, Sample, Value};
use crate::series::Finished;

/// Samples that are kept decoded; then they become chunks.
pub(crate) const CAPACITY: usize = 32;

/// The out-of-order side of a series.
#[derive(Debug, Default)]
pub(crate) struct OutOfOrder {
    /// Sorted by time, each time once.
    pub(crate) samples: Vec<Sample>,
    /// Chunks in the order they were flushed; they overlap.
    pub(crate) finished: Vec<Finished>,
}

impl OutOfOrder {
    /// Adds a sample; false when its time is there already. Chunks that had to be flushed first are told to `flushed`.
    pub(crate) fn insert(
        &mut self,
        reference: u64,
        t: i64,
        value: Value,
        files: &ChunkFiles,
        mut flushed: impl FnMut(FileRef),
    ) -> bool {
        let at = match self.samples.binary_search_by_key(&t, |s| s.t) {
            Ok(_) => return false,
            Err(at) => at,
        };
        if self.samples.len() >= CAPACITY {
            self.flush(reference, files, &mut flushed);
            self.samples.push(Sample { t, value });
        } else {
            self.samples.insert(at, Sample { t, value });
        }
        true
    }

    /// Makes chunks of the decoded samples.
    pub(crate) fn flush(
        &mut self,
        reference: u64,
        files: &ChunkFiles,
        mut flushed: impl FnMut(FileRef),
    ) {
        for chunk in merge::encode(&self.samples) {
            let byte = chunk.encoding.to_byte() | ondisk::chunk::OUT_OF_ORDER_BIT;
            let at = files.write(
                reference,
                (chunk.min_time, chunk.max_time),
                byte,
                &chunk.data,
            );
            let finished = Finished::new(chunk.min_time, chunk.max_time, chunk.encoding, at);
            self.finished.extend(finished);
            flushed(at);
        }
        self.samples.clear();
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.finished.is_empty()
    }

    /// Drops chunks up to and including `last`, which are in blocks now.
    pub(crate) fn forget(&mut self, last: FileRef) {
        self.finished.retain(|c| c.at() > last);
    }

    /// First and last time.
    pub(crate) fn range(&self) -> Option<(i64, i64)> {
        let chunks = self.finished.iter().map(|c| (c.min_time(), c.max_time()));
        let samples = self.samples.iter().map(|s| (s.t, s.t));
        chunks
            .chain(samples)
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

/// A histogram as an out-of-order value.
pub(crate) fn histogram_value(h: &AnyHistogram) -> Value {
    match h {
        AnyHistogram::Integer(h) => Value::Histogram(Box::new(h.clone())),
        AnyHistogram::Float(h) => Value::FloatHistogram(Box::new(h.clone())),
    }
}
