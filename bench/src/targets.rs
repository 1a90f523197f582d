//! Generated targets: pages whose values move like real counters and gauges, made so cheaply that the servers measured
//! do not starve.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use axum::routing::get;
use net::http_server::{ServerLimits, serve};
use net::shutdown::Shutdown;

/// What the targets are like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many.
    pub targets: usize,
    /// Series of each.
    pub series: usize,
    /// Percent of the series that get another name every minute.
    pub churn: usize,
}

/// The pages, and how often they were asked for.
pub struct Pages {
    shape: Shape,
    started: std::time::Instant,
    /// How often each target was scraped.
    scrapes: Vec<AtomicU64>,
}

impl Pages {
    /// No page has been asked for yet.
    pub fn new(shape: Shape) -> Arc<Pages> {
        let scrapes = (0..shape.targets).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Pages {
            shape,
            started: std::time::Instant::now(),
            scrapes,
        })
    }

    /// One target's page. Six labels a series: four in the page, `instance` and `job` from the server.
    fn page(&self, target: usize) -> String {
        let scrape = self.scrapes[target].fetch_add(1, Ordering::Relaxed);
        let minute = self.started.elapsed().as_secs() / 60;
        let mut page = String::with_capacity(self.shape.series * 110);
        let renamed = self.shape.series * self.shape.churn / 100;
        let families = self.shape.series.div_ceil(20).max(1);
        for family in 0..families {
            let counter = family % 3 != 0;
            let kind = if counter { "counter" } else { "gauge" };
            let ending = if counter { "_total" } else { "" };
            let _ = writeln!(
                page,
                "# HELP bench_metric_{family}{ending} A generated metric."
            );
            let _ = writeln!(page, "# TYPE bench_metric_{family}{ending} {kind}");
            for nth in 0..20 {
                let series = family * 20 + nth;
                if series >= self.shape.series {
                    break;
                }
                let pod = series % 50;
                let value = if counter {
                    scrape * (series as u64 % 7 + 1) + series as u64
                } else {
                    // Gauges wander, with a few digits behind the point.
                    (scrape
                        .wrapping_mul(2_654_435_761)
                        .wrapping_add(series as u64 * 97))
                        % 10_000
                };
                let _ = write!(
                    page,
                    "bench_metric_{family}{ending}{{namespace=\"ns-{}\",pod=\"pod-{pod}",
                    target % 20
                );
                if series < renamed {
                    let _ = write!(page, "-{minute}");
                }
                let _ = write!(page, "\",container=\"c{nth}\"}} ");
                if counter {
                    let _ = writeln!(page, "{value}");
                } else {
                    let _ = writeln!(page, "{}.{:02}", value / 100, value % 100);
                }
            }
        }
        page
    }
}

/// Serves the pages until the stop; gives the port.
pub async fn start(pages: Arc<Pages>, shutdown: Shutdown) -> std::io::Result<u16> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let router = Router::new()
        .route("/{target}", get(page))
        .with_state(pages);
    tokio::spawn(serve(
        vec![listener],
        router,
        ServerLimits::default(),
        net::web_gate::WebGate::open(),
        Default::default(),
        shutdown,
    ));
    Ok(port)
}

async fn page(
    State(pages): State<Arc<Pages>>,
    Path(target): Path<usize>,
) -> axum::response::Response {
    if target >= pages.shape.targets {
        return axum::http::StatusCode::NOT_FOUND.into_response();
    }
    let kind = [("content-type", "text/plain; version=0.0.4; charset=utf-8")];
    (kind, pages.page(target)).into_response()
}

/// The server configuration that scrapes the pages.
pub fn configuration(shape: Shape, port: u16, interval_seconds: u64) -> String {
    let mut text = format!(
        "global:\n  scrape_interval: {interval_seconds}s\nscrape_configs:\n- job_name: bench\n  static_configs:\n"
    );
    for target in 0..shape.targets {
        let _ = write!(
            text,
            "  - targets: ['127.0.0.1:{port}']\n    labels: {{__metrics_path__: /{target}, instance: host-{target}}}\n"
        );
    }
    text
}
