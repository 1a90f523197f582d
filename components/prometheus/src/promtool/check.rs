//! `promtool check metrics`, `check healthy`, `check ready`.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use exposition::lint;
use flags::{Flag, Program};

use super::client::{CLIENT_CONFIG, client, url};
use super::{Outcome, read_flags, usage};

/// The longest page that is checked.
const MAX_PAGE: u64 = 1 << 30;

const METRICS: Program = Program {
    name: "promtool check metrics",
    about: "Pass Prometheus metrics over stdin to lint them for consistency and correctness.",
    flags: &[
        Flag::switch(
            "extended",
            false,
            "Print extended information related to the cardinality of the metrics.",
        ),
        Flag::value(
            "lint",
            "all",
            "Linting checks to apply for metrics: all or none.",
        ),
    ],
};
const SERVER: Program = Program {
    name: "promtool check",
    about: "Check if the Prometheus server is healthy or ready.",
    flags: &[
        CLIENT_CONFIG,
        Flag::value(
            "url",
            "http://localhost:9090",
            "The URL for the Prometheus server.",
        ),
    ],
};

/// `promtool check web-config`: what stands at a server's door.
pub fn web_config(arguments: &[String]) -> Outcome {
    const WEB: Program = Program {
        name: "promtool check web-config",
        about: "Check if the web config files are valid or not.",
        flags: &[],
    };
    let (files, flags): (Vec<String>, Vec<String>) = arguments
        .iter()
        .cloned()
        .partition(|argument| !argument.starts_with('-'));
    if let Err(outcome) = read_flags(&WEB, &[], &flags) {
        return outcome;
    }
    if files.is_empty() {
        return usage("required argument 'web-config-files' not provided, try --help");
    }
    if let Some(file) = files.iter().find(|file| !Path::new(file).exists()) {
        return usage(&format!("path '{file}' does not exist, try --help"));
    }
    let mut outcome = Outcome::printed(String::new());
    for file in files {
        match net::web_gate::check_web_config(&file) {
            Ok(()) => outcome.out.push_str(&format!("{file} SUCCESS\n")),
            Err(error) => {
                outcome.err.push_str(&format!("{file} FAILED: {error}\n"));
                outcome.code = 1;
            }
        }
    }
    outcome
}

/// `promtool check metrics`: problems on standard error, code 3 if there are any.
pub fn metrics(arguments: &[String], input: &mut dyn Read) -> Outcome {
    let values = match read_flags(&METRICS, &[], arguments) {
        Ok(values) => values,
        Err(outcome) => return outcome,
    };
    let extended = values.switch("extended");
    let lints = match values.text("lint") {
        "all" => true,
        "none" => false,
        other => {
            return usage(&format!(
                "enum value must be one of all,none, got '{other}'"
            ));
        }
    };
    if !lints && !extended {
        return usage("at least one of --extended and --lint=all has to be on");
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
            return Outcome::failed(format!(
                "error while linting: text format parsing error in line {}: {}\n",
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
    // Upstream shows no table where something is to be mended first.
    let out = if extended && problems.is_empty() {
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
pub async fn server(arguments: &[String], path: &str) -> Outcome {
    let values = match read_flags(&SERVER, &[], arguments) {
        Ok(values) => values,
        Err(outcome) => return outcome,
    };
    let client = match client(&values) {
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
            .map_err(|e| innermost(&e))?;
        let status = response.status().as_u16();
        let body = response.text().await.map_err(|e| innermost(&e))?;
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
            "  FAILED: check failed: URL={url}, status={status}\n"
        )),
        Err(error) => Outcome::failed(format!("  FAILED: {error}\n")),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str], page: &str) -> (String, String, u8) {
        let arguments: Vec<String> = arguments.iter().map(|a| a.to_string()).collect();
        let outcome = metrics(&arguments, &mut page.as_bytes());
        (outcome.out, outcome.err, outcome.code)
    }

    #[test]
    fn advice_and_table() {
        let good = "# HELP a_total x\n# TYPE a_total counter\na_total 1\na_total{x=\"1\"} 2\n";
        assert_eq!(run(&[], good), (String::new(), String::new(), 0));
        let table = "Metric     Cardinality    Percentage    \na_total    2              100.00%       \nTotal      2              100%          \n";
        assert_eq!(run(&["--extended"], good).0, table);
        assert_eq!(
            run(&["--extended"], "foo 1\n"),
            (String::new(), "foo no help text\n".into(), 3)
        );
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
