//! Values within addresses.

use crate::html::REFUSED;

/// How far an address has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum UrlPart {
    /// Nothing of it is there.
    Start,
    /// Before any question mark.
    Path,
    /// After a question mark or number sign.
    Query,
}

impl UrlPart {
    /// The next character of the template itself.
    pub fn text(&mut self, c: char) {
        *self = match (*self, c) {
            (UrlPart::Query, _) | (_, '?' | '#') => UrlPart::Query,
            (UrlPart::Start, c) if c.is_whitespace() => UrlPart::Start,
            _ => UrlPart::Path,
        };
    }
}

/// A value as the rest of an address, or as part of its query.
pub(crate) fn url_value(text: &str, part: &mut UrlPart) -> String {
    match *part {
        UrlPart::Query => encoded(text, false),
        UrlPart::Start => {
            *part = UrlPart::Path;
            if is_safe(text) {
                encoded(text, true)
            } else {
                format!("#{REFUSED}")
            }
        }
        UrlPart::Path => encoded(text, true),
    }
}

/// Whether it names no scheme but those of pages and mail.
fn is_safe(url: &str) -> bool {
    match url.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => ["http", "https", "mailto"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known)),
        _ => true,
    }
}

/// Percent-encoded; what has a meaning in addresses keeps it if they are `whole`.
fn encoded(text: &str, whole: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    for (at, byte) in bytes.iter().enumerate() {
        let hex = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_hexdigit);
        let stays = match byte {
            b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?'
            | b'@' | b'[' | b']' => whole,
            b'%' => whole && hex(at + 1) && hex(at + 2),
            byte => byte.is_ascii_alphanumeric(),
        };
        if stays {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let of = |text: &str, mut part: UrlPart| url_value(text, &mut part);
        assert_eq!(of("HTTPS://h/a b", UrlPart::Start), "HTTPS://h/a%20b");
        assert_eq!(of("data:x", UrlPart::Start), "#ZgotmplZ");
        assert_eq!(of("/a:b", UrlPart::Start), "/a:b");
        assert_eq!(of("a/b%20c%", UrlPart::Path), "a/b%20c%25");
        assert_eq!(of("a/b&c=ü", UrlPart::Query), "a%2fb%26c%3d%c3%bc");
    }
}
