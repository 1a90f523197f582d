//! Checkpoints: what the head still needs of old log segments, as a small log of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::Disk;
use model::Metadata;
use ondisk::log::{Compression, SEGMENT_BYTES};
use ondisk::record::{self, RecordKind, SeriesRecord};

use crate::failure::DbError;
use crate::wal::{self, Durability, Wal, WalError, WalOptions};

/// Bytes of records that are written at once.
const BATCH: usize = 1 << 20;

/// Path of the checkpoint that covers segments up to `last`.
pub(crate) fn path(dir: &Path, last: u32) -> PathBuf {
    dir.join(format!("checkpoint.{last:08}"))
}

/// The newest checkpoint: the last segment it covers, and its folder.
pub fn newest(disk: &dyn Disk, dir: &Path) -> Result<Option<(u32, PathBuf)>, DbError> {
    let entries = disk.list(dir).map_err(DbError::io("list", dir))?;
    let numbers = entries.iter().filter(|e| e.is_dir).filter_map(|e| {
        let number: u32 = e.name.strip_prefix("checkpoint.")?.parse().ok()?;
        Some((number, dir.join(&e.name)))
    });
    Ok(numbers.max_by_key(|(number, _)| *number))
}

/// Removes checkpoints older than the one that covers `last`.
pub(crate) fn remove_before(disk: &dyn Disk, dir: &Path, last: u32) -> Result<(), DbError> {
    for entry in disk.list(dir).map_err(DbError::io("list", dir))? {
        let number = entry
            .name
            .strip_prefix("checkpoint.")
            .and_then(|n| n.parse::<u32>().ok());
        if number.is_some_and(|n| n < last) {
            let path = dir.join(&entry.name);
            disk.remove_dir_all(&path)
                .map_err(DbError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes checkpoints that were never finished.
pub(crate) fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<(), DbError> {
    if !disk.exists(dir) {
        return Ok(());
    }
    for entry in disk.list(dir).map_err(DbError::io("list", dir))? {
        if entry.is_dir && entry.name.starts_with("checkpoint.") && entry.name.ends_with(".tmp") {
            let path = dir.join(&entry.name);
            disk.remove_dir_all(&path)
                .map_err(DbError::io("remove", &path))?;
        }
    }
    Ok(())
}

struct Filter<'a, K> {
    keep: K,
    min: i64,
    out: &'a Wal,
    pending: Vec<Vec<u8>>,
    pending_bytes: usize,
    metadata: BTreeMap<u64, Metadata>,
}

impl<K: Fn(u64) -> bool> Filter<'_, K> {
    fn push(&mut self, record: Vec<u8>) -> Result<(), DbError> {
        if record.len() > 1 {
            self.pending_bytes += record.len();
            self.pending.push(record);
        }
        if self.pending_bytes >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DbError> {
        self.pending_bytes = 0;
        self.out.log(std::mem::take(&mut self.pending))
    }

    fn take(&mut self, bytes: &[u8], path: &Path) -> Result<(), DbError> {
        let bad = |err: record::RecordError| DbError::corrupt(path, 0, err);
        let Some(kind) = RecordKind::of(bytes) else {
            return Ok(());
        };
        let mut buf = Vec::new();
        let min = self.min;
        match kind {
            RecordKind::Series => {
                let mut kept = SeriesRecord::default();
                record::series(bytes, |series, pairs| {
                    if (self.keep)(series) {
                        kept.push(series, pairs.iter().copied());
                    }
                })
                .map_err(bad)?;
                buf = kept.into_bytes();
            }
            RecordKind::Samples | RecordKind::SamplesV2 => {
                let mut samples = Vec::new();
                record::samples(bytes, &mut samples).map_err(bad)?;
                samples.retain(|s| s.t >= min);
                match kind {
                    RecordKind::SamplesV2 => record::put_samples_v2(&mut buf, &samples),
                    _ => record::put_samples(
                        &mut buf,
                        samples.iter().map(|s| (s.series, s.t, s.value)),
                    ),
                }
            }
            RecordKind::Tombstones => {
                let mut tombstones = Vec::new();
                record::tombstones(bytes, &mut tombstones).map_err(bad)?;
                tombstones.retain(|t| (self.keep)(t.series) && t.interval.max >= min);
                record::put_tombstones(&mut buf, &tombstones);
            }
            RecordKind::Exemplars => {
                let mut exemplars = Vec::new();
                record::exemplars(bytes, &mut exemplars).map_err(bad)?;
                exemplars.retain(|e| e.t >= min);
                record::put_exemplars(&mut buf, &exemplars);
            }
            RecordKind::Metadata => {
                record::metadata(bytes, |series, metadata| {
                    if (self.keep)(series) {
                        self.metadata.insert(series, metadata);
                    }
                })
                .map_err(bad)?;
                return Ok(());
            }
            RecordKind::MmapMarkers => return Ok(()),
            _ => {
                let mut histograms = Vec::new();
                record::histograms(bytes, &mut histograms).map_err(bad)?;
                histograms.retain(|h| h.t >= min);
                // Second-generation records go back to the first, whose readers everyone has; starts are dropped.
                for kind in [
                    RecordKind::Histograms,
                    RecordKind::CustomHistograms,
                    RecordKind::FloatHistograms,
                    RecordKind::CustomFloatHistograms,
                ] {
                    let mut buf = Vec::new();
                    let of_kind = histograms
                        .iter()
                        .filter(|h| record::histogram_kind(&h.histogram) == kind);
                    record::put_histograms(&mut buf, kind, of_kind);
                    self.push(buf)?;
                }
                return Ok(());
            }
        }
        self.push(buf)
    }
}

/// Writes the checkpoint for segments `first` to `last`, on top of the newest one there is. Damage anywhere fails it,
/// and nothing is deleted.
pub(crate) fn create(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    (first, last): (u32, u32),
    min: i64,
    compression: Compression,
    keep: impl Fn(u64) -> bool,
) -> Result<(), DbError> {
    let before = newest(&**disk, dir)?;
    if let Some((covered, _)) = &before
        && first > covered + 1
    {
        return Err(DbError::Sequence("unexpected gap to last checkpoint"));
    }
    let mut temporary = path(dir, last).into_os_string();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    if disk.exists(&temporary) {
        disk.remove_dir_all(&temporary)
            .map_err(DbError::io("remove", &temporary))?;
    }
    let options = WalOptions {
        segment_bytes: SEGMENT_BYTES,
        compression,
        durability: Durability::Write,
    };
    let out = Wal::open(disk.clone(), &temporary, options)?;
    let mut filter = Filter {
        keep,
        min,
        out: &out,
        pending: Vec::new(),
        pending_bytes: 0,
        metadata: BTreeMap::new(),
    };
    let mut sources = Vec::new();
    let mut from = first;
    if let Some((covered, folder)) = &before {
        for segment in wal::segments(&**disk, folder)? {
            sources.push((folder.clone(), segment));
        }
        from = from.max(covered + 1);
    }
    sources.extend((from..=last).map(|segment| (dir.to_owned(), segment)));
    for (folder, segment) in sources {
        let path = wal::segment_path(&folder, segment);
        wal::walk_segment(&**disk, &folder, segment, 0, |record| {
            filter.take(record, &path)
        })
        .map_err(|err: WalError| err.into_error(&folder))?;
    }
    if !filter.metadata.is_empty() {
        let mut buf = Vec::new();
        record::put_metadata(
            &mut buf,
            filter.metadata.iter().map(|(series, m)| (*series, m)),
        );
        filter.push(buf)?;
    }
    filter.flush()?;
    out.close()?;
    drop(out);
    let target = path(dir, last);
    let publish = || -> std::io::Result<()> {
        if disk.exists(&target) {
            disk.remove_dir_all(&target)?;
        }
        disk.sync_dir(&temporary)?;
        disk.rename(&temporary, &target)?;
        disk.sync_dir(dir)
    };
    publish().map_err(DbError::io("publish", &target))
}
