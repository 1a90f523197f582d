use std::sync::Arc;

use super::*;
use crate::histogram::{CUSTOM_BUCKETS_SCHEMA, Span};
use crate::histogram_sum::HistogramSum;
use crate::histogram_trim::Keep;

/// An exponential histogram from bucket counts that begin at `offset`.
fn exponential(schema: i32, offset: i32, counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema,
        zero_threshold: 0.001,
        count: counts.iter().sum(),
        sum: 1.0,
        positive_spans: vec![Span {
            offset,
            length: counts.len() as u32,
        }],
        positive_buckets: counts.to_vec(),
        ..FloatHistogram::default()
    }
}

fn custom(bounds: &[f64], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        custom_values: Some(Arc::from(bounds)),
        ..exponential(0, 0, counts)
    }
}

#[test]
fn adds_across_resolutions() {
    let mut a = exponential(1, 1, &[1.0, 2.0, 4.0]);
    let b = exponential(0, 1, &[10.0, 20.0]);
    assert_eq!(a.add(&b), Ok(AddNotes::default()));
    assert_eq!(a.schema, 0);
    assert_eq!(
        a.positive_indexed().collect::<Vec<_>>(),
        vec![(1, 13.0), (2, 24.0)]
    );
    assert_eq!(a.count, 37.0);
}

#[test]
fn subtraction_undoes_addition() {
    let a = exponential(2, -4, &[1.0, 0.0, 3.0]);
    let b = exponential(2, 10, &[7.0]);
    let mut c = a.clone();
    c.add(&b).unwrap();
    c.sub(&b).unwrap();
    let mut compact = a;
    compact.compact();
    c.compact();
    assert!(c.equals(&compact));
}

#[test]
fn wider_zero_buckets_swallow() {
    let mut a = exponential(0, 0, &[1.0, 2.0, 4.0]);
    let mut b = exponential(0, 3, &[8.0]);
    b.zero_threshold = 1.5;
    b.zero_count = 5.0;
    a.add(&b).unwrap();
    // 1.5 cuts the populated bucket (1,2], so the zero bucket grows to 2.
    assert_eq!(a.zero_threshold, 2.0);
    assert_eq!(a.zero_count, 8.0);
    assert_eq!(
        a.positive_indexed().collect::<Vec<_>>(),
        vec![(2, 4.0), (3, 8.0)]
    );
}

#[test]
fn nan_thresholds_end() {
    let mut a = exponential(0, 0, &[1.0]);
    let mut b = exponential(0, 1, &[1.0]);
    b.zero_threshold = f64::NAN;
    a.add(&b).unwrap();
}

#[test]
fn custom_bounds_are_reconciled() {
    let mut a = custom(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0, 1.0]);
    let b = custom(&[1.0, 3.0], &[10.0, 10.0, 10.0]);
    let notes = a.add(&b).unwrap();
    assert!(notes.bounds_reconciled);
    assert_eq!(a.custom_bounds(), &[1.0, 3.0]);
    assert_eq!(a.positive_buckets, vec![11.0, 12.0, 11.0]);
    assert_eq!(a.add(&exponential(0, 0, &[1.0])), Err(IncompatibleLayout));
}

#[test]
fn hints_combine() {
    let mut a = exponential(0, 0, &[1.0]);
    let mut b = a.clone();
    a.reset_hint = ResetHint::CounterReset;
    b.reset_hint = ResetHint::NotCounterReset;
    assert!(a.add(&b).unwrap().reset_collision);
    assert_eq!(a.reset_hint, ResetHint::Unknown);
}

#[test]
fn compensated_sums() {
    let big = exponential(0, 0, &[1e100]);
    let mut minus = big.clone();
    minus.mul(-1.0);
    let one = exponential(0, 0, &[1.0, 2.0]);
    let mut sum = HistogramSum::new(big);
    sum.add(&one).unwrap();
    sum.add(&minus).unwrap();
    let total = sum.total();
    assert_eq!(total.positive_buckets, vec![1.0, 2.0]);
    assert_eq!(total.count, 3.0);
}

#[test]
fn resets() {
    let a = exponential(0, 0, &[1.0, 2.0]);
    let b = exponential(0, 0, &[2.0, 2.0]);
    assert!(!b.detect_reset(&a));
    assert!(a.detect_reset(&b));
    let moved = exponential(0, 1, &[5.0]);
    assert!(moved.detect_reset(&a));
    let mut hinted = moved;
    hinted.reset_hint = ResetHint::NotCounterReset;
    assert!(!hinted.detect_reset(&a));
    assert!(!exponential(0, 0, &[3.0, 4.0]).detect_reset(&exponential(1, 0, &[1.0, 2.0])));
    assert!(exponential(1, 0, &[1.0, 2.0]).detect_reset(&exponential(0, 0, &[1.0, 1.0])));
}

#[test]
fn text() {
    let mut h = exponential(0, 0, &[1.0]);
    h.zero_count = 1.0;
    h.negative_spans = h.positive_spans.clone();
    h.negative_buckets = vec![2.0];
    assert_eq!(
        h.to_string(),
        "{count:1, sum:1, [-1,-0.5):2, [-0.001,0.001]:1, (0.5,1]:1}"
    );
}

#[test]
fn trims() {
    let mut h = custom(&[1.0, 2.0], &[4.0, 4.0, 4.0]);
    h.trim(1.5, Keep::Below);
    assert_eq!(h.positive_buckets, vec![4.0, 2.0]);
    assert_eq!(h.count, 6.0);
    let mut h = exponential(0, 1, &[4.0, 4.0]);
    h.trim(2.0, Keep::Above);
    assert_eq!(h.positive_indexed().collect::<Vec<_>>(), vec![(2, 4.0)]);
}
