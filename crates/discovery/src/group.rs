//! Groups of targets: what every mechanism yields.

use configfile::sd::StaticConfig;
use model::Labels;

/// The label that holds a target's address.
pub const ADDRESS: &str = "__address__";

/// Targets that share a source and labels.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetGroup {
    /// Names the group within its mechanism: a later group of the same source replaces it.
    pub source: String,
    /// One label set a target, with at least [`ADDRESS`].
    pub targets: Vec<Labels>,
    /// Labels of every target; the target's own win.
    pub labels: Labels,
}

impl TargetGroup {
    /// The group of a written-down list.
    pub fn from_static(source: String, config: &StaticConfig) -> TargetGroup {
        TargetGroup {
            source,
            targets: config
                .targets
                .iter()
                .map(|address| Labels::from_pairs([(ADDRESS, address)]))
                .collect(),
            labels: config.labels.clone(),
        }
    }

    /// The same group with one more label on it.
    #[must_use]
    pub fn with_label(mut self, name: &str, value: &str) -> TargetGroup {
        let mut builder = model::LabelsBuilder::new(&self.labels);
        builder.set(name.to_string(), value.to_string());
        self.labels = builder.build();
        self
    }
}
