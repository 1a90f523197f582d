//! Temperatures and cooling devices that the kernel regulates.

use crate::collector::CollectError;
use crate::files::{Paths, ReadError, list, read_i64, read_sys};
use crate::sink::Sink;

/// Adds zones and cooling devices.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("class/thermal");
    let entries = match list(&base) {
        Ok(entries) => entries,
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for entry in &entries {
        let path = base.join(entry);
        if let Some(zone) = entry.strip_prefix("thermal_zone") {
            let kind = read_sys(&path.join("type")).map_err(no_data)?;
            let millidegrees = read_i64(&path.join("temp")).map_err(no_data)?;
            let labels = [("zone", zone), ("type", kind.as_str())];
            let celsius = millidegrees as f64 / 1000.0;
            sink.gauge(
                "thermal_zone_temp",
                "Zone temperature in Celsius",
                &labels,
                celsius,
            );
        } else if let Some(device) = entry.strip_prefix("cooling_device") {
            let kind = read_sys(&path.join("type"));
            let state = read_i64(&path.join("cur_state"));
            let maximum = read_i64(&path.join("max_state"));
            let (Ok(kind), Ok(state), Ok(maximum)) = (kind, state, maximum) else {
                continue;
            };
            let labels = [("name", device), ("type", kind.as_str())];
            let help = "Current throttle state of the cooling device";
            sink.gauge("cooling_device_cur_state", help, &labels, state as f64);
            let help = "Maximum throttle state of the cooling device";
            sink.gauge("cooling_device_max_state", help, &labels, maximum as f64);
        }
    }
    Ok(())
}

/// A zone that cannot be read now, for instance because its device sleeps, is no fault.
fn no_data(error: ReadError) -> CollectError {
    if error.is_unavailable() {
        CollectError::NoData
    } else {
        error.into()
    }
}
