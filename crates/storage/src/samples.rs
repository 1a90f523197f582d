//! A series' samples in order of time, decoded as they are asked for, overlaps merged.

use std::sync::Arc;

use model::FloatHistogram;
use ondisk::chunk::{ChunkError, ChunkIter, ValueKind};

use crate::select::{Chunk, Series, TimeRange};

/// A decoded value. Histograms come with float counts, as queries want them.
#[derive(Clone, Debug)]
pub enum Value {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl Value {
    /// Whether it ends its series.
    pub fn is_stale(&self) -> bool {
        match self {
            Value::Float(v) => model::sample::is_stale_nan(*v),
            Value::Histogram(h) => model::sample::is_stale_nan(h.sum),
        }
    }
}

/// Walks the samples of a series within a range. Of two samples at one time the one from the later chunk in the list is
/// left out, so every time comes once.
pub struct Samples<'a> {
    range: TimeRange,
    /// Chunks not yet opened, in order of their first sample.
    waiting: std::slice::Iter<'a, Chunk>,
    /// The first of `waiting`, taken out to be compared.
    upcoming: Option<&'a Chunk>,
    /// Opened chunks with a current sample; more than one only where chunks overlap.
    open: Vec<Cursor<'a>>,
    last: Option<i64>,
}

struct Cursor<'a> {
    iter: ChunkIter<&'a [u8]>,
    kind: ValueKind,
    time: i64,
}

impl Series {
    /// The samples within `range`.
    pub fn samples(&self, range: TimeRange) -> Samples<'_> {
        let mut waiting = self.chunks.iter();
        let upcoming = waiting.next();
        Samples {
            range,
            waiting,
            upcoming,
            open: Vec::new(),
            last: None,
        }
    }
}

impl Samples<'_> {
    /// The next sample.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<(i64, Value)>, ChunkError> {
        loop {
            self.open_due()?;
            // Earliest time; of equal ones the chunk opened first.
            let Some(at) = (0..self.open.len()).min_by_key(|at| self.open[*at].time) else {
                return Ok(None);
            };
            let cursor = &mut self.open[at];
            let time = cursor.time;
            if time > self.range.max {
                return Ok(None);
            }
            let wanted = time >= self.range.min && self.last.is_none_or(|last| time > last);
            let value = if !wanted {
                None
            } else if cursor.kind == ValueKind::Float {
                Some(Value::Float(cursor.iter.at_float().1))
            } else {
                Some(Value::Histogram(Arc::new(
                    cursor.iter.at_float_histogram().1,
                )))
            };
            if !cursor.step()? {
                self.open.remove(at);
            }
            if let Some(value) = value {
                self.last = Some(time);
                return Ok(Some((time, value)));
            }
        }
    }

    /// Opens every chunk that may hold the next sample.
    fn open_due(&mut self) -> Result<(), ChunkError> {
        while let Some(chunk) = self.upcoming {
            let earliest = self.open.iter().map(|cursor| cursor.time).min();
            if earliest.is_some_and(|earliest| earliest < chunk.min_time)
                || chunk.min_time > self.range.max
            {
                return Ok(());
            }
            self.upcoming = self.waiting.next();
            if chunk.max_time < self.range.min {
                continue;
            }
            let iter = ChunkIter::new(chunk.encoding, &chunk.data[..])?;
            let mut cursor = Cursor {
                iter,
                kind: ValueKind::Float,
                time: 0,
            };
            if cursor.step()? {
                self.open.push(cursor);
            }
        }
        Ok(())
    }
}

impl Cursor<'_> {
    fn step(&mut self) -> Result<bool, ChunkError> {
        match self.iter.next()? {
            Some(kind) => {
                self.kind = kind;
                self.time = self.iter.time();
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;
    use ondisk::chunk::{Encoding, XorAppender};

    fn chunk(samples: &[(i64, f64)]) -> Chunk {
        let mut data = Vec::new();
        let mut appender = XorAppender::start(&mut data);
        for (t, v) in samples {
            appender.append(&mut data, *t, *v).expect("room");
        }
        appender.seal(&mut data);
        Chunk {
            min_time: samples[0].0,
            max_time: samples[samples.len() - 1].0,
            encoding: Encoding::Xor,
            data: data.into(),
        }
    }

    fn read(chunks: Vec<Chunk>, min: i64, max: i64) -> Vec<(i64, f64)> {
        let series = Series {
            labels: Labels::empty(),
            chunks,
        };
        let mut samples = series.samples(TimeRange { min, max });
        let mut out = Vec::new();
        while let Some((t, value)) = samples.next().expect("decodes") {
            let Value::Float(v) = value else {
                panic!("a float")
            };
            out.push((t, v));
        }
        out
    }

    #[test]
    fn neighbours_overlaps_and_ranges() {
        let chunks = vec![
            chunk(&[(10, 1.0), (20, 2.0), (50, 5.0)]),
            chunk(&[(20, 9.0), (30, 3.0), (40, 4.0)]),
            chunk(&[(60, 6.0), (70, 7.0)]),
        ];
        let all = [
            (10, 1.0),
            (20, 2.0),
            (30, 3.0),
            (40, 4.0),
            (50, 5.0),
            (60, 6.0),
            (70, 7.0),
        ];
        assert_eq!(read(chunks.clone(), i64::MIN, i64::MAX), all);
        assert_eq!(read(chunks.clone(), 20, 60), all[1..6]);
        assert_eq!(read(chunks.clone(), 65, 100), all[6..]);
        assert_eq!(read(chunks, 71, 100), []);
    }
}
