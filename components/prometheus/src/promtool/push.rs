//! `promtool push metrics`: metrics of files to a remote write receiver.

use std::io::Read as _;

use configfile::http_client::HttpClientConfig;
use configfile::remote::{RemoteWriteConfig, WriteMessage};
use flags::{Command, Flag, Takes, Values};
use net::http_client::HttpClient;

use super::client::{CLIENT_CONFIG, client};
use super::{Outcome, Tool, os_text, usage};

pub const PUSH: Command = Command {
    path: "push metrics",
    about: "Push metrics to a prometheus remote write (for testing purpose only).",
    flags: &[
        Flag::list(
            "label",
            "job=promtool",
            "Label to attach to metrics. Can be specified multiple times.",
        )
        .takes(Takes::Pair),
        Flag::value("timeout", "30s", "The time to wait for pushing metrics.")
            .takes(Takes::GoDuration),
        Flag::list("header", "", "Prometheus remote write header.").takes(Takes::Pair),
        Flag::value(
            "protobuf_message",
            "prometheus.WriteRequest",
            "Protobuf message to use when writing (prometheus.WriteRequest or io.prometheus.write.v2.Request).",
        ),
        Flag::value(
            "remote-write.path",
            "/api/v1/write",
            "Override the default remote write API path.",
        ),
        Flag::word(
            "remote-write-url",
            "Prometheus remote write url to push metrics.",
        ),
        Flag::words(
            "metric-files",
            "The metric files to push, default is read from standard input.",
        )
        .takes(Takes::File),
    ],
};

/// What stands around it.
pub const GROUP: Command = Command {
    path: "push",
    about: "Push to a Prometheus server.",
    flags: &[CLIENT_CONFIG],
};

/// The longest page that is read.
const MAX_PAGE: u64 = 1 << 30;

/// `promtool push metrics URL [FILES...]`
pub async fn push(values: &Values, tool: &mut Tool<'_>) -> Outcome {
    let prepared = prepare(values);
    let push = match prepared {
        Ok(push) => push,
        Err(outcome) => return outcome,
    };
    let mut outcome = Outcome::printed(String::new());
    let mut pages = Vec::new();
    if push.files.is_empty() {
        match read_page(&mut tool.input) {
            Ok(page) => pages.push((None, page)),
            Err(error) => return Outcome::failed(format!("  FAILED: {error}\n")),
        }
    }
    for file in &push.files {
        let opened = std::fs::File::open(file);
        match opened.and_then(|mut file| read_page(&mut file)) {
            Ok(page) => pages.push((Some(file), page)),
            Err(error) => {
                let error = os_text(&error);
                outcome
                    .err
                    .push_str(&format!("  FAILED: open {file}: {error}\n"));
                outcome.code = 1;
            }
        }
    }
    for (file, page) in pages {
        let (reading, what) = match file {
            None => ("standard input".to_string(), "metrics".to_string()),
            Some(file) => (
                format!("metrics file {file}"),
                format!("metrics file {file}"),
            ),
        };
        outcome.out.push_str(&format!("Parsing {reading}\n"));
        match push.send(&page, tool).await {
            Ok(()) => outcome
                .out
                .push_str(&format!("  SUCCESS: {what} pushed to remote write.\n")),
            Err(error) => {
                outcome.err.push_str(&format!("  FAILED: {error}\n"));
                outcome.code = 1;
            }
        }
    }
    outcome
}

/// A whole page; one that is longer than what is read is an error, not half a page.
fn read_page(source: &mut dyn std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    source.take(MAX_PAGE + 1).read_to_end(&mut page)?;
    if page.len() as u64 > MAX_PAGE {
        let mib = MAX_PAGE >> 20;
        let error = format!("more than {mib} MiB; push it in several files");
        return Err(std::io::Error::other(error));
    }
    Ok(page)
}

/// What a command line asks for.
struct Push {
    client: HttpClient,
    target: RemoteWriteConfig,
    labels: Vec<(String, String)>,
    files: Vec<String>,
}

fn prepare(values: &Values) -> Result<Push, Outcome> {
    let timeout = values.text("timeout");
    let timeout = model::duration::parse_go_duration(timeout)
        .map_err(|_| usage(&format!("--timeout: invalid duration {timeout:?}")))?;
    let message = match values.text("protobuf_message") {
        "prometheus.WriteRequest" => WriteMessage::V1,
        "io.prometheus.write.v2.Request" => WriteMessage::V2,
        other => {
            return Err(Outcome::failed(format!(
                "  FAILED: invalid protobuf message {other:?}, must be prometheus.WriteRequest or io.prometheus.write.v2.Request\n"
            )));
        }
    };
    let (url, path) = (
        values.text("remote-write-url"),
        values.text("remote-write.path"),
    );
    if !url.contains("://") {
        return Err(usage(&format!(
            "invalid URL {url:?}: a scheme such as http:// is missing"
        )));
    }
    Ok(Push {
        client: client(values).map_err(|fault| Outcome::failed(format!("{}\n", fault.0)))?,
        target: RemoteWriteConfig {
            url: joined(url, path),
            timeout: timeout.as_millis() as i64,
            name: String::new(),
            headers: read_pairs(&values.list("header"))?,
            relabel_configs: Vec::new(),
            send_exemplars: false,
            send_native_histograms: false,
            message,
            round_robin_dns: false,
            failed_request_logging: false,
            http: HttpClientConfig::default(),
            identity: None,
            queue: configfile::remote::QueueConfig {
                retry_on_http_429: true,
                ..Default::default()
            },
            metadata: Default::default(),
        },
        labels: read_pairs(&values.list("label"))?,
        files: values.list("metric-files"),
    })
}

/// The path below the address. The address used to be the whole of it, and still may be.
fn joined(url: &str, path: &str) -> String {
    let (url, path) = (url.trim_end_matches('/'), path.trim_matches('/'));
    if path.is_empty() || url.ends_with(&format!("/{path}")) {
        url.to_string()
    } else {
        format!("{url}/{path}")
    }
}

fn read_pairs(words: &[String]) -> Result<Vec<(String, String)>, Outcome> {
    let pair = |word: &String| {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| usage(&format!("expected KEY=VALUE got '{word}'")))?;
        Ok((name.to_string(), value.to_string()))
    };
    words.iter().filter(|w| !w.is_empty()).map(pair).collect()
}

impl Push {
    async fn send(&self, page: &[u8], tool: &Tool<'_>) -> Result<(), String> {
        let families = exposition::read_families(page).map_err(|error| {
            format!(
                "text format parsing error in line {}: {}",
                error.line, error.message
            )
        })?;
        let clock = &*tool.clock;
        remote::push::push(&self.client, &self.target, &families, &self.labels, clock).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_requests_go() {
        let path = "/api/v1/write";
        for (url, wanted) in [
            ("http://h:9090", "http://h:9090/api/v1/write"),
            ("http://h/prom/", "http://h/prom/api/v1/write"),
            ("http://h:9090/api/v1/write", "http://h:9090/api/v1/write"),
        ] {
            assert_eq!(joined(url, path), wanted);
        }
        assert_eq!(joined("http://h", "/push"), "http://h/push");
    }

    #[test]
    fn flags_may_stand_before_the_subcommand() {
        // A file that is there, whichever it is.
        let flag = format!("--http.config.file={}", env!("CARGO_MANIFEST_DIR"));
        let flag = format!("{flag}/Cargo.toml");
        for line in [
            ["push", &flag, "metrics", "http://u"],
            ["push", "metrics", &flag, "http://u"],
            ["push", "metrics", "http://u", &flag],
        ] {
            let values = crate::promtool::values_of(line.iter());
            assert_eq!(values.command(), "push metrics");
            assert_eq!(values.text("remote-write-url"), "http://u");
            assert!(values.text("http.config.file").ends_with("Cargo.toml"));
        }
    }
}
