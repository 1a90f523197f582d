//! Software RAID arrays, from `mdstat` and sysfs.

use crate::collector::CollectError;
use crate::files::{Paths, list_or_empty, read, read_sys};
use crate::sink::Sink;

/// The states an array is shown to be in or not in.
const STATES: [&str; 5] = ["active", "inactive", "recovering", "resync", "check"];

/// One array of `mdstat`.
#[derive(Debug, Clone, Default, PartialEq)]
struct Array {
    name: String,
    state: &'static str,
    active: u64,
    total: u64,
    failed: u64,
    spare: u64,
    blocks: u64,
    synced: u64,
}

/// Adds arrays as `mdstat` shows them, then what sysfs adds.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = match read(&paths.proc("mdstat")) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for array in parse(&text)? {
        let labels = [("device", array.name.as_str())];
        for (state, count) in [
            ("active", array.active),
            ("failed", array.failed),
            ("spare", array.spare),
        ] {
            let help = "Number of active/failed/spare disks of device.";
            let labels = [("device", array.name.as_str()), ("state", state)];
            sink.gauge("md_disks", help, &labels, count as f64);
        }
        let help = "Total number of disks of device.";
        sink.gauge("md_disks_required", help, &labels, array.total as f64);
        for state in STATES {
            let labels = [("device", array.name.as_str()), ("state", state)];
            let value = if state == array.state { 1.0 } else { 0.0 };
            sink.gauge(
                "md_state",
                "Indicates the state of md-device.",
                &labels,
                value,
            );
        }
        let help = "Total number of blocks on device.";
        sink.gauge("md_blocks", help, &labels, array.blocks as f64);
        let help = "Number of blocks synced on device.";
        sink.gauge("md_blocks_synced", help, &labels, array.synced as f64);
    }
    update_sysfs(paths, sink)
}

fn update_sysfs(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("block");
    for device in list_or_empty(&base)
        .iter()
        .filter(|name| name.starts_with("md"))
    {
        let path = base.join(device).join("md");
        if !path.is_dir() {
            continue;
        }
        let level = read_sys(&path.join("level"))?;
        let labels = [("device", device.as_str())];
        // Containers have no disks of their own.
        if level != "container"
            && let Ok(disks) = read_sys(&path.join("raid_disks"))?
                .split(' ')
                .next()
                .unwrap_or("")
                .parse::<u64>()
        {
            sink.gauge(
                "md_raid_disks",
                "Number of raid disks on device.",
                &labels,
                disks as f64,
            );
        }
        let degraded = match level.as_str() {
            "raid1" | "raid4" | "raid5" | "raid6" | "raid10" => {
                let text = read_sys(&path.join("degraded"))?;
                text.parse::<u64>().map_err(|_| {
                    CollectError::failed(format!("malformed number of degraded disks {text:?}"))
                })?
            }
            _ => 0,
        };
        let help = "Number of degraded disks on device.";
        sink.gauge("md_degraded", help, &labels, degraded as f64);
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Array>, CollectError> {
    let bad = |what: &str, line: &str| {
        CollectError::failed(format!("error parsing mdstat: {what} in {line:?}"))
    };
    let lines: Vec<&str> = text.lines().collect();
    let known: Vec<&str> = lines
        .first()
        .filter(|line| line.starts_with("Personalities"))
        .map(|line| line.split(['[', ']', ' ']).collect())
        .unwrap_or_default();
    let mut arrays = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        if line.trim().is_empty()
            || line.starts_with([' ', '\t'])
            || line.starts_with("Personalities")
            || line.starts_with("unused")
        {
            continue;
        }
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, _, state, ..] = fields[..] else {
            return Err(bad("too few fields", line));
        };
        let blocks_line = lines.get(i + 1).copied().unwrap_or("");
        let blocks = blocks_line
            .split_ascii_whitespace()
            .next()
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| bad("no number of blocks", line))?;
        let kind = fields[3..]
            .iter()
            .find(|field| known.contains(field))
            .copied()
            .unwrap_or("");
        let disks = fields[3..]
            .iter()
            .filter(|field| field.contains('['))
            .count() as u64;
        let (active, total) = if state == "inactive" {
            (0, 0)
        } else if matches!(kind, "raid0" | "linear") {
            (disks, disks)
        } else {
            counts(blocks_line).ok_or_else(|| bad("no disk counts", line))?
        };
        let mut array = Array {
            name: name.to_string(),
            state: STATES
                .into_iter()
                .find(|known| *known == state)
                .unwrap_or(""),
            active,
            total,
            failed: line.matches("(F)").count() as u64,
            spare: line.matches("(S)").count() as u64,
            blocks,
            synced: blocks,
        };
        let mut sync = lines.get(i + 2).copied().unwrap_or("");
        if sync.contains("bitmap") {
            sync = lines.get(i + 3).copied().unwrap_or("");
        }
        if ["recovery", "resync", "reshape", "check"]
            .iter()
            .any(|word| sync.contains(word))
        {
            array.state = if sync.contains("recovery") {
                "recovering"
            } else if sync.contains("reshape") {
                "reshaping"
            } else if sync.contains("check") {
                "check"
            } else {
                "resync"
            };
            array.synced = if sync.contains("PENDING") || sync.contains("DELAYED") {
                0
            } else {
                synced(sync).ok_or_else(|| bad("no progress", sync))?
            };
        }
        arrays.push(array);
    }
    Ok(arrays)
}

/// Active and total disks from `[2/1] [U_]`.
fn counts(line: &str) -> Option<(u64, u64)> {
    line.split_ascii_whitespace().rev().find_map(|word| {
        let (total, active) = word.strip_prefix('[')?.strip_suffix(']')?.split_once('/')?;
        Some((active.parse().ok()?, total.parse().ok()?))
    })
}

/// Blocks done from `(16775552/195310144)`.
fn synced(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once('(')?;
    rest.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_tables_are_refused() {
        assert!(parse("md0 : active\n").is_err());
        assert!(parse("md0 : active raid1 a[0]\n  100 blocks\n").is_err());
        assert!(
            parse("Personalities : [raid1]\nunused devices: <none>\n")
                .unwrap()
                .is_empty()
        );
    }
}
