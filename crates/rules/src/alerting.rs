//! Alerting rules: the state of their alerts from one evaluation to the next.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;
use model::{Labels, LabelsBuilder};
use parking_lot::Mutex;
use promql::{Sample, SampleValue};

use crate::alert::{Alert, AlertState, Gone, Holds};
use crate::definition::GroupDefinition;
use crate::group::Evaluation;
use crate::templates::{Element, Templates};
use crate::writer::{Slot, Writer};

/// An alerting rule with its alerts.
#[derive(Debug)]
pub(crate) struct Alerting {
    pub name: String,
    pub holds: Holds,
    labels: Templates,
    annotations: Templates,
    /// Whether series may be written: state from before a restart has been looked for.
    pub restored: AtomicBool,
    pub active: Mutex<HashMap<Labels, Active>>,
}

/// An alert with the series that tell of it.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    pub alert: Alert,
    series: Option<AlertSeries>,
}

#[derive(Clone, Debug)]
struct AlertSeries {
    pending: Labels,
    firing: Labels,
    for_state: Labels,
}

impl AlertSeries {
    fn of(alert: &Labels) -> AlertSeries {
        let named = |name: &'static str, state: Option<&'static str>| {
            let mut builder = LabelsBuilder::new(alert);
            builder.set("__name__", name);
            if let Some(state) = state {
                builder.set("alertstate", state);
            }
            builder.build()
        };
        AlertSeries {
            pending: named("ALERTS", Some("pending")),
            firing: named("ALERTS", Some("firing")),
            for_state: named("ALERTS_FOR_STATE", None),
        }
    }
}

/// What one element of the expression says.
struct Found {
    annotations: Labels,
    value: f64,
}

impl Alerting {
    pub fn new(name: &str, rule: &configfile::rules::Rule, restored: bool) -> Alerting {
        Alerting {
            name: name.to_string(),
            holds: Holds {
                hold_for: rule.hold_for,
                keep_firing_for: rule.keep_firing_for,
            },
            labels: Templates::new(name, &rule.labels),
            annotations: Templates::new(name, &rule.annotations),
            restored: AtomicBool::new(restored),
            active: Mutex::default(),
        }
    }

    /// Takes the elements in: `Err` leaves all alerts as they were, but for the limit's.
    pub fn evaluate(
        &self,
        vector: &[Sample],
        ts: i64,
        group: &GroupDefinition,
        cx: &Evaluation<'_>,
    ) -> Result<(), String> {
        // Templates may ask queries: nobody waits for a lock meanwhile.
        let mut found: HashMap<Labels, Found> = HashMap::with_capacity(vector.len());
        for sample in vector {
            let element = Element {
                labels: &sample.labels,
                value: &sample.value,
                external_labels: &group.external_labels,
                query_time: ts - group.query_offset,
                ts,
            };
            let mut builder = LabelsBuilder::new(&sample.labels);
            builder.del("__name__");
            for (name, value) in self.labels.expand(&element, cx) {
                builder.set(name, value);
            }
            builder.set("alertname", self.name.as_str());
            let labels = builder.build();
            let annotations = Labels::from_pairs(
                self.annotations
                    .expand(&element, cx)
                    .into_iter()
                    .filter(|(_, text)| !text.is_empty()),
            );
            let value = match sample.value {
                SampleValue::Float(v) => v,
                SampleValue::Histogram(_) => 0.0,
            };
            if found.insert(labels, Found { annotations, value }).is_some() {
                return Err(
                    "vector contains metrics with the same labelset after applying alert labels"
                        .into(),
                );
            }
        }
        let mut active = self.active.lock();
        self.advance(&mut active, found, ts);
        let count = active
            .values()
            .filter(|a| a.alert.state > AlertState::Inactive)
            .count();
        if group.limit > 0 && count as i64 > group.limit {
            active.clear();
            return Err(format!(
                "exceeded limit of {} with {count} alerts",
                group.limit
            ));
        }
        Ok(())
    }

    fn advance(
        &self,
        active: &mut HashMap<Labels, Active>,
        found: HashMap<Labels, Found>,
        ts: i64,
    ) {
        active.retain(|labels, known| {
            found.contains_key(labels)
                || match known.alert.vanish(ts, self.holds) {
                    Gone::Forget => false,
                    Gone::Resolved => true,
                    Gone::KeepsFiring => {
                        known.alert.advance(ts, self.holds);
                        true
                    }
                }
        });
        for (labels, found) in found {
            let known = active.get_mut(&labels);
            if let Some(known) = known
                && known.alert.state != AlertState::Inactive
            {
                known.alert.value = found.value;
                known.alert.annotations = found.annotations;
                known.alert.keep_firing_since = None;
                known.alert.advance(ts, self.holds);
                continue;
            }
            let mut alert = Alert::new(labels.clone(), found.annotations, found.value, ts);
            alert.advance(ts, self.holds);
            active.insert(
                labels,
                Active {
                    alert,
                    series: None,
                },
            );
        }
    }

    /// Alerts that are due to be sent.
    pub fn due(&self, ts: i64, resend_delay: i64, interval: i64) -> Vec<Alert> {
        self.active
            .lock()
            .values_mut()
            .filter_map(|a| a.alert.due(ts, resend_delay, interval))
            .collect()
    }

    /// The samples of `ALERTS` and `ALERTS_FOR_STATE`.
    pub fn samples(&self, writer: &mut Writer) -> Vec<(Slot, SampleValue)> {
        writer.begin();
        let mut samples = Vec::new();
        if !self.restored.load(Ordering::Acquire) {
            return samples;
        }
        for active in self.active.lock().values_mut() {
            let alert = &active.alert;
            let series = active
                .series
                .get_or_insert_with(|| AlertSeries::of(&alert.labels));
            let state = match alert.state {
                AlertState::Pending => &series.pending,
                AlertState::Firing => &series.firing,
                _ => continue,
            };
            let since = alert.active_at.div_euclid(1000) as f64;
            for (labels, v) in [(state, 1.0), (&series.for_state, since)] {
                // Alert labels of the names that are overridden here can make two alert's series one.
                if let Ok(slot) = writer.claim(labels) {
                    samples.push((slot, SampleValue::Float(v)));
                }
            }
        }
        samples
    }

    /// The rule's state: that of its furthest alert.
    pub fn state(&self) -> AlertState {
        self.active
            .lock()
            .values()
            .map(|a| a.alert.state)
            .max()
            .unwrap_or(AlertState::Inactive)
    }

    /// Pending and firing alerts, by labels.
    pub fn alerts(&self) -> Vec<Alert> {
        let active = self.active.lock();
        let sorted: BTreeMap<&Labels, &Alert> = active
            .iter()
            .filter(|(_, a)| a.alert.state > AlertState::Inactive)
            .map(|(labels, a)| (labels, &a.alert))
            .collect();
        sorted.into_values().cloned().collect()
    }

    /// Carries on with the alerts of the rule's former self.
    pub fn take_over(&self, old: &Alerting) {
        *self.active.lock() = old.active.lock().clone();
    }
}
