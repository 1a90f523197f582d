//! Rules: groups evaluated on their schedule, the state of alerts, and sending them on.
//!
//! ```text
//! manager (tasks, reloads) -> group (one iteration) -> recording | alerting -> writer (samples, stale markers)
//!                                                                  |
//!                                                                  v
//!                                      notifier (relabelling, queues) -> Alertmanagers
//! ```
//!
//! An iteration is a function of storage and a time: [`Group::evaluate`] reads no clock but to tell how long it took.

pub mod alert;
mod alerting;
mod definition;
mod dependencies;
mod group;
pub mod links;
mod manager;
mod metrics;
pub mod notifier;
mod query;
mod recording;
mod restore;
mod rule;
mod schedule;
mod templates;
mod writer;

pub use alert::{Alert, AlertState};
pub use definition::{Defaults, GroupDefinition, definitions};
pub use group::{Evaluation, Group, GroupView};
pub use manager::{Manager, ManagerOptions, Prepared};
pub use metrics::RuleMetrics;
pub use query::{EngineQuery, RuleQuery};
pub use rule::{Health, RuleView, RuleViewKind};
pub use templates::samples;
