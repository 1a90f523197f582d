//! Turns words into a tree: operator precedence climbing with upstream's messages for what does not fit.

mod aggregation;
mod durations;
mod selector;
mod shift;

use crate::ast::{
    Binary, Call, Cardinality, Expr, Matching, NumberLiteral, Paren, StringLiteral, Unary,
};
use crate::check;
use crate::functions::function;
use crate::lexer::Lexer;
use crate::position::{ParseError, PosRange};
use crate::token::{BinaryOp, Keyword, Kind, Token};
use model::labels::go_quote;

/// Parentheses, calls and signs inside each other; beyond this the parser's own stack would be in danger.
const NESTING_MAX: u32 = 100;
/// Levels of the finished tree, chains of operators counted; whatever walks a tree may recurse this deep.
pub const DEPTH_MAX: u32 = 300;

/// Which parts of the language are enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParserOptions {
    /// Functions and aggregations marked experimental.
    pub experimental_functions: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub binop_fill_modifiers: bool,
}

impl ParserOptions {
    /// Only what is on by default.
    pub fn stable() -> ParserOptions {
        ParserOptions {
            experimental_functions: false,
            binop_fill_modifiers: false,
        }
    }

    /// Everything.
    pub fn all() -> ParserOptions {
        ParserOptions {
            experimental_functions: true,
            binop_fill_modifiers: true,
        }
    }
}

/// Parses and type checks an expression.
pub fn parse(query: &str, options: &ParserOptions) -> Result<Expr, ParseError> {
    let mut expr = parse_unchecked(query, options)?;
    check::check(query, &mut expr)?;
    Ok(expr)
}

/// Parses without type checks.
fn parse_unchecked(query: &str, options: &ParserOptions) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(query, options)?;
    if parser.token.kind == Kind::Eof {
        return Err(ParseError::new(
            query,
            PosRange::default(),
            "no expression found in input",
        ));
    }
    let expr = parser.expression(0)?;
    if parser.token.kind != Kind::Eof {
        return parser.unexpected("", "");
    }
    Ok(expr)
}

/// Parses a bare selector such as `up{job="x"}`: what `match[]` parameters hold. One that matches everything is left to
/// the caller to refuse, in words of its own.
pub fn parse_selector(query: &str) -> Result<Vec<model::matcher::Matcher>, ParseError> {
    let options = ParserOptions::stable();
    let expr = parse_unchecked(query, &options)?;
    match expr {
        Expr::Vector(v) if !v.shift.has_at() && v.shift.offset_ms == 0 => Ok(v.matchers),
        other => Err(ParseError::new(
            query,
            other.pos(),
            "expected a vector selector without modifiers",
        )),
    }
}

/// Parses `name{a="b"}` into labels, as test files and `promtool` write them.
pub fn parse_metric(text: &str) -> Result<model::Labels, ParseError> {
    let options = ParserOptions::all();
    let mut parser = Parser::new(text, &options)?;
    let labels = parser.metric()?;
    if parser.token.kind != Kind::Eof {
        return parser.unexpected("metric", "");
    }
    Ok(labels)
}

pub(crate) struct Parser<'a> {
    query: &'a str,
    options: &'a ParserOptions,
    lexer: Lexer<'a>,
    /// The next word, not yet consumed.
    token: Token<'a>,
    /// End of the last consumed word.
    last_end: usize,
    nesting: u32,
    /// Depth of the tree the last parsing function returned.
    depth: u32,
    /// How many aggregations are being read: errors inside say so.
    aggregations: u32,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    pub(crate) fn new(query: &'a str, options: &'a ParserOptions) -> Parsed<Parser<'a>> {
        let mut parser = Parser {
            query,
            options,
            lexer: Lexer::new(query),
            token: Token {
                kind: Kind::Eof,
                start: 0,
                text: "",
            },
            last_end: 0,
            nesting: 0,
            depth: 0,
            aggregations: 0,
        };
        parser.advance()?;
        Ok(parser)
    }

    /// Consumes the current word and reads the next.
    fn advance(&mut self) -> Parsed<Token<'a>> {
        let consumed = self.token;
        self.last_end = consumed.end();
        self.token = self.lexer.next().map_err(|e| {
            ParseError::new(
                self.query,
                PosRange::new(e.start, self.query.len()),
                e.message,
            )
        })?;
        Ok(consumed)
    }

    pub(crate) fn current(&self) -> Kind {
        self.token.kind
    }

    fn at(&self, kind: Kind) -> bool {
        self.token.kind == kind
    }

    fn eat(&mut self, kind: Kind) -> Parsed<bool> {
        let found = self.at(kind);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn fail<T>(&self, pos: PosRange, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError::new(self.query, pos, message))
    }

    fn unexpected<T>(&self, context: &str, expected: &str) -> Parsed<T> {
        let mut message = format!("unexpected {}", self.token.describe());
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.fail(PosRange::new(self.token.start, self.token.end()), message)
    }

    /// An error no construct has better words for; an aggregation around it is named.
    fn unexpected_here<T>(&self) -> Parsed<T> {
        let context = if self.aggregations > 0 {
            "aggregation"
        } else {
            ""
        };
        self.unexpected(context, "")
    }

    fn expect(&mut self, kind: Kind) -> Parsed<Token<'a>> {
        if self.at(kind) {
            self.advance()
        } else {
            self.unexpected_here()
        }
    }

    fn enter(&mut self) -> Parsed<()> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return self.fail(
                PosRange::new(self.token.start, self.token.end()),
                format!(
                    "expression is nested too deeply, at most {NESTING_MAX} levels are allowed"
                ),
            );
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }

    fn grown(&mut self, depth: u32) -> Parsed<()> {
        self.depth = depth;
        if depth > DEPTH_MAX {
            return self.fail(
                PosRange::new(self.token.start, self.token.end()),
                format!(
                    "expression is nested too deeply, at most {DEPTH_MAX} operators are allowed"
                ),
            );
        }
        Ok(())
    }

    /// An expression whose operators bind tighter than `least`.
    fn expression(&mut self, least: u8) -> Parsed<Expr> {
        self.enter()?;
        let mut lhs = self.operand()?;
        let mut depth = self.depth;
        while let Kind::Operator(op) = self.token.kind {
            let precedence = op.precedence();
            if precedence <= least {
                break;
            }
            self.advance()?;
            let (return_bool, matching) = self.binary_modifiers()?;
            // `^` is right associative: let its right side take further ones.
            let rhs = self.expression(if op == BinaryOp::Pow {
                precedence - 1
            } else {
                precedence
            })?;
            depth = depth.max(self.depth) + 1;
            self.grown(depth)?;
            lhs = Expr::Binary(Box::new(Binary {
                op,
                lhs,
                rhs,
                matching: Some(matching),
                return_bool,
            }));
        }
        self.depth = depth;
        self.leave();
        Ok(lhs)
    }

    /// A sign with its operand, or a primary expression with what is attached behind it.
    fn operand(&mut self) -> Parsed<Expr> {
        let negative = match self.token.kind {
            Kind::Operator(BinaryOp::Add) => false,
            Kind::Operator(BinaryOp::Sub) => true,
            _ => {
                let primary = self.primary()?;
                return self.postfix(primary);
            }
        };
        let sign = self.advance()?;
        // Binds like `*`, so `-1 ^ 2` negates the power.
        let expr = self.expression(BinaryOp::Mul.precedence())?;
        if let Expr::Number(mut number) = expr {
            if negative {
                number.value = -number.value;
            }
            number.pos.start = sign.start;
            return Ok(Expr::Number(number));
        }
        let depth = self.depth + 1;
        self.grown(depth)?;
        Ok(Expr::Unary(Box::new(Unary {
            negative,
            expr,
            start: sign.start,
        })))
    }

    fn primary(&mut self) -> Parsed<Expr> {
        self.depth = 1;
        let token = self.token;
        match token.kind {
            Kind::Number | Kind::Duration => Ok(Expr::Number(self.number_literal()?)),
            Kind::String => {
                self.advance()?;
                let unquoted = self.unquote(token)?;
                Ok(Expr::String(StringLiteral {
                    value: unquoted.text,
                    raw: unquoted.raw,
                    pos: PosRange::new(token.start, token.end()),
                }))
            }
            Kind::LeftParen => {
                self.advance()?;
                let expr = self.expression(0)?;
                let depth = self.depth + 1;
                self.expect(Kind::RightParen)?;
                self.grown(depth)?;
                Ok(Expr::Paren(Box::new(Paren {
                    expr,
                    pos: PosRange::new(token.start, self.last_end),
                })))
            }
            Kind::LeftBrace | Kind::MetricIdentifier => self.vector_selector(),
            Kind::Identifier => {
                self.advance()?;
                if self.at(Kind::LeftParen) {
                    self.call(token)
                } else {
                    self.selector_named(token)
                }
            }
            Kind::Keyword(word) if word.is_preprocessor() => {
                self.advance()?;
                if self.at(Kind::LeftParen) {
                    self.call(token)
                } else {
                    self.selector_named(token)
                }
            }
            Kind::Aggregator(op) => {
                self.advance()?;
                match self.token.kind {
                    Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without) => {
                        self.aggregate(token, op)
                    }
                    _ => self.selector_named(token),
                }
            }
            kind if is_metric_word(kind) => {
                self.advance()?;
                self.selector_named(token)
            }
            _ => self.unexpected_here(),
        }
    }

    /// Reads a number or duration; the current word is one.
    fn number_literal(&mut self) -> Parsed<NumberLiteral> {
        let token = self.advance()?;
        let pos = PosRange::new(token.start, token.end());
        if token.kind == Kind::Duration {
            if let Some(unit) = crate::numbers::unknown_unit(token.text) {
                return self.fail(
                    pos,
                    format!(
                        "unknown unit {} in duration {}",
                        go_quote(unit),
                        go_quote(token.text)
                    ),
                );
            }
            let ms = match model::duration::parse_duration(token.text) {
                Ok(ms) => ms,
                Err(e) => return self.fail(pos, e.to_string()),
            };
            return Ok(NumberLiteral {
                value: ms as f64 / 1000.0,
                duration: true,
                pos,
            });
        }
        match crate::numbers::parse_number(token.text) {
            Ok(value) => Ok(NumberLiteral {
                value,
                duration: false,
                pos,
            }),
            Err(message) => self.fail(pos, message),
        }
    }

    fn unquote(&self, token: Token<'_>) -> Parsed<crate::strings::Unquoted> {
        crate::strings::unquote(token.text)
            .or_else(|message| self.fail(PosRange::new(token.start, token.end()), message))
    }

    /// `(a, b, c)`, the opening parenthesis being the current word.
    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        self.expect(Kind::LeftParen)?;
        let mut args = Vec::new();
        let mut depth = 0;
        if !self.at(Kind::RightParen) {
            loop {
                args.push(self.expression(0)?);
                depth = depth.max(self.depth);
                if !self.at(Kind::Comma) {
                    break;
                }
                let comma = self.advance()?;
                if self.at(Kind::RightParen) {
                    return self.fail(
                        PosRange::new(comma.start, comma.end()),
                        "trailing commas not allowed in function call args",
                    );
                }
            }
        }
        self.expect(Kind::RightParen)?;
        self.grown(depth + 1)?;
        Ok(args)
    }

    fn call(&mut self, name: Token<'a>) -> Parsed<Expr> {
        let args = self.arguments()?;
        let pos = PosRange::new(name.start, name.end());
        let Some(func) = function(name.text) else {
            return self.fail(
                pos,
                format!("unknown function with name {}", go_quote(name.text)),
            );
        };
        if func.experimental && !self.options.experimental_functions {
            return self.fail(
                pos,
                format!("function {} is not enabled", go_quote(name.text)),
            );
        }
        Ok(Expr::Call(Box::new(Call {
            func,
            args,
            pos: PosRange::new(name.start, self.last_end),
        })))
    }

    /// `bool on (a) group_left (b) fill (0)` after an operator.
    fn binary_modifiers(&mut self) -> Parsed<(bool, Matching)> {
        let mut matching = Matching::default();
        let return_bool = self.eat(Kind::Keyword(Keyword::Bool))?;
        if let Kind::Keyword(word @ (Keyword::On | Keyword::Ignoring)) = self.token.kind {
            self.advance()?;
            matching.on = word == Keyword::On;
            matching.labels = self.grouping_labels()?;
            if let Kind::Keyword(side @ (Keyword::GroupLeft | Keyword::GroupRight)) =
                self.token.kind
            {
                self.advance()?;
                matching.card = if side == Keyword::GroupLeft {
                    Cardinality::ManyToOne
                } else {
                    Cardinality::OneToMany
                };
                if self.at(Kind::LeftParen) {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        while let Kind::Keyword(word @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) =
            self.token.kind
        {
            let taken = match word {
                Keyword::FillLeft => matching.fill_left.is_some(),
                Keyword::FillRight => matching.fill_right.is_some(),
                _ => matching.fill_left.is_some() || matching.fill_right.is_some(),
            };
            if taken {
                return self.unexpected_here();
            }
            let token = self.advance()?;
            self.expect(Kind::LeftParen)?;
            let value = self.signed_number()?;
            self.expect(Kind::RightParen)?;
            if !self.options.binop_fill_modifiers {
                return self.fail(
                    PosRange::new(token.start, self.last_end),
                    "binop fill modifiers are experimental and not enabled",
                );
            }
            if word != Keyword::FillRight {
                matching.fill_left = Some(value);
            }
            if word != Keyword::FillLeft {
                matching.fill_right = Some(value);
            }
        }
        Ok((return_bool, matching))
    }

    fn signed_number(&mut self) -> Parsed<f64> {
        let negative = match self.token.kind {
            Kind::Operator(BinaryOp::Sub) => {
                self.advance()?;
                true
            }
            Kind::Operator(BinaryOp::Add) => {
                self.advance()?;
                false
            }
            _ => false,
        };
        if !matches!(self.token.kind, Kind::Number | Kind::Duration) {
            return self.unexpected_here();
        }
        let number = self.number_literal()?;
        Ok(if negative {
            -number.value
        } else {
            number.value
        })
    }
}

/// Words of the language that may also be metric names, where no parenthesis tells otherwise.
pub(crate) fn is_metric_word(kind: Kind) -> bool {
    match kind {
        Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregator(_) => true,
        Kind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless) => true,
        Kind::Keyword(word) => !matches!(
            word,
            Keyword::Bool
                | Keyword::On
                | Keyword::Ignoring
                | Keyword::GroupLeft
                | Keyword::GroupRight
        ),
        _ => false,
    }
}
