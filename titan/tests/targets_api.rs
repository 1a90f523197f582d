//! `/api/v1/targets` of the built binary: its filters.

use serde_json::{Value, json};
use testkit::free_port;
use testkit::http::{get, wait_for};
use testkit::server;

#[test]
fn targets_by_state_and_pool() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let config = folder.path().join("prometheus.yml");
    let drop = "relabel_configs: [{source_labels: [__address__], regex: 'drop.*', action: drop}]";
    std::fs::write(
        &config,
        format!(
            "scrape_configs:\n- job_name: a\n  static_configs: [{{targets: ['127.0.0.1:1', 'drop-1:1', 'drop-2:1']}}]\n  {drop}\n- job_name: b\n  keep_dropped_targets: 1\n  static_configs: [{{targets: ['127.0.0.1:2', 'drop-3:1', 'drop-4:1', 'drop-5:1']}}]\n  {drop}\n"
        ),
    )
    .expect("written");
    let mut command = server::command(env!("CARGO_BIN_EXE_titan"), folder.path(), port);
    let running = server::start(&mut command, port);
    wait_for(port, "/api/v1/targets", |answer| {
        answer.body.contains("127.0.0.1:1") && answer.body.contains("127.0.0.1:2")
    });
    let addresses = |targets: &Value| -> Vec<String> {
        let list = targets.as_array().expect("a list");
        let address = |target: &Value| {
            let labels = &target["discoveredLabels"];
            labels["__address__"]
                .as_str()
                .expect("an address")
                .to_string()
        };
        list.iter().map(address).collect()
    };
    let counts = json!({"a": 2, "b": 3});
    for (parameters, active, dropped, counted) in [
        (
            "",
            &["127.0.0.1:1", "127.0.0.1:2"][..],
            &["drop-1:1", "drop-2:1", "drop-3:1"][..],
            &counts,
        ),
        (
            "state=any",
            &["127.0.0.1:1", "127.0.0.1:2"],
            &["drop-1:1", "drop-2:1", "drop-3:1"],
            &counts,
        ),
        (
            "state=Active",
            &["127.0.0.1:1", "127.0.0.1:2"],
            &[],
            &Value::Null,
        ),
        (
            "state=dropped",
            &[],
            &["drop-1:1", "drop-2:1", "drop-3:1"],
            &counts,
        ),
        ("state=nowhere", &[], &[], &Value::Null),
        ("scrapePool=b", &["127.0.0.1:2"], &["drop-3:1"], &counts),
        (
            "scrapePool=a&state=dropped",
            &[],
            &["drop-1:1", "drop-2:1"],
            &counts,
        ),
        ("scrapePool=c", &[], &[], &counts),
    ] {
        let answer = get(port, &format!("/api/v1/targets?{parameters}"));
        let reply: Value = serde_json::from_str(&answer.body).expect("JSON");
        let data = &reply["data"];
        assert_eq!(addresses(&data["activeTargets"]), active, "{parameters}");
        assert_eq!(addresses(&data["droppedTargets"]), dropped, "{parameters}");
        assert_eq!(&data["droppedTargetCounts"], counted, "{parameters}");
    }
    running.stop();
}
