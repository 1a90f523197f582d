//! The state of the kernel's clock discipline, from `adjtimex`.

use model::MetricType::{Counter, Gauge};

use crate::collector::CollectError;
use crate::sink::Sink;

/// `status` says that times are in nanoseconds.
const STA_NANO: i32 = 0x2000;
/// The return value when the clock is not synchronised.
const TIME_ERROR: i32 = 5;
/// One part per million in the kernel's fixed-point frequencies.
const PPM: f64 = 1_000_000.0 * 65536.0;

/// Adds the clock's state.
pub fn update(sink: &mut Sink) -> Result<(), CollectError> {
    // SAFETY: all fields of `timex` are integers, for which zero bytes are valid.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` is 0, so the call only fills the structure it is given.
    let state = unsafe { libc::adjtimex(&mut timex) };
    if state < 0 {
        let error = std::io::Error::last_os_error();
        return Err(match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => CollectError::NoData,
            _ => CollectError::failed(format!("failed to retrieve adjtimex stats: {error}")),
        });
    }
    let divisor = if timex.status & STA_NANO != 0 {
        1e9
    } else {
        1e6
    };
    let synchronised = if state == TIME_ERROR { 0.0 } else { 1.0 };
    for (kind, name, help, value) in [
        (
            Gauge,
            "timex_offset_seconds",
            "Time offset in between local system and reference clock.",
            timex.offset as f64 / divisor,
        ),
        (
            Gauge,
            "timex_frequency_adjustment_ratio",
            "Local clock frequency adjustment.",
            1.0 + timex.freq as f64 / PPM,
        ),
        (
            Gauge,
            "timex_maxerror_seconds",
            "Maximum error in seconds.",
            timex.maxerror as f64 / 1e6,
        ),
        (
            Gauge,
            "timex_estimated_error_seconds",
            "Estimated error in seconds.",
            timex.esterror as f64 / 1e6,
        ),
        (
            Gauge,
            "timex_status",
            "Value of the status array bits.",
            f64::from(timex.status),
        ),
        (
            Gauge,
            "timex_loop_time_constant",
            "Phase-locked loop time constant.",
            timex.constant as f64,
        ),
        (
            Gauge,
            "timex_tick_seconds",
            "Seconds between clock ticks.",
            timex.tick as f64 / 1e6,
        ),
        (
            Gauge,
            "timex_pps_frequency_hertz",
            "Pulse per second frequency.",
            timex.ppsfreq as f64 / PPM,
        ),
        (
            Gauge,
            "timex_pps_jitter_seconds",
            "Pulse per second jitter.",
            timex.jitter as f64 / divisor,
        ),
        (
            Gauge,
            "timex_pps_shift_seconds",
            "Pulse per second interval duration.",
            f64::from(timex.shift),
        ),
        (
            Gauge,
            "timex_pps_stability_hertz",
            "Pulse per second stability, average of recent frequency changes.",
            timex.stabil as f64 / PPM,
        ),
        (
            Counter,
            "timex_pps_jitter_total",
            "Pulse per second count of jitter limit exceeded events.",
            timex.jitcnt as f64,
        ),
        (
            Counter,
            "timex_pps_calibration_total",
            "Pulse per second count of calibration intervals.",
            timex.calcnt as f64,
        ),
        (
            Counter,
            "timex_pps_error_total",
            "Pulse per second count of calibration errors.",
            timex.errcnt as f64,
        ),
        (
            Counter,
            "timex_pps_stability_exceeded_total",
            "Pulse per second count of stability limit exceeded events.",
            timex.stbcnt as f64,
        ),
        (
            Gauge,
            "timex_tai_offset_seconds",
            "International Atomic Time (TAI) offset.",
            f64::from(timex.tai),
        ),
        (
            Gauge,
            "timex_sync_status",
            "Is clock synchronized to a reliable server (1 = yes, 0 = no).",
            synchronised,
        ),
    ] {
        sink.add(kind, name, help, &[], value);
    }
    Ok(())
}
