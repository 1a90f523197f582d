//! Memory use by NUMA node.

use crate::collector::CollectError;
use crate::files::{Paths, list_or_empty, read};
use crate::sink::Sink;

/// Adds each node's `meminfo` and `numastat`.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("devices/system/node");
    for entry in list_or_empty(&base) {
        let Some(node) = entry.strip_prefix("node") else {
            continue;
        };
        if node.is_empty() || !node.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let bad = |line: &str| {
            CollectError::failed(format!("couldn't parse numa memory of {entry}: {line:?}"))
        };
        let text = read(&base.join(&entry).join("meminfo"))?;
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let (field, value, factor) = match words[..] {
                [] => continue,
                ["Node", _, field, value] => (field, value, 1.0),
                ["Node", _, field, value, "kB"] => (field, value, 1024.0),
                _ => return Err(bad(line)),
            };
            let value: f64 = value.parse().map_err(|_| bad(line))?;
            let field = field
                .trim_end_matches(':')
                .replace('(', "_")
                .replace(')', "");
            let help = format!("Memory information field {field}.");
            sink.gauge(
                &format!("memory_numa_{field}"),
                &help,
                &[("node", node)],
                value * factor,
            );
        }
        let text = read(&base.join(&entry).join("numastat"))?;
        for line in text.lines() {
            let Some((field, value)) = line.split_once(' ') else {
                return Err(bad(line));
            };
            let value: f64 = value.trim().parse().map_err(|_| bad(line))?;
            let help = format!("Memory information field {field}_total.");
            sink.counter(
                &format!("memory_numa_{field}_total"),
                &help,
                &[("node", node)],
                value,
            );
        }
    }
    Ok(())
}
