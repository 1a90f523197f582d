//! Device-mapper multipath devices and the state of their paths.

use crate::collector::CollectError;
use crate::files::{Paths, list, list_or_empty, read_sys, read_u64};
use crate::sink::Sink;

const SECTOR_BYTES: f64 = 512.0;

/// Adds devices and paths.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("block");
    let entries = match list(&base) {
        Ok(entries) => entries,
        Err(error) if error.is_absent() || error.is_denied() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for entry in entries.iter().filter(|entry| entry.starts_with("dm-")) {
        let path = base.join(entry);
        let Ok(uuid) = read_sys(&path.join("dm/uuid")) else {
            continue;
        };
        if !uuid.starts_with("mpath-") {
            continue;
        }
        let name = read_sys(&path.join("dm/name"))?;
        let suspended = read_u64(&path.join("dm/suspended"))? != 0;
        let sectors = read_u64(&path.join("size"))? as f64;
        let mut states = Vec::new();
        for slave in list_or_empty(&path.join("slaves")) {
            let state = read_sys(&base.join(&slave).join("device/state"))
                .unwrap_or_else(|_| "unknown".into());
            states.push((slave, state));
        }
        let active = states
            .iter()
            .filter(|(_, state)| matches!(state.as_str(), "running" | "live"))
            .count();
        let labels = [("device", name.as_str()), ("sysfs_name", entry.as_str())];
        let info = [
            ("device", name.as_str()),
            ("sysfs_name", entry.as_str()),
            ("uuid", uuid.as_str()),
        ];
        let help = "Non-numeric information about a DM-multipath device.";
        sink.gauge("dmmultipath_device_info", help, &info, 1.0);
        for (name, help, value) in [
            (
                "dmmultipath_device_active",
                "Whether the multipath device-mapper device is active (1) or suspended (0).",
                if suspended { 0.0 } else { 1.0 },
            ),
            (
                "dmmultipath_device_size_bytes",
                "Size of the multipath device in bytes, read from /sys/block/<dm>/size.",
                sectors * SECTOR_BYTES,
            ),
            (
                "dmmultipath_device_paths",
                "Number of paths for a multipath device.",
                states.len() as f64,
            ),
            (
                "dmmultipath_device_paths_active",
                "Number of paths in active state (SCSI running or NVMe live) for a multipath device.",
                active as f64,
            ),
            (
                "dmmultipath_device_paths_failed",
                "Number of paths not in active state for a multipath device.",
                (states.len() - active) as f64,
            ),
        ] {
            sink.gauge(name, help, &labels, value);
        }
        for (slave, state) in &states {
            let labels = [
                ("device", name.as_str()),
                ("path", slave.as_str()),
                ("state", state.as_str()),
            ];
            let help = "Reports the underlying device state for a multipath path, as read from /sys/block/<dev>/device/state.";
            sink.gauge("dmmultipath_path_state", help, &labels, 1.0);
        }
    }
    Ok(())
}
