//! Which path goes to which handler.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::routing::{MethodFilter, any, get, on, post};
use env::Clock;
use http::{HeaderValue, Response, StatusCode};
use promql::{Engine, ErrorKind, QueryError};
use storage::Queryable;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

use crate::admin::Admin;
use crate::cors::{CorsOrigin, add_headers};
use crate::exemplars::ExemplarSource;
use crate::methods::{first_encoding, preflight};
use crate::observe::QueryObserver;
use crate::params::Params;
use crate::remote_read::RemoteReadLimits;
use crate::remote_write::{self, WriteReceiver};
use crate::respond::{Handled, respond};
use crate::rules::RuleSource;
use crate::status::StatusSource;
use crate::targets::TargetSource;
use crate::threads::QueryThreads;
use crate::{
    admin, exemplars, notifications, openapi, query, relabel_steps, remote_read, rules,
    self_metrics, series, status, targets,
};

/// What the handlers work with.
pub struct Api {
    /// Evaluates queries.
    pub engine: Arc<Engine>,
    /// What queries read.
    pub queryable: Arc<dyn Queryable>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long a query may take.
    pub query_timeout: Duration,
    /// As many permits as queries may run at one time.
    pub query_slots: Arc<Semaphore>,
    /// Processors that large queries may use beside their own.
    pub query_threads: Arc<QueryThreads>,
    /// Whether `stats=all` tells of every step.
    pub per_step_stats: bool,
    /// How limits are told of.
    pub limits: LimitNames,
    /// Who is told of queries.
    pub observer: Arc<dyn QueryObserver>,
    /// Exemplars.
    pub exemplars: Arc<dyn ExemplarSource>,
    /// Changes of the data; `None` where they are not allowed.
    pub admin: Option<Arc<dyn Admin>>,
    /// Limits of remote read.
    pub remote_read: RemoteReadLimits,
    /// Takes samples of other servers; `None` where that is off.
    pub write: Option<Arc<WriteReceiver>>,
    /// Whether there is only a log, so that nothing can be asked.
    pub agent: bool,
    /// Targets.
    pub targets: Arc<dyn TargetSource>,
    /// Rules and Alertmanagers.
    pub rules: Arc<dyn RuleSource>,
    /// The server itself.
    pub status: Arc<dyn StatusSource>,
}

/// The flags behind limits, so that who hits one knows which to raise.
#[derive(Clone, Debug, Default)]
pub struct LimitNames {
    /// Samples of a query: the flag with its value.
    pub samples: String,
    /// Time of a query: the flag with its value.
    pub timeout: String,
}

impl LimitNames {
    /// Adds the flag's name to an error that a limit made.
    pub fn explain(&self, mut error: QueryError) -> QueryError {
        let flag = match error.kind {
            ErrorKind::Timeout => &self.timeout,
            ErrorKind::Execution if error.message.contains("too many samples") => &self.samples,
            _ => return error,
        };
        if !flag.is_empty() {
            error.message.push_str(&format!(" (limit: {flag})"));
        }
        error
    }
}

type Shared = State<Arc<Api>>;

/// The routes below `/api/v1`, to be nested there.
pub fn router(api: Arc<Api>, origins: CorsOrigin) -> Router {
    let when_ready = Router::new()
        .route("/query", both(query::instant))
        .route("/query_range", both(query::range))
        .route("/format_query", both(query::format))
        .route("/parse_query", both(query::parse))
        .route("/query_exemplars", both(exemplars::query_exemplars))
        .route("/labels", both(series::label_names))
        .route("/label/{name}/values", get(label_values))
        .route("/series", both(series::series))
        .route("/targets", get(target_list))
        .route(
            "/scrape_pools",
            get(|State(api): Shared| answer(targets::scrape_pools(api))),
        )
        .route("/scrape_pools/config", one(relabel_steps::pool_config))
        .route("/targets/relabel_steps", one(relabel_steps::relabel_steps))
        .route("/targets/metadata", one(targets::target_metadata))
        .route("/metadata", one(targets::metadata))
        .route("/rules", one(rules::rules))
        .route(
            "/alerts",
            get(|State(api): Shared| answer(rules::alerts(api))),
        )
        .route(
            "/alertmanagers",
            get(|State(api): Shared| answer(rules::alertmanagers(api))),
        )
        .route(
            "/status/config",
            get(|State(api): Shared| answer(status::config(api))),
        )
        .route(
            "/status/flags",
            get(|State(api): Shared| answer(status::flags(api))),
        )
        .route(
            "/status/runtimeinfo",
            get(|State(api): Shared| answer(status::runtime_info(api))),
        )
        .route(
            "/status/buildinfo",
            get(|State(api): Shared| answer(status::build_info(api))),
        )
        .route("/status/tsdb", one(status::tsdb))
        .route(
            "/status/tsdb/blocks",
            get(|State(api): Shared| answer(status::blocks(api))),
        )
        .route("/status/self_metrics", one(self_metrics::self_metrics))
        .route(
            "/features",
            get(|State(api): Shared| answer(status::features(api))),
        )
        .route("/otlp/v1/metrics", post(no_otlp))
        .route("/search/metric_names", both(no_search))
        .route("/search/label_names", both(no_search))
        .route("/search/label_values", both(no_search))
        .route("/read", post(remote_read::read))
        .route("/write", post(remote_write::write))
        .route("/admin/tsdb/delete_series", changes(admin::delete_series))
        .route(
            "/admin/tsdb/clean_tombstones",
            changes(admin::clean_tombstones),
        )
        .route("/admin/tsdb/snapshot", changes(admin::snapshot))
        .layer(axum::middleware::from_fn_with_state(
            api.clone(),
            only_when_ready,
        ));
    let always = Router::new()
        .route(
            "/status/walreplay",
            get(|State(api): Shared| answer(status::wal_replay(api))),
        )
        .route(
            "/notifications",
            get(|State(api): Shared| answer(notifications::list(api))),
        )
        .route("/openapi.yaml", get(openapi::openapi));
    // Neither compressed as JSON is, nor bound to a state of the server.
    let streams = Router::new().route("/notifications/live", get(notifications::live));
    when_ready
        .merge(always)
        .fallback(any(|| async {
            (StatusCode::NOT_FOUND, "404 page not found\n")
        }))
        .layer(CompressionLayer::new())
        .layer(axum::middleware::from_fn(first_encoding))
        .merge(streams)
        .with_state(api)
        .layer(axum::middleware::from_fn(preflight))
        .layer(axum::middleware::from_fn_with_state(origins, add_headers))
}

/// There is no search; the answer is that of an upstream server on which it is off.
async fn no_search(_: Arc<Api>, _: Params) -> Handled {
    let kind = crate::error::ErrorType::Unavailable;
    let message = "search API disabled".to_string();
    Err(crate::error::ApiError { kind, message })
}

/// Data of OpenTelemetry is not taken; the answer is that of an upstream server that is not to take it.
async fn no_otlp() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "otlp write receiver needs to be enabled with --web.enable-otlp-receiver\n",
    )
}

/// A handler of parameters that changes data, by POST and PUT.
fn changes<F>(handler: fn(Arc<Api>, Params) -> F) -> axum::routing::MethodRouter<Arc<Api>>
where
    F: Future<Output = Handled> + Send + 'static,
{
    on(
        MethodFilter::POST.or(MethodFilter::PUT),
        move |State(api): Shared, request: Request| async move {
            match Params::of(request).await {
                Ok(params) => respond(handler(api, params).await),
                Err(error) => respond(Err(error)),
            }
        },
    )
}

/// A handler of parameters, by GET and POST.
fn both<F>(handler: fn(Arc<Api>, Params) -> F) -> axum::routing::MethodRouter<Arc<Api>>
where
    F: Future<Output = Handled> + Send + 'static,
{
    on(
        MethodFilter::GET.or(MethodFilter::POST),
        move |State(api): Shared, request: Request| async move {
            match Params::of(request).await {
                Ok(params) => respond(handler(api, params).await),
                Err(error) => respond(Err(error)),
            }
        },
    )
}

/// A handler of parameters, by GET only.
fn one<F>(handler: fn(Arc<Api>, Params) -> F) -> axum::routing::MethodRouter<Arc<Api>>
where
    F: Future<Output = Handled> + Send + 'static,
{
    get(move |State(api): Shared, request: Request| async move {
        let params = Params::of_query(request.uri().query().unwrap_or(""));
        respond(handler(api, params).await)
    })
}

async fn label_values(
    State(api): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Response<Body> {
    let params = Params::of_query(request.uri().query().unwrap_or(""));
    respond(series::label_values(api, params, name).await)
}

async fn target_list(State(api): Shared, request: Request) -> Response<Body> {
    respond(targets::targets(api, request.uri().query().unwrap_or("")).await)
}

async fn answer(handled: impl Future<Output = Handled>) -> Response<Body> {
    respond(handled.await)
}

/// What an agent cannot answer, being without a database.
const NOT_IN_AGENT_MODE: [&str; 14] = [
    "/query",
    "/query_range",
    "/query_exemplars",
    "/format_query",
    "/parse_query",
    "/labels",
    "/label/",
    "/series",
    "/read",
    "/rules",
    "/alerts",
    "/alertmanagers",
    "/status/tsdb",
    "/admin/",
];

/// Until the log is read there is nothing to answer from.
async fn only_when_ready(State(api): Shared, request: Request, next: Next) -> Response<Body> {
    if api.status.is_ready() {
        if api.agent
            && NOT_IN_AGENT_MODE
                .iter()
                .any(|p| request.uri().path().contains(p))
        {
            let kind = crate::error::ErrorType::Execution;
            let message = "unavailable with Prometheus Agent".to_string();
            return respond(Err(crate::error::ApiError { kind, message }));
        }
        return next.run(request).await;
    }
    unavailable(api.status.is_stopping())
}

/// The answer of a server that starts or stops.
pub fn unavailable(stopping: bool) -> Response<Body> {
    let mut response = Response::new(Body::from("Service Unavailable"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let stopping = HeaderValue::from_static(if stopping { "true" } else { "false" });
    response
        .headers_mut()
        .insert("x-prometheus-stopping", stopping);
    response
}
