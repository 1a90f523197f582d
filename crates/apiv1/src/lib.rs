//! The Prometheus HTTP API, once, for every part that serves it.
//!
//! [`router`] puts the handlers together over what a part hands in ([`Api`]): an engine, something to query, and views
//! of its targets and its state. Handlers know neither how data is stored nor how targets are found.

pub mod admin;
pub mod client;
pub mod control;
pub mod cors;
pub mod error;
pub mod exemplars;
pub mod explain;
pub mod json;
pub mod methods;
pub mod notifications;
pub mod observe;
pub mod openapi;
pub mod params;
pub mod query;
pub mod relabel_steps;
pub mod remote_read;
pub mod remote_write;
pub mod respond;
pub mod result;
pub mod router;
pub mod rules;
pub mod self_metrics;
pub mod series;
pub mod status;
pub mod stream;
pub mod targets;
pub mod threads;
pub mod time;

pub use error::{ApiError, ErrorType};
pub use router::{Api, router};
