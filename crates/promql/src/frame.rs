//! One series over all steps: the unit that flows between operators.
//!
//! Values are dense, one slot a step; a step without a value holds the stale marker's bits, which no evaluated value can
//! have: selectors take stale markers out, and arithmetic on one gives an ordinary NaN.

use std::sync::Arc;

use model::labels::METRIC_NAME;
use model::sample::STALE_NAN_BITS;
use model::{FloatHistogram, Labels};

/// No value at this step.
pub(crate) const ABSENT: f64 = f64::from_bits(STALE_NAN_BITS);

#[inline(always)]
pub(crate) fn is_absent(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// A native histogram, shared because operators that pass it on need not copy it.
pub(crate) type Hist = Arc<FloatHistogram>;

/// A series over all steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    pub labels: Labels,
    /// The metric name is to go: at the end of the query with delayed removal, else before anyone looks at it.
    pub drop_name: bool,
    /// One a step.
    pub floats: Vec<f64>,
    /// Empty, or one a step. A step has a float or a histogram, not both.
    pub hists: Vec<Option<Hist>>,
}

impl Frame {
    /// Makes room for `n` steps without values.
    pub fn reset(&mut self, n: usize) {
        self.floats.clear();
        self.floats.resize(n, ABSENT);
        self.hists.clear();
        self.drop_name = false;
    }

    pub fn hist(&self, i: usize) -> Option<&Hist> {
        self.hists.get(i).and_then(Option::as_ref)
    }

    pub fn set_hist(&mut self, i: usize, h: Hist) {
        if self.hists.is_empty() {
            self.hists.resize(self.floats.len(), None);
        }
        self.hists[i] = Some(h);
    }

    #[inline]
    pub fn has(&self, i: usize) -> bool {
        !is_absent(self.floats[i]) || self.hist(i).is_some()
    }

    pub fn is_blank(&self) -> bool {
        self.floats.iter().all(|v| is_absent(*v)) && self.hists.iter().all(Option::is_none)
    }

    /// Samples as the limit counts them.
    pub fn samples(&self) -> usize {
        let floats = self.floats.iter().filter(|v| !is_absent(**v)).count();
        floats
            + self
                .hists
                .iter()
                .flatten()
                .map(|h| hist_samples(h))
                .sum::<usize>()
    }

    /// Carries out a pending removal of the name.
    pub fn settle(&mut self) {
        if self.drop_name {
            self.labels = without_name(&self.labels);
            self.drop_name = false;
        }
    }
}

/// How many samples a histogram counts as.
pub(crate) fn hist_samples(h: &FloatHistogram) -> usize {
    (h.size_bytes() + 8) / 16
}

/// Labels that describe the metric rather than the series.
pub(crate) fn is_name_label(name: &str) -> bool {
    name == METRIC_NAME || name == "__type__" || name == "__unit__"
}

/// The labels without metric name, type and unit.
pub(crate) fn without_name(labels: &Labels) -> Labels {
    if labels.iter().any(|(n, _)| is_name_label(n)) {
        labels.filtered(|n| !is_name_label(n))
    } else {
        labels.clone()
    }
}
