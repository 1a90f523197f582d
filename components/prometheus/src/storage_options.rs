//! What the database is told: flags and the file's `storage` section together.

use configfile::prometheus::Config;
use tsdb::{Durability, Options, Retention};

use crate::flags::ServerConfig;
use crate::retention;

/// Exemplars kept when the feature is on and nothing else is said.
const DEFAULT_EXEMPLARS: i64 = 100_000;

/// How long data stays. Fails where a limit in percent is asked for and the file system does not tell its size.
pub fn retention_of(config: &ServerConfig, file: &Config) -> Result<Retention, String> {
    let path = &config.storage.path;
    let capacity = || {
        // Before the first start the folder is not there yet, but the one it will be in is.
        let there = path.ancestors().find(|p| p.exists());
        let there = there.unwrap_or(std::path::Path::new("."));
        let stat = rustix::fs::statvfs(there)
            .map_err(|e| format!("size of the file system of {}: {e}", path.display()))?;
        match stat.f_blocks * stat.f_frsize {
            0 => Err(format!(
                "size of the file system of {}: unknown",
                path.display()
            )),
            bytes => Ok(bytes),
        }
    };
    retention::retention_of(&config.storage, &file.storage, capacity)
}

/// As [`retention_of`] while running: a size that cannot be told is warned about, and the file's own size limit holds.
pub fn retention_or_size(config: &ServerConfig, file: &Config) -> Retention {
    retention_of(config, file).unwrap_or_else(|error| {
        tracing::warn!(%error, "retention by percentage is left out");
        let plain = file.storage.retention.unwrap_or_default();
        Retention {
            time: plain.time,
            bytes: plain.size,
            percent: 0.0,
        }
    })
}

/// Exemplars to keep.
pub fn exemplars_of(config: &ServerConfig, file: &Config) -> usize {
    let on = config
        .features
        .iter()
        .any(|feature| feature == "exemplar-storage");
    let kept = file
        .storage
        .max_exemplars
        .unwrap_or(DEFAULT_EXEMPLARS)
        .max(0);
    if on { kept as usize } else { 0 }
}

/// What the file asks of storage that is not carried out and changes no answer.
pub fn warnings(file: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if file.storage.stale_series_compaction_threshold > 0.0 {
        warnings.push(
            "storage.tsdb.stale_series_compaction_threshold: stale series are not compacted early; they leave memory with their block"
                .to_owned(),
        );
    }
    if file.storage.float_encoding == "xor2" {
        warnings.push(
            "storage.tsdb.chunk_encoding.floats: xor2 is read and not written; floats are encoded as xor"
                .to_owned(),
        );
    }
    warnings
}

/// The longest block: the flag's, or what follows from the retention.
pub fn max_block_duration(config: &ServerConfig, retention: Retention) -> i64 {
    let by_retention = || tsdb::plan::max_block_duration(retention.time);
    config.storage.max_block.unwrap_or_else(by_retention)
}

/// All of it.
pub fn storage_options(config: &ServerConfig, file: &Config, seed: u64) -> Result<Options, String> {
    let flags = &config.storage;
    let retention = retention_of(config, file)?;
    let on = |name: &str| config.features.iter().any(|feature| feature == name);
    Ok(Options {
        min_block_duration: flags.min_block,
        max_block_duration: max_block_duration(config, retention),
        retention,
        out_of_order_window: file.storage.out_of_order_time_window,
        samples_per_chunk: flags.samples_per_chunk,
        wal_segment_bytes: flags.wal_segment_size,
        wal_compression: flags.wal_compression,
        durability: if flags.wal_sync {
            Durability::Sync
        } else {
            Durability::Write
        },
        block_segment_bytes: flags.block_segment_size,
        overlapping_compaction: flags.overlapping_compaction,
        compaction: true,
        delay_compact_file: flags.delay_compact_file.clone(),
        compaction_delay_percent: if on("delayed-compaction") {
            flags.compaction_delay_percent
        } else {
            0
        },
        max_exemplars: exemplars_of(config, file),
        log_metadata: on("metadata-wal-records"),
        lock: !flags.no_lockfile,
        seed,
    })
}
