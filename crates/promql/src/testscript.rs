//! Runs upstream's test scripts: data is loaded, queries are evaluated, answers, warnings and errors are compared.
//!
//! Each instant query is asked in several ways more: pinned to its time with `@` and evaluated at other times, and as the
//! middle step of a range query.

mod compare;
mod nhcb;
mod run;
mod script;
mod store;

pub use run::{Failure, Report, run_script, run_script_with};
pub use store::ScriptStorage;
