//! What the scheduler did on each processor, from `schedstat`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds running and waiting time and the number of time slices.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = match read(&paths.proc("schedstat")) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("cpu") else {
            continue;
        };
        let mut words = rest.split_ascii_whitespace();
        let Some(cpu) = words.next() else { continue };
        let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
        let [.., running, waiting, slices] = numbers[..] else {
            continue;
        };
        let labels = [("cpu", cpu)];
        let help = "Number of seconds CPU spent running a process.";
        sink.counter(
            "schedstat_running_seconds_total",
            help,
            &labels,
            running / 1e9,
        );
        let help = "Number of seconds spent by processing waiting for this CPU.";
        sink.counter(
            "schedstat_waiting_seconds_total",
            help,
            &labels,
            waiting / 1e9,
        );
        let help = "Number of timeslices executed by CPU.";
        sink.counter("schedstat_timeslices_total", help, &labels, slices);
    }
    Ok(())
}
