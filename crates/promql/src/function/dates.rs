//! Functions of a time in seconds since 1970, in UTC.

use crate::calendar::{date, days_in_month};

/// Splits seconds into days and seconds of the day; what is not a time counts as 1970.
fn split(seconds: f64) -> (i64, i64) {
    let whole = seconds as i64;
    (whole.div_euclid(86_400), whole.rem_euclid(86_400))
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
