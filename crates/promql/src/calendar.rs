//! Dates of unix times, in UTC.

use model::calendar::{civil_from_days, days_from_civil};

/// A day in the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub year: i64,
    /// 1-12
    pub month: u32,
    /// 1-31
    pub day: u32,
    /// 1-366
    pub day_of_year: u32,
}

/// The date `days` after 1970-01-01.
pub(crate) fn date(days: i64) -> Date {
    let (year, month, day) = civil_from_days(days);
    Date {
        year,
        month,
        day,
        day_of_year: (days - days_from_civil(year, 1, 1) + 1) as u32,
    }
}

/// `2006-01-02T15:04:05.999Z`, fractions only where there are some.
pub(crate) fn rfc3339(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    let d = date(seconds.div_euclid(86_400));
    let s = seconds.rem_euclid(86_400);
    let mut fraction = match ms.rem_euclid(1000) {
        0 => String::new(),
        f => format!(".{f:03}"),
    };
    while fraction.ends_with('0') {
        fraction.pop();
    }
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}Z",
        d.year,
        d.month,
        d.day,
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let d = |days| {
            let d = date(days);
            (d.year, d.month, d.day, d.day_of_year)
        };
        assert_eq!(d(0), (1970, 1, 1, 1));
        assert_eq!(d(-1), (1969, 12, 31, 365));
        assert_eq!(d(11_016), (2000, 2, 29, 60));
        assert_eq!(d(11_017), (2000, 3, 1, 61));
        assert_eq!(d(19_722), (2023, 12, 31, 365));
        assert_eq!(rfc3339(1_435_781_451_780), "2015-07-01T20:10:51.78Z");
    }

    #[test]
    fn far_times_do_not_panic() {
        for days in [i64::MIN / 86_400, i64::MAX / 86_400] {
            let _ = date(days);
        }
    }
}
