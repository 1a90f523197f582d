//! Values within scripts.

use crate::value::Value;

/// Where in a script writing has come to.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Code; what came last decides whether a slash divides or begins a pattern.
    Code { operand: bool },
    /// Within quotes of that kind.
    Text { quote: char, escaped: bool },
    /// Within a pattern.
    Regexp { escaped: bool },
    /// `//` up to the end of the line, or `/*` up to `*/`.
    Comment { line: bool, last: char },
}

impl Script {
    /// At the start.
    pub fn new() -> Script {
        Script::Code { operand: false }
    }

    /// A value has been written.
    pub fn after_value(&mut self) {
        *self = Script::Code { operand: true };
    }

    /// The next character, at the start of `rest`, is of the template itself.
    pub fn text(&mut self, rest: &str, c: char) {
        match self {
            Script::Code { operand } => match c {
                '"' | '\'' | '`' => {
                    *self = Script::Text {
                        quote: c,
                        escaped: false,
                    };
                }
                '/' if rest.starts_with("//") || rest.starts_with("/*") => {
                    *self = Script::Comment {
                        line: rest.starts_with("//"),
                        last: ' ',
                    };
                }
                '/' if !*operand => *self = Script::Regexp { escaped: false },
                c if c.is_whitespace() => {}
                c => *operand = c.is_alphanumeric() || "_$)]}".contains(c),
            },
            Script::Text { quote, escaped } => {
                if *escaped {
                    *escaped = false;
                } else if c == '\\' {
                    *escaped = true;
                } else if c == *quote {
                    *self = Script::Code { operand: true };
                }
            }
            Script::Regexp { escaped } => {
                if *escaped {
                    *escaped = false;
                } else if c == '\\' {
                    *escaped = true;
                } else if c == '/' {
                    *self = Script::Code { operand: true };
                }
            }
            Script::Comment { line, last } => {
                if *line && c == '\n' || !*line && *last == '*' && c == '/' {
                    *self = Script::new();
                } else {
                    *last = c;
                }
            }
        }
    }
}

/// A value as an expression.
pub(crate) fn js_value(value: &Value) -> String {
    let text = json(value)
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    // Not to grow together with what stands beside it.
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
    if word(text.chars().next()) || word(text.chars().next_back()) {
        format!(" {text} ")
    } else {
        text
    }
}

fn json(value: &Value) -> String {
    match value {
        Value::Nil => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Float(v) if v.is_finite() => model::number::format_float_g(*v),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Map(map) => object(map.entries.iter().map(|(k, v)| (k.to_string(), v.clone()))),
        Value::Object(of) => match of.entries() {
            Some(entries) => object(entries.into_iter().map(|(k, v)| (k.print(), v))),
            None => quoted(&of.print()),
        },
        other => quoted(&other.print()),
    }
}

fn object(entries: impl Iterator<Item = (String, Value)>) -> String {
    let entries: Vec<String> = entries
        .map(|(key, value)| format!("{}:{}", quoted(&key), json(&value)))
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text within quotes, or within a pattern.
pub(crate) fn js_string(text: &str, in_regexp: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '"' | '\'' | '`' | '&' | '+' | '<' | '>' | '\0' | '\u{b}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", c as u32))
            }
            '$' | '(' | ')' | '*' | '-' | '.' | '?' | '[' | ']' | '^' | '{' | '|' | '}'
                if in_regexp =>
            {
                out.push('\\');
                out.push(c);
            }
            // A template literal would take them for a placeholder.
            '$' | '{' | '}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    if in_regexp && out.is_empty() {
        // Two slashes alone are a comment.
        return "(?:)".into();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Script {
        let mut script = Script::new();
        for (at, c) in text.char_indices() {
            script.text(&text[at..], c);
        }
        script
    }

    #[test]
    fn places_in_scripts() {
        assert!(matches!(after("x = 1 / 2"), Script::Code { .. }));
        assert!(matches!(after("x = /a"), Script::Regexp { .. }));
        assert!(matches!(
            after("f(\"a\\\"b"),
            Script::Text { quote: '"', .. }
        ));
        assert!(matches!(
            after("a // it's"),
            Script::Comment { line: true, .. }
        ));
        assert!(matches!(after("a /* 'x' */ b"), Script::Code { .. }));
        assert!(matches!(after("a // it's\nb"), Script::Code { .. }));
    }

    #[test]
    fn values_are_expressions() {
        assert_eq!(js_value(&Value::Int(3)), " 3 ");
        assert_eq!(js_value(&Value::text("a\"<")), r#""a\"\u003c""#);
        let list = Value::list(vec![Value::Bool(true), Value::Nil]);
        assert_eq!(js_value(&list), "[true,null]");
        assert_eq!(js_string("a.b/", true), r"a\.b\/");
    }
}
