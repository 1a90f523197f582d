//! Cutting native histograms off above or below a value.

use crate::histogram::FloatHistogram;
use crate::histogram_buckets::Bucket;

/// Which part of a histogram to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Observations up to the value (`</`).
    Below,
    /// Observations from the value on (`>/`).
    Above,
}

/// How a bucket's observations are thought to be spread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    Linear,
    Positive,
    Negative,
}

impl FloatHistogram {
    /// Keeps the observations on one side of `x`; buckets it cuts are split by interpolation. Where anything was cut, count
    /// and sum are estimated anew from what is left; the result is compact.
    pub fn trim(&mut self, x: f64, keep: Keep) {
        let custom = self.uses_custom_buckets();
        let (mut count, mut sum, mut cut) = (0.0, 0.0, false);
        let mut apply = |b: Bucket, spread: Spread| {
            let (kept, middle) = share(&b, x, keep, spread, custom);
            if kept > 0.0 || kept.is_nan() {
                count += kept;
                sum += middle * kept;
            }
            cut |= kept != b.count;
            kept
        };
        let positive: Vec<f64> = self
            .positive_indexed()
            .map(|(i, n)| {
                if n == 0.0 {
                    return 0.0;
                }
                let spread = if custom {
                    Spread::Linear
                } else {
                    Spread::Positive
                };
                apply(self.positive_bucket(i, n), spread)
            })
            .collect();
        let negative: Vec<f64> = self
            .negative_indexed()
            .map(|(i, n)| {
                if n == 0.0 {
                    return 0.0;
                }
                apply(self.negative_bucket(i, n), Spread::Negative)
            })
            .collect();
        if self.zero_count > 0.0 {
            let mut zero = self.zero_bucket();
            let holds = |buckets: &[f64]| buckets.iter().any(|n| *n != 0.0);
            match (holds(&self.positive_buckets), holds(&self.negative_buckets)) {
                (true, false) => zero.lower = 0.0,
                (false, true) => zero.upper = 0.0,
                _ => {}
            }
            self.zero_count = apply(zero, Spread::Linear);
        }
        self.positive_buckets = positive;
        self.negative_buckets = negative;
        if cut {
            self.count = count;
            self.sum = sum;
        }
        self.compact();
    }
}

/// How many of a bucket's observations stay, and the value they are counted with in the sum.
fn share(b: &Bucket, x: f64, keep: Keep, spread: Spread, custom: bool) -> (f64, f64) {
    let all = (b.count, middle(b.lower, b.upper, spread));
    match keep {
        Keep::Below if b.upper <= x => return all,
        Keep::Below if b.lower >= x || x.is_nan() => return (0.0, 0.0),
        Keep::Above if b.lower >= x => return all,
        Keep::Above if b.upper <= x || x.is_nan() => return (0.0, 0.0),
        _ => {}
    }
    if custom && (b.lower.is_infinite() || b.upper.is_infinite()) {
        return edge_share(b, x, keep);
    }
    if b.lower == b.upper {
        return all;
    }
    let below = match spread {
        Spread::Linear => (x - b.lower) / (b.upper - b.lower),
        Spread::Positive => {
            let low = b.lower.log2();
            (x.log2() - low) / (b.upper.log2() - low)
        }
        Spread::Negative => {
            let low = (-b.lower).log2();
            (low - (-x).log2()) / (low - (-b.upper).log2())
        }
    };
    match keep {
        Keep::Below => (b.count * below, middle(b.lower, x, spread)),
        Keep::Above => (b.count * (1.0 - below), middle(x, b.upper, spread)),
    }
}

/// The two custom buckets with an infinite side.
fn edge_share(b: &Bucket, x: f64, keep: Keep) -> (f64, f64) {
    if b.lower.is_infinite() {
        // Observations are taken to be non-negative, unless the boundary says they are not.
        return match keep {
            Keep::Below if b.upper <= 0.0 => (b.count, x),
            Keep::Below if x > 0.0 => (b.count * (x / b.upper), x / 2.0),
            Keep::Above if x == f64::NEG_INFINITY => {
                (b.count, middle(b.lower, b.upper, Spread::Linear))
            }
            Keep::Above if b.upper.is_finite() && x >= 0.0 => {
                (b.count * (1.0 - x / b.upper), (x + b.upper) / 2.0)
            }
            _ => (0.0, 0.0),
        };
    }
    match keep {
        Keep::Below => (0.0, 0.0),
        Keep::Above if x >= b.lower => (b.count, x),
        Keep::Above => (b.count, b.lower),
    }
}

/// The value observations between two boundaries are counted with.
fn middle(lower: f64, upper: f64, spread: Spread) -> f64 {
    if lower.is_infinite() {
        return match upper {
            u if u.is_infinite() => 0.0,
            u if u > 0.0 => u / 2.0,
            u => u,
        };
    }
    if upper.is_infinite() {
        return lower;
    }
    match spread {
        Spread::Linear => (lower + upper) / 2.0,
        Spread::Positive => (lower * upper).abs().sqrt(),
        Spread::Negative => -(lower * upper).abs().sqrt(),
    }
}
