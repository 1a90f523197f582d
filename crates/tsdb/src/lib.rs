//! The storage engine: samples come in by commits, are safe in the log, live in the head, and end up in blocks.
//!
//! [`Db`] is one folder, the same as Prometheus' (either may carry on the other's). It is synchronous; whoever owns it
//! calls [`Db::maintain`] about once a minute from a thread of its own.

pub mod agent;
pub mod block;
mod block_writer;
pub mod checkpoint;
mod chunk_files;
mod compact;
mod db;
mod exemplars;
mod failure;
mod head;
mod isolation;
mod matching;
mod merge;
mod metrics;
mod options;
mod out_of_order;
pub mod overlay;
pub mod plan;
mod postings;
mod prefetch;
mod querier;
mod series;
mod slots;
mod symbols;
pub mod tool;
mod uploaded;
mod validate;
pub mod wal;

pub use agent::Agent;
pub use block::Block;
pub use db::{Db, ReplayProgress, Work};
pub use failure::DbError;
pub use head::{HeadStats, NamedCount};
pub use merge::{Sample, Value};
pub use metrics::Appended;
pub use options::{Options, Retention};
pub use wal::Durability;
