//! Cross-origin requests, as upstream answers them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use http::{HeaderValue, Response, header};
use regex::Regex;

/// Which origins may read answers: `--web.cors.origin`, fully anchored.
#[derive(Clone, Debug)]
pub struct CorsOrigin(Arc<Regex>);

impl CorsOrigin {
    /// Compiles the flag's value.
    pub fn new(pattern: &str) -> Result<CorsOrigin, regex::Error> {
        Ok(CorsOrigin(Arc::new(Regex::new(&format!(
            "^(?s:{pattern})$"
        ))?)))
    }
}

/// Adds the headers.
pub async fn add_headers(
    State(origins): State<CorsOrigin>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin.filter(|origin| !origin.is_empty()) else {
        return response;
    };
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Authorization, Content-Type, Origin",
        ),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if origin.to_str().is_ok_and(|text| origins.0.is_match(text)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}
