//! Samples of a script, served like any storage: as chunks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{FloatHistogram, Labels, Matcher, ResetHint};
use ondisk::chunk::{ChunkIter, Encoding, FloatHistogramAppender, ResetHeader};
use storage::memory::{StoredValue, encode};
use storage::select::ReadySeries;
use storage::{
    Answer, Chunk, Querier, Queryable, SelectHints, Series, SeriesSet, StorageError, TimeRange,
};

/// A sample with its start timestamp, 0 for none.
#[derive(Clone)]
pub(super) struct Stored {
    pub start: i64,
    pub value: StoredValue,
}

/// Series in memory, start timestamps included. Clones share them.
#[derive(Clone, Default)]
pub struct ScriptStorage(Arc<Mutex<BTreeMap<Labels, BTreeMap<i64, Stored>>>>);

impl ScriptStorage {
    pub(super) fn insert(&self, labels: &Labels, t: i64, sample: Stored) {
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        series.entry(labels.clone()).or_default().insert(t, sample);
    }

    /// Puts one float sample.
    pub fn insert_float(&self, labels: &Labels, t: i64, v: f64) {
        let value = StoredValue::Float(v);
        self.insert(labels, t, Stored { start: 0, value });
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Queryable for ScriptStorage {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(View {
            storage: self.clone(),
            range,
        }))
    }
}

struct View {
    storage: ScriptStorage,
    range: TimeRange,
}

impl Querier for View {
    fn select(
        &self,
        matchers: &[Matcher],
        _hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let series = self
            .storage
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut out = Vec::new();
        for (labels, samples) in series.iter() {
            if !matchers.iter().all(|m| m.matches_labels(labels)) {
                continue;
            }
            let touched = samples
                .range(self.range.min..=self.range.max)
                .next()
                .is_some();
            if touched {
                out.push(Series {
                    labels: labels.clone(),
                    chunks: chunks(samples)?,
                });
            }
        }
        Ok(Box::new(ReadySeries::new(out)))
    }

    fn label_names(&self, _: &[Matcher], _: usize) -> Result<Answer<Vec<String>>, StorageError> {
        Ok(Answer::default())
    }

    fn label_values(
        &self,
        _: &str,
        _: &[Matcher],
        _: usize,
    ) -> Result<Answer<Vec<String>>, StorageError> {
        Ok(Answer::default())
    }
}

/// Whole series are encoded, whatever range is asked for, so that reset hints are those of storage.
fn chunks(samples: &BTreeMap<i64, Stored>) -> Result<Vec<Chunk>, StorageError> {
    if samples.values().all(|s| s.start == 0) {
        // Runs of floats between histograms end chunks, which is what reset hints depend on; the floats themselves come as
        // chunks of one sample each.
        let plain: Vec<(i64, &StoredValue)> = samples.iter().map(|(t, s)| (*t, &s.value)).collect();
        let mut out = encode(&plain)?;
        out.retain(|c| c.encoding != Encoding::Xor);
        out.extend(plain.iter().filter_map(|(t, value)| match value {
            StoredValue::Float(v) => Some(float_chunk(*t, *v, 0)),
            _ => None,
        }));
        out.sort_by_key(|c| c.min_time);
        return Ok(out);
    }
    let mut out = Vec::new();
    let mut prev: Option<FloatHistogram> = None;
    for (t, sample) in samples {
        out.push(match &sample.value {
            StoredValue::Float(v) => float_chunk(*t, *v, sample.start),
            StoredValue::Histogram(h) => {
                histogram_chunk(*t, &h.to_float(), sample.start, &mut prev)?
            }
            StoredValue::FloatHistogram(h) => histogram_chunk(*t, h, sample.start, &mut prev)?,
        });
    }
    Ok(out)
}

fn put_varint(out: &mut Vec<u8>, v: i64) {
    let mut zigzag = ((v << 1) ^ (v >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// A chunk of one sample: there the format has only whole bytes.
fn float_chunk(t: i64, v: f64, start: i64) -> Chunk {
    let mut data = vec![0, 1, 0];
    put_varint(&mut data, t);
    data.extend_from_slice(&v.to_bits().to_be_bytes());
    if start != 0 {
        data[2] = 0x80;
        put_varint(&mut data, t.wrapping_sub(start));
    }
    Chunk {
        min_time: t,
        max_time: t,
        encoding: Encoding::Xor2,
        data: data.into(),
    }
}

/// A chunk of one histogram; the header says what comparing with the one before tells about resets.
fn histogram_chunk(
    t: i64,
    h: &FloatHistogram,
    start: i64,
    prev: &mut Option<FloatHistogram>,
) -> Result<Chunk, StorageError> {
    let header = match (h.reset_hint, prev.as_ref()) {
        (ResetHint::Gauge, _) => ResetHeader::Gauge,
        (ResetHint::CounterReset, _) => ResetHeader::Reset,
        (_, None) => ResetHeader::Unknown,
        (_, Some(before)) if h.detect_reset(before) => ResetHeader::Reset,
        _ => ResetHeader::NotReset,
    };
    let mut plain = h.clone();
    plain.reset_hint = if header == ResetHeader::Gauge {
        ResetHint::Gauge
    } else {
        ResetHint::Unknown
    };
    *prev = Some(plain.clone());
    let mut data = Vec::new();
    FloatHistogramAppender::start(&mut data, header, t, &plain);
    let bytes = |data: Vec<u8>, encoding| Chunk {
        min_time: t,
        max_time: t,
        encoding,
        data: data.into(),
    };
    if start == 0 {
        return Ok(bytes(data, Encoding::FloatHistogram));
    }
    // The start time follows the sample's last bit, wherever in its byte that is: try all places, keep the one that reads.
    let mut suffix = Vec::new();
    put_varint(&mut suffix, t.wrapping_sub(start));
    for padding in 0..8 {
        let mut with = data.clone();
        with[0] |= data[2] & 0xc0;
        with[2] = 0x80;
        append_bits(&mut with, padding, &suffix);
        let Ok(mut iter) = ChunkIter::new(Encoding::FloatHistogramSt, &with[..]) else {
            continue;
        };
        if matches!(iter.next(), Ok(Some(_)))
            && iter.start_time() == start
            && iter.at_float_histogram().1.equals(&plain)
        {
            return Ok(bytes(with, Encoding::FloatHistogramSt));
        }
    }
    Err(StorageError::Other("encode start timestamp".to_string()))
}

/// Writes bytes over the last `padding` bits and on.
fn append_bits(data: &mut Vec<u8>, padding: u32, bytes: &[u8]) {
    for b in bytes {
        if padding == 0 {
            data.push(*b);
            continue;
        }
        if let Some(last) = data.last_mut() {
            *last = (*last >> padding << padding) | (b >> (8 - padding));
        }
        data.push(b << padding);
    }
}
