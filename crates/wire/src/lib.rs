//! Protobuf by hand, and the messages that Prometheus servers exchange.
//!
//! [`fields`] reads and writes the wire format; messages are read into plain structures of their own modules. Foreign
//! bytes give errors, never a panic, and cost no more memory than they are long.

pub mod fields;
pub mod histogram;
pub mod remote_read;
pub mod remote_write;

pub use fields::{
    Broken, Value, delimited, doubles, fields, integers, put_bytes, put_double, put_uint,
    put_varint, unzigzag, varint, zigzag,
};
