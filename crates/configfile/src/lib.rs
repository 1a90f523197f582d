//! Every user-facing file as typed configuration: exact names, defaults and refusals, each with file, line and field.
//!
//! Text in, checked truth out; what is behind the fields (servers, discovery, rules) is known to their owners only.
//! Files that a configuration refers to are read by the caller and handed in.

pub mod alerting;
pub mod azuread;
pub mod cloud_identity;
pub mod decode;
pub mod google_iam;
pub mod http_client;
mod otlp;
pub mod print;
pub mod prometheus;
pub mod relabel;
pub mod remote;
pub mod rule_tests;
pub mod rules;
pub mod scalar;
pub mod scrape;
pub mod sd;
pub mod sd_dns;
pub mod sd_kubernetes;
pub mod sd_vendor;
pub mod secret;
pub mod sigv4;
pub mod size;
mod tracing;
pub mod url;
pub mod web;
pub mod yaml;

pub use decode::ConfigError;
pub use prometheus::Config;
pub use secret::Secret;
