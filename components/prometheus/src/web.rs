//! The server's pages besides the API: health, metrics, lifecycle, and what is counted of every request.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use apiv1::methods::{redirection, strictly};
use apiv1::router::unavailable;
use apiv1::status::StatusSource as _;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _};
use axum::routing::{get, post};
use env::Registry;
use exposition::{Format, Protocol, negotiation};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use net::shutdown::ShutdownTrigger;
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

use crate::consoles::{Consoles, console};
use crate::self_metrics::ServerMetrics;
use crate::server::Reloader;
use crate::status::ServerState;
use net::counted_body::CountedBody;

/// What the pages work with.
pub struct Web {
    /// The server.
    pub state: Arc<ServerState>,
    /// Its instruments.
    pub registry: Registry,
    /// Those of requests among them.
    pub metrics: ServerMetrics,
    /// Takes up the configuration anew.
    pub reloader: Reloader,
    /// Stops the server.
    pub stop: Arc<ShutdownTrigger>,
    /// Whether the last two may be done by request.
    pub lifecycle: bool,
    /// Before all paths.
    pub prefix: String,
    /// The path of the URL that the server is reached at from outside.
    pub external_path: String,
    /// Whether there is only a log.
    pub agent: bool,
    /// What pages are called.
    pub title: String,
    /// Files below `/user`; none if empty.
    pub user_assets: PathBuf,
    /// Pages of the user's own.
    pub consoles: Consoles,
    /// Milliseconds that federation looks back.
    pub lookback_delta: i64,
}

type Shared = State<Arc<Web>>;

impl Web {
    /// What the program calls itself.
    fn name(&self) -> &'static str {
        match self.agent {
            true => "Prometheus Agent",
            false => "Prometheus Server",
        }
    }
}

/// All routes, the API below `/api/v1` among them.
pub fn router(web: Arc<Web>, api: Router) -> Router {
    let mut pages = Router::new();
    let own: &[&str] = match web.agent {
        true => &["/agent"],
        false => &SERVER_PATHS,
    };
    for path in CONSOLE_PATHS.iter().chain(own) {
        pages = pages.route(path, get(index));
    }
    if !web.user_assets.as_os_str().is_empty() {
        let files = ServeDir::new(&web.user_assets).map_request(below_user);
        pages = pages.route_service("/user/{*filepath}", files);
    }
    let pages = pages
        .route("/", get(home))
        .route("/graph", get(graph))
        .route("/metrics", get(metrics).layer(CompressionLayer::new()))
        .route(
            "/federate",
            get(crate::federate::federate).layer(CompressionLayer::new()),
        )
        .route("/consoles/", get(console).layer(CompressionLayer::new()))
        .route(
            "/consoles/{*filepath}",
            get(console).layer(CompressionLayer::new()),
        )
        .route("/version", get(version))
        .route(
            "/-/healthy",
            get(|State(web): Shared| async move { format!("{} is Healthy.\n", web.name()) }),
        )
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload).put(reload).get(wrong_method))
        .route("/-/quit", post(quit).put(quit).get(wrong_method))
        .with_state(web.clone())
        .nest("/api/v1", api);
    let all = if web.prefix.is_empty() {
        pages
    } else {
        let below = format!("{}/", web.prefix);
        let to_prefix = web.prefix.clone();
        Router::new()
            .nest(&web.prefix, pages)
            // Nesting leaves the slash behind the prefix out.
            .route(&below, get(home).with_state(web.clone()))
            .route(
                "/",
                get(
                    move || async move { redirection(StatusCode::FOUND, &to_prefix, &Method::GET) },
                ),
            )
    };
    let all = all
        .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n") })
        .layer(axum::middleware::from_fn_with_state(web, count));
    // Health can be asked for by `HEAD`, and nothing else.
    strictly(all, |path| {
        path.ends_with("/-/healthy") || path.ends_with("/-/ready")
    })
}

/// A request for a file of the user's, as the folder knows it.
fn below_user(mut request: Request) -> Request {
    let whole = request.uri().path_and_query().map(|path| path.as_str());
    let file = whole.and_then(|path| path.strip_prefix("/user"));
    if let Some(Ok(file)) = file.map(str::parse) {
        *request.uri_mut() = file;
    }
    request
}

/// The paths of upstream's console.
const CONSOLE_PATHS: [&str; 6] = [
    "/alertmanager-discovery",
    "/targets",
    "/config",
    "/flags",
    "/status",
    "/service-discovery",
];
/// Those that need a database.
const SERVER_PATHS: [&str; 4] = ["/query", "/alerts", "/rules", "/tsdb-status"];

/// Who comes to the server's root wants to ask something.
async fn home(State(web): Shared) -> Response<Body> {
    let first = if web.agent { "/agent" } else { "/query" };
    let location = format!("{}{first}", web.external_path);
    redirection(StatusCode::FOUND, &location, &Method::GET)
}

/// Where links in alerts lead.
async fn graph(State(web): Shared, request: Request) -> Response<Body> {
    let query = request.uri().query().unwrap_or("");
    let location = format!("{}/query?{query}", web.external_path);
    redirection(StatusCode::FOUND, &location, &Method::GET)
}

/// What there is to see until the console is there.
async fn index(State(web): Shared) -> Html<String> {
    let links: String = [
        ("metrics", "the server's own metrics"),
        ("api/v1/targets", "targets"),
        ("api/v1/status/config", "configuration"),
        ("api/v1/status/flags", "flags"),
        ("api/v1/status/runtimeinfo", "runtime"),
        ("api/v1/status/tsdb", "storage"),
    ]
    .map(|(path, text)| format!("<li><a href=\"{}/{path}\">{text}</a></li>\n", web.prefix))
    .concat();
    Html(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title></head>\n\
         <body>\n<h1>Titan: prometheus</h1>\n<form action=\"{}/api/v1/query\">\n\
         <input name=\"query\" size=\"80\" placeholder=\"sum(rate(node_cpu_seconds_total[1m]))\" aria-label=\"query\"> <button>Query</button>\n\
         </form>\n<ul>\n{links}</ul>\n</body></html>\n",
        gotemplate::html_escape(&web.title),
        web.prefix
    ))
}

/// The server's own metrics, in the format the client likes best.
async fn metrics(State(web): Shared, headers: HeaderMap) -> Response<Body> {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    // As upstream's own page, which is never OpenMetrics.
    let offered = [Protocol::PrometheusProto, Protocol::PrometheusText0_0_4];
    let (protocol, escaping) = negotiation::negotiate(accept, &offered);
    let gauge = &web.metrics.pages_in_flight;
    gauge.add(1.0);
    let families = web.registry.gather();
    gauge.add(-1.0);
    web.metrics.pages.with(&["200"]).inc();
    let mut body = Vec::new();
    match protocol.format() {
        Format::OpenMetrics => exposition::write_openmetrics(&families, escaping, &mut body),
        Format::Text => exposition::write_text(&families, escaping, &mut body),
        Format::Protobuf => exposition::write_protobuf(&families, escaping, &mut body),
    }
    let content_type = protocol.content_type(escaping);
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::VARY, "Accept".to_string()),
    ];
    (headers, body).into_response()
}

async fn version(State(web): Shared) -> Response<Body> {
    match serde_json::to_string(&web.state.build()) {
        Ok(body) => body.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(web): Shared) -> Response<Body> {
    if web.state.is_ready() {
        format!("{} is Ready.\n", web.name()).into_response()
    } else {
        unavailable(web.state.is_stopping())
    }
}

async fn reload(State(web): Shared) -> Response<Body> {
    if !web.lifecycle {
        return not_enabled();
    }
    match web.reloader.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed to reload config: {error}\n"),
        )
            .into_response(),
    }
}

async fn quit(State(web): Shared) -> Response<Body> {
    if !web.lifecycle {
        return not_enabled();
    }
    tracing::warn!("Received termination request via web service, exiting gracefully...");
    web.stop.stop();
    "Requesting termination... Goodbye!".into_response()
}

fn not_enabled() -> Response<Body> {
    (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.").into_response()
}

async fn wrong_method() -> Response<Body> {
    (
        StatusCode::METHOD_NOT_ALLOWED,
        "Only POST or PUT requests allowed",
    )
        .into_response()
}

/// Counts every request under its route, as upstream names routes.
async fn count(
    State(web): Shared,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let handler = matched.map_or_else(
        || "/not-found".to_string(),
        |path| match handler_name(path.as_str(), &web.prefix) {
            // The folder itself is a file of it to upstream's router.
            name if name == "/consoles/" => "/consoles/*filepath".to_string(),
            name => name,
        },
    );
    let started = Instant::now();
    let mut response = next.run(request).await;
    let metrics = &web.metrics;
    metrics
        .request_duration
        .with(&[&handler])
        .observe(started.elapsed().as_secs_f64());
    let sizes = metrics.response_size.with(&[&handler]);
    match response.body().size_hint().exact() {
        Some(bytes) => sizes.observe(bytes as f64),
        None => response = response.map(|body| Body::new(CountedBody::new(body, sizes))),
    }
    metrics
        .requests
        .with(&[response.status().as_str(), &handler])
        .inc();
    response
        .headers_mut()
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// `/api/v1/label/{name}/values` becomes `/api/v1/label/:name/values`.
fn handler_name(route: &str, prefix: &str) -> String {
    let route = route.strip_prefix(prefix).unwrap_or(route);
    route
        .split('/')
        .map(|part| {
            match part
                .strip_prefix('{')
                .and_then(|part| part.strip_suffix('}'))
            {
                Some(name) if name.starts_with('*') => name.to_string(),
                Some(name) => format!(":{name}"),
                None => part.to_string(),
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_have_upstreams_names() {
        assert_eq!(
            handler_name("/api/v1/label/{name}/values", ""),
            "/api/v1/label/:name/values"
        );
        assert_eq!(handler_name("/p/api/v1/{*path}", "/p"), "/api/v1/*path");
        assert_eq!(handler_name("/metrics", ""), "/metrics");
    }
}
