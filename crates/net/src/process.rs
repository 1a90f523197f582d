//! What the process costs: CPU, memory, file descriptors, under the names every client library uses.

use env::Registry;
use model::MetricType;

/// A reading of the process' own state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUsage {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Memory in RAM.
    pub resident_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// Start, unix seconds.
    pub start_seconds: f64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Most file descriptors that may be open.
    pub max_fds: u64,
    /// Threads.
    pub threads: u64,
}

/// Reads the process' state; what the system does not tell is 0.
pub fn usage() -> ProcessUsage {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let page = rustix::param::page_size() as u64;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let mut usage = parse(&stat, &kernel, page, ticks);
    usage.max_fds = limit.current.unwrap_or(0);
    // The listing itself holds one.
    usage.open_fds = std::fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count() as u64 - 1);
    usage
}

fn parse(stat: &str, kernel: &str, page: u64, ticks: f64) -> ProcessUsage {
    // The second field is the command in parentheses and may hold anything.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    let number = |nth: usize| {
        fields
            .get(nth - 3)
            .and_then(|f| f.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let boot = kernel
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|text| text.trim().parse::<f64>().ok())
        .unwrap_or(0.0);
    ProcessUsage {
        cpu_seconds: (number(14) + number(15)) as f64 / ticks,
        threads: number(20),
        start_seconds: boot + number(22) as f64 / ticks,
        virtual_bytes: number(23),
        resident_bytes: number(24) * page,
        ..ProcessUsage::default()
    }
}

/// Registers the `process_*` families.
pub fn register(registry: &Registry) {
    let rows: [(&str, &str, MetricType, fn(&ProcessUsage) -> f64); 7] = [
        (
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            MetricType::Counter,
            |u| u.cpu_seconds,
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            MetricType::Gauge,
            |u| u.resident_bytes as f64,
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            MetricType::Gauge,
            |u| u.virtual_bytes as f64,
        ),
        (
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
            MetricType::Gauge,
            |_| {
                let limit = rustix::process::getrlimit(rustix::process::Resource::As);
                limit.current.unwrap_or(u64::MAX) as f64
            },
        ),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            MetricType::Gauge,
            |u| u.start_seconds,
        ),
        (
            "process_open_fds",
            "Number of open file descriptors.",
            MetricType::Gauge,
            |u| u.open_fds as f64,
        ),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            MetricType::Gauge,
            |u| u.max_fds as f64,
        ),
    ];
    for (name, help, kind, value) in rows {
        registry.computed(name, help, kind, move |family| {
            family.push(Vec::new(), value(&usage()))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_line() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 7 0 1000 4096000 300 more";
        let usage = parse(stat, "cpu 1\nbtime 1000\n", 4096, 100.0);
        assert_eq!(usage.cpu_seconds, 2.0);
        assert_eq!(usage.threads, 7);
        assert_eq!(usage.start_seconds, 1010.0);
        assert_eq!(
            (usage.virtual_bytes, usage.resident_bytes),
            (4_096_000, 300 * 4096)
        );
        assert_eq!(parse("", "", 4096, 100.0), ProcessUsage::default());
        let own = super::usage();
        assert!(own.resident_bytes > 0 && own.open_fds > 0 && own.threads > 0);
    }
}
