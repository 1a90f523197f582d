//! Where collectors put what they find: metrics gathered into families.

use std::borrow::Cow;
use std::collections::HashMap;

use model::{Metric, MetricFamily, MetricType, MetricValue};

/// Every metric of ours starts so.
const NAMESPACE: &str = "node_";

/// Label names with values; names are fixed, values are found.
pub type LabelRefs<'a> = &'a [(&'static str, &'a str)];

/// Families under construction.
#[derive(Debug, Default)]
pub struct Sink {
    families: Vec<MetricFamily>,
    index: HashMap<String, usize>,
    name: String,
    last: usize,
    /// Metrics that could not be kept: one that exists already, or one that contradicts its family.
    pub refused: Vec<String>,
}

impl Sink {
    /// Nothing yet.
    pub fn new() -> Sink {
        Sink::default()
    }

    /// Adds a gauge named `node_<name>`.
    pub fn gauge(&mut self, name: &str, help: &str, labels: LabelRefs<'_>, value: f64) {
        self.add(MetricType::Gauge, name, help, labels, value);
    }

    /// Adds a counter named `node_<name>`.
    pub fn counter(&mut self, name: &str, help: &str, labels: LabelRefs<'_>, value: f64) {
        self.add(MetricType::Counter, name, help, labels, value);
    }

    /// Adds a metric without a type, named `node_<name>`.
    pub fn untyped(&mut self, name: &str, help: &str, labels: LabelRefs<'_>, value: f64) {
        self.add(MetricType::Unknown, name, help, labels, value);
    }

    /// Adds a metric of the given type, named `node_<name>`.
    pub fn add(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        labels: LabelRefs<'_>,
        value: f64,
    ) {
        self.add_owned(
            kind,
            name,
            help,
            labels
                .iter()
                .map(|(n, v)| (Cow::Borrowed(*n), (*v).to_string()))
                .collect(),
            value,
        );
    }

    /// As [`Sink::add`], for labels whose names are found, too.
    pub fn add_owned(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        mut labels: Vec<(Cow<'static, str>, String)>,
        value: f64,
    ) {
        // Most metrics follow one of their own family.
        let known = self.families.get(self.last).is_some_and(|family| {
            family
                .name
                .strip_prefix(NAMESPACE)
                .is_some_and(|rest| rest == name)
        });
        if !known {
            self.name.clear();
            self.name.push_str(NAMESPACE);
            self.name.push_str(name);
            self.last = match self.index.get(&self.name) {
                Some(at) => *at,
                None => {
                    self.families
                        .push(MetricFamily::new(self.name.as_str(), help, kind));
                    self.index
                        .insert(self.name.clone(), self.families.len() - 1);
                    self.families.len() - 1
                }
            };
        }
        let family = &mut self.families[self.last];
        if family.kind != kind || family.help != help {
            self.refused
                .push(format!("{}: type or help differ", family.name));
            return;
        }
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        family.push(labels, value);
    }

    /// Adds a whole family under its own name; its metrics' labels need not be sorted.
    pub fn family(&mut self, mut family: MetricFamily) {
        for metric in &mut family.metrics {
            metric.labels.sort_by(|a, b| a.0.cmp(&b.0));
        }
        match self.index.get(&family.name) {
            Some(at) => {
                let known = &mut self.families[*at];
                if known.kind != family.kind || known.help != family.help {
                    self.refused
                        .push(format!("{}: type or help differ", family.name));
                    return;
                }
                known.metrics.append(&mut family.metrics);
            }
            None => {
                self.index.insert(family.name.clone(), self.families.len());
                self.families.push(family);
            }
        }
    }

    /// How many metrics there are so far.
    pub fn len(&self) -> usize {
        self.families
            .iter()
            .map(|family| family.metrics.len())
            .sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in everything another sink holds.
    pub fn absorb(&mut self, other: Sink) {
        self.refused.extend(other.refused);
        for family in other.families {
            self.family(family);
        }
    }

    /// The families in the order of a page, each label set once; and what had to be refused.
    pub fn finish(mut self) -> (Vec<MetricFamily>, Vec<String>) {
        self.families.sort_by(|a, b| a.name.cmp(&b.name));
        for family in &mut self.families {
            family.metrics.sort_by(exposition::writer::metric_order);
            let before = family.metrics.len();
            family.metrics.dedup_by(|a, b| a.labels == b.labels);
            for _ in family.metrics.len()..before {
                self.refused.push(format!(
                    "{}: collected before with the same labels",
                    family.name
                ));
            }
        }
        (self.families, self.refused)
    }
}

/// A metric with one value.
pub fn single(labels: Vec<(Cow<'static, str>, String)>, value: f64) -> Metric {
    Metric {
        labels,
        value: MetricValue::Single(value),
        timestamp_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gathers_sorts_and_refuses() {
        let mut sink = Sink::new();
        sink.gauge("b", "B.", &[("z", "1"), ("a", "2")], 1.0);
        sink.gauge("a", "A.", &[], 2.0);
        sink.gauge("b", "B.", &[("a", "2"), ("z", "1")], 3.0);
        sink.gauge("b", "B.", &[], 4.0);
        sink.counter("b", "B.", &[], 4.0);
        let (families, refused) = sink.finish();
        assert_eq!(
            families.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
            ["node_a", "node_b"]
        );
        assert_eq!(families[1].metrics.len(), 2);
        assert!(families[1].metrics[0].labels.is_empty());
        assert_eq!(families[1].metrics[1].labels[0].0, "a");
        assert_eq!(refused.len(), 2);
    }
}
