//! What the exporter says about itself: build, process, and the handling of scrapes.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use model::{MetricFamily, MetricType};

use crate::config::BuildInfo;
use crate::files::{list, read};
use crate::sink::Sink;

/// The kernel counts processor time of processes in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// Scrapes served and being served.
#[derive(Debug, Default)]
pub struct HandlerCounts {
    /// Answered with a page.
    pub ok: AtomicU64,
    /// Failed.
    pub error: AtomicU64,
    /// Turned away because too many were under way.
    pub busy: AtomicU64,
    /// Under way.
    pub in_flight: AtomicI64,
}

impl HandlerCounts {
    /// Adds the `promhttp_*` families.
    pub(crate) fn families(&self, gathering_errors: u64, sink: &mut Sink) {
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed) as f64;
        let name = "promhttp_metric_handler_requests_total";
        let help = "Total number of scrapes by HTTP status code.";
        let mut family = MetricFamily::new(name, help, MetricType::Counter);
        for (code, value) in [
            ("200", count(&self.ok)),
            ("500", count(&self.error)),
            ("503", count(&self.busy)),
        ] {
            family.push(vec![("code".into(), code.into())], value);
        }
        sink.family(family);
        let name = "promhttp_metric_handler_requests_in_flight";
        let mut family = MetricFamily::new(
            name,
            "Current number of scrapes being served.",
            MetricType::Gauge,
        );
        family.push(Vec::new(), self.in_flight.load(Ordering::Relaxed) as f64);
        sink.family(family);
        let name = "promhttp_metric_handler_errors_total";
        let help = "Total number of internal errors encountered by the promhttp metric handler.";
        let mut family = MetricFamily::new(name, help, MetricType::Counter);
        family.push(vec![("cause".into(), "encoding".into())], 0.0);
        family.push(
            vec![("cause".into(), "gathering".into())],
            gathering_errors as f64,
        );
        sink.family(family);
    }
}

/// Adds `node_exporter_build_info`.
pub(crate) fn build_info(build: &BuildInfo, sink: &mut Sink) {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    let labels = [
        ("branch", build.branch.as_str()),
        ("goarch", arch),
        ("goos", "linux"),
        // No Go here, but dashboards group by the label.
        ("goversion", "none"),
        ("revision", &build.revision),
        ("tags", "unknown"),
        ("version", &build.version),
    ];
    let help = "A metric with a constant '1' value labeled by version, revision, branch, goversion from which node_exporter was built, and the goos and goarch for the build.";
    sink.gauge("exporter_build_info", help, &labels, 1.0);
}

/// Adds the `process_*` families of our own process. Always from `/proc`, wherever the host's is mounted.
pub(crate) fn process(sink: &mut Sink) {
    let base = Path::new("/proc/self");
    let mut add = |kind, name: &str, help: &str, value: f64| {
        let mut family = MetricFamily::new(name, help, kind);
        family.push(Vec::new(), value);
        sink.family(family);
    };
    if let Ok(fds) = list(&base.join("fd")) {
        // One of them is the directory being listed.
        let open = fds.len().saturating_sub(1) as f64;
        add(
            MetricType::Gauge,
            "process_open_fds",
            "Number of open file descriptors.",
            open,
        );
    }
    let limit = |limit: Option<u64>| limit.map_or(u64::MAX as f64, |n| n as f64);
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let help = "Maximum number of open file descriptors.";
    add(MetricType::Gauge, "process_max_fds", help, limit(files));
    let memory = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let help = "Maximum amount of virtual memory available in bytes.";
    add(
        MetricType::Gauge,
        "process_virtual_memory_max_bytes",
        help,
        limit(memory),
    );
    if let Ok(stat) = read(&base.join("stat")) {
        let fields: Vec<f64> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_ascii_whitespace()
            .map(|field| field.parse().unwrap_or(0.0))
            .collect();
        // Fields are counted from the state, which is the third of the file.
        if let (Some(user), Some(system), Some(start), Some(size), Some(pages)) = (
            fields.get(11),
            fields.get(12),
            fields.get(19),
            fields.get(20),
            fields.get(21),
        ) {
            let help = "Total user and system CPU time spent in seconds.";
            let seconds = (user + system) / TICKS_PER_SECOND;
            add(
                MetricType::Counter,
                "process_cpu_seconds_total",
                help,
                seconds,
            );
            let help = "Virtual memory size in bytes.";
            add(
                MetricType::Gauge,
                "process_virtual_memory_bytes",
                help,
                *size,
            );
            let help = "Resident memory size in bytes.";
            let resident = pages * rustix::param::page_size() as f64;
            add(
                MetricType::Gauge,
                "process_resident_memory_bytes",
                help,
                resident,
            );
            if let Some(boot) = boot_time() {
                let help = "Start time of the process since unix epoch in seconds.";
                let started = boot + start / TICKS_PER_SECOND;
                add(
                    MetricType::Gauge,
                    "process_start_time_seconds",
                    help,
                    started,
                );
            }
        }
    }
    if let Some((received, sent)) = network_bytes() {
        let help = "Number of bytes received by the process over the network.";
        add(
            MetricType::Counter,
            "process_network_receive_bytes_total",
            help,
            received,
        );
        let help = "Number of bytes sent by the process over the network.";
        add(
            MetricType::Counter,
            "process_network_transmit_bytes_total",
            help,
            sent,
        );
    }
}

fn boot_time() -> Option<f64> {
    let text = read(Path::new("/proc/stat")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// Bytes in and out of the process's network namespace, which is what the name means in upstream, too.
fn network_bytes() -> Option<(f64, f64)> {
    let text = read(Path::new("/proc/self/net/netstat")).ok()?;
    let mut lines = text.lines().filter(|line| line.starts_with("IpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let find = |wanted: &str| {
        names
            .split(' ')
            .zip(values.split(' '))
            .find(|(name, _)| *name == wanted)
            .and_then(|(_, value)| value.parse().ok())
    };
    Some((find("InOctets")?, find("OutOctets")?))
}
