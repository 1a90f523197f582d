//! Queueing disciplines of network devices, over netlink.

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::filter::Filter;
use crate::netlink::{self, Qdisc as Found};
use crate::sink::Sink;

/// The collector.
pub struct Qdisc {
    filter: Filter,
    fixtures: String,
}

impl Qdisc {
    /// Compiles the filter.
    pub fn new(config: &Config) -> Result<Qdisc, ConfigError> {
        let options = &config.options;
        Ok(Qdisc {
            filter: Filter::new(&options.qdisc_device_exclude, &options.qdisc_device_include)?,
            fixtures: options.qdisc_fixtures.clone(),
        })
    }
}

impl Collector for Qdisc {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let found = if self.fixtures.is_empty() {
            netlink::qdiscs()
                .map_err(|error| CollectError::failed(format!("couldn't get qdiscs: {error}")))?
        } else {
            read_fixtures(&self.fixtures)?
        };
        for qdisc in found
            .iter()
            .filter(|qdisc| qdisc.is_root && !self.filter.ignores(&qdisc.device))
        {
            let labels = [
                ("device", qdisc.device.as_str()),
                ("kind", qdisc.kind.as_str()),
            ];
            for (name, help, value) in [
                ("qdisc_bytes_total", "Number of bytes sent.", qdisc.bytes),
                (
                    "qdisc_packets_total",
                    "Number of packets sent.",
                    u64::from(qdisc.packets),
                ),
                (
                    "qdisc_drops_total",
                    "Number of packets dropped.",
                    u64::from(qdisc.drops),
                ),
                (
                    "qdisc_requeues_total",
                    "Number of packets dequeued, not transmitted, and requeued.",
                    u64::from(qdisc.requeues),
                ),
                (
                    "qdisc_overlimits_total",
                    "Number of overlimit packets.",
                    u64::from(qdisc.overlimits),
                ),
            ] {
                sink.counter(name, help, &labels, value as f64);
            }
            let help = "Number of packets currently in queue to be sent.";
            sink.gauge(
                "qdisc_current_queue_length",
                help,
                &labels,
                f64::from(qdisc.queue_length),
            );
            let help = "Number of bytes currently in queue to be sent.";
            sink.gauge("qdisc_backlog", help, &labels, f64::from(qdisc.backlog));
        }
        Ok(())
    }
}

/// Upstream's test files: what the kernel would say, as JSON.
fn read_fixtures(directory: &str) -> Result<Vec<Found>, CollectError> {
    let bad = |error: String| CollectError::failed(format!("{directory}/results.json: {error}"));
    let text = std::fs::read(format!("{directory}/results.json"))
        .map_err(|error| bad(error.to_string()))?;
    let json: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
    let entries = json.as_array().ok_or_else(|| bad("not a list".into()))?;
    Ok(entries
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap_or("").to_string();
            let number = |key: &str| entry[key].as_u64().unwrap_or(0);
            Found {
                device: text("IfaceName"),
                kind: text("Kind"),
                is_root: number("Parent") == 0,
                bytes: number("Bytes"),
                packets: number("Packets") as u32,
                drops: number("Drops") as u32,
                requeues: number("Requeues") as u32,
                overlimits: number("Overlimits") as u32,
                queue_length: number("Qlen") as u32,
                backlog: number("Backlog") as u32,
            }
        })
        .collect())
}
