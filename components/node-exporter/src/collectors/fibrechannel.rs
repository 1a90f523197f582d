//! Fibre Channel host adapters.

use crate::collector::CollectError;
use crate::files::{Paths, list, read_sys};
use crate::sink::Sink;

/// Statistics files, endings and help texts.
const COUNTERS: [(&str, &str, &str); 14] = [
    ("dumped_frames", "dumped_frames", "Number of dumped frames"),
    ("error_frames", "error_frames", "Number of errors in frames"),
    (
        "invalid_crc_count",
        "invalid_crc",
        "Invalid Cyclic Redundancy Check count",
    ),
    ("rx_frames", "rx_frames", "Number of frames received"),
    (
        "rx_words",
        "rx_words",
        "Number of words received by host port",
    ),
    (
        "tx_frames",
        "tx_frames",
        "Number of frames transmitted by host port",
    ),
    (
        "tx_words",
        "tx_words",
        "Number of words transmitted by host port",
    ),
    (
        "seconds_since_last_reset",
        "seconds_since_last_reset",
        "Number of seconds since last host port reset",
    ),
    (
        "invalid_tx_word_count",
        "invalid_tx_words",
        "Number of invalid words transmitted by host port",
    ),
    (
        "link_failure_count",
        "link_failure",
        "Number of times the host port link has failed",
    ),
    (
        "loss_of_sync_count",
        "loss_of_sync",
        "Number of failures on either bit or transmission word boundaries",
    ),
    (
        "loss_of_signal_count",
        "loss_of_signal",
        "Number of times signal has been lost",
    ),
    (
        "nos_count",
        "nos",
        "Number Not_Operational Primitive Sequence received by host port",
    ),
    (
        "fcp_packet_aborts",
        "fcp_packet_aborts",
        "Number of aborted packets",
    ),
];

/// Adds identity and statistics of every adapter.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("class/fc_host");
    let hosts = match list(&base) {
        Ok(hosts) => hosts,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for host in &hosts {
        let path = base.join(host);
        let text = |file: &str| read_sys(&path.join(file)).unwrap_or_default();
        let id = |file: &str| text(file).trim_start_matches("0x").to_string();
        let state = text("port_state");
        let labels = [
            ("fc_host", host.as_str()),
            ("speed", &*text("speed")),
            ("port_state", &state),
            ("port_type", &*text("port_type")),
            ("port_id", &*id("port_id")),
            ("port_name", &*id("port_name")),
            ("fabric_name", &*id("fabric_name")),
            ("symbolic_name", &*text("symbolic_name")),
            ("supported_classes", &*text("supported_classes")),
            ("supported_speeds", &*text("supported_speeds")),
            ("dev_loss_tmo", &*text("dev_loss_tmo")),
        ];
        let help = "Non-numeric data from /sys/class/fc_host/<host>, value is always 1.";
        sink.gauge("fibrechannel_info", help, &labels, 1.0);
        for (file, name, help) in COUNTERS {
            let value = if state == "Unknown" {
                Some(0) // what the adapter says without a link means nothing
            } else {
                let raw = read_sys(&path.join("statistics").join(file)).ok();
                raw.and_then(|raw| u64::from_str_radix(raw.trim_start_matches("0x"), 16).ok())
                    .filter(|value| *value != u64::MAX) // not implemented
            };
            if let Some(value) = value {
                let name = format!("fibrechannel_{name}_total");
                sink.counter(&name, help, &[("fc_host", host)], value as f64);
            }
        }
    }
    Ok(())
}
