//! Signatures that prove an identity. Text, keys and the time in; headers and tokens out.
//!
//! The crate is pure: where keys come from and where signed requests go is known to others.

pub mod aws_v4;
pub mod certificate;
pub mod jwt;
pub mod rsa_key;
