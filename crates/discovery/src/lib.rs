//! Where targets come from.
//!
//! Each mechanism is one file and yields groups of targets: addresses with labels that tell what is known about them.
//! The [`manager`] runs them, shares those that several jobs configure alike, and hands on what they find. What is done
//! with a target is not known here.

pub mod asker;
pub mod dns;
pub mod file;
mod file_metrics;
pub mod glob;
pub mod group;
pub mod http;
pub mod kubernetes;
pub mod manager;

mod manager_metrics;
mod refresh;

pub use group::TargetGroup;
pub use manager::{Manager, Targets};
