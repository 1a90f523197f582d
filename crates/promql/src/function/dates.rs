//! Functions of a time in seconds since 1970, in UTC.

use model::calendar::days_in_month;

use crate::calendar::date;

/// Seconds from the year Go counts absolute time from to 1970, and the same in days.
const EPOCH_SECONDS: u64 = 9_223_371_966_579_724_800;
const EPOCH_DAYS: i64 = (EPOCH_SECONDS / 86_400) as i64;

/// Splits seconds into days and seconds of the day. What is not a time is what the processor makes of it, wrapped around
/// as Go's unsigned arithmetic does: upstream's answers for NaN depend on it.
fn split(seconds: f64) -> (i64, i64) {
    const EDGE: f64 = (1u64 << 63) as f64;
    let whole = if seconds.is_nan() || seconds.abs() >= EDGE {
        i64::MIN
    } else {
        seconds as i64
    };
    let absolute = (whole as u64).wrapping_add(EPOCH_SECONDS);
    (
        (absolute / 86_400) as i64 - EPOCH_DAYS,
        (absolute % 86_400) as i64,
    )
}

/// The function of that name, if it is one of these.
pub(super) fn function(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "minute" => |v| (split(v).1 / 60 % 60) as f64,
        "hour" => |v| (split(v).1 / 3600) as f64,
        "day_of_week" => |v| (split(v).0 + 4).rem_euclid(7) as f64,
        "day_of_month" => |v| f64::from(date(split(v).0).day),
        "day_of_year" => |v| f64::from(date(split(v).0).day_of_year),
        "days_in_month" => |v| {
            let d = date(split(v).0);
            f64::from(days_in_month(d.year, d.month))
        },
        "month" => |v| f64::from(date(split(v).0).month),
        "year" => |v| date(split(v).0).year as f64,
        _ => return None,
    })
}
