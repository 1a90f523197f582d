//! The built binary and the real Prometheus write to each other, read from each other and federate, through restarts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::child::Running;
use testkit::http::{escape, get, wait_for};
use testkit::server;
use testkit::{free_port, peers};

const TITAN: &str = env!("CARGO_BIN_EXE_titan");

struct Server {
    folder: tempfile::TempDir,
    program: String,
    port: u16,
}

impl Server {
    fn new(program: &str, port: u16, config: &str) -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("written");
        Server {
            folder,
            program: program.to_string(),
            port,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn start(&self) -> Running {
        let mut command = server::command(&self.program, self.path(), self.port);
        command.arg("--web.enable-remote-write-receiver");
        server::start(&mut command, self.port)
    }
}

/// Times and values of every series that a range selector finds, by their instances.
fn samples(port: u16, selector: &str) -> BTreeMap<String, Vec<(i64, String)>> {
    let answer = get(port, &format!("/api/v1/query?query={}", escape(selector)));
    let reply: Value =
        serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.body));
    let series = reply["data"]["result"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    series
        .iter()
        .map(|one| {
            let values = one["values"].as_array().cloned().unwrap_or_default();
            let pair = |v: &Value| {
                let t = (v[0].as_f64().unwrap_or(0.0) * 1000.0).round() as i64;
                (t, v[1].as_str().unwrap_or("").to_string())
            };
            let name = one["metric"]["instance"].as_str().unwrap_or("").to_string();
            (name, values.iter().map(pair).collect())
        })
        .collect()
}

fn count(port: u16, selector: &str) -> usize {
    samples(port, selector).values().map(Vec::len).sum()
}

/// Waits until there are `at_least` samples.
fn wait_for_count(port: u16, selector: &str, at_least: usize) {
    let path = format!("/api/v1/query?query={}", escape(selector));
    wait_for(port, &path, |_| count(port, selector) >= at_least);
}

/// Every sample that `from` has is at `to`, the same and once, but for the last ones, which may be on their way.
fn check_copied(from: u16, to: u16, selector: &str) {
    let original = samples(from, selector);
    assert_eq!(original.len(), 1, "{selector} at its source");
    for (instance, values) in original {
        let settled = &values[..values.len().saturating_sub(1)];
        let last = settled.last().expect("samples").0;
        let path = format!("/api/v1/query?query={}", escape(selector));
        wait_for(to, &path, |_| {
            let copies = samples(to, selector);
            let copy = copies.get(&instance).map_or(&[][..], Vec::as_slice);
            copy.iter().any(|(t, _)| *t >= last)
        });
        let copies = samples(to, selector);
        let copy: Vec<_> = copies[&instance]
            .iter()
            .filter(|(t, _)| *t <= last)
            .cloned()
            .collect();
        assert_eq!(copy, settled, "{selector}: nothing lost, nothing doubled");
    }
}

#[test]
fn titan_and_the_real_prometheus_write_to_each_other_through_restarts() {
    let Some(prometheus) = peers::find("prometheus") else {
        return;
    };
    let (ours, theirs) = (free_port(), free_port());
    let scrape = |job: &str, port: u16, to: u16, more: &str| {
        format!(
            "global: {{scrape_interval: 250ms}}\nscrape_configs:\n- job_name: {job}\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\nremote_write:\n- url: http://127.0.0.1:{to}/api/v1/write\n{more}  queue_config: {{batch_send_deadline: 200ms, max_backoff: 500ms}}\n  write_relabel_configs: [{{source_labels: [job], regex: {job}, action: keep}}]\n"
        )
    };
    let titan = Server::new(
        TITAN,
        ours,
        &scrape(
            "titan",
            ours,
            theirs,
            "  protobuf_message: prometheus.WriteRequest\n",
        ),
    );
    let real = Server::new(
        &prometheus.to_string_lossy(),
        theirs,
        &scrape("real", theirs, ours, ""),
    );
    let (of_titan, of_real) = ("up{job=\"titan\"}[10m]", "up{job=\"real\"}[10m]");
    let their_process = real.start();
    let our_process = titan.start();
    wait_for_count(theirs, of_titan, 6);
    wait_for_count(ours, of_real, 6);
    // Titan dies: what the other had for it waits there, and what Titan owed is sent after its start.
    our_process.kill();
    wait_for_count(theirs, of_real, count(theirs, of_real) + 4);
    let our_process = titan.start();
    let more = count(theirs, of_titan) + 6;
    wait_for_count(theirs, of_titan, more);
    check_copied(theirs, ours, of_real);
    check_copied(ours, theirs, of_titan);
    // The receiver is away for a while and comes back.
    let (_, _) = their_process.stop();
    wait_for_count(ours, of_titan, count(ours, of_titan) + 8);
    let their_process = real.start();
    let more = count(ours, of_titan) + 4;
    wait_for_count(theirs, of_titan, more);
    check_copied(ours, theirs, of_titan);
    let (code, log) = our_process.stop();
    assert_eq!(code, Some(0), "{log}");
    their_process.stop();
}

#[test]
fn an_agent_sends_both_messages_to_titan_and_the_real_prometheus_reads_and_federates_them() {
    let (ours, agents, theirs) = (free_port(), free_port(), free_port());
    let titan = Server::new(TITAN, ours, "global: {external_labels: {site: t}}\n");
    let _titan = titan.start();
    let agent = Server::new(
        TITAN,
        agents,
        &format!(
            "global: {{scrape_interval: 250ms}}\nscrape_configs:\n- job_name: agent\n  static_configs: [{{targets: ['127.0.0.1:{agents}']}}]\nremote_write:\n- url: http://127.0.0.1:{ours}/api/v1/write\n  name: first\n  write_relabel_configs: [{{target_label: message, replacement: first}}]\n- url: http://127.0.0.1:{ours}/api/v1/write\n  name: second\n  protobuf_message: io.prometheus.write.v2.Request\n  write_relabel_configs: [{{target_label: message, replacement: second}}]\n"
        ),
    );
    let mut command = Command::new(TITAN);
    command.args([
        "prometheus".to_string(),
        "--agent".into(),
        format!(
            "--config.file={}",
            agent.path().join("prometheus.yml").display()
        ),
        format!(
            "--storage.agent.path={}",
            agent.path().join("data").display()
        ),
        format!("--web.listen-address=127.0.0.1:{agents}"),
    ]);
    let _agent = Running::start(&mut command);
    wait_for(agents, "/-/ready", |answer| answer.status == 200);
    for message in ["first", "second"] {
        wait_for_count(ours, &format!("up{{message=\"{message}\"}}[10m]"), 6);
    }
    let refused = get(agents, "/api/v1/query?query=up");
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(refused.body.contains("unavailable with Prometheus Agent"));

    let Some(prometheus) = peers::find("prometheus") else {
        return;
    };
    let real = Server::new(
        &prometheus.to_string_lossy(),
        theirs,
        &format!(
            "global: {{scrape_interval: 250ms}}\nscrape_configs:\n- job_name: federate\n  honor_labels: true\n  metrics_path: /federate\n  params: {{'match[]': ['{{job=\"agent\"}}']}}\n  static_configs: [{{targets: ['127.0.0.1:{ours}']}}]\nremote_read:\n- url: http://127.0.0.1:{ours}/api/v1/read\n  read_recent: true\n"
        ),
    );
    let _real = real.start();
    // Federated series carry the external label, read ones do not: both can be told apart.
    wait_for_count(
        theirs,
        "up{site=\"t\",job=\"agent\",message=\"first\"}[10m]",
        4,
    );
    let read = samples(
        theirs,
        "up{site=\"\",job=\"agent\",message=\"second\"}[10m]",
    );
    let here = samples(ours, "up{job=\"agent\",message=\"second\"}[10m]");
    let (read, here) = (
        &read[&format!("127.0.0.1:{agents}")],
        &here[&format!("127.0.0.1:{agents}")],
    );
    assert!(
        read.len() >= 6 && here.starts_with(&read[..read.len().min(here.len())]),
        "{read:?}\n{here:?}"
    );
}
