//! Parameters of a request: from its URL and, for forms, from its body.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{ConnectInfo, OriginalUri};
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Limited};
use model::Matcher;

use crate::error::ApiError;
use crate::observe::Caller;
use crate::time::{ALL_TIME, parse_step, parse_time};

/// The longest form that is read; queries of machines are long, but not this long.
const MAX_FORM: usize = 10 << 20;

/// Names and values, those of the body first.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>, Caller);

impl Params {
    /// Reads a request to its end.
    pub async fn of(request: Request<Body>) -> Result<Params, ApiError> {
        let (head, body) = request.into_parts();
        let caller = caller_of(&head);
        let mut pairs = Vec::new();
        let is_form = head
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if head.method == Method::POST && is_form {
            let body = Limited::new(body, MAX_FORM).collect().await.map_err(|e| {
                ApiError::bad_data(format!(
                    "error parsing form values: {e} (at most {MAX_FORM} bytes)"
                ))
            })?;
            pairs.extend(parse(&body.to_bytes()));
        }
        pairs.extend(parse(head.uri.query().unwrap_or("").as_bytes()));
        Ok(Params(pairs, caller))
    }

    /// Parameters of a URL's query alone.
    pub fn of_query(query: &str) -> Params {
        Params(parse(query.as_bytes()), Caller::default())
    }

    /// All names with their values, in order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.1
    }

    /// A boolean in any of the spellings that upstream takes; `false` when absent.
    pub fn switch(&self, name: &str) -> Result<bool, ApiError> {
        let text = self.get(name);
        parse_bool(text).ok_or_else(|| {
            let quoted = model::labels::go_quote(text);
            ApiError::parameter(
                name,
                format!(
                    "unable to parse boolean: strconv.ParseBool: parsing {quoted}: invalid syntax"
                ),
            )
        })
    }

    /// The first value of a name; `""` when absent.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value)
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// A time that must be there, unix milliseconds.
    pub fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.get(name)).map_err(|e| ApiError::parameter(name, e))
    }

    /// A time, or `default` when absent.
    pub fn time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        match self.get(name) {
            "" => Ok(default),
            text => parse_time(text).map_err(|e| {
                ApiError::parameter(name, format!("invalid time value for '{name}': {e}"))
            }),
        }
    }

    /// `start` and `end`, all of time when absent.
    pub fn range_or_all(&self) -> Result<(i64, i64), ApiError> {
        Ok((
            self.time_or("start", ALL_TIME.0)?,
            self.time_or("end", ALL_TIME.1)?,
        ))
    }

    /// A duration in milliseconds, `None` when absent.
    pub fn duration(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            "" => Ok(None),
            text => parse_step(text)
                .map(Some)
                .map_err(|e| ApiError::parameter(name, e)),
        }
    }

    /// `limit`; 0 is none.
    pub fn limit(&self) -> Result<usize, ApiError> {
        match self.get("limit") {
            "" => Ok(0),
            text => {
                let limit: i64 = text.parse().map_err(|_| {
                    let quoted = model::labels::go_quote(text);
                    ApiError::parameter(
                        "limit",
                        format!("strconv.Atoi: parsing {quoted}: invalid syntax"),
                    )
                })?;
                usize::try_from(limit)
                    .map_err(|_| ApiError::parameter("limit", "limit must be non-negative"))
            }
        }
    }

    /// The matcher sets of all `match[]`; the error is the cause alone.
    pub fn matcher_sets(&self) -> Result<Vec<Vec<Matcher>>, String> {
        self.all("match[]")
            .map(|selector| {
                let matchers =
                    promql_syntax::parse_selector(selector).map_err(|e| e.to_string())?;
                if matchers.iter().all(Matcher::matches_empty) {
                    return Err("match[] must contain at least one non-empty matcher".to_string());
                }
                Ok(matchers)
            })
            .collect()
    }
}

/// What Go's `ParseBool` takes; nothing is false.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        _ => None,
    }
}

fn caller_of(head: &http::request::Parts) -> Caller {
    let client = head.extensions.get::<ConnectInfo<SocketAddr>>();
    let path = head
        .extensions
        .get::<OriginalUri>()
        .map_or(&head.uri, |original| &original.0);
    Caller {
        client: client
            .map(|address| address.0.ip().to_string())
            .unwrap_or_default(),
        method: head.method.to_string(),
        path: path.path().to_string(),
    }
}

fn parse(bytes: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bodies_come_first() {
        let request = Request::post("/x?a=url&b=2")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from("a=body&m=1&m=2"))
            .expect("a request");
        let params = Params::of(request).await.expect("read");
        assert_eq!(params.get("a"), "body");
        assert_eq!(params.get("b"), "2");
        assert_eq!(params.all("m").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(params.get("c"), "");
    }

    #[test]
    fn refusals_read_like_upstream() {
        let refusal = |query: &str, ask: fn(&Params) -> Result<(), ApiError>| {
            ask(&Params::of_query(query)).expect_err("refused").message
        };
        assert_eq!(
            refusal("time=abc", |p| p.time_or("time", 0).map(drop)),
            "invalid parameter \"time\": invalid time value for 'time': cannot parse \"abc\" to a valid timestamp"
        );
        assert_eq!(
            refusal("limit=x", |p| p.limit().map(drop)),
            "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"
        );
        assert_eq!(
            refusal("limit=-1", |p| p.limit().map(drop)),
            "invalid parameter \"limit\": limit must be non-negative"
        );
        assert_eq!(
            Params::of_query("match[]={a=~\".*\"}").matcher_sets(),
            Err("match[] must contain at least one non-empty matcher".into())
        );
    }
}
