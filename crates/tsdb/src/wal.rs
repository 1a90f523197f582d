//! The log on disk: numbered segments, appended to in whole commits.
//!
//! A commit is one write. When the disk refuses it, the segment is cut back to where it was before the next write, so
//! that what follows can be replayed, by us and by upstream. Durability is upstream's by default (the bytes survive the
//! process at once, the machine when the segment is finished); with [`Durability::Sync`] a commit waits until the disk
//! has it. Others write while one syncs, and all that were written by then share the next sync. After a sync that
//! failed nothing is known about what it should have saved (the kernel forgets such pages), so every commit it covered
//! fails, the segment is cut back to what was synced before, and the log goes on in a new one.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use env::instruments::Summary;
use env::{Clock, Disk, DiskFile};
use ondisk::log::{Compression, LogCause, LogReader, PAGE, Packed, frame};
use parking_lot::Mutex;

use crate::failure::DbError;

/// When a commit counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the operating system has it: it survives the death of the process, not that of the machine.
    #[default]
    Write,
    /// When the disk has it.
    Sync,
}

/// How a log is written.
#[derive(Debug, Clone, Copy)]
pub struct WalOptions {
    /// Length of a segment, a multiple of 32 KiB.
    pub segment_bytes: u64,
    /// How records are packed.
    pub compression: Compression,
    /// When a commit counts as stored.
    pub durability: Durability,
}

/// What the log has done so far; the caller exports it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct WalStats {
    /// Commits written.
    pub writes: u64,
    /// Pages filled.
    pub completed_pages: u64,
    /// Bytes of records and headers.
    pub bytes: u64,
    /// Bytes that compression saved.
    pub saved: u64,
    /// Commits that could not be written.
    pub failed: u64,
}

struct Writer {
    file: Option<Box<dyn DiskFile>>,
    segment: u32,
    position: u64,
    /// An earlier write failed: the file may be longer than `position`.
    dirty: bool,
    /// A sync of the segment failed: nothing more is written to it.
    broken: bool,
    /// Finished segments that are not on disk for sure.
    unsynced: Vec<(PathBuf, Box<dyn DiskFile>)>,
    /// A second handle of the segment, for syncing while others write. Only where commits wait for it.
    syncing: Option<Box<dyn DiskFile>>,
    /// How much of the segment is on disk for sure.
    synced_position: u64,
    /// Commits written, counted from 1, and the last one whose fate is known.
    written: u64,
    decided: u64,
    /// Commits up to `decided` that were lost: ranges, first included. Whoever waits for one asks within moments.
    lost: VecDeque<(u64, u64)>,
    /// Records that later commits build upon, with the commits they came with, until these are synced; and whether they
    /// have to be written again, since they were cut off.
    first: VecDeque<(u64, Packed)>,
    first_again: bool,
    stats: WalStats,
    scratch: Vec<u8>,
}

/// Failed syncs that are remembered for those who still wait.
const LOST_MAX: usize = 1024;

impl Writer {
    /// Whether a commit is on disk, once that is known.
    fn fate(&self, ticket: u64) -> Option<bool> {
        let lost = |(from, to): &(u64, u64)| (*from..=*to).contains(&ticket);
        (ticket <= self.decided).then(|| !self.lost.iter().any(lost))
    }

    /// Gives up all commits whose fate is open, and the part of the segment they are in.
    fn lose(&mut self) {
        if self.written > self.decided {
            self.lost.push_back((self.decided + 1, self.written));
            self.decided = self.written;
            if self.lost.len() > LOST_MAX {
                self.lost.pop_front();
            }
        }
        self.position = self.synced_position;
        (self.dirty, self.broken) = (true, true);
        self.first_again = !self.first.is_empty();
    }

    /// All commits up to this one are on disk.
    fn decide(&mut self, ticket: u64) {
        self.decided = self.decided.max(ticket);
        while self
            .first
            .front()
            .is_some_and(|(at, _)| *at <= self.decided)
        {
            self.first.pop_front();
        }
    }
}

/// An open log.
pub struct Wal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: WalOptions,
    writer: Mutex<Writer>,
    /// Held by the one who syncs; taken before the writer.
    turn: Mutex<()>,
    /// Times syncs.
    sync_duration: Option<(Arc<dyn Clock>, Summary)>,
}

/// Segment numbers in a folder, ascending. Names that are no numbers are ignored.
pub fn segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<u32>, DbError> {
    let entries = disk.list(dir).map_err(DbError::io("list", dir))?;
    let mut numbers: Vec<u32> = entries
        .iter()
        .filter(|e| !e.is_dir)
        .filter_map(|e| e.name.parse().ok())
        .collect();
    numbers.sort_unstable();
    if numbers.windows(2).any(|w| w[1] != w[0] + 1) {
        return Err(DbError::Sequence("segments are not sequential"));
    }
    Ok(numbers)
}

/// Path of a segment.
pub fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}"))
}

/// Why a walk over segments ended early.
#[derive(Debug)]
pub enum WalError {
    /// A segment cannot be read on; all before it was handed out.
    Damaged {
        /// The segment.
        segment: u32,
        /// End of its good records.
        offset: u64,
        /// What is wrong.
        cause: LogCause,
    },
    /// Something else.
    Other(DbError),
}

impl WalError {
    /// As an error with its place.
    pub fn into_error(self, dir: &Path) -> DbError {
        match self {
            WalError::Damaged {
                segment,
                offset,
                cause,
            } => DbError::corrupt(&segment_path(dir, segment), offset, cause),
            WalError::Other(err) => err,
        }
    }
}

/// Hands out all records of a segment from `offset` on; gives the end of the last one.
pub fn walk_segment(
    disk: &dyn Disk,
    dir: &Path,
    segment: u32,
    offset: u64,
    mut each: impl FnMut(&[u8]) -> Result<(), DbError>,
) -> Result<u64, WalError> {
    let path = segment_path(dir, segment);
    let map = disk
        .map(&path)
        .map_err(|e| WalError::Other(DbError::io("map", &path)(e)))?;
    let mut reader = LogReader::starting_at(offset);
    loop {
        match reader.next(&map) {
            Ok(Some(record)) => each(record).map_err(WalError::Other)?,
            Ok(None) => return Ok(reader.offset()),
            Err(err) => {
                return Err(WalError::Damaged {
                    segment,
                    offset: err.offset,
                    cause: err.cause,
                });
            }
        }
    }
}

/// Cuts a damaged segment: it keeps what is before `offset`. Later segments stay, since references are never used twice:
/// a sample whose series record is lost is dropped, and cannot end up with another series.
pub fn repair(disk: &dyn Disk, dir: &Path, segment: u32, offset: u64) -> Result<(), DbError> {
    let path = segment_path(dir, segment);
    let bytes = disk.read(&path).map_err(DbError::io("read", &path))?;
    let mut good = bytes;
    good.truncate(offset as usize);
    // A new file beside it, then the name: a crash in between leaves one or the other.
    let mut name = path.as_os_str().to_owned();
    name.push(".repair");
    let beside = PathBuf::from(name);
    let write = || -> std::io::Result<()> {
        let mut file = disk.create(&beside)?;
        file.write_all(&good)?;
        file.sync()?;
        disk.rename(&beside, &path)?;
        disk.sync_dir(dir)
    };
    write().map_err(DbError::io("repair", &path))
}

impl Wal {
    /// Opens a log with a new segment after the last one there.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: WalOptions) -> Result<Wal, DbError> {
        let wal = Wal::prepare(disk, dir, options)?;
        wal.start()?;
        Ok(wal)
    }

    /// Begins a segment after the last one there.
    pub(crate) fn start(&self) -> Result<(), DbError> {
        let next = segments(&*self.disk, &self.dir)?
            .last()
            .map_or(0, |n| n + 1);
        self.open_segment(&mut self.writer.lock(), next)
    }

    /// A log that begins its segment only with [`Wal::start`], so that what is there can be repaired before.
    pub(crate) fn prepare(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: WalOptions,
    ) -> Result<Wal, DbError> {
        if options.segment_bytes == 0 || !options.segment_bytes.is_multiple_of(PAGE as u64) {
            return Err(DbError::Options("invalid segment size".to_owned()));
        }
        disk.create_dir_all(dir)
            .map_err(DbError::io("create", dir))?;
        Ok(Wal {
            disk,
            dir: dir.to_owned(),
            options,
            writer: Mutex::new(Writer {
                file: None,
                segment: 0,
                position: 0,
                dirty: false,
                broken: false,
                unsynced: Vec::new(),
                syncing: None,
                synced_position: 0,
                written: 0,
                decided: 0,
                lost: VecDeque::new(),
                first: VecDeque::new(),
                first_again: false,
                stats: WalStats::default(),
                scratch: Vec::new(),
            }),
            turn: Mutex::new(()),
            sync_duration: None,
        })
    }

    /// Observes how long syncs take, in seconds.
    pub(crate) fn timing_syncs(mut self, clock: Arc<dyn Clock>, summary: Summary) -> Wal {
        self.sync_duration = Some((clock, summary));
        self
    }

    fn sync(&self, file: &mut dyn DiskFile) -> std::io::Result<()> {
        let Some((clock, summary)) = &self.sync_duration else {
            return file.sync();
        };
        let started = clock.monotonic();
        let synced = file.sync();
        summary.observe(clock.monotonic().saturating_sub(started).as_secs_f64());
        synced
    }

    fn waits_for_disk(&self) -> bool {
        self.options.durability == Durability::Sync
    }

    fn open_segment(&self, w: &mut Writer, number: u32) -> Result<(), DbError> {
        let path = segment_path(&self.dir, number);
        let file = self
            .disk
            .create(&path)
            .map_err(DbError::io("create", &path))?;
        self.disk
            .sync_dir(&self.dir)
            .map_err(DbError::io("sync", &self.dir))?;
        let syncing = match self.waits_for_disk() {
            true => Some(
                self.disk
                    .open_append(&path)
                    .map_err(DbError::io("open", &path))?,
            ),
            false => None,
        };
        if let Some(old) = w.file.replace(file)
            && !self.waits_for_disk()
        {
            w.unsynced.push((segment_path(&self.dir, w.segment), old));
        }
        w.syncing = syncing;
        (w.segment, w.position, w.synced_position) = (number, 0, 0);
        (w.dirty, w.broken) = (false, false);
        Ok(())
    }

    /// Cuts off what a failed write may have left.
    fn clean(&self, w: &mut Writer) -> Result<(), DbError> {
        if !w.dirty {
            return Ok(());
        }
        let path = segment_path(&self.dir, w.segment);
        if let Some(file) = &mut w.file {
            file.set_len(w.position)
                .map_err(DbError::io("truncate", &path))?;
        }
        w.dirty = false;
        if w.broken {
            self.roll(w)?;
        }
        Ok(())
    }

    fn put(&self, w: &mut Writer, bytes: &[u8]) -> Result<(), DbError> {
        let path = segment_path(&self.dir, w.segment);
        let Some(file) = &mut w.file else {
            return Err(DbError::Closed);
        };
        if let Err(err) = file.write_all(bytes) {
            w.dirty = true;
            return Err(DbError::io("write", &path)(err));
        }
        let page = PAGE as u64;
        w.stats.completed_pages += (w.position + bytes.len() as u64) / page - w.position / page;
        w.stats.bytes += bytes.len() as u64;
        w.position += bytes.len() as u64;
        Ok(())
    }

    /// Finishes the segment with a whole page and begins the next.
    fn roll(&self, w: &mut Writer) -> Result<(), DbError> {
        let rest = (PAGE as u64 - w.position % PAGE as u64) % PAGE as u64;
        if rest > 0 {
            self.put(w, &vec![0; rest as usize])?;
        }
        if self.waits_for_disk()
            && let Some(file) = &mut w.file
            && let Err(err) = self.sync(&mut **file)
        {
            let path = segment_path(&self.dir, w.segment);
            if !w.broken {
                w.lose();
                return Err(DbError::io("sync", &path)(err));
            }
            // All that counts of it was synced before.
            tracing::warn!(%err, path = %path.display(), "sync a log segment that is given up");
        }
        self.open_segment(w, w.segment + 1)
    }

    /// Writes the records of one commit. After an error none of them counts.
    ///
    /// `first` is asked under the log's lock for a record that must come before; `done` learns whether it was written.
    pub(crate) fn commit(
        &self,
        first: impl FnOnce() -> Option<Vec<u8>>,
        records: &[Packed],
        done: impl FnOnce(bool),
    ) -> Result<(), DbError> {
        let mut w = self.writer.lock();
        let first = first().map(|record| Packed::new(record, self.options.compression));
        let start = (w.segment, w.position);
        let again: Vec<Packed> = match w.first_again {
            true => w.first.iter().map(|(_, record)| record.clone()).collect(),
            false => Vec::new(),
        };
        let written = self.write(&mut w, again.iter().chain(&first).chain(records));
        if written.is_err() {
            w.stats.failed += 1;
            // Whatever of the commit got through goes again.
            if w.segment == start.0 {
                w.position = start.1.min(w.position);
            }
            w.dirty = true;
            if let Err(err) = self.clean(&mut w) {
                tracing::warn!(%err, "cut log back after a failed write; will try again");
            }
        } else {
            w.written += 1;
            w.stats.writes += 1;
            let ticket = w.written;
            if w.first_again {
                w.first.iter_mut().for_each(|(at, _)| *at = ticket);
                w.first_again = false;
            }
            if let (Some(record), true) = (first, self.waits_for_disk()) {
                w.first.push_back((ticket, record));
            }
        }
        done(written.is_ok());
        let ticket = w.written;
        drop(w);
        written?;
        match self.options.durability {
            Durability::Write => Ok(()),
            Durability::Sync => self.sync_up_to(ticket),
        }
    }

    fn write<'a>(
        &self,
        w: &mut Writer,
        records: impl Iterator<Item = &'a Packed>,
    ) -> Result<(), DbError> {
        self.clean(w)?;
        let mut out = std::mem::take(&mut w.scratch);
        let records: Vec<&Packed> = records.collect();
        let saved: usize = records.iter().map(|r| r.saved()).sum();
        let fill = |out: &mut Vec<u8>, position: u64| {
            out.clear();
            for record in &records {
                frame(record, position + out.len() as u64, out);
            }
        };
        fill(&mut out, w.position);
        let mut result = Ok(());
        // A commit stays together in one segment, so that a failed write can be taken back whole.
        if w.position > 0 && w.position + out.len() as u64 > self.options.segment_bytes {
            result = self.roll(w);
            fill(&mut out, w.position);
        }
        if result.is_ok() && !out.is_empty() {
            result = self.put(w, &out);
            w.stats.saved += saved as u64;
        }
        if out.capacity() > 4 << 20 {
            out = Vec::new();
        }
        w.scratch = out;
        result
    }

    /// Waits until it is known whether a commit is on disk.
    fn sync_up_to(&self, ticket: u64) -> Result<(), DbError> {
        let _turn = self.turn.lock();
        let mut w = self.writer.lock();
        let failed = |cause: &str| {
            let path = segment_path(&self.dir, 0);
            let source = std::io::Error::other(cause.to_owned());
            DbError::io("sync", path.parent().unwrap_or(&path))(source)
        };
        match w.fate(ticket) {
            Some(true) => return Ok(()),
            Some(false) => return Err(failed("the sync that this commit waited for failed")),
            None => {}
        }
        let Some(mut handle) = w.syncing.take() else {
            return Err(DbError::Closed);
        };
        let (segment, position, written) = (w.segment, w.position, w.written);
        drop(w);
        let synced = self.sync(&mut *handle);
        let mut w = self.writer.lock();
        let same = w.segment == segment;
        if same {
            w.syncing = Some(handle);
        }
        match synced {
            Ok(()) => {
                if same {
                    w.synced_position = w.synced_position.max(position);
                }
                // A segment that was finished meanwhile may have been given up.
                w.decide(written);
                match w.fate(ticket) {
                    Some(false) => Err(failed("the sync that this commit waited for failed")),
                    _ => Ok(()),
                }
            }
            Err(err) => {
                if same {
                    w.lose();
                    w.stats.failed += 1;
                    if let Err(err) = self.clean(&mut w) {
                        tracing::warn!(%err, "begin a new log segment after a failed sync; will try again");
                    }
                }
                Err(DbError::io("sync", &segment_path(&self.dir, segment))(err))
            }
        }
    }

    /// Syncs finished segments, which commits leave to the background.
    pub fn sync_finished(&self) -> Result<(), DbError> {
        let files = std::mem::take(&mut self.writer.lock().unsynced);
        let mut result = Ok(());
        for (path, mut file) in files {
            if let Err(err) = self.sync(&mut *file) {
                result = Err(DbError::io("sync", &path)(err));
            }
        }
        result
    }

    /// Writes records outside of a commit.
    pub fn log(&self, records: Vec<Vec<u8>>) -> Result<(), DbError> {
        let packed: Vec<Packed> = records
            .into_iter()
            .map(|r| Packed::new(r, self.options.compression))
            .collect();
        self.commit(|| None, &packed, |_| {})
    }

    /// Begins a new segment and gives its number.
    pub fn next_segment(&self) -> Result<u32, DbError> {
        let mut w = self.writer.lock();
        self.clean(&mut w)?;
        self.roll(&mut w)?;
        Ok(w.segment)
    }

    /// Removes segments below `keep`.
    pub fn remove_before(&self, keep: u32) -> Result<(), DbError> {
        for number in segments(&*self.disk, &self.dir)?
            .into_iter()
            .filter(|n| *n < keep)
        {
            let path = segment_path(&self.dir, number);
            self.disk
                .remove_file(&path)
                .map_err(DbError::io("remove", &path))?;
        }
        Ok(())
    }

    /// The segment being written and its length.
    pub fn position(&self) -> (u32, u64) {
        let w = self.writer.lock();
        (w.segment, w.position)
    }

    /// What was done so far.
    pub fn stats(&self) -> WalStats {
        self.writer.lock().stats
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How records are packed.
    pub fn compression(&self) -> Compression {
        self.options.compression
    }

    /// Bytes of the folder, checkpoints included.
    pub fn size(&self) -> u64 {
        size_of_tree(&*self.disk, &self.dir)
    }

    /// Syncs everything.
    pub fn close(&self) -> Result<(), DbError> {
        self.sync_finished()?;
        let mut w = self.writer.lock();
        self.clean(&mut w)?;
        let path = segment_path(&self.dir, w.segment);
        match &mut w.file {
            Some(file) => self.sync(&mut **file).map_err(DbError::io("sync", &path)),
            None => Ok(()),
        }
    }
}

/// Bytes of all files in a folder and below.
pub(crate) fn size_of_tree(disk: &dyn Disk, dir: &Path) -> u64 {
    let entries = disk.list(dir).unwrap_or_default();
    let size = |e: &env::DiskEntry| match e.is_dir {
        true => size_of_tree(disk, &dir.join(&e.name)),
        false => e.len,
    };
    entries.iter().map(size).sum()
}

/// A cursor over a live log, for those who send it elsewhere: it follows the newest segment as it grows and goes on to
/// the next one.
pub struct Cursor {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment: u32,
    reader: LogReader,
    map: Bytes,
}

/// What a cursor found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A record was handed out.
    Record,
    /// Nothing more for now.
    Wait,
    /// The segment is gone or damaged and there is a newer one: samples were skipped.
    Skipped,
}

impl Cursor {
    /// Starts at a segment.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, segment: u32) -> Cursor {
        Cursor {
            disk,
            dir: dir.to_owned(),
            segment,
            reader: LogReader::default(),
            map: Bytes::new(),
        }
    }

    /// The segment being read.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// The segment, and the bytes of it that have been handed out.
    pub fn position(&self) -> (u32, u64) {
        (self.segment, self.reader.offset())
    }

    fn go_to(&mut self, segment: u32) {
        self.segment = segment;
        self.reader = LogReader::default();
        self.map = Bytes::new();
    }

    /// Hands the next record to `each`, if there is one.
    pub fn step(&mut self, mut each: impl FnMut(&[u8])) -> Result<Step, DbError> {
        if let Ok(Some(record)) = self.reader.next(&self.map) {
            each(record);
            return Ok(Step::Record);
        }
        // First whether there is a next segment, then what the current one holds: it does not grow after that.
        let newer = segments(&*self.disk, &self.dir)?
            .into_iter()
            .find(|n| *n > self.segment);
        let path = segment_path(&self.dir, self.segment);
        let grown = match self.disk.len(&path) {
            Ok(len) => len > self.map.len() as u64,
            Err(_) if newer.is_some() => {
                self.go_to(newer.unwrap_or(self.segment + 1));
                return Ok(Step::Skipped);
            }
            Err(_) => return Ok(Step::Wait),
        };
        if grown {
            self.map = self.disk.map(&path).map_err(DbError::io("map", &path))?;
        }
        match (self.reader.next(&self.map), newer) {
            (Ok(Some(record)), _) => {
                each(record);
                Ok(Step::Record)
            }
            (Ok(None), Some(newer)) => {
                self.go_to(newer);
                self.step(each)
            }
            (Err(_), Some(newer)) => {
                self.go_to(newer);
                Ok(Step::Skipped)
            }
            (Ok(None), None) => Ok(Step::Wait),
            (Err(err), None) if err.cause == LogCause::Torn => Ok(Step::Wait),
            (Err(err), None) => Err(DbError::corrupt(&path, err.offset, err.cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::sim::SimDisk;

    const DIR: &str = "/wal";

    fn open(disk: &SimDisk, segment_bytes: u64) -> Wal {
        let options = WalOptions {
            segment_bytes,
            compression: Compression::None,
            durability: Durability::Write,
        };
        Wal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap()
    }

    fn read(disk: &SimDisk) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        for segment in segments(disk, Path::new(DIR)).unwrap() {
            let each = |r: &[u8]| {
                records.push(r.to_vec());
                Ok(())
            };
            walk_segment(disk, Path::new(DIR), segment, 0, each).unwrap();
        }
        records
    }

    #[test]
    fn segments_roll_and_a_cursor_follows() {
        let disk = SimDisk::new();
        let wal = open(&disk, 2 * PAGE as u64);
        let mut cursor = Cursor::new(Arc::new(disk.clone()), Path::new(DIR), 0);
        let mut want = Vec::new();
        let mut got = Vec::new();
        for i in 0..60u8 {
            let record = vec![i; 1000 * usize::from(i)];
            wal.log(vec![record.clone(), vec![i]]).unwrap();
            want.extend([record, vec![i]]);
            while cursor.step(|r| got.push(r.to_vec())).unwrap() == Step::Record {}
            assert!(got == want, "after {i}");
        }
        assert!(wal.position().0 > 10);
        assert!(read(&disk) == want);
        drop(wal);
        let again = open(&disk, 2 * PAGE as u64);
        assert_eq!(again.position().1, 0);
        again.remove_before(5).unwrap();
        assert_eq!(segments(&disk, Path::new(DIR)).unwrap()[0], 5);
    }

    #[test]
    fn a_full_disk_fails_the_commit_and_no_other() {
        let disk = SimDisk::new();
        let wal = open(&disk, 4 * PAGE as u64);
        let mut want = Vec::new();
        for round in 0..20u8 {
            let record = vec![round; 20_000];
            let limit = (round % 3 == 1).then(|| disk.used() + 7000);
            disk.set_capacity(limit);
            match wal.log(vec![vec![round, 1], record.clone()]) {
                Ok(()) => want.extend([vec![round, 1], record]),
                Err(_) => assert!(limit.is_some()),
            }
            disk.set_capacity(None);
        }
        assert!(wal.stats().failed >= 5);
        assert!(read(&disk) == want);
    }

    #[test]
    fn a_failed_sync_fails_its_commits_and_harms_no_other() {
        for seed in 0..50 {
            let disk = SimDisk::new();
            let options = WalOptions {
                segment_bytes: 2 * PAGE as u64,
                compression: Compression::None,
                durability: Durability::Sync,
            };
            let wal = Wal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
            let mut random = env::Random::from_seed(seed);
            let mut want = Vec::new();
            let mut failed = 0;
            for round in 0..60u8 {
                disk.set_syncs_fail(random.below(4) == 0);
                let record = vec![round; random.below(5000) as usize + 1];
                match wal.log(vec![record.clone()]) {
                    Ok(()) => want.push(record),
                    Err(_) => failed += 1,
                }
            }
            assert!(failed > 3, "seed {seed}");
            // The process dies: what was acknowledged is there. The machine dies: the same.
            for crash in [
                env::sim::disk::Crash::Process,
                env::sim::disk::Crash::Machine { seed },
            ] {
                disk.restart(crash);
                let mut got = Vec::new();
                for segment in segments(&disk, Path::new(DIR)).unwrap() {
                    let each = |r: &[u8]| {
                        got.push(r.to_vec());
                        Ok(())
                    };
                    // Rests of commits that failed may end a segment.
                    let _ = walk_segment(&disk, Path::new(DIR), segment, 0, each);
                }
                got.retain(|r| want.contains(r));
                assert!(got == want, "seed {seed}, {crash:?}");
            }
        }
    }

    #[test]
    fn records_that_others_build_upon_are_written_again_after_a_failed_sync() {
        let disk = SimDisk::new();
        let options = WalOptions {
            segment_bytes: 4 * PAGE as u64,
            compression: Compression::None,
            durability: Durability::Sync,
        };
        let wal = Wal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
        let sample = |n: u8| vec![Packed::new(vec![n], Compression::None)];
        disk.set_syncs_fail(true);
        assert!(wal.commit(|| Some(vec![100]), &sample(1), |_| {}).is_err());
        disk.set_syncs_fail(false);
        wal.commit(|| None, &sample(2), |_| {}).unwrap();
        wal.commit(|| None, &sample(3), |_| {}).unwrap();
        disk.restart(env::sim::disk::Crash::Machine { seed: 1 });
        assert_eq!(read(&disk), [vec![100], vec![2], vec![3]]);
    }

    #[test]
    fn repair_keeps_the_good_part() {
        let disk = SimDisk::new();
        let wal = open(&disk, 2 * PAGE as u64);
        for i in 0..20u8 {
            wal.log(vec![vec![i; 10_000]]).unwrap();
        }
        drop(wal);
        disk.flip_bit(Path::new("/wal/00000001"), 8 * 25_000);
        let err = walk_segment(&disk, Path::new(DIR), 1, 0, |_| Ok(())).unwrap_err();
        let WalError::Damaged {
            segment: 1, offset, ..
        } = err
        else {
            panic!("{err:?}")
        };
        repair(&disk, Path::new(DIR), 1, offset).unwrap();
        let got = read(&disk);
        assert!(got.len() >= 15 && got.len() < 20, "{}", got.len());
        assert!(got.windows(2).all(|w| w[0][0] < w[1][0]));
    }
}
