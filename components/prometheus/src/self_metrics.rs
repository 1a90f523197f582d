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
    /// Requests for this page that are being answered.
    pub pages_in_flight: Gauge,
    /// Requests for this page by code.
    pub pages: Vector<Counter>,
    /// Requests by handler and code.
    pub requests: Vector<Counter>,
    /// Seconds that they took.
    pub request_duration: Vector<Histogram>,
    /// Bytes that were sent.
    pub response_size: Vector<Histogram>,
}

/// Handlers that are counted from the start, so that rates of rare requests have a beginning.
const HANDLERS: [&str; 42] = [
    "/",
    "/-/healthy",
    "/-/quit",
    "/-/ready",
    "/-/reload",
    "/api/v1/admin/tsdb/clean_tombstones",
    "/api/v1/admin/tsdb/delete_series",
    "/api/v1/admin/tsdb/snapshot",
    "/api/v1/alertmanagers",
    "/api/v1/alerts",
    "/api/v1/features",
    "/api/v1/format_query",
    "/api/v1/label/:name/values",
    "/api/v1/labels",
    "/api/v1/metadata",
    "/api/v1/notifications",
    "/api/v1/notifications/live",
    "/api/v1/parse_query",
    "/api/v1/query",
    "/api/v1/query_exemplars",
    "/api/v1/query_range",
    "/api/v1/read",
    "/api/v1/rules",
    "/api/v1/scrape_pools",
    "/api/v1/scrape_pools/config",
    "/api/v1/series",
    "/api/v1/status/buildinfo",
    "/api/v1/status/config",
    "/api/v1/status/flags",
    "/api/v1/status/runtimeinfo",
    "/api/v1/status/self_metrics",
    "/api/v1/status/tsdb",
    "/api/v1/status/tsdb/blocks",
    "/api/v1/status/walreplay",
    "/api/v1/targets",
    "/api/v1/targets/metadata",
    "/api/v1/targets/relabel_steps",
    "/api/v1/write",
    "/consoles/*filepath",
    "/federate",
    "/metrics",
    "/version",
];

impl ServerMetrics {
    /// Registers all, the process' own too.
    pub fn new(registry: &Registry) -> ServerMetrics {
        net::process::register(registry);
        // Clients that have no name; upstream's page has them from the start, too.
        net::dials::Dials::of(registry, "default");
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
        let requests = registry.counters(
            "prometheus_http_requests_total",
            "Counter of HTTP requests.",
            &["code", "handler"],
        );
        for handler in HANDLERS {
            requests.with(&["200", handler]);
        }
        let pages = registry.counters(
            "promhttp_metric_handler_requests_total",
            "Total number of scrapes by HTTP status code.",
            &["code"],
        );
        for code in ["200", "500", "503"] {
            pages.with(&[code]);
        }
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
            pages_in_flight: registry.gauge(
                "promhttp_metric_handler_requests_in_flight",
                "Current number of scrapes being served.",
            ),
            pages,
            requests,
            request_duration: registry.native_histograms(
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
