//! What rules tell about themselves.

use env::Registry;
use env::instruments::{Counter, Gauge, Histogram, Summary, Vector};

const BUCKETS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
const GROUP: &[&str] = &["rule_group"];

/// Instruments of rules; those with a group vanish with it.
#[derive(Clone)]
pub struct RuleMetrics {
    pub(crate) evaluation_seconds: Summary,
    pub(crate) evaluation_histogram: Histogram,
    pub(crate) group_seconds: Summary,
    pub(crate) group_histogram: Histogram,
    pub(crate) expansions: Counter,
    pub(crate) expansion_failures: Counter,
    pub(crate) evaluations: Vector<Counter>,
    pub(crate) failures: Vector<Counter>,
    pub(crate) iterations: Vector<Counter>,
    pub(crate) missed: Vector<Counter>,
    pub(crate) interval: Vector<Gauge>,
    pub(crate) last_evaluation: Vector<Gauge>,
    pub(crate) last_duration: Vector<Gauge>,
    pub(crate) last_duration_sum: Vector<Gauge>,
    pub(crate) last_restore: Vector<Gauge>,
    pub(crate) rules: Vector<Gauge>,
    pub(crate) last_samples: Vector<Gauge>,
}

impl RuleMetrics {
    /// Registers all.
    pub fn new(registry: &Registry) -> RuleMetrics {
        let counters = |name: &str, help: &str| registry.counters(name, help, GROUP);
        let gauges = |name: &str, help: &str| registry.gauges(name, help, GROUP);
        RuleMetrics {
            evaluation_seconds: registry.summary(
                "prometheus_rule_evaluation_duration_seconds",
                "The duration for a rule to execute.",
                &[0.5, 0.9, 0.99],
            ),
            evaluation_histogram: registry.native_histogram(
                "prometheus_rule_evaluation_duration_histogram_seconds",
                "The duration for a rule to execute.",
                &BUCKETS,
            ),
            group_seconds: registry.summary(
                "prometheus_rule_group_duration_seconds",
                "The duration of rule group evaluations.",
                &[0.01, 0.05, 0.5, 0.9, 0.99],
            ),
            group_histogram: registry.native_histogram(
                "prometheus_rule_group_duration_histogram_seconds",
                "The duration of rule group evaluations.",
                &BUCKETS,
            ),
            expansions: registry.counter(
                "prometheus_template_text_expansions_total",
                "The total number of template text expansions.",
            ),
            expansion_failures: registry.counter(
                "prometheus_template_text_expansion_failures_total",
                "The total number of template text expansion failures.",
            ),
            evaluations: counters(
                "prometheus_rule_evaluations_total",
                "The total number of rule evaluations.",
            ),
            failures: counters(
                "prometheus_rule_evaluation_failures_total",
                "The total number of rule evaluation failures.",
            ),
            iterations: counters(
                "prometheus_rule_group_iterations_total",
                "The total number of scheduled rule group evaluations, whether executed or missed.",
            ),
            missed: counters(
                "prometheus_rule_group_iterations_missed_total",
                "The total number of rule group evaluations missed due to slow rule group evaluation.",
            ),
            interval: gauges(
                "prometheus_rule_group_interval_seconds",
                "The interval of a rule group.",
            ),
            last_evaluation: gauges(
                "prometheus_rule_group_last_evaluation_timestamp_seconds",
                "The timestamp of the last rule group evaluation in seconds.",
            ),
            last_duration: gauges(
                "prometheus_rule_group_last_duration_seconds",
                "The duration of the last rule group evaluation.",
            ),
            last_duration_sum: gauges(
                "prometheus_rule_group_last_rule_duration_sum_seconds",
                "The sum of time in seconds it took to evaluate each rule in the group regardless of concurrency. This should be higher than the group duration if rules are evaluated concurrently.",
            ),
            last_restore: gauges(
                "prometheus_rule_group_last_restore_duration_seconds",
                "The duration of the last alert rules alerts restoration using the `ALERTS_FOR_STATE` series.",
            ),
            rules: gauges("prometheus_rule_group_rules", "The number of rules."),
            last_samples: gauges(
                "prometheus_rule_group_last_evaluation_samples",
                "The number of samples returned during the last rule group evaluation.",
            ),
        }
    }

    /// A group begins.
    pub(crate) fn begin(&self, key: &str, interval_ms: i64, rules: usize) {
        let key = [key];
        for counters in [
            &self.evaluations,
            &self.failures,
            &self.iterations,
            &self.missed,
        ] {
            counters.with(&key);
        }
        for gauges in [
            &self.last_evaluation,
            &self.last_duration,
            &self.last_duration_sum,
            &self.last_restore,
            &self.last_samples,
        ] {
            gauges.with(&key);
        }
        self.interval.with(&key).set(interval_ms as f64 / 1000.0);
        self.rules.with(&key).set(rules as f64);
    }

    /// A group is no more.
    pub(crate) fn end(&self, key: &str) {
        let key = [key];
        for counters in [
            &self.evaluations,
            &self.failures,
            &self.iterations,
            &self.missed,
        ] {
            counters.remove(&key);
        }
        for gauges in [
            &self.interval,
            &self.rules,
            &self.last_evaluation,
            &self.last_duration,
            &self.last_duration_sum,
            &self.last_restore,
            &self.last_samples,
        ] {
            gauges.remove(&key);
        }
    }
}
