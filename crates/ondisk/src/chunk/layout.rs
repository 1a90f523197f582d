//! What all samples of a histogram chunk share: schema, zero threshold, spans and custom bounds.

use std::sync::Arc;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{ResetHint, Span};

use crate::bits::{BitReader, BitTail};

use super::{ChunkError, varbit};

/// The counter-reset bits in a histogram chunk's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResetHeader {
    /// Nothing is known about the chunk before.
    #[default]
    Unknown,
    /// No reset between the chunk before and this one.
    NotReset,
    /// This chunk begins with a reset.
    Reset,
    /// The chunk holds gauge histograms.
    Gauge,
}

impl ResetHeader {
    /// The two bits at the top of the flag byte.
    pub fn to_byte(self) -> u8 {
        match self {
            ResetHeader::Unknown => 0x00,
            ResetHeader::NotReset => 0x40,
            ResetHeader::Reset => 0x80,
            ResetHeader::Gauge => 0xc0,
        }
    }

    /// Reads the top two bits; the others are ignored.
    pub fn from_byte(byte: u8) -> ResetHeader {
        match byte & 0xc0 {
            0x00 => ResetHeader::Unknown,
            0x40 => ResetHeader::NotReset,
            0x80 => ResetHeader::Reset,
            _ => ResetHeader::Gauge,
        }
    }

    /// The header of a chunk that begins with a sample of this hint, where the hint says more than `otherwise`.
    pub(super) fn of_first(hint: ResetHint, otherwise: ResetHeader) -> ResetHeader {
        match hint {
            ResetHint::Gauge => ResetHeader::Gauge,
            ResetHint::CounterReset => ResetHeader::Reset,
            _ => otherwise,
        }
    }

    /// What readers are told about sample number `index` of such a chunk.
    pub(super) fn hint(self, index: u16) -> ResetHint {
        match (self, index) {
            (ResetHeader::Gauge, _) => ResetHint::Gauge,
            (_, 0) => ResetHint::Unknown,
            _ => ResetHint::NotCounterReset,
        }
    }
}

/// The shape every sample of a chunk has.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive: Vec<Span>,
    pub(super) negative: Vec<Span>,
    pub(super) custom: Option<Arc<[f64]>>,
}

impl Layout {
    pub(super) fn put(&self, buf: &mut Vec<u8>, tail: &mut BitTail) {
        put_zero_threshold(buf, tail, self.zero_threshold);
        varbit::put_int(buf, tail, i64::from(self.schema));
        for spans in [&self.positive, &self.negative] {
            varbit::put_uint(buf, tail, spans.len() as u64);
            for span in spans {
                varbit::put_uint(buf, tail, u64::from(span.length));
                varbit::put_int(buf, tail, i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            let bounds = self.custom.as_deref().unwrap_or_default();
            varbit::put_uint(buf, tail, bounds.len() as u64);
            for &bound in bounds {
                put_custom_bound(buf, tail, bound);
            }
        }
    }

    /// Reads a layout. What it promises is bounded by the bits that are there.
    pub(super) fn take<D: AsRef<[u8]>>(reader: &mut BitReader<D>) -> Result<Layout, ChunkError> {
        let zero_threshold = take_zero_threshold(reader)?;
        let schema = varbit::take_int(reader)?;
        let schema = i32::try_from(schema)
            .ok()
            .filter(|s| (-9..=52).contains(s) || *s == CUSTOM_BUCKETS_SCHEMA)
            .ok_or(ChunkError::Schema(schema))?;
        let positive = take_spans(reader)?;
        let negative = take_spans(reader)?;
        let custom = if schema == CUSTOM_BUCKETS_SCHEMA {
            let n = varbit::take_uint(reader)?;
            let n = bounded(n, reader, "custom bounds")?;
            let mut bounds = Vec::with_capacity(n);
            for _ in 0..n {
                bounds.push(take_custom_bound(reader)?);
            }
            Some(bounds.into())
        } else {
            None
        };
        Ok(Layout {
            schema,
            zero_threshold,
            positive,
            negative,
            custom,
        })
    }

    /// Buckets of both sides.
    pub(super) fn buckets(&self) -> usize {
        let spans = self.positive.iter().chain(&self.negative);
        spans.map(|span| span.length as usize).sum()
    }

    /// Whether samples of both shapes can stand in one chunk as far as resolution goes.
    pub(super) fn same_resolution(&self, schema: i32, zero_threshold: f64) -> bool {
        self.schema == schema && self.zero_threshold.to_bits() == zero_threshold.to_bits()
    }

    /// Whether the custom bounds are the same; always so without any.
    pub(super) fn same_bounds(&self, custom: &Option<Arc<[f64]>>) -> bool {
        let bits = |b: &Option<Arc<[f64]>>| -> Vec<u64> {
            b.iter()
                .flat_map(|b| b.iter().map(|v| v.to_bits()))
                .collect()
        };
        self.schema != CUSTOM_BUCKETS_SCHEMA || bits(&self.custom) == bits(custom)
    }
}

/// A count from the stream, as long as every counted thing still has a bit to itself.
fn bounded<D: AsRef<[u8]>>(
    n: u64,
    reader: &BitReader<D>,
    what: &'static str,
) -> Result<usize, ChunkError> {
    match usize::try_from(n) {
        Ok(n) if n <= reader.bits_left() => Ok(n),
        _ => Err(ChunkError::Malformed(what)),
    }
}

fn take_spans<D: AsRef<[u8]>>(reader: &mut BitReader<D>) -> Result<Vec<Span>, ChunkError> {
    let n = varbit::take_uint(reader)?;
    let n = bounded(n, reader, "span count")?;
    let mut spans = Vec::with_capacity(n);
    let mut buckets = 0u64;
    for _ in 0..n {
        let length = u32::try_from(varbit::take_uint(reader)?)
            .map_err(|_| ChunkError::Malformed("span length"))?;
        let offset = i32::try_from(varbit::take_int(reader)?)
            .map_err(|_| ChunkError::Malformed("span offset"))?;
        buckets += u64::from(length);
        spans.push(Span { offset, length });
    }
    bounded(buckets, reader, "bucket count")?;
    Ok(spans)
}

fn put_zero_threshold(buf: &mut Vec<u8>, tail: &mut BitTail, threshold: f64) {
    if threshold == 0.0 {
        tail.put(buf, 0, 8);
        return;
    }
    let bits = threshold.to_bits();
    let power = ((bits >> 52) as i64) - 1023;
    let is_power_of_two = bits & ((1 << 52) - 1) == 0;
    // frexp's exponent is one more than the power of two: -242..=11 in upstream's terms.
    if is_power_of_two && (-243..=10).contains(&power) {
        tail.put(buf, (power + 244) as u64, 8);
    } else {
        tail.put(buf, 255, 8);
        tail.put(buf, bits, 64);
    }
}

fn take_zero_threshold<D: AsRef<[u8]>>(reader: &mut BitReader<D>) -> Result<f64, ChunkError> {
    Ok(match reader.take(8)? {
        0 => 0.0,
        255 => f64::from_bits(reader.take(64)?),
        byte => f64::from_bits(((byte as i64 - 244 + 1023) as u64) << 52),
    })
}

fn put_custom_bound(buf: &mut Vec<u8>, tail: &mut BitTail, bound: f64) {
    let scaled = bound * 1000.0;
    if (0.0..=33_554_430.0).contains(&scaled) && scaled.round() / 1000.0 == bound {
        varbit::put_uint(buf, tail, scaled.round() as u64 + 1);
    } else {
        tail.put(buf, 0, 1);
        tail.put(buf, bound.to_bits(), 64);
    }
}

fn take_custom_bound<D: AsRef<[u8]>>(reader: &mut BitReader<D>) -> Result<f64, ChunkError> {
    Ok(match varbit::take_uint(reader)? {
        0 => f64::from_bits(reader.take(64)?),
        n => (n - 1) as f64 / 1000.0,
    })
}

/// Buckets the spans describe.
pub(super) fn bucket_count(spans: &[Span]) -> usize {
    spans.iter().map(|s| s.length as usize).sum()
}

/// Bucket indexes in the order of the bucket slices.
pub(super) fn indexes(spans: &[Span]) -> impl Iterator<Item = i64> + '_ {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    })
}

/// Spans for ascending bucket indexes; `None` when a gap does not fit 32 bits.
pub(super) fn spans_of(indexes: impl Iterator<Item = i64>) -> Option<Vec<Span>> {
    let mut spans: Vec<Span> = Vec::new();
    let mut end = 0i64;
    for index in indexes {
        match spans.last_mut() {
            Some(last) if index == end => last.length += 1,
            _ => spans.push(Span {
                offset: i32::try_from(index - end).ok()?,
                length: 1,
            }),
        }
        end = index + 1;
    }
    Some(spans)
}

/// The spans that cover the buckets of both.
pub(super) fn union(a: &[Span], b: &[Span]) -> Option<Vec<Span>> {
    let (mut left, mut right) = (indexes(a).peekable(), indexes(b).peekable());
    spans_of(std::iter::from_fn(|| {
        match (left.peek().copied(), right.peek().copied()) {
            (Some(l), Some(r)) => {
                if l <= r {
                    left.next();
                }
                if r <= l {
                    right.next();
                }
                Some(l.min(r))
            }
            (Some(_), None) => left.next(),
            _ => right.next(),
        }
    }))
}

/// Moves absolute bucket values from one shape to another; buckets missing in `from` are zero, those missing in `to`
/// are left out.
pub(super) fn spread<T: Copy + Default>(from: &[Span], values: &[T], to: &[Span]) -> Vec<T> {
    let mut source = indexes(from).zip(values.iter().copied()).peekable();
    indexes(to)
        .map(|index| {
            while source.next_if(|(i, _)| *i < index).is_some() {}
            source
                .next_if(|(i, _)| *i == index)
                .map_or(T::default(), |(_, v)| v)
        })
        .collect()
}

/// Whether going from `old` to `new` (absolute values) takes something away from any bucket.
pub(super) fn any_bucket_shrinks<T: Copy + Default + PartialOrd>(
    old_spans: &[Span],
    old: &[T],
    new_spans: &[Span],
    new: &[T],
) -> bool {
    if old_spans == new_spans {
        return old.iter().zip(new).any(|(o, n)| n < o);
    }
    let mut later = indexes(new_spans).zip(new.iter().copied()).peekable();
    indexes(old_spans)
        .zip(old.iter().copied())
        .any(|(index, o)| {
            while later.next_if(|(i, _)| *i < index).is_some() {}
            match later.next_if(|(i, _)| *i == index) {
                Some((_, n)) => n < o,
                None => o != T::default(),
            }
        })
}

/// Absolute counts from deltas between neighbours.
pub(super) fn absolute(deltas: &[i64]) -> Vec<i64> {
    let mut sum = 0i64;
    deltas
        .iter()
        .map(|d| {
            sum = sum.wrapping_add(*d);
            sum
        })
        .collect()
}

/// Deltas between neighbours from absolute counts.
pub(super) fn deltas(absolute: &[i64]) -> Vec<i64> {
    let mut last = 0i64;
    absolute
        .iter()
        .map(|&v| v.wrapping_sub(std::mem::replace(&mut last, v)))
        .collect()
}

/// Merges buckets of a finer exponential schema down to schema 8, the finest that is computed with.
pub(super) fn coarsen<T: Copy>(
    schema: i32,
    spans: &[Span],
    values: &[T],
    add: impl Fn(T, T) -> T,
) -> (Vec<Span>, Vec<T>) {
    let shift = (schema - 8).clamp(0, 63) as u32;
    let mut merged: Vec<(i64, T)> = Vec::new();
    for (index, value) in indexes(spans).zip(values.iter().copied()) {
        let target = ((index - 1) >> shift) + 1;
        match merged.last_mut() {
            Some((i, v)) if *i == target => *v = add(*v, value),
            _ => merged.push((target, value)),
        }
    }
    let spans = spans_of(merged.iter().map(|(i, _)| *i)).unwrap_or_default();
    (spans, merged.into_iter().map(|(_, v)| v).collect())
}
