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
        let sets = self.any_matcher_sets()?;
        match sets
            .iter()
            .any(|set| set.iter().all(Matcher::matches_empty))
        {
            true => Err("match[] must contain at least one non-empty matcher".to_string()),
            false => Ok(sets),
        }
    }

    /// The same where upstream takes sets that match series without any of the labels, too.
    pub fn any_matcher_sets(&self) -> Result<Vec<Vec<Matcher>>, String> {
        self.all("match[]")
            .map(|selector| match selector {
                "" => Err("unknown position: parse error: unexpected end of input".to_string()),
                text => promql_syntax::parse_selector(text).map_err(|e| e.to_string()),
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

/// The pairs of a form. As Go's parser does, one with a semicolon or a broken escape is left out, and the others stand.
fn parse(bytes: &[u8]) -> Vec<(String, String)> {
    bytes
        .split(|byte| *byte == b'&')
        .filter(|pair| !pair.contains(&b';') && has_whole_escapes(pair))
        .flat_map(form_urlencoded::parse)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// Whether two hexadecimal digits follow every percent sign.
fn has_whole_escapes(pair: &[u8]) -> bool {
    pair.iter().enumerate().all(|(at, byte)| {
        let digits = pair.get(at + 1..at + 3);
        *byte != b'%' || digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    })
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
    fn broken_pairs_are_left_out() {
        let params = Params::of_query("a=1;x=2&b=%zz&c=%4&d=%41+%20&e;f=1&g");
        let pairs: Vec<_> = params.pairs().iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(pairs, [("d", "A  "), ("g", "")]);
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
        assert!(
            Params::of_query("match[]={a=~\".*\"}")
                .any_matcher_sets()
                .is_ok()
        );
        assert_eq!(
            Params::of_query("match[]=").matcher_sets(),
            Err("unknown position: parse error: unexpected end of input".into())
        );
    }
}
