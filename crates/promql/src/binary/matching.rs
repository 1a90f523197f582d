//! How series of two sides find each other, and what their results are called.

use model::labels::METRIC_NAME;
use model::{Labels, LabelsBuilder};
use promql_syntax::ast::{Cardinality, Matching};

use crate::cx::Cx;
use crate::frame::{Frame, is_name_label};

/// The labels two series have to share.
pub(super) struct Signature<'q> {
    matching: &'q Matching,
    delayed: bool,
    key: Vec<u8>,
}

impl<'q> Signature<'q> {
    pub fn new(matching: &'q Matching, cx: &Cx<'_>) -> Signature<'q> {
        Signature {
            matching,
            delayed: cx.options.delayed_name_removal,
            key: Vec::new(),
        }
    }

    fn keeps(&self, name: &str, dropped: bool) -> bool {
        if dropped && is_name_label(name) {
            return false;
        }
        let listed = self.matching.labels.iter().any(|l| l == name);
        if self.matching.on {
            listed
        } else {
            !listed && name != METRIC_NAME
        }
    }

    /// The signature as bytes; valid until the next call.
    pub fn of(&mut self, labels: &Labels, drop_name: bool) -> &[u8] {
        let dropped = drop_name && !self.delayed;
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        for (name, value) in labels.iter().filter(|(n, _)| self.keeps(n, dropped)) {
            key.extend_from_slice(name.as_bytes());
            key.push(0xff);
            key.extend_from_slice(value.as_bytes());
            key.push(0xff);
        }
        self.key = key;
        &self.key
    }

    pub fn of_frame(&mut self, frame: &Frame) -> &[u8] {
        self.of(&frame.labels, frame.drop_name)
    }

    /// The signature as labels: what errors show, and what a filled-in sample is called.
    pub fn labels(&self, labels: &Labels, drop_name: bool) -> Labels {
        let dropped = drop_name && !self.delayed;
        labels.filtered(|n| self.keeps(n, dropped))
    }
}

/// The labels of a result. `many` and `one` are the two sides, `many` being the left one of a one-to-one match.
pub(super) fn result_labels(
    many: &Labels,
    one: &Labels,
    matching: &Matching,
    drops_name: bool,
) -> Labels {
    let base = many.filtered(|n| {
        if drops_name && is_name_label(n) {
            return false;
        }
        if matching.card != Cardinality::OneToOne {
            return true;
        }
        matching.labels.iter().any(|l| l == n) == matching.on
    });
    if matching.include.is_empty() {
        return base;
    }
    let mut builder = LabelsBuilder::new(&base);
    for name in &matching.include {
        // An empty value takes the label away.
        builder.set(name.clone(), one.get(name).unwrap_or("").to_string());
    }
    builder.build()
}
