//! Side by side with Debian's node exporter on this machine: every series of the collectors both have is on our page,
//! too, with the same name, labels and type. Skipped, aloud, where that exporter is not installed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use exposition::{Entry, ProtobufBody, ProtobufEntry, ProtobufOptions, TextParser};
use node_exporter::flags::{self, Invocation};
use node_exporter::{BuildInfo, NodeExporter, metrics_page};

/// What Debian's version (1.5) shows otherwise, and why that is no fault of ours: newer versions of upstream changed it.
const LABELS_ADDED_SINCE: [(&str, &[&str]); 4] = [
    ("node_disk_info", &["rotational"]),
    ("node_filesystem_", &["device_error"]),
    ("node_network_info", &["adminstate"]),
    ("node_exporter_build_info", &["goarch", "goos", "tags"]),
];
/// What Debian's version shows and newer versions of upstream, and we, do not.
const GONE_SINCE: [&str; 7] = [
    // Compressed memory disks are left out by default since.
    "device=\"zram",
    // Upstream shows a fixed list of memory fields since, without these.
    "node_memory_Balloon_bytes",
    "node_memory_FileHugePages_bytes",
    "node_memory_FilePmdMapped_bytes",
    "node_memory_Hugetlb_bytes",
    "node_memory_KReclaimable_bytes",
    "node_memory_SecPageTables_bytes",
];

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(port: u16) -> Option<String> {
    let body = get_as(port, "text/plain")?;
    String::from_utf8(body).ok()
}

fn get_as(port: u16, accept: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    let request = format!("GET /metrics HTTP/1.0\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    answer
        .starts_with(b"HTTP/1.0 200")
        .then(|| answer[split + 4..].to_vec())
}

/// Series with their labels, and types by family.
fn read(page: &str) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let (mut series, mut types) = (BTreeSet::new(), BTreeMap::new());
    let mut parser = TextParser::new(page.as_bytes());
    while let Some(entry) = parser.next().unwrap() {
        match entry {
            Entry::Series { .. } => {
                let labels = parser.labels();
                let name = labels.metric_name().to_string();
                let added = LABELS_ADDED_SINCE
                    .iter()
                    .find(|(prefix, _)| name.starts_with(prefix))
                    .map_or(&[][..], |(_, added)| added);
                series.insert(labels.without(added).to_string());
            }
            Entry::Type { name, kind } => {
                types.insert(name.into_owned(), kind.as_str().to_string());
            }
            _ => {}
        }
    }
    (series, types)
}

/// Series whose labels hold what changes from moment to moment, or what names the binary itself.
fn is_ours_alone(series: &str) -> bool {
    [
        r#""go_"#,
        r#""node_exporter_build_info""#,
        r#""process_"#,
        r#""promhttp_"#,
    ]
    .iter()
    .any(|part| series.contains(part))
        // Processes and connections come and go between two pages.
        || series.contains(r#""node_processes_"#)
        || series.contains(r#""node_tcp_connection_states""#)
}

fn values(page: &str) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    let mut parser = TextParser::new(page.as_bytes());
    while let Some(entry) = parser.next().unwrap() {
        if let Entry::Series { value, .. } = entry {
            values.insert(parser.labels().to_string(), value);
        }
    }
    values
}

#[test]
fn debians_series_are_ours_too() {
    let Some(binary) = testkit::peers::find("prometheus-node-exporter") else {
        return;
    };
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let child = Command::new(binary)
        .args([
            &format!("--web.listen-address=127.0.0.1:{port}"),
            "--collector.processes",
        ])
        .args(["--no-collector.systemd", "--collector.interrupts"])
        .args([
            "--collector.buddyinfo",
            "--collector.ksmd",
            "--collector.cgroups",
            "--collector.meminfo_numa",
            "--collector.tcpstat",
            "--collector.qdisc",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _child = Running(child);
    let start = Instant::now();
    let theirs = loop {
        if let Some(page) = get(port) {
            break page;
        }
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "Debian's exporter did not answer"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    let arguments = "--collector.processes --collector.interrupts --collector.buddyinfo \
         --collector.ksmd --collector.cgroups --collector.meminfo_numa --collector.tcpstat --collector.qdisc";
    let config = match flags::parse(
        arguments.split_whitespace().map(str::to_string),
        BuildInfo::default(),
    ) {
        Ok(Invocation::Run(config)) => *config,
        other => panic!("{other:?}"),
    };
    let clock = Arc::new(env::system::SystemClock::new(|_| {
        Box::pin(std::future::ready(()))
    }));
    let exporter = NodeExporter::new(config, clock).unwrap();
    let ours = String::from_utf8(metrics_page(&exporter, "", "", "").body).unwrap();

    // Their protobuf says what their text says.
    let accept = exposition::Protocol::PrometheusProto.media_type();
    let body =
        ProtobufBody::decode(&get_as(port, accept).unwrap(), ProtobufOptions::default()).unwrap();
    let mut parser = body.entries();
    let mut in_protobuf = BTreeSet::new();
    while let Some(entry) = parser.next() {
        if matches!(entry, ProtobufEntry::Plain(Entry::Series { .. })) {
            in_protobuf.insert(parser.labels().to_string());
        }
    }
    let in_text = values(&theirs);
    let lost: Vec<&String> = in_text
        .keys()
        .filter(|series| !is_ours_alone(series) && !in_protobuf.contains(*series))
        .collect();
    assert!(
        in_protobuf.len() > 100 && lost.is_empty(),
        "not in protobuf: {lost:#?}"
    );

    let (their_series, their_types) = read(&theirs);
    let (our_series, our_types) = read(&ours);
    let built = |name: &str| {
        node_exporter::registry::NOT_BUILT
            .iter()
            .all(|n| !name.contains(&format!("\"{n}\"")))
    };
    let missing: Vec<&String> = their_series
        .iter()
        .filter(|series| !is_ours_alone(series) && built(series) && !our_series.contains(*series))
        .filter(|series| !GONE_SINCE.iter().any(|gone| series.contains(gone)))
        .collect();
    let shared = their_series
        .iter()
        .filter(|series| our_series.contains(*series))
        .count();
    eprintln!(
        "Debian's exporter shows {} series, {shared} of them are ours, too",
        their_series.len()
    );
    assert!(missing.is_empty(), "missing: {missing:#?}");
    for (name, kind) in &their_types {
        if let Some(ours) = our_types.get(name) {
            assert_eq!(ours, kind, "type of {name}");
        }
    }
    // What does not move between two pages must be equal.
    let (theirs, ours) = (values(&theirs), values(&ours));
    let still = [
        "node_memory_MemTotal_bytes",
        "node_boot_time_seconds",
        "node_memory_SwapTotal_bytes",
        "node_filefd_maximum",
    ];
    for name in still {
        let key = format!("{{__name__=\"{name}\"}}");
        assert_eq!(ours.get(&key), theirs.get(&key), "{name}");
    }
}
