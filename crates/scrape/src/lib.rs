//! From targets to samples.
//!
//! The cores are pure: [`target`] makes targets of discovered labels, [`schedule`] says when to scrape, [`ingest`] turns
//! a body into appended samples with the help of the [`cache`]. Around them [`fetch`] talks HTTP, [`worker`] is one
//! target's loop, [`pool`] one job, and [`manager`] all of them.

pub mod body;
mod body_error;
pub mod cache;
pub mod classic;
pub mod failure_log;
pub mod fetch;
pub mod ingest;
pub mod labels;
pub mod manager;
pub mod metadata;
pub mod metrics;
pub mod native;
pub mod options;
pub mod pool;
pub mod report;
pub mod schedule;
pub mod target;
mod untimed;
pub mod worker;

pub use manager::Manager;
pub use target::{Health, Target, TargetStatus};
