//! `Retry-After`, in either of its forms.

use std::time::Duration;

/// How long to wait, from a header's value; `now` is unix milliseconds.
pub fn retry_after(value: &str, now: i64) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = unix_seconds(value.trim())?;
    let ms = at.checked_mul(1000)?.saturating_sub(now);
    Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn unix_seconds(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.split(' ');
    let day: i64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year: i64 = parts
        .next()?
        .parse()
        .ok()
        .filter(|y| (1970..10_000).contains(y))?;
    let mut clock = parts
        .next()?
        .split(':')
        .map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if parts.next() != Some("GMT") {
        return None;
    }
    // Days since the epoch, with years that begin in March.
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, month) = (shifted / 400, (month + 9) % 12);
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        assert_eq!(retry_after("3", 0), Some(Duration::from_secs(3)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(unix_seconds(date), Some(784_111_777));
        assert_eq!(
            retry_after(date, 784_111_775_500),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(retry_after(date, i64::MAX), Some(Duration::ZERO));
        for bad in ["", "soon", "-1", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(retry_after(bad, 0), None, "{bad}");
        }
    }
}
