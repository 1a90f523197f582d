//! What the server as a whole says about itself.

use std::borrow::Cow;

use env::Registry;
use env::instruments::{Counter, Gauge, Histogram, Vector};
use model::MetricType;

/// Instruments of configuration, readiness and HTTP.
#[derive(Clone)]
pub struct ServerMetrics {
    /// 1 after a reload that worked, 0 after one that did not.
    pub reload_successful: Gauge,
    /// Unix seconds of the last reload that worked.
    pub reload_success_time: Gauge,
    /// Whether queries can be answered.
    pub ready: Gauge,
    /// Federation requests that failed.
    pub federation_errors: Counter,
    /// Warnings while federation requests were answered.
    pub federation_warnings: Counter,
    /// Requests by handler and code.
    pub requests: Vector<Counter>,
    /// Seconds that they took.
    pub request_duration: Vector<Histogram>,
    /// Bytes that were sent.
    pub response_size: Vector<Histogram>,
}

impl ServerMetrics {
    /// Registers all, the process' own too.
    pub fn new(registry: &Registry) -> ServerMetrics {
        net::process::register(registry);
        registry.computed(
            "prometheus_build_info",
            "A metric with a constant '1' value labeled by version, revision, branch, goversion from which prometheus was built, and the goos and goarch for the build.",
            MetricType::Gauge,
            |family| {
                let labels = [
                    ("branch", "main"),
                    ("goarch", std::env::consts::ARCH),
                    ("goos", std::env::consts::OS),
                    ("goversion", ""),
                    ("revision", crate::build::REVISION),
                    ("tags", "titan"),
                    ("version", crate::build::UPSTREAM_VERSION),
                ];
                family.push(labels.map(|(n, v)| (Cow::Borrowed(n), v.to_string())).to_vec(), 1.0);
            },
        );
        let sizes = env::instruments::exponential_bounds(100.0, 10.0, 8);
        ServerMetrics {
            reload_successful: registry.gauge(
                "prometheus_config_last_reload_successful",
                "Whether the last configuration reload attempt was successful.",
            ),
            reload_success_time: registry.gauge(
                "prometheus_config_last_reload_success_timestamp_seconds",
                "Timestamp of the last successful configuration reload.",
            ),
            ready: registry.gauge(
                "prometheus_ready",
                "Whether Prometheus startup was fully completed and the server is ready for normal operation.",
            ),
            federation_errors: registry.counter(
                "prometheus_web_federation_errors_total",
                "Total number of errors that occurred while sending federation responses.",
            ),
            federation_warnings: registry.counter(
                "prometheus_web_federation_warnings_total",
                "Total number of warnings that occurred while sending federation responses.",
            ),
            requests: registry.counters(
                "prometheus_http_requests_total",
                "Counter of HTTP requests.",
                &["code", "handler"],
            ),
            request_duration: registry.histograms(
                "prometheus_http_request_duration_seconds",
                "Histogram of latencies for HTTP requests.",
                &["handler"],
                &[0.1, 0.2, 0.4, 1.0, 3.0, 8.0, 20.0, 60.0, 120.0],
            ),
            response_size: registry.histograms(
                "prometheus_http_response_size_bytes",
                "Histogram of response size for HTTP requests.",
                &["handler"],
                &sizes,
            ),
        }
    }
}
