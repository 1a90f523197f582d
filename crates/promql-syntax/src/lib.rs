//! The PromQL language: text in, typed tree out, and back to text.
//!
//! ```text
//! query text -> lexer -> parser -> check -> Expr -> print | pretty | json
//! "metric 1+2x3" -> series (the notation of test scripts)
//! ```
//!
//! The crate is pure and does not know how expressions are evaluated.

pub mod ast;
mod check;
mod durations;
mod functions;
mod json;
mod lexer;
mod numbers;
mod parser;
mod position;
mod pretty;
mod print;
mod series;
mod strings;
mod token;

pub use ast::Expr;
pub use durations::{QueryTimes, resolve_durations};
pub use functions::{FUNCTIONS, Function, function};
pub use json::to_json;
pub use parser::{DEPTH_MAX, ParserOptions, parse, parse_metric, parse_selector};
pub use position::{ParseError, PosRange};
pub use pretty::pretty;
pub use series::{SeriesDescription, SeriesValue, metric_prefix, parse_series, parse_start_times};
pub use strings::{Unquoted, unquote};
