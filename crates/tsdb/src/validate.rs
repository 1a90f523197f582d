//! Whether a histogram is one that can be stored.

use model::histogram::{CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN};
use model::{FloatHistogram, Histogram, Span, sample::is_stale_nan};

fn spans(which: &str, spans: &[Span], buckets: usize) -> Result<(), String> {
    if let Some(at) = spans.iter().skip(1).position(|s| s.offset < 0) {
        let offset = spans[at + 1].offset;
        return Err(format!(
            "{which} side: span number {} with offset {offset}: histogram has a span whose offset is negative",
            at + 2
        ));
    }
    let described: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if described != buckets as u64 {
        return Err(format!(
            "{which} side: spans need {described} buckets, have {buckets} buckets: histogram spans specify different number of buckets than provided"
        ));
    }
    Ok(())
}

fn custom(bounds: &[f64], spans: &[Span]) -> Result<(), String> {
    if bounds.iter().any(|b| b.is_nan()) {
        return Err("custom buckets: histogram custom bounds must not be NaN".to_owned());
    }
    if let Some(w) = bounds.windows(2).find(|w| w[1] <= w[0]) {
        return Err(format!(
            "custom buckets: previous bound is {:.6} and current is {:.6}: histogram custom bounds must be in strictly increasing order",
            w[0], w[1]
        ));
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err(
            "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite".to_owned(),
        );
    }
    if spans.first().is_some_and(|s| s.offset < 0) {
        return Err("custom buckets: histogram has a span whose offset is negative".to_owned());
    }
    let reach: i64 = spans
        .iter()
        .map(|s| i64::from(s.offset) + i64::from(s.length))
        .sum();
    if reach > bounds.len() as i64 + 1 {
        return Err(format!(
            "custom buckets: only {} custom bounds defined which is insufficient to cover total span length of {reach}: histogram custom bounds are too few",
            bounds.len()
        ));
    }
    Ok(())
}

struct Shape<'a> {
    schema: i32,
    /// Whether there are observations in the zero bucket.
    zero_count: bool,
    /// Whether the zero bucket is wider than a point.
    zero_threshold: bool,
    positive: (&'a [Span], usize),
    negative: (&'a [Span], usize),
    bounds: Option<&'a [f64]>,
}

fn shape(h: Shape<'_>) -> Result<(), String> {
    match h.schema {
        EXPONENTIAL_SCHEMA_MIN..=EXPONENTIAL_SCHEMA_MAX => {
            if h.bounds.is_some_and(|b| !b.is_empty()) {
                return Err(
                    "histogram with exponential schema must not have custom bounds".to_owned(),
                );
            }
            spans("negative", h.negative.0, h.negative.1)?;
        }
        CUSTOM_BUCKETS_SCHEMA => {
            custom(h.bounds.unwrap_or_default(), h.positive.0)?;
            let rest = [
                (h.zero_count, "have zero count of 0"),
                (h.zero_threshold, "have zero threshold of 0"),
                (!h.negative.0.is_empty(), "not have negative spans"),
                (h.negative.1 > 0, "not have negative buckets"),
            ];
            if let Some((_, rule)) = rest.iter().find(|(broken, _)| *broken) {
                return Err(format!("custom buckets: must {rule}"));
            }
        }
        other => {
            return Err(format!(
                "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema {other}"
            ));
        }
    }
    spans("positive", h.positive.0, h.positive.1)
}

/// Checks an integer histogram. A stale marker is always fine.
pub(crate) fn integer(h: &Histogram) -> Result<(), String> {
    if is_stale_nan(h.sum) {
        return Ok(());
    }
    shape(Shape {
        schema: h.schema,
        zero_count: h.zero_count != 0,
        zero_threshold: h.zero_threshold != 0.0,
        positive: (&h.positive_spans, h.positive_buckets.len()),
        negative: (&h.negative_spans, h.negative_buckets.len()),
        bounds: h.custom_values.as_deref(),
    })?;
    let mut total = u128::from(h.zero_count);
    for (side, buckets) in [
        ("negative", &h.negative_buckets),
        ("positive", &h.positive_buckets),
    ] {
        let mut count = 0i64;
        for (i, delta) in buckets.iter().enumerate() {
            count = count.wrapping_add(*delta);
            if count < 0 {
                return Err(format!(
                    "{side} side: bucket number {} has observation count of {count}: histogram has a bucket whose observation count is negative",
                    i + 1
                ));
            }
            total += count as u128;
        }
    }
    let count = u128::from(h.count);
    if h.sum.is_nan() && total > count {
        return Err(format!(
            "{total} observations found in buckets, but the Count field is {count}: histogram's observation count should be at least the number of observations found in the buckets"
        ));
    }
    if !h.sum.is_nan() && total != count {
        return Err(format!(
            "{total} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
        ));
    }
    Ok(())
}

/// Checks a float histogram. A stale marker is always fine.
pub(crate) fn float(h: &FloatHistogram) -> Result<(), String> {
    if is_stale_nan(h.sum) {
        return Ok(());
    }
    shape(Shape {
        schema: h.schema,
        zero_count: h.zero_count != 0.0,
        zero_threshold: h.zero_threshold != 0.0,
        positive: (&h.positive_spans, h.positive_buckets.len()),
        negative: (&h.negative_spans, h.negative_buckets.len()),
        bounds: h.custom_values.as_deref(),
    })?;
    for (side, buckets) in [
        ("negative", &h.negative_buckets),
        ("positive", &h.positive_buckets),
    ] {
        if let Some(i) = buckets.iter().position(|b| *b < 0.0) {
            return Err(format!(
                "{side} side: bucket number {} has observation count of {}: histogram has a bucket whose observation count is negative",
                i + 1,
                model::number::format_float(buckets[i])
            ));
        }
    }
    if h.zero_count < 0.0 || h.count < 0.0 {
        return Err("histogram has a negative count".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_histograms_are_refused() {
        let good = Histogram {
            count: 3,
            zero_count: 1,
            positive_spans: vec![Span {
                offset: 0,
                length: 2,
            }],
            positive_buckets: vec![1, 0],
            ..Histogram::default()
        };
        assert_eq!(integer(&good), Ok(()));
        assert_eq!(float(&good.to_float()), Ok(()));
        let bad = |change: fn(&mut Histogram), start: &str| {
            let mut h = good.clone();
            change(&mut h);
            let err = integer(&h).unwrap_err();
            assert!(err.contains(start), "{err}");
        };
        bad(|h| h.schema = 20, "invalid schema");
        bad(|h| h.count = 9, "Count field is 9");
        bad(|h| h.positive_buckets = vec![1, -5], "negative");
        bad(|h| h.positive_buckets = vec![1], "need 2 buckets, have 1");
        bad(|h| h.schema = CUSTOM_BUCKETS_SCHEMA, "custom buckets");
    }
}
