//! The pages: metrics, and the landing page that leads there.
//!
//! [`metrics_page`] is a plain function from query and headers to an answer; [`router`] puts it on a path.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::routing::any;
use exposition::negotiation::{Protocol, accepts_gzip, negotiate};
use exposition::{write_protobuf, write_text};

use crate::exporter::{NodeExporter, Selection};

/// Formats on offer. Upstream's exporter does not offer OpenMetrics.
const OFFERED: [Protocol; 3] = [
    Protocol::PrometheusProto,
    Protocol::PrometheusText1_0_0,
    Protocol::PrometheusText0_0_4,
];

/// An answer, before it is one of a certain HTTP library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Status code.
    pub status: StatusCode,
    /// `Content-Type`.
    pub content_type: String,
    /// Whether the body is compressed with gzip.
    pub gzip: bool,
    /// The body.
    pub body: Vec<u8>,
}

impl Page {
    fn text(status: StatusCode, text: impl Into<String>) -> Page {
        let mut body = text.into().into_bytes();
        body.push(b'\n');
        Page {
            status,
            content_type: "text/plain; charset=utf-8".into(),
            gzip: false,
            body,
        }
    }
}

/// Counts a scrape while it is under way.
struct InFlight<'a>(&'a NodeExporter);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers one scrape. Blocks while collectors read files, so it belongs on a thread that may block.
pub fn metrics_page(
    exporter: &NodeExporter,
    query: &str,
    accept: &str,
    accept_encoding: &str,
) -> Page {
    let max = exporter.config().max_requests;
    let before = exporter.counts.in_flight.fetch_add(1, Ordering::Relaxed);
    let _in_flight = InFlight(exporter);
    if max > 0 && before >= max as i64 {
        exporter.counts.busy.fetch_add(1, Ordering::Relaxed);
        let text = format!("Limit of concurrent requests reached ({max}), try again later.");
        return Page::text(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    let selection = match selection(exporter, query) {
        Ok(selection) => selection,
        Err(error) => {
            let mut page = Page::text(StatusCode::BAD_REQUEST, error);
            page.body.pop(); // upstream writes this one without a line break
            return page;
        }
    };
    let families = exporter.collect(&selection);
    let (protocol, escaping) = negotiate(accept, &OFFERED);
    let mut body = Vec::with_capacity(128 * 1024);
    match protocol {
        Protocol::PrometheusProto => write_protobuf(&families, escaping, &mut body),
        _ => write_text(&families, escaping, &mut body),
    }
    exporter.counts.ok.fetch_add(1, Ordering::Relaxed);
    let gzip = accepts_gzip(accept_encoding);
    if gzip {
        body = compress(&body);
    }
    Page {
        status: StatusCode::OK,
        content_type: protocol.content_type(escaping),
        gzip,
        body,
    }
}

fn compress(body: &[u8]) -> Vec<u8> {
    let out = Vec::with_capacity(body.len() / 6);
    // Level 1: pages are scraped once and thrown away.
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

fn selection(exporter: &NodeExporter, query: &str) -> Result<Selection, String> {
    let (mut collect, mut exclude) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match unescape(name).as_str() {
            "collect[]" => collect.push(unescape(value)),
            "exclude[]" => exclude.push(unescape(value)),
            _ => {}
        }
    }
    exporter
        .select(&collect, &exclude)
        .map_err(|error| error.to_string())
}

/// Undoes the escaping of query parameters.
fn unescape(text: &str) -> String {
    let hex = |byte: Option<&u8>| byte.and_then(|b| (*b as char).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'+' => out.push(b' '),
            b'%' => {
                if let (Some(high), Some(low)) = (hex(bytes.get(i + 1)), hex(bytes.get(i + 2))) {
                    out.push((high * 16 + low) as u8);
                    i += 2;
                } else {
                    out.push(b'%');
                }
            }
            byte => out.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The page at `/`.
fn landing(exporter: &NodeExporter) -> String {
    let build = &exporter.config().build;
    let path = escape_html(&exporter.config().telemetry_path);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Node Exporter</title>\n\
         <style>body{{font-family:sans-serif;margin:2rem}}h1{{border-bottom:2px solid #e6522c}}</style>\n</head>\n\
         <body>\n<h1>Node Exporter</h1>\n<h2>Prometheus Node Exporter</h2>\n\
         <div>Version: (version={}, branch={}, revision={})</div>\n\
         <ul>\n<li><a href=\"{path}\">Metrics</a></li>\n</ul>\n</body>\n</html>\n",
        escape_html(&build.version),
        escape_html(&build.branch),
        escape_html(&build.revision),
    )
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The exporter's routes.
pub fn router(exporter: Arc<NodeExporter>) -> Router {
    let path = exporter.config().telemetry_path.clone();
    let mut routes = Router::new().route(&path, any(serve_metrics));
    if path != "/" {
        routes = routes.route("/", any(serve_landing));
    }
    routes.with_state(exporter)
}

async fn serve_landing(State(exporter): State<Arc<NodeExporter>>) -> Response<Body> {
    let page = Page {
        status: StatusCode::OK,
        content_type: "text/html; charset=UTF-8".into(),
        gzip: false,
        body: landing(&exporter).into_bytes(),
    };
    respond(page)
}

async fn serve_metrics(
    State(exporter): State<Arc<NodeExporter>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<Body> {
    let text = |name: header::HeaderName| {
        let values: Vec<&str> = headers
            .get_all(name)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .collect();
        values.join(",")
    };
    let (accept, encoding) = (text(header::ACCEPT), text(header::ACCEPT_ENCODING));
    let failed = exporter.clone();
    let page = tokio::task::spawn_blocking(move || {
        metrics_page(
            &exporter,
            query.as_deref().unwrap_or(""),
            &accept,
            &encoding,
        )
    })
    .await;
    respond(page.unwrap_or_else(|error| {
        tracing::error!(err = %error, "scrape ended early");
        failed.counts.error.fetch_add(1, Ordering::Relaxed);
        Page::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "An error has occurred while serving metrics",
        )
    }))
}

fn respond(page: Page) -> Response<Body> {
    let mut response = Response::builder()
        .status(page.status)
        .header(header::CONTENT_TYPE, page.content_type)
        .header(header::VARY, "Accept-Encoding");
    if page.gzip {
        response = response.header(header::CONTENT_ENCODING, "gzip");
    }
    response.body(Body::from(page.body)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
