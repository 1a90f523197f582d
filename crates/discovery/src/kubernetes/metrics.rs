//! What is counted of talks with API servers.

use std::time::Duration;

use env::Registry;
use env::instruments::{Counter, Gauge, Summary, Vector};

use super::object::Kind;
use super::store::Change;

/// Counters of all clusters together, as discovery of one role counts.
#[derive(Clone)]
pub struct Metrics {
    role: Kind,
    events: Vector<Counter>,
    /// Lists and watches that failed.
    pub failures: Counter,
    requests: Vector<Counter>,
    seconds: Vector<Summary>,
    depth: Gauge,
    items: Counter,
    waits: Summary,
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
    /// Those of `registry`, for discovery of objects of the kind `role`.
    pub fn new(registry: &Registry, role: Kind) -> Metrics {
        let (events, failures) = from_the_start(registry);
        let queue = [role.as_str()];
        let gauge = |name, help| registry.gauges(name, help, &["queue_name"]).with(&queue);
        let summary = |name, help| {
            let summaries = registry.summaries(name, help, &["queue_name"], &[]);
            summaries.with(&queue)
        };
        // Groups are made as soon as there is something to make, one after the other: none is ever seen half made.
        for (name, help) in [
            (
                "prometheus_sd_kubernetes_workqueue_unfinished_work_seconds",
                "How long an item has remained unfinished in the work queue.",
            ),
            (
                "prometheus_sd_kubernetes_workqueue_longest_running_processor_seconds",
                "Duration of the longest running processor in the work queue.",
            ),
        ] {
            gauge(name, help).set(0.0);
        }
        Metrics {
            role,
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
            depth: gauge(
                "prometheus_sd_kubernetes_workqueue_depth",
                "Current depth of the work queue.",
            ),
            items: registry
                .counters(
                    "prometheus_sd_kubernetes_workqueue_items_total",
                    "Total number of items added to the work queue.",
                    &["queue_name"],
                )
                .with(&queue),
            waits: summary(
                "prometheus_sd_kubernetes_workqueue_latency_seconds",
                "How long an item stays in the work queue.",
            ),
            work: summary(
                "prometheus_sd_kubernetes_workqueue_work_duration_seconds",
                "How long processing an item from the work queue takes.",
            ),
        }
    }

    /// An object changed. Counted are those of the role itself and services of what is behind them, and for endpoints
    /// pods that change too. What is attached is not.
    pub fn event(&self, kind: Kind, change: Change) {
        let joined = matches!(self.role, Kind::Endpoints | Kind::EndpointSlice);
        let counted = match kind {
            kind if kind == self.role => true,
            Kind::Service => joined,
            Kind::Pod => self.role == Kind::Endpoints && change == Change::Update,
            _ => false,
        };
        if counted {
            self.events.with(&[kind.as_str(), change.as_str()]).inc();
        }
    }

    /// A request was answered, or (`None`) was not.
    pub fn request(&self, status: Option<u16>) {
        let status = status.map_or("<error>".into(), |status| status.to_string());
        self.requests.with(&[&status]).inc();
    }

    /// How long the answer to a request for a list took to begin. Watches are left out, as their begin tells nothing.
    pub fn listed(&self, path: &str, took: Duration) {
        self.seconds.with(&[path]).observe(took.as_secs_f64());
    }

    /// So many groups wait to be made anew.
    pub fn queued(&self, count: usize) {
        self.depth.set(count as f64);
        self.items.add(count as u64);
    }

    /// So many are made: how long they had waited, and how long it took to make them all.
    pub fn worked(&self, count: usize, waited: Duration, took: Duration) {
        self.depth.set(0.0);
        for _ in 0..count {
            self.waits.observe(waited.as_secs_f64());
            self.work.observe(took.as_secs_f64() / count as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_counts_what_its_groups_are_made_of() {
        let counted = |role: Kind| {
            let metrics = Metrics::new(&Registry::new(), role);
            let kinds = [
                Kind::Pod,
                Kind::Service,
                Kind::Endpoints,
                Kind::EndpointSlice,
                Kind::Node,
                Kind::Ingress,
                Kind::Namespace,
                Kind::ReplicaSet,
                Kind::Job,
            ];
            let mut counted = Vec::new();
            for kind in kinds {
                for change in [Change::Add, Change::Update, Change::Delete] {
                    let before = metrics.events.with(&[kind.as_str(), change.as_str()]).get();
                    metrics.event(kind, change);
                    let after = metrics.events.with(&[kind.as_str(), change.as_str()]).get();
                    if after > before {
                        counted.push(format!("{}-{}", kind.as_str(), change.as_str()));
                    }
                }
            }
            counted.join(" ")
        };
        assert_eq!(counted(Kind::Pod), "pod-add pod-update pod-delete");
        assert_eq!(counted(Kind::Node), "node-add node-update node-delete");
        assert_eq!(
            counted(Kind::Endpoints),
            "pod-update service-add service-update service-delete endpoints-add endpoints-update endpoints-delete"
        );
        assert_eq!(
            counted(Kind::EndpointSlice),
            "service-add service-update service-delete endpointslice-add endpointslice-update endpointslice-delete"
        );
    }
}
