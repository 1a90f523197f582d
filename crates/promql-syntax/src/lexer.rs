//! Cuts a query into words, on demand, so that the first error in reading order is the one reported.

use crate::token::{BinaryOp, Keyword, Kind, Token, keyword};

/// A piece of text no word begins with, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LexError {
    pub start: usize,
    pub message: String,
}

/// What the lexer is inside of; it changes which words exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Expression,
    Braces,
    Brackets,
}

pub(crate) struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    mode: Mode,
    paren_depth: usize,
    /// In brackets: a duration came already, and a colon after it.
    seen_duration: bool,
    seen_colon: bool,
    /// In brackets: a literal came already; from there on words are no longer functions to upstream's lexer.
    seen_literal: bool,
}

type Lexed<'a> = Result<Token<'a>, LexError>;

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a str) -> Lexer<'a> {
        Lexer {
            input,
            pos: 0,
            mode: Mode::Expression,
            paren_depth: 0,
            seen_duration: false,
            seen_colon: false,
            seen_literal: false,
        }
    }

    fn peek(&self) -> Option<char> {
        self.input.get(self.pos..).and_then(|s| s.chars().next())
    }

    fn peek_byte(&self, ahead: usize) -> u8 {
        self.input
            .as_bytes()
            .get(self.pos + ahead)
            .copied()
            .unwrap_or(0)
    }

    fn fail<T>(&self, start: usize, message: impl Into<String>) -> Result<T, LexError> {
        Err(LexError {
            start,
            message: message.into(),
        })
    }

    fn take(&mut self, bytes: usize, kind: Kind) -> Lexed<'a> {
        let start = self.pos;
        self.pos += bytes;
        Ok(Token {
            kind,
            start,
            text: &self.input[start..self.pos],
        })
    }

    fn skip_space(&mut self) {
        let bytes = self.input.as_bytes();
        loop {
            match bytes.get(self.pos) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.pos += 1,
                Some(b'#') if self.mode != Mode::Brackets => {
                    while !matches!(bytes.get(self.pos), None | Some(b'\n' | b'\r')) {
                        self.pos += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// The next word; at the end [`Kind::Eof`] again and again.
    pub(crate) fn next(&mut self) -> Lexed<'a> {
        self.skip_space();
        match self.mode {
            Mode::Expression => self.expression(),
            Mode::Braces => self.braces(),
            Mode::Brackets => self.brackets(),
        }
    }

    fn expression(&mut self) -> Lexed<'a> {
        let start = self.pos;
        let Some(c) = self.peek() else {
            if self.paren_depth != 0 {
                return self.fail(start, "unclosed left parenthesis");
            }
            return self.take(0, Kind::Eof);
        };
        let second = self.peek_byte(1);
        use BinaryOp::*;
        match c {
            ',' => self.take(1, Kind::Comma),
            ';' => self.take(1, Kind::Semicolon),
            '@' => self.take(1, Kind::At),
            '*' => self.take(1, Kind::Operator(Mul)),
            '/' => self.take(1, Kind::Operator(Div)),
            '%' => self.take(1, Kind::Operator(Mod)),
            '+' => self.take(1, Kind::Operator(Add)),
            '-' => self.take(1, Kind::Operator(Sub)),
            '^' => self.take(1, Kind::Operator(Pow)),
            '=' => match second {
                b'=' => self.take(2, Kind::Operator(Equal)),
                b'~' => self.fail(start, "unexpected character after '=': '~'"),
                _ => self.take(1, Kind::Assign),
            },
            '!' => {
                if second == b'=' {
                    return self.take(2, Kind::Operator(NotEqual));
                }
                self.pos += 1;
                let after = self.quoted_char();
                self.fail(start, format!("unexpected character after '!': {after}"))
            }
            '<' => match second {
                b'=' => self.take(2, Kind::Operator(LessOrEqual)),
                b'/' => self.take(2, Kind::Operator(TrimUpper)),
                _ => self.take(1, Kind::Operator(Less)),
            },
            '>' => match second {
                b'=' => self.take(2, Kind::Operator(GreaterOrEqual)),
                b'/' => self.take(2, Kind::Operator(TrimLower)),
                _ => self.take(1, Kind::Operator(Greater)),
            },
            '(' => {
                self.paren_depth += 1;
                self.take(1, Kind::LeftParen)
            }
            ')' => {
                if self.paren_depth == 0 {
                    return self.fail(start + 1, "unexpected right parenthesis ')'");
                }
                self.paren_depth -= 1;
                self.take(1, Kind::RightParen)
            }
            '{' => {
                self.mode = Mode::Braces;
                self.take(1, Kind::LeftBrace)
            }
            '[' => {
                self.mode = Mode::Brackets;
                self.seen_duration = false;
                self.seen_colon = false;
                self.seen_literal = false;
                self.take(1, Kind::LeftBracket)
            }
            ']' => self.fail(start, "unexpected right bracket ']'"),
            '"' | '\'' | '`' => self.string(c),
            '0'..='9' => self.number_or_duration(),
            '.' if second.is_ascii_digit() => self.number_or_duration(),
            'a'..='z' | 'A'..='Z' | '_' | ':' => self.word(),
            c => self.fail(start, format!("unexpected character: {}", quote_char(c))),
        }
    }

    fn braces(&mut self) -> Lexed<'a> {
        let start = self.pos;
        let Some(c) = self.peek() else {
            return self.fail(start, "unexpected end of input inside braces");
        };
        let second = self.peek_byte(1);
        match c {
            ',' => self.take(1, Kind::Comma),
            '"' | '\'' | '`' => self.string(c),
            '=' if second == b'~' => self.take(2, Kind::EqualRegex),
            '=' => self.take(1, Kind::Assign),
            '!' => match second {
                b'~' => self.take(2, Kind::NotRegex),
                b'=' => self.take(2, Kind::Operator(BinaryOp::NotEqual)),
                _ => {
                    self.pos += 1;
                    let after = self.quoted_char();
                    self.fail(
                        start,
                        format!("unexpected character after '!' inside braces: {after}"),
                    )
                }
            },
            '{' => self.fail(start, "unexpected left brace '{'"),
            '}' => {
                self.mode = Mode::Expression;
                self.take(1, Kind::RightBrace)
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let len = self.run(|b| b.is_ascii_alphanumeric() || b == b'_');
                self.take(len, Kind::Identifier)
            }
            c => self.fail(
                start,
                format!("unexpected character inside braces: {}", quote_char(c)),
            ),
        }
    }

    fn brackets(&mut self) -> Lexed<'a> {
        let start = self.pos;
        let Some(c) = self.peek() else {
            return self.fail(start, "unexpected end of input in duration expression");
        };
        use BinaryOp::*;
        match c {
            ']' => {
                self.mode = Mode::Expression;
                self.take(1, Kind::RightBracket)
            }
            ':' => {
                if !self.seen_duration {
                    return self.fail(
                        start + 1,
                        "unexpected colon before duration in duration expression",
                    );
                }
                if self.seen_colon {
                    return self.fail(
                        start + 1,
                        "unexpected repeated colon in duration expression",
                    );
                }
                self.seen_colon = true;
                self.take(1, Kind::Colon)
            }
            '(' => {
                self.paren_depth += 1;
                self.take(1, Kind::LeftParen)
            }
            ')' => {
                if self.paren_depth == 0 {
                    return self.fail(start + 1, "unexpected right parenthesis ')'");
                }
                self.paren_depth -= 1;
                self.take(1, Kind::RightParen)
            }
            ',' => self.take(1, Kind::Comma),
            '*' => self.take(1, Kind::Operator(Mul)),
            '/' => self.take(1, Kind::Operator(Div)),
            '%' => self.take(1, Kind::Operator(Mod)),
            '+' => self.take(1, Kind::Operator(Add)),
            '-' => self.take(1, Kind::Operator(Sub)),
            '^' => self.take(1, Kind::Operator(Pow)),
            '0'..='9' => {
                self.seen_duration = true;
                self.seen_literal = true;
                self.number_or_duration()
            }
            '.' if self.peek_byte(1).is_ascii_digit() => {
                self.seen_duration = true;
                self.seen_literal = true;
                self.number_or_duration()
            }
            'a'..='z' | 'A'..='Z' => {
                let len = self.run(|b| b.is_ascii_alphanumeric() || b == b'_');
                let kind = keyword(&self.input[start..start + len]);
                match kind {
                    Some(Kind::Keyword(
                        Keyword::Step | Keyword::Range | Keyword::MinOf | Keyword::MaxOf,
                    )) => {
                        self.seen_duration = true;
                        self.take(len, kind.unwrap_or(Kind::Identifier))
                    }
                    _ if self.seen_literal => self.fail(
                        start,
                        format!("unexpected character: {}, expected ':'", quote_char(c)),
                    ),
                    _ => self.fail(
                        start,
                        format!(
                            "unexpected character in duration expression: {}",
                            quote_char(c)
                        ),
                    ),
                }
            }
            '[' => self.fail(start, "unexpected left bracket '['"),
            c => self.fail(
                start,
                format!(
                    "unexpected character in duration expression: {}",
                    quote_char(c)
                ),
            ),
        }
    }

    fn run(&self, accept: impl Fn(u8) -> bool) -> usize {
        self.input.as_bytes()[self.pos..]
            .iter()
            .take_while(|b| accept(**b))
            .count()
    }

    fn word(&mut self) -> Lexed<'a> {
        let len = self.run(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':');
        let text = &self.input[self.pos..self.pos + len];
        if text.contains(':') {
            return self.take(len, Kind::MetricIdentifier);
        }
        let kind = match keyword(text) {
            // `fill` is only a word of the language where it can be a modifier.
            Some(Kind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.input[self.pos + len..]
                    .trim_start_matches([' ', '\t', '\n', '\r'])
                    .starts_with('(') =>
            {
                Kind::Identifier
            }
            Some(kind) => kind,
            None => Kind::Identifier,
        };
        self.take(len, kind)
    }

    fn string(&mut self, quote: char) -> Lexed<'a> {
        let start = self.pos;
        let bytes = self.input.as_bytes();
        let mut at = start + 1;
        if quote == '`' {
            return match bytes[at..].iter().position(|b| *b == b'`') {
                Some(len) => self.take(len + 2, Kind::String),
                None => {
                    self.pos = bytes.len();
                    self.fail(start, "unterminated raw string")
                }
            };
        }
        loop {
            match bytes.get(at) {
                None | Some(b'\n') => {
                    self.pos = at;
                    return self.fail(start, "unterminated quoted string");
                }
                Some(b'\\') => {
                    if let Err(message) = crate::strings::check_escape(&self.input[at..], quote) {
                        self.pos = at;
                        return self.fail(start, message);
                    }
                    // The character after the backslash may have several bytes.
                    at += 1;
                    at += self.input[at..].chars().next().map_or(0, char::len_utf8);
                }
                Some(b) if *b == quote as u8 => return self.take(at + 1 - start, Kind::String),
                Some(_) => at += 1,
            }
        }
    }

    fn number_or_duration(&mut self) -> Lexed<'a> {
        let rest = &self.input.as_bytes()[self.pos..];
        let number = crate::numbers::number_length(rest, true);
        let follows = |len: usize| rest.get(len).copied().unwrap_or(b' ');
        if number > 0 && !is_alphanumeric(&follows(number)) && follows(number) != b'.' {
            return self.take(number, Kind::Number);
        }
        let duration = crate::numbers::duration_length(rest);
        if duration > 0 && !is_alphanumeric(&follows(duration)) {
            return self.take(duration, Kind::Duration);
        }
        // The message shows the text up to and with the character that spoils it.
        let spoilt = if follows(number) == b'.' {
            number
        } else {
            number + crate::numbers::unit_length(&rest[number..])
        };
        let start = self.pos;
        let mut end = (start + spoilt + 1).min(self.input.len());
        while !self.input.is_char_boundary(end) {
            end += 1;
        }
        let text = model::labels::go_quote(&self.input[start..end]);
        self.fail(start, format!("bad number or duration syntax: {text}"))
    }

    fn quoted_char(&self) -> String {
        match self.peek() {
            Some(c) => quote_char(c),
            // What Go prints for its end-of-input rune, -1.
            None => "'\u{fffd}'".to_string(),
        }
    }
}

fn is_alphanumeric(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || *b == b'_'
}

/// Go's `%q` of a rune.
pub(crate) fn quote_char(c: char) -> String {
    match c {
        '\'' => "'\\''".to_string(),
        '"' => "'\"'".to_string(),
        c => {
            let quoted = model::labels::go_quote(c.encode_utf8(&mut [0; 4]));
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}
