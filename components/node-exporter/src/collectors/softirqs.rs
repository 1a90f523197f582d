//! Soft interrupts by processor, from `softirqs`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds one counter per vector and processor.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("softirqs"))?;
    for line in text.lines().skip(1) {
        let Some((vector, counts)) = line.split_once(':') else {
            continue;
        };
        for (cpu, count) in counts.split_ascii_whitespace().enumerate() {
            let count: f64 = count
                .parse()
                .map_err(|_| CollectError::failed(format!("malformed softirqs line: {line:?}")))?;
            let cpu = cpu.to_string();
            let labels = [("cpu", cpu.as_str()), ("type", vector.trim())];
            sink.counter(
                "softirqs_functions_total",
                "Softirq counts per CPU.",
                &labels,
                count,
            );
        }
    }
    Ok(())
}
