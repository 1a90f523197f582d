//! When an answer is as expected.

use model::sample::is_stale_nan;
use model::{FloatHistogram, Labels, ResetHint};
use promql_syntax::SeriesValue;

use super::script::Eval;
use crate::value::{ResultSeries, Sample, SampleValue, Value};

/// Relative difference that still counts as equal.
const TOLERANCE: f64 = 1e-6;

pub(super) fn close(a: f64, b: f64) -> bool {
    if is_stale_nan(a) || is_stale_nan(b) {
        return is_stale_nan(a) && is_stale_nan(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (diff, sum) = ((a - b).abs(), a.abs() + b.abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < TOLERANCE * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < TOLERANCE
}

fn close_histogram(want: &FloatHistogram, hinted: bool, got: &FloatHistogram) -> bool {
    let (mut want, mut got) = (want.clone(), got.clone());
    want.compact();
    got.compact();
    let lists =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(*a, *b));
    let indexes = |h: &FloatHistogram| -> Vec<i32> {
        h.positive_indexed()
            .map(|p| p.0)
            .chain(h.negative_indexed().map(|p| p.0))
            .collect()
    };
    want.schema == got.schema
        && close(want.count, got.count)
        && close(want.sum, got.sum)
        && want.custom_bounds() == got.custom_bounds()
        && (want.uses_custom_buckets()
            || (want.zero_threshold == got.zero_threshold
                && close(want.zero_count, got.zero_count)))
        && lists(&want.positive_buckets, &got.positive_buckets)
        && lists(&want.negative_buckets, &got.negative_buckets)
        && indexes(&want) == indexes(&got)
        && (!hinted || want.reset_hint == got.reset_hint)
}

fn close_value(want: &SeriesValue, got: &SampleValue) -> bool {
    match (want, got) {
        (SeriesValue::Float(a), SampleValue::Float(b)) => close(*a, *b),
        (SeriesValue::Histogram(a, hinted), SampleValue::Histogram(b)) => {
            close_histogram(a, *hinted, b)
        }
        _ => false,
    }
}

fn show(v: &SampleValue) -> String {
    match v {
        SampleValue::Float(f) => f.to_string(),
        SampleValue::Histogram(h) => format!("{h} hint {:?} schema {}", h.reset_hint, h.schema),
    }
}

fn show_wanted(v: &SeriesValue) -> String {
    match v {
        SeriesValue::Omitted => "_".to_string(),
        SeriesValue::Float(f) => f.to_string(),
        SeriesValue::Histogram(h, hinted) => {
            let hint: Option<ResetHint> = hinted.then_some(h.reset_hint);
            format!("{h} hint {hint:?} schema {}", h.schema)
        }
    }
}

/// Compares the answer of an instant query.
pub(super) fn instant(eval: &Eval, value: &Value) -> Result<(), String> {
    match value {
        Value::Scalar(_, got) => match &eval.scalar {
            Some(SeriesValue::Float(want)) if close(*want, *got) => Ok(()),
            Some(want) => Err(format!("expected scalar {}, got {got}", show_wanted(want))),
            None => Err(format!("expected vector or matrix, got scalar {got}")),
        },
        Value::String(_, got) => match &eval.text {
            Some(want) if want == got => Ok(()),
            want => Err(format!("expected string {want:?}, got {got:?}")),
        },
        Value::Vector(got) => vector(eval, got),
        Value::Matrix(got) => match eval.matrix {
            Some((from, to, step)) => matrix(&eval.expected, got, from, to, step),
            None => Err("expected an instant vector, got a matrix".to_string()),
        },
    }
}

fn vector(eval: &Eval, got: &[Sample]) -> Result<(), String> {
    if eval.matrix.is_some() || eval.scalar.is_some() || eval.text.is_some() {
        return Err("got an instant vector, expected something else".to_string());
    }
    for (i, sample) in got.iter().enumerate() {
        let Some(at) = eval.expected.iter().position(|(l, _)| *l == sample.labels) else {
            return Err(format!(
                "unexpected metric {} in result, has value {}",
                sample.labels,
                show(&sample.value)
            ));
        };
        if eval.ordered && at != i {
            return Err(format!(
                "expected metric {} at position {}, but was at {}",
                sample.labels,
                at + 1,
                i + 1
            ));
        }
        let [want] = &eval.expected[at].1[..] else {
            return Err(format!("expected one value for {}", sample.labels));
        };
        if !close_value(want, &sample.value) {
            return Err(format!(
                "expected {} for {} but got {}",
                show_wanted(want),
                sample.labels,
                show(&sample.value)
            ));
        }
    }
    for (labels, _) in &eval.expected {
        if !got.iter().any(|s| s.labels == *labels) {
            return Err(format!("expected metric {labels} not found"));
        }
    }
    Ok(())
}

/// The value of a series at a time.
fn value_at(series: &ResultSeries, t: i64) -> Option<SampleValue> {
    if let Ok(i) = series.floats.binary_search_by_key(&t, |p| p.0) {
        return Some(SampleValue::Float(series.floats[i].1));
    }
    match series.histograms.binary_search_by_key(&t, |p| p.0) {
        Ok(i) => Some(SampleValue::Histogram(series.histograms[i].1.clone())),
        Err(_) => None,
    }
}

/// Compares the answer of a range query.
pub(super) fn range(eval: &Eval, value: &Value) -> Result<(), String> {
    let Value::Matrix(got) = value else {
        return Err(format!("expected a matrix, got {}", value.type_name()));
    };
    if let Some(want) = &eval.scalar {
        // A scalar over a range is one series without labels with the same value everywhere.
        let expected = vec![(Labels::empty(), vec![want.clone()])];
        return matrix(&expected, got, eval.start, eval.end, eval.step);
    }
    matrix(&eval.expected, got, eval.start, eval.end, eval.step)
}

fn matrix(
    expected: &[(Labels, Vec<SeriesValue>)],
    got: &[ResultSeries],
    from: i64,
    to: i64,
    step: i64,
) -> Result<(), String> {
    if !got.windows(2).all(|w| w[0].labels < w[1].labels) {
        return Err("series of the matrix are not sorted by labels".to_string());
    }
    for series in got {
        let Some((_, wanted)) = expected.iter().find(|(l, _)| *l == series.labels) else {
            return Err(format!("unexpected metric {} in result", series.labels));
        };
        let mut seen = 0;
        for (i, want) in wanted.iter().enumerate() {
            let t = from + step * i as i64;
            if t > to {
                return Err(format!("more values than steps for {}", series.labels));
            }
            match (want, value_at(series, t)) {
                (SeriesValue::Omitted, None) => {}
                (want, Some(got)) if close_value(want, &got) => seen += 1,
                (want, got) => {
                    return Err(format!(
                        "expected {} at {t} for {} but got {}",
                        show_wanted(want),
                        series.labels,
                        got.map_or("nothing".to_string(), |v| show(&v))
                    ));
                }
            }
        }
        let points = series.floats.len() + series.histograms.len();
        if seen != points {
            return Err(format!(
                "expected {seen} points for {}, got {points}: {:?}",
                series.labels, series.floats
            ));
        }
    }
    for (labels, wanted) in expected {
        let empty = wanted.iter().all(|v| matches!(v, SeriesValue::Omitted));
        if !empty && !got.iter().any(|s| s.labels == *labels) {
            return Err(format!("expected metric {labels} not found"));
        }
    }
    Ok(())
}

/// Compares one step of a range query with the expectations of an instant query.
pub(super) fn middle(eval: &Eval, value: &Value, t: i64) -> Result<(), String> {
    let Value::Matrix(series) = value else {
        return Err(format!("expected a matrix, got {}", value.type_name()));
    };
    if let Some(want) = &eval.scalar {
        let got = series.first().and_then(|s| value_at(s, t));
        return match got {
            Some(got) if close_value(want, &got) => Ok(()),
            got => Err(format!(
                "expected scalar {}, got {}",
                show_wanted(want),
                got.map_or("nothing".to_string(), |v| show(&v))
            )),
        };
    }
    let samples: Vec<Sample> = series
        .iter()
        .filter_map(|s| {
            Some(Sample {
                labels: s.labels.clone(),
                t,
                value: value_at(s, t)?,
            })
        })
        .collect();
    vector(eval, &samples)
}
