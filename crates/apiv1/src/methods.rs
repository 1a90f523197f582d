//! Methods and preflights as upstream's router answers them.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use http::{HeaderValue, Method, Response, StatusCode, header};

/// Answers `OPTIONS` below the API, whatever the path.
pub async fn preflight(request: Request, next: Next) -> Response<Body> {
    if request.method() != Method::OPTIONS {
        return next.run(request).await;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Refuses what a route does not take with upstream's words; `HEAD` is a method of its own, taken where `takes_head`
/// says so and nowhere else.
pub async fn strict(
    takes_head: fn(&str) -> bool,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let has_head = takes_head(request.uri().path());
    if request.method() == Method::HEAD && !has_head {
        // A method that no route has, so that the routes tell which they have.
        *request.method_mut() = Method::TRACE;
    }
    let mut response = next.run(request).await;
    let allowed = response.headers().get(header::ALLOW);
    if response.status() != StatusCode::METHOD_NOT_ALLOWED || allowed.is_none() {
        return response;
    }
    let allowed = allowed
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
        .split(',')
        .map(str::trim)
        .filter(|method| has_head || *method != "HEAD")
        .chain(["OPTIONS"]);
    let allowed: std::collections::BTreeSet<&str> = allowed.filter(|m| !m.is_empty()).collect();
    let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    *response.body_mut() = Body::from("Method Not Allowed\n");
    response
}

/// [`strict`] for routes of which none takes `HEAD`.
pub async fn strict_without_head(request: Request, next: Next) -> Response<Body> {
    strict(|_| false, request, next).await
}

/// Leaves of the encodings that a client names the one that upstream would take: the first of `gzip` and `deflate`, and
/// none with a weight.
pub async fn first_encoding(mut request: Request, next: Next) -> Response<Body> {
    let taken = request
        .headers()
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .and_then(encoding_of);
    match taken {
        Some(encoding) => request
            .headers_mut()
            .insert(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding)),
        None => request.headers_mut().remove(header::ACCEPT_ENCODING),
    };
    next.run(request).await
}

fn encoding_of(accepted: &str) -> Option<&'static str> {
    accepted.split(',').find_map(|name| match name.trim() {
        "gzip" => Some("gzip"),
        "deflate" => Some("deflate"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        assert_eq!(encoding_of("deflate, gzip"), Some("deflate"));
        assert_eq!(encoding_of("br,gzip"), Some("gzip"));
        assert_eq!(encoding_of("gzip;q=1"), None);
        assert_eq!(encoding_of(""), None);
    }
}
