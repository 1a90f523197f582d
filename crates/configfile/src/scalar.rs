//! What a scalar is taken for: YAML 1.1's kinds, as upstream's YAML library tells them apart.

use model::number::parse_float;

/// A scalar's kind with its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A truth.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A day or a moment; wanted nowhere, but no text either.
    Timestamp,
    /// `<<`, where it is no key.
    Merge,
    /// Text.
    Text,
}

impl Kind {
    /// The tag by which messages call it.
    pub fn tag(self) -> &'static str {
        match self {
            Kind::Bool(_) => "!!bool",
            Kind::Int(_) => "!!int",
            Kind::Float(_) => "!!float",
            Kind::Timestamp => "!!timestamp",
            Kind::Merge => "!!merge",
            Kind::Text => "!!str",
        }
    }

    /// What a text without quotes is taken for.
    pub fn of(text: &str) -> Kind {
        match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                return Kind::Bool(true);
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off"
            | "OFF" => return Kind::Bool(false),
            ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
                return Kind::Float(f64::INFINITY);
            }
            "-.inf" | "-.Inf" | "-.INF" => return Kind::Float(f64::NEG_INFINITY),
            "<<" => return Kind::Merge,
            _ => {}
        }
        if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
            return Kind::Text;
        }
        if is_timestamp(text) {
            return Kind::Timestamp;
        }
        let plain = text.replace('_', "");
        if let Some(number) = integer(&plain) {
            return Kind::Int(number);
        }
        if is_float(&plain)
            && let Some(number) = parse_float(&plain)
        {
            return Kind::Float(number);
        }
        Kind::Text
    }

    /// The same for a text behind one of YAML's own tags, or in quotes (`!!str`).
    pub fn tagged(text: &str, tag: &str) -> Kind {
        match (tag, Kind::of(text)) {
            ("!!float", Kind::Int(number)) => Kind::Float(number as f64),
            ("!!int", kind @ Kind::Int(_))
            | ("!!float", kind @ Kind::Float(_))
            | ("!!bool", kind @ Kind::Bool(_))
            | ("!!timestamp", kind @ Kind::Timestamp) => kind,
            _ => Kind::Text,
        }
    }
}

/// Of 64 bits, decimal or behind `0x`, `0o`, `0b`; a leading zero means octal, as in Go.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = if let Some(hex) = lower.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (octal, 8)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (binary, 2)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (&*lower, 10)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let number = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&number)
        .then_some(number)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (body, exponent) = match text.split_once(['e', 'E']) {
        Some((body, exponent)) => (body, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let some_digits = |text: &str| !text.is_empty() && digits(text);
    let body = match body.split_once('.') {
        Some(("", fraction)) => some_digits(fraction),
        Some((whole, fraction)) => some_digits(whole) && digits(fraction),
        None => some_digits(body),
    };
    let exponent =
        exponent.is_none_or(|text| some_digits(text.strip_prefix(['-', '+']).unwrap_or(text)));
    body && exponent
}

/// A day (`2020-1-2`) or a day and a time after `T`, `t` or a space.
fn is_timestamp(text: &str) -> bool {
    let (day, time) = match text.split_once(['T', 't', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let number = |part: Option<&str>, most: u32| {
        part.filter(|part| part.len() <= 2 && part.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|part| part.parse::<u32>().ok())
            .is_some_and(|n| (1..=most).contains(&n))
    };
    let year = parts
        .next()
        .is_some_and(|year| year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit()));
    let day = year && number(parts.next(), 12) && number(parts.next(), 31);
    let time = time.is_none_or(|time| {
        time.split(':').count() >= 3 && time.starts_with(|c: char| c.is_ascii_digit())
    });
    day && parts.next().is_none() && time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_as_upstream_tells_them_apart() {
        for (text, kind) in [
            ("1_000", Kind::Int(1000)),
            ("0x10", Kind::Int(16)),
            ("0o17", Kind::Int(15)),
            ("010", Kind::Int(8)),
            ("0b11", Kind::Int(3)),
            ("-5", Kind::Int(-5)),
            ("0", Kind::Int(0)),
            ("18446744073709551615", Kind::Int(u64::MAX.into())),
            ("18446744073709551616", Kind::Float(18446744073709551616.0)),
            ("1e3", Kind::Float(1000.0)),
            ("09", Kind::Float(9.0)),
            (".5", Kind::Float(0.5)),
            ("1.", Kind::Float(1.0)),
            ("-.inf", Kind::Float(f64::NEG_INFINITY)),
            ("yes", Kind::Bool(true)),
            ("Off", Kind::Bool(false)),
            ("2020-01-01", Kind::Timestamp),
            ("2020-1-2T10:00:00Z", Kind::Timestamp),
            ("2020-13-01", Kind::Text),
            ("5s", Kind::Text),
            ("1.2.3", Kind::Text),
            ("-", Kind::Text),
            ("--5", Kind::Text),
            ("", Kind::Text),
            ("Infinity", Kind::Text),
            ("+inf", Kind::Text),
        ] {
            assert_eq!(Kind::of(text), kind, "{text}");
        }
        assert!(matches!(Kind::of(".nan"), Kind::Float(n) if n.is_nan()));
        assert_eq!(Kind::tagged("5", "!!str"), Kind::Text);
        assert_eq!(Kind::tagged("5", "!!float"), Kind::Float(5.0));
        assert_eq!(Kind::tagged("5", "!!int"), Kind::Int(5));
    }
}
