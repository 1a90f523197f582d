//! A histogram message: its classic buckets, and the native histogram in it, if there is one.

use model::{FloatHistogram, Histogram, ResetHint, Span};

use wire::{Broken, Value};

/// A native histogram, as its program counts.
#[derive(Debug, Clone)]
pub enum Native {
    /// Whole counts.
    Integer(Histogram),
    /// Float counts.
    Float(FloatHistogram),
}

/// The fields of a histogram message.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub count: f64,
    pub sum: f64,
    pub buckets: Vec<Bucket<'a>>,
    pub exemplars: Vec<&'a [u8]>,
    pub start: Option<&'a [u8]>,
    sample_count: u64,
    sample_count_float: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
}

/// A classic bucket.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Bucket<'a> {
    pub upper_bound: f64,
    pub count: f64,
    pub exemplar: Option<&'a [u8]>,
}

/// Positive or negative buckets.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Side {
    fn span(&mut self, message: &[u8]) -> Result<(), Broken> {
        let mut span = Span::default();
        wire::fields(message, |field, value| {
            match field {
                1 => span.offset = value.zigzag() as i32,
                2 => span.length = value.u64() as u32,
                _ => {}
            }
            Ok(())
        })?;
        self.spans.push(span);
        Ok(())
    }

    /// Every bucket needs a place, and every place a bucket.
    fn check(&self, side: &str, float: bool) -> Result<(), String> {
        let wanted: u64 = self.spans.iter().map(|span| u64::from(span.length)).sum();
        let found = if float {
            self.counts.len()
        } else {
            self.deltas.len()
        } as u64;
        if wanted != found {
            return Err(format!(
                "{side} side: spans require {wanted} buckets, have {found}"
            ));
        }
        Ok(())
    }
}

impl<'a> Message<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Message<'a>, Broken> {
        let mut it = Message::default();
        wire::fields(message, |field, value| {
            match field {
                1 => it.sample_count = value.u64(),
                2 => it.sum = value.f64(),
                3 => it.buckets.push(bucket(value)?),
                4 => it.sample_count_float = value.f64(),
                5 => it.schema = value.zigzag() as i32,
                6 => it.zero_threshold = value.f64(),
                7 => it.zero_count = value.u64(),
                8 => it.zero_count_float = value.f64(),
                9 => it.negative.span(value.bytes())?,
                10 => wire::integers(value, |n| it.negative.deltas.push(wire::unzigzag(n)))?,
                11 => wire::doubles(value, |n| it.negative.counts.push(n))?,
                12 => it.positive.span(value.bytes())?,
                13 => wire::integers(value, |n| it.positive.deltas.push(wire::unzigzag(n)))?,
                14 => wire::doubles(value, |n| it.positive.counts.push(n))?,
                15 => it.start = Some(value.bytes()),
                16 => it.exemplars.push(value.bytes()),
                _ => {}
            }
            Ok(())
        })?;
        it.count = if it.sample_count_float > 0.0 {
            it.sample_count_float
        } else {
            it.sample_count as f64
        };
        Ok(it)
    }

    /// Whether there is a native histogram in it. One without observations shows itself by an empty span.
    pub(super) fn is_native(&self) -> bool {
        !self.positive.spans.is_empty()
            || !self.negative.spans.is_empty()
            || self.zero_threshold > 0.0
            || self.zero_count > 0
            || self.zero_count_float > 0.0
    }

    /// The native histogram, with empty buckets left out.
    pub(super) fn native(self, gauge: bool) -> Result<Native, String> {
        // Float buckets tell, too: all counts may be zero, as those of a rate are.
        let float = self.sample_count_float > 0.0
            || self.zero_count_float > 0.0
            || !self.positive.counts.is_empty()
            || !self.negative.counts.is_empty();
        self.positive.check("positive", float)?;
        self.negative.check("negative", float)?;
        let reset_hint = if gauge {
            ResetHint::Gauge
        } else {
            ResetHint::Unknown
        };
        if float {
            let mut histogram = FloatHistogram {
                reset_hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count_float,
                count: self.sample_count_float,
                sum: self.sum,
                positive_spans: self.positive.spans,
                negative_spans: self.negative.spans,
                positive_buckets: self.positive.counts,
                negative_buckets: self.negative.counts,
                custom_values: None,
            };
            histogram.compact();
            return Ok(Native::Float(histogram));
        }
        let (positive_spans, positive_buckets) =
            compact(&self.positive.spans, &self.positive.deltas);
        let (negative_spans, negative_buckets) =
            compact(&self.negative.spans, &self.negative.deltas);
        Ok(Native::Integer(Histogram {
            reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.sample_count,
            sum: self.sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: None,
        }))
    }
}

/// Leaves out empty buckets and joins spans that touch.
fn compact(spans: &[Span], deltas: &[i64]) -> (Vec<Span>, Vec<i64>) {
    let (mut out_spans, mut out_deltas): (Vec<Span>, Vec<i64>) =
        (Vec::new(), Vec::with_capacity(deltas.len()));
    let mut deltas = deltas.iter();
    // Bucket indexes in 64 bits: foreign offsets may add up to more than 32.
    let (mut index, mut count, mut last_count) = (0i64, 0i64, 0i64);
    let mut next_free = None;
    for span in spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            let Some(delta) = deltas.next() else {
                return (out_spans, out_deltas);
            };
            count = count.wrapping_add(*delta);
            if count != 0 {
                match (next_free, out_spans.last_mut()) {
                    (Some(free), Some(last)) if free == index => last.length += 1,
                    (free, _) => {
                        let offset = index - free.unwrap_or(0);
                        let offset = offset.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
                        out_spans.push(Span { offset, length: 1 });
                    }
                }
                out_deltas.push(count.wrapping_sub(last_count));
                last_count = count;
                next_free = Some(index + 1);
            }
            index += 1;
        }
    }
    (out_spans, out_deltas)
}

fn bucket(value: Value<'_>) -> Result<Bucket<'_>, Broken> {
    let mut bucket = Bucket::default();
    let (mut whole, mut float) = (0u64, 0f64);
    wire::fields(value.bytes(), |field, value| {
        match field {
            1 => whole = value.u64(),
            2 => bucket.upper_bound = value.f64(),
            3 => bucket.exemplar = Some(value.bytes()),
            4 => float = value.f64(),
            _ => {}
        }
        Ok(())
    })?;
    bucket.count = if float > 0.0 { float } else { whole as f64 };
    Ok(bucket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_buckets_are_left_out() {
        let span = |offset, length| Span { offset, length };
        // Absolute counts 1 0 2 | 3 with a gap of one: indexes -2, -1, 0 and 2.
        let (spans, deltas) = compact(&[span(-2, 3), span(1, 1)], &[1, -1, 2, 1]);
        assert_eq!(spans, [span(-2, 1), span(1, 1), span(1, 1)]);
        assert_eq!(deltas, [1, 1, 1]);
        // Spans that touch become one.
        let (spans, deltas) = compact(&[span(0, 1), span(0, 2)], &[5, 0, 0]);
        assert_eq!((spans, deltas), (vec![span(0, 3)], vec![5, 0, 0]));
        let (spans, deltas) = compact(&[span(0, 0)], &[]);
        assert!(spans.is_empty() && deltas.is_empty());
    }
}
