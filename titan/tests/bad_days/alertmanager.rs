//! An Alertmanager that is away and comes back.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::child::Running;
use testkit::free_port;
use testkit::http::wait_for;

use crate::world::{command, json, metric, say, target};

/// Takes alerts on a port; gives what it has got so far.
fn receiver(port: u16) -> Arc<Mutex<Vec<Value>>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    let got = Arc::new(Mutex::new(Vec::new()));
    let own = got.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let own = own.clone();
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut part = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut part) {
                    bytes.extend_from_slice(&part[..n]);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else {
                        continue;
                    };
                    let length = head.to_ascii_lowercase();
                    let length = length
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                        .unwrap_or(0);
                    if body.len() < length {
                        continue;
                    }
                    let batch: Vec<Value> = serde_json::from_str(body).expect("a list of alerts");
                    own.lock().expect("no panic before").extend(batch);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    bytes.clear();
                }
            });
        }
    });
    got
}

#[test]
fn alerts_that_still_fire_arrive_after_an_outage_and_resolved_ones_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    // The page says which alerts there are.
    let page = Arc::new(Mutex::new(
        "a{n=\"stays\"} 1\na{n=\"ends\"} 1\n".to_string(),
    ));
    let shown = page.clone();
    let address = target(move |stream, _| {
        let page = shown.lock().expect("no panic before").clone();
        say(stream, "200 OK", page.as_bytes());
    });
    std::fs::write(
        folder.path().join("rules.yml"),
        "groups:\n- {name: g, interval: 200ms, rules: [{alert: A, expr: a == 1}]}\n",
    )
    .expect("written");
    let (port, away) = (free_port(), free_port());
    let config = format!(
        "rule_files: [rules.yml]\nscrape_configs:\n- {{job_name: j, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{{targets: ['{address}']}}]}}\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{away}']}}]}}]}}\n"
    );
    let mut command = command(folder.path(), port, &config);
    command.args([
        "--rules.alert.resend-delay=400ms",
        "--alertmanager.notification-queue-capacity=3",
    ]);
    let running = Running::start(&mut command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    wait_for(port, "/metrics", |_| {
        metric(port, "prometheus_notifications_errors_total") >= 4.0
    });
    assert!(metric(port, "prometheus_notifications_queue_length") <= 3.0);
    assert!(
        metric(port, "prometheus_notifications_dropped_total")
            >= metric(port, "prometheus_notifications_errors_total"),
        "what could not be sent is counted as dropped"
    );
    assert_eq!(metric(port, "prometheus_notifications_sent_total"), 0.0);
    // One ends while nobody can be told.
    *page.lock().expect("no panic before") = "a{n=\"stays\"} 1\n".into();
    wait_for(port, "/api/v1/alerts", |answer| {
        !answer.body.contains("ends")
    });

    let got = receiver(away);
    let until = Instant::now() + Duration::from_secs(60);
    let of = |name: &str| -> Vec<Value> {
        let got = got.lock().expect("no panic before");
        let named = got.iter().filter(|alert| alert["labels"]["n"] == name);
        named.cloned().collect()
    };
    while of("stays").is_empty() || of("ends").is_empty() {
        assert!(Instant::now() < until, "nothing arrives: {got:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let now = json(port, "/api/v1/status/runtimeinfo")["data"]["serverTime"].to_string();
    let now = now.trim_matches('"').to_string();
    let ends_at = |alert: &Value| alert["endsAt"].as_str().expect("a time").to_string();
    assert!(
        ends_at(&of("ends")[0]) < now,
        "it is over: {:?}",
        of("ends")
    );
    assert!(
        ends_at(of("stays").last().expect("one")) > now,
        "it goes on: {:?}",
        of("stays")
    );
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("msg=\"Error sending alerts\""), "{log}");
}
