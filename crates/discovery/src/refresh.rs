//! What mechanisms that ask again and again say about it.

use std::time::Duration;

use env::Registry;
use env::instruments::{Counter, Histogram, Summary, Vector};

/// Metrics of the refreshes of one mechanism that a job configures.
#[derive(Clone)]
pub struct RefreshMetrics {
    labels: [String; 2],
    all_failures: Vector<Counter>,
    all_summaries: Vector<Summary>,
    failures: Counter,
    summary: Summary,
    histogram: Histogram,
}

impl RefreshMetrics {
    /// For `mechanism` of the job `config`. Of several jobs that share it, the first.
    pub fn new(registry: &Registry, mechanism: &str, config: &str) -> RefreshMetrics {
        let all_failures = registry.counters(
            "prometheus_sd_refresh_failures_total",
            "Number of refresh failures for the given SD mechanism.",
            &["mechanism", "config"],
        );
        let all_summaries = registry.summaries(
            "prometheus_sd_refresh_duration_seconds",
            "The duration of a refresh in seconds for the given SD mechanism.",
            &["mechanism", "config"],
            &[0.5, 0.9, 0.99],
        );
        let histograms = registry.native_histograms(
            "prometheus_sd_refresh_duration_histogram_seconds",
            "The duration of a refresh for the given SD mechanism.",
            &["mechanism"],
            &[0.01, 0.1, 1.0, 10.0],
        );
        RefreshMetrics {
            labels: [mechanism.to_string(), config.to_string()],
            failures: all_failures.with(&[mechanism, config]),
            summary: all_summaries.with(&[mechanism, config]),
            histogram: histograms.with(&[mechanism]),
            all_failures,
            all_summaries,
        }
    }

    /// Mechanism and job.
    pub fn labels(&self) -> &[String; 2] {
        &self.labels
    }

    /// One refresh is over.
    pub fn note(&self, took: Duration, failed: bool) {
        self.summary.observe(took.as_secs_f64());
        self.histogram.observe(took.as_secs_f64());
        if failed {
            self.failures.inc();
        }
    }

    /// The mechanism has ended.
    pub fn forget(&self) {
        let labels = [&*self.labels[0], &*self.labels[1]];
        self.all_failures.remove(&labels);
        self.all_summaries.remove(&labels);
    }
}
