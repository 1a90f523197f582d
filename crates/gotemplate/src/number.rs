//! Numbers as Go writes and reads them.

use crate::value::Value;

/// A constant: whole, or with a fraction or an exponent.
pub(crate) fn parse(text: &str) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let plain = digits.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let radix = match lower.get(..2) {
        Some("0x") if !lower.contains('p') => Some((16, &lower[2..])),
        Some("0b") => Some((2, &lower[2..])),
        Some("0o") => Some((8, &lower[2..])),
        _ if lower.len() > 1
            && lower.starts_with('0')
            && lower.bytes().all(|b| b.is_ascii_digit()) =>
        {
            Some((8, &lower[1..]))
        }
        _ => None,
    };
    let whole = match radix {
        Some((radix, digits)) => Some(i128::from_str_radix(digits, radix).ok()?),
        None if lower.bytes().all(|b| b.is_ascii_digit()) => Some(lower.parse::<i128>().ok()?),
        None => None,
    };
    match whole {
        Some(n) => i64::try_from(if negative { -n } else { n })
            .ok()
            .map(Value::Int),
        None => {
            let usable = lower
                .bytes()
                .all(|b| b.is_ascii_hexdigit() || b"xp+-.".contains(&b))
                && lower.bytes().any(|b| b.is_ascii_digit());
            let v = usable
                .then(|| model::number::parse_float(&lower))
                .flatten()?;
            Some(Value::Float(if negative { -v } else { v }))
        }
    }
}

/// `%e`: at least two digits of exponent.
pub(crate) fn format_e(v: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(digits) => format!("{v:.digits$e}"),
        None => format!("{v:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `%g` with a number of significant digits; without one the shortest that gives `v` back.
pub fn format_g(v: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else {
        return model::number::format_float_g(v);
    };
    if !v.is_finite() || v == 0.0 {
        return model::number::format_float_g(v);
    }
    let precision = precision.max(1);
    let scientific = format!("{v:.*e}", precision - 1);
    let exponent: i32 = scientific
        .split_once('e')
        .and_then(|(_, e)| e.parse().ok())
        .unwrap_or(0);
    // Digits that are there after rounding, without zeros at the end: what Go compares the exponent with.
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if exponent < -4 || exponent >= precision as i32 {
        let formatted = format_e(v, Some(precision - 1));
        let (mantissa, exponent) = formatted.split_once('e').unwrap_or((&formatted, "+00"));
        return format!("{}e{exponent}", trim(mantissa));
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    trim(&format!("{v:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants() {
        assert_eq!(parse("0x1F").and_then(|v| v.as_int()), Some(31));
        assert_eq!(parse("1_000").and_then(|v| v.as_int()), Some(1000));
        assert!(matches!(parse("28800e9"), Some(Value::Float(v)) if v == 28800e9));
        assert!(matches!(parse("-.5"), Some(Value::Float(v)) if v == -0.5));
        assert!(parse("12abc").is_none() && parse("1.2.3").is_none() && parse("+").is_none());
        assert!(parse("99999999999999999999").is_none());
    }

    #[test]
    fn significant_digits() {
        for (v, text) in [
            (1234567.0, "1.235e+06"),
            (1.0, "1"),
            (0.00001234, "1.234e-05"),
            (123.456, "123.5"),
            (99999.0, "1e+05"),
            (12340.0, "1.234e+04"),
            (0.1, "0.1"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(format_g(v, Some(4)), text);
        }
        assert_eq!(format_e(1234.5, Some(2)), "1.23e+03");
    }
}
