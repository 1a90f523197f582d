//! From text to tokens: texts, and within `{{` and `}}` words, numbers, strings and signs.

use std::sync::Arc;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Eof,
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Bool,
    Char,
    /// A sign that means nothing here.
    Sign,
    Comma,
    Dot,
    Field,
    Identifier,
    LeftParen,
    RightParen,
    Nil,
    Number,
    Pipe,
    RawString,
    String,
    Variable,
    /// `if`, `range`, ...
    Keyword,
}

/// A token with its place.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub kind: Kind,
    pub text: Arc<str>,
    /// Byte in the source.
    pub pos: usize,
    /// From 1.
    pub line: usize,
}

impl Token {
    /// As messages show it.
    pub fn shown(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".into(),
            Kind::Error => self.text.to_string(),
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.chars().count() > 10 => {
                let start: String = self.text.chars().take(10).collect();
                format!("{}...", model::labels::go_quote(&start))
            }
            _ => model::labels::go_quote(&self.text),
        }
    }
}

const KEYWORDS: [&str; 10] = [
    "block", "break", "continue", "define", "else", "end", "if", "range", "template", "with",
];

/// All tokens; the last is `Eof` or `Error`.
pub(crate) fn lex(source: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        source,
        at: 0,
        line: 1,
        counted: 0,
        tokens: Vec::new(),
        parens: 0,
    };
    if let Err((pos, message)) = lexer.run() {
        lexer.push(Kind::Error, pos, &message);
    }
    lexer.tokens
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    counted: usize,
    tokens: Vec<Token>,
    parens: usize,
}

type Step = Result<(), (usize, String)>;

const SPACES: &[char] = &[' ', '\t', '\r', '\n'];

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: Kind, pos: usize, text: &str) {
        let pos = pos.min(self.source.len());
        if pos > self.counted {
            self.line += self.source[self.counted..pos].matches('\n').count();
            self.counted = pos;
        }
        self.tokens.push(Token {
            kind,
            text: text.into(),
            pos,
            line: self.line,
        });
    }

    fn take(&mut self, kind: Kind, len: usize) {
        let text = &self.source[self.at..self.at + len];
        let (pos, text) = (self.at, text.to_string());
        self.push(kind, pos, &text);
        self.at += len;
    }

    fn run(&mut self) -> Step {
        loop {
            let Some(found) = self.rest().find("{{") else {
                let text = self.rest().to_string();
                if !text.is_empty() {
                    self.take(Kind::Text, text.len());
                }
                self.push(Kind::Eof, self.source.len(), "");
                return Ok(());
            };
            let after = &self.rest()[found + 2..];
            let trims = after.starts_with('-') && after[1..].starts_with(SPACES);
            let text = &self.rest()[..found];
            let kept = if trims {
                text.trim_end_matches(SPACES)
            } else {
                text
            };
            if !kept.is_empty() {
                let (pos, kept) = (self.at, kept.to_string());
                self.push(Kind::Text, pos, &kept);
            }
            self.at += found;
            let open = self.at;
            self.at += 2 + if trims { 2 } else { 0 };
            if self.rest().starts_with("/*") {
                self.comment()?;
                continue;
            }
            self.push(Kind::LeftDelim, open, "{{");
            self.parens = 0;
            self.action()?;
        }
    }

    fn comment(&mut self) -> Step {
        let start = self.at;
        let Some(end) = self.rest().find("*/") else {
            return Err((start, "unclosed comment".into()));
        };
        self.at += end + 2;
        match self.right_delim() {
            Some((len, trims)) => {
                self.at += len;
                self.trim_after(trims);
                Ok(())
            }
            None => Err((start, "comment ends before closing delimiter".into())),
        }
    }

    /// The length of a `}}` or ` -}}` here, and whether it trims.
    fn right_delim(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some((2, false));
        }
        let after = rest.strip_prefix(SPACES)?;
        after.starts_with("-}}").then_some((4, true))
    }

    fn trim_after(&mut self, trims: bool) {
        if trims {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches(SPACES).len();
        }
    }

    fn action(&mut self) -> Step {
        loop {
            if let Some((len, trims)) = self.right_delim() {
                if self.parens > 0 {
                    return Err((self.at, "unclosed left paren".into()));
                }
                let pos = self.at;
                self.push(Kind::RightDelim, pos, "}}");
                self.at += len;
                self.trim_after(trims);
                return Ok(());
            }
            let Some(first) = self.rest().chars().next() else {
                return Err((self.at, "unclosed action".into()));
            };
            match first {
                ' ' | '\t' | '\r' | '\n' => {
                    let rest = self.rest();
                    let mut len = rest.len() - rest.trim_start_matches(SPACES).len();
                    // The last space may belong to a trimming delimiter.
                    if rest[len..].starts_with("-}}") {
                        len -= 1;
                    }
                    self.take(Kind::Space, len);
                }
                '=' => self.take(Kind::Assign, 1),
                ':' if self.rest().starts_with(":=") => self.take(Kind::Declare, 2),
                ':' => return Err((self.at, "expected :=".into())),
                '|' => self.take(Kind::Pipe, 1),
                ',' => self.take(Kind::Comma, 1),
                '(' => {
                    self.take(Kind::LeftParen, 1);
                    self.parens += 1;
                }
                ')' => {
                    if self.parens == 0 {
                        return Err((self.at, "unexpected right paren".into()));
                    }
                    self.parens -= 1;
                    self.take(Kind::RightParen, 1);
                }
                '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
                '\'' => self.quoted('\'', Kind::Char, "unterminated character constant")?,
                '`' => match self.rest()[1..].find('`') {
                    Some(end) => self.take(Kind::RawString, end + 2),
                    None => return Err((self.at, "unterminated raw quoted string".into())),
                },
                '$' => self.word(1, Kind::Variable)?,
                '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => self.dot()?,
                '.' | '+' | '-' | '0'..='9' => self.number()?,
                c if c == '_' || c.is_alphabetic() => self.identifier()?,
                c if c.is_ascii_graphic() => self.take(Kind::Sign, 1),
                c => {
                    let shown = format!("unrecognized character in action: {}", unicode(c));
                    return Err((self.at, shown));
                }
            }
        }
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Step {
        let mut escaped = false;
        for (i, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.take(kind, i + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err((self.at, unterminated.into()))
    }

    fn word_end(&self, from: usize) -> usize {
        let rest = self.rest();
        rest[from..]
            .find(|c: char| c != '_' && !c.is_alphanumeric())
            .map_or(rest.len(), |end| from + end)
    }

    /// A word has to end at something that can follow one.
    fn check_end(&self, end: usize) -> Step {
        match self.rest()[end..].chars().next() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | '=' | ')' | '(') => {
                Ok(())
            }
            Some('}') if self.rest()[end..].starts_with("}}") => Ok(()),
            Some(c) => Err((self.at, format!("bad character {}", unicode(c)))),
        }
    }

    fn word(&mut self, from: usize, kind: Kind) -> Step {
        let end = self.word_end(from);
        self.check_end(end)?;
        self.take(kind, end);
        Ok(())
    }

    fn dot(&mut self) -> Step {
        let end = self.word_end(1);
        if end == 1 {
            self.check_end(1)?;
            self.take(Kind::Dot, 1);
            return Ok(());
        }
        self.word(1, Kind::Field)
    }

    fn identifier(&mut self) -> Step {
        let end = self.word_end(0);
        self.check_end(end)?;
        let kind = match &self.rest()[..end] {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        };
        self.take(kind, end);
        Ok(())
    }

    fn number(&mut self) -> Step {
        let rest = self.rest();
        let mut end = 0;
        let mut before = ' ';
        let hex = rest
            .trim_start_matches(['+', '-'])
            .to_ascii_lowercase()
            .starts_with("0x");
        for c in rest.chars() {
            let exponent = if hex {
                matches!(before, 'p' | 'P')
            } else {
                matches!(before, 'e' | 'E')
            };
            let signs = matches!(c, '+' | '-') && (end == 0 || exponent);
            if !(signs || c == '.' || c == '_' || c.is_ascii_alphanumeric()) {
                break;
            }
            end += c.len_utf8();
            before = c;
        }
        let text = &rest[..end];
        if crate::number::parse(text).is_none() {
            let shown = format!("bad number syntax: {}", model::labels::go_quote(text));
            return Err((self.at, shown));
        }
        self.take(Kind::Number, end);
        Ok(())
    }
}

/// `U+0040 '@'`
pub(crate) fn unicode(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}
