//! Kernel activity since boot from `stat`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// The vectors of the `softirq` line, after the total.
const VECTORS: [&str; 10] = [
    "hi",
    "timer",
    "net_tx",
    "net_rx",
    "block",
    "block_iopoll",
    "tasklet",
    "sched",
    "hrtimer",
    "rcu",
];

/// Adds interrupts, context switches, forks, boot time and runnable processes.
pub fn update(paths: &Paths, softirq: bool, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("stat"))?;
    for line in text.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(key), Some(value)) = (fields.next(), fields.next()) else {
            continue;
        };
        let metric = match key {
            "intr" => ("intr_total", "Total number of interrupts serviced.", true),
            "ctxt" => (
                "context_switches_total",
                "Total number of context switches.",
                true,
            ),
            "processes" => ("forks_total", "Total number of forks.", true),
            "btime" => ("boot_time_seconds", "Node boot time, in unixtime.", false),
            "procs_running" => (
                "procs_running",
                "Number of processes in runnable state.",
                false,
            ),
            "procs_blocked" => (
                "procs_blocked",
                "Number of processes blocked waiting for I/O to complete.",
                false,
            ),
            "softirq" if softirq => {
                for (vector, value) in VECTORS.iter().zip(fields) {
                    let calls = number(line, value)?;
                    let help = "Number of softirq calls.";
                    sink.counter("softirqs_total", help, &[("vector", vector)], calls);
                }
                continue;
            }
            _ => continue,
        };
        let value = number(line, value)?;
        if metric.2 {
            sink.counter(metric.0, metric.1, &[], value);
        } else {
            sink.gauge(metric.0, metric.1, &[], value);
        }
    }
    Ok(())
}

fn number(line: &str, text: &str) -> Result<f64, CollectError> {
    text.parse::<u64>().map(|n| n as f64).map_err(|_| {
        CollectError::failed(format!(
            "couldn't parse {:?}",
            line.chars().take(80).collect::<String>()
        ))
    })
}
