//! String literals: escapes as in Go.

/// A string literal's content. Escapes can spell bytes that are not UTF-8; then `raw` keeps them and `text` is the
/// nearest readable form.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Unquoted {
    /// The content.
    pub text: String,
    /// The content's bytes, where they are not UTF-8.
    pub raw: Option<Vec<u8>>,
}

fn bad_escape(c: Option<char>) -> String {
    match c {
        None => "escape sequence not terminated".to_string(),
        Some(c) => {
            let n = c as u32;
            format!("unknown escape sequence U+{n:04X} '{c}'")
        }
    }
}

/// The value of one escape at the start of `s` (which begins with a backslash), and its length.
fn escape(s: &str, quote: char) -> Result<(Escaped, usize), String> {
    let mut chars = s.chars();
    chars.next();
    let Some(c) = chars.next() else {
        return Err(bad_escape(None));
    };
    let simple = |b: u8| Ok((Escaped::Char(b as char), 2));
    let (digits, base, skip) = match c {
        'a' => return simple(7),
        'b' => return simple(8),
        'f' => return simple(12),
        'n' => return simple(10),
        'r' => return simple(13),
        't' => return simple(9),
        'v' => return simple(11),
        '\\' => return simple(b'\\'),
        c if c == quote => return simple(quote as u8),
        '0'..='7' => (3, 8, 1),
        'x' => (2, 16, 2),
        'u' => (4, 16, 2),
        'U' => (8, 16, 2),
        c => return Err(bad_escape(Some(c))),
    };
    let mut value = 0u32;
    let mut rest = s[skip..].chars();
    for _ in 0..digits {
        let digit = rest.next();
        match digit.and_then(|d| d.to_digit(base)) {
            Some(d) => value = value.saturating_mul(base).saturating_add(d),
            None => {
                return Err(match digit {
                    None => "escape sequence not terminated".to_string(),
                    Some(d) => format!(
                        "illegal character U+{:04X} '{d}' in escape sequence",
                        d as u32
                    ),
                });
            }
        }
    }
    let length = skip + digits;
    if matches!(c, 'u' | 'U') {
        return match char::from_u32(value) {
            Some(c) => Ok((Escaped::Char(c), length)),
            None => Err("escape sequence is an invalid Unicode code point".to_string()),
        };
    }
    match u8::try_from(value) {
        Ok(b) => Ok((Escaped::Byte(b), length)),
        Err(_) => Err("escape sequence is an invalid Unicode code point".to_string()),
    }
}

enum Escaped {
    Char(char),
    Byte(u8),
}

pub(crate) fn check_escape(s: &str, quote: char) -> Result<(), String> {
    escape(s, quote).map(|_| ())
}

/// Reads a string literal, quotes included.
pub fn unquote(literal: &str) -> Result<Unquoted, String> {
    let mut chars = literal.chars();
    let quote = match chars.next() {
        Some(q @ ('"' | '\'' | '`')) => q,
        _ => return Err("invalid syntax".to_string()),
    };
    let body = literal[1..]
        .strip_suffix(quote)
        .ok_or_else(|| "invalid syntax".to_string())?;
    if quote == '`' {
        if body.contains('`') {
            return Err("invalid syntax".to_string());
        }
        return Ok(Unquoted {
            text: body.to_string(),
            raw: None,
        });
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        match c {
            '\\' => {
                let (value, length) = escape(rest, quote)?;
                match value {
                    Escaped::Char(c) => {
                        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    Escaped::Byte(b) => out.push(b),
                }
                rest = &rest[length..];
            }
            c if c == quote || c == '\n' => return Err("invalid syntax".to_string()),
            c => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    Ok(match String::from_utf8(out) {
        Ok(text) => Unquoted { text, raw: None },
        Err(e) => Unquoted {
            text: String::from_utf8_lossy(e.as_bytes()).into_owned(),
            raw: Some(e.into_bytes()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let text = |s: &str| unquote(s).map(|u| u.text);
        assert_eq!(
            text(r#""a\n\t\"\x41\101\u00e9""#),
            Ok("a\n\t\"AA\u{e9}".into())
        );
        assert_eq!(text(r"'it\'s'"), Ok("it's".into()));
        assert_eq!(text("`a\\n`"), Ok("a\\n".into()));
        assert_eq!(unquote(r#""\xff""#).unwrap().raw, Some(vec![0xff]));
        assert!(text(r#""\q""#).is_err());
        assert!(text(r#""\ud800""#).is_err());
        assert!(text(r#""\400""#).is_err());
        assert!(text(r#""\x4""#).is_err());
        assert!(text("\"").is_err());
    }
}
