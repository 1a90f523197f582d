//! The query engine.
//!
//! ```text
//! text -> promql-syntax -> plan -> streams of series over all steps -> answer
//! ```
//!
//! Evaluation is series-major: storage hands out one series after the other as compressed chunks, each is decoded once,
//! turned into its values at all steps, and passed on. Aggregations hold their groups, joins one of their sides, the answer
//! itself; nothing else is ever held for all series at once.
//!
//! The crate is pure: no threads, no clock, no files. Whoever runs a query passes in a [`Control`] that stops it.

mod aggregate;
mod binary;
mod block;
mod calendar;
mod control;
mod cx;
mod engine;
mod error;
mod explain;
mod frame;
mod function;
mod grid;
mod guard;
mod leaf;
mod merge;
mod notes;
mod options;
mod output;
mod plan;
mod quantile;
mod samples;
mod select;
mod stats;
mod steps;
mod stream;
pub mod testscript;
mod value;
mod window;

pub use control::{Control, Executor, RunToEnd, Stop};
pub use engine::{Engine, Query};
pub use error::{ErrorKind, QueryError};
pub use explain::{Explained, Read};
pub use notes::Annotations;
pub use options::{EngineOptions, QueryOptions};
pub use stats::QueryStats;
pub use value::{QueryResult, ResultSeries, Sample, SampleValue, Value};
