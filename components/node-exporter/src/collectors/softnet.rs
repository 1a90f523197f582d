//! Packet processing by processor, from `net/softnet_stat`.

use model::MetricType::{Counter, Gauge};

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds one row's columns per processor.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("net/softnet_stat"))?;
    for (row, line) in text.lines().enumerate() {
        let mut columns = Vec::with_capacity(16);
        for word in line.split_ascii_whitespace() {
            columns.push(u32::from_str_radix(word, 16).map_err(|_| {
                CollectError::failed(format!("malformed softnet_stat line: {line:?}"))
            })?);
        }
        if columns.len() < 9 {
            return Err(CollectError::failed(format!(
                "{} columns were detected, but at least 9 were expected",
                columns.len()
            )));
        }
        let at = |column: usize| f64::from(columns.get(column).copied().unwrap_or(0));
        // Newer kernels say which processor a row is; offline ones have none.
        let cpu = columns.get(12).copied().unwrap_or(row as u32).to_string();
        let labels = [("cpu", cpu.as_str())];
        for (kind, name, help, value) in [
            (
                Counter,
                "softnet_processed_total",
                "Number of processed packets",
                at(0),
            ),
            (
                Counter,
                "softnet_dropped_total",
                "Number of dropped packets",
                at(1),
            ),
            (
                Counter,
                "softnet_times_squeezed_total",
                "Number of times processing packets ran out of quota",
                at(2),
            ),
            (
                Counter,
                "softnet_cpu_collision_total",
                "Number of collision occur while obtaining device lock while transmitting",
                at(8),
            ),
            (
                Counter,
                "softnet_received_rps_total",
                "Number of times cpu woken up received_rps",
                at(9),
            ),
            (
                Counter,
                "softnet_flow_limit_count_total",
                "Number of times flow limit has been reached",
                at(10),
            ),
            (
                Gauge,
                "softnet_backlog_len",
                "Softnet backlog status",
                at(11),
            ),
        ] {
            sink.add(kind, name, help, &labels, value);
        }
    }
    Ok(())
}
