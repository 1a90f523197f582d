//! From tokens to trees. A template's text may define further templates.

use std::sync::Arc;

use model::labels::go_quote;

use crate::lexer::{Kind, Token, lex, unicode};
use crate::tree::{Branch, Call, Command, Node, Operand, Pipe, Term};
use crate::unquote::{unquote, unquote_char};
use crate::value::Value;

/// Blocks and parentheses within each other.
const DEPTH_MAX: usize = 100;

/// Templates of one text: its own body first, then what it defines.
pub(crate) struct Parsed {
    pub body: Vec<Node>,
    pub defined: Vec<(Arc<str>, Vec<Node>)>,
}

/// Parses `source`; `known` tells which functions there are. The error has its line in front.
pub(crate) fn parse(
    name: &str,
    source: &str,
    known: &dyn Fn(&str) -> bool,
) -> Result<Parsed, String> {
    let mut parser = Parser {
        name,
        tokens: lex(source),
        at: 0,
        known,
        variables: vec!["$".into()],
        defined: Vec::new(),
        depth: 0,
        loops: 0,
        action_line: 0,
    };
    let (body, end) = parser.list(true)?;
    match end {
        Stop::Eof => Ok(Parsed {
            body,
            defined: parser.defined,
        }),
        end => Err(parser.fault(&format!("unexpected {}", end.shown()))),
    }
}

struct Parser<'a> {
    name: &'a str,
    tokens: Vec<Token>,
    at: usize,
    known: &'a dyn Fn(&str) -> bool,
    variables: Vec<Arc<str>>,
    defined: Vec<(Arc<str>, Vec<Node>)>,
    depth: usize,
    loops: usize,
    action_line: usize,
}

/// What ended a list of nodes.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    Eof,
    End,
    Else,
}

impl Stop {
    fn shown(self) -> &'static str {
        match self {
            Stop::Eof => "EOF",
            Stop::End => "{{end}}",
            Stop::Else => "{{else}}",
        }
    }
}

type Res<T> = Result<T, String>;

impl Parser<'_> {
    fn fault(&self, message: &str) -> String {
        let line = self
            .tokens
            .get(self.at.saturating_sub(1))
            .or(self.tokens.last())
            .map_or(1, |token| token.line);
        format!("template: {}:{line}: {message}", self.name)
    }

    fn peek(&self) -> &Token {
        // The last token (end or error) stays.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
    }

    fn next_word(&mut self) -> Token {
        self.skip_space();
        self.next()
    }

    fn unexpected(&self, token: &Token, context: &str) -> String {
        if token.kind == Kind::Error {
            let mut extra = String::new();
            if self.action_line != 0 && self.action_line != token.line {
                let started = format!("started at {}:{}", self.name, self.action_line);
                extra = if token.text.ends_with(" action") {
                    format!(" {started}")
                } else {
                    format!(" in action {started}")
                };
            }
            return self.fault(&format!("{}{extra}", token.text));
        }
        self.fault(&format!("unexpected {} in {context}", token.shown()))
    }

    fn deeper(&mut self) -> Res<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.fault(&format!("nested more than {DEPTH_MAX} deep")));
        }
        Ok(())
    }

    /// Nodes up to an `end`, an `else` or the end of the text.
    fn list(&mut self, top: bool) -> Res<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        loop {
            let token = self.next();
            match token.kind {
                Kind::Eof if top => return Ok((nodes, Stop::Eof)),
                Kind::Eof => return Err(self.fault("unexpected EOF")),
                Kind::Text => nodes.push(Node::Text(token.text)),
                Kind::LeftDelim => {
                    self.action_line = token.line;
                    self.skip_space();
                    if self.peek().kind != Kind::Keyword {
                        let pipe = self.pipe("command", Kind::RightDelim)?;
                        nodes.push(Node::Action(pipe));
                        self.action_line = 0;
                        continue;
                    }
                    let word = self.next();
                    match &*word.text {
                        "end" => {
                            self.close("end")?;
                            return Ok((nodes, Stop::End));
                        }
                        "else" => {
                            self.skip_space();
                            let next = self.peek();
                            let chained =
                                next.kind == Kind::Keyword && matches!(&*next.text, "if" | "with");
                            if !chained {
                                self.close("else")?;
                            }
                            return Ok((nodes, Stop::Else));
                        }
                        "define" if top => self.define()?,
                        "define" => return Err(self.unexpected(&word, "command")),
                        _ => nodes.push(self.control(&word)?),
                    }
                    self.action_line = 0;
                }
                _ => return Err(self.unexpected(&token, "input")),
            }
        }
    }

    fn close(&mut self, context: &str) -> Res<()> {
        let token = self.next_word();
        match token.kind {
            Kind::RightDelim => Ok(()),
            _ => Err(self.unexpected(&token, context)),
        }
    }

    fn quoted_name(&mut self, context: &str) -> Res<Arc<str>> {
        let token = self.next_word();
        match token.kind {
            Kind::String | Kind::RawString => match unquote(&token.text) {
                Some(name) => Ok(name.into()),
                None => Err(self.fault("invalid syntax")),
            },
            _ => Err(self.unexpected(&token, context)),
        }
    }

    fn define(&mut self) -> Res<()> {
        let name = self.quoted_name("define clause")?;
        self.close("define clause")?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let body = self.body_to_end("define clause")?;
        self.variables = outer;
        self.add_definition(name, body)
    }

    fn body_to_end(&mut self, context: &str) -> Res<Vec<Node>> {
        self.deeper()?;
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.list(false)?;
        self.loops = loops;
        self.depth -= 1;
        match end {
            Stop::End => Ok(body),
            end => Err(self.fault(&format!("unexpected {} in {context}", end.shown()))),
        }
    }

    fn add_definition(&mut self, name: Arc<str>, body: Vec<Node>) -> Res<()> {
        let empty = |body: &[Node]| {
            body.iter()
                .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
        };
        match self.defined.iter_mut().find(|(known, _)| *known == name) {
            None => self.defined.push((name, body)),
            Some((_, known)) if empty(known) => *known = body,
            Some(_) if empty(&body) => {}
            Some(_) => {
                let message = format!(
                    "template: multiple definition of template {}",
                    go_quote(&name)
                );
                return Err(self.fault(&message));
            }
        }
        Ok(())
    }

    fn control(&mut self, word: &Token) -> Res<Node> {
        match &*word.text {
            "if" => Ok(Node::If(self.branch("if")?)),
            "with" => Ok(Node::With(self.branch("with")?)),
            "range" => Ok(Node::Range(self.branch("range")?)),
            "break" | "continue" => {
                self.close(&word.text)?;
                if self.loops == 0 {
                    let message = format!("{{{{{}}}}} outside {{{{range}}}}", word.text);
                    return Err(self.fault(&message));
                }
                Ok(match &*word.text {
                    "break" => Node::Break,
                    _ => Node::Continue,
                })
            }
            "template" => {
                self.skip_space();
                let pos = self.peek().pos;
                let name = self.quoted_name("template clause")?;
                self.skip_space();
                let pipe = if self.peek().kind == Kind::RightDelim {
                    self.at += 1;
                    None
                } else {
                    Some(self.pipe("template clause", Kind::RightDelim)?)
                };
                Ok(Node::Template(Call { pos, name, pipe }))
            }
            _ => {
                self.skip_space();
                let pos = self.peek().pos;
                let name = self.quoted_name("block clause")?;
                let pipe = self.pipe("block clause", Kind::RightDelim)?;
                let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
                let body = self.body_to_end("block clause")?;
                self.variables = outer;
                self.add_definition(name.clone(), body)?;
                Ok(Node::Template(Call {
                    pos,
                    name,
                    pipe: Some(pipe),
                }))
            }
        }
    }

    fn branch(&mut self, context: &str) -> Res<Branch> {
        self.deeper()?;
        let scope = self.variables.len();
        let is_range = context == "range";
        let pipe = self.pipe(context, Kind::RightDelim)?;
        self.loops += usize::from(is_range);
        let (body, end) = self.list(false)?;
        self.loops -= usize::from(is_range);
        let mut otherwise = Vec::new();
        if end == Stop::Else {
            let next = self.peek().clone();
            if next.kind == Kind::Keyword && matches!(&*next.text, "if" | "with") {
                if is_range || *next.text != *context {
                    return Err(self.unexpected(&next, "else"));
                }
                self.at += 1;
                // The chained branch takes the `end` of all.
                otherwise.push(if context == "if" {
                    Node::If(self.branch(context)?)
                } else {
                    Node::With(self.branch(context)?)
                });
            } else {
                let (body, end) = self.list(false)?;
                if end != Stop::End {
                    return Err(self.fault(&format!("expected end; found {}", end.shown())));
                }
                otherwise = body;
            }
        }
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Branch {
            pipe,
            body,
            otherwise,
        })
    }

    /// A pipeline up to and with `end`.
    fn pipe(&mut self, context: &str, end: Kind) -> Res<Pipe> {
        self.deeper()?;
        self.skip_space();
        let mut pipe = Pipe {
            pos: self.peek().pos,
            ..Pipe::default()
        };
        self.declarations(&mut pipe, context)?;
        loop {
            self.skip_space();
            let token = self.next();
            if token.kind == end {
                self.check_pipe(&pipe, context)?;
                self.depth -= 1;
                return Ok(pipe);
            }
            match token.kind {
                Kind::Bool
                | Kind::Char
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.at -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
    }

    fn check_pipe(&self, pipe: &Pipe, context: &str) -> Res<()> {
        if pipe.commands.is_empty() {
            return Err(self.fault(&format!("missing value for {context}")));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            if let Some(Operand {
                term: Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(..) | Term::Text(..),
                ..
            }) = command.args.first()
            {
                let message = format!("non executable command in pipeline stage {}", i + 1);
                return Err(self.fault(&message));
            }
        }
        Ok(())
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Res<()> {
        let start = self.at;
        loop {
            self.skip_space();
            if self.peek().kind != Kind::Variable {
                break;
            }
            let variable = self.next();
            self.skip_space();
            match self.peek().kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = self.next().kind == Kind::Assign;
                    pipe.variables.push(variable.text.clone());
                    if !pipe.assigns {
                        self.variables.extend(pipe.variables.iter().cloned());
                    } else {
                        for name in &pipe.variables {
                            self.check_variable(name)?;
                        }
                    }
                    return Ok(());
                }
                Kind::Comma if context == "range" && pipe.variables.is_empty() => {
                    self.at += 1;
                    pipe.variables.push(variable.text.clone());
                    self.skip_space();
                    if self.peek().kind != Kind::Variable {
                        let token = self.next();
                        return Err(self.unexpected(&token, "range"));
                    }
                }
                Kind::Comma => {
                    return Err(self.fault(&format!("too many declarations in {context}")));
                }
                _ => break,
            }
        }
        self.at = start;
        pipe.variables.clear();
        Ok(())
    }

    fn check_variable(&self, name: &str) -> Res<()> {
        if self.variables.iter().any(|known| **known == *name) {
            return Ok(());
        }
        Err(self.fault(&format!("undefined variable {}", go_quote(name))))
    }

    fn command(&mut self) -> Res<Command> {
        self.skip_space();
        let mut command = Command { args: Vec::new() };
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.at -= 1,
                Kind::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        if command.args.is_empty() {
            return Err(self.fault("empty command"));
        }
        Ok(command)
    }

    fn operand(&mut self) -> Res<Option<Operand>> {
        let Some(term) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let pos = self.peek().pos;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            let token = self.next();
            names.push(Arc::from(&token.text[1..]));
        }
        let term = match term {
            Operand {
                term: Term::Field(mut own),
                ..
            } => {
                own.extend(names);
                Term::Field(own)
            }
            Operand {
                term: Term::Variable(mut own),
                ..
            } => {
                own.extend(names);
                Term::Variable(own)
            }
            Operand {
                term: Term::Bool(_) | Term::Text(..) | Term::Number(..) | Term::Nil | Term::Dot,
                ..
            } => {
                let message = format!("unexpected . after term {}", go_quote(&term.to_string()));
                return Err(self.fault(&message));
            }
            other => Term::Chain(Box::new(other), names),
        };
        Ok(Some(Operand { pos, term }))
    }

    fn term(&mut self) -> Res<Option<Operand>> {
        let token = self.next();
        let term = match token.kind {
            Kind::Identifier => {
                if !(self.known)(&token.text) {
                    let message = format!("function {} not defined", go_quote(&token.text));
                    return Err(self.fault(&message));
                }
                Term::Function(token.text)
            }
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                self.check_variable(&token.text)?;
                Term::Variable(vec![token.text])
            }
            Kind::Field => Term::Field(vec![Arc::from(&token.text[1..])]),
            Kind::Bool => Term::Bool(&*token.text == "true"),
            Kind::Number => match crate::number::parse(&token.text) {
                Some(value) => Term::Number(value, token.text),
                None => return Err(self.fault("illegal number syntax")),
            },
            Kind::Char => match unquote_char(&token.text) {
                Some(c) => Term::Number(Value::Int(c as i64), token.text),
                None => {
                    let first = token.text.chars().nth(1).unwrap_or('\'');
                    let message = format!("malformed character constant: {}", unicode(first));
                    return Err(self.fault(&message));
                }
            },
            Kind::String | Kind::RawString => match unquote(&token.text) {
                Some(text) => Term::Text(text.into(), token.text),
                None => return Err(self.fault("invalid syntax")),
            },
            Kind::LeftParen => Term::Pipe(Box::new(
                self.pipe("parenthesized pipeline", Kind::RightParen)?,
            )),
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand {
            pos: token.pos,
            term,
        }))
    }
}
