//! Machine metrics: a drop-in for upstream's node_exporter.
//!
//! [`flags`] turns a command line into a [`Config`]; a [`NodeExporter`] made from it asks its [`registry`] of
//! [`collectors`] at every scrape and gives [`model::MetricFamily`]s; [`page`] shows them over HTTP; [`run`] does it all
//! until told to stop. This crate knows nothing of other components.

pub mod collector;
pub mod collectors;
pub mod config;
pub mod exporter;
pub mod files;
pub mod filter;
pub mod flags;
mod mount_usage;
pub mod netlink;
pub mod page;
pub mod registry;
pub mod self_metrics;
pub mod server;
pub mod sink;

pub use config::{BuildInfo, Config, ConfigError, Options};
pub use exporter::{NodeExporter, Selection, collect};
pub use page::{Page, metrics_page, router};
pub use server::{Listening, RunError};
