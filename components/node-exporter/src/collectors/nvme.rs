//! NVMe controllers and their namespaces.

use std::path::Path;

use crate::collector::CollectError;
use crate::files::{Paths, list, list_or_empty, read_sys, read_u64};
use crate::sink::Sink;

/// Adds identity and sizes.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("class/nvme");
    let devices = match list(&base) {
        Ok(devices) => devices,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for device in &devices {
        let path = base.join(device);
        let text = |file: &str| read_sys(&path.join(file));
        let labels = [
            ("device", device.as_str()),
            ("firmware_revision", &*text("firmware_rev")?),
            ("model", &*text("model")?),
            ("serial", &*text("serial")?),
            ("state", &*text("state")?),
            ("cntlid", &*text("cntlid")?),
        ];
        let help = "Non-numeric data from /sys/class/nvme/<device>, value is always 1.";
        sink.gauge("nvme_info", help, &labels, 1.0);
        for entry in list_or_empty(&path) {
            if let Some(id) = namespace_id(&entry) {
                namespace(device, id, &path.join(&entry), sink)?;
            }
        }
    }
    Ok(())
}

/// The number in `nvme0n1`, also in `nvme0c0n1`.
fn namespace_id(entry: &str) -> Option<&str> {
    let rest = entry.strip_prefix("nvme")?;
    let (controller, id) = rest.rsplit_once('n')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let controller = match controller.split_once('c') {
        Some((subsystem, path)) => digits(subsystem) && digits(path),
        None => digits(controller),
    };
    (controller && digits(id)).then_some(id)
}

fn namespace(device: &str, id: &str, path: &Path, sink: &mut Sink) -> Result<(), CollectError> {
    let state = read_sys(&path.join("ana_state")).unwrap_or_else(|_| "unknown".into());
    let labels = [
        ("device", device),
        ("nsid", id),
        ("ana_state", state.as_str()),
    ];
    let help = "Information about NVMe namespaces. Value is always 1";
    sink.gauge("nvme_namespace_info", help, &labels, 1.0);
    let block = read_u64(&path.join("queue/logical_block_size"))? as f64;
    let size = read_u64(&path.join("size"))? as f64;
    let used = read_u64(&path.join("nuse"))? as f64;
    for (name, help, value) in [
        (
            "nvme_namespace_capacity_bytes",
            "Capacity of the NVMe namespace in bytes. Computed as namespace_size * namespace_logical_block_size",
            size * block,
        ),
        (
            "nvme_namespace_size_bytes",
            "Size of the NVMe namespace in bytes. Available in /sys/class/nvme/<device>/<namespace>/size",
            size * block,
        ),
        (
            "nvme_namespace_used_bytes",
            "Used space of the NVMe namespace in bytes. Available in /sys/class/nvme/<device>/<namespace>/nuse",
            used * block,
        ),
        (
            "nvme_namespace_logical_block_size_bytes",
            "Logical block size of the NVMe namespace in bytes. Usually 4Kb. Available in /sys/class/nvme/<device>/<namespace>/queue/logical_block_size",
            block,
        ),
    ] {
        sink.gauge(name, help, &[("device", device), ("nsid", id)], value);
    }
    Ok(())
}
