//! Points in time with the methods that templates call, and Go's layouts.

use std::sync::Arc;

use model::calendar::{civil_from_days, days_from_civil};

use crate::duration::Duration;
use crate::value::{Object, Value};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
/// Seconds from the year 1, Go's zero time, to 1970.
const ZERO_TIME: i64 = -62_135_596_800;

/// A point in time in a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Time {
    /// Unix seconds.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanos: u32,
    /// Seconds east of UTC.
    pub offset: i32,
    /// The zone's short name.
    pub zone: Arc<str>,
}

struct Civil {
    year: i64,
    month: i64,
    day: i64,
    year_day: i64,
    weekday: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Time {
    /// A time in UTC from unix seconds and nanoseconds, which may exceed a second or be negative.
    pub fn utc(seconds: i64, nanos: i64) -> Time {
        Time {
            seconds: seconds.saturating_add(nanos.div_euclid(1_000_000_000)),
            nanos: nanos.rem_euclid(1_000_000_000) as u32,
            offset: 0,
            zone: "UTC".into(),
        }
    }

    /// A time in UTC from unix milliseconds.
    pub fn from_millis(ms: i64) -> Time {
        Time::utc(ms.div_euclid(1000), ms.rem_euclid(1000) * 1_000_000)
    }

    /// Go's zero time, the year 1.
    pub fn zero() -> Time {
        Time::utc(ZERO_TIME, 0)
    }

    /// The value templates see.
    pub fn value(self) -> Value {
        Value::Object(Arc::new(self))
    }

    fn civil(&self) -> Civil {
        let local = self.seconds.saturating_add(i64::from(self.offset));
        let days = local.div_euclid(86_400);
        let of_day = local.rem_euclid(86_400);
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month: i64::from(month),
            day: i64::from(day),
            year_day: days - days_from_civil(year, 1, 1) + 1,
            weekday: (days + 4).rem_euclid(7),
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }

    /// Writes the time after a layout of Go's (`2006-01-02 15:04:05`).
    pub fn format(&self, layout: &str) -> String {
        let civil = self.civil();
        let mut out = String::new();
        let mut rest = layout;
        while let Some(first) = rest.chars().next() {
            let len = self.element(rest, &civil, &mut out);
            if len == 0 {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            } else {
                rest = &rest[len..];
            }
        }
        out
    }

    /// Writes the layout element that `rest` starts with; its length, or 0.
    fn element(&self, rest: &str, civil: &Civil, out: &mut String) -> usize {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = *civil;
        let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
        let month_name = MONTHS[(month - 1) as usize];
        let day_name = DAYS[civil.weekday as usize];
        let is_word = |word: &str| {
            rest.starts_with(word)
                && !rest[word.len()..].starts_with(|c: char| c.is_ascii_lowercase())
        };
        if rest.starts_with("January") {
            out.push_str(month_name);
            return 7;
        }
        if is_word("Jan") {
            out.push_str(&month_name[..3]);
            return 3;
        }
        if rest.starts_with("Monday") {
            out.push_str(day_name);
            return 6;
        }
        if is_word("Mon") {
            out.push_str(&day_name[..3]);
            return 3;
        }
        if rest.starts_with("MST") {
            out.push_str(&self.zone);
            return 3;
        }
        let fraction = self.fraction(rest, out);
        if fraction > 0 {
            return fraction;
        }
        let zone = self.zone_element(rest, out);
        if zone > 0 {
            return zone;
        }
        let elements = [
            ("002", format!("{:03}", civil.year_day)),
            ("01", format!("{month:02}")),
            ("02", format!("{day:02}")),
            ("03", format!("{twelve:02}")),
            ("04", format!("{minute:02}")),
            ("05", format!("{second:02}")),
            ("06", format!("{:02}", year.rem_euclid(100))),
            ("15", format!("{hour:02}")),
            ("1", month.to_string()),
            ("2006", format!("{year:04}")),
            ("2", day.to_string()),
            ("__2", format!("{:>3}", civil.year_day)),
            ("_2006", format!("_{year:04}")),
            ("_2", format!("{day:>2}")),
            ("3", twelve.to_string()),
            ("4", minute.to_string()),
            ("5", second.to_string()),
            ("PM", (if hour < 12 { "AM" } else { "PM" }).to_string()),
            ("pm", (if hour < 12 { "am" } else { "pm" }).to_string()),
        ];
        for (name, text) in elements {
            if rest.starts_with(name) {
                out.push_str(&text);
                return name.len();
            }
        }
        0
    }

    /// `.000` or `.999` and such.
    fn fraction(&self, rest: &str, out: &mut String) -> usize {
        let mut chars = rest.chars();
        let (Some(point @ ('.' | ',')), Some(digit @ ('0' | '9'))) = (chars.next(), chars.next())
        else {
            return 0;
        };
        let count = rest[1..].chars().take_while(|c| *c == digit).count();
        if rest[1 + count..].starts_with(|c: char| c.is_ascii_digit()) {
            return 0;
        }
        let all = format!("{:09}", self.nanos);
        let digits = &all[..count.min(9)];
        if digit == '0' {
            out.push(point);
            out.push_str(digits);
        } else {
            let digits = digits.trim_end_matches('0');
            if !digits.is_empty() {
                out.push(point);
                out.push_str(digits);
            }
        }
        1 + count
    }

    fn zone_element(&self, rest: &str, out: &mut String) -> usize {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (
            self.offset.unsigned_abs() / 3600,
            self.offset.unsigned_abs() / 60 % 60,
        );
        for (name, colon, short) in [
            ("-07:00", ":", false),
            ("-0700", "", false),
            ("-07", "", true),
            ("Z07:00", ":", false),
            ("Z0700", "", false),
        ] {
            if rest.starts_with(name) {
                if name.starts_with('Z') && self.offset == 0 {
                    out.push('Z');
                } else if short {
                    out.push_str(&format!("{sign}{hours:02}"));
                } else {
                    out.push_str(&format!("{sign}{hours:02}{colon}{minutes:02}"));
                }
                return name.len();
            }
        }
        0
    }

    fn plus(&self, nanos: i64) -> Time {
        let total = i64::from(self.nanos) + nanos.rem_euclid(1_000_000_000);
        Time {
            seconds: self
                .seconds
                .saturating_add(nanos.div_euclid(1_000_000_000))
                .saturating_add(total / 1_000_000_000),
            nanos: (total % 1_000_000_000) as u32,
            ..self.clone()
        }
    }

    fn nanos_since(&self, other: &Time) -> i64 {
        let seconds = i128::from(self.seconds) - i128::from(other.seconds);
        let nanos = seconds * 1_000_000_000 + i128::from(self.nanos) - i128::from(other.nanos);
        nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }
}

/// The other time of a comparison.
fn other_time(args: &[Value]) -> Result<(i64, u32), String> {
    match args {
        [Value::Object(object)] if object.type_name() == "time.Time" => {
            let part = |name| {
                object
                    .member(name, &[])
                    .and_then(Result::ok)
                    .and_then(|v| v.as_int())
                    .unwrap_or(0)
            };
            Ok((part("Unix"), part("Nanosecond") as u32))
        }
        _ => Err("wrong type for value; expected time.Time".into()),
    }
}

impl Object for Time {
    fn type_name(&self) -> &str {
        "time.Time"
    }

    fn print(&self) -> String {
        self.format("2006-01-02 15:04:05.999999999 -0700 MST")
    }

    fn member(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let count = |wanted: usize| {
            if args.len() == wanted {
                Ok(())
            } else {
                Err(format!(
                    "wrong number of args for {name}: want {wanted} got {}",
                    args.len()
                ))
            }
        };
        let civil = self.civil();
        let plain = match name {
            "Unix" => Value::Int(self.seconds),
            "UnixMilli" => Value::Int(
                self.seconds
                    .saturating_mul(1000)
                    .saturating_add(i64::from(self.nanos / 1_000_000)),
            ),
            "UnixNano" => Value::Int(self.nanos_since(&Time::utc(0, 0))),
            "Year" => Value::Int(civil.year),
            "Month" => Value::text(MONTHS[(civil.month - 1) as usize]),
            "Day" => Value::Int(civil.day),
            "Weekday" => Value::text(DAYS[civil.weekday as usize]),
            "YearDay" => Value::Int(civil.year_day),
            "Hour" => Value::Int(civil.hour),
            "Minute" => Value::Int(civil.minute),
            "Second" => Value::Int(civil.second),
            "Nanosecond" => Value::Int(i64::from(self.nanos)),
            "IsZero" => Value::Bool(self.seconds == ZERO_TIME && self.nanos == 0),
            "String" => Value::text(self.print()),
            "UTC" => Time::utc(self.seconds, i64::from(self.nanos)).value(),
            "Local" => self.clone().value(),
            "Format" => {
                return Some(count(1).and_then(|()| match args[0].as_text() {
                    Some(layout) => Ok(Value::text(self.format(layout))),
                    None => Err("wrong type for value; expected string".into()),
                }));
            }
            "Add" => {
                return Some(count(1).and_then(|()| {
                    let nanos = args[0].as_int().or_else(|| match &args[0] {
                        Value::Object(object) if object.type_name() == "time.Duration" => {
                            object.number().map(|seconds| (seconds * 1e9) as i64)
                        }
                        _ => None,
                    });
                    match nanos {
                        Some(nanos) => Ok(self.plus(nanos).value()),
                        None => Err("wrong type for value; expected time.Duration".into()),
                    }
                }));
            }
            "Sub" | "Before" | "After" | "Equal" => {
                let result = count(1)
                    .and_then(|()| other_time(args))
                    .map(|(seconds, nanos)| {
                        let difference = self.nanos_since(&Time::utc(seconds, i64::from(nanos)));
                        match name {
                            "Sub" => Duration(difference).value(),
                            "Before" => Value::Bool(difference < 0),
                            "After" => Value::Bool(difference > 0),
                            _ => Value::Bool(difference == 0),
                        }
                    });
                return Some(result);
            }
            _ => return None,
        };
        Some(count(0).map(|()| plain))
    }

    fn truth(&self) -> bool {
        true
    }
}
