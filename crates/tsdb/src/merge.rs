//! Decoding chunks to samples, merging overlaps, leaving out what was deleted, and encoding again.

use bytes::Bytes;
use model::{FloatHistogram, Histogram, ResetHint};
use ondisk::chunk::{
    ChunkError, ChunkIter, Encoding, FLOAT_CHUNK_BYTES_MAX, FloatHistogramAppender,
    HistogramAppender, Plan, ResetHeader, ValueKind, XorAppender,
};
use ondisk::tombstones::{Interval, Intervals};
use storage::Chunk;

/// Samples a rewritten chunk holds.
const SAMPLES: u16 = 120;

/// A decoded value.
#[derive(Debug, Clone)]
pub enum Value {
    /// A float.
    Float(f64),
    /// A histogram with whole-number counts.
    Histogram(Box<Histogram>),
    /// A histogram with float counts.
    FloatHistogram(Box<FloatHistogram>),
}

/// A decoded sample.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Unix milliseconds.
    pub t: i64,
    /// What was measured.
    pub value: Value,
}

/// Appends the samples of a chunk to `out`.
pub(crate) fn decode(
    encoding: Encoding,
    data: &[u8],
    out: &mut Vec<Sample>,
) -> Result<(), ChunkError> {
    let mut iter = ChunkIter::new(encoding, data)?;
    while let Some(kind) = iter.next()? {
        out.push(match kind {
            ValueKind::Float => {
                let (t, v) = iter.at_float();
                Sample {
                    t,
                    value: Value::Float(v),
                }
            }
            ValueKind::Histogram => {
                let (t, h) = iter.at_histogram();
                Sample {
                    t,
                    value: Value::Histogram(Box::new(h)),
                }
            }
            ValueKind::FloatHistogram => {
                let (t, h) = iter.at_float_histogram();
                Sample {
                    t,
                    value: Value::FloatHistogram(Box::new(h)),
                }
            }
        });
    }
    Ok(())
}

/// The chunk being written.
enum Open {
    Float(XorAppender),
    Histogram(HistogramAppender),
    FloatHistogram(FloatHistogramAppender),
}

/// Encodes samples, which must be in order of time, each time once. Chunks end at 120 samples, where the kind of value
/// changes, and where a histogram cannot follow.
pub(crate) fn encode(samples: &[Sample]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut buf = Vec::new();
    let mut open: Option<Open> = None;
    let mut first = 0;
    let close = |buf: &mut Vec<u8>, open: &Option<Open>, from: usize, to: usize| {
        let encoding = match open {
            None => return None,
            Some(Open::Float(a)) => {
                a.seal(buf);
                Encoding::Xor
            }
            Some(Open::Histogram(_)) => Encoding::Histogram,
            Some(Open::FloatHistogram(_)) => Encoding::FloatHistogram,
        };
        Some(Chunk {
            min_time: samples[from].t,
            max_time: samples[to - 1].t,
            encoding,
            data: Bytes::from(std::mem::take(buf)),
        })
    };
    for (i, sample) in samples.iter().enumerate() {
        let full = i - first >= usize::from(SAMPLES) || buf.len() > FLOAT_CHUNK_BYTES_MAX * 4;
        let t = sample.t;
        // A sample that joins the open chunk is done; otherwise the header of the next chunk is decided.
        let header = match (&mut open, &sample.value) {
            (Some(Open::Float(a)), Value::Float(v))
                if !full && buf.len() <= FLOAT_CHUNK_BYTES_MAX =>
            {
                match a.append(&mut buf, t, *v) {
                    Ok(()) => continue,
                    Err(_) => ResetHeader::Unknown,
                }
            }
            (Some(Open::Histogram(a)), Value::Histogram(h)) => match a.plan(&buf, h) {
                Plan::Append if !full && a.append(&mut buf, t, h).is_ok() => continue,
                plan => plan.header_after_cut(),
            },
            (Some(Open::FloatHistogram(a)), Value::FloatHistogram(h)) => match a.plan(&buf, h) {
                Plan::Append if !full && a.append(&mut buf, t, h).is_ok() => continue,
                plan => plan.float_header_after_cut(),
            },
            _ => ResetHeader::Unknown,
        };
        chunks.extend(close(&mut buf, &open, first, i));
        first = i;
        open = Some(match &sample.value {
            Value::Float(v) => {
                let mut appender = XorAppender::start(&mut buf);
                let appended = appender.append(&mut buf, t, *v);
                debug_assert!(appended.is_ok());
                Open::Float(appender)
            }
            Value::Histogram(h) => {
                Open::Histogram(HistogramAppender::start(&mut buf, header, t, h))
            }
            Value::FloatHistogram(h) => {
                Open::FloatHistogram(FloatHistogramAppender::start(&mut buf, header, t, h))
            }
        });
    }
    chunks.extend(close(&mut buf, &open, first, samples.len()));
    chunks
}

/// Sorts samples by time and keeps the first of each time. Where a histogram does not follow its own predecessor any
/// more, what it knows about resets is void.
fn sort_and_dedup(samples: &mut Vec<Sample>) {
    samples.sort_by_key(|s| s.t);
    samples.dedup_by_key(|s| s.t);
    for sample in samples {
        match &mut sample.value {
            Value::Float(_) => {}
            Value::Histogram(h) if h.reset_hint != ResetHint::Gauge => {
                h.reset_hint = ResetHint::Unknown;
            }
            Value::FloatHistogram(h) if h.reset_hint != ResetHint::Gauge => {
                h.reset_hint = ResetHint::Unknown;
            }
            _ => {}
        }
    }
}

/// Makes chunks disjoint: equal ones are kept once, overlapping ones are decoded, merged and encoded again, all others
/// stay byte for byte. Of two samples at one time one is kept.
pub(crate) fn disjoint(mut chunks: Vec<Chunk>) -> Result<Vec<Chunk>, ChunkError> {
    chunks.sort_by_key(|c| (c.min_time, c.max_time));
    chunks.dedup_by(|a, b| a == b);
    if chunks.windows(2).all(|w| w[0].max_time < w[1].min_time) {
        return Ok(chunks);
    }
    let mut out = Vec::with_capacity(chunks.len());
    let mut rest = chunks.into_iter().peekable();
    while let Some(chunk) = rest.next() {
        let mut end = chunk.max_time;
        let mut run = vec![chunk];
        while let Some(next) = rest.next_if(|c| c.min_time <= end) {
            end = end.max(next.max_time);
            run.push(next);
        }
        if run.len() == 1 {
            out.append(&mut run);
            continue;
        }
        let mut samples = Vec::new();
        for chunk in &run {
            decode(chunk.encoding, &chunk.data, &mut samples)?;
        }
        sort_and_dedup(&mut samples);
        out.append(&mut encode(&samples));
    }
    Ok(out)
}

/// Makes chunks with histograms disjoint, for readers: what a chunk says about resets holds between its own samples, and
/// not where those of another chunk come in between. Overlapping floats are left to whoever decodes them. `chunks` are in
/// order of their first samples.
pub(crate) fn disjoint_histograms(chunks: Vec<Chunk>) -> Result<Vec<Chunk>, ChunkError> {
    let is_float = |c: &Chunk| matches!(c.encoding, Encoding::Xor | Encoding::Xor2);
    if chunks.iter().all(is_float) {
        return Ok(chunks);
    }
    disjoint(chunks)
}

/// What is left of a chunk within `keep` and without `deleted`; a chunk that is not touched stays byte for byte.
pub(crate) fn trim(
    chunk: Chunk,
    keep: Interval,
    deleted: Option<&Intervals>,
) -> Result<Vec<Chunk>, ChunkError> {
    let inside = keep.min <= chunk.min_time && chunk.max_time <= keep.max;
    let deleted = deleted.filter(|d| d.overlap(chunk.min_time, chunk.max_time));
    if inside && deleted.is_none() {
        return Ok(vec![chunk]);
    }
    if chunk.max_time < keep.min
        || keep.max < chunk.min_time
        || deleted.is_some_and(|d| d.cover(chunk.min_time, chunk.max_time))
    {
        return Ok(Vec::new());
    }
    let mut samples = Vec::new();
    decode(chunk.encoding, &chunk.data, &mut samples)?;
    samples.retain(|s| keep.contains(s.t) && !deleted.is_some_and(|d| d.contains(s.t)));
    Ok(encode(&samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(from: i64, n: i64, step: i64) -> Vec<Sample> {
        (0..n)
            .map(|i| Sample {
                t: from + i * step,
                value: Value::Float(i as f64),
            })
            .collect()
    }

    fn times(chunks: &[Chunk]) -> Vec<i64> {
        let mut samples = Vec::new();
        for chunk in chunks {
            let before = samples.len();
            decode(chunk.encoding, &chunk.data, &mut samples).unwrap();
            assert_eq!(samples[before].t, chunk.min_time);
            assert_eq!(samples[samples.len() - 1].t, chunk.max_time);
        }
        samples.iter().map(|s| s.t).collect()
    }

    #[test]
    fn overlaps_become_one() {
        let mut chunks = encode(&floats(0, 300, 10));
        assert_eq!(chunks.len(), 3);
        let apart = encode(&floats(10_000, 5, 10));
        chunks.extend(encode(&floats(5, 50, 10)));
        chunks.extend(apart.clone());
        chunks.extend(apart.clone());
        let merged = disjoint(chunks).unwrap();
        assert_eq!(times(&merged).len(), 300 + 50 + 5);
        assert!(times(&merged).is_sorted());
        assert_eq!(merged.last(), apart.first());
        assert!(merged.windows(2).all(|w| w[0].max_time < w[1].min_time));
    }

    #[test]
    fn trimmed_by_range_and_deletion() {
        let chunk = encode(&floats(0, 100, 10)).remove(0);
        let all = Interval {
            min: 0,
            max: 10_000,
        };
        assert_eq!(trim(chunk.clone(), all, None).unwrap(), vec![chunk.clone()]);
        let part = trim(chunk.clone(), Interval { min: 500, max: 600 }, None).unwrap();
        assert_eq!(times(&part).len(), 11);
        let deleted: Intervals = [Interval { min: 0, max: 499 }].into_iter().collect();
        assert_eq!(
            times(&trim(chunk.clone(), all, Some(&deleted)).unwrap()).len(),
            50
        );
        let deleted: Intervals = [Interval::ALL].into_iter().collect();
        assert!(trim(chunk, all, Some(&deleted)).unwrap().is_empty());
    }

    #[test]
    fn what_is_known_of_resets_ends_where_others_come_between() {
        let histogram = |t: i64, count: u64, hint: ResetHint| Sample {
            t,
            value: Value::Histogram(Box::new(Histogram {
                count,
                zero_count: count,
                reset_hint: hint,
                ..Histogram::default()
            })),
        };
        let encoded = |samples: &[(i64, u64)], hint: ResetHint| {
            let all: Vec<_> = samples
                .iter()
                .map(|(t, count)| histogram(*t, *count, hint))
                .collect();
            encode(&all)
        };
        let hints = |chunks: Vec<Chunk>| {
            let mut samples = Vec::new();
            for chunk in disjoint_histograms(chunks).unwrap() {
                decode(chunk.encoding, &chunk.data, &mut samples).unwrap();
            }
            let hint = |s: &Sample| match &s.value {
                Value::Histogram(h) => (s.t, h.reset_hint),
                _ => panic!("a float"),
            };
            samples.iter().map(hint).collect::<Vec<_>>()
        };
        use ResetHint::{Gauge, NotCounterReset, Unknown};
        let alone = encoded(&[(0, 10), (20, 20), (40, 30)], Unknown);
        assert_eq!(
            hints(alone.clone()),
            [(0, Unknown), (20, NotCounterReset), (40, NotCounterReset)]
        );
        // Another process' counts between them: falling from 20 to 5 and rising again.
        let between = encoded(&[(25, 5), (30, 6)], Unknown);
        let both = hints([alone.clone(), between].concat());
        let want = [
            (0, Unknown),
            (20, NotCounterReset),
            (25, Unknown),
            (30, NotCounterReset),
            (40, NotCounterReset),
        ];
        assert_eq!(both, want);
        let gauges = encoded(&[(0, 10), (20, 5)], Gauge);
        let more = encoded(&[(10, 7)], Gauge);
        assert_eq!(
            hints([gauges, more].concat()),
            [(0, Gauge), (10, Gauge), (20, Gauge)]
        );
        // Chunks that do not overlap stay byte for byte.
        let later = encoded(&[(50, 1)], Unknown);
        let apart = [alone, later].concat();
        assert_eq!(disjoint_histograms(apart.clone()).unwrap(), apart);
    }

    #[test]
    fn kinds_are_kept_apart() {
        let mut samples = floats(0, 3, 10);
        let h = Histogram {
            count: 3,
            zero_count: 3,
            sum: 1.0,
            ..Histogram::default()
        };
        samples.push(Sample {
            t: 100,
            value: Value::Histogram(Box::new(h.clone())),
        });
        samples.push(Sample {
            t: 110,
            value: Value::FloatHistogram(Box::new(h.to_float())),
        });
        let chunks = encode(&samples);
        let kinds: Vec<Encoding> = chunks.iter().map(|c| c.encoding).collect();
        assert_eq!(
            kinds,
            [Encoding::Xor, Encoding::Histogram, Encoding::FloatHistogram]
        );
        assert!(encode(&[]).is_empty());
    }
}
