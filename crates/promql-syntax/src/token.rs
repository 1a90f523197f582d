//! The words the lexer cuts a query into, and how errors call them.

use model::labels::go_quote;

/// What a piece of the query text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// End of input.
    Eof,
    /// A plain name.
    Identifier,
    /// A name with colons.
    MetricIdentifier,
    /// A quoted string, quotes included.
    String,
    /// A number.
    Number,
    /// A duration such as `5m`.
    Duration,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `{`
    LeftBrace,
    /// `}`
    RightBrace,
    /// `[`
    LeftBracket,
    /// `]`
    RightBracket,
    /// `,`
    Comma,
    /// `=`
    Assign,
    /// `:`
    Colon,
    /// `;`
    Semicolon,
    /// `=~`
    EqualRegex,
    /// `!~`
    NotRegex,
    /// `@`
    At,
    /// One of the binary operators.
    Operator(BinaryOp),
    /// One of the aggregations.
    Aggregator(AggregateOp),
    /// One of the other words with a meaning.
    Keyword(Keyword),
}

/// Words that modify operators and selectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Bool,
    Fill,
    FillLeft,
    FillRight,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Keyword {
    /// Words that are also function names; errors show them as plain quoted text.
    pub(crate) fn is_preprocessor(self) -> bool {
        matches!(
            self,
            Keyword::Start
                | Keyword::End
                | Keyword::Step
                | Keyword::Range
                | Keyword::MaxOf
                | Keyword::MinOf
        )
    }
}

/// The binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    /// `</`: keep the part of a histogram up to a value.
    TrimUpper,
    /// `>/`: keep the part of a histogram from a value on.
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// As written in PromQL.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Equal => "==",
            BinaryOp::NotEqual => "!=",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Less => "<",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::Greater => ">",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
        }
    }

    /// `== != < <= > >=`
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            BinaryOp::Equal
                | BinaryOp::NotEqual
                | BinaryOp::Less
                | BinaryOp::LessOrEqual
                | BinaryOp::Greater
                | BinaryOp::GreaterOrEqual
        )
    }

    /// `and or unless`
    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }

    /// `</ >/`
    pub fn is_trim(self) -> bool {
        matches!(self, BinaryOp::TrimUpper | BinaryOp::TrimLower)
    }

    /// How tightly it binds; larger is tighter.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            BinaryOp::Or => 1,
            BinaryOp::And | BinaryOp::Unless => 2,
            BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Less
            | BinaryOp::LessOrEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterOrEqual
            | BinaryOp::TrimUpper
            | BinaryOp::TrimLower => 3,
            BinaryOp::Add | BinaryOp::Sub => 4,
            BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
            BinaryOp::Pow => 6,
        }
    }
}

/// The aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    /// As written in PromQL.
    pub fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Count => "count",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Topk => "topk",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Quantile => "quantile",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// Whether a parameter comes before the vector.
    pub fn has_param(self) -> bool {
        matches!(
            self,
            AggregateOp::Topk
                | AggregateOp::Bottomk
                | AggregateOp::CountValues
                | AggregateOp::Quantile
                | AggregateOp::Limitk
                | AggregateOp::LimitRatio
        )
    }

    /// Whether it needs the feature flag for experimental functions.
    pub fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
}

/// One word of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Byte offset of its first byte.
    pub start: usize,
    /// Its text.
    pub text: &'a str,
}

impl Token<'_> {
    /// One past the last byte.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// What an error calls it: `<op:+>`, `identifier "x"`, `end of input`, ...
    pub fn describe(&self) -> String {
        let shortened = || {
            if self.text.len() > 10 {
                let cut: String = self.text.chars().take(10).collect();
                format!("{}...", go_quote(&cut))
            } else {
                go_quote(self.text)
            }
        };
        match self.kind {
            Kind::Eof => "end of input".to_string(),
            Kind::Identifier => format!("identifier {}", go_quote(self.text)),
            Kind::MetricIdentifier => format!("metric identifier {}", go_quote(self.text)),
            Kind::String => format!("string {}", shortened()),
            Kind::Number => format!("number {}", shortened()),
            Kind::Duration => format!("duration {}", shortened()),
            Kind::Operator(_) | Kind::EqualRegex | Kind::NotRegex | Kind::At => {
                format!("<op:{}>", self.text)
            }
            Kind::Aggregator(_) => format!("<aggr:{}>", self.text),
            Kind::Keyword(word) if !word.is_preprocessor() => format!("<{}>", self.text),
            _ => shortened(),
        }
    }
}

/// The meaning of a word outside braces, any case; `None` for a plain name.
pub(crate) fn keyword(word: &str) -> Option<Kind> {
    // The longest keyword has 12 letters; most names need no lower-casing at all.
    if word.len() > 12 {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    Some(match lower.as_str() {
        "and" => Kind::Operator(BinaryOp::And),
        "or" => Kind::Operator(BinaryOp::Or),
        "unless" => Kind::Operator(BinaryOp::Unless),
        "atan2" => Kind::Operator(BinaryOp::Atan2),
        "sum" => Kind::Aggregator(AggregateOp::Sum),
        "avg" => Kind::Aggregator(AggregateOp::Avg),
        "count" => Kind::Aggregator(AggregateOp::Count),
        "min" => Kind::Aggregator(AggregateOp::Min),
        "max" => Kind::Aggregator(AggregateOp::Max),
        "group" => Kind::Aggregator(AggregateOp::Group),
        "stddev" => Kind::Aggregator(AggregateOp::Stddev),
        "stdvar" => Kind::Aggregator(AggregateOp::Stdvar),
        "topk" => Kind::Aggregator(AggregateOp::Topk),
        "bottomk" => Kind::Aggregator(AggregateOp::Bottomk),
        "count_values" => Kind::Aggregator(AggregateOp::CountValues),
        "quantile" => Kind::Aggregator(AggregateOp::Quantile),
        "limitk" => Kind::Aggregator(AggregateOp::Limitk),
        "limit_ratio" => Kind::Aggregator(AggregateOp::LimitRatio),
        "offset" => Kind::Keyword(Keyword::Offset),
        "smoothed" => Kind::Keyword(Keyword::Smoothed),
        "anchored" => Kind::Keyword(Keyword::Anchored),
        "by" => Kind::Keyword(Keyword::By),
        "without" => Kind::Keyword(Keyword::Without),
        "on" => Kind::Keyword(Keyword::On),
        "ignoring" => Kind::Keyword(Keyword::Ignoring),
        "group_left" => Kind::Keyword(Keyword::GroupLeft),
        "group_right" => Kind::Keyword(Keyword::GroupRight),
        "bool" => Kind::Keyword(Keyword::Bool),
        "fill" => Kind::Keyword(Keyword::Fill),
        "fill_left" => Kind::Keyword(Keyword::FillLeft),
        "fill_right" => Kind::Keyword(Keyword::FillRight),
        "start" => Kind::Keyword(Keyword::Start),
        "end" => Kind::Keyword(Keyword::End),
        "step" => Kind::Keyword(Keyword::Step),
        "range" => Kind::Keyword(Keyword::Range),
        "max_of" => Kind::Keyword(Keyword::MaxOf),
        "min_of" => Kind::Keyword(Keyword::MinOf),
        "inf" | "nan" => Kind::Number,
        _ => return None,
    })
}
