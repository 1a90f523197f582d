//! Pressure stall information from `pressure/*`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds waiting ("some") and stalled ("full") time by resource.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let mut found = false;
    for (resource, line, name, help) in [
        (
            "cpu",
            "some",
            "pressure_cpu_waiting_seconds_total",
            "Total time in seconds that processes have waited for CPU time",
        ),
        (
            "io",
            "some",
            "pressure_io_waiting_seconds_total",
            "Total time in seconds that processes have waited due to IO congestion",
        ),
        (
            "io",
            "full",
            "pressure_io_stalled_seconds_total",
            "Total time in seconds no process could make progress due to IO congestion",
        ),
        (
            "memory",
            "some",
            "pressure_memory_waiting_seconds_total",
            "Total time in seconds that processes have waited for memory",
        ),
        (
            "memory",
            "full",
            "pressure_memory_stalled_seconds_total",
            "Total time in seconds no process could make progress due to memory congestion",
        ),
        (
            "irq",
            "full",
            "pressure_irq_stalled_seconds_total",
            "Total time in seconds no process could make progress due to IRQ congestion",
        ),
    ] {
        let text = match read(&paths.proc("pressure").join(resource)) {
            Ok(text) => text,
            // Not in this kernel, or switched off at boot.
            Err(error) if error.is_absent() || error.errno() == libc::ENOTSUP => continue,
            Err(error) => return Err(error.into()),
        };
        found = true;
        let total = text
            .lines()
            .find(|l| l.split(' ').next() == Some(line))
            .and_then(|l| l.split_once("total=")?.1.trim().parse::<u64>().ok());
        if let Some(total) = total {
            // Upstream divides twice, which shows in the last digit of some values.
            sink.counter(name, help, &[], total as f64 / 1000.0 / 1000.0);
        }
    }
    if found {
        Ok(())
    } else {
        Err(CollectError::NoData)
    }
}
