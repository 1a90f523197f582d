//! Every byte the storage engine persists, bit for bit as upstream writes it: chunks, chunk files, index, log records,
//! tombstones, metas.
//!
//! Pure: functions from bytes to values and back. Who opens, maps and syncs the files is `tsdb`'s business. No decoder
//! here panics or allocates beyond a small multiple of its input, whatever the bytes.

pub mod bits;
pub mod chunk;
pub mod fields;
pub mod head_chunks;
pub mod index;
pub mod log;
pub mod meta;
pub mod record;
pub mod segment;
pub mod tombstones;
