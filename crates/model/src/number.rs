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
    let mut out = Vec::new();
    write_float(&mut out, v);
    String::from_utf8(out).unwrap_or_default()
}

/// Appends [`format_float`] without a temporary string.
pub fn write_float(out: &mut Vec<u8>, v: f64) {
    use std::io::Write as _;
    // The digits are found several times sooner than by the standard library, and where two are as good, the even one is
    // taken, as Go does. Outside of this exponents would be written.
    if (1e-4..1e16).contains(&v.abs()) {
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(v);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    } else if let Some(word) = special(v) {
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
    fn digits_are_the_shortest_that_read_back() {
        let check = |v: f64| {
            let text = format_float(v);
            assert_eq!(text.parse::<f64>(), Ok(v), "{v:e}");
            assert_eq!(text.len(), format!("{v}").len(), "{v:e}: {text}");
        };
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for i in 0..100_000u64 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Any bits, few digits, sevenths, and whole numbers.
            let v = match i % 4 {
                0 => f64::from_bits(state),
                1 => (state % 1_000_000_000) as f64 / 10f64.powi((state >> 40) as i32 % 9),
                2 => (state % 1_000_000_000) as f64 / 7.0,
                _ => -((state >> (state % 60)) as f64),
            };
            if v.is_finite() {
                check(v);
            }
        }
        for v in [
            1e-4,
            9.999e-5,
            1e15,
            1e16,
            9e15,
            999_999_999_999_999.9,
            1e14,
        ] {
            check(v);
        }
        // As near to .13 as to .12.
        assert_eq!(
            format_float("233115890514796.125".parse().expect("a float")),
            "233115890514796.12"
        );
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
