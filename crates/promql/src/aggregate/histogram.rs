//! Sums and means of native histograms within a group at one step.

use model::histogram_sum::HistogramSum;
use model::{FloatHistogram, ResetHint};

use crate::frame::Hist;
use crate::notes::Note;

#[derive(Default)]
pub(super) struct HistogramFold {
    sum: Option<HistogramSum>,
    n: f64,
    incremental: bool,
    reset: bool,
    not_reset: bool,
    /// Exponential met custom buckets: no value.
    broken: bool,
}

impl HistogramFold {
    /// Adds one; the note is what a user should know about it.
    pub fn add(&mut self, h: &Hist, mean: bool, name: &str) -> Option<Note> {
        if self.broken {
            return None;
        }
        self.reset |= h.reset_hint == ResetHint::CounterReset;
        self.not_reset |= h.reset_hint == ResetHint::NotCounterReset;
        self.n += 1.0;
        let Some(sum) = &mut self.sum else {
            self.sum = Some(HistogramSum::new((**h).clone()));
            return None;
        };
        let share = |sum: &mut HistogramSum, n: f64, scale: f64| {
            sum.scale(scale);
            let mut share = (**h).clone();
            share.div(n);
            sum.add(&share)
        };
        let added = if mean && self.incremental {
            share(sum, self.n, (self.n - 1.0) / self.n)
        } else if mean && could_overflow(sum, h) {
            let mut tried = sum.clone();
            let added = tried.add(h);
            if tried.has_overflow() {
                self.incremental = true;
                share(sum, self.n, 1.0 / self.n)
            } else {
                *sum = tried;
                added
            }
        } else {
            sum.add(h)
        };
        match added {
            Ok(notes) => notes
                .bounds_reconciled
                .then_some(Note::BoundsReconciled("aggregation")),
            Err(_) => {
                self.broken = true;
                Some(Note::MixedExponentialCustom(name.to_string()))
            }
        }
    }

    /// The value, if there is one, and what is to be told about it.
    pub fn finish(self, mean: bool) -> (Option<FloatHistogram>, Option<Note>) {
        if self.broken {
            return (None, None);
        }
        let note = (self.reset && self.not_reset).then_some(Note::ResetCollision("aggregation"));
        let value = self.sum.map(|sum| {
            if mean && !self.incremental {
                sum.mean(self.n)
            } else {
                sum.total()
            }
        });
        (value, note)
    }
}

/// Only sums near the end of the range are worth trying out on a copy.
fn could_overflow(sum: &HistogramSum, h: &Hist) -> bool {
    const LARGE: f64 = f64::MAX / 4.0;
    let large = |v: f64| v.abs() > LARGE;
    sum.is_large(LARGE)
        || [h.count, h.sum, h.zero_count]
            .iter()
            .chain(&h.positive_buckets)
            .chain(&h.negative_buckets)
            .any(|v| large(*v))
}
