//! Replicated block devices, from `drbd`.

use model::MetricType::{self, Counter, Gauge};

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Numbers: key, name, help, factor.
const NUMBERS: [(&str, MetricType, &str, &str, f64); 12] = [
    (
        "ns",
        Counter,
        "drbd_network_sent_bytes_total",
        "Total number of bytes sent via the network.",
        1024.0,
    ),
    // Not multiplied upstream either, although the kernel counts in KiB here, too.
    (
        "nr",
        Counter,
        "drbd_network_received_bytes_total",
        "Total number of bytes received via the network.",
        1.0,
    ),
    (
        "dw",
        Counter,
        "drbd_disk_written_bytes_total",
        "Net data written on local hard disk; in bytes.",
        1024.0,
    ),
    (
        "dr",
        Counter,
        "drbd_disk_read_bytes_total",
        "Net data read from local hard disk; in bytes.",
        1024.0,
    ),
    (
        "al",
        Counter,
        "drbd_activitylog_writes_total",
        "Number of updates of the activity log area of the meta data.",
        1.0,
    ),
    (
        "bm",
        Counter,
        "drbd_bitmap_writes_total",
        "Number of updates of the bitmap area of the meta data.",
        1.0,
    ),
    (
        "lo",
        Gauge,
        "drbd_local_pending",
        "Number of open requests to the local I/O sub-system.",
        1.0,
    ),
    (
        "pe",
        Gauge,
        "drbd_remote_pending",
        "Number of requests sent to the peer, but that have not yet been answered by the latter.",
        1.0,
    ),
    (
        "ua",
        Gauge,
        "drbd_remote_unacknowledged",
        "Number of requests received by the peer via the network connection, but that have not yet been answered.",
        1.0,
    ),
    (
        "ap",
        Gauge,
        "drbd_application_pending",
        "Number of block I/O requests forwarded to DRBD, but not yet answered by DRBD.",
        1.0,
    ),
    (
        "ep",
        Gauge,
        "drbd_epochs",
        "Number of Epochs currently on the fly.",
        1.0,
    ),
    (
        "oos",
        Gauge,
        "drbd_out_of_sync_bytes",
        "Amount of data known to be out of sync; in bytes.",
        1024.0,
    ),
];

/// Adds counters and states of every device.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = match read(&paths.proc("drbd")) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    let mut device = "unknown".to_string();
    for word in text.split_ascii_whitespace() {
        let Some((key, value)) = word.split_once(':') else {
            continue;
        };
        if value.is_empty() && !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) {
            device = format!("drbd{key}");
            continue;
        }
        if let Some((_, kind, name, help, factor)) = NUMBERS.iter().find(|number| number.0 == key) {
            let value: f64 = value
                .parse()
                .map_err(|_| CollectError::failed(format!("malformed drbd value: {word:?}")))?;
            sink.add(*kind, name, help, &[("device", &device)], value * factor);
            continue;
        }
        let (name, help, good) = match key {
            "ro" => (
                "drbd_node_role_is_primary",
                "Whether the role of the node is in the primary state.",
                "Primary",
            ),
            "ds" => (
                "drbd_disk_state_is_up_to_date",
                "Whether the disk of the node is up to date.",
                "UpToDate",
            ),
            "cs" => {
                let connected = if value == "Connected" { 1.0 } else { 0.0 };
                let help = "Whether DRBD is connected to the peer.";
                sink.gauge("drbd_connected", help, &[("device", &device)], connected);
                continue;
            }
            _ => continue,
        };
        for (node, state) in ["local", "remote"].iter().zip(value.split('/')) {
            let labels = [("device", device.as_str()), ("node", node)];
            sink.gauge(name, help, &labels, if state == good { 1.0 } else { 0.0 });
        }
    }
    Ok(())
}
