//! Which path goes to which handler.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::routing::{MethodFilter, any, get, on};
use env::Clock;
use http::{HeaderValue, Response, StatusCode};
use promql::Engine;
use storage::Queryable;
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

use crate::cors::{CorsOrigin, add_headers};
use crate::params::Params;
use crate::respond::{Handled, respond};
use crate::status::StatusSource;
use crate::targets::TargetSource;
use crate::{query, series, status, targets};

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
    /// Targets.
    pub targets: Arc<dyn TargetSource>,
    /// The server itself.
    pub status: Arc<dyn StatusSource>,
}

type Shared = State<Arc<Api>>;

/// The routes below `/api/v1`, to be nested there.
pub fn router(api: Arc<Api>, origins: CorsOrigin) -> Router {
    let when_ready = Router::new()
        .route("/query", both(query::instant))
        .route("/query_range", both(query::range))
        .route("/format_query", both(query::format))
        .route("/parse_query", both(query::parse))
        .route("/labels", both(series::label_names))
        .route("/label/{name}/values", get(label_values))
        .route("/series", both(series::series))
        .route("/targets", get(target_list))
        .route(
            "/scrape_pools",
            get(|State(api): Shared| answer(targets::scrape_pools(api))),
        )
        .route("/targets/metadata", one(targets::target_metadata))
        .route("/metadata", one(targets::metadata))
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
            "/{*path}",
            on(MethodFilter::OPTIONS, || async { StatusCode::NO_CONTENT }),
        );
    when_ready
        .merge(always)
        .fallback(any(|| async {
            (StatusCode::NOT_FOUND, "404 page not found\n")
        }))
        .with_state(api)
        .layer(CompressionLayer::new())
        .layer(axum::middleware::from_fn_with_state(origins, add_headers))
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

/// Until the log is read there is nothing to answer from.
async fn only_when_ready(State(api): Shared, request: Request, next: Next) -> Response<Body> {
    if api.status.is_ready() {
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
