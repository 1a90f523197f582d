//! Caches of the network stack, from `net/stat/*`.

use crate::collector::CollectError;
use crate::files::{Paths, list_or_empty, read};
use crate::sink::Sink;

/// Adds one counter per column and processor.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.proc("net/stat");
    for subsystem in list_or_empty(&base) {
        let text = read(&base.join(&subsystem))?;
        let mut lines = text.lines();
        let names: Vec<&str> = lines
            .next()
            .unwrap_or("")
            .split_ascii_whitespace()
            .collect();
        for (cpu, line) in lines.enumerate() {
            let cpu = cpu.to_string();
            for (name, word) in names.iter().zip(line.split_ascii_whitespace()) {
                let value = u64::from_str_radix(word, 16).map_err(|_| {
                    CollectError::failed(format!("malformed net/stat/{subsystem} line: {line:?}"))
                })?;
                let labels = [("subsystem", subsystem.as_str()), ("cpu", cpu.as_str())];
                let name = format!("lnstat_{name}_total");
                sink.counter(&name, "linux network cache stats", &labels, value as f64);
            }
        }
    }
    Ok(())
}
