//! Prometheus durations: `1h30m`, units from largest to smallest, each at most once.

use thiserror::Error;

/// A duration that does not parse.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DurationError {
    /// The empty string.
    #[error("empty duration string")]
    Empty,
    /// Not of the form.
    #[error("not a valid duration string: {0}")]
    Invalid(String),
    /// It has a unit that nobody knows.
    #[error("unknown unit {unit} in duration {duration}")]
    Unit {
        /// The unit, quoted.
        unit: String,
        /// The whole, quoted.
        duration: String,
    },
    /// More than 2^63 ns.
    #[error("duration out of range")]
    OutOfRange,
}

/// Units with their milliseconds, from largest to smallest.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The largest duration that upstream can hold: 2^63-1 nanoseconds.
const MAX_MS: i64 = i64::MAX / 1_000_000;

/// Parses `[0-9]+(y|w|d|h|m|s|ms)...` or `0` into milliseconds.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || DurationError::Invalid(crate::labels::go_quote(text));
    let (mut rest, mut next_unit, mut total) = (text, 0, 0i64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(invalid());
        }
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit());
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        if unit.is_empty() || number.parse::<u64>().is_err() {
            return Err(invalid());
        }
        let known = UNITS.iter().position(|(name, _)| *name == unit);
        let at = known.ok_or_else(|| DurationError::Unit {
            unit: crate::labels::go_quote(unit),
            duration: crate::labels::go_quote(text),
        })?;
        if at < next_unit {
            return Err(invalid());
        }
        next_unit = at + 1;
        let number: i64 = number.parse().map_err(|_| DurationError::OutOfRange)?;
        total = number
            .checked_mul(UNITS[at].1)
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| *ms <= MAX_MS)
            .ok_or(DurationError::OutOfRange)?;
        rest = tail;
    }
    Ok(total)
}

/// As [`parse_duration`], a leading `-` allowed.
pub fn parse_signed_duration(text: &str) -> Result<i64, DurationError> {
    match text.strip_prefix('-') {
        Some(rest) => parse_duration(rest).map(|ms| -ms),
        None => parse_duration(text),
    }
}

/// Parses a duration of Go's standard library into the time it means: `1h30m`, `1.5s`, `500ms`, `10us`; no days.
pub fn parse_go_duration(text: &str) -> Result<std::time::Duration, DurationError> {
    let invalid = || DurationError::Invalid(crate::labels::go_quote(text));
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text == "0" {
        return Ok(std::time::Duration::ZERO);
    }
    let mut seconds = 0.0f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        let tail = &rest[digits..];
        let unit = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        seconds += number
            * match &tail[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" | "μs" => 1e-6,
                "ns" => 1e-9,
                _ => return Err(invalid()),
            };
        rest = &tail[unit..];
    }
    std::time::Duration::try_from_secs_f64(seconds).map_err(|_| DurationError::OutOfRange)
}

/// Writes milliseconds the way Go's standard library does: `1h30m0s`, `1m0s`, `1.5s`, `500ms`, `0s`.
pub fn format_go_duration(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    if ms == 0 {
        return "0s".to_string();
    }
    if ms < 1000 {
        return format!("{sign}{ms}ms");
    }
    let seconds = crate::number::format_float((ms % 60_000) as f64 / 1000.0);
    let minutes = ms / 60_000;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// Writes milliseconds the way upstream's `Duration.String` does: `1h30m`, `0s`; years, weeks and days only where they
/// divide the whole.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_string();
    }
    let mut out = String::new();
    let mut rest = ms.unsigned_abs();
    if ms < 0 {
        out.push('-');
    }
    for (unit, size) in UNITS {
        let size = size as u64;
        let exact_only = matches!(unit, "y" | "w");
        if exact_only && !rest.is_multiple_of(size) {
            continue;
        }
        let count = rest / size;
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
            rest -= count * size;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        for (ms, want) in [
            (0, "0s"),
            (500, "500ms"),
            (1500, "1.5s"),
            (15_000, "15s"),
            (60_000, "1m0s"),
            (5_400_000, "1h30m0s"),
            (-90_000, "-1m30s"),
            (86_400_000, "24h0m0s"),
        ] {
            assert_eq!(format_go_duration(ms), want);
        }
    }

    #[test]
    fn go_durations() {
        let ms = |text| parse_go_duration(text).map(|d| d.as_micros());
        assert_eq!(ms("1h0.5m"), Ok(3_630_000_000));
        assert_eq!(ms("2ms"), Ok(2000));
        assert_eq!(ms("0"), Ok(0));
        for bad in ["", "1", "1d", "-1s", "ms", "1.2.3s"] {
            assert!(ms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_ways() {
        for (text, ms, back) in [
            ("0", 0, "0s"),
            ("0w", 0, "0s"),
            ("324ms", 324, "324ms"),
            ("3s", 3000, "3s"),
            ("5m", 300_000, "5m"),
            ("1h", 3_600_000, "1h"),
            ("1h30m", 5_400_000, "1h30m"),
            ("4d", 4 * 86_400_000, "4d"),
            ("4d1h", 4 * 86_400_000 + 3_600_000, "4d1h"),
            ("14d", 14 * 86_400_000, "2w"),
            ("3w", 3 * 7 * 86_400_000, "3w"),
            ("3w2d1h", 23 * 86_400_000 + 3_600_000, "23d1h"),
            ("10y", 10 * 365 * 86_400_000, "10y"),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
            assert_eq!(format_duration(ms), back, "{text}");
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "1",
            "-1s",
            "1s1m",
            "1m1m",
            "s",
            " 1s",
            "99999999999999999999s",
        ] {
            assert!(
                matches!(parse_duration(text), Err(DurationError::Invalid(_))),
                "{text}"
            );
        }
        assert_eq!(
            parse_duration("").unwrap_err().to_string(),
            "empty duration string"
        );
        for (text, unit) in [("1x", "x"), ("1ss", "ss"), ("1.5h", "."), ("1 s", " s")] {
            assert_eq!(
                parse_duration(text).unwrap_err().to_string(),
                format!("unknown unit \"{unit}\" in duration \"{text}\"")
            );
        }
        assert_eq!(parse_duration("294y"), Err(DurationError::OutOfRange));
        assert_eq!(
            parse_duration("99999999999s"),
            Err(DurationError::OutOfRange)
        );
        assert_eq!(parse_signed_duration("-5m"), Ok(-300_000));
    }
}
