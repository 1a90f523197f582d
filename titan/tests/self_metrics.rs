//! The server's own metrics beside those of Debian's Prometheus on the same configuration: what both have is of the same
//! type with the same labels, and what ours lacks is listed here with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use testkit::child::Running;
use testkit::http::{escape, get, wait_for};
use testkit::{free_port, peers};

/// Beginnings of names that the real one (2.42) has and ours has not, with the reason.
const LACKING: [(&str, &str); 10] = [
    ("go_", "the runtime of another language"),
    (
        "net_conntrack_dialer_conn_closed_total",
        "connections are pooled by a client that does not tell of their end",
    ),
    (
        "prometheus_api_remote_read_queries",
        "renamed prometheus_remote_read_handler_queries since",
    ),
    (
        "prometheus_remote_storage_remote_read_queries",
        "renamed prometheus_remote_read_client_queries since",
    ),
    (
        "prometheus_remote_storage_string_interner_",
        "there is no interner to count mistakes of",
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
        "prometheus_treecache_",
        "ZooKeeper discoveries are not part of this build",
    ),
];

/// What a server says that has been asked, scrapes itself, evaluates a rule and finds a remote server silent: what came
/// after 2.42, and what has to have moved by then.
const MOVED: [&str; 26] = [
    "net_conntrack_dialer_conn_attempted_total{dialer_name=\"s\"}",
    "net_conntrack_dialer_conn_established_total{dialer_name=\"s\"}",
    "net_conntrack_dialer_conn_failed_total{dialer_name=\"alertmanager\",reason=\"refused\"}",
    "net_conntrack_listener_conn_accepted_total{listener_name=\"http\"}",
    "net_conntrack_listener_conn_closed_total{listener_name=\"http\"}",
    "prometheus_engine_query_duration_histogram_seconds_count{slice=\"inner_eval\"}",
    "prometheus_engine_query_duration_seconds_count{slice=\"inner_eval\"}",
    "prometheus_engine_query_duration_seconds_count{slice=\"prepare_time\"}",
    "prometheus_engine_query_duration_seconds_count{slice=\"queue_time\"}",
    "prometheus_engine_query_duration_seconds_count{slice=\"result_sort\"}",
    "prometheus_engine_query_samples_total",
    "prometheus_engine_query_samples_read_total",
    "prometheus_http_response_size_bytes_count{handler=\"/metrics\"}",
    "prometheus_notifications_latency_histogram_seconds_count{alertmanager=",
    "prometheus_remote_storage_samples_in_total",
    "prometheus_rule_evaluation_duration_histogram_seconds_count",
    "prometheus_rule_group_duration_histogram_seconds_count",
    "prometheus_sd_discovered_targets{config=\"s\",name=\"scrape\"}",
    "prometheus_sd_file_mtime_seconds{filename=",
    "prometheus_sd_last_update_timestamp_seconds{config=\"s\",name=\"scrape\"}",
    "prometheus_sd_received_updates_total{name=\"scrape\"}",
    "prometheus_sd_updates_total{name=\"scrape\"}",
    "prometheus_target_interval_length_histogram_seconds_count{interval=\"200ms\"}",
    "prometheus_target_metadata_cache_bytes{scrape_job=\"s\"}",
    "prometheus_target_metadata_cache_entries{scrape_job=\"s\"}",
    "prometheus_target_sync_length_histogram_seconds_count{scrape_job=\"s\"}",
];

/// The same of what has nothing to tell yet.
const THERE: [&str; 9] = [
    "prometheus_api_notification_active_subscribers",
    "prometheus_api_notification_updates_dropped_total",
    "prometheus_api_notification_updates_sent_total",
    "prometheus_engine_query_log_enabled",
    "prometheus_remote_storage_exemplars_in_total",
    "prometheus_remote_storage_histograms_in_total",
    "prometheus_sd_kubernetes_events_total",
    "prometheus_target_scrape_duration_seconds",
    "prometheus_target_scrape_pool_symboltable_items",
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

/// Name with labels as far as they are given, and a value that is not 0.
fn has_moved(page: &str, series: &str) -> bool {
    let mut lines = page.lines().filter(|line| line.starts_with(series));
    lines.any(|line| !line.ends_with(" 0"))
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
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).expect("a time");
    let end = now.as_secs();
    let range = format!(
        "/api/v1/query_range?query=up&step=1&start={}&end={end}",
        end - 10
    );
    assert_eq!(get(port, &range).status, 200);
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
    let own = page(env!("CARGO_BIN_EXE_titan"));
    let ours = families(&own);
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
    assert!(shared > 170, "{shared}");
    let lacking: Vec<&&str> = THERE.iter().filter(|n| !ours.contains_key(**n)).collect();
    assert!(lacking.is_empty(), "{lacking:#?}");
    let still: Vec<&&str> = MOVED.iter().filter(|n| !has_moved(&own, n)).collect();
    assert!(still.is_empty(), "{still:#?}");
}

#[test]
fn native_buckets_reach_whoever_scrapes_protobuf() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let config = format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: s\n  scrape_native_histograms: true\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_titan"));
    command.current_dir(folder.path()).args([
        "prometheus",
        "--storage.tsdb.path=data",
        &format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let _running = Running::start(&mut command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    for histogram in [
        "prometheus_http_request_duration_seconds{handler=\"/metrics\"}",
        "prometheus_engine_query_duration_histogram_seconds{slice=\"inner_eval\"}",
        "prometheus_target_sync_length_histogram_seconds",
    ] {
        let path = format!(
            "/api/v1/query?query={}",
            escape(&format!("histogram_count({histogram}) > 0"))
        );
        wait_for(port, &path, |answer| answer.body.contains("\"value\""));
    }
    // Without classic buckets, as the job asks for native ones alone.
    let classic = format!(
        "/api/v1/query?query={}",
        escape("prometheus_http_request_duration_seconds_bucket")
    );
    assert!(get(port, &classic).body.contains("\"result\":[]"));
}
