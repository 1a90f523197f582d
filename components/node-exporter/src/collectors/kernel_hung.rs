//! Tasks the kernel found hanging.

use crate::collector::CollectError;
use crate::files::{Paths, read_u64};
use crate::sink::Sink;

/// Adds their number since boot.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let count = match read_u64(&paths.proc("sys/kernel/hung_task_detect_count")) {
        Ok(count) => count,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    let help = "Total number of tasks that have been detected as hung since the system booted.";
    sink.counter("kernel_hung_tasks_total", help, &[], count as f64);
    Ok(())
}
