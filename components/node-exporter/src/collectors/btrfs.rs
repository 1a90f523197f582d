//! btrfs file systems: space by block group, commits, devices. From sysfs alone.

use std::path::Path;

use crate::collector::CollectError;
use crate::files::{Paths, list_or_empty, read, read_sys, read_u64};
use crate::sink::Sink;

const SECTOR_BYTES: f64 = 512.0;

/// Adds every mounted file system. Without btrfs there is nothing, which is no error.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("fs/btrfs");
    for entry in list_or_empty(&base)
        .iter()
        .filter(|name| name.contains('-'))
    {
        let path = base.join(entry);
        let uuid = read_sys(&path.join("metadata_uuid"))
            .ok()
            .filter(|uuid| !uuid.is_empty())
            .unwrap_or_else(|| entry.clone());
        let label = read_sys(&path.join("label"))?;
        let labels = [("uuid", uuid.as_str()), ("label", label.as_str())];
        sink.gauge("btrfs_info", "Filesystem information", &labels, 1.0);
        let labels = [("uuid", uuid.as_str())];
        let size = read_u64(&path.join("allocation/global_rsv_size"))?;
        sink.gauge(
            "btrfs_global_rsv_size_bytes",
            "Size of global reserve.",
            &labels,
            size as f64,
        );
        commits(&uuid, &path, sink)?;
        let devices = list_or_empty(&path.join("devices"));
        for device in &devices {
            let sectors = read_u64(&path.join("devices").join(device).join("size"))?;
            let labels = [("uuid", uuid.as_str()), ("device", device.as_str())];
            let help = "Size of a device that is part of the filesystem.";
            sink.gauge(
                "btrfs_device_size_bytes",
                help,
                &labels,
                sectors as f64 * SECTOR_BYTES,
            );
        }
        for kind in ["data", "metadata", "system"] {
            groups(
                &uuid,
                kind,
                &path.join("allocation").join(kind),
                devices.len() as f64,
                sink,
            )?;
        }
    }
    Ok(())
}

/// Older kernels do not tell; then all is 0.
fn commits(uuid: &str, path: &Path, sink: &mut Sink) -> Result<(), CollectError> {
    let text = match read(&path.join("commit_stats")) {
        Ok(text) => text,
        Err(error) if error.is_absent() => String::new(),
        Err(error) => return Err(error.into()),
    };
    let get = |key: &str| {
        text.lines()
            .find_map(|line| {
                line.strip_prefix(key)?
                    .strip_prefix(' ')?
                    .trim()
                    .parse::<f64>()
                    .ok()
            })
            .unwrap_or(0.0)
    };
    let labels = [("uuid", uuid)];
    let help = "The total number of commits that have occurred.";
    sink.counter("btrfs_commits_total", help, &labels, get("commits"));
    let help = "Duration of the most recent commit, in seconds.";
    sink.gauge(
        "btrfs_last_commit_seconds",
        help,
        &labels,
        get("last_commit_ms") / 1000.0,
    );
    let help = "Duration of the slowest commit, in seconds.";
    sink.gauge(
        "btrfs_max_commit_seconds",
        help,
        &labels,
        get("max_commit_ms") / 1000.0,
    );
    let help = "Sum of the duration of all commits, in seconds.";
    sink.counter(
        "btrfs_commit_seconds_total",
        help,
        &labels,
        get("total_commit_ms") / 1000.0,
    );
    Ok(())
}

/// One kind of block group, and each layout it is kept in.
fn groups(
    uuid: &str,
    kind: &'static str,
    path: &Path,
    devices: f64,
    sink: &mut Sink,
) -> Result<(), CollectError> {
    let labels = [("uuid", uuid), ("block_group_type", kind)];
    let reserved = read_u64(&path.join("bytes_reserved"))?;
    let help = "Amount of space reserved for a data type";
    sink.gauge("btrfs_reserved_bytes", help, &labels, reserved as f64);
    for mode in list_or_empty(path) {
        let layout = path.join(&mode);
        if !layout.join("total_bytes").is_file() {
            continue;
        }
        let ratio = match mode.as_str() {
            "single" | "raid0" => 1.0,
            "dup" | "raid1" | "raid10" => 2.0,
            "raid1c3" => 3.0,
            "raid1c4" => 4.0,
            "raid5" => devices / (devices - 1.0),
            "raid6" => devices / (devices - 2.0),
            _ => 0.0,
        };
        let used = read_u64(&layout.join("used_bytes"))? as f64;
        let total = read_u64(&layout.join("total_bytes"))? as f64;
        let labels = [
            ("uuid", uuid),
            ("block_group_type", kind),
            ("mode", mode.as_str()),
        ];
        let help = "Amount of used space by a layout/data type";
        sink.gauge("btrfs_used_bytes", help, &labels, used);
        let help = "Amount of space allocated for a layout/data type";
        sink.gauge("btrfs_size_bytes", help, &labels, total);
        let help = "Data allocation ratio for a layout/data type";
        sink.gauge("btrfs_allocation_ratio", help, &labels, ratio);
    }
    Ok(())
}
