//! Counter resets between two native histograms.

use crate::float_histogram::common_bounds;
use crate::histogram::{FloatHistogram, ResetHint, Span};
use crate::histogram_bounds::bound;
use crate::histogram_buckets::{coarser, indexed};

impl FloatHistogram {
    /// Whether the counter was reset between `previous` and this histogram.
    ///
    /// The hint decides where it is certain; a gauge's is not.
    pub fn detect_reset(&self, previous: &FloatHistogram) -> bool {
        match self.reset_hint {
            ResetHint::CounterReset => return true,
            ResetHint::NotCounterReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if self.custom_bounds() != previous.custom_bounds() {
                return self.custom_reset(previous);
            }
            return any_lower(
                &self.positive_indexed().collect::<Vec<_>>(),
                &previous.positive_indexed().collect::<Vec<_>>(),
            );
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let (zero_count, threshold) = previous.widened_zero(self.zero_threshold);
        // The wider zero bucket cut a populated bucket, which growing thresholds of one counter never do.
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let lower = |now: (&[Span], &[f64]), before: (&[Span], &[f64])| {
            let now: Vec<_> = indexed(now.0, now.1).collect();
            let mut before = coarser(indexed(before.0, before.1), previous.schema, self.schema);
            before.retain(|(i, _)| {
                bound(i.saturating_sub(1), self.schema, &[]) >= self.zero_threshold
            });
            any_lower(&now, &before)
        };
        lower(
            (&self.positive_spans, &self.positive_buckets),
            (&previous.positive_spans, &previous.positive_buckets),
        ) || lower(
            (&self.negative_spans, &self.negative_buckets),
            (&previous.negative_spans, &previous.negative_buckets),
        )
    }

    /// Compares counts rolled up at the boundaries both histograms have.
    fn custom_reset(&self, previous: &FloatHistogram) -> bool {
        let common = common_bounds(self.custom_bounds(), previous.custom_bounds());
        let rolled = |h: &FloatHistogram| {
            let mut counts = vec![0.0; common.len() + 1];
            for (index, count) in h.positive_indexed() {
                let upper = bound(index, h.schema, h.custom_bounds());
                counts[common.partition_point(|b| *b < upper)] += count;
            }
            counts
        };
        rolled(self)
            .iter()
            .zip(rolled(previous))
            .any(|(now, before)| *now < before)
    }
}

/// Whether any bucket of `before` holds more than the same bucket of `now`.
fn any_lower(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(index, count)| {
        while now.next_if(|(i, _)| i < index).is_some() {}
        let held = now
            .peek()
            .filter(|(i, _)| i == index)
            .map_or(0.0, |(_, n)| *n);
        held < *count
    })
}
