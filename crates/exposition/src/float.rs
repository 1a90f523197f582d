//! Floats of the exposition formats, as Go reads and writes them.
//!
//! Reading: what `strconv.ParseFloat` takes, minus hexadecimal floats and digit separators (which the formats refuse).
//! Writing: the shortest digits that read back to the same value, in plain form for decimal exponents -4..=5 and in
//! exponent form (`1e+06`) beyond.

use std::fmt;
use std::io::{self, Write};

/// Why a number was refused. The texts are the ones users of the Go parser know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FloatError {
    /// A character of hexadecimal floats or a digit separator.
    Unsupported,
    /// Not a number.
    Syntax(String),
    /// A number too large for 64 bits.
    Range(String),
}

impl fmt::Display for FloatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FloatError::Unsupported => f.write_str("unsupported character in float"),
            FloatError::Syntax(text) => {
                write!(
                    f,
                    "strconv.ParseFloat: parsing {}: invalid syntax",
                    crate::quote::go(text)
                )
            }
            FloatError::Range(text) => {
                write!(
                    f,
                    "strconv.ParseFloat: parsing {}: value out of range",
                    crate::quote::go(text)
                )
            }
        }
    }
}

impl std::error::Error for FloatError {}

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Reads a float. NaNs come out with the canonical bits, so nobody can smuggle in a staleness marker.
pub fn parse_float(text: &[u8]) -> Result<f64, FloatError> {
    match parse_simple(text) {
        Some(value) => Ok(value),
        None => parse_any(text),
    }
}

/// Short decimals: one exact integer, one exact power of ten, hence one correctly rounded operation.
#[inline]
fn parse_simple(text: &[u8]) -> Option<f64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        _ => (false, text),
    };
    let mut mantissa = 0u64;
    let mut i = 0;
    // At most 16 + 17 - 16 digits are taken, which u64 holds; what exceeds 2^53 is refused below.
    while i < digits.len() && i <= 16 {
        let digit = digits[i].wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        mantissa = mantissa * 10 + u64::from(digit);
        i += 1;
    }
    if i == 0 || i > 16 {
        return None;
    }
    let mut exponent = 0i32;
    if i < digits.len() && digits[i] == b'.' {
        let dot = i;
        i += 1;
        while i < digits.len() && i <= 17 {
            let digit = digits[i].wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            mantissa = mantissa * 10 + u64::from(digit);
            i += 1;
        }
        if i > 17 || i == dot + 1 {
            return None;
        }
        exponent = -((i - dot - 1) as i32);
    }
    if i < digits.len() {
        if digits[i] | 0x20 != b'e' {
            return None;
        }
        i += 1;
        let down = match digits.get(i)? {
            b'-' => true,
            b'+' => false,
            _ => {
                i -= 1;
                false
            }
        };
        i += 1;
        let power = digits.get(i..)?;
        if power.is_empty() || power.len() > 3 {
            return None;
        }
        let mut n = 0i32;
        for byte in power {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            n = n * 10 + i32::from(digit);
        }
        exponent += if down { -n } else { n };
    }
    if mantissa > 1 << 53 || !(-22..=22).contains(&exponent) {
        return None;
    }
    let magnitude = mantissa as f64;
    let magnitude = if exponent < 0 {
        magnitude / EXACT_POWERS[exponent.unsigned_abs() as usize]
    } else {
        magnitude * EXACT_POWERS[exponent as usize]
    };
    Some(if negative { -magnitude } else { magnitude })
}

#[cold]
fn parse_any(text: &[u8]) -> Result<f64, FloatError> {
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err(FloatError::Unsupported);
    }
    let lossy = || String::from_utf8_lossy(text).into_owned();
    let Ok(string) = std::str::from_utf8(text) else {
        return Err(FloatError::Syntax(lossy()));
    };
    let unsigned = string.strip_prefix(['+', '-']).unwrap_or(string);
    if unsigned.eq_ignore_ascii_case("nan") {
        // A sign before NaN is not a number to Go.
        return if unsigned.len() == string.len() {
            Ok(canonical_nan())
        } else {
            Err(FloatError::Syntax(lossy()))
        };
    }
    match string.parse::<f64>() {
        Ok(value)
            if value.is_infinite() && unsigned.starts_with(|c: char| !c.is_ascii_alphabetic()) =>
        {
            Err(FloatError::Range(lossy()))
        }
        Ok(value) => Ok(value),
        Err(_) => Err(FloatError::Syntax(lossy())),
    }
}

/// The NaN that ordinary samples carry.
pub(crate) fn canonical_nan() -> f64 {
    f64::from_bits(0x7ff8_0000_0000_0001)
}

/// Appends a float as the text formats print it: `1e+06`, `0.0001`, `+Inf`.
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    if value == 0.0 {
        // Zero has no sign in these formats.
        out.push(b'0');
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.fract() == 0.0 && value.abs() < 1e6 {
        push_integer(out, value as i64);
    } else {
        push_shortest(out, value);
    }
}

/// Appends a float as OpenMetrics wants it in `le` and `quantile`: as [`push_float`], with `.0` where neither a dot
/// nor an exponent shows that it is a float.
pub fn push_openmetrics_float(out: &mut Vec<u8>, value: f64) {
    let start = out.len();
    push_float(out, value);
    if value.is_finite() && !out[start..].iter().any(|b| matches!(b, b'.' | b'e')) {
        out.extend_from_slice(b".0");
    }
}

/// Appends an integer in decimal.
pub fn push_integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_unsigned(out, value.unsigned_abs());
}

/// Appends an unsigned integer in decimal.
pub fn push_unsigned(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Finite, not zero. Rust's `{:e}` gives the shortest digits (`1.25e-7`); they are laid out anew in Go's `g` form.
fn push_shortest(out: &mut Vec<u8>, value: f64) {
    let mut buffer = Stack {
        bytes: [0; 40],
        length: 0,
    };
    // 40 bytes hold the longest shortest form: a sign, 17 digits, a dot and `e-324`.
    let _ = write!(buffer, "{value:e}");
    let text = &buffer.bytes[..buffer.length];
    let Some(split) = memchr::memchr(b'e', text) else {
        out.extend_from_slice(text);
        return;
    };
    let mut digits = &text[..split];
    let exponent: i32 = std::str::from_utf8(&text[split + 1..])
        .ok()
        .and_then(|e| e.parse().ok())
        .unwrap_or(0);
    if digits[0] == b'-' {
        out.push(b'-');
        digits = &digits[1..];
    }
    if !(-4..6).contains(&exponent) {
        out.extend_from_slice(digits);
        out.push(b'e');
        out.push(if exponent < 0 { b'-' } else { b'+' });
        let magnitude = exponent.unsigned_abs();
        if magnitude < 10 {
            out.push(b'0');
        }
        push_unsigned(out, u64::from(magnitude));
        return;
    }
    let (head, tail) = (digits[0], digits.get(2..).unwrap_or(&[]));
    if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.push(head);
        out.extend_from_slice(tail);
        return;
    }
    out.push(head);
    let whole = exponent as usize;
    if tail.len() <= whole {
        out.extend_from_slice(tail);
        out.resize(out.len() + whole - tail.len(), b'0');
    } else {
        out.extend_from_slice(&tail[..whole]);
        out.push(b'.');
        out.extend_from_slice(&tail[whole..]);
    }
}

struct Stack {
    bytes: [u8; 40],
    length: usize,
}

impl Write for Stack {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.length + bytes.len();
        let room = self
            .bytes
            .get_mut(self.length..end)
            .ok_or(io::ErrorKind::WriteZero)?;
        room.copy_from_slice(bytes);
        self.length = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: f64) -> String {
        let mut out = Vec::new();
        push_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_print_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (100000.0, "100000"),
            (999999.0, "999999"),
            (1e6, "1e+06"),
            (1206301256.0, "1.206301256e+09"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (0.00012345, "0.00012345"),
            (123456.5, "123456.5"),
            (1234567.5, "1.2345675e+06"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-2.5, "-2.5"),
            (10.25, "10.25"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(shown(value), text);
        }
        let mut out = Vec::new();
        for value in [1.0, 1000.0, 0.5, 1e6, f64::INFINITY] {
            push_openmetrics_float(&mut out, value);
            out.push(b' ');
        }
        assert_eq!(out, b"1.0 1000.0 0.5 1e+06 +Inf ");
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "", "-", "+", ".", "e5", "1e", "1e+", "+NaN", "-nan", "0x10", "1 ", "infi", "1..2",
            "true",
        ] {
            assert!(
                matches!(parse_float(text.as_bytes()), Err(FloatError::Syntax(_))),
                "{text:?} {:?}",
                parse_float(text.as_bytes())
            );
        }
        assert_eq!(parse_float(b"0x1p-2"), Err(FloatError::Unsupported));
        assert_eq!(parse_float(b"1_0"), Err(FloatError::Unsupported));
        assert_eq!(
            parse_float(b"1e400"),
            Err(FloatError::Range("1e400".into()))
        );
        assert_eq!(
            parse_float(b"true").unwrap_err().to_string(),
            r#"strconv.ParseFloat: parsing "true": invalid syntax"#
        );
        for (text, value) in [
            ("+Inf", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("infinity", f64::INFINITY),
            (".5", 0.5),
            ("5.", 5.0),
            ("+5", 5.0),
            ("1e-400", 0.0),
            ("007", 7.0),
        ] {
            assert_eq!(parse_float(text.as_bytes()), Ok(value), "{text}");
        }
        assert_eq!(
            parse_float(b"nAn").unwrap().to_bits(),
            0x7ff8_0000_0000_0001
        );
    }

    proptest! {
        #[test]
        fn printing_then_reading_gives_the_value(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(parse_float(shown(value).as_bytes()).unwrap().to_bits(), value.to_bits());
        }

        #[test]
        fn the_fast_way_agrees_with_the_library(text in "-?[0-9]{1,18}(\\.[0-9]{1,10})?([eE][+-]?[0-9]{1,3})?") {
            if let Some(fast) = parse_simple(text.as_bytes()) {
                prop_assert_eq!(fast.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
        }
    }
}
