//! What the notifier tells about itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use env::Registry;
use env::instruments::{Counter, Gauge, Histogram, Summary, Vector};
use parking_lot::Mutex;

const BY_URL: &[&str] = &["alertmanager"];

/// Instruments of the notifier; those with an Alertmanager vanish with it.
#[derive(Clone)]
pub(super) struct NotifierMetrics {
    pub latency: Vector<Summary>,
    pub latency_histogram: Vector<Histogram>,
    pub errors: Vector<Counter>,
    pub sent: Vector<Counter>,
    pub dropped: Vector<Counter>,
    pub queue_length: Vector<Gauge>,
    pub queue_capacity: Gauge,
    pub discovered: Gauge,
    known: Arc<Mutex<BTreeSet<String>>>,
}

impl NotifierMetrics {
    pub fn new(registry: &Registry) -> NotifierMetrics {
        NotifierMetrics {
            latency: registry.summaries(
                "prometheus_notifications_latency_seconds",
                "Latency quantiles for sending alert notifications.",
                BY_URL,
                &[0.5, 0.9, 0.99],
            ),
            latency_histogram: registry.native_histograms(
                "prometheus_notifications_latency_histogram_seconds",
                "Latency histogram for sending alert notifications.",
                BY_URL,
                &[0.01, 0.1, 1.0, 10.0],
            ),
            errors: registry.counters(
                "prometheus_notifications_errors_total",
                "Total number of sent alerts affected by errors.",
                BY_URL,
            ),
            sent: registry.counters(
                "prometheus_notifications_sent_total",
                "Total number of alerts sent.",
                BY_URL,
            ),
            dropped: registry.counters(
                "prometheus_notifications_dropped_total",
                "Total number of alerts dropped due to errors when sending to Alertmanager.",
                BY_URL,
            ),
            queue_length: registry.gauges(
                "prometheus_notifications_queue_length",
                "The number of alert notifications in the queue.",
                BY_URL,
            ),
            queue_capacity: registry.gauge(
                "prometheus_notifications_queue_capacity",
                "The capacity of the alert notifications queue.",
            ),
            discovered: registry.gauge(
                "prometheus_notifications_alertmanagers_discovered",
                "The number of alertmanagers discovered and active.",
            ),
            known: Arc::default(),
        }
    }

    /// An Alertmanager is there: its figures begin at 0.
    pub fn begin(&self, url: &str) {
        self.known.lock().insert(url.to_string());
        for counters in [&self.errors, &self.sent, &self.dropped] {
            counters.with(&[url]);
        }
        self.queue_length.with(&[url]).set(0.0);
    }

    /// Figures of all other Alertmanagers vanish.
    pub fn keep_only(&self, urls: &[&str]) {
        self.known.lock().retain(|url| {
            let stays = urls.contains(&url.as_str());
            if !stays {
                let url = [url.as_str()];
                self.latency.remove(&url);
                self.latency_histogram.remove(&url);
                for counters in [&self.errors, &self.sent, &self.dropped] {
                    counters.remove(&url);
                }
                self.queue_length.remove(&url);
            }
            stays
        });
    }
}
