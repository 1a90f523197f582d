//! The syntax tree of a PromQL expression.

use model::matcher::Matcher;

use crate::functions::Function;
use crate::position::PosRange;
pub use crate::token::{AggregateOp, BinaryOp};

/// The four types of PromQL values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number.
    Scalar,
    /// A set of series with one sample each.
    Vector,
    /// A set of series with many samples each.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// `scalar`, `vector`, `matrix`, `string`
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            ValueType::String => "string",
        }
    }

    /// The name the documentation uses: `scalar`, `instant vector`, `range vector`, `string`.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::String => "string",
        }
    }
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Expr {
    Number(NumberLiteral),
    String(StringLiteral),
    Vector(Box<VectorSelector>),
    Matrix(Box<MatrixSelector>),
    Subquery(Box<Subquery>),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Call(Box<Call>),
    Paren(Box<Paren>),
    Unary(Box<Unary>),
}

/// A number, or a duration used as one (its value is in seconds).
#[derive(Clone, Debug, PartialEq)]
pub struct NumberLiteral {
    /// The value; seconds for a duration.
    pub value: f64,
    /// Whether it was written as a duration, and is to be printed as one.
    pub duration: bool,
    /// Where it stands.
    pub pos: PosRange,
}

/// A quoted text.
#[derive(Clone, Debug, PartialEq)]
pub struct StringLiteral {
    /// The content.
    pub value: String,
    /// The content's bytes, where escapes spelt something that is not UTF-8.
    pub raw: Option<Vec<u8>>,
    /// Where it stands.
    pub pos: PosRange,
}

/// `@ start()` and `@ end()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Edge {
    Start,
    End,
}

/// `offset` and `@`, as written and resolved.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TimeShift {
    /// The written offset in ms, 0 if none; the resolved one once [`crate::resolve_durations`] ran.
    pub offset_ms: i64,
    /// An offset that has to be computed.
    pub offset_expr: Option<Box<DurationExpr>>,
    /// `@ 1234` in ms.
    pub at_ms: Option<i64>,
    /// `@ start()`, `@ end()`
    pub at_edge: Option<Edge>,
}

impl TimeShift {
    /// Whether an `@` of any kind is there.
    pub fn has_at(&self) -> bool {
        self.at_ms.is_some() || self.at_edge.is_some()
    }
}

/// `name{a="b"} offset 5m`
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name written before the braces, `""` if none.
    pub name: String,
    /// All conditions; one on `__name__` comes last if `name` is set.
    pub matchers: Vec<Matcher>,
    /// `offset` and `@`.
    pub shift: TimeShift,
    /// `anchored`
    pub anchored: bool,
    /// `smoothed`
    pub smoothed: bool,
    /// The second argument of `info()` may consist of empty matchers.
    pub allow_empty_matchers: bool,
    /// Where it stands.
    pub pos: PosRange,
}

/// `name{a="b"}[5m] offset 1m`; the shift belongs to the inner selector.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// What is selected.
    pub selector: VectorSelector,
    /// The window in ms.
    pub range_ms: i64,
    /// A window that has to be computed.
    pub range_expr: Option<Box<DurationExpr>>,
    /// One past its last byte.
    pub end: usize,
}

/// `expr[1h:5m]`
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// The window in ms.
    pub range_ms: i64,
    /// A window that has to be computed.
    pub range_expr: Option<Box<DurationExpr>>,
    /// The resolution in ms, 0 for the server's default.
    pub step_ms: i64,
    /// A resolution that has to be computed.
    pub step_expr: Option<Box<DurationExpr>>,
    /// `offset` and `@`.
    pub shift: TimeShift,
    /// One past its last byte.
    pub end: usize,
}

/// `sum by (a) (x)`
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which aggregation.
    pub op: AggregateOp,
    /// The vector.
    pub expr: Expr,
    /// What comes before the vector, for `topk` and the like.
    pub param: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// `without`
    pub without: bool,
    /// Where it stands.
    pub pos: PosRange,
}

/// How many series of one side match how many of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Cardinality {
    OneToOne,
    ManyToOne,
    OneToMany,
    ManyToMany,
}

impl Cardinality {
    /// `one-to-one`, ...
    pub fn as_str(self) -> &'static str {
        match self {
            Cardinality::OneToOne => "one-to-one",
            Cardinality::ManyToOne => "many-to-one",
            Cardinality::OneToMany => "one-to-many",
            Cardinality::ManyToMany => "many-to-many",
        }
    }
}

/// How the two sides of a binary operator find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// The cardinality.
    pub card: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// `on`
    pub on: bool,
    /// The labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// Stands in for a missing left side.
    pub fill_left: Option<f64>,
    /// Stands in for a missing right side.
    pub fill_right: Option<f64>,
}

impl Default for Matching {
    fn default() -> Matching {
        Matching {
            card: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        }
    }
}

/// `lhs op rhs`
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// `None` once type checked where one side is a scalar.
    pub matching: Option<Matching>,
    /// `bool`
    pub return_bool: bool,
}

/// `rate(x[5m])`
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub func: &'static Function,
    /// Its arguments.
    pub args: Vec<Expr>,
    /// Where it stands.
    pub pos: PosRange,
}

/// `(expr)`
#[derive(Clone, Debug, PartialEq)]
pub struct Paren {
    /// What is inside.
    pub expr: Expr,
    /// Where it stands.
    pub pos: PosRange,
}

/// `-expr`, `+expr`
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// `-` rather than `+`.
    pub negative: bool,
    /// The operand.
    pub expr: Expr,
    /// Offset of the sign.
    pub start: usize,
}

/// A duration that has to be computed from the query's own times.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum DurationExpr {
    Number(NumberLiteral),
    /// `step()`
    Step(PosRange),
    /// `range()`
    Range(PosRange),
    /// `-expr`
    Negate {
        expr: Box<DurationExpr>,
        wrapped: bool,
        start: usize,
    },
    /// Arithmetic, `min_of` and `max_of`.
    Binary {
        op: DurationOp,
        lhs: Box<DurationExpr>,
        rhs: Box<DurationExpr>,
        wrapped: bool,
        pos: PosRange,
    },
}

/// Operators of duration expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    MinOf,
    MaxOf,
}

impl DurationOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            DurationOp::Add => "+",
            DurationOp::Sub => "-",
            DurationOp::Mul => "*",
            DurationOp::Div => "/",
            DurationOp::Mod => "%",
            DurationOp::Pow => "^",
            DurationOp::MinOf => "min_of",
            DurationOp::MaxOf => "max_of",
        }
    }
}

impl DurationExpr {
    /// Where it stands.
    pub fn pos(&self) -> PosRange {
        match self {
            DurationExpr::Number(n) => n.pos,
            DurationExpr::Step(pos) | DurationExpr::Range(pos) => *pos,
            DurationExpr::Negate { expr, start, .. } => PosRange::new(*start, expr.pos().end),
            DurationExpr::Binary { pos, .. } => *pos,
        }
    }
}

impl Expr {
    /// The part of the query text it was read from.
    pub fn pos(&self) -> PosRange {
        match self {
            Expr::Number(n) => n.pos,
            Expr::String(s) => s.pos,
            Expr::Vector(v) => v.pos,
            Expr::Matrix(m) => PosRange::new(m.selector.pos.start, m.end),
            Expr::Subquery(s) => PosRange::new(self.start(), s.end),
            Expr::Aggregate(a) => a.pos,
            Expr::Binary(b) => PosRange::new(self.start(), b.rhs.pos().end),
            Expr::Call(c) => c.pos,
            Expr::Paren(p) => p.pos,
            Expr::Unary(u) => PosRange::new(u.start, u.expr.pos().end),
        }
    }

    /// Where it starts: that of the leftmost operand, found without recursion because chains of operators lean left.
    fn start(&self) -> usize {
        let mut expr = self;
        loop {
            expr = match expr {
                Expr::Binary(b) => &b.lhs,
                Expr::Subquery(s) => &s.expr,
                other => return other.pos().start,
            };
        }
    }

    /// The type its evaluation gives.
    pub fn value_type(&self) -> ValueType {
        match self {
            Expr::Number(_) => ValueType::Scalar,
            Expr::String(_) => ValueType::String,
            Expr::Vector(_) | Expr::Aggregate(_) => ValueType::Vector,
            Expr::Matrix(_) | Expr::Subquery(_) => ValueType::Matrix,
            Expr::Binary(b) => {
                // Left-deep chains can be a thousand operators long: walk them instead of recursing.
                let mut b = b;
                loop {
                    if b.rhs.value_type() != ValueType::Scalar {
                        return ValueType::Vector;
                    }
                    match &b.lhs {
                        Expr::Binary(inner) => b = inner,
                        other if other.value_type() == ValueType::Scalar => {
                            return ValueType::Scalar;
                        }
                        _ => return ValueType::Vector,
                    }
                }
            }
            Expr::Call(c) => c.func.return_type,
            Expr::Paren(p) => p.expr.value_type(),
            Expr::Unary(u) => u.expr.value_type(),
        }
    }

    /// The expression inside any number of parentheses.
    pub fn unwrap_parens(&self) -> &Expr {
        let mut expr = self;
        while let Expr::Paren(p) = expr {
            expr = &p.expr;
        }
        expr
    }

    /// The direct sub-expressions in reading order.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => Vec::new(),
            Expr::Subquery(s) => vec![&s.expr],
            Expr::Aggregate(a) => a.param.iter().chain([&a.expr]).collect(),
            Expr::Binary(b) => vec![&b.lhs, &b.rhs],
            Expr::Call(c) => c.args.iter().collect(),
            Expr::Paren(p) => vec![&p.expr],
            Expr::Unary(u) => vec![&u.expr],
        }
    }

    /// The direct sub-expressions, to be changed.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => Vec::new(),
            Expr::Subquery(s) => vec![&mut s.expr],
            Expr::Aggregate(a) => a.param.iter_mut().chain([&mut a.expr]).collect(),
            Expr::Binary(b) => vec![&mut b.lhs, &mut b.rhs],
            Expr::Call(c) => c.args.iter_mut().collect(),
            Expr::Paren(p) => vec![&mut p.expr],
            Expr::Unary(u) => vec![&mut u.expr],
        }
    }

    /// Calls `f` on this expression and all below it, parents first.
    pub fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Expr)) {
        f(self);
        for child in self.children() {
            child.visit(f);
        }
    }

    /// Every selector's matchers, in reading order; what `/api/v1/query_exemplars` asks for.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut out: Vec<&[Matcher]> = Vec::new();
        self.visit(&mut |e| match e {
            Expr::Vector(v) => out.push(&v.matchers),
            Expr::Matrix(m) => out.push(&m.selector.matchers),
            _ => {}
        });
        out
    }
}
