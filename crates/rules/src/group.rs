//! A group: its rules, evaluated in order at one time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use env::Clock;
use parking_lot::Mutex;
use storage::Appendable;

use crate::alert::Alert;
use crate::definition::GroupDefinition;
use crate::dependencies::{Batches, batches};
use crate::metrics::RuleMetrics;
use crate::query::RuleQuery;
use crate::rule::{RuleView, Runner};
use crate::writer::Writer;

/// What an evaluation works with.
pub struct Evaluation<'a> {
    /// Answers queries.
    pub query: &'a dyn RuleQuery,
    /// Takes results.
    pub appendable: &'a dyn Appendable,
    /// Measures how long it takes.
    pub clock: &'a dyn Clock,
    /// Where figures go.
    pub metrics: Option<&'a RuleMetrics>,
    /// The server's URL, without a slash at its end.
    pub external_url: &'a str,
    /// Milliseconds until an alert is sent again.
    pub resend_delay: i64,
    /// Takes alerts to be sent with the link to their expression.
    pub send: &'a (dyn Fn(&str, Vec<Alert>) + Sync),
    /// Ends the evaluation between two rules.
    pub stopping: &'a AtomicBool,
    /// Permits for rules that run beside others; `None` where all run in order.
    pub permits: Option<&'a AtomicUsize>,
}

/// A group of rules with their state.
#[derive(Debug)]
pub struct Group {
    definition: GroupDefinition,
    key: String,
    rules: Vec<Runner>,
    batches: Batches,
    last: Mutex<(Option<i64>, Duration)>,
    /// Series of rules that are no more.
    leftovers: Mutex<Vec<Writer>>,
}

/// A group as it is shown.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Milliseconds.
    pub interval: i64,
    /// 0 for none.
    pub limit: i64,
    /// In order.
    pub rules: Vec<RuleView>,
    /// How long the last evaluation took.
    pub evaluation_time: Duration,
    /// When it was, unix milliseconds.
    pub last_evaluation: Option<i64>,
}

impl Group {
    /// Plans a group. Its alerts' series are written only once `restored`; see [`Group::restore`].
    pub fn new(
        definition: GroupDefinition,
        query: &dyn RuleQuery,
        restored: bool,
    ) -> Result<Group, String> {
        let rules = definition
            .rules
            .iter()
            .map(|rule| {
                Runner::new(rule, query, restored).map_err(|e| {
                    format!(
                        "{}: group {:?}, rule {:?}: {e}",
                        definition.file,
                        definition.name,
                        rule.kind.name()
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let planned: Vec<_> = rules
            .iter()
            .map(|r| (&r.rule.kind, r.query.expr()))
            .collect();
        Ok(Group {
            key: definition.key(),
            batches: batches(&planned),
            rules,
            definition,
            last: Mutex::default(),
            leftovers: Mutex::default(),
        })
    }

    /// What it is made from.
    pub fn definition(&self) -> &GroupDefinition {
        &self.definition
    }

    /// `<file>;<name>`
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn rules(&self) -> &[Runner] {
        &self.rules
    }

    /// Evaluates all rules at `ts` (unix milliseconds), each seeing what those before it wrote.
    pub fn evaluate(&self, ts: i64, cx: &Evaluation<'_>) {
        let started = cx.clock.monotonic();
        let samples = match (&self.batches, cx.permits) {
            (Batches::Some(batches), Some(permits)) => batches
                .iter()
                .map(|(together, batch)| {
                    if *together {
                        self.together(batch, ts, cx, permits)
                    } else {
                        batch.iter().map(|i| self.one(*i, ts, cx)).sum()
                    }
                })
                .sum(),
            _ => (0..self.rules.len())
                .map(|i| self.one(i, ts, cx))
                .sum::<usize>(),
        };
        for mut writer in self.leftovers.lock().drain(..) {
            writer.end(ts - self.definition.query_offset, cx.appendable);
        }
        let took = cx.clock.monotonic().saturating_sub(started);
        *self.last.lock() = (Some(ts), took);
        if let Some(metrics) = cx.metrics {
            let key = [self.key()];
            let sum: f64 = self
                .rules
                .iter()
                .map(|r| r.status.lock().took.as_secs_f64())
                .sum();
            metrics.group_seconds.observe(took.as_secs_f64());
            metrics.group_histogram.observe(took.as_secs_f64());
            metrics.last_duration.with(&key).set(took.as_secs_f64());
            metrics.last_duration_sum.with(&key).set(sum);
            metrics.last_samples.with(&key).set(samples as f64);
            metrics.last_evaluation.with(&key).set(ts as f64 / 1000.0);
        }
    }

    fn one(&self, i: usize, ts: i64, cx: &Evaluation<'_>) -> usize {
        if cx.stopping.load(Ordering::Relaxed) {
            return 0;
        }
        self.rules[i].evaluate(ts, self, cx)
    }

    /// Runs as many rules beside this thread as there are permits; the others here.
    fn together(
        &self,
        batch: &[usize],
        ts: i64,
        cx: &Evaluation<'_>,
        permits: &AtomicUsize,
    ) -> usize {
        let samples = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for i in batch {
                let permit = permits.fetch_update(Ordering::AcqRel, Ordering::Acquire, |free| {
                    free.checked_sub(1)
                });
                if permit.is_err() || batch.len() == 1 {
                    if permit.is_ok() {
                        permits.fetch_add(1, Ordering::AcqRel);
                    }
                    samples.fetch_add(self.one(*i, ts, cx), Ordering::Relaxed);
                    continue;
                }
                let samples = &samples;
                scope.spawn(move || {
                    let _permit = Permit(permits);
                    samples.fetch_add(self.one(*i, ts, cx), Ordering::Relaxed);
                });
            }
        });
        samples.into_inner()
    }

    /// Carries on with what the group's former self knew: rules of the same name and labels, in order of appearance.
    pub(crate) fn take_over(&self, old: &Group) {
        let mut taken = vec![false; old.rules.len()];
        for rule in &self.rules {
            let same = old.rules.iter().enumerate().find(|(i, former)| {
                !taken[*i]
                    && former.rule.kind == rule.rule.kind
                    && former.rule.labels == rule.rule.labels
            });
            if let Some((i, former)) = same {
                taken[i] = true;
                rule.take_over(former);
            }
        }
        let mut leftovers = self.leftovers.lock();
        for (former, _) in old.rules.iter().zip(&taken).filter(|(_, taken)| !**taken) {
            let writer = std::mem::take(&mut *former.writer.lock());
            if !writer.is_empty() {
                leftovers.push(writer);
            }
        }
        leftovers.append(&mut old.leftovers.lock());
        *self.last.lock() = *old.last.lock();
    }

    /// Marks all series of the group stale at `ts`: it is no more.
    pub(crate) fn end(&self, ts: i64, appendable: &dyn Appendable) {
        let t = ts - self.definition.query_offset;
        for rule in &self.rules {
            rule.writer.lock().end(t, appendable);
        }
        for mut writer in self.leftovers.lock().drain(..) {
            writer.end(t, appendable);
        }
    }

    /// The group with its rules; alerts only if wanted.
    pub fn view(&self, with_alerts: bool) -> GroupView {
        let (last_evaluation, evaluation_time) = *self.last.lock();
        GroupView {
            file: self.definition.file.clone(),
            name: self.definition.name.clone(),
            interval: self.definition.interval,
            limit: self.definition.limit,
            rules: self.rules.iter().map(|r| r.view(with_alerts)).collect(),
            evaluation_time,
            last_evaluation,
        }
    }
}

/// Gives a permit back, come what may.
struct Permit<'a>(&'a AtomicUsize);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
