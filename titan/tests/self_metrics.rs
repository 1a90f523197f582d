//! The server's own metrics beside those of Debian's Prometheus on the same configuration: what both have is of the same
//! type with the same labels, and what ours lacks is listed here with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use testkit::child::Running;
use testkit::http::{escape, get, wait_for};
use testkit::{free_port, peers};

/// Beginnings of names that the real one (2.42) has and ours has not, with the reason.
const LACKING: [(&str, &str); 25] = [
    ("go_", "the runtime of another language"),
    (
        "net_conntrack_dialer_",
        "connections are pooled by a client that does not tell of each",
    ),
    ("net_conntrack_listener_", "not counted yet"),
    (
        "prometheus_api_remote_read_queries",
        "renamed prometheus_remote_read_handler_queries since",
    ),
    (
        "prometheus_engine_query_duration_seconds",
        "not measured by slices yet",
    ),
    ("prometheus_engine_query_log_", "not counted yet"),
    (
        "prometheus_remote_storage_remote_read_queries",
        "renamed prometheus_remote_read_client_queries since",
    ),
    (
        "prometheus_remote_storage_read_request_duration_seconds",
        "renamed prometheus_remote_read_client_request_duration_seconds since",
    ),
    (
        "prometheus_remote_storage_string_interner_",
        "there is no interner to count mistakes of",
    ),
    (
        "prometheus_remote_storage_exemplars_in_total",
        "not counted yet",
    ),
    (
        "prometheus_remote_storage_histograms_in_total",
        "not counted yet",
    ),
    (
        "prometheus_remote_storage_samples_in_total",
        "not counted yet",
    ),
    (
        "prometheus_remote_storage_exemplars_dropped_total",
        "by reason since, once there are any",
    ),
    (
        "prometheus_remote_storage_histograms_dropped_total",
        "by reason since, once there are any",
    ),
    (
        "prometheus_remote_storage_samples_dropped_total",
        "by reason since, once there are any",
    ),
    ("prometheus_sd_azure_", "not part of this build"),
    (
        "prometheus_sd_dns_",
        "counted once the mechanism is configured",
    ),
    (
        "prometheus_sd_http_",
        "counted once the mechanism is configured",
    ),
    ("prometheus_sd_discovered_targets", "not counted yet"),
    ("prometheus_sd_failed_configs", "not counted yet"),
    (
        "prometheus_sd_file_",
        "not counted yet, but for read errors",
    ),
    ("prometheus_sd_received_updates_total", "not counted yet"),
    ("prometheus_sd_updates_total", "not counted yet"),
    (
        "prometheus_target_metadata_cache_",
        "not counted yet: metadata is shared between targets",
    ),
    (
        "prometheus_treecache_",
        "ZooKeeper discoveries are not part of this build",
    ),
];

/// Families that differ, with the reason.
const DIFFERENT: [(&str, &str); 6] = [
    (
        "prometheus_notifications_dropped_total",
        "a queue for each Alertmanager since",
    ),
    (
        "prometheus_notifications_queue_length",
        "a queue for each Alertmanager since",
    ),
    (
        "prometheus_build_info",
        "goarch, goos and tags came after 2.42",
    ),
    (
        "prometheus_wal_watcher_records_read_total",
        "by type, which depends on what was read",
    ),
    (
        "prometheus_tsdb_head_samples_appended_total",
        "by type of sample since",
    ),
    (
        "prometheus_tsdb_head_out_of_order_samples_appended_total",
        "by type of sample since",
    ),
];

/// Name to type and names of labels; `le` and `quantile` belong to the type.
fn families(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut all: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            current = name.to_string();
            all.insert(current.clone(), (kind.to_string(), BTreeSet::new()));
        } else if !line.starts_with('#')
            && let Some((_, rest)) = line.split_once('{')
        {
            let labels = rest.rsplit_once('}').map_or("", |(labels, _)| labels);
            let names = labels
                .split("\",")
                .filter_map(|label| label.split_once("=\""))
                .map(|(name, _)| name.to_string())
                .filter(|name| name != "le" && name != "quantile");
            all.get_mut(&current).expect("its type").1.extend(names);
        }
    }
    all
}

/// The page of a server that scrapes itself, evaluates a rule and writes to nobody.
fn page(program: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("written");
    };
    let port = free_port();
    write(
        "rules.yml",
        "groups:\n- {name: g, interval: 1s, rules: [{record: a, expr: vector(1)}, {alert: A, expr: vector(1)}]}\n",
    );
    write("x.sd.json", "[{\"targets\": [\"127.0.0.1:2\"]}]");
    write(
        "prometheus.yml",
        &format!(
            "global: {{scrape_interval: 200ms}}\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:1']}}]}}]}}\nrule_files: [rules.yml]\nscrape_configs:\n- job_name: s\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n- job_name: f\n  file_sd_configs: [{{files: ['*.sd.json']}}]\nremote_write: [{{url: 'http://127.0.0.1:1/w'}}]\n"
        ),
    );
    let mut command = Command::new(program);
    if program == env!("CARGO_BIN_EXE_titan") {
        command.arg("prometheus");
    }
    command.current_dir(folder.path()).args([
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--storage.remote.flush-deadline=1s",
        &format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let _running = Running::start(&mut command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    let path = format!(
        "/api/v1/query?query={}",
        escape("ALERTS and on() count_over_time(up{job=\"s\"}[1m]) > 5")
    );
    wait_for(port, &path, |answer| answer.body.contains("alertname"));
    // Alertmanagers are found and a request to the remote server has failed.
    let found = "prometheus_notifications_errors_total{alertmanager=";
    let retried = "prometheus_remote_storage_samples_retried_total{";
    wait_for(port, "/metrics", |answer| {
        let mut lines = answer.body.lines();
        answer.body.contains(found)
            && lines.any(|line| line.starts_with(retried) && !line.ends_with(" 0"))
    });
    get(port, "/metrics").body
}

#[test]
fn names_types_and_labels_are_those_of_the_real_server() {
    let Some(prometheus) = peers::find("prometheus") else {
        return;
    };
    let real = families(&page(&prometheus.to_string_lossy()));
    let ours = families(&page(env!("CARGO_BIN_EXE_titan")));
    let mut wrong = Vec::new();
    let mut shared = 0;
    for (name, family) in &real {
        let Some(own) = ours.get(name) else {
            match LACKING.iter().find(|(start, _)| name.starts_with(start)) {
                Some((_, reason)) if !name.starts_with("go_") => {
                    println!("lacking {name}: {reason}")
                }
                Some(_) => {}
                None => wrong.push(format!("{name} {family:?} is lacking")),
            }
            continue;
        };
        shared += 1;
        if own != family && !DIFFERENT.iter().any(|(different, _)| different == name) {
            wrong.push(format!("{name} is {own:?} and not {family:?}"));
        }
    }
    println!("{shared} families of {} are shared", real.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(shared > 140, "{shared}");
}
