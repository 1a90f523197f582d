//! Rules end to end: unit tests of rules as upstream's files have them, our own rules, and alerts at the real Alertmanager.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use testkit::child::Running;
use testkit::http::{get, wait_for};
use testkit::{conformance, free_port, peers, project_root};

const TITAN: &str = env!("CARGO_BIN_EXE_titan");

fn promtool(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(TITAN)
        .arg("promtool")
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Upstream's test files with the exit codes that their names promise.
const FILES: [(&str, i32); 15] = [
    ("at-modifier-test.yml", 0),
    ("bad-input-series.yml", 1),
    ("bad-promql.yml", 1),
    ("bad-rules-error-test.yml", 1),
    ("bad-rules-syntax-test.yml", 1),
    ("failing.yml", 1),
    ("long-period.yml", 0),
    ("negative-offset-test.yml", 0),
    ("no-test-group-interval.yml", 0),
    ("rules_run.yml", 1),
    ("rules_run_extrafields.yml", 1),
    ("rules_run_fuzzy.yml", 1),
    ("rules_run_no_fuzzy.yml", 1),
    ("start-time-test.yml", 0),
    ("unittest.yml", 0),
];

#[test]
fn upstreams_unit_tests_end_as_they_should() {
    let Some(dir) = conformance("promtool") else {
        return;
    };
    for (file, code) in FILES {
        let output = promtool(&dir, &["test", "rules", file]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{file}: {}",
            text(&output.stderr)
        );
    }
    for (arguments, code) in [
        (&["test", "rules", "--run=^correct", "rules_run.yml"][..], 0),
        (&["test", "rules", "--run=wrong", "rules_run.yml"], 1),
        (
            &[
                "test",
                "rules",
                "--run=correct",
                "--run=nothing",
                "rules_run_fuzzy.yml",
            ],
            0,
        ),
        (
            &[
                "test",
                "rules",
                "--ignore-unknown-fields",
                "rules_run_extrafields.yml",
            ],
            0,
        ),
        (&["check", "rules", "rules.yml"], 0),
        (&["check", "rules", "rules-bad.yml"], 1),
        (&["check", "rules", "rules_extrafields.yml"], 1),
        (
            &[
                "check",
                "rules",
                "--ignore-unknown-fields",
                "rules_extrafields.yml",
            ],
            0,
        ),
        (
            &[
                "check",
                "rules",
                "--lint-fatal",
                "prometheus-rules.lint.yml",
            ],
            3,
        ),
        (
            &[
                "check",
                "rules",
                "--lint-fatal",
                "--lint=none",
                "prometheus-rules.lint.yml",
            ],
            0,
        ),
    ] {
        let output = promtool(&dir, arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
}

/// Files whose features the real tool knows too: the same text on both streams.
#[test]
fn outputs_are_those_of_the_real_tool() {
    let Some(dir) = conformance("promtool") else {
        return;
    };
    let Some(real) = peers::find("promtool") else {
        return;
    };
    for arguments in [
        &["test", "rules", "failing.yml"][..],
        &["test", "rules", "rules_run.yml"],
        &["test", "rules", "at-modifier-test.yml"],
        &["test", "rules", "bad-rules-syntax-test.yml"],
        &["test", "rules", "bad-input-series.yml"],
        &["check", "rules", "rules.yml"],
        &["check", "rules", "rules-bad.yml"],
        &["check", "rules", "rules_duplicates.yml"],
        &["check", "rules", "prometheus-rules.lint.yml"],
    ] {
        let ours = promtool(&dir, arguments);
        let theirs = Command::new(&real)
            .args(arguments)
            .current_dir(&dir)
            .output()
            .expect("runs");
        // The real one that is at hand is older: it announces a file of tests otherwise, and ends a file of rules that
        // does not load with an empty line.
        let theirs_out = text(&theirs.stdout).replace("Unit Testing:  ", "Processing test file: ");
        let ours_out = text(&ours.stdout).to_string();
        if arguments[0] == "test" {
            assert_eq!(ours_out, theirs_out, "{arguments:?}");
        } else {
            assert_eq!(ours_out.trim_end(), theirs_out.trim_end(), "{arguments:?}");
        }
        assert_eq!(text(&ours.stderr), text(&theirs.stderr), "{arguments:?}");
        assert_eq!(ours.status.code(), theirs.status.code(), "{arguments:?}");
    }
}

#[test]
fn wrong_tests_are_told_in_upstreams_words() {
    let folder = tempfile::tempdir().expect("a folder");
    for (tests, said) in [
        (
            "group_eval_order: [g, h, g]\n",
            "  FAILED:\ngroup name repeated in evaluation order: g\n",
        ),
        (
            "tests: [{name: t, alert_rule_test: [{eval_time: 5m}]}]\n",
            "  FAILED:\nan item under alert_rule_test misses required attribute alertname at eval_time 5m (in TestGroup t)\n",
        ),
        (
            "tests: [{start_timestamp: soon}]\n",
            "  FAILED:\ncannot parse \"soon\" to a valid timestamp\n",
        ),
        (
            "rule_files: [none.yml]\n",
            "  WARNING: no file match pattern none.yml\n",
        ),
        (
            "tests: a\n",
            "  FAILED:\nyaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `a` into []main.testGroup\n",
        ),
    ] {
        std::fs::write(folder.path().join("t.yml"), tests).expect("written");
        let output = promtool(folder.path(), &["test", "rules", "t.yml"]);
        assert_eq!(text(&output.stderr), said, "{tests}");
        assert_eq!(output.status.success(), said.contains("WARNING"), "{tests}");
    }
}

#[test]
fn results_for_machines() {
    let folder = tempfile::tempdir().expect("a folder");
    let tests = "tests:\n- name: good <1>\n  promql_expr_test:\n  - {expr: '1', eval_time: 0, exp_samples: [{value: 1}]}\n- name: bad\n  promql_expr_test:\n  - {expr: '1', eval_time: 0, exp_samples: [{value: 2}]}\n";
    std::fs::write(folder.path().join("t.yml"), tests).expect("written");
    let output = promtool(
        folder.path(),
        &["test", "--junit=out.xml", "rules", "t.yml"],
    );
    assert_eq!(output.status.code(), Some(1));
    let xml = std::fs::read_to_string(folder.path().join("out.xml")).expect("written");
    assert!(
        xml.contains("<testsuite name=\"t.yml\" tests=\"2\" failures=\"1\" errors=\"0\""),
        "{xml}"
    );
    assert!(
        xml.contains("<testcase name=\"good &lt;1&gt;\"></testcase>"),
        "{xml}"
    );
    assert!(
        xml.contains("<failure>    expr: &#34;1&#34;, time: 0s,"),
        "{xml}"
    );
}

#[test]
fn our_own_rules_hold() {
    let dir = project_root().join("deploy/rules");
    for folder in [dir.clone(), dir.join("tests")] {
        let mut files: Vec<String> = std::fs::read_dir(&folder)
            .expect("readable")
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "yml"))
            .map(|path| path.display().to_string())
            .collect();
        files.sort();
        assert!(files.len() >= 2, "{files:?}");
        let command = if folder == dir { "check" } else { "test" };
        let mut arguments = vec![command, "rules"];
        arguments.extend(files.iter().map(String::as_str));
        let output = promtool(&dir, &arguments);
        assert!(
            output.status.success(),
            "{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
}

struct Replica {
    folder: tempfile::TempDir,
    port: u16,
    running: Running,
}

/// A server that takes a file for its target list, so that a test says what is up.
fn replica(name: &str, alertmanager: u16, target: u16, flags: &[&str]) -> Replica {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let config = format!(
        "global:\n  scrape_interval: 500ms\n  evaluation_interval: 500ms\n  external_labels: {{cluster: c1, prometheus_replica: {name}}}\nrule_files: ['*.rules.yml']\nscrape_configs:\n- job_name: j\n  static_configs: [{{targets: ['127.0.0.1:{target}'], labels: {{instance: i}}}}]\nalerting:\n  alert_relabel_configs: [{{action: labeldrop, regex: prometheus_replica}}]\n  alertmanagers:\n  - static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]\n"
    );
    let rules = "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: up == 0\n    labels: {severity: page}\n    annotations: {summary: '{{ $labels.instance }} of {{ $externalLabels.cluster }}'}\n";
    std::fs::write(folder.path().join("prometheus.yml"), config).expect("written");
    std::fs::write(folder.path().join("a.rules.yml"), rules).expect("written");
    let mut command = Command::new(TITAN);
    command.arg("prometheus").args([
        format!(
            "--config.file={}",
            folder.path().join("prometheus.yml").display()
        ),
        format!(
            "--storage.tsdb.path={}",
            folder.path().join("data").display()
        ),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--rules.alert.resend-delay=1s".into(),
        "--web.enable-lifecycle".into(),
    ]);
    command.args(flags);
    let running = Running::start(&mut command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    Replica {
        folder,
        port,
        running,
    }
}

fn json(port: u16, path: &str) -> Value {
    let answer = get(port, path);
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.body))
}

fn metric(port: u16, name: &str) -> f64 {
    get(port, "/metrics")
        .body
        .lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn two_replicas_at_the_real_alertmanager() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut command) = peers::alertmanager(folder.path()) else {
        return;
    };
    let config = "route: {receiver: none, group_by: [alertname], group_wait: 1s}\nreceivers: [{name: none}]\n";
    std::fs::write(folder.path().join("am.yml"), config).expect("written");
    let port = free_port();
    command.args([
        format!("--config.file={}", folder.path().join("am.yml").display()),
        format!("--storage.path={}", folder.path().join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--cluster.listen-address=".into(),
    ]);
    let alertmanager = Running::start(&mut command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);

    let target = free_port();
    let (a, b) = (
        replica("a", port, target, &[]),
        replica("b", port, target, &[]),
    );
    for replica in [&a, &b] {
        wait_for(replica.port, "/metrics", |answer| {
            answer.body.lines().any(|line| {
                line.starts_with("prometheus_notifications_sent_total{") && !line.ends_with(" 0")
            })
        });
    }
    let groups = json(port, "/api/v2/alerts/groups");
    let alerts = groups[0]["alerts"].as_array().expect("alerts");
    assert_eq!(alerts.len(), 1, "the replicas' alerts are one: {groups}");
    assert_eq!(
        alerts[0]["labels"],
        serde_json::json!({"alertname": "Down", "cluster": "c1", "instance": "i", "job": "j", "severity": "page"})
    );
    assert_eq!(alerts[0]["annotations"]["summary"], "i of c1");
    let link = alerts[0]["generatorURL"].as_str().expect("a link");
    assert!(
        link.ends_with("/graph?g0.expr=up+%3D%3D+0&g0.tab=1"),
        "{link}"
    );
    let known = json(a.port, "/api/v1/alertmanagers");
    assert_eq!(
        known["data"]["activeAlertmanagers"][0]["url"],
        format!("http://127.0.0.1:{port}/api/v2/alerts")
    );

    // The target comes up: both say so, and the alert is over.
    let listener = std::net::TcpListener::bind(("127.0.0.1", target)).expect("the port is free");
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\nContent-Length: 4\r\n\r\nm 1\n");
        }
    });
    for replica in [&a, &b] {
        wait_for(replica.port, "/api/v1/rules", |answer| {
            answer.body.contains("\"state\":\"inactive\"")
        });
    }
    wait_for(port, "/api/v2/alerts", |answer| answer.body.trim() == "[]");
    let paged = json(
        a.port,
        "/api/v1/rules?group_limit=1&type=alert&exclude_alerts=true",
    );
    assert_eq!(
        paged["data"]["groups"][0]["rules"][0]["alerts"],
        Value::Null
    );
    for replica in [a, b] {
        let (code, log) = replica.running.stop();
        assert_eq!(code, Some(0), "{log}");
        assert!(replica.folder.path().is_dir());
    }
    alertmanager.stop();
}

#[test]
fn an_alertmanager_that_is_away_costs_a_bounded_queue_and_is_told() {
    // Nobody answers there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("its address").port();
    let flags = [
        "--alertmanager.notification-queue-capacity=1",
        "--no-alertmanager.drain-notification-queue-on-shutdown",
    ];
    let replica = replica("a", port, free_port(), &flags);
    wait_for(replica.port, "/metrics", |answer| {
        answer.body.lines().any(|line| {
            line.starts_with("prometheus_notifications_dropped_total{") && !line.ends_with(" 0")
        })
    });
    assert_eq!(
        metric(replica.port, "prometheus_notifications_queue_capacity"),
        1.0
    );
    assert!(metric(replica.port, "prometheus_notifications_queue_length") <= 1.0);
    drop(nobody);
    wait_for(replica.port, "/metrics", |answer| {
        answer.body.lines().any(|line| {
            line.starts_with("prometheus_notifications_errors_total{") && !line.ends_with(" 0")
        })
    });
    // A reload with wrong rules changes nothing; one with right rules does.
    let rules = replica.folder.path().join("a.rules.yml");
    let good = std::fs::read_to_string(&rules).expect("readable");
    std::fs::write(&rules, good.replace("up == 0", "up == ")).expect("written");
    let answer = testkit::http::request(replica.port, "POST", "/-/reload").expect("answered");
    assert_eq!(answer.status, 500);
    assert!(
        answer.body.contains("could not parse expression"),
        "{}",
        answer.body
    );
    let groups = json(replica.port, "/api/v1/rules");
    assert_eq!(groups["data"]["groups"][0]["rules"][0]["state"], "firing");
    std::fs::write(&rules, good.replace("name: g", "name: h")).expect("written");
    let answer = testkit::http::request(replica.port, "POST", "/-/reload").expect("answered");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(
        json(replica.port, "/api/v1/rules")["data"]["groups"][0]["name"],
        "h"
    );
    let (code, log) = replica.running.stop();
    assert_eq!(code, Some(0));
    for line in [
        "Alert notification queue full, dropping alerts",
        "Error sending alerts",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
}
