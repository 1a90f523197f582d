//! Targets that do everything wrong.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use testkit::child::Running;
use testkit::free_port;
use testkit::http::{escape, wait_for};

use crate::world::{TITAN, certificates, hold, json, metric, pour, samples, say, start, target};

#[test]
fn a_bad_target_costs_its_own_scrape_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path(), "server.test");
    std::fs::write(
        folder.path().join("web.yml"),
        "tls_server_config: {cert_file: server.test.crt, key_file: server.test.key}\n",
    )
    .expect("written");
    let secure = free_port();
    let _secure = Running::start(Command::new(TITAN).args([
        "node-exporter".to_string(),
        format!("--web.listen-address=127.0.0.1:{secure}"),
        format!(
            "--web.config.file={}",
            folder.path().join("web.yml").display()
        ),
    ]));

    let good = target(|stream, nth| say(stream, "200 OK", format!("n {nth}\n").as_bytes()));
    let flips = target(|stream, nth| {
        let kind = ["counter", "gauge", "histogram", "summary"][nth % 4];
        let page = format!("# TYPE flip {kind}\nflip_total {nth}\nflip {nth}\n");
        say(stream, "200 OK", page.as_bytes());
    });
    let bad: [(&str, String, &str, &str); 9] = [
        (
            "hang",
            target(|stream, _| hold(stream)),
            "",
            "context deadline exceeded",
        ),
        (
            "endless",
            target(|stream, _| pour(stream, "a_metric 1\n", Duration::from_millis(5))),
            "",
            "context deadline exceeded",
        ),
        (
            "huge",
            target(|stream, _| pour(stream, &"a_metric 1\n".repeat(5000), Duration::ZERO)),
            "body_size_limit: 1MB",
            "body size limit exceeded",
        ),
        (
            "garbage",
            target(|stream, _| say(stream, "200 OK", b"\x00\xff\x1b{{{ 1 2 3\n")),
            "",
            "expected a valid start token",
        ),
        (
            "torn",
            target(|mut stream, _| {
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\na 1\n",
                );
            }),
            "",
            "unexpected EOF",
        ),
        (
            "nohttp",
            target(|mut stream, _| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"))),
            "",
            "Get \"http://",
        ),
        (
            "failing",
            target(|stream, _| say(stream, "500 Internal Server Error", b"oops")),
            "",
            "server returned HTTP status 500 Internal Server Error",
        ),
        (
            "explodes",
            target(|stream, nth| {
                let page: String = (0..2000)
                    .map(|i| format!("x{{n=\"{nth}-{i}\"}} 1\n"))
                    .collect();
                say(stream, "200 OK", page.as_bytes());
            }),
            "sample_limit: 1000",
            "sample limit exceeded",
        ),
        (
            "stranger",
            format!("127.0.0.1:{secure}"),
            "scheme: https",
            "certificate",
        ),
    ];
    let mut config =
        String::from("global: {scrape_interval: 1s, scrape_timeout: 800ms}\nscrape_configs:\n");
    let mut job = |name: &str, address: &str, more: &str| {
        config.push_str(&format!(
            "- job_name: {name}\n  static_configs: [{{targets: ['{address}']}}]\n  {more}\n"
        ));
    };
    job("good", &good, "");
    job("flips", &flips, "");
    for (name, address, more, _) in &bad {
        job(name, address, more);
    }
    let port = free_port();
    let running = start(folder.path(), port, &config);
    let path = format!("/api/v1/query?query={}", escape("up{job=\"good\"}[1m]"));
    wait_for(port, &path, |_| {
        samples(port, "up{job=\"good\"}[1m]").len() >= 8
    });

    for (fine, name) in [("good", "n"), ("flips", "flip_total")] {
        let ups = samples(port, &format!("up{{job=\"{fine}\"}}[1m]"));
        assert!(ups.iter().all(|(_, v)| v == "1"), "{fine}: {ups:?}");
        let even = |w: &[(i64, String)]| (900..=1100).contains(&(w[1].0 - w[0].0));
        assert!(ups.windows(2).all(even), "{fine} keeps its pace: {ups:?}");
        assert!(samples(port, &format!("{name}[1m]")).len() >= 6, "{fine}");
    }
    let targets = json(port, "/api/v1/targets?state=active");
    let targets = targets["data"]["activeTargets"].as_array().expect("a list");
    for (name, _, _, error) in &bad {
        let ups = samples(port, &format!("up{{job=\"{name}\"}}[1m]"));
        assert!(ups.len() >= 5, "{name} is asked on: {ups:?}");
        assert!(ups.iter().all(|(_, v)| v == "0"), "{name}: {ups:?}");
        let one = targets
            .iter()
            .find(|t| t["scrapePool"] == **name)
            .unwrap_or_else(|| panic!("{name} among {targets:?}"));
        let told = one["lastError"].as_str().unwrap_or("");
        assert!(told.contains(error), "{name}: {told:?}");
        assert_eq!(one["health"], "down", "{name}");
    }
    for counted in [
        "prometheus_target_scrapes_exceeded_body_size_limit_total",
        "prometheus_target_scrapes_exceeded_sample_limit_total",
    ] {
        assert!(metric(port, counted) >= 5.0, "{counted}");
    }
    for nothing in ["a_metric", "x"] {
        assert!(
            samples(port, &format!("{nothing}[1m]")).is_empty(),
            "half a page"
        );
    }
    assert!(
        metric(port, "process_resident_memory_bytes") < 300e6,
        "endless bodies are not kept"
    );
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
    for (name, _, _, error) in &bad {
        let told = log.lines().any(|line| {
            line.contains("msg=\"Scrape failed\"")
                && line.contains(&format!("scrape_pool={name} "))
                && line.replace("\\\"", "\"").contains(error)
        });
        assert!(told, "{name} in the log: {log}");
    }
}

#[test]
fn a_page_without_end_is_cut_and_the_field_to_change_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let part = "a_metric 1\n".repeat(20_000);
    let endless = target(move |stream, _| pour(stream, &part, Duration::ZERO));
    let good = target(|stream, nth| say(stream, "200 OK", format!("n {nth}\n").as_bytes()));
    let port = free_port();
    let config = format!(
        "scrape_configs:\n- {{job_name: endless, scrape_interval: 30s, scrape_timeout: 30s, static_configs: [{{targets: ['{endless}']}}]}}\n- {{job_name: good, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{{targets: ['{good}']}}]}}\n"
    );
    let running = start(folder.path(), port, &config);
    wait_for(port, "/api/v1/targets", |answer| {
        answer
            .body
            .contains("body size limit exceeded: without body_size_limit a page may have 256 MiB")
    });
    assert_eq!(
        metric(
            port,
            "prometheus_target_scrapes_exceeded_body_size_limit_total"
        ),
        1.0
    );
    assert!(samples(port, "a_metric[5m]").is_empty(), "half a page");
    let ups = samples(port, "up{job=\"good\"}[5m]");
    assert!(ups.iter().all(|(_, up)| up == "1"), "{ups:?}");
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(
        log.contains("without body_size_limit a page may have 256 MiB"),
        "{log}"
    );
}
