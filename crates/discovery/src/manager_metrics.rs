//! What a manager says of the mechanisms it runs.

use env::Registry;
use env::instruments::{Counter, Gauge, Vector};

use crate::manager::Shared;

/// Metrics of one manager.
pub struct ManagerMetrics {
    name: &'static str,
    discovered: Vector<Gauge>,
    /// Mechanisms that could not be started.
    pub failed: Gauge,
    /// Times a mechanism found something.
    pub received: Counter,
    /// Times a mechanism found something while what was found before had not been handed on for long.
    pub delayed: Counter,
    last_update: Vector<Gauge>,
    /// Times that what was found was handed on.
    pub sent: Counter,
}

impl ManagerMetrics {
    /// For the manager of that name.
    pub fn new(registry: &Registry, name: &'static str) -> ManagerMetrics {
        let counter = |metric, help| registry.counters(metric, help, &["name"]).with(&[name]);
        ManagerMetrics {
            name,
            discovered: registry.gauges(
                "prometheus_sd_discovered_targets",
                "Current number of discovered targets.",
                &["name", "config"],
            ),
            failed: registry
                .gauges(
                    "prometheus_sd_failed_configs",
                    "Current number of service discovery configurations that failed to load.",
                    &["name"],
                )
                .with(&[name]),
            received: counter(
                "prometheus_sd_received_updates_total",
                "Total number of update events received from the SD providers.",
            ),
            delayed: counter(
                "prometheus_sd_updates_delayed_total",
                "Total number of update events that couldn't be sent immediately.",
            ),
            last_update: registry.gauges(
                "prometheus_sd_last_update_timestamp_seconds",
                "Timestamp of the last update sent to the SD consumers.",
                &["name", "config"],
            ),
            sent: counter(
                "prometheus_sd_updates_total",
                "Total number of update events sent to the SD consumers.",
            ),
        }
    }

    /// The manager's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Counts the targets of every job.
    pub(crate) fn count_targets(&self, shared: &Shared) {
        for (job, found) in shared.jobs.lock().iter() {
            let targets: usize = found
                .iter()
                .map(|found| found.lock().iter().map(|g| g.targets.len()).sum::<usize>())
                .sum();
            self.discovered.with(&[self.name, job]).set(targets as f64);
        }
    }

    /// What was found for the job is handed on.
    pub(crate) fn note_update(&self, job: &str, seconds: f64) {
        self.last_update.with(&[self.name, job]).set(seconds);
    }

    /// The job is no longer configured.
    pub fn forget(&self, job: &str) {
        self.last_update.remove(&[self.name, job]);
        self.discovered.remove(&[self.name, job]);
    }
}
