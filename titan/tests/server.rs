//! The built binary as a server: starts, refuses, reloads, survives, and hands its folder to the real Prometheus.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::child::Running;
use testkit::http::{escape, get, request, wait_for};
use testkit::server;
use testkit::{free_port, peers};

const TITAN: &str = env!("CARGO_BIN_EXE_titan");

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn config(&self, text: &str) {
        std::fs::write(self.path().join("prometheus.yml"), text).expect("written");
    }

    fn command(&self, program: &str, port: u16) -> Command {
        let mut command = server::command(program, self.path(), port);
        command.arg("--web.enable-lifecycle");
        command
    }

    /// Scrapes itself every 200 ms.
    fn self_scraping(port: u16) -> Folder {
        let folder = Folder::new();
        folder.config(&format!(
            "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: self\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
        ));
        folder
    }
}

fn query(port: u16, expr: &str) -> Value {
    let answer = get(port, &format!("/api/v1/query?query={}", escape(expr)));
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.body))
}

/// The first sample's value of an instant query, 0 without any.
fn value(port: u16, expr: &str) -> f64 {
    let reply = query(port, expr);
    let text = reply["data"]["result"][0]["value"][1]
        .as_str()
        .unwrap_or("0")
        .to_string();
    text.parse().expect("a number")
}

fn wait_for_samples(port: u16, at_least: f64) {
    let path = format!("/api/v1/query?query={}", escape("count_over_time(up[10m])"));
    wait_for(port, &path, |answer| {
        let reply: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let count = reply["data"]["result"][0]["value"][1]
            .as_str()
            .unwrap_or("0");
        count.parse::<f64>().is_ok_and(|count| count >= at_least)
    });
}

fn start(folder: &Folder, port: u16) -> Running {
    server::start(&mut folder.command(TITAN, port), port)
}

#[test]
fn what_was_scraped_survives_kill_and_is_the_same_for_the_real_prometheus() {
    let port = free_port();
    let folder = Folder::self_scraping(port);
    let running = start(&folder, port);
    wait_for_samples(port, 10.0);
    let before = value(port, "count_over_time(up[10m])");
    running.kill();
    let running = start(&folder, port);
    assert!(
        value(port, "count_over_time(up[10m])") >= before,
        "nothing is missing after kill -9"
    );
    wait_for_samples(port, before + 5.0);
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");

    let Some(real) = peers::find("prometheus") else {
        return;
    };
    // Both read the folder as it lies; nobody scrapes any more. No `rate` over series that begin within the window: how
    // far that is extrapolated has changed since 2.42.
    folder.config("scrape_configs: []\n");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    // A few seconds on, where the last samples still count: scraping may have taken hardly two.
    let now = now + 5;
    let paths: Vec<String> = [
        "up",
        "count_over_time({job=\"self\"}[5m])",
        "sum(irate(prometheus_http_requests_total[1m])) by (handler)",
        "resets(prometheus_http_requests_total[5m])",
        "max_over_time(scrape_samples_scraped[5m])",
        "histogram_quantile(0.9, sum(prometheus_http_request_duration_seconds_bucket) by (le))",
        "count by (__name__) ({job=\"self\"})",
    ]
    .iter()
    .map(|expr| {
        format!(
            "/api/v1/query_range?query={}&start={}&end={now}&step=1",
            escape(expr),
            now - 60
        )
    })
    .collect();
    let ask = |port: u16| -> Vec<Value> {
        let read = |path: &String| serde_json::from_str(&get(port, path).body).expect("json");
        paths
            .iter()
            .map(read)
            .map(|reply: Value| reply["data"].clone())
            .collect()
    };
    let ours_port = free_port();
    let running = start(&folder, ours_port);
    let ours = ask(ours_port);
    running.stop();
    let theirs_port = free_port();
    let running = Running::start(&mut folder.command(&real.to_string_lossy(), theirs_port));
    wait_for(theirs_port, "/-/ready", |answer| answer.status == 200);
    let theirs = ask(theirs_port);
    running.stop();
    assert!(
        ours[0]["result"][0]["values"]
            .as_array()
            .is_some_and(|values| values.len() > 2)
    );
    for ((path, ours), theirs) in paths.iter().zip(&ours).zip(&theirs) {
        assert_same(path, ours, theirs);
    }
}

/// Equal but for the last bits of floats.
fn assert_same(path: &str, a: &Value, b: &Value) {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            a.iter().zip(b).for_each(|(a, b)| assert_same(path, a, b));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(
                a.keys().collect::<Vec<_>>(),
                b.keys().collect::<Vec<_>>(),
                "{path}"
            );
            a.iter().for_each(|(key, a)| assert_same(path, a, &b[key]));
        }
        (Value::String(x), Value::String(y)) if x != y => {
            let number = |text: &str| {
                text.parse::<f64>()
                    .unwrap_or_else(|_| panic!("{path}: {x} {y}"))
            };
            let (x, y) = (number(x), number(y));
            assert!(
                (x - y).abs() <= 1e-12 * x.abs().max(y.abs()),
                "{path}: {x} {y}"
            );
        }
        (a, b) => assert_eq!(a, b, "{path}"),
    }
}

#[test]
fn a_wrong_start_says_why() {
    let port = free_port();
    let folder = Folder::new();
    folder.config("global:\n  scrape_intervall: 5s\n");
    let (code, log) = Running::start(&mut folder.command(TITAN, port)).end(Duration::from_secs(20));
    assert_eq!(code, Some(2), "{log}");
    assert!(
        log.contains("prometheus.yml") && log.contains("line 2: field scrape_intervall not found"),
        "{log}"
    );
    let mut unknown = Command::new(TITAN);
    let (code, log) =
        Running::start(unknown.args(["prometheus", "--nope"])).end(Duration::from_secs(20));
    assert_eq!(code, Some(1));
    assert!(
        log.starts_with("Error parsing command line arguments: unknown long flag '--nope'\n"),
        "{log}"
    );
    let mut bad = Command::new(TITAN);
    let bad = bad.args(["prometheus", "--query.timeout=soon"]);
    let (code, log) = Running::start(bad).end(Duration::from_secs(20));
    assert_eq!(code, Some(2));
    assert!(
        log.starts_with(
            "Error parsing command line arguments: not a valid duration string: \"soon\""
        ),
        "{log}"
    );
    folder.config("tracing: {endpoint: 'x:1'}\n");
    let (code, log) = Running::start(&mut folder.command(TITAN, port)).end(Duration::from_secs(20));
    assert_eq!(code, Some(2));
    assert!(
        log.contains("tracing"),
        "nothing is left out in silence: {log}"
    );
}

#[test]
fn a_second_process_on_the_same_folder_is_refused() {
    let port = free_port();
    let folder = Folder::self_scraping(port);
    let running = start(&folder, port);
    let other = free_port();
    let (code, log) =
        Running::start(&mut folder.command(TITAN, other)).end(Duration::from_secs(20));
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("lock DB directory"), "{log}");
    assert_eq!(
        get(port, "/-/healthy").status,
        200,
        "the first is not disturbed"
    );
    running.stop();
}

#[test]
fn a_reload_is_whole_or_nothing() {
    let port = free_port();
    let folder = Folder::self_scraping(port);
    let running = start(&folder, port);
    assert_eq!(
        request(port, "GET", "/-/reload").expect("an answer").status,
        405
    );
    folder.config("scrape_configs:\n- job_name: other\n  scrape_interval: 1s\n  tls_config: {ca_file: missing.pem}\n");
    let refused = request(port, "POST", "/-/reload").expect("an answer");
    assert_eq!(refused.status, 500);
    assert!(refused.body.contains("missing.pem"), "{}", refused.body);
    let jobs = |port| get(port, "/api/v1/scrape_pools").body;
    assert!(
        jobs(port).contains("\"self\"") && !jobs(port).contains("other"),
        "what was in force stays"
    );
    assert!(
        get(port, "/metrics")
            .body
            .contains("\nprometheus_config_last_reload_successful 0\n")
    );
    folder.config("scrape_configs:\n- job_name: other\n  scrape_interval: 1s\n");
    running.signal("HUP");
    wait_for(port, "/api/v1/scrape_pools", |answer| {
        answer.body.contains("\"other\"")
    });
    assert!(!jobs(port).contains("\"self\""));
    let quit = request(port, "POST", "/-/quit").expect("an answer");
    assert_eq!(
        (quit.status, quit.body.as_str()),
        (200, "Requesting termination... Goodbye!")
    );
    let (code, log) = running.end(Duration::from_secs(30));
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_query_may_be_typed_into_a_url_as_it_is() {
    let port = free_port();
    let folder = Folder::self_scraping(port);
    let running = start(&folder, port);
    wait_for_samples(port, 1.0);
    let typed = "/api/v1/query?query=up{job=\"self\",instance!=\"é#\"}>0";
    let answer = get(port, typed);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("\"job\":\"self\""), "{}", answer.body);
    running.stop();
}
