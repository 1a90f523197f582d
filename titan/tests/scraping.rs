//! The built binary as a scraper: what it asks for, and what feature flags make of what it gets.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use testkit::child::Running;
use testkit::free_port;
use testkit::http::{escape, get, wait_for};

/// A target that answers every scrape with `page`; gives its address and the `Accept` headers that come.
fn target(content_type: &'static str, page: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (seen, headers) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
            let mut accept = String::new();
            while let Some(Ok(line)) = lines.next() {
                if let Some(value) = line.strip_prefix("Accept: ") {
                    accept = value.to_string();
                }
                if line.is_empty() {
                    break;
                }
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
                page.len()
            );
            let _ = stream.write_all(answer.as_bytes());
            let _ = seen.send(accept);
        }
    });
    (address, headers)
}

/// A server that scrapes `address` five times a second.
fn server(folder: &std::path::Path, address: &str, job: &str, flags: &[&str]) -> (u16, Running) {
    server_at(free_port(), folder, address, job, flags)
}

fn server_at(
    port: u16,
    folder: &std::path::Path,
    address: &str,
    job: &str,
    flags: &[&str],
) -> (u16, Running) {
    let config = format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- job_name: t\n  static_configs: [{{targets: ['{address}']}}]\n{job}"
    );
    std::fs::write(folder.join("prometheus.yml"), config).expect("written");
    let mut command = testkit::server::command(env!("CARGO_BIN_EXE_titan"), folder, port);
    command.args(flags);
    (port, testkit::server::start(&mut command, port))
}

fn wait_for_result(port: u16, query: &str) {
    let path = format!("/api/v1/query?query={}", escape(query));
    wait_for(port, &path, |answer| answer.body.contains("\"value\""));
}

const TEXT: &str = "text/plain; version=0.0.4";
const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
const NO_PROTOBUF: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.7,application/openmetrics-text;version=0.0.1;q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3";

#[test]
fn protobuf_is_asked_for_where_only_it_will_do() {
    let start_zeros = "--enable-feature=created-timestamp-zero-ingestion";
    for (flags, job, wanted) in [
        (&[][..], "", NO_PROTOBUF),
        // No more than a notice any more: jobs say it themselves.
        (&["--enable-feature=native-histograms"], "", NO_PROTOBUF),
        (&[], "  scrape_native_histograms: true\n", PROTOBUF),
        (&[start_zeros], "", PROTOBUF),
        (
            &[start_zeros],
            "  scrape_protocols: [PrometheusText0.0.4]\n",
            "text/plain;version=0.0.4;q=0.7,*/*;q=0.6",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (address, headers) = target(TEXT, "a 1\n");
        let (_, _running) = server(folder.path(), &address, job, flags);
        let asked = headers.recv().expect("a scrape");
        assert_eq!(asked, wanted, "{flags:?} {job}");
    }
}

#[test]
fn extra_scrape_metrics_by_feature_flag() {
    let folder = tempfile::tempdir().expect("a folder");
    let (address, _headers) = target(TEXT, "a 1\n");
    let flags = ["--enable-feature=extra-scrape-metrics"];
    let (port, _running) = server(folder.path(), &address, "  sample_limit: 7\n", &flags);
    wait_for_result(port, "scrape_sample_limit == 7");
    wait_for_result(port, "scrape_body_size_bytes == 4");
    wait_for_result(port, "scrape_timeout_seconds == 0.2");
    let metric = "prometheus_target_scrape_duration_seconds_count ";
    wait_for(port, "/metrics", |answer| {
        let line = answer.body.lines().find(|line| line.starts_with(metric));
        line.is_some_and(|line| !line.ends_with(" 0"))
    });
    let config = get(port, "/api/v1/status/config").body;
    assert!(config.contains("extra_scrape_metrics: true"), "{config}");
}

#[test]
fn start_timestamps_become_zero_samples() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).expect("a time");
    let page = format!(
        "# TYPE c counter\nc_total 5\nc_created {}.5\n# EOF\n",
        now.as_secs() - 60
    );
    let (address, _headers) = target(
        "application/openmetrics-text; version=1.0.0",
        Box::leak(page.into_boxed_str()),
    );
    let flags = ["--enable-feature=created-timestamp-zero-ingestion"];
    let (port, _running) = server(folder.path(), &address, "", &flags);
    wait_for_result(port, "c_total");
    let zero = format!("c_total @ {} == 0", now.as_secs() - 59);
    wait_for_result(port, &zero);
    let created = get(port, "/api/v1/query?query=c_created").body;
    assert!(created.contains("\"result\":[]"), "{created}");
}

#[test]
fn native_histograms_are_federated_over_protobuf() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let port = free_port();
    let own = format!("127.0.0.1:{port}");
    let natives = "  scrape_native_histograms: true\n";
    let (port, _first) = server_at(port, folders[0].path(), &own, natives, &[]);
    let histogram = "prometheus_http_request_duration_seconds{handler=\"/metrics\"}";
    wait_for_result(port, &format!("histogram_count({histogram}) > 0"));
    let federate = format!(
        "{natives}  honor_labels: true\n  metrics_path: /federate\n  params: {{'match[]': ['prometheus_http_request_duration_seconds', 'up']}}\n"
    );
    let (second, _second) = server(folders[1].path(), &own, &federate, &[]);
    wait_for_result(
        second,
        &format!("histogram_count({histogram} and on() up{{instance=\"{own}\"}} == 1) > 0"),
    );
    // Texts leave them out.
    let page = get(
        port,
        "/federate?match[]=prometheus_http_request_duration_seconds",
    )
    .body;
    assert_eq!(page, "");
}
