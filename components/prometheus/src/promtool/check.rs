//! `promtool check metrics`, `check healthy`, `check ready`.

use std::fmt::Write as _;
use std::io::Read;
use std::time::Duration;

use exposition::lint;
use flags::{Command, Flag, Takes, Values};
use net::transport_error::describe;

use super::client::{CLIENT_CONFIG, client, url};
use super::{Outcome, usage};

/// The longest page that is checked.
const MAX_PAGE: u64 = 1 << 30;

/// `check metrics`
pub const METRICS: Command = Command {
    path: "check metrics",
    about: "Pass Prometheus metrics over stdin to lint them for consistency and correctness, and optionally perform cardinality analysis.\n\nexamples:\n\n$ cat metrics.prom | promtool check metrics\n\n$ curl -s http://localhost:9090/metrics | promtool check metrics --extended\n\n$ curl -s http://localhost:9100/metrics | promtool check metrics --extended --lint=none",
    flags: &[
        Flag::switch(
            "extended",
            false,
            "Print extended information related to the cardinality of the metrics.",
        ),
        Flag::value(
            "lint",
            "all",
            "Linting checks to apply for metrics. Available options are: all, none. Use --lint=none to disable metrics linting.",
        ),
    ],
};
const URL: Flag = Flag::value(
    "url",
    "http://localhost:9090",
    "The URL for the Prometheus server.",
)
.takes(Takes::Other);
/// `check healthy`
pub const HEALTHY: Command = Command {
    path: "check healthy",
    about: "Check if the Prometheus server is healthy.",
    flags: &[CLIENT_CONFIG, URL],
};
/// `check ready`
pub const READY: Command = Command {
    path: "check ready",
    about: "Check if the Prometheus server is ready.",
    flags: &[CLIENT_CONFIG, URL],
};
/// `check web-config`
pub const WEB_CONFIG: Command = Command {
    path: "check web-config",
    about: "Check if the web config files are valid or not.",
    flags: &[
        Flag::words("web-config-files", "The config files to check.")
            .required()
            .takes(Takes::File),
    ],
};

/// `promtool check web-config`: what stands at a server's door.
pub fn web_config(values: &Values) -> Outcome {
    let files = values.list("web-config-files");
    let mut outcome = Outcome::printed(String::new());
    for file in files {
        match check_file(&file) {
            Ok(()) => outcome.err.push_str(&format!("{file} SUCCESS\n")),
            Err(error) => {
                outcome.err.push_str(&format!("{file} FAILED: {error}\n"));
                outcome.code = 1;
            }
        }
    }
    outcome
}

/// What is wrong with a file; who is told knows which it is.
fn check_file(file: &str) -> Result<(), String> {
    net::web_gate::check_web_config(file).map_err(|error| error.reason)
}

/// `promtool check metrics`: problems on standard error, code 3 if there are any.
pub fn metrics(values: &Values, input: &mut dyn Read) -> Outcome {
    let extended = values.switch("extended");
    let lints = values.text("lint") != "none";
    if !lints && !extended {
        return Outcome::failed(
            "error: at least one of --extended or linting must be enabled\nUse --extended for cardinality analysis, or remove --lint=none to enable linting\n".into(),
        );
    }
    let mut page = Vec::new();
    match input.take(MAX_PAGE + 1).read_to_end(&mut page) {
        Ok(n) if n as u64 > MAX_PAGE => {
            return Outcome::failed(format!("the page is longer than {MAX_PAGE} bytes\n"));
        }
        Ok(_) => {}
        Err(error) => return Outcome::failed(format!("reading standard input: {error}\n")),
    }
    let families = match exposition::read_families(&page) {
        Ok(families) => families,
        Err(error) => {
            let doing = match lints {
                true => "linting",
                false => "parsing text to metric families",
            };
            return Outcome::failed(format!(
                "error while {doing}: text format parsing error in line {}: {}\n",
                error.line, error.message
            ));
        }
    };
    let problems = if lints {
        lint::lint(&families)
    } else {
        Vec::new()
    };
    let err: String = problems
        .iter()
        .map(|problem| format!("{} {}\n", problem.metric, problem.text))
        .collect();
    let out = if extended {
        table(&families)
    } else {
        String::new()
    };
    let code = if problems.is_empty() { 0 } else { 3 };
    Outcome { out, err, code }
}

fn table(families: &[model::MetricFamily]) -> String {
    let (rows, total) = lint::cardinalities(families);
    let mut lines = vec![["Metric", "Cardinality", "Percentage"].map(str::to_string)];
    lines.extend(rows.iter().map(|row| {
        [
            row.metric.clone(),
            row.series.to_string(),
            format!("{:.2}%", row.percentage),
        ]
    }));
    lines.push(["Total".into(), total.to_string(), "100%".into()]);
    let mut widths = [0; 3];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count() + 4);
        }
    }
    let mut out = String::new();
    for line in &lines {
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(out, "{cell:width$}");
        }
        out.push('\n');
    }
    out
}

/// `promtool check healthy|ready`: what the server says, on standard error as upstream does.
pub async fn server(values: &Values, path: &str) -> Outcome {
    let client = match client(values) {
        Ok(client) => client,
        Err(fault) => return usage(&fault.0),
    };
    let url = url(values.text("url"), path);
    let asking = async {
        let response = client
            .get(&url)
            .await
            .map_err(|e| e.to_string())?
            .send()
            .await
            .map_err(|e| describe("Get", &url, &e, true))?;
        let status = response.status().as_u16();
        let body = response
            .text()
            .await
            .map_err(|e| describe("Get", &url, &e, true))?;
        Ok::<_, String>((status, body))
    };
    let asked = tokio::time::timeout(Duration::from_secs(10), asking)
        .await
        .unwrap_or_else(|_| Err("context deadline exceeded".into()));
    match asked {
        Ok((200, body)) => Outcome {
            out: String::new(),
            err: format!("  SUCCESS:  {body}\n"),
            code: 0,
        },
        Ok((status, _)) => Outcome::failed(format!(
            "check failed: URL={}, status={status}\n",
            values.text("url")
        )),
        Err(error) => Outcome::failed(format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str], page: &str) -> (String, String, u8) {
        let line = ["check", "metrics"].iter().chain(arguments);
        let values = crate::promtool::values_of(line);
        let outcome = metrics(&values, &mut page.as_bytes());
        (outcome.out, outcome.err, outcome.code)
    }

    #[test]
    fn advice_and_table() {
        let good = "# HELP a_total x\n# TYPE a_total counter\na_total 1\na_total{x=\"1\"} 2\n";
        assert_eq!(run(&[], good), (String::new(), String::new(), 0));
        let table = "Metric     Cardinality    Percentage    \na_total    2              100.00%       \nTotal      2              100%          \n";
        assert_eq!(run(&["--extended"], good).0, table);
        let (out, err, code) = run(&["--extended"], "foo 1\n");
        assert!(out.contains("foo       1              100.00%"), "{out}");
        assert_eq!((err.as_str(), code), ("foo no help text\n", 3));
        let (_, err, _) = run(&["--extended", "--lint=none"], "foo{");
        assert!(err.starts_with("error while parsing text to metric families: "));
        assert_eq!(run(&["--lint=none", "--extended"], "foo 1\n").2, 0);
        assert_eq!(run(&["--lint=none"], good).2, 1);
        assert_eq!(
            run(&[], "foo{"),
            (
                String::new(),
                "error while linting: text format parsing error in line 1: unexpected end of input stream\n".into(),
                1
            )
        );
    }
}
