//! `/api/v1/rules` of the built binary: pages, filters, and what it refuses, in upstream's words.

use std::process::Command;

use serde_json::Value;
use testkit::child::Running;
use testkit::free_port;
use testkit::http::{escape, get, wait_for};
use testkit::server;

const RULES: [(&str, &str); 2] = [
    (
        "a.yml",
        "groups:\n- name: one\n  interval: 200ms\n  rules:\n  - {record: r1, expr: vector(1), labels: {team: x}}\n  - {alert: A1, expr: vector(1), labels: {team: x, severity: page}, annotations: {s: t}}\n- name: two\n  rules: [{alert: A2, expr: vector(0) > 1, labels: {team: y}, for: 90s}]\n",
    ),
    (
        "b.yml",
        "groups:\n- name: one\n  limit: 7\n  rules: [{record: r1, expr: vector(2)}, {record: r2, expr: vector(3), labels: {team: 'z'}}]\n- name: three\n  rules: [{alert: A1, expr: vector(1) == 2, labels: {team: '{{ $value }}'}}]\n",
    ),
];

struct Server {
    port: u16,
    folder: tempfile::TempDir,
    _running: Running,
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        for (file, text) in RULES {
            std::fs::write(folder.path().join(file), text).expect("written");
        }
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, "rule_files: [a.yml, b.yml]\n").expect("written");
        let port = free_port();
        let mut command = server::command(env!("CARGO_BIN_EXE_titan"), folder.path(), port);
        let running = server::start(&mut command, port);
        Server {
            port,
            folder,
            _running: running,
        }
    }

    fn rules(&self, parameters: &str) -> Value {
        let answer = get(self.port, &format!("/api/v1/rules?{parameters}"));
        assert_eq!(answer.status, 200, "{parameters}: {}", answer.body);
        let mut reply: Value = serde_json::from_str(&answer.body).expect("JSON");
        reply["data"].take()
    }

    /// `FILE/GROUP: RULE RULE`, one for each group.
    fn shown(&self, parameters: &str) -> Vec<String> {
        let data = self.rules(parameters);
        let groups = data["groups"].as_array().expect("a list");
        let text = |value: &Value| value.as_str().expect("a text").to_string();
        let of = |group: &Value| {
            let rules = group["rules"].as_array().expect("a list");
            let names: Vec<String> = rules.iter().map(|rule| text(&rule["name"])).collect();
            let file = text(&group["file"]);
            let file = file.rsplit('/').next().expect("a name");
            format!("{file}/{}: {}", text(&group["name"]), names.join(" "))
        };
        groups.iter().map(of).collect()
    }

    fn refusal(&self, parameters: &str) -> String {
        let answer = get(self.port, &format!("/api/v1/rules?{parameters}"));
        assert_eq!(answer.status, 400, "{parameters}: {}", answer.body);
        let reply: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(reply["errorType"], "bad_data");
        reply["error"].as_str().expect("a text").to_string()
    }
}

#[test]
fn filters_leave_what_is_asked_for() {
    let server = Server::start();
    let file = |name: &str| escape(&server.folder.path().join(name).display().to_string());
    let all = [
        "a.yml/one: r1 A1",
        "a.yml/two: A2",
        "b.yml/one: r1 r2",
        "b.yml/three: A1",
    ];
    let cases: [(String, &[&str]); 16] = [
        (
            String::new(),
            &[
                "a.yml/one: r1 A1",
                "a.yml/two: A2",
                "b.yml/one: r1 r2",
                "b.yml/three: A1",
            ],
        ),
        (
            "type=alert".into(),
            &["a.yml/one: A1", "a.yml/two: A2", "b.yml/three: A1"],
        ),
        ("type=RECORD".into(), &["a.yml/one: r1", "b.yml/one: r1 r2"]),
        ("rule_name[]=r1".into(), &["a.yml/one: r1", "b.yml/one: r1"]),
        (
            "rule_name[]=r2&rule_name[]=A2".into(),
            &["a.yml/two: A2", "b.yml/one: r2"],
        ),
        ("rule_name[]=nobody".into(), &[]),
        (
            "rule_group[]=one".into(),
            &["a.yml/one: r1 A1", "b.yml/one: r1 r2"],
        ),
        ("rule_group[]=one&rule_name[]=A1".into(), &["a.yml/one: A1"]),
        (
            format!("file[]={}", file("b.yml")),
            &["b.yml/one: r1 r2", "b.yml/three: A1"],
        ),
        (
            format!("file[]={}&rule_group[]=three", file("b.yml")),
            &["b.yml/three: A1"],
        ),
        (
            format!("file[]={}&file[]={}", file("a.yml"), file("b.yml")),
            &all,
        ),
        ("file[]=b.yml".into(), &[]),
        (
            format!("match[]={}", escape("{team=\"x\"}")),
            &["a.yml/one: r1 A1"],
        ),
        (
            format!("match[]={}", escape("{team=\"x\",severity=\"page\"}")),
            &["a.yml/one: A1"],
        ),
        (
            format!(
                "match[]={}&match[]={}",
                escape("{team=\"y\"}"),
                escape("{team=~\"z\"}")
            ),
            &["a.yml/two: A2", "b.yml/one: r2"],
        ),
        (
            format!("match[]={}&type=alert", escape("{team=~\".+\"}")),
            &["a.yml/one: A1", "a.yml/two: A2", "b.yml/three: A1"],
        ),
    ];
    for (parameters, expected) in &cases {
        assert_eq!(server.shown(parameters), *expected, "{parameters}");
    }
}

#[test]
fn pages_follow_each_other() {
    let server = Server::start();
    assert_eq!(server.rules("")["groupNextToken"], Value::Null);
    for (filter, limit) in [
        ("", 1),
        ("", 2),
        ("", 3),
        ("type=record", 1),
        ("type=alert", 2),
    ] {
        let whole = server.shown(filter);
        let mut paged = Vec::new();
        let mut token = String::new();
        let mut pages = 0;
        loop {
            let parameters = format!("{filter}&group_limit={limit}{token}");
            let page = server.shown(&parameters);
            assert!((1..=limit).contains(&page.len()), "{parameters}: {page:?}");
            paged.extend(page);
            pages += 1;
            match server.rules(&parameters)["groupNextToken"].as_str() {
                Some(next) => {
                    assert!(
                        next.len() == 64 && next.bytes().all(|b| b.is_ascii_hexdigit()),
                        "{next}"
                    );
                    token = format!("&group_next_token={next}");
                }
                None => break,
            }
        }
        assert_eq!(paged, whole, "{filter}, {limit} at a time");
        assert_eq!(
            pages,
            whole.len().div_ceil(limit),
            "no empty page at the end"
        );
    }
    // SHA-256 of `file;group`, as upstream has it: tokens go on where one server is replaced by the other.
    let next = server.rules("group_limit=1")["groupNextToken"].clone();
    let name = format!("{};two", server.folder.path().join("a.yml").display());
    let digest = Command::new("sha256sum")
        .stdin({
            let path = server.folder.path().join("name");
            std::fs::write(&path, name).expect("written");
            std::fs::File::open(path).expect("opened")
        })
        .output()
        .expect("runs");
    assert!(String::from_utf8_lossy(&digest.stdout).starts_with(next.as_str().expect("a token")));
}

#[test]
fn wrong_parameters_are_refused_in_upstreams_words() {
    let server = Server::start();
    for (parameters, error) in [
        (
            "type=both",
            r#"invalid parameter "type": not supported value "both""#,
        ),
        (
            "exclude_alerts=Maybe",
            r#"invalid parameter "exclude_alerts": error converting exclude_alerts: strconv.ParseBool: parsing "maybe": invalid syntax"#,
        ),
        (
            "group_limit=0",
            r#"invalid parameter "group_limit": group_limit needs to be greater than 0"#,
        ),
        (
            "group_limit=-3",
            r#"invalid parameter "group_limit": group_limit needs to be greater than 0"#,
        ),
        (
            "group_limit=x",
            r#"invalid parameter "group_limit": group_limit needs to be a valid number: strconv.ParseInt: parsing "x": invalid syntax"#,
        ),
        (
            "group_limit=9999999999",
            r#"invalid parameter "group_limit": group_limit needs to be a valid number: strconv.ParseInt: parsing "9999999999": value out of range"#,
        ),
        (
            "group_next_token=abc",
            r#"invalid parameter "group_next_token": group_limit needs to be present in order to paginate over the groups"#,
        ),
        (
            "group_limit=1&group_next_token=abc",
            r#"invalid parameter "group_next_token": invalid group_next_token 'abc'. were rule groups changed?"#,
        ),
        (
            "match[]={a=~%22.*%22}",
            "match[] must contain at least one non-empty matcher",
        ),
    ] {
        assert_eq!(server.refusal(parameters), error, "{parameters}");
    }
    let unparsed = server.refusal("match[]={a");
    assert!(unparsed.contains("parse error"), "{unparsed}");
}

#[test]
fn rules_and_alerts_have_upstreams_fields() {
    let server = Server::start();
    wait_for(server.port, "/api/v1/rules", |answer| {
        answer.body.contains("\"state\":\"firing\"")
    });
    let data = server.rules("");
    let group = &data["groups"][0];
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<String> = value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(
        keys(group),
        [
            "evaluationTime",
            "file",
            "interval",
            "lastEvaluation",
            "limit",
            "name",
            "rules"
        ]
    );
    assert_eq!(
        (&group["interval"], &group["limit"]),
        (&Value::from(0.2), &Value::from(0))
    );
    assert_eq!(data["groups"][2]["limit"], 7);
    let (recording, alerting) = (&group["rules"][0], &group["rules"][1]);
    assert_eq!(
        keys(recording),
        [
            "evaluationTime",
            "health",
            "labels",
            "lastEvaluation",
            "name",
            "query",
            "type"
        ]
    );
    assert_eq!(
        keys(alerting),
        [
            "alerts",
            "annotations",
            "duration",
            "evaluationTime",
            "health",
            "keepFiringFor",
            "labels",
            "lastEvaluation",
            "name",
            "query",
            "state",
            "type"
        ]
    );
    assert_eq!(recording["type"], "recording");
    assert_eq!(
        (&alerting["type"], &alerting["state"], &alerting["health"]),
        (
            &Value::from("alerting"),
            &Value::from("firing"),
            &Value::from("ok")
        )
    );
    let alert = &alerting["alerts"][0];
    assert_eq!(
        keys(alert),
        ["activeAt", "annotations", "labels", "state", "value"]
    );
    assert_eq!(alert["value"], "1e+00");
    assert_eq!(
        alert["labels"],
        serde_json::json!({"alertname": "A1", "severity": "page", "team": "x"})
    );
    let quiet = &data["groups"][1]["rules"][0];
    assert_eq!(
        (&quiet["alerts"], &quiet["duration"]),
        (&serde_json::json!([]), &Value::from(90))
    );
    for excluded in ["true", "1", "T", "tRuE"] {
        let data = server.rules(&format!("exclude_alerts={excluded}&type=alert"));
        for group in data["groups"].as_array().expect("a list") {
            for rule in group["rules"].as_array().expect("a list") {
                assert_eq!(rule["alerts"], Value::Null, "{rule}");
            }
        }
    }
    let listed = server.rules("exclude_alerts=false");
    assert_eq!(
        listed["groups"][0]["rules"][1]["alerts"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}
