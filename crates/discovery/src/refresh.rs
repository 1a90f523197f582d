//! What mechanisms that ask again and again say about it.

use std::time::Duration;

use env::Registry;
use env::instruments::{Counter, Histogram, Summary};

/// Metrics of one mechanism's refreshes.
pub struct RefreshMetrics {
    failures: Counter,
    seconds: Summary,
    seconds_histogram: Histogram,
}

impl RefreshMetrics {
    /// For `mechanism` as the job `config` asks for it first.
    pub fn new(registry: &Registry, mechanism: &str, config: &str) -> RefreshMetrics {
        RefreshMetrics {
            failures: registry
                .counters(
                    "prometheus_sd_refresh_failures_total",
                    "Number of refresh failures for the given SD mechanism.",
                    &["mechanism", "config"],
                )
                .with(&[mechanism, config]),
            seconds: registry
                .summaries(
                    "prometheus_sd_refresh_duration_seconds",
                    "The duration of a refresh in seconds for the given SD mechanism.",
                    &["mechanism", "config"],
                    &[0.5, 0.9, 0.99],
                )
                .with(&[mechanism, config]),
            seconds_histogram: registry
                .histograms(
                    "prometheus_sd_refresh_duration_histogram_seconds",
                    "The duration of a refresh for the given SD mechanism.",
                    &["mechanism"],
                    &[0.01, 0.1, 1.0, 10.0],
                )
                .with(&[mechanism]),
        }
    }

    /// One refresh is over.
    pub fn note(&self, took: Duration, failed: bool) {
        self.seconds.observe(took.as_secs_f64());
        self.seconds_histogram.observe(took.as_secs_f64());
        if failed {
            self.failures.inc();
        }
    }
}
