//! Which group a series belongs to.

use hashbrown::HashMap;
use model::Labels;
use model::labels::METRIC_NAME;

use crate::cx::Cx;
use crate::frame::{Frame, is_name_label};
use crate::plan::Aggregate;

/// Numbers groups in the order they are met. Labels of a group are built once, its key is compared as bytes.
pub(super) struct Grouping {
    /// Sorted.
    names: Vec<String>,
    without: bool,
    delayed: bool,
    places: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
    /// Without any grouping there is nothing to look up.
    single: bool,
}

impl Grouping {
    pub fn new(aggregate: &Aggregate, cx: &Cx<'_>) -> Grouping {
        let mut names = aggregate.grouping.clone();
        names.sort();
        names.dedup();
        Grouping {
            single: names.is_empty() && !aggregate.without,
            names,
            without: aggregate.without,
            delayed: cx.options.delayed_name_removal,
            places: HashMap::new(),
            key: Vec::new(),
        }
    }

    /// The group of a series; `Err` carries the labels of a group that was not there before.
    pub fn place(&mut self, frame: &Frame) -> Result<usize, (usize, Labels)> {
        self.place_labels(&frame.labels, frame.drop_name)
    }

    pub fn place_labels(
        &mut self,
        labels: &Labels,
        drop_name: bool,
    ) -> Result<usize, (usize, Labels)> {
        if self.single {
            if self.places.is_empty() {
                self.places.insert(Box::new([]), 0);
                return Err((0, Labels::empty()));
            }
            return Ok(0);
        }
        let dropped = drop_name && !self.delayed;
        self.key.clear();
        let kept = |name: &str| {
            if dropped && is_name_label(name) {
                return false;
            }
            if self.without {
                name != METRIC_NAME
                    && self
                        .names
                        .binary_search_by(|n| n.as_str().cmp(name))
                        .is_err()
            } else {
                self.names
                    .binary_search_by(|n| n.as_str().cmp(name))
                    .is_ok()
            }
        };
        for (name, value) in labels.iter().filter(|(n, _)| kept(n)) {
            self.key.extend_from_slice(name.as_bytes());
            self.key.push(0xff);
            self.key.extend_from_slice(value.as_bytes());
            self.key.push(0xff);
        }
        if let Some(at) = self.places.get(self.key.as_slice()) {
            return Ok(*at);
        }
        let at = self.places.len();
        let group = labels.filtered(kept);
        self.places.insert(self.key.as_slice().into(), at);
        Err((at, group))
    }
}
