//! What mechanisms that ask again and again say about it.

use std::time::Duration;

use env::Registry;
use env::instruments::{Counter, Histogram};

/// Metrics of one mechanism's refreshes.
pub struct RefreshMetrics {
    failures: Counter,
    seconds: Histogram,
}

impl RefreshMetrics {
    /// For `mechanism`.
    pub fn new(registry: &Registry, mechanism: &str) -> RefreshMetrics {
        RefreshMetrics {
            failures: registry
                .counters(
                    "prometheus_sd_refresh_failures_total",
                    "Number of refresh failures for the given SD mechanism.",
                    &["mechanism"],
                )
                .with(&[mechanism]),
            seconds: registry
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
        if failed {
            self.failures.inc();
        }
    }
}
