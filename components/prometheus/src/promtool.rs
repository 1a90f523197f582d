//! `promtool query`: asks a server and prints the answer as people or machines want it.

use apiv1::client::{self, ClientError};
use apiv1::time::parse_time;
use configfile::http_client::HttpClientConfig;
use flags::{Flag, Invocation, Program, UsageError, Values};
use net::http_client::HttpClient;
use serde_json::Value;

const FORMAT: Flag = Flag::value(
    "format",
    "promql",
    "Output format of the query: promql or json.",
);
const SERVER: Flag = Flag::word("server", "Prometheus server to query.");
const HEADER: Flag = Flag::list("header", "", "Extra headers to send to server, name=value.");
const START: Flag = Flag::value("start", "", "Start time (RFC3339 or Unix timestamp).");
const END: Flag = Flag::value("end", "", "End time (RFC3339 or Unix timestamp).");
const MATCH: Flag = Flag::list(
    "match",
    "",
    "Series selector. Can be specified multiple times.",
);

const INSTANT: Program = Program {
    name: "promtool query instant",
    about: "Run instant query.",
    flags: &[
        FORMAT,
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
const RANGE: Program = Program {
    name: "promtool query range",
    about: "Run range query.",
    flags: &[
        FORMAT,
        HEADER,
        START,
        END,
        Flag::value("step", "", "Query step size (duration)."),
        SERVER,
        Flag::word("expr", "PromQL query expression."),
    ],
};
const SERIES: Program = Program {
    name: "promtool query series",
    about: "Run series query.",
    flags: &[FORMAT, MATCH, START, END, SERVER],
};
const LABELS: Program = Program {
    name: "promtool query labels",
    about: "Run labels query.",
    flags: &[
        FORMAT,
        MATCH,
        START,
        END,
        SERVER,
        Flag::word("name", "Label name to provide label values for."),
    ],
};

/// How a run of the tool ends.
#[derive(Debug)]
pub struct Outcome {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// The exit code.
    pub code: u8,
}

impl Outcome {
    fn printed(out: String) -> Outcome {
        Outcome {
            out,
            err: String::new(),
            code: 0,
        }
    }

    fn failed(err: String) -> Outcome {
        Outcome {
            out: String::new(),
            err,
            code: 1,
        }
    }
}

/// `promtool query KIND ...`; `now` is unix milliseconds.
pub async fn query(arguments: &[String], now: i64) -> Outcome {
    let Some((kind, rest)) = arguments.split_first() else {
        return usage("expected one of: instant, range, series, labels");
    };
    let version = crate::build::version_text("promtool");
    let program = match kind.as_str() {
        "instant" => INSTANT,
        "range" => RANGE,
        "series" => SERIES,
        "labels" => LABELS,
        "--help" | "-h" => {
            return Outcome::printed(
                "usage: promtool query instant|range|series|labels [flags] SERVER ...\n".into(),
            );
        }
        other => {
            return usage(&format!(
                "unknown query {other:?}, expected one of: instant, range, series, labels"
            ));
        }
    };
    // `-o json` is the short form of `--format=json`.
    let rest = rest.iter().map(|a| {
        if a == "-o" {
            "--format".to_string()
        } else {
            a.clone()
        }
    });
    let values = match program.parse(rest, &version) {
        Ok(Invocation::Run(values)) => values,
        Ok(Invocation::Print(text)) => return Outcome::printed(text),
        Err(error) => return usage(&error.to_string()),
    };
    let asked = match kind.as_str() {
        "instant" => instant(&values, now).await,
        "range" => range(&values, now).await,
        "series" => series(&values).await,
        _ => labels(&values).await,
    };
    asked.unwrap_or_else(|fault| match fault {
        Fault::Usage(error) => usage(&error.to_string()),
        Fault::Client(error) => Outcome::failed(format!("query error: {error}\n")),
    })
}

fn usage(message: &str) -> Outcome {
    Outcome {
        out: String::new(),
        err: format!("promtool: error: {message}\n"),
        code: 1,
    }
}

enum Fault {
    Usage(UsageError),
    Client(ClientError),
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Fault {
        Fault::Client(error)
    }
}

fn bad(flag: &str, message: impl std::fmt::Display) -> Fault {
    Fault::Usage(UsageError(format!("--{flag}: {message}")))
}

fn time(values: &Values, flag: &str) -> Result<Option<i64>, Fault> {
    match values.text(flag) {
        "" => Ok(None),
        text => parse_time(text).map(Some).map_err(|e| bad(flag, e)),
    }
}

fn seconds(ms: i64) -> String {
    model::number::format_float(ms as f64 / 1000.0)
}

fn client_and_url(values: &Values, path: &str) -> Result<(HttpClient, String), Fault> {
    let client = HttpClient::new(&HttpClientConfig::default(), &crate::build::user_agent())
        .map_err(|e| Fault::Client(ClientError::Transport(e.to_string())))?;
    let server = values.text("server").trim_end_matches('/');
    let scheme = if server.contains("://") {
        ""
    } else {
        "http://"
    };
    Ok((client, format!("{scheme}{server}{path}")))
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

fn finish(values: &Values, reply: &client::Reply, text: impl FnOnce(&Value) -> String) -> Outcome {
    let mut outcome = Outcome::printed(match values.text("format") {
        "json" => format!("{}\n", json_of(&reply.data)),
        _ => text(&reply.data),
    });
    for warning in &reply.warnings {
        outcome.err.push_str(&format!("query warning: {warning}\n"));
    }
    outcome
}

/// The tool prints results alone, without the type around them.
fn json_of(data: &Value) -> &Value {
    data.get("result").unwrap_or(data)
}

async fn instant(values: &Values, now: i64) -> Result<Outcome, Fault> {
    let at = time(values, "time")?.unwrap_or(now);
    let (client, url) = client_and_url(values, "/api/v1/query")?;
    let params = [
        ("query", values.text("expr").to_string()),
        ("time", seconds(at)),
    ];
    let reply = client::post(&client, &url, &params, &headers(values)?).await?;
    Ok(finish(values, &reply, query_text))
}

async fn range(values: &Values, now: i64) -> Result<Outcome, Fault> {
    let end = time(values, "end")?.unwrap_or(now);
    let start = time(values, "start")?.unwrap_or(end - 300_000);
    if start >= end {
        return Ok(Outcome::failed(
            "start time is not before end time\n".into(),
        ));
    }
    let step = match values.text("step") {
        "" => ((end - start) / 1000 / 250).max(1) * 1000,
        text => apiv1::time::parse_step(text).map_err(|e| bad("step", e))?,
    };
    let (client, url) = client_and_url(values, "/api/v1/query_range")?;
    let params = [
        ("query", values.text("expr").to_string()),
        ("start", seconds(start)),
        ("end", seconds(end)),
        ("step", seconds(step)),
    ];
    let reply = client::post(&client, &url, &params, &headers(values)?).await?;
    Ok(finish(values, &reply, query_text))
}

fn ranged(values: &Values) -> Result<Vec<(&'static str, String)>, Fault> {
    let mut params: Vec<(&str, String)> = values
        .list("match")
        .into_iter()
        .map(|selector| ("match[]", selector))
        .collect();
    for flag in ["start", "end"] {
        params.extend(time(values, flag)?.map(|ms| (flag, seconds(ms))));
    }
    Ok(params)
}

async fn series(values: &Values) -> Result<Outcome, Fault> {
    let (client, url) = client_and_url(values, "/api/v1/series")?;
    let reply = client::post(&client, &url, &ranged(values)?, &[]).await?;
    Ok(finish(values, &reply, |data| {
        let all = data.as_array().into_iter().flatten();
        all.map(|labels| format!("{}\n", labels_of(labels)))
            .collect()
    }))
}

async fn labels(values: &Values) -> Result<Outcome, Fault> {
    let path = format!("/api/v1/label/{}/values", values.text("name"));
    let (client, url) = client_and_url(values, &path)?;
    let reply = client::get(&client, &url, &ranged(values)?).await?;
    Ok(finish(values, &reply, |data| {
        let all = data
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        all.map(|value| format!("{value}\n")).collect()
    }))
}

fn labels_of(map: &Value) -> model::Labels {
    let pairs = map.as_object().into_iter().flatten();
    model::Labels::from_pairs(pairs.map(|(name, value)| (name, value.as_str().unwrap_or(""))))
}

/// `up{job="x"}`
fn metric_text(map: &Value) -> String {
    let labels = labels_of(map);
    let name = labels.metric_name();
    let rest = labels.drop_metric_name();
    match (name.is_empty(), rest.is_empty()) {
        (false, true) => name.to_string(),
        _ => format!("{name}{rest}"),
    }
}

/// A `[time, value]` pair as `value @[time]`.
fn point_text(pair: &Value) -> String {
    let value = match &pair[1] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("{value} @[{}]", pair[0])
}

fn query_text(data: &Value) -> String {
    let result = &data["result"];
    let items = || result.as_array().into_iter().flatten();
    match data["resultType"].as_str().unwrap_or("") {
        "vector" => items()
            .map(|sample| {
                let pair = sample.get("value").unwrap_or(&sample["histogram"]);
                format!(
                    "{} => {}\n",
                    metric_text(&sample["metric"]),
                    point_text(pair)
                )
            })
            .collect(),
        "matrix" => items()
            .map(|series| {
                let points = ["values", "histograms"]
                    .iter()
                    .filter_map(|kind| series.get(kind)?.as_array())
                    .flatten();
                let lines: String = points
                    .map(|pair| format!("{}\n", point_text(pair)))
                    .collect();
                format!("{} =>\n{lines}", metric_text(&series["metric"]))
            })
            .collect(),
        "scalar" => format!("scalar: {}\n", point_text(result)),
        _ => format!("{}\n", point_text(result)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prints_like_upstream() {
        let vector = json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "job": "j"}, "value": [1.5, "1"]}, {"metric": {}, "value": [1, "2"]}]});
        assert_eq!(
            query_text(&vector),
            "up{job=\"j\"} => 1 @[1.5]\n{} => 2 @[1]\n"
        );
        let matrix = json!({"resultType": "matrix", "result": [
            {"metric": {"__name__": "up"}, "values": [[1, "1"], [2, "0"]]}]});
        assert_eq!(query_text(&matrix), "up =>\n1 @[1]\n0 @[2]\n");
        assert_eq!(
            query_text(&json!({"resultType": "scalar", "result": [1, "3"]})),
            "scalar: 3 @[1]\n"
        );
    }
}
