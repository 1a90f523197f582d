//! What alerts remember: `for` over a restart and over kill -9, and how long they are kept firing.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::child::Running;
use testkit::free_port;
use testkit::http::{get, request, wait_for};
use testkit::server;

fn start(folder: &Path, port: u16) -> Running {
    let mut command = server::command(env!("CARGO_BIN_EXE_titan"), folder, port);
    command.args([
        "--web.enable-lifecycle",
        "--rules.alert.for-grace-period=1s",
    ]);
    server::start(&mut command, port)
}

fn configure(folder: &Path, rules: &str) {
    std::fs::write(folder.join("prometheus.yml"), "rule_files: [rules.yml]\n").expect("written");
    std::fs::write(folder.join("rules.yml"), rules).expect("written");
}

/// The one alert of a rule.
fn alert(port: u16, name: &str) -> Option<Value> {
    let reply: Value = serde_json::from_str(&get(port, "/api/v1/alerts").body).expect("JSON");
    let alerts = reply["data"]["alerts"].as_array().expect("a list").clone();
    let mut named = alerts
        .into_iter()
        .filter(|a| a["labels"]["alertname"] == name);
    named.next()
}

fn wait_for_alert(port: u16, name: &str, enough: impl Fn(Option<&Value>) -> bool) -> Option<Value> {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let found = alert(port, name);
        if enough(found.as_ref()) {
            return found;
        }
        assert!(Instant::now() < until, "{name}: {found:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Seconds of the day of `2026-01-02T03:04:05.678Z`.
fn seconds(time: &Value) -> f64 {
    let text = time.as_str().expect("a time");
    let number = |from: usize, to: usize| text[from..to].parse::<f64>().expect("digits");
    let fraction = text[19..].trim_end_matches('Z');
    let fraction: f64 = if fraction.is_empty() {
        0.0
    } else {
        fraction.parse().expect("digits")
    };
    number(11, 13) * 3600.0 + number(14, 16) * 60.0 + number(17, 19) + fraction
}

/// From one time of day to a later one.
fn between(earlier: f64, later: f64) -> f64 {
    (later - earlier).rem_euclid(86_400.0)
}

#[test]
fn a_pending_alert_goes_on_where_it_was_after_a_stop_and_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    configure(
        folder.path(),
        "groups:\n- name: g\n  interval: 200ms\n  rules:\n  - {alert: Long, expr: vector(1), for: 1h, labels: {severity: page}}\n  - {alert: Soon, expr: vector(1), for: 4s}\n  - {alert: Short, expr: vector(1), for: 500ms}\n",
    );
    let port = free_port();
    let mut running = start(folder.path(), port);
    let first = wait_for_alert(port, "Long", |a| a.is_some()).expect("an alert");
    let first = seconds(&first["activeAt"]);
    wait_for_alert(port, "Soon", |a| a.is_some_and(|a| a["state"] == "firing"));
    for kill in [false, true] {
        // Written by this run: what the one before wrote is older, for the time between them.
        let fresh = "timestamp(ALERTS_FOR_STATE{alertname=\"Long\"}) > time() - 1";
        let written = format!("/api/v1/query?query={}", testkit::http::escape(fresh));
        wait_for(port, &written, |answer| {
            answer.body.contains("\"severity\":\"page\"")
        });
        let before = alert(port, "Long").expect("still there");
        if kill {
            running.kill();
        } else {
            let (code, log) = running.stop();
            assert_eq!(code, Some(0), "{log}");
        }
        let down = Instant::now();
        std::thread::sleep(Duration::from_millis(1500));
        running = start(folder.path(), port);
        // Restored after the second evaluation: moved on by the time that nobody looked.
        let old = seconds(&before["activeAt"]);
        let restored = wait_for_alert(port, "Long", |a| {
            a.is_some_and(|a| {
                between(first, seconds(&a["activeAt"]))
                    < down.elapsed().as_secs_f64() + between(first, old)
            })
        });
        let restored = restored.expect("an alert");
        assert_eq!(restored["state"], "pending");
        // A second and a half, less the fraction of a second that ALERTS_FOR_STATE leaves out.
        let moved = between(old, seconds(&restored["activeAt"]));
        assert!(
            (0.5..down.elapsed().as_secs_f64() + 2.0).contains(&moved),
            "moved by {moved} s"
        );
        // What had fired is not told anew as pending for another four seconds.
        let soon = wait_for_alert(port, "Soon", |a| a.is_some_and(|a| a["state"] == "firing"));
        assert!(seconds(&soon.expect("fires")["activeAt"]) <= seconds(&restored["activeAt"]) + 1.0);
    }
    // Shorter than the grace period: begun anew.
    let short = alert(port, "Short").expect("there");
    assert!(between(first, seconds(&short["activeAt"])) > 3.0, "{short}");
    running.stop();
}

#[test]
fn keep_firing_for_keeps_value_and_annotations() {
    let folder = tempfile::tempdir().expect("a folder");
    // The alert follows the second: three seconds on, seven off.
    let rules = |keep: &str| {
        format!(
            "groups:\n- name: g\n  interval: 100ms\n  rules:\n  - alert: K\n    expr: vector(time()) % 10 < 3\n    {keep}\n    annotations: {{at: '{{{{ $value }}}}'}}\n"
        )
    };
    configure(folder.path(), &rules("keep_firing_for: 3s"));
    let port = free_port();
    let running = start(folder.path(), port);
    let kept = wait_for_alert(port, "K", |a| {
        a.is_some_and(|a| a["keepFiringSince"].is_string())
    });
    let kept = kept.expect("an alert");
    assert_eq!(kept["state"], "firing");
    let value: f64 = kept["value"]
        .as_str()
        .and_then(|v| v.parse().ok())
        .expect("a value");
    assert!(
        (2.0..3.0).contains(&value),
        "the last value while it was true: {kept}"
    );
    let annotated: f64 = kept["annotations"]["at"]
        .as_str()
        .and_then(|v| v.parse().ok())
        .expect("a value");
    assert!((annotated - value).abs() < 1e-9, "{kept}");
    let rule: Value = serde_json::from_str(&get(port, "/api/v1/rules").body).expect("JSON");
    let rule = &rule["data"]["groups"][0]["rules"][0];
    assert_eq!(
        (&rule["keepFiringFor"], &rule["state"]),
        (&Value::from(3), &Value::from("firing"))
    );
    let since = seconds(&kept["keepFiringSince"]);
    let gone = |a: Option<&Value>| a.is_none();
    wait_for_alert(port, "K", gone);
    let runtime: Value =
        serde_json::from_str(&get(port, "/api/v1/status/runtimeinfo").body).expect("JSON");
    let lasted = between(since, seconds(&runtime["data"]["serverTime"]));
    assert!(lasted >= 2.9, "kept for {lasted} s");
    // Without it, the alert ends with its expression.
    configure(folder.path(), &rules(""));
    assert_eq!(
        request(port, "POST", "/-/reload")
            .expect("an answer")
            .status,
        200
    );
    wait_for_alert(port, "K", |a| a.is_some());
    let last = wait_for_alert(port, "K", gone);
    assert!(last.is_none());
    running.stop();
}
