//! Block caches of bcache.

use std::path::Path;

use model::MetricType::{self, Counter, Gauge};

use crate::collector::CollectError;
use crate::files::{Paths, ReadError, list_or_empty, read, read_sys};
use crate::sink::Sink;

/// Files of a cache set: file, type, name, help.
const SET: [(&str, MetricType, &str, &str); 9] = [
    (
        "average_key_size",
        Gauge,
        "bcache_average_key_size_sectors",
        "Average data per key in the btree (sectors).",
    ),
    (
        "btree_cache_size",
        Gauge,
        "bcache_btree_cache_size_bytes",
        "Amount of memory currently used by the btree cache.",
    ),
    (
        "cache_available_percent",
        Gauge,
        "bcache_cache_available_percent",
        "Percentage of cache device without dirty data, usable for writeback (may contain clean cached data).",
    ),
    ("congested", Gauge, "bcache_congested", "Congestion."),
    (
        "root_usage_percent",
        Gauge,
        "bcache_root_usage_percent",
        "Percentage of the root btree node in use (tree depth increases if too high).",
    ),
    (
        "tree_depth",
        Gauge,
        "bcache_tree_depth",
        "Depth of the btree.",
    ),
    (
        "internal/active_journal_entries",
        Gauge,
        "bcache_active_journal_entries",
        "Number of journal entries that are newer than the index.",
    ),
    (
        "internal/btree_nodes",
        Gauge,
        "bcache_btree_nodes",
        "Total nodes in the btree.",
    ),
    (
        "internal/cache_read_races",
        Counter,
        "bcache_cache_read_races_total",
        "Counts instances where while data was being read from the cache, the bucket was reused and invalidated - i.e. where the pointer was stale after the read completed.",
    ),
];

/// Files of a backing device's totals.
const TOTALS: [(&str, MetricType, &str, &str); 6] = [
    (
        "bypassed",
        Counter,
        "bcache_bypassed_bytes_total",
        "Amount of IO (both reads and writes) that has bypassed the cache.",
    ),
    (
        "cache_hits",
        Counter,
        "bcache_cache_hits_total",
        "Hits counted per individual IO as bcache sees them.",
    ),
    (
        "cache_misses",
        Counter,
        "bcache_cache_misses_total",
        "Misses counted per individual IO as bcache sees them.",
    ),
    (
        "cache_bypass_hits",
        Counter,
        "bcache_cache_bypass_hits_total",
        "Hits for IO intended to skip the cache.",
    ),
    (
        "cache_bypass_misses",
        Counter,
        "bcache_cache_bypass_misses_total",
        "Misses for IO intended to skip the cache.",
    ),
    (
        "cache_miss_collisions",
        Counter,
        "bcache_cache_miss_collisions_total",
        "Instances where data insertion from cache miss raced with write (data already present).",
    ),
];

/// Lines of a backing device's write-back state.
const WRITEBACK: [(&str, MetricType, &str, &str); 5] = [
    (
        "rate",
        Gauge,
        "bcache_writeback_rate",
        "Current writeback rate for this backing device in bytes.",
    ),
    (
        "target",
        Gauge,
        "bcache_dirty_target_bytes",
        "Current dirty data target threshold for this backing device in bytes.",
    ),
    (
        "proportional",
        Gauge,
        "bcache_writeback_rate_proportional_term",
        "Current result of proportional controller, part of writeback rate",
    ),
    (
        "integral",
        Gauge,
        "bcache_writeback_rate_integral_term",
        "Current result of integral controller, part of writeback rate",
    ),
    (
        "change",
        Gauge,
        "bcache_writeback_change",
        "Last writeback rate change step for this backing device.",
    ),
];

/// Files of a cache device.
const CACHE: [(&str, MetricType, &str, &str); 3] = [
    (
        "io_errors",
        Gauge,
        "bcache_io_errors",
        "Number of errors that have occurred, decayed by io_error_halflife.",
    ),
    (
        "metadata_written",
        Counter,
        "bcache_metadata_written_bytes_total",
        "Sum of all non data writes (btree writes and all other metadata).",
    ),
    (
        "written",
        Counter,
        "bcache_written_bytes_total",
        "Sum of all data that has been written to the cache.",
    ),
];

/// Adds sets, their backing devices and their cache devices. Without bcache there is nothing, which is no error.
pub fn update(paths: &Paths, priority_stats: bool, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("fs/bcache");
    for uuid in list_or_empty(&base)
        .iter()
        .filter(|name| name.contains('-'))
    {
        let path = base.join(uuid);
        let labels = [("uuid", uuid.as_str())];
        for (file, kind, name, help) in SET {
            sink.add(kind, name, help, &labels, number(&path.join(file))?);
        }
        // Named after microseconds, but read as nanoseconds, as upstream does.
        let nanoseconds = number(&path.join("internal/btree_read_average_duration_us"))?;
        let help = "Average btree read duration.";
        sink.gauge(
            "bcache_btree_read_average_duration_seconds",
            help,
            &labels,
            nanoseconds * 1e-9,
        );
        for device in list_or_empty(&path) {
            if device.starts_with("bdev") {
                backing(uuid, &device, &path.join(&device), sink)?;
            } else if device.starts_with("cache") && path.join(&device).join("io_errors").exists() {
                cache(uuid, &device, &path.join(&device), priority_stats, sink)?;
            }
        }
    }
    Ok(())
}

fn backing(uuid: &str, device: &str, path: &Path, sink: &mut Sink) -> Result<(), CollectError> {
    let labels = [("uuid", uuid), ("backing_device", device)];
    let help = "Amount of dirty data for this backing device in the cache.";
    sink.gauge(
        "bcache_dirty_data_bytes",
        help,
        &labels,
        number(&path.join("dirty_data"))?,
    );
    let state = read(&path.join("writeback_rate_debug"))?;
    for (key, kind, name, help) in WRITEBACK {
        let value = state
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        if let Some(value) = value {
            let value = value.trim().trim_end_matches("/sec");
            let value = dehumanize(value)
                .ok_or_else(|| CollectError::failed(format!("malformed bcache value {value:?}")))?;
            sink.add(kind, name, help, &labels, value);
        }
    }
    for (file, kind, name, help) in TOTALS {
        sink.add(
            kind,
            name,
            help,
            &labels,
            number(&path.join("stats_total").join(file))?,
        );
    }
    // Newer kernels do not count them any more.
    if let Ok(readaheads) = number(&path.join("stats_total/cache_readaheads"))
        && readaheads != 0.0
    {
        let help = "Count of times readahead occurred.";
        sink.counter("bcache_cache_readaheads_total", help, &labels, readaheads);
    }
    Ok(())
}

fn cache(
    uuid: &str,
    device: &str,
    path: &Path,
    priority_stats: bool,
    sink: &mut Sink,
) -> Result<(), CollectError> {
    let labels = [("uuid", uuid), ("cache_device", device)];
    for (file, kind, name, help) in CACHE {
        sink.add(kind, name, help, &labels, number(&path.join(file))?);
    }
    if !priority_stats {
        return Ok(());
    }
    let text = read(&path.join("priority_stats"))?;
    for (key, name, help) in [
        (
            "Unused:",
            "bcache_priority_stats_unused_percent",
            "The percentage of the cache that doesn't contain any data.",
        ),
        (
            "Metadata:",
            "bcache_priority_stats_metadata_percent",
            "Bcache's metadata overhead.",
        ),
    ] {
        let value = text.lines().find_map(|line| {
            line.strip_prefix(key)?
                .trim()
                .trim_end_matches('%')
                .parse()
                .ok()
        });
        if let Some(value) = value {
            sink.gauge(name, help, &labels, value);
        }
    }
    Ok(())
}

fn number(path: &Path) -> Result<f64, ReadError> {
    let text = read_sys(path)?;
    dehumanize(&text).ok_or_else(|| ReadError::malformed(path, format!("{text:?} is not a number")))
}

/// Numbers such as `427.5k`. The digit after the point counts in 1/10.24 parts, as the kernel's printing does.
fn dehumanize(text: &str) -> Option<f64> {
    let (digits, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let power = match unit {
        "" => 0,
        unit => "kMGTPEZY".find(unit).filter(|_| unit.len() == 1)? as i32 + 1,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: f64 = whole.parse::<i64>().ok()? as f64;
    let fraction: f64 = if fraction.is_empty() {
        0.0
    } else {
        fraction.parse::<u32>().ok()? as f64 / 10.24
    };
    Some(((whole + fraction) * 1024f64.powi(power)).round())
}

#[cfg(test)]
mod tests {
    use super::dehumanize;

    #[test]
    fn human_numbers() {
        for (text, want) in [
            ("542", Some(542.0)),
            ("427.5k", Some(437_748.0)),
            ("1.1M", Some(1_150_976.0)),
            ("x", None),
            ("1.", Some(1.0)),
            ("2kk", None),
        ] {
            assert_eq!(dehumanize(text), want, "{text}");
        }
    }
}
