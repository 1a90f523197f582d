//! `--storage.tsdb.*`

use std::path::PathBuf;
use std::time::Duration;

use flags::{UsageError, Values};
use ondisk::log::Compression;

use super::{duration, number, optional_duration, size};

/// Settings of the database.
#[derive(Clone, Debug)]
pub struct StorageFlags {
    /// The folder.
    pub path: PathBuf,
    /// Milliseconds; `None` when not given.
    pub retention_time: Option<i64>,
    /// Bytes; `None` when not given.
    pub retention_size: Option<u64>,
    /// Whether the folder is used without a lock.
    pub no_lockfile: bool,
    /// Milliseconds of a fresh block.
    pub min_block: i64,
    /// Milliseconds of the largest block; `None` to follow the retention.
    pub max_block: Option<i64>,
    /// Bytes of a log segment.
    pub wal_segment_size: u64,
    /// How the log is compressed.
    pub wal_compression: Compression,
    /// Samples count as stored only when they are on the disk.
    pub wal_sync: bool,
    /// Samples per chunk.
    pub samples_per_chunk: u32,
    /// Bytes of a chunk segment in a block.
    pub block_segment_size: u64,
    /// Whether blocks that overlap are merged.
    pub overlapping_compaction: bool,
    /// Lists blocks that were uploaded.
    pub delay_compact_file: Option<PathBuf>,
    /// Percent of a head chunk range by which compactions are put off at most, with the feature `delayed-compaction`.
    pub compaction_delay_percent: u32,
    /// How often blocks are looked at.
    pub reload_interval: Duration,
}

/// Upstream's sizes behind a 0.
const WAL_SEGMENT: u64 = 128 << 20;

impl StorageFlags {
    pub(super) fn read(values: &Values) -> Result<StorageFlags, UsageError> {
        let file = values.text("storage.tsdb.delay-compact-file.path");
        let reload = duration(values, "storage.tsdb.block-reload-interval")?;
        let percent = number(values, "storage.tsdb.delayed-compaction.max-percent")?;
        let samples = number(values, "storage.tsdb.samples-per-chunk")?;
        if samples == 0 || samples > 16_000 {
            return Err(UsageError::Value(
                "--storage.tsdb.samples-per-chunk: must be between 1 and 16000".into(),
            ));
        }
        Ok(StorageFlags {
            path: values.text("storage.tsdb.path").into(),
            retention_time: optional_duration(values, "storage.tsdb.retention.time")?,
            retention_size: Some(size(values, "storage.tsdb.retention.size")?).filter(|s| *s > 0),
            no_lockfile: values.switch("storage.tsdb.no-lockfile"),
            min_block: duration(values, "storage.tsdb.min-block-duration")?,
            max_block: optional_duration(values, "storage.tsdb.max-block-duration")?,
            wal_segment_size: wal_segment_size(values)?,
            wal_compression: wal_compression(values)?,
            wal_sync: values.switch("storage.tsdb.wal-sync"),
            samples_per_chunk: samples as u32,
            block_segment_size: block_segment_size(values)?,
            overlapping_compaction: values.switch("storage.tsdb.allow-overlapping-compaction"),
            delay_compact_file: (!file.is_empty()).then(|| file.into()),
            compaction_delay_percent: if (1..=100).contains(&percent) {
                percent as u32
            } else {
                10
            },
            reload_interval: Duration::from_millis(reload.max(1000) as u64),
        })
    }
}

fn wal_compression(values: &Values) -> Result<Compression, UsageError> {
    let compression = match values.text("storage.tsdb.wal-compression-type") {
        "snappy" => Compression::Snappy,
        "zstd" => Compression::Zstd,
        other => {
            return Err(UsageError::Value(format!(
                "--storage.tsdb.wal-compression-type: enum value must be one of snappy,zstd, got '{other}'"
            )));
        }
    };
    match values.switch("storage.tsdb.wal-compression") {
        true => Ok(compression),
        false => Ok(Compression::None),
    }
}

fn wal_segment_size(values: &Values) -> Result<u64, UsageError> {
    match size(values, "storage.tsdb.wal-segment-size")? {
        0 => Ok(WAL_SEGMENT),
        bytes if (10 << 20..=256 << 20).contains(&bytes) => Ok(bytes),
        _ => Err(UsageError::Value(
            "--storage.tsdb.wal-segment-size: flag must be set between 10MB and 256MB".into(),
        )),
    }
}

fn block_segment_size(values: &Values) -> Result<u64, UsageError> {
    match size(values, "storage.tsdb.max-block-chunk-segment-size")? {
        0 => Ok(ondisk::segment::SEGMENT_BYTES_MAX),
        bytes if bytes < 1 << 20 => Err(UsageError::Value(
            "--storage.tsdb.max-block-chunk-segment-size: must be set to at least 1MB".into(),
        )),
        // References into a segment have 32 bits.
        bytes if bytes > u64::from(u32::MAX) => Err(UsageError::Value(
            "--storage.tsdb.max-block-chunk-segment-size: must be below 4GB".into(),
        )),
        bytes => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Command, parse};

    fn read(arguments: &[&str]) -> Result<StorageFlags, String> {
        match parse(arguments.iter().map(|a| a.to_string())) {
            Ok(Command::Serve(config)) => Ok(config.storage),
            Ok(other) => panic!("serves, not {other:?}"),
            Err(err) => Err(err.to_string()),
        }
    }

    #[test]
    fn defaults_sizes_and_refusals() {
        let flags = read(&[]).unwrap();
        assert_eq!(flags.wal_segment_size, 128 << 20);
        assert_eq!(flags.block_segment_size, 512 << 20);
        assert_eq!(flags.wal_compression, Compression::Snappy);
        assert_eq!(flags.reload_interval, Duration::from_secs(60));
        assert!(flags.overlapping_compaction && flags.delay_compact_file.is_none());
        let flags = read(&[
            "--storage.tsdb.wal-compression-type=zstd",
            "--no-storage.tsdb.allow-overlapping-compaction",
            "--storage.tsdb.block-reload-interval=10ms",
            "--storage.tsdb.max-block-chunk-segment-size=1MB",
            "--storage.tsdb.delay-compact-file.path=/x",
            "--storage.tsdb.delayed-compaction.max-percent=200",
        ])
        .unwrap();
        assert_eq!(flags.wal_compression, Compression::Zstd);
        assert_eq!(flags.reload_interval, Duration::from_secs(1));
        assert_eq!(flags.block_segment_size, 1 << 20);
        assert_eq!(flags.compaction_delay_percent, 10);
        assert!(!flags.overlapping_compaction && flags.delay_compact_file.is_some());
        for wrong in [
            "--storage.tsdb.wal-segment-size=1MB",
            "--storage.tsdb.max-block-chunk-segment-size=1KB",
            "--storage.tsdb.wal-compression-type=gzip",
            "--storage.tsdb.samples-per-chunk=0",
        ] {
            let said = read(&[wrong]).unwrap_err();
            let name = wrong.split('=').next().unwrap();
            assert!(said.contains(name.trim_start_matches("--")), "{said}");
        }
    }
}
