//! Load averages from `loadavg`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds the three averages.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("loadavg"))?;
    let mut loads = text.split_whitespace().map(str::parse::<f64>);
    for (name, help) in [
        ("load1", "1m load average."),
        ("load5", "5m load average."),
        ("load15", "15m load average."),
    ] {
        match loads.next() {
            Some(Ok(load)) => sink.gauge(name, help, &[], load),
            _ => {
                return Err(CollectError::failed(format!(
                    "unexpected content in loadavg: {text:?}"
                )));
            }
        }
    }
    Ok(())
}
