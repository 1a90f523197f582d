//! Methods and preflights as upstream's router answers them.

use std::collections::BTreeSet;

use axum::Router;
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

/// Answers as upstream's router does what `routes` have no handler for. `HEAD` is a method of its own, taken where
/// `takes_head` says so and nowhere else.
///
/// The routes become the fallback of a router of its own: layers of the routes' own router would be put around each
/// handler, below where methods are told apart.
pub fn strictly(routes: Router, takes_head: fn(&str) -> bool) -> Router {
    let strict = move |request: Request, next: Next| strict(takes_head, request, next);
    Router::new()
        .fallback_service(routes)
        .layer(axum::middleware::from_fn(strict))
}

async fn strict(takes_head: fn(&str) -> bool, mut request: Request, next: Next) -> Response<Body> {
    if let Some(elsewhere) = cleaned(request.uri().path()) {
        return moved(&elsewhere, request.uri().query(), request.method());
    }
    let has_head = takes_head(request.uri().path());
    if request.method() == Method::HEAD && !has_head {
        // A method that no route has, so that the routes tell which they have.
        *request.method_mut() = Method::TRACE;
    }
    let asks_methods = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    let allowed = response.headers_mut().remove(header::ALLOW);
    match (response.status(), allowed) {
        (StatusCode::METHOD_NOT_ALLOWED, Some(allowed)) => {
            let allowed = allowed_methods(allowed.to_str().unwrap_or(""), has_head);
            refusal(allowed, asks_methods)
        }
        (StatusCode::NOT_FOUND, _) => {
            let headers = response.headers_mut();
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
            response
        }
        _ => response,
    }
}

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

fn allowed_methods(routes: &str, has_head: bool) -> String {
    let allowed: BTreeSet<&str> = routes
        .split(',')
        .map(str::trim)
        .filter(|method| !method.is_empty() && (has_head || *method != "HEAD"))
        .chain(["OPTIONS"])
        .collect();
    allowed.into_iter().collect::<Vec<_>>().join(", ")
}

/// What a request with a method that a route does not have gets, or one that asks which it has.
fn refusal(allowed: String, asks_methods: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    if asks_methods {
        return response;
    }
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    *response.body_mut() = Body::from("Method Not Allowed\n");
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    response
}

/// The path without empty parts, `.` and `..`, where it has any.
fn cleaned(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let folder = path.ends_with('/') && !parts.is_empty();
    let clean = format!("/{}{}", parts.join("/"), if folder { "/" } else { "" });
    (clean != path && path.starts_with('/')).then_some(clean)
}

/// The redirection that Go's servers answer with.
fn moved(path: &str, query: Option<&str>, method: &Method) -> Response<Body> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    redirection(
        StatusCode::TEMPORARY_REDIRECT,
        &format!("{path}{query}"),
        method,
    )
}

/// A redirection with the small page that Go adds for `GET`.
pub fn redirection(status: StatusCode, location: &str, method: &Method) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Ok(value) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    if *method == Method::GET || *method == Method::HEAD {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    if *method == Method::GET {
        let link = location.replace('&', "&amp;").replace('"', "&#34;");
        let link = link.replace('<', "&lt;").replace('>', "&gt;");
        let words = match status {
            StatusCode::FOUND => "Found",
            _ => "Temporary Redirect",
        };
        *response.body_mut() = Body::from(format!("<a href=\"{link}\">{words}</a>.\n\n"));
    }
    response
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
    fn paths_are_cleaned() {
        assert_eq!(cleaned("/"), None);
        assert_eq!(cleaned("/a/b/"), None);
        for (path, clean) in [
            ("//", "/"),
            ("//api/v1/query", "/api/v1/query"),
            ("/a//b/", "/a/b/"),
            ("/a/./../b", "/b"),
            ("/..", "/"),
        ] {
            assert_eq!(cleaned(path).as_deref(), Some(clean), "{path}");
        }
    }

    #[tokio::test]
    async fn what_no_handler_takes() {
        use http_body_util::BodyExt as _;
        use tower::ServiceExt as _;
        let routes = Router::new()
            .route("/one", axum::routing::get(|| async { "one" }))
            .route("/health", axum::routing::get(|| async { "fine" }))
            .fallback(|| async { (StatusCode::NOT_FOUND, "404 page not found\n") });
        let ask = async |method: &str, path: &str| {
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Body::empty()).expect("a request");
            let routes = strictly(routes.clone(), |path| path == "/health");
            let answer = routes.oneshot(request).await.expect("an answer");
            let header = |name: &str| {
                let value = answer.headers().get(name);
                value.map_or("", |v| v.to_str().unwrap_or("")).to_string()
            };
            let (status, allow) = (answer.status().as_u16(), header("allow"));
            let (location, sniff) = (header("location"), header("x-content-type-options"));
            let body = answer.into_body().collect().await.expect("a body");
            let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            format!("{status} {allow}|{location}|{sniff}|{body}")
        };
        assert_eq!(ask("GET", "/one").await, "200 |||one");
        let refused = "405 GET, OPTIONS||nosniff|Method Not Allowed\n";
        assert_eq!(ask("POST", "/one").await, refused);
        assert_eq!(ask("HEAD", "/one").await.trim_end(), refused.trim_end());
        assert_eq!(ask("OPTIONS", "/one").await, "200 GET, OPTIONS|||");
        assert!(ask("HEAD", "/health").await.starts_with("200 "));
        assert!(
            ask("PUT", "/health")
                .await
                .starts_with("405 GET, HEAD, OPTIONS|")
        );
        assert_eq!(
            ask("GET", "/no").await,
            "404 ||nosniff|404 page not found\n"
        );
        assert_eq!(
            ask("GET", "//one?a=1&b=2").await,
            "307 |/one?a=1&b=2||<a href=\"/one?a=1&amp;b=2\">Temporary Redirect</a>.\n\n"
        );
        assert_eq!(ask("POST", "//one").await, "307 |/one||");
    }

    #[test]
    fn encodings() {
        assert_eq!(encoding_of("deflate, gzip"), Some("deflate"));
        assert_eq!(encoding_of("br,gzip"), Some("gzip"));
        assert_eq!(encoding_of("gzip;q=1"), None);
        assert_eq!(encoding_of(""), None);
    }
}
