//! A rule of either kind, and how it fares.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use configfile::rules::{Rule, RuleKind};
use model::Labels;
use parking_lot::Mutex;
use promql::{Query, Sample, Value};

use crate::alert::{Alert, AlertState};
use crate::alerting::Alerting;
use crate::group::{Evaluation, Group};
use crate::links::generator_url;
use crate::query::RuleQuery;
use crate::recording::Recording;
use crate::writer::{Writer, Written};

/// Whether a rule's last evaluation worked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It was not evaluated yet.
    #[default]
    Unknown,
    /// It did.
    Ok,
    /// It did not.
    Err,
}

impl Health {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Ok => "ok",
            Health::Err => "err",
        }
    }
}

/// How a rule fares.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    pub health: Health,
    pub last_error: Option<String>,
    pub last_evaluation: Option<i64>,
    pub took: Duration,
}

/// What sets recording and alerting rules apart.
#[derive(Debug)]
pub(crate) enum Kind {
    Recording(Recording),
    Alerting(Alerting),
}

/// A rule that runs.
#[derive(Debug)]
pub(crate) struct Runner {
    pub rule: Rule,
    pub query: Query,
    pub kind: Kind,
    pub status: Mutex<Status>,
    pub writer: Mutex<Writer>,
}

/// A rule as it is shown.
#[derive(Clone, Debug)]
pub struct RuleView {
    /// The metric's or alert's name.
    pub name: String,
    /// The expression, printed.
    pub query: String,
    /// The rule's labels as written, empty ones too.
    pub labels: BTreeMap<String, String>,
    /// How it fares.
    pub health: Health,
    /// What went wrong at the last evaluation.
    pub last_error: Option<String>,
    /// How long the last evaluation took.
    pub evaluation_time: Duration,
    /// When it was, unix milliseconds.
    pub last_evaluation: Option<i64>,
    /// What only one kind has.
    pub kind: RuleViewKind,
}

/// What only one kind of rule has.
#[derive(Clone, Debug)]
pub enum RuleViewKind {
    /// `record`
    Recording,
    /// `alert`
    Alerting {
        /// That of the furthest alert.
        state: AlertState,
        /// Milliseconds.
        hold_for: i64,
        /// Milliseconds.
        keep_firing_for: i64,
        /// As written.
        annotations: Labels,
        /// Pending and firing ones.
        alerts: Vec<Alert>,
    },
}

impl Runner {
    pub fn new(rule: &Rule, query: &dyn RuleQuery, restored: bool) -> Result<Runner, String> {
        Ok(Runner {
            query: query.parse(&rule.expr)?,
            kind: match &rule.kind {
                RuleKind::Record(name) => Kind::Recording(Recording {
                    name: name.clone(),
                    labels: rule.labels.clone(),
                }),
                RuleKind::Alert(name) => Kind::Alerting(Alerting::new(name, rule, restored)),
            },
            rule: rule.clone(),
            status: Mutex::default(),
            writer: Mutex::default(),
        })
    }

    /// Evaluates the rule at `ts`; gives how many samples it wrote.
    pub fn evaluate(&self, ts: i64, group: &Group, cx: &Evaluation<'_>) -> usize {
        let started = cx.clock.monotonic();
        let key = [group.key()];
        if let Some(metrics) = cx.metrics {
            metrics.evaluations.with(&key).inc();
        }
        let outcome = self.run(ts, group, cx);
        let took = cx.clock.monotonic().saturating_sub(started);
        if let Some(metrics) = cx.metrics {
            metrics.evaluation_seconds.observe(took.as_secs_f64());
            metrics.evaluation_histogram.observe(took.as_secs_f64());
        }
        let (samples, error) = match outcome {
            Ok(written) => {
                self.tell_dropped(&written, group);
                (written.samples, written.error)
            }
            Err(error) => {
                if let Some(metrics) = cx.metrics {
                    metrics.failures.with(&key).inc();
                }
                tracing::warn!(component = "rule manager", file = %group.definition().file, group = %group.definition().name, name = %self.rule.kind.name(), err = %error, "Evaluating rule failed");
                (0, Some(error))
            }
        };
        *self.status.lock() = Status {
            health: match error {
                Some(_) => Health::Err,
                None => Health::Ok,
            },
            last_error: error,
            last_evaluation: Some(ts),
            took,
        };
        samples
    }

    fn tell_dropped(&self, written: &Written, group: &Group) {
        let causes = ["out-of-order", "too old", "duplicate"];
        for (cause, n) in causes.iter().zip(written.dropped) {
            if n > 0 {
                tracing::warn!(component = "rule manager", file = %group.definition().file, group = %group.definition().name, name = %self.rule.kind.name(), num_dropped = n, "Error on ingesting {cause} result from rule evaluation");
            }
        }
        if written.dropped == [0; 3]
            && let Some(error) = &written.error
        {
            tracing::warn!(component = "rule manager", file = %group.definition().file, group = %group.definition().name, name = %self.rule.kind.name(), err = %error, "Rule result append failed");
        }
    }

    fn run(&self, ts: i64, group: &Group, cx: &Evaluation<'_>) -> Result<Written, String> {
        let definition = group.definition();
        let at = ts - definition.query_offset;
        let vector = match cx.query.query(&self.query, at)? {
            Value::Vector(samples) => samples,
            Value::Scalar(t, v) => vec![Sample {
                labels: Labels::empty(),
                t,
                value: promql::SampleValue::Float(v),
            }],
            _ => return Err("rule result is not a vector or scalar".into()),
        };
        let mut writer = self.writer.lock();
        let samples = match &self.kind {
            Kind::Recording(recording) => {
                recording.evaluate(vector, definition.limit, &mut writer)?
            }
            Kind::Alerting(alerting) => {
                alerting.evaluate(&vector, ts, definition, cx)?;
                let due = alerting.due(ts, cx.resend_delay, definition.interval);
                if !due.is_empty() {
                    (cx.send)(
                        &generator_url(cx.external_url, &self.query.expr().to_string()),
                        due,
                    );
                }
                alerting.samples(&mut writer)
            }
        };
        Ok(writer.write(&samples, at, cx.appendable))
    }

    /// Carries on with what the rule's former self knew.
    pub fn take_over(&self, old: &Runner) {
        self.writer.lock().take_over(&mut old.writer.lock());
        *self.status.lock() = old.status.lock().clone();
        if let (Kind::Alerting(new), Kind::Alerting(old)) = (&self.kind, &old.kind) {
            new.take_over(old);
        }
    }

    pub fn view(&self, with_alerts: bool) -> RuleView {
        let status = self.status.lock().clone();
        let kind = match &self.kind {
            Kind::Recording(_) => RuleViewKind::Recording,
            Kind::Alerting(alerting) => RuleViewKind::Alerting {
                state: match status.last_evaluation {
                    None => AlertState::Unknown,
                    Some(_) => alerting.state(),
                },
                hold_for: self.rule.hold_for,
                keep_firing_for: self.rule.keep_firing_for,
                annotations: labels_of(&self.rule.annotations),
                alerts: if with_alerts {
                    alerting.alerts()
                } else {
                    Vec::new()
                },
            },
        };
        RuleView {
            name: self.rule.kind.name().to_string(),
            query: self.query.expr().to_string(),
            labels: self.rule.labels.iter().cloned().collect(),
            health: status.health,
            last_error: status.last_error,
            evaluation_time: status.took,
            last_evaluation: status.last_evaluation,
            kind,
        }
    }

    /// Whether its series may be written.
    pub fn set_restored(&self) {
        if let Kind::Alerting(alerting) = &self.kind {
            alerting.restored.store(true, Ordering::Release);
        }
    }
}

fn labels_of(pairs: &[(String, String)]) -> Labels {
    Labels::from_pairs(
        pairs
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name, value)),
    )
}
