//! ZFS: caches, transactions, pools and datasets, from `spl/kstat/zfs`.

use crate::collector::CollectError;
use crate::files::{Paths, ReadError, list, list_or_empty, read};
use crate::sink::Sink;

/// Files of the module as a whole: our part of the name, the file.
const MODULE: [(&str, &str); 11] = [
    ("zfs_abd", "abdstats"),
    ("zfs_arc", "arcstats"),
    ("zfs_dbuf", "dbufstats"),
    ("zfs_dmu_tx", "dmu_tx"),
    ("zfs_dnode", "dnodestats"),
    ("zfs_fm", "fm"),
    ("zfs_vdev_cache", "vdev_cache_stats"), // gone with version 2.3
    ("zfs_vdev_mirror", "vdev_mirror_stats"),
    ("zfs_xuio", "xuio_stats"), // gone with version 2.0
    ("zfs_zfetch", "zfetchstats"),
    ("zfs_zil", "zil"),
];

/// States a pool is shown to be in or not in.
const STATES: [&str; 7] = [
    "online",
    "degraded",
    "faulted",
    "offline",
    "removed",
    "unavail",
    "suspended",
];

/// Adds everything numeric.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.proc("spl/kstat/zfs");
    let entries = match list(&base) {
        Ok(entries) => entries,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for (prefix, file) in MODULE {
        let text = match read(&base.join(file)) {
            Ok(text) => text,
            Err(error) if error.is_absent() => continue,
            Err(error) => return Err(error.into()),
        };
        each_number(&text, |name, value| {
            let help = format!("kstat.zfs.misc.{file}.{name}");
            sink.untyped(
                &format!("{prefix}_{}", name.replace('-', "_")),
                &help,
                &[],
                value,
            );
        })
        .map_err(|line| malformed(file, &line))?;
    }
    for pool in &entries {
        let path = base.join(pool);
        if path.is_dir() {
            pool_io(pool, present(read(&path.join("io")))?, sink)?;
            for file in list_or_empty(&path)
                .iter()
                .filter(|file| file.starts_with("objset-"))
            {
                if let Some(text) = present(read(&path.join(file)))? {
                    dataset(pool, &text, sink)?;
                }
            }
            pool_state(pool, present(read(&path.join("state")))?, sink);
        }
    }
    Ok(())
}

/// Pools and datasets may vanish between listing and reading.
fn present(found: Result<String, ReadError>) -> Result<Option<String>, ReadError> {
    match found {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

fn malformed(file: &str, line: &str) -> CollectError {
    CollectError::failed(format!("could not parse {file}: {line:?}"))
}

/// Calls `visit` for each number (signed or unsigned, 64 bits) after the headline. Fails with the line.
fn each_number(text: &str, mut visit: impl FnMut(&str, f64)) -> Result<(), String> {
    let mut lines = text.lines();
    if !lines.any(|line| line.split_ascii_whitespace().eq(["name", "type", "data"])) {
        return Err("no headline".into());
    }
    for line in lines {
        let mut words = line.split_ascii_whitespace();
        if let (Some(name), Some("3" | "4"), Some(value), None) =
            (words.next(), words.next(), words.next(), words.next())
        {
            visit(name, value.parse().map_err(|_| line.to_string())?);
        }
    }
    Ok(())
}

/// The pool's single row of numbers under a row of names; older versions only.
fn pool_io(pool: &str, text: Option<String>, sink: &mut Sink) -> Result<(), CollectError> {
    let Some(text) = text else { return Ok(()) };
    let mut names: Vec<&str> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if names.is_empty() {
            if words.len() >= 12 && words[0] == "nread" {
                names = words;
            }
            continue;
        }
        for (name, value) in names.iter().zip(&words) {
            let value: f64 = value.parse().map_err(|_| malformed("io", line))?;
            let help = format!("kstat.zfs.misc.io.{name}");
            sink.untyped(
                &format!("zfs_zpool_{name}"),
                &help,
                &[("zpool", pool)],
                value,
            );
        }
    }
    Ok(())
}

fn dataset(pool: &str, text: &str, sink: &mut Sink) -> Result<(), CollectError> {
    // The name is all that follows the type, blanks included.
    let name = text.lines().find_map(|line| {
        let rest = line.strip_prefix("dataset_name")?.trim_start();
        Some(rest.strip_prefix('7')?.trim())
    });
    let labels = [("zpool", pool), ("dataset", name.unwrap_or(""))];
    each_number(text, |name, value| {
        let help = format!("kstat.zfs.misc.objset.{name}");
        sink.untyped(
            &format!("zfs_zpool_dataset_{}", name.replace('-', "_")),
            &help,
            &labels,
            value,
        );
    })
    .map_err(|line| malformed("objset", &line))
}

fn pool_state(pool: &str, text: Option<String>, sink: &mut Sink) {
    let Some(text) = text else { return };
    let current = text.trim().to_lowercase();
    for state in STATES {
        let value = if state == current { 1.0 } else { 0.0 };
        let labels = [("zpool", pool), ("state", state)];
        sink.gauge("zfs_zpool_state", "kstat.zfs.misc.state", &labels, value);
    }
}
