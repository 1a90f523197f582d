//! Times and durations as requests spell them, and as answers show them.

use model::calendar::parse_rfc3339;
use model::duration::parse_duration;

/// The earliest time that upstream knows, as clients send it for "from the start".
const MIN_TIME: (&str, i64) = ("-292273086-05-16T16:47:06Z", i64::MIN / 1000 * 1000);
/// The latest.
const MAX_TIME: (&str, i64) = ("292277025-08-18T07:12:54.999999999Z", i64::MAX);

/// The range that label and series endpoints ask for when nothing is said.
pub const ALL_TIME: (i64, i64) = (i64::MIN, i64::MAX);

/// Float unix seconds or RFC 3339, to unix milliseconds.
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Some(seconds) = model::number::parse_float(text)
        && !seconds.is_nan()
    {
        let ms = (seconds * 1000.0).round();
        if ms.abs() < 9.3e18 {
            return Ok(ms as i64);
        }
    }
    for (literal, ms) in [MIN_TIME, MAX_TIME] {
        if text == literal {
            return Ok(ms);
        }
    }
    parse_rfc3339(text).ok_or_else(|| {
        format!(
            "cannot parse {} to a valid timestamp",
            model::labels::go_quote(text)
        )
    })
}

/// Float seconds or a Prometheus duration, to milliseconds.
pub fn parse_step(text: &str) -> Result<i64, String> {
    Ok(parse_nanos(text)? / 1_000_000)
}

/// The same to nanoseconds, in which upstream counts.
pub fn parse_nanos(text: &str) -> Result<i64, String> {
    let quoted = || model::labels::go_quote(text);
    if let Some(seconds) = model::number::parse_float(text) {
        let nanos = seconds * 1e9;
        if nanos.is_nan() || nanos >= i64::MAX as f64 || nanos < i64::MIN as f64 {
            return Err(format!(
                "cannot parse {} to a valid duration. It overflows int64",
                quoted()
            ));
        }
        return Ok(nanos as i64);
    }
    let ms = parse_duration(text)
        .map_err(|_| format!("cannot parse {} to a valid duration", quoted()))?;
    Ok(ms.saturating_mul(1_000_000))
}

/// RFC 3339 with milliseconds, UTC; upstream's zero time where there is none.
pub fn format_rfc3339(ms: Option<i64>) -> String {
    let Some(ms) = ms else {
        return "0001-01-01T00:00:00Z".to_string();
    };
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = model::calendar::civil_from_days(days);
    let clock = format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        in_day / 3_600_000,
        in_day / 60_000 % 60,
        in_day / 1000 % 60
    );
    match in_day % 1000 {
        0 => format!("{clock}Z"),
        fraction => {
            let digits = format!("{fraction:03}");
            format!("{clock}.{}Z", digits.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(parse_time("1435781451.781"), Ok(1_435_781_451_781));
        assert_eq!(parse_time("1e9"), Ok(1_000_000_000_000));
        assert_eq!(parse_time("-1"), Ok(-1000));
        assert_eq!(
            parse_time("2015-07-01T20:10:51.781Z"),
            Ok(1_435_781_451_781)
        );
        assert_eq!(
            parse_time("2015-06-03T13:21:58.555+01:00"),
            Ok(1_433_334_118_555)
        );
        assert_eq!(parse_time(MAX_TIME.0), Ok(i64::MAX));
        for bad in [
            "",
            "nope",
            "2015-13-01T00:00:00Z",
            "2015-02-30T00:00:00Z",
            "NaN",
            "2015-07-01",
        ] {
            let message = format!("cannot parse \"{bad}\" to a valid timestamp");
            assert_eq!(parse_time(bad), Err(message), "{bad}");
        }
        assert_eq!(
            format_rfc3339(Some(1_435_781_451_780)),
            "2015-07-01T20:10:51.78Z"
        );
        assert_eq!(format_rfc3339(Some(0)), "1970-01-01T00:00:00Z");
        assert_eq!(format_rfc3339(None), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn durations() {
        assert_eq!(parse_step("1.5"), Ok(1500));
        assert_eq!(parse_step("5m"), Ok(300_000));
        assert_eq!(parse_nanos("0.0001"), Ok(100_000));
        assert_eq!(parse_nanos("1ms"), Ok(1_000_000));
        assert_eq!(
            parse_step("x"),
            Err("cannot parse \"x\" to a valid duration".into())
        );
        assert!(
            parse_step("1e20")
                .unwrap_err()
                .ends_with("It overflows int64")
        );
    }
}
