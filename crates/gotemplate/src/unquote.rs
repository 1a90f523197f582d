//! Go's quoted texts and characters.

/// The content of `"..."` or `` `...` ``; `None` where an escape is wrong. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn unquote(quoted: &str) -> Option<String> {
    if let Some(raw) = quoted.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    String::from_utf8(unescape(inner, '"')?)
        .or_else(|e| Ok::<_, ()>(String::from_utf8_lossy(e.as_bytes()).into_owned()))
        .ok()
}

/// The character of `'x'`.
pub(crate) fn unquote_char(quoted: &str) -> Option<char> {
    let inner = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
    let text = String::from_utf8(unescape(inner, '\'')?).ok()?;
    let mut chars = text.chars();
    let first = chars.next()?;
    chars.next().is_none().then_some(first)
}

fn unescape(text: &str, quote: char) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0; 4];
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        let escape = chars.next()?;
        let mut digits = |n: usize, radix: u32| -> Option<u32> {
            let mut value = 0u32;
            for _ in 0..n {
                value = value.checked_mul(radix)? + chars.next()?.to_digit(radix)?;
            }
            Some(value)
        };
        match escape {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' => out.push(b'\\'),
            c if c == quote => out.push(quote as u8),
            'x' => out.push(digits(2, 16)? as u8),
            'u' | 'U' => {
                let code = digits(if escape == 'u' { 4 } else { 8 }, 16)?;
                let c = char::from_u32(code)?;
                out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
            first @ '0'..='7' => {
                let rest = digits(2, 8)?;
                out.push(u8::try_from(first.to_digit(8)? * 64 + rest).ok()?);
            }
            _ => return None,
        }
    }
    Some(out)
}
