//! What is counted of talks with API servers.

use std::time::Duration;

use env::Registry;
use env::instruments::{Counter, Gauge, Summary, Vector};

use super::object::Kind;
use super::store::Change;

/// The queue's name in metrics: there is one a process, for all that changes groups.
const QUEUE: &str = "groups";

/// Counters of all clusters together.
#[derive(Clone)]
pub struct Metrics {
    events: Vector<Counter>,
    /// Lists and watches that failed.
    pub failures: Counter,
    requests: Vector<Counter>,
    seconds: Vector<Summary>,
    depth: Gauge,
    items: Counter,
    work: Summary,
}

/// Events and failures are there before anything is discovered.
pub fn from_the_start(registry: &Registry) -> (Vector<Counter>, Counter) {
    let events = registry.counters(
        "prometheus_sd_kubernetes_events_total",
        "The number of Kubernetes events handled.",
        &["role", "event"],
    );
    for kind in [
        Kind::Pod,
        Kind::Service,
        Kind::Endpoints,
        Kind::EndpointSlice,
        Kind::Node,
        Kind::Ingress,
    ] {
        for change in [Change::Add, Change::Update, Change::Delete] {
            events.with(&[kind.as_str(), change.as_str()]);
        }
    }
    let failures = registry.counter(
        "prometheus_sd_kubernetes_failures_total",
        "The number of failed WATCH/LIST requests.",
    );
    (events, failures)
}

impl Metrics {
    /// Those of `registry`.
    pub fn new(registry: &Registry) -> Metrics {
        let (events, failures) = from_the_start(registry);
        Metrics {
            events,
            failures,
            requests: registry.counters(
                "prometheus_sd_kubernetes_http_request_total",
                "Total number of HTTP requests to the Kubernetes API by status code.",
                &["status_code"],
            ),
            seconds: registry.summaries(
                "prometheus_sd_kubernetes_http_request_duration_seconds",
                "Summary of latencies for HTTP requests to the Kubernetes API by endpoint.",
                &["endpoint"],
                &[],
            ),
            depth: registry
                .gauges(
                    "prometheus_sd_kubernetes_workqueue_depth",
                    "Current depth of the work queue.",
                    &["queue_name"],
                )
                .with(&[QUEUE]),
            items: registry
                .counters(
                    "prometheus_sd_kubernetes_workqueue_items_total",
                    "Total number of items added to the work queue.",
                    &["queue_name"],
                )
                .with(&[QUEUE]),
            work: registry
                .summaries(
                    "prometheus_sd_kubernetes_workqueue_work_duration_seconds",
                    "How long processing an item from the work queue takes.",
                    &["queue_name"],
                    &[],
                )
                .with(&[QUEUE]),
        }
    }

    /// An object changed.
    pub fn event(&self, kind: Kind, change: Change) {
        self.events.with(&[kind.as_str(), change.as_str()]).inc();
    }

    /// A request was answered, or (`None`) was not.
    pub fn request(&self, path: &str, status: Option<u16>, took: Duration) {
        let status = status.map_or("<error>".into(), |status| status.to_string());
        self.requests.with(&[&status]).inc();
        self.seconds.with(&[path]).observe(took.as_secs_f64());
    }

    /// So many groups wait to be made anew.
    pub fn queued(&self, count: usize) {
        self.depth.set(count as f64);
        self.items.add(count as u64);
    }

    /// They are made.
    pub fn worked(&self, took: Duration) {
        self.depth.set(0.0);
        self.work.observe(took.as_secs_f64());
    }
}
