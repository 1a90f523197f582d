//! `/openapi.yaml`: the API as OpenAPI describes it.

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderValue, Response, header};

use crate::params::Params;

/// OpenAPI 3.1; nothing in it means something else in 3.2.
const DESCRIPTION: &str = include_str!("openapi.yaml");

/// The description, as 3.2 for who asks for that and as 3.1 for all others.
pub async fn openapi(request: Request) -> Response<Body> {
    let params = Params::of_query(request.uri().query().unwrap_or(""));
    let text = match params.get("openapi_version") {
        "3.2" | "3.2.0" => DESCRIPTION.replacen("openapi: 3.1.0", "openapi: 3.2.0", 1),
        _ => DESCRIPTION.to_string(),
    };
    let mut response = Response::new(Body::from(text));
    for (name, value) in [
        (header::CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache, no-store, must-revalidate"),
    ] {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use configfile::yaml::Value;

    use super::*;

    /// Every route with its methods, as the router's source has them.
    fn routes() -> BTreeSet<(String, &'static str)> {
        let route =
            regex::Regex::new(r#"\.route\(\s*"([^"]+)",\s*(\w+)\("#).expect("an expression");
        let source = include_str!("router.rs");
        let mut all = BTreeSet::new();
        for found in route.captures_iter(source) {
            let methods: &[&str] = match &found[2] {
                "get" | "one" => &["get"],
                "both" => &["get", "post"],
                "post" => &["post"],
                "changes" => &["post", "put"],
                other => panic!("{}: by which methods is `{other}` asked?", &found[1]),
            };
            all.extend(methods.iter().map(|m| (found[1].to_string(), *m)));
        }
        assert_eq!(
            route.captures_iter(source).count(),
            source.matches(".route(").count()
        );
        all
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let tree = configfile::yaml::parse(DESCRIPTION).expect("a description");
        let mut described = BTreeSet::new();
        let Some(Value::Mapping(paths)) = tree.get("paths").map(|node| &node.value) else {
            panic!("no paths");
        };
        for (path, operations) in paths {
            let methods = ["get", "post", "put", "delete"];
            let there = methods.into_iter().filter(|m| operations.get(m).is_some());
            described.extend(there.map(|method| (path.name.clone(), method)));
        }
        assert_eq!(described, routes());
    }

    #[test]
    fn whatever_is_referred_to_is_there() {
        let tree = configfile::yaml::parse(DESCRIPTION).expect("a description");
        let reference = regex::Regex::new(r"\$ref: '#/([^']+)'").expect("an expression");
        let mut seen = 0;
        for found in reference.captures_iter(DESCRIPTION) {
            let node = found[1]
                .split('/')
                .try_fold(&tree, |node, name| node.get(name));
            assert!(node.is_some(), "{}", &found[1]);
            seen += 1;
        }
        assert!(seen > 100);
    }

    #[tokio::test]
    async fn the_version_is_what_was_asked_for() {
        for (query, version) in [("", "3.1.0"), ("?openapi_version=3.2", "3.2.0")] {
            let request = Request::get(format!("/openapi.yaml{query}")).body(Body::empty());
            let response = openapi(request.expect("a request")).await;
            let body = axum::body::to_bytes(response.into_body(), 1 << 20)
                .await
                .expect("a body");
            let first = format!("openapi: {version}\n");
            assert!(body.starts_with(first.as_bytes()));
        }
    }
}
