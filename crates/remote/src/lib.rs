//! Remote write and remote read: samples to and from other servers.
//!
//! A [`RemoteWrite`] follows the log with one [`queue`] for each configured server; what a server has not acknowledged
//! stays in the log and is sent after a restart. [`read`] asks other servers during queries.

mod backoff;
mod batch;
mod http_date;
mod known_series;
mod log_reader;
mod metadata;
mod metrics;
mod packing;
mod position;
pub mod push;
mod queue;
pub mod read;
mod read_answer;
mod reshard;
mod send;
mod shards;
mod write;

pub use metadata::MetadataSource;
pub use write::{Prepared as PreparedWrite, RemoteWrite, WriteContext};
