//! What a database can be told, with upstream's defaults.

use std::path::PathBuf;

use ondisk::log::{Compression, SEGMENT_BYTES};

use crate::failure::DbError;
use crate::wal::{Durability, WalOptions};

/// Settings of a database. Times are milliseconds, sizes bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Length of the windows that head chunks and level-1 blocks keep to.
    pub min_block_duration: i64,
    /// The longest block; see [`crate::plan::max_block_duration`].
    pub max_block_duration: i64,
    /// When blocks go.
    pub retention: Retention,
    /// Milliseconds behind the newest sample that samples may come late; 0 for not at all.
    pub out_of_order_window: i64,
    /// Samples a float chunk aims at.
    pub samples_per_chunk: u32,
    /// Length of log segments.
    pub wal_segment_bytes: u64,
    /// How log records are packed.
    pub wal_compression: Compression,
    /// When a commit counts as stored.
    pub durability: Durability,
    /// Length of chunk segments in blocks.
    pub block_segment_bytes: u64,
    /// Blocks that overlap are merged.
    pub overlapping_compaction: bool,
    /// Blocks are compacted at all; a sidecar that uploads them wants them as they are cut.
    pub compaction: bool,
    /// A file that lists uploaded blocks; while it can be read, only these are compacted.
    pub delay_compact_file: Option<PathBuf>,
    /// Percent of a head chunk range within which the first of several head compactions is put off, by a time chosen
    /// when the folder is opened; 0 for at once. Keeps replicas from compacting at the same moment.
    pub compaction_delay_percent: u32,
    /// Exemplars kept; 0 for none.
    pub max_exemplars: usize,
    /// Metadata goes to the log.
    pub log_metadata: bool,
    /// The folder is locked.
    pub lock: bool,
    /// Seeds the random part of block names. Must be random where two databases send blocks to one place.
    pub seed: u64,
}

/// When blocks go: limits by age and by size; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Retention {
    /// Age relative to the newest block, milliseconds.
    pub time: i64,
    /// Bytes of everything in the folder.
    pub bytes: u64,
    /// The share of the file system that `bytes` was made of, percent, for those who look.
    pub percent: f64,
}

impl Retention {
    /// A limit by age alone.
    pub fn by_time(milliseconds: i64) -> Retention {
        Retention {
            time: milliseconds,
            ..Retention::default()
        }
    }

    /// A limit by size alone.
    pub fn by_size(bytes: u64) -> Retention {
        Retention {
            bytes,
            ..Retention::default()
        }
    }

    /// Everything stays.
    pub fn none() -> Retention {
        Retention::default()
    }
}

impl Default for Options {
    fn default() -> Options {
        const HOUR: i64 = 3_600_000;
        let retention = 15 * 24 * HOUR;
        Options {
            min_block_duration: 2 * HOUR,
            max_block_duration: crate::plan::max_block_duration(retention),
            retention: Retention::by_time(retention),
            out_of_order_window: 0,
            samples_per_chunk: 120,
            wal_segment_bytes: SEGMENT_BYTES,
            wal_compression: Compression::Snappy,
            durability: Durability::Write,
            block_segment_bytes: ondisk::segment::SEGMENT_BYTES_MAX,
            overlapping_compaction: true,
            compaction: true,
            delay_compact_file: None,
            compaction_delay_percent: 0,
            max_exemplars: 0,
            log_metadata: false,
            lock: true,
            seed: 0,
        }
    }
}

impl Options {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), DbError> {
        let bad = |text: &str| Err(DbError::Options(text.to_owned()));
        if self.min_block_duration <= 0 || self.min_block_duration > i64::from(u32::MAX) {
            return bad("min block duration is out of range");
        }
        if self.samples_per_chunk == 0 || self.samples_per_chunk > 16_000 {
            return bad("samples per chunk is out of range");
        }
        if self.block_segment_bytes < 1 << 20 || self.block_segment_bytes > u64::from(u32::MAX) {
            return bad("block segment size is out of range");
        }
        Ok(())
    }

    pub(crate) fn wal(&self) -> WalOptions {
        WalOptions {
            segment_bytes: self.wal_segment_bytes,
            compression: self.wal_compression,
            durability: self.durability,
        }
    }
}
