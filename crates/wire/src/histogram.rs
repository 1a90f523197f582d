//! The message `prometheus.Histogram`, the same in remote read and in both versions of remote write.

use std::sync::Arc;

use model::{FloatHistogram, Histogram, ResetHint, Span};

use crate::fields::{
    Broken, Value, doubles, fields, integers, put_bytes, put_double, put_uint, put_varint, unzigzag,
};

/// No histogram that is taken in has more buckets or spans on a side than this.
const MAX_BUCKETS: usize = 1 << 17;

/// A histogram of either kind, as a message says it.
#[derive(Clone, Debug)]
pub enum AnyHistogram {
    /// Whole-number counts.
    Integer(Histogram),
    /// Float counts.
    Float(FloatHistogram),
}

/// A histogram with its times.
#[derive(Clone, Debug)]
pub struct HistogramSample {
    /// Unix milliseconds.
    pub t: i64,
    /// Unix milliseconds at which counting began; 0 when unknown.
    pub start: i64,
    /// The histogram.
    pub histogram: AnyHistogram,
}

fn zigzag32(n: i32) -> u64 {
    u64::from(((n << 1) ^ (n >> 31)) as u32)
}

fn zigzag64(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn hint(hint: ResetHint) -> u64 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::CounterReset => 1,
        ResetHint::NotCounterReset => 2,
        ResetHint::Gauge => 3,
    }
}

fn put_doubles(out: &mut Vec<u8>, field: u64, values: &[f64]) {
    if values.is_empty() {
        return;
    }
    let packed: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    put_bytes(out, field, &packed);
}

fn put_deltas(out: &mut Vec<u8>, field: u64, values: &[i64]) {
    if values.is_empty() {
        return;
    }
    let mut packed = Vec::with_capacity(values.len() * 2);
    for value in values {
        put_varint(&mut packed, zigzag64(*value));
    }
    put_bytes(out, field, &packed);
}

fn put_spans(out: &mut Vec<u8>, field: u64, spans: &[Span]) {
    for span in spans {
        let mut message = Vec::with_capacity(12);
        put_uint(&mut message, 1, zigzag32(span.offset));
        put_uint(&mut message, 2, u64::from(span.length));
        put_bytes(out, field, &message);
    }
}

/// Appends a histogram with whole-number counts as `field`; `start` is written where it is not 0.
pub fn put_integer(out: &mut Vec<u8>, field: u64, t: i64, start: i64, h: &Histogram) {
    let mut message = Vec::with_capacity(128);
    put_uint(&mut message, 1, h.count);
    put_double(&mut message, 3, h.sum);
    put_uint(&mut message, 4, zigzag32(h.schema));
    put_double(&mut message, 5, h.zero_threshold);
    put_uint(&mut message, 6, h.zero_count);
    put_spans(&mut message, 8, &h.negative_spans);
    put_deltas(&mut message, 9, &h.negative_buckets);
    put_spans(&mut message, 11, &h.positive_spans);
    put_deltas(&mut message, 12, &h.positive_buckets);
    put_tail(
        &mut message,
        hint(h.reset_hint),
        t,
        start,
        h.custom_bounds(),
    );
    put_bytes(out, field, &message);
}

/// Appends a histogram with float counts as `field`; `start` is written where it is not 0.
pub fn put_float(out: &mut Vec<u8>, field: u64, t: i64, start: i64, h: &FloatHistogram) {
    let mut message = Vec::with_capacity(128);
    put_double(&mut message, 2, h.count);
    put_double(&mut message, 3, h.sum);
    put_uint(&mut message, 4, zigzag32(h.schema));
    put_double(&mut message, 5, h.zero_threshold);
    put_double(&mut message, 7, h.zero_count);
    put_spans(&mut message, 8, &h.negative_spans);
    put_doubles(&mut message, 10, &h.negative_buckets);
    put_spans(&mut message, 11, &h.positive_spans);
    put_doubles(&mut message, 13, &h.positive_buckets);
    put_tail(
        &mut message,
        hint(h.reset_hint),
        t,
        start,
        h.custom_bounds(),
    );
    put_bytes(out, field, &message);
}

fn put_tail(message: &mut Vec<u8>, hint: u64, t: i64, start: i64, bounds: &[f64]) {
    put_uint(message, 14, hint);
    put_uint(message, 15, t as u64);
    put_doubles(message, 16, bounds);
    if start != 0 {
        put_uint(message, 17, start as u64);
    }
}

/// Reads a histogram. Whether its counts add up is the storage's to check.
pub fn read(message: &[u8]) -> Result<HistogramSample, Broken> {
    let mut h = FloatHistogram::default();
    let (mut count, mut zero_count, mut integer) = (0u64, 0u64, false);
    let (mut positive, mut negative) = (Vec::new(), Vec::new());
    let mut bounds = Vec::new();
    let (mut t, mut start) = (0, 0);
    fields(message, |field, value| {
        match field {
            1 => (count, integer) = (value.u64(), true),
            2 => h.count = value.f64(),
            3 => h.sum = value.f64(),
            4 => h.schema = value.zigzag() as i32,
            5 => h.zero_threshold = value.f64(),
            6 => (zero_count, integer) = (value.u64(), true),
            7 => h.zero_count = value.f64(),
            8 => push_span(&mut h.negative_spans, value)?,
            9 => push_deltas(&mut negative, value)?,
            10 => push_doubles(&mut h.negative_buckets, value)?,
            11 => push_span(&mut h.positive_spans, value)?,
            12 => push_deltas(&mut positive, value)?,
            13 => push_doubles(&mut h.positive_buckets, value)?,
            14 => {
                h.reset_hint = match value.u64() {
                    1 => ResetHint::CounterReset,
                    2 => ResetHint::NotCounterReset,
                    3 => ResetHint::Gauge,
                    _ => ResetHint::Unknown,
                }
            }
            15 => t = value.u64() as i64,
            16 => push_doubles(&mut bounds, value)?,
            17 => start = value.u64() as i64,
            _ => {}
        }
        Ok(())
    })?;
    if !bounds.is_empty() {
        h.custom_values = Some(Arc::from(bounds));
    }
    // As upstream tells them apart: an integer count, or integer buckets.
    let histogram = if integer || !positive.is_empty() || !negative.is_empty() {
        AnyHistogram::Integer(Histogram {
            reset_hint: h.reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count,
            count,
            sum: h.sum,
            positive_spans: h.positive_spans,
            negative_spans: h.negative_spans,
            positive_buckets: positive,
            negative_buckets: negative,
            custom_values: h.custom_values,
        })
    } else {
        AnyHistogram::Float(h)
    };
    Ok(HistogramSample {
        t,
        start,
        histogram,
    })
}

fn push_span(spans: &mut Vec<Span>, value: Value<'_>) -> Result<(), Broken> {
    if spans.len() >= MAX_BUCKETS {
        return Err(Broken("too many histogram spans"));
    }
    let mut span = Span {
        offset: 0,
        length: 0,
    };
    fields(value.bytes(), |field, value| {
        match field {
            1 => span.offset = value.zigzag() as i32,
            2 => {
                span.length = u32::try_from(value.u64())
                    .map_err(|_| Broken("histogram span out of range"))?;
            }
            _ => {}
        }
        Ok(())
    })?;
    spans.push(span);
    Ok(())
}

fn push_deltas(out: &mut Vec<i64>, value: Value<'_>) -> Result<(), Broken> {
    integers(value, |n| out.push(unzigzag(n)))?;
    bounded(out.len())
}

fn push_doubles(out: &mut Vec<f64>, value: Value<'_>) -> Result<(), Broken> {
    doubles(value, |v| out.push(v))?;
    bounded(out.len())
}

fn bounded(len: usize) -> Result<(), Broken> {
    if len > MAX_BUCKETS {
        return Err(Broken("too many histogram buckets"));
    }
    Ok(())
}
