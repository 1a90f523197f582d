//! The wall clock, its zone, and the sources the kernel keeps it from.

use std::ffi::CStr;

use env::clock::Clock;

use crate::collector::CollectError;
use crate::files::{Paths, list_or_empty, read_sys};
use crate::sink::Sink;

/// Adds time, zone and clock sources.
pub fn update(paths: &Paths, clock: &dyn Clock, sink: &mut Sink) -> Result<(), CollectError> {
    let now = clock.now();
    let seconds = now as f64 / 1000.0;
    sink.gauge(
        "time_seconds",
        "System time in seconds since epoch (1970).",
        &[],
        seconds,
    );
    let (zone, offset) = local_zone(now.div_euclid(1000));
    let help = "System time zone offset in seconds.";
    sink.gauge(
        "time_zone_offset_seconds",
        help,
        &[("time_zone", &zone)],
        offset as f64,
    );
    let base = paths.sys("devices/system/clocksource");
    for entry in list_or_empty(&base) {
        let Some(device) = entry.strip_prefix("clocksource") else {
            continue;
        };
        let available = read_sys(&base.join(&entry).join("available_clocksource"))?;
        let current = read_sys(&base.join(&entry).join("current_clocksource"))?;
        for source in available.split_ascii_whitespace() {
            let help = "Available clocksources read from '/sys/devices/system/clocksource'.";
            let labels = [("device", device), ("clocksource", source)];
            sink.gauge("time_clocksource_available_info", help, &labels, 1.0);
        }
        let help = "Current clocksource read from '/sys/devices/system/clocksource'.";
        let labels = [("device", device), ("clocksource", current.as_str())];
        sink.gauge("time_clocksource_current_info", help, &labels, 1.0);
    }
    Ok(())
}

/// The name of the local time zone at a moment, and its distance from UTC in seconds.
fn local_zone(unix_seconds: i64) -> (String, i64) {
    let seconds = unix_seconds as libc::time_t;
    // SAFETY: all fields of `tm` are integers or a pointer, for which zero bytes are valid.
    let mut broken: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals; `localtime_r` writes only to the second.
    let done = unsafe { libc::localtime_r(&seconds, &mut broken) };
    if done.is_null() || broken.tm_zone.is_null() {
        return ("UTC".into(), 0);
    }
    // SAFETY: on success `tm_zone` points to a string that the C library keeps for good.
    let zone = unsafe { CStr::from_ptr(broken.tm_zone) };
    (zone.to_string_lossy().into_owned(), broken.tm_gmtoff)
}
