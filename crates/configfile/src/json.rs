//! Strict JSON with the faults in upstream's words, for the lists of targets that come as JSON.

/// Deeper than any list of targets.
const MAX_DEPTH: usize = 200;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number; its value is wanted nowhere.
    Number,
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object, in order.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// What messages call its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool => "bool",
            Json::Number => "number",
            Json::Text(_) => "string",
            Json::List(_) => "array",
            Json::Object(_) => "object",
        }
    }

    /// Reads a text that is one value and nothing more.
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        match reader.peek() {
            None => Ok(value),
            Some(c) => Err(odd(c, "after top-level value")),
        }
    }
}

/// How a character is quoted in messages, and where it was not expected.
fn odd(c: char, place: &str) -> String {
    let shown = match c {
        '\'' => r"'\''".into(),
        '"' => "'\"'".into(),
        c if c.is_ascii() => {
            let quoted = model::labels::go_quote(&c.to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
        // Upstream looks at bytes.
        c => format!("'{}'", char::from(c.to_string().as_bytes()[0])),
    };
    format!("invalid character {shown} {place}")
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

const END: &str = "unexpected end of JSON input";

impl Reader<'_> {
    /// The next character, white space passed over.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        let rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        self.at = self.text.len() - rest.len();
        rest.chars().next()
    }

    /// The next character as it is.
    fn take(&mut self) -> Result<char, String> {
        let c = self.text[self.at..].chars().next().ok_or(END)?;
        self.at += c.len_utf8();
        Ok(c)
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return Err("exceeded max depth".into());
        }
        match self.peek().ok_or(END)? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' => self.string().map(Json::Text),
            't' => self.word("true").map(|()| Json::Bool),
            'f' => self.word("false").map(|()| Json::Bool),
            'n' => self.word("null").map(|()| Json::Null),
            '-' | '0'..='9' => self.number(),
            c => Err(odd(c, "looking for beginning of value")),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        for wanted in word.chars() {
            let c = self.take()?;
            if c != wanted {
                let place = format!("in literal {word} (expecting '{wanted}')");
                return Err(odd(c, &place));
            }
        }
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.take()?;
        let mut fields = Vec::new();
        if self.peek() == Some('}') {
            self.take()?;
            return Ok(Json::Object(fields));
        }
        loop {
            match self.peek().ok_or(END)? {
                '"' => {}
                c => return Err(odd(c, "looking for beginning of object key string")),
            }
            let name = self.string()?;
            match self.peek().ok_or(END)? {
                ':' => self.take()?,
                c => return Err(odd(c, "after object key")),
            };
            fields.push((name, self.value(depth + 1)?));
            match self.peek().ok_or(END)? {
                ',' => self.take()?,
                '}' => {
                    self.take()?;
                    return Ok(Json::Object(fields));
                }
                c => return Err(odd(c, "after object key:value pair")),
            };
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        self.take()?;
        let mut items = Vec::new();
        if self.peek() == Some(']') {
            self.take()?;
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            match self.peek().ok_or(END)? {
                ',' => self.take()?,
                ']' => {
                    self.take()?;
                    return Ok(Json::List(items));
                }
                c => return Err(odd(c, "after array element")),
            };
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.take()?;
        let mut out = String::new();
        loop {
            match self.take()? {
                '"' => return Ok(out),
                '\\' => out.push(self.escape()?),
                c if c < ' ' => return Err(odd(c, "in string literal")),
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        Ok(match self.take()? {
            c @ ('"' | '\\' | '/') => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let high = self.hex()?;
                if (0xd800..0xdc00).contains(&high) && self.text[self.at..].starts_with("\\u") {
                    let before = self.at;
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = before;
                }
                char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            c => return Err(odd(c, "in string escape code")),
        })
    }

    fn hex(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let c = self.take()?;
            let place = "in \\u hexadecimal character escape";
            code = code * 16 + c.to_digit(16).ok_or_else(|| odd(c, place))?;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Json, String> {
        if self.text[self.at..].starts_with('-') {
            self.take()?;
        }
        match self.take()? {
            '0' => {}
            '1'..='9' => self.digits(),
            c => return Err(odd(c, "in numeric literal")),
        }
        if self.text[self.at..].starts_with('.') {
            self.take()?;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if self.text[self.at..].starts_with(['e', 'E']) {
            self.take()?;
            if self.text[self.at..].starts_with(['+', '-']) {
                self.take()?;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(Json::Number)
    }

    fn some_digits(&mut self, place: &str) -> Result<(), String> {
        let c = self.take()?;
        if !c.is_ascii_digit() {
            return Err(odd(c, place));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(
            Json::parse(" [{\"a\\u00e9\\ud83d\\ude00\\n\": [1, -0.5e+3, true, null]}, {}, []] "),
            Ok(Json::List(vec![
                Json::Object(vec![(
                    "aé😀\n".into(),
                    Json::List(vec![Json::Number, Json::Number, Json::Bool, Json::Null])
                )]),
                Json::Object(vec![]),
                Json::List(vec![]),
            ]))
        );
    }

    #[test]
    fn faults_in_upstreams_words() {
        for (text, told) in [
            ("", "unexpected end of JSON input"),
            ("[1", "unexpected end of JSON input"),
            (
                "[1,]",
                "invalid character ']' looking for beginning of value",
            ),
            ("[1] x", "invalid character 'x' after top-level value"),
            ("[1 2]", "invalid character '2' after array element"),
            (
                "{a: 1}",
                "invalid character 'a' looking for beginning of object key string",
            ),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            (
                "{\"a\": 1 \"b\"}",
                "invalid character '\"' after object key:value pair",
            ),
            (
                "tru}",
                "invalid character '}' in literal true (expecting 'e')",
            ),
            ("\"\n\"", "invalid character '\\n' in string literal"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
            (
                r#""\u12x4""#,
                "invalid character 'x' in \\u hexadecimal character escape",
            ),
            ("-x", "invalid character 'x' in numeric literal"),
            (
                "1.x",
                "invalid character 'x' after decimal point in numeric literal",
            ),
            (
                "1ex",
                "invalid character 'x' in exponent of numeric literal",
            ),
            ("01", "invalid character '1' after top-level value"),
            (
                "'",
                r"invalid character '\'' looking for beginning of value",
            ),
        ] {
            assert_eq!(Json::parse(text), Err(told.into()), "{text}");
        }
        assert!(Json::parse(&"[".repeat(5000)).is_err());
    }
}
