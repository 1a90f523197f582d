//! Go's `text/template`, as far as alerting uses it, which is nearly all of it.
//!
//! ```text
//! text -> lexer -> parser -> tree -> exec over Value -> text
//! ```
//!
//! What can be called beside Go's own functions is handed in ([`Functions`]); [`alerting`] has those of rule files.
//! Fields and methods of foreign things are [`Object`]s. Depth, steps and output are bounded ([`Limits`]). Missing keys
//! give the zero value. Pages of HTML are escaped by place, as `html/template` does ([`Template::execute_html`]). Faults read as Go's, with line and column. The crate is pure: time is an argument.

pub mod alerting;
mod builtins;
pub mod duration;
mod escape;
mod exec;
mod format;
mod html;
mod html_script;
mod html_url;
pub mod humanize;
mod lexer;
mod number;
mod parser;
mod template;
pub mod time;
mod tree;
mod unquote;
mod value;

pub use escape::{html as html_escape, query as query_escape};
pub use number::format_g;
pub use template::{Functions, Limits, NoFunctions, Parameter, Signature, Template, TemplateError};
pub use value::{Map, Object, Value};
