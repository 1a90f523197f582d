//! The Prometheus server, a drop-in for upstream's.
//!
//! [`flags`] turns a command line into a [`ServerConfig`](flags::ServerConfig); [`Server`] made from it reads the
//! configuration file, listens, opens its data, and then scrapes and answers until told to stop. Several servers run in
//! one process. This crate knows nothing of other components.

pub mod build;
mod consoles;
pub mod engine;
mod engine_metrics;
pub mod features;
pub mod federate;
pub mod flags;
pub mod load;
mod os_error;
pub mod promtool;
pub mod query_watch;
mod remoting;
pub mod retention;
pub mod ruling;
pub mod self_metrics;
pub mod server;
pub mod status;
pub mod storage;
pub mod storage_options;
mod store;
pub mod targets;
pub mod web;

pub use server::{Context, Overview, Server, ServerError};
