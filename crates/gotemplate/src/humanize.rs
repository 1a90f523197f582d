//! Numbers for people.

use crate::number::format_g;
use crate::time::Time;

const LARGE: [&str; 8] = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

fn four(v: f64) -> String {
    format_g(v, Some(4))
}

/// `1.235M`, `120m`
pub fn humanize(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return four(v);
    }
    let (v, prefix) = if v.abs() >= 1.0 {
        scaled(v, &LARGE, |v| v.abs() < 1000.0, 1.0 / 1000.0)
    } else {
        scaled(v, &SMALL, |v| v.abs() >= 1.0, 1000.0)
    };
    format!("{}{prefix}", four(v))
}

fn scaled(
    mut v: f64,
    prefixes: &[&'static str],
    done: fn(f64) -> bool,
    factor: f64,
) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if done(v) {
            break;
        }
        prefix = next;
        v = if factor < 1.0 {
            v / (1.0 / factor)
        } else {
            v * factor
        };
    }
    (v, prefix)
}

/// `1Mi`
pub fn humanize1024(v: f64) -> String {
    if v.abs() <= 1.0 || !v.is_finite() {
        return four(v);
    }
    let mut prefix = "";
    let mut v = v;
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if v.abs() < 1024.0 {
            break;
        }
        prefix = next;
        v /= 1024.0;
    }
    format!("{}{prefix}", four(v))
}

/// `1d 2h 3m 4s`, `1.2ms`
pub fn humanize_duration(v: f64) -> String {
    if !v.is_finite() {
        return four(v);
    }
    if v == 0.0 {
        return "0s".into();
    }
    if v.abs() >= 1.0 {
        let sign = if v < 0.0 { "-" } else { "" };
        let v = v.abs();
        let whole = v as i64;
        let (seconds, minutes) = (whole % 60, whole / 60 % 60);
        let (hours, days) = (whole / 3600 % 24, whole / 86_400);
        return if days != 0 {
            format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
        } else if hours != 0 {
            format!("{sign}{hours}h {minutes}m {seconds}s")
        } else if minutes != 0 {
            format!("{sign}{minutes}m {seconds}s")
        } else {
            format!("{sign}{}s", four(v))
        };
    }
    let (v, prefix) = scaled(v, &SMALL, |v| v.abs() >= 1.0, 1000.0);
    format!("{}{prefix}s", four(v))
}

/// `12.5%`
pub fn humanize_percentage(v: f64) -> String {
    format!("{}%", four(v * 100.0))
}

/// The time of unix seconds.
pub fn to_time(v: f64) -> Result<Time, String> {
    if !v.is_finite() {
        return Err(format!(
            "{} cannot be converted to time",
            model::number::format_float_g(v)
        ));
    }
    if (v * 1e9).abs() > i64::MAX as f64 {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            model::number::format_float_g(v)
        ));
    }
    // Upstream's times have milliseconds.
    Ok(Time::from_millis((v * 1e9 / 1e6).trunc() as i64))
}

/// `2015-01-01 00:00:00.5 +0000 UTC`
pub fn humanize_timestamp(v: f64) -> Result<String, String> {
    use crate::value::Object as _;
    if !v.is_finite() {
        return Ok(four(v));
    }
    to_time(v).map(|time| time.print())
}
