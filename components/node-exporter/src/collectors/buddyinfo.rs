//! Free memory blocks by order, from `buddyinfo`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds one gauge per node, zone and order.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("buddyinfo"))?;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some("Node"), Some(node), Some("zone"), Some(zone)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(CollectError::failed(format!(
                "malformed buddyinfo line: {line:?}"
            )));
        };
        for (order, word) in words.enumerate() {
            let blocks: f64 = word.parse().map_err(|_| {
                CollectError::failed(format!("invalid value in buddyinfo: {word:?}"))
            })?;
            let size = order.to_string();
            let labels = [
                ("node", node.trim_end_matches(',')),
                ("zone", zone),
                ("size", size.as_str()),
            ];
            sink.gauge(
                "buddyinfo_blocks",
                "Count of free blocks according to size.",
                &labels,
                blocks,
            );
        }
    }
    Ok(())
}
