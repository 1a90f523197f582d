//! Swap areas, from `swaps`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds size, use and priority of every area.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("swaps"))?;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [device, kind, size, used, priority] = fields[..] else {
            return Err(CollectError::failed(format!(
                "malformed swaps line: {line:?}"
            )));
        };
        let number = |text: &str| {
            text.parse::<f64>()
                .map_err(|_| CollectError::failed(format!("malformed swaps line: {line:?}")))
        };
        let labels = [("device", device), ("swap_type", kind)];
        sink.gauge(
            "swap_size_bytes",
            "Swap device size in bytes.",
            &labels,
            number(size)? * 1024.0,
        );
        sink.gauge(
            "swap_used_bytes",
            "Swap device used in bytes.",
            &labels,
            number(used)? * 1024.0,
        );
        sink.gauge(
            "swap_priority",
            "Swap device priority.",
            &labels,
            number(priority)?,
        );
    }
    Ok(())
}
