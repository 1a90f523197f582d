//! bcachefs file systems: compression, B-tree writes, counters, devices.

use std::path::Path;

use crate::collector::CollectError;
use crate::files::{Paths, ReadError, list, list_or_empty, read, read_sys, read_u64};
use crate::sink::Sink;

/// Adds every mounted file system.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("fs/bcachefs");
    let systems = match list(&base) {
        Ok(systems) => systems,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    if systems.is_empty() {
        return Err(CollectError::NoData);
    }
    for uuid in &systems {
        filesystem(uuid, &base.join(uuid), sink)?;
    }
    Ok(())
}

fn filesystem(uuid: &str, path: &Path, sink: &mut Sink) -> Result<(), CollectError> {
    let labels = [("uuid", uuid)];
    sink.gauge("bcachefs_info", "Filesystem information.", &labels, 1.0);
    let size = bytes_of(&path.join("btree_cache_size"))?;
    let help = "Btree cache memory usage in bytes.";
    sink.gauge("bcachefs_btree_cache_size_bytes", help, &labels, size);
    let text = optional(read(&path.join("compression_stats")))?;
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [algorithm, compressed, uncompressed, ..] = words[..] else {
            continue;
        };
        let labels = [("uuid", uuid), ("algorithm", algorithm)];
        let help = "Compressed size by algorithm.";
        sink.gauge(
            "bcachefs_compression_compressed_bytes",
            help,
            &labels,
            bytes(compressed)?,
        );
        let help = "Uncompressed size by algorithm.";
        sink.gauge(
            "bcachefs_compression_uncompressed_bytes",
            help,
            &labels,
            bytes(uncompressed)?,
        );
    }
    let text = optional(read(&path.join("errors")))?;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(kind), Some(count)) = (words.next(), words.next()) else {
            continue;
        };
        let count: f64 = count
            .parse()
            .map_err(|_| CollectError::failed(format!("malformed bcachefs error {line:?}")))?;
        let labels = [("uuid", uuid), ("error_type", kind)];
        sink.counter(
            "bcachefs_errors_total",
            "Error count by error type.",
            &labels,
            count,
        );
    }
    for counter in list_or_empty(&path.join("counters")) {
        let text = read(&path.join("counters").join(&counter))?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix("since filesystem creation:"));
        let Some(value) = value else { continue };
        let help = format!("Bcachefs counter {counter} since filesystem creation.");
        sink.counter(
            &format!("bcachefs_{counter}_total"),
            &help,
            &labels,
            bytes(value.trim())?,
        );
    }
    let text = optional(read(&path.join("btree_write_stats")))?;
    for line in text.lines() {
        let Some((kind, rest)) = line.split_once(':') else {
            continue;
        };
        let mut words = rest.split_ascii_whitespace();
        let (Some(writes), Some(size)) = (words.next(), words.next()) else {
            continue;
        };
        let labels = [("uuid", uuid), ("type", kind.trim())];
        let help = "Number of btree writes by type.";
        sink.counter("bcachefs_btree_writes_total", help, &labels, bytes(writes)?);
        let help = "Average btree write size by type.";
        sink.gauge(
            "bcachefs_btree_write_average_size_bytes",
            help,
            &labels,
            bytes(size)?,
        );
    }
    for entry in list_or_empty(path) {
        if let Some(device) = entry.strip_prefix("dev-") {
            self::device(uuid, device, &path.join(&entry), sink)?;
        }
    }
    Ok(())
}

fn device(uuid: &str, device: &str, path: &Path, sink: &mut Sink) -> Result<(), CollectError> {
    let label = read_sys(&path.join("label"))?;
    // All states, the current one in brackets; shown as it stands.
    let state = read_sys(&path.join("state"))?;
    let labels = [
        ("uuid", uuid),
        ("device", device),
        ("label", label.as_str()),
        ("state", state.as_str()),
    ];
    sink.gauge("bcachefs_device_info", "Device information.", &labels, 1.0);
    let labels = [("uuid", uuid), ("device", device)];
    let size = bytes_of(&path.join("bucket_size"))?;
    sink.gauge(
        "bcachefs_device_bucket_size_bytes",
        "Bucket size in bytes.",
        &labels,
        size,
    );
    let buckets = read_u64(&path.join("nbuckets"))?;
    sink.gauge(
        "bcachefs_device_buckets",
        "Total number of buckets.",
        &labels,
        buckets as f64,
    );
    let durability = read_u64(&path.join("durability"))?;
    sink.gauge(
        "bcachefs_device_durability",
        "Device durability setting.",
        &labels,
        durability as f64,
    );
    let text = optional(read(&path.join("io_done")))?;
    let mut operation = "";
    for line in text.lines() {
        match line.split_once(':') {
            Some((word, "")) => operation = if word == "write" { "write" } else { "read" },
            Some((kind, done)) => {
                let labels = [
                    ("uuid", uuid),
                    ("device", device),
                    ("operation", operation),
                    ("data_type", kind.trim()),
                ];
                let help = "IO bytes by operation type and data type.";
                sink.counter(
                    "bcachefs_device_io_done_bytes_total",
                    help,
                    &labels,
                    bytes(done.trim())?,
                );
            }
            None => {}
        }
    }
    let text = optional(read(&path.join("io_errors")))?;
    // Only the first part counts since the file system's creation.
    for line in text
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with(' '))
    {
        let Some((kind, count)) = line.split_once(':') else {
            continue;
        };
        let labels = [("uuid", uuid), ("device", device), ("type", kind.trim())];
        let help = "IO errors by error type.";
        sink.counter(
            "bcachefs_device_io_errors_total",
            help,
            &labels,
            bytes(count.trim())?,
        );
    }
    Ok(())
}

/// Files that some kernels do not have are read as empty.
fn optional(found: Result<String, ReadError>) -> Result<String, ReadError> {
    match found {
        Err(error) if error.is_absent() => Ok(String::new()),
        found => found,
    }
}

fn bytes_of(path: &Path) -> Result<f64, CollectError> {
    bytes(&read_sys(path)?)
}

/// A number such as `2.05G`, in powers of 1024, cut to a whole one.
fn bytes(text: &str) -> Result<f64, CollectError> {
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let power = match unit {
        "" => Some(0),
        unit if unit.len() == 1 => "kMGTPE".find(unit).map(|at| at as i32 + 1),
        _ => None,
    };
    match (digits.parse::<f64>(), power) {
        (Ok(number), Some(power)) => Ok((number * 1024f64.powi(power)).trunc()),
        _ => Err(CollectError::failed(format!(
            "malformed bcachefs number {text:?}"
        ))),
    }
}
