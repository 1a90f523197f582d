//! Requests in the name of an identity that a cloud knows: `sigv4`, `azuread`, `google_iam`.
//!
//! [`CloudClient`] is a client whose requests are signed or carry a token. Where keys and tokens come from is looked up as
//! the clouds' own libraries do: the configuration, the environment, files, and servers that only the machine can reach.
//! They are kept while they are good and renewed before they end.

mod aws;
mod azure;
mod cached;
mod client;
mod google;
mod outside_program;
mod token_request;
mod world;

pub use client::{CloudClient, SendError};
pub use world::World;

use thiserror::Error;

/// Why a request has nothing that says who sends it. Names the method, never shows a secret.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{method}: {reason}")]
pub struct IdentityError {
    /// The section's name.
    pub method: &'static str,
    /// What is wrong.
    pub reason: String,
}
