//! `promtool query`: asks a server and prints the answer as people or machines want it.

use std::time::Duration;

use apiv1::client::{self, ClientError};
use apiv1::time::parse_time;
use flags::{Command, Flag, Takes, UsageError, Values};
use serde_json::Value;

use super::client::{CLIENT_CONFIG, client_and_url};
use super::query_text::{labels_of, query_json, query_text, series_json, strings_json};
use super::{Outcome, usage};

/// How answers are printed.
const FORMAT: Flag = Flag::value("format", "promql", "Output format of the query.")
    .short('o')
    .takes(Takes::OneOf(&["promql", "json"]));
/// What all of them take.
pub const QUERY: Command = Command {
    path: "query",
    about: "Run query against a Prometheus server.",
    flags: &[FORMAT, CLIENT_CONFIG],
};
const SERVER: Flag = Flag::word("server", "Prometheus server to query.");
const HEADER: Flag =
    Flag::list("header", "", "Extra headers to send to server.").takes(Takes::Pair);
const START: Flag = Flag::value("start", "", "Start time (RFC3339 or Unix timestamp).");
const END: Flag = Flag::value("end", "", "End time (RFC3339 or Unix timestamp).");
const MATCH: Flag = Flag::list(
    "match",
    "",
    "Series selector. Can be specified multiple times.",
);

pub const INSTANT: Command = Command {
    path: "query instant",
    about: "Run instant query.",
    flags: &[
        Flag::value(
            "time",
            "",
            "Query evaluation time (RFC3339 or Unix timestamp).",
        ),
        HEADER,
        SERVER,
        Flag::word("expr", "PromQL query expression."),
    ],
};
pub const RANGE: Command = Command {
    path: "query range",
    about: "Run range query.",
    flags: &[
        HEADER,
        Flag::value(
            "start",
            "",
            "Query range start time (RFC3339 or Unix timestamp).",
        ),
        Flag::value(
            "end",
            "",
            "Query range end time (RFC3339 or Unix timestamp).",
        ),
        Flag::value("step", "", "Query step size (duration).").takes(Takes::GoDuration),
        SERVER,
        Flag::word("expr", "PromQL query expression."),
    ],
};
pub const SERIES: Command = Command {
    path: "query series",
    about: "Run series query.",
    flags: &[MATCH.required(), START, END, SERVER],
};
pub const LABELS: Command = Command {
    path: "query labels",
    about: "Run labels query.",
    flags: &[
        START,
        END,
        MATCH,
        SERVER,
        Flag::word("name", "Label name to provide label values for."),
    ],
};

/// How far the tool looks back and ahead where no times are given, as upstream: 9999 hours.
const FAR: i64 = 9999 * 3_600_000;

/// `promtool query KIND ...`; `now` is unix milliseconds.
pub async fn query(values: &Values, now: i64) -> Outcome {
    let patience = Duration::from_secs(120);
    let asking = async {
        match values.command() {
            "query instant" => instant(values, now).await,
            "query range" => range(values, now).await,
            "query series" => series(values, now).await,
            "query explain" => explain(values, now).await,
            "query analyze" => analyze(values, now).await,
            _ => labels(values, now).await,
        }
    };
    let asked = match tokio::time::timeout(patience, asking).await {
        Ok(asked) => asked,
        Err(_) => Err(Fault::Client(ClientError::Transport(
            "context deadline exceeded".into(),
        ))),
    };
    asked.unwrap_or_else(|fault| match fault {
        Fault::Usage(error) => usage(&error.to_string()),
        Fault::Plain(message) => Outcome::failed(format!("{message}\n")),
        Fault::Client(error) => Outcome::failed(format!("query error: {error}\n")),
    })
}

enum Fault {
    Usage(UsageError),
    /// Said without a frame, as upstream does for times.
    Plain(String),
    Client(ClientError),
}

impl From<super::client::ClientFault> for Fault {
    fn from(fault: super::client::ClientFault) -> Fault {
        Fault::Usage(UsageError::Value(fault.0))
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Fault {
        Fault::Client(error)
    }
}

fn bad(flag: &str, message: impl std::fmt::Display) -> Fault {
    Fault::Usage(UsageError::Value(format!("--{flag}: {message}")))
}

fn time(values: &Values, flag: &str) -> Result<Option<i64>, Fault> {
    let what = if flag == "time" { "evaluation" } else { flag };
    match values.text(flag) {
        "" => Ok(None),
        text => parse_time(text)
            .map(Some)
            .map_err(|e| Fault::Plain(format!("error parsing {what} time: {e}"))),
    }
}

fn seconds(ms: i64) -> String {
    model::number::format_float(ms as f64 / 1000.0)
}

fn headers(values: &Values) -> Result<Vec<(String, String)>, Fault> {
    values
        .list("header")
        .iter()
        .map(|header| match header.split_once('=') {
            Some((name, value)) => Ok((name.to_string(), value.to_string())),
            None => Err(bad(
                "header",
                format!("expected name=value, got {header:?}"),
            )),
        })
        .collect()
}

/// Prints an answer, as JSON or as text.
fn finish(
    values: &Values,
    reply: &client::Reply,
    json: impl FnOnce(&Value) -> Vec<u8>,
    text: impl FnOnce(&Value) -> String,
) -> Outcome {
    let mut outcome = Outcome::printed(match values.text("format") {
        "json" => format!("{}\n", String::from_utf8_lossy(&json(&reply.data))),
        _ => text(&reply.data),
    });
    for warning in &reply.warnings {
        outcome.err.push_str(&format!("query warning: {warning}\n"));
    }
    outcome
}

async fn instant(values: &Values, now: i64) -> Result<Outcome, Fault> {
    let at = time(values, "time")?.unwrap_or(now);
    let (client, url) = client_and_url(values, "/api/v1/query")?;
    let params = [
        ("query", values.text("expr").to_string()),
        ("time", seconds(at)),
    ];
    let reply = client::post(&client, &url, &params, &headers(values)?).await?;
    Ok(finish(values, &reply, query_json, query_text))
}

/// Start and end of a range query, seconds; `None` where there is nothing between them.
fn range_params(values: &Values, now: i64) -> Result<Option<Vec<(&'static str, String)>>, Fault> {
    let end = time(values, "end")?.unwrap_or(now);
    let start = time(values, "start")?.unwrap_or(end - 300_000);
    if start >= end {
        return Ok(None);
    }
    let step = match values.text("step") {
        "" => ((end - start) / 1000 / 250).max(1) * 1000,
        text => apiv1::time::parse_step(text).map_err(|e| bad("step", e))?,
    };
    Ok(Some(vec![
        ("query", values.text("expr").to_string()),
        ("start", seconds(start)),
        ("end", seconds(end)),
        ("step", seconds(step)),
    ]))
}

fn empty_range() -> Outcome {
    Outcome::failed("start time is not before end time\n".into())
}

async fn range(values: &Values, now: i64) -> Result<Outcome, Fault> {
    let Some(params) = range_params(values, now)? else {
        return Ok(empty_range());
    };
    let (client, url) = client_and_url(values, "/api/v1/query_range")?;
    let reply = client::post(&client, &url, &params, &headers(values)?).await?;
    Ok(finish(values, &reply, query_json, query_text))
}

async fn explain(values: &Values, now: i64) -> Result<Outcome, Fault> {
    let (path, mut params) = if values.text("start").is_empty() {
        let at = time(values, "time")?.unwrap_or(now);
        let query = values.text("expr").to_string();
        (
            "/api/v1/query",
            vec![("query", query), ("time", seconds(at))],
        )
    } else {
        match range_params(values, now)? {
            Some(params) => ("/api/v1/query_range", params),
            None => return Ok(empty_range()),
        }
    };
    params.push(("explain", "true".into()));
    let (client, url) = client_and_url(values, path)?;
    let reply = client::post(&client, &url, &params, &headers(values)?).await?;
    Ok(super::explain::print(
        &reply.data,
        values.text("format") == "json",
    ))
}

async fn analyze(values: &Values, now: i64) -> Result<Outcome, Fault> {
    for flag in ["server", "type"] {
        if values.text(flag).is_empty() {
            return Ok(usage(&format!("required flag --{flag} not provided")));
        }
    }
    if values.list("match").is_empty() {
        return Ok(usage("required flag --match not provided"));
    }
    if values.text("type") != "histogram" {
        let kind = values.text("type");
        let message = format!("analyze type is {kind}, must be 'histogram'\n");
        return Ok(Outcome::failed(message));
    }
    let duration =
        model::duration::parse_duration(values.text("duration")).map_err(|e| bad("duration", e))?;
    let duration = model::duration::format_duration(duration);
    let at = time(values, "time")?.unwrap_or(now);
    let (client, url) = client_and_url(values, "/api/v1/query")?;
    let mut answers = Vec::new();
    for selector in values.list("match") {
        let params = [
            ("query", format!("{selector}[{duration}]")),
            ("time", seconds(at)),
        ];
        answers.push(client::post(&client, &url, &params, &[]).await?.data);
    }
    Ok(match super::analyze::report(&answers) {
        Ok(text) => Outcome::printed(text),
        Err(error) => Outcome::failed(format!("{error}\n")),
    })
}

fn ranged(values: &Values, now: i64) -> Result<Vec<(&'static str, String)>, Fault> {
    let mut params: Vec<(&str, String)> = values
        .list("match")
        .into_iter()
        .map(|selector| ("match[]", selector))
        .collect();
    for (flag, default) in [("start", now - FAR), ("end", now + FAR)] {
        params.push((flag, seconds(time(values, flag)?.unwrap_or(default))));
    }
    Ok(params)
}

async fn series(values: &Values, now: i64) -> Result<Outcome, Fault> {
    if values.list("match").is_empty() {
        let message = "required flag --match not provided";
        return Err(Fault::Usage(UsageError::Value(message.into())));
    }
    let (client, url) = client_and_url(values, "/api/v1/series")?;
    let reply = client::post(&client, &url, &ranged(values, now)?, &[]).await?;
    Ok(finish(values, &reply, series_json, |data| {
        let all = data.as_array().into_iter().flatten();
        all.map(|labels| format!("{}\n", labels_of(labels)))
            .collect()
    }))
}

async fn labels(values: &Values, now: i64) -> Result<Outcome, Fault> {
    let path = format!("/api/v1/label/{}/values", path_segment(values.text("name")));
    let (client, url) = client_and_url(values, &path)?;
    let reply = client::get(&client, &url, &ranged(values, now)?).await?;
    Ok(finish(values, &reply, strings_json, |data| {
        let all = data
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        all.map(|value| format!("{value}\n")).collect()
    }))
}

fn path_segment(name: &str) -> String {
    name.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(b).to_string()
            }
            b => format!("%{b:02X}"),
        })
        .collect()
}
