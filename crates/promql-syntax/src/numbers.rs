//! Number and duration literals: their extent and their value.

/// Length of the number at the start of `bytes`, 0 if there is none. `hex` allows `0x1f`.
pub(crate) fn number_length(bytes: &[u8], hex: bool) -> usize {
    let at = |i: usize| bytes.get(i).copied().unwrap_or(0);
    if hex && at(0) == b'0' && matches!(at(1), b'x' | b'X') {
        let end = digits(bytes, 2, true, |b| b.is_ascii_hexdigit());
        return if end > 2 { end } else { 0 };
    }
    let mut end = digits(bytes, 0, false, |b| b.is_ascii_digit());
    let mut any = end > 0;
    if at(end) == b'.' {
        let fraction = digits(bytes, end + 1, false, |b| b.is_ascii_digit());
        any |= fraction > end + 1;
        end = fraction;
    }
    if !any {
        return 0;
    }
    if matches!(at(end), b'e' | b'E') {
        let sign = usize::from(matches!(at(end + 1), b'+' | b'-'));
        let exponent = digits(bytes, end + 1 + sign, false, |b| b.is_ascii_digit());
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// Digits from `from` on, with single `_` between them (and, after a base prefix, before the first).
fn digits(bytes: &[u8], from: usize, leading: bool, is_digit: impl Fn(u8) -> bool) -> usize {
    let mut end = from;
    let digit = |i: usize| bytes.get(i).is_some_and(|b| is_digit(*b));
    loop {
        if digit(end) {
            end += 1;
        } else if bytes.get(end) == Some(&b'_')
            && digit(end + 1)
            && (end > from || (leading && end == from))
        {
            end += 2;
        } else {
            return end;
        }
    }
}

/// Length of the duration (`1h30m`) at the start of `bytes`, 0 if there is none. Units that do not exist but look like
/// `ms` (`hs`) are taken along: the parser has a message for them.
pub(crate) fn duration_length(bytes: &[u8]) -> usize {
    let mut end = 0;
    loop {
        let digits = bytes[end..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        if digits == 0 {
            return end;
        }
        match unit_length(&bytes[end + digits..]) {
            0 => return 0,
            unit => end += digits + unit,
        }
    }
}

/// Length of the unit at the start of `bytes`.
pub(crate) fn unit_length(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b's' | b'm' | b'h' | b'd' | b'w' | b'y') => {
            1 + usize::from(bytes.get(1) == Some(&b's'))
        }
        _ => 0,
    }
}

/// The first unit of a duration that does not exist.
pub(crate) fn unknown_unit(duration: &str) -> Option<&str> {
    duration
        .split(|c: char| c.is_ascii_digit())
        .find(|unit| unit.len() == 2 && *unit != "ms")
}

/// The value of a number literal: an integer of any base first, a float else, as upstream reads it (`0755` is octal).
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    let lower = text.to_ascii_lowercase();
    match lower.trim_start_matches(['+', '-']) {
        "inf" => {
            return Ok(if lower.starts_with('-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            });
        }
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    let (negative, body) = match lower.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, lower.strip_prefix('+').unwrap_or(&lower)),
    };
    let plain: String = body.chars().filter(|c| *c != '_').collect();
    let integer = if let Some(hex) = plain.strip_prefix("0x") {
        match i64::from_str_radix(hex, 16) {
            Ok(v) => Some(v as f64),
            Err(_) => Some(hex.chars().fold(0.0, |sum, c| {
                sum * 16.0 + f64::from(c.to_digit(16).unwrap_or(0))
            })),
        }
    } else if plain.len() > 1 && plain.starts_with('0') {
        i64::from_str_radix(&plain[1..], 8).ok().map(|v| v as f64)
    } else {
        plain.parse::<i64>().ok().map(|v| v as f64)
    };
    let value = match integer {
        Some(v) => v,
        None => plain.parse::<f64>().map_err(|_| {
            format!(
                "error parsing number: strconv.ParseFloat: parsing {}: invalid syntax",
                model::labels::go_quote(text)
            )
        })?,
    };
    if value.is_infinite() {
        return Err(format!(
            "error parsing number: strconv.ParseFloat: parsing {}: value out of range",
            model::labels::go_quote(text)
        ));
    }
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents() {
        for (text, length) in [
            ("1", 1),
            ("1.5x", 3),
            (".5", 2),
            ("2.", 2),
            ("1e3", 3),
            ("1E-5 ", 4),
            ("0x1F", 4),
            ("0x_1F", 5),
            ("1_000", 5),
            ("1__0", 1),
            ("1_", 1),
            ("1e", 1),
            (".", 0),
            ("x", 0),
        ] {
            assert_eq!(number_length(text.as_bytes(), true), length, "{text}");
        }
        assert_eq!(duration_length(b"1h30m+"), 5);
        assert_eq!(duration_length(b"100ms"), 5);
        assert_eq!(duration_length(b"1h30"), 0);
        assert_eq!(duration_length(b"1.5h"), 0);
        assert_eq!(duration_length(b"5y1hs"), 5);
        assert_eq!(unknown_unit("5y1hs"), Some("hs"));
        assert_eq!(unknown_unit("5y1ms"), None);
    }

    #[test]
    fn values() {
        for (text, value) in [
            ("0755", 493.0),
            ("08", 8.0),
            ("1_000", 1000.0),
            ("0x_1F", 31.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("-2.", -2.0),
            ("99999999999999999999", 1e20),
        ] {
            assert_eq!(parse_number(text), Ok(value), "{text}");
        }
        assert!(parse_number("NaN").is_ok_and(f64::is_nan));
        assert_eq!(parse_number("-inF"), Ok(f64::NEG_INFINITY));
        assert!(parse_number("1e400").is_err());
    }
}
