//! Opening a folder.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use env::instruments::Gauge;
use env::{Clock, Disk, DiskLock, Random, Registry};
use ondisk::meta::{HINT_OUT_OF_ORDER, HINT_SELECTED, HINT_STALE, Ulid};
use parking_lot::{Mutex, RwLock};

use super::{Db, ReplayProgress};
use crate::block_writer::{CREATING, DELETING};
use crate::checkpoint;
use crate::chunk_files::ChunkFiles;
use crate::failure::DbError;
use crate::head::{FoundChunks, Head, HeadParts};
use crate::metrics::Metrics;
use crate::options::Options;
use crate::series::ChunkPolicy;
use crate::uploaded::Uploaded;
use crate::wal::Wal;

/// Removes what an interrupted creation or deletion left.
fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> Result<(), DbError> {
    for entry in disk.list(dir).map_err(DbError::io("list", dir))? {
        let stem = [CREATING, DELETING, ".tmp"]
            .iter()
            .find_map(|s| entry.name.strip_suffix(s));
        let ours = stem.is_some_and(|stem| {
            stem.parse::<Ulid>().is_ok() || stem.starts_with("chunk_snapshot.")
        });
        if entry.is_dir && ours {
            let path = dir.join(&entry.name);
            disk.remove_dir_all(&path)
                .map_err(DbError::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Takes a folder's lock file, unless that is switched off; `clean_start` tells how it was found.
pub(crate) fn take_lock(
    disk: &dyn Disk,
    dir: &Path,
    wanted: bool,
    clean_start: &Gauge,
) -> Result<Option<Box<dyn DiskLock>>, DbError> {
    if !wanted {
        clean_start.set(-1.0);
        return Ok(None);
    }
    let path = dir.join("lock");
    let was_there = disk.exists(&path);
    let lock = disk.lock(&path).map_err(|err| {
        DbError::Locked(match err.kind() {
            io::ErrorKind::WouldBlock => {
                format!("{}: already locked by another process", path.display())
            }
            _ => format!("{}: {err}", path.display()),
        })
    })?;
    if was_there {
        tracing::warn!(path = %path.display(), "a lock file from a previous execution was replaced");
    }
    clean_start.set(if was_there { 0.0 } else { 1.0 });
    Ok(Some(lock))
}

pub(super) fn open(
    dir: &Path,
    options: Options,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    registry: &Registry,
    progress: &ReplayProgress,
) -> Result<Arc<Db>, DbError> {
    options.check()?;
    let metrics = Arc::new(Metrics::new(registry));
    disk.create_dir_all(dir)
        .map_err(DbError::io("create", dir))?;
    let lock = take_lock(&*disk, dir, options.lock, &metrics.clean_start)?;
    let wal_dir = dir.join("wal");
    remove_leftovers(&*disk, dir)?;
    checkpoint::remove_unfinished(&*disk, &wal_dir)?;
    let started = clock.monotonic();
    let mut found = FoundChunks::default();
    let files = ChunkFiles::open(
        disk.clone(),
        &dir.join("chunks_head"),
        |at, chunk| found.add(at, &chunk),
        |err| {
            tracing::warn!(%err, "head chunks are damaged; the log has what is dropped");
            metrics.mmap_corruptions.inc();
        },
    )?;
    let syncs = metrics.wal_sync_duration.clone();
    let wal =
        Wal::prepare(disk.clone(), &wal_dir, options.wal())?.timing_syncs(clock.clone(), syncs);
    let wbl_dir = dir.join("wbl");
    let wbl_used = disk.list(&wbl_dir).is_ok_and(|entries| !entries.is_empty());
    let wbl = match options.out_of_order_window > 0 || wbl_used {
        true => {
            let syncs = metrics.wbl_sync_duration.clone();
            let wbl = Wal::prepare(disk.clone(), &wbl_dir, options.wal())?;
            Some(Arc::new(wbl.timing_syncs(clock.clone(), syncs)))
        }
        false => None,
    };
    let head = Arc::new(Head::new(HeadParts {
        disk: disk.clone(),
        policy: ChunkPolicy {
            range: options.min_block_duration,
            samples: options.samples_per_chunk,
        },
        log_metadata: options.log_metadata,
        wal,
        wbl,
        files,
        window: options.out_of_order_window.max(0),
        exemplars: options.max_exemplars,
        metrics: metrics.clone(),
    }));
    let seed = options.seed ^ clock.now() as u64;
    let mut random = Random::from_seed(seed);
    let longest = options.min_block_duration as u64 / 100
        * u64::from(options.compaction_delay_percent.min(100));
    let compaction_delay = Duration::from_millis(random.below(longest.max(1)));
    let db = Db {
        disk,
        dir: dir.to_owned(),
        clock,
        head,
        metrics,
        blocks: RwLock::default(),
        busy: Mutex::default(),
        random: Mutex::new(random),
        retention: Mutex::new(options.retention),
        compaction: AtomicBool::new(options.compaction),
        uploaded: Uploaded::new(options.delay_compact_file.clone()),
        compaction_delay,
        delayed_since: Mutex::default(),
        closed: AtomicBool::new(false),
        lock: Mutex::new(lock),
        options,
    };
    db.reload(true)?;
    // Blocks cut from late or evicted samples say nothing about what the log may forget.
    let hints = [HINT_OUT_OF_ORDER, HINT_STALE, HINT_SELECTED];
    let in_order = db
        .metas()
        .into_iter()
        .filter(|m| !hints.iter().any(|h| m.compaction.has_hint(h)));
    let min_valid = in_order.map(|m| m.max_time).max().unwrap_or(i64::MIN);
    db.head.replay(found, min_valid, &progress.0)?;
    let took = db.clock.monotonic().saturating_sub(started);
    db.metrics.replay_duration.set(took.as_secs_f64());
    let db = Arc::new(db);
    super::report::register(&db, registry);
    Ok(db)
}
