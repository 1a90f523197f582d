//! `titan up`: the stack on this machine.

use std::process::Command;

use serde_json::Value;
use testkit::child::Running;
use testkit::http::{escape, get, wait_for};

const TITAN: &str = env!("CARGO_BIN_EXE_titan");

/// An offset that had all ports free a moment ago.
fn free_offset() -> u16 {
    (0..200)
        .map(|_| testkit::free_port() % 20_000 + 20_000)
        .find(|offset| {
            [9090, 9091, 9100]
                .iter()
                .all(|port| std::net::TcpListener::bind(("127.0.0.1", port + offset)).is_ok())
        })
        .expect("free ports")
}

fn result(port: u16, expr: &str) -> Vec<Value> {
    let answer = get(port, &format!("/api/v1/query?query={}", escape(expr)));
    let reply: Value = serde_json::from_str(&answer.body).expect("json");
    reply["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn watches_itself_and_the_machine_and_goes_on_with_its_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let offset = free_offset();
    let data = folder.path().join("titan-data");
    let start = || {
        let mut command = Command::new(TITAN);
        command.args([
            "up",
            &format!("--data-dir={}", data.display()),
            &format!("--port-offset={offset}"),
        ]);
        Running::start(&mut command)
    };
    let running = start();
    let port = 9090 + offset;
    // Both servers scrape each other and the machine, and both evaluate the rules.
    let all_up = format!("/api/v1/query?query={}", escape("sum(up) == 3"));
    for port in [port, port + 1] {
        wait_for(port, &all_up, |answer| answer.body.contains("\"3\""));
        wait_for(port, "/api/v1/rules?type=alert", |answer| {
            answer.body.contains("TargetDown") && answer.body.contains("\"health\":\"ok\"")
        });
        let config = get(port, "/api/v1/status/config").body;
        let replica = format!("prometheus_replica: prometheus-{}", port - 9090 - offset);
        assert!(config.contains(&replica), "{config}");
    }
    assert_eq!(result(port, "node_load1").len(), 1);
    assert!(
        get(9100 + offset, "/metrics")
            .body
            .contains("\nnode_cpu_seconds_total{")
    );
    running.kill();
    let running = start();
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    assert_eq!(
        result(port, "count_over_time(node_load1[10m])").len(),
        1,
        "the data is still there"
    );
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn links_make_it_another_program() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, says) in [
        ("prometheus", "prometheus, version "),
        ("promtool", "promtool, version "),
        ("node_exporter", "node_exporter, version "),
    ] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(TITAN, &link).expect("a link");
        let output = Command::new(&link).arg("--version").output().expect("runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(text.starts_with(says), "{name}: {text}");
    }
    let output = Command::new(TITAN).arg("--help").output().expect("runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("titan PART"));
    let output = Command::new(TITAN).arg("nope").output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
}
