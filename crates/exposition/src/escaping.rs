//! Schemes that turn UTF-8 metric and label names into legacy names for readers that know only those.

use std::borrow::Cow;
use std::fmt::Write;

use model::labels::{is_valid_label_name_legacy, is_valid_metric_name_legacy};

/// How names that are no legacy names are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escaping {
    /// As they are, quoted.
    AllowUtf8,
    /// Every illegal character becomes `_`. What a reader gets that does not ask.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`.
    Dots,
    /// Reversible: `U__` and the code points of illegal characters.
    Values,
}

impl Escaping {
    /// The word in `Accept` and `Content-Type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Escaping::AllowUtf8 => "allow-utf-8",
            Escaping::Underscores => "underscores",
            Escaping::Dots => "dots",
            Escaping::Values => "values",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Escaping> {
        [
            Escaping::AllowUtf8,
            Escaping::Underscores,
            Escaping::Dots,
            Escaping::Values,
        ]
        .into_iter()
        .find(|scheme| scheme.as_str() == word)
    }
}

/// A metric name under a scheme.
pub fn escape_metric_name(name: &str, scheme: Escaping) -> Cow<'_, str> {
    if scheme != Escaping::Dots && is_valid_metric_name_legacy(name) {
        return Cow::Borrowed(name);
    }
    escape(name, scheme, true)
}

/// A label name under a scheme.
pub fn escape_label_name(name: &str, scheme: Escaping) -> Cow<'_, str> {
    if scheme != Escaping::Dots && is_valid_label_name_legacy(name) {
        return Cow::Borrowed(name);
    }
    escape(name, scheme, false)
}

fn escape(name: &str, scheme: Escaping, colons: bool) -> Cow<'_, str> {
    if scheme == Escaping::AllowUtf8 || name.is_empty() {
        return Cow::Borrowed(name);
    }
    let legal = |i: usize, c: char| {
        c == '_' || c.is_ascii_alphabetic() || (colons && c == ':') || (i > 0 && c.is_ascii_digit())
    };
    let mut out = String::with_capacity(name.len() + 8);
    if scheme == Escaping::Values {
        out.push_str("U__");
    }
    for (i, c) in name.chars().enumerate() {
        match scheme {
            Escaping::Dots if c == '_' => out.push_str("__"),
            Escaping::Dots if c == '.' => out.push_str("_dot_"),
            Escaping::Values if c == '_' => out.push_str("__"),
            _ if legal(i, c) => out.push(c),
            Escaping::Dots => out.push_str("__"),
            Escaping::Values => {
                // Writing to a string cannot fail.
                let _ = write!(out, "_{:x}_", c as u32);
            }
            _ => out.push('_'),
        }
    }
    Cow::Owned(out)
}

/// Undoes [`Escaping::Values`]. A name that is not an escaped one comes back as it is.
pub fn unescape_values(name: &str) -> Cow<'_, str> {
    let Some(escaped) = name.strip_prefix("U__") else {
        return Cow::Borrowed(name);
    };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(mark) = rest.find('_') {
        out.push_str(&rest[..mark]);
        let after = &rest[mark + 1..];
        if let Some(tail) = after.strip_prefix('_') {
            out.push('_');
            rest = tail;
            continue;
        }
        let Some((code, tail)) = after.split_once('_') else {
            return Cow::Borrowed(name);
        };
        // Six hexadecimal digits hold every code point.
        if code.is_empty() || code.len() > 6 || code.starts_with('+') {
            return Cow::Borrowed(name);
        }
        match u32::from_str_radix(code, 16) {
            Ok(0xfffd) => out.push(char::REPLACEMENT_CHARACTER),
            Ok(code) => match char::from_u32(code) {
                Some(c) => out.push(c),
                None => return Cow::Borrowed(name),
            },
            Err(_) => return Cow::Borrowed(name),
        }
        rest = tail;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_scheme() {
        for (name, underscores, dots, values) in [
            (
                "mysystem.prod.west.cpu.load",
                "mysystem_prod_west_cpu_load",
                "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
            ),
            (
                "no:escaping_required",
                "no:escaping_required",
                "no:escaping__required",
                "no:escaping_required",
            ),
            (
                "http.status:sum",
                "http_status:sum",
                "http_dot_status:sum",
                "U__http_2e_status:sum",
            ),
            (
                "label with 😱",
                "label_with__",
                "label__with____",
                "U__label_20_with_20__1f631_",
            ),
            ("1a", "_a", "__a", "U___31_a"),
        ] {
            assert_eq!(escape_metric_name(name, Escaping::Underscores), underscores);
            assert_eq!(escape_metric_name(name, Escaping::Dots), dots);
            assert_eq!(escape_metric_name(name, Escaping::Values), values);
            assert_eq!(escape_metric_name(name, Escaping::AllowUtf8), name);
            assert_eq!(unescape_values(values), name);
        }
        for broken in [
            "U__a_",
            "U__a_zz_",
            "U__a_1234567_",
            "U__a_d800_",
            "plain_name",
        ] {
            assert_eq!(unescape_values(broken), broken);
        }
    }

    proptest! {
        #[test]
        fn values_are_reversible(name in "\\PC{1,12}") {
            prop_assume!(!name.starts_with("U__"));
            let escaped = escape_label_name(&name, Escaping::Values).into_owned();
            prop_assert!(is_valid_label_name_legacy(&escaped));
            prop_assert_eq!(unescape_values(&escaped), name);
        }
    }
}
