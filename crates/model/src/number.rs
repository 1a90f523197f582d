//! Numbers as Go writes them, which is what people see in APIs, labels and expositions.

/// The shortest digits that give `v` back, and the decimal exponent: `0.d1d2d3... * 10^exponent`.
fn shortest_digits(v: f64) -> (String, i32) {
    let scientific = format!("{v:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent.parse::<i32>().unwrap_or(0) + 1)
}

fn special(v: f64) -> Option<&'static str> {
    if v.is_nan() {
        Some("NaN")
    } else if v == f64::INFINITY {
        Some("+Inf")
    } else if v == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// Go's `FormatFloat(v, 'f', -1, 64)`: never an exponent. Used in API values and label values.
pub fn format_float(v: f64) -> String {
    match special(v) {
        Some(word) => word.to_string(),
        None => format!("{v}"),
    }
}

/// Appends [`format_float`] without a temporary string; whole numbers take a short way.
pub fn write_float(out: &mut Vec<u8>, v: f64) {
    use std::io::Write as _;
    if let Some(word) = special(v) {
        out.extend_from_slice(word.as_bytes());
    } else {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{v}");
    }
}

/// Go's `FormatFloat(v, 'g', -1, 64)`, also `%g` and `%v`: an exponent of at least two digits below 1e-4 and from 1e6 on.
/// Used in expositions, printed histograms and messages.
pub fn format_float_g(v: f64) -> String {
    if let Some(word) = special(v) {
        return word.to_string();
    }
    if v == 0.0 {
        return if v.is_sign_negative() { "-0" } else { "0" }.to_string();
    }
    let magnitude = v.abs();
    // The bounds are exact powers of ten as Go's shortest form sees them (exponent < -4 || exponent >= 6).
    if (1e-4..1e6).contains(&magnitude) {
        return format!("{v}");
    }
    let (digits, exponent) = shortest_digits(magnitude);
    let exponent = exponent - 1;
    let mut out = String::new();
    if v < 0.0 {
        out.push('-');
    }
    out.push_str(&digits[..1]);
    if digits.len() > 1 {
        out.push('.');
        out.push_str(&digits[1..]);
    }
    out.push('e');
    out.push(if exponent < 0 { '-' } else { '+' });
    out.push_str(&format!("{:02}", exponent.abs()));
    out
}

/// Parses what Go's `ParseFloat` accepts as far as PromQL, expositions and the API use it: decimal, exponent,
/// hexadecimal floats, `Inf`, `Infinity`, `NaN` in any case. `None` otherwise.
pub fn parse_float(text: &str) -> Option<f64> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let sign = |v: f64| if negative { -v } else { v };
    match body.as_bytes().first()? {
        b'0'..=b'9' | b'.' => {}
        _ if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") => {
            return Some(sign(f64::INFINITY));
        }
        _ if body.eq_ignore_ascii_case("nan") => return Some(crate::sample::normal_nan()),
        _ => return None,
    }
    if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
        return parse_hex(hex).map(sign);
    }
    // Out of range is an error in Go, infinity in Rust.
    body.parse::<f64>().ok().filter(|v| v.is_finite()).map(sign)
}

/// `h.hhp±d` without the leading `0x`; exact for up to 52 bits of digits, rounded beyond.
fn parse_hex(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let scale = exponent.checked_sub(4 * i32::try_from(fraction.len()).ok()?)?;
    let value = value * 2f64.powi(scale);
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_form() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
            (123456789.125, "123456789.125"),
        ] {
            assert_eq!(format_float(v), text);
            let mut out = Vec::new();
            write_float(&mut out, v);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn general_form() {
        for (v, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (1_234_567.5, "1.2345675e+06"),
            (1.5e300, "1.5e+300"),
            (1e-4, "0.0001"),
            (1.234e-5, "1.234e-05"),
            (-1e-7, "-1e-07"),
            (f64::NEG_INFINITY, "-Inf"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(format_float_g(v), text);
        }
    }

    #[test]
    fn reads_what_go_reads() {
        assert_eq!(parse_float("0x1p-2"), Some(0.25));
        assert_eq!(parse_float("0x1.8p1"), Some(3.0));
        assert_eq!(parse_float("-Inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_float("+1e3"), Some(1000.0));
        assert!(parse_float("nAn").is_some_and(f64::is_nan));
        for text in ["", "-", "e5", "1_0", "0x1", "1e999", "+-1", "infi", "1 "] {
            assert_eq!(parse_float(text), None, "{text}");
        }
    }
}
