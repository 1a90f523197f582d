//! Explained queries: over HTTP, and by the tool.

use std::process::Command;

use serde_json::Value;
use testkit::child::Running;
use testkit::free_port;
use testkit::http::{escape, get, wait_for};

const TITAN: &str = env!("CARGO_BIN_EXE_titan");

fn json(port: u16, path: &str) -> Value {
    let answer = get(port, path);
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.body))
}

#[test]
fn plans_over_http_and_as_a_tree() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let config = folder.path().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: self\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    );
    std::fs::write(&config, text).expect("a configuration");
    let running = Running::start(Command::new(TITAN).args([
        "prometheus".to_string(),
        format!("--config.file={}", config.display()),
        format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]));
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    let counted = format!(
        "/api/v1/query?query={}",
        escape("count_over_time(up[1h]) > 4")
    );
    wait_for(port, &counted, |answer| answer.body.contains("\"metric\""));

    let expr = "sum by (job) (count_over_time(up{job=~\"self\"}[1h]))";
    let path = format!("/api/v1/query?query={}", escape(expr));
    let plain = json(port, &path);
    assert!(plain["data"]["explain"].is_null(), "only where asked for");
    let answer = json(port, &format!("{path}&explain=true"));
    assert_eq!(answer["data"]["resultType"], "vector");
    assert_eq!(answer["data"]["result"][0]["metric"]["job"], "self");
    let explain = &answer["data"]["explain"];
    assert_eq!(
        (&explain["version"], &explain["query"]),
        (&1.into(), &expr.into())
    );
    let plan = &explain["plan"];
    assert_eq!(
        (&plan["operator"], &plan["detail"]),
        (&"aggregate".into(), &"sum by (job)".into())
    );
    assert_eq!((&plan["series"], &plan["samples"]), (&1.into(), &1.into()));
    assert_eq!(plan["position"]["start"], 0);
    assert!(plan["seconds"].as_f64().is_some_and(|s| s > 0.0), "{plan}");
    let window = &plan["children"][0]["children"][0];
    assert_eq!(window["operator"], "window");
    assert_eq!(window["hints"][0], "job=~\"self\" could be job=\"self\"");
    let read = &window["read"];
    assert!(read["samples"].as_u64().is_some_and(|n| n > 4), "{read}");
    assert!(read["bytes"].as_u64().is_some_and(|n| n > 0), "{read}");
    assert_eq!(read["sources"][0]["name"], "head");
    assert_eq!(explain["sources"][0]["series"], 1);
    let refused = get(port, &format!("{path}&explain=perhaps"));
    assert_eq!(refused.status, 400, "{}", refused.body);

    let start = explain["sources"][0]["minTime"].as_i64().expect("a time") / 1000;
    let end = start + 10;
    let range = format!("/api/v1/query_range?query={}", escape("up offset -1s"));
    let answer = json(
        port,
        &format!("{range}&start={start}&end={end}&step=1&explain=true"),
    );
    assert_eq!(answer["data"]["explain"]["plan"]["operator"], "select");
    assert_eq!(answer["data"]["explain"]["plan"]["steps"], 11);

    let told = Command::new(TITAN)
        .args(["promtool", "query", "explain"])
        .args([&format!("http://127.0.0.1:{port}"), expr])
        .output()
        .expect("the tool");
    let out = String::from_utf8_lossy(&told.stdout);
    assert!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    assert!(
        out.starts_with("aggregate sum by (job)  (1 series, 1 samples"),
        "{out}"
    );
    assert!(out.contains("      hint: job=~\"self\" could be"), "{out}");
    assert!(out.contains("\nread head: 1 series"), "{out}");
    running.kill();
}
