//! A disk in memory that crashes at any operation, loses what was not synced, fills up, and flips bits.
//!
//! Every changing operation (write, sync, rename, ...) has a number. A test runs a workload once to learn how many
//! there are, then again for each number with [`SimDisk::crash_at`]: from that operation on everything fails as it
//! would for a dead process, until [`SimDisk::restart`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::{Disk, DiskEntry, DiskFile, DiskLock};
use crate::random::Random;

/// The simulated disk. Clones share the files.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<Contents>>>,
    /// What the folders hold durably: after a machine crash the names are these.
    durable: BTreeMap<PathBuf, Arc<Mutex<Contents>>>,
    dirs: BTreeSet<PathBuf>,
    durable_dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    crash_at: Option<u64>,
    crashed: bool,
    capacity: Option<u64>,
    read_only: bool,
    syncs_fail: bool,
    /// Grows with every restart, so that files and locks of the life before are dead.
    life: u64,
}

#[derive(Default)]
struct Contents {
    bytes: Vec<u8>,
    /// How much of it survives a machine crash for sure, and the bytes as they were at that time.
    synced: Vec<u8>,
    /// Parts that a failed sync gave up: readable, and never written to the disk any more.
    given_up: Vec<std::ops::Range<usize>>,
}

/// What a crash takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies (`kill -9`): everything written is there.
    Process,
    /// The machine dies: unsynced bytes are lost or torn at a random place, unsynced names are as before.
    Machine {
        /// Decides how much of the unsynced tail of each file is left.
        seed: u64,
    },
}

impl Default for SimDisk {
    fn default() -> SimDisk {
        SimDisk::new()
    }
}

impl SimDisk {
    /// An empty disk without limit.
    pub fn new() -> SimDisk {
        let mut state = State::default();
        state.dirs.insert(PathBuf::from("/"));
        state.durable_dirs.insert(PathBuf::from("/"));
        SimDisk(Arc::new(Mutex::new(state)))
    }

    /// Changing operations so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Fails at operation number `at` (counted from 0) and all after it. A write in that place is cut in half.
    pub fn crash_at(&self, at: u64) {
        self.0.lock().crash_at = Some(at);
    }

    /// Whether the crash has happened.
    pub fn has_crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// Limits the bytes of all files together; `None` for no limit. Writes beyond fail with `StorageFull` after filling up.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// From now on every change is refused, as by a file system that was mounted anew after errors; or no longer.
    pub fn set_read_only(&self, read_only: bool) {
        self.0.lock().read_only = read_only;
    }

    /// From now on syncs of files fail, or no longer. As Linux has it, what a failed sync should have saved stays
    /// readable but is never tried again: a later sync that succeeds does not save it.
    pub fn set_syncs_fail(&self, fail: bool) {
        self.0.lock().syncs_fail = fail;
    }

    /// Bytes of all files together.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// Starts anew after a crash (or without one): locks are free, open files are dead, `crash` says what is lost.
    pub fn restart(&self, crash: Crash) {
        let mut state = self.0.lock();
        state.crash_at = None;
        state.crashed = false;
        state.locks.clear();
        state.life += 1;
        if let Crash::Machine { seed } = crash {
            let mut random = Random::from_seed(seed);
            state.files = state.durable.clone();
            state.dirs = state.durable_dirs.clone();
            for contents in state.files.values() {
                let mut contents = contents.lock();
                let contents = &mut *contents;
                let kept = if contents.bytes.starts_with(&contents.synced) {
                    // Appended since the sync: any part of it may have reached the disk.
                    let tail = contents.bytes.len() - contents.synced.len();
                    contents.synced.len() + random.below(tail as u64 + 1) as usize
                } else {
                    contents.bytes = contents.synced.clone();
                    contents.bytes.len()
                };
                contents.bytes.truncate(kept);
                contents.save();
                contents.bytes = contents.synced.clone();
                contents.given_up.clear();
            }
        }
        // What is on the disk now is what a later crash goes back to.
        state.durable = state.files.clone();
        state.durable_dirs = state.dirs.clone();
    }

    /// Flips one bit of a file.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let state = self.0.lock();
        if let Some(contents) = state.files.get(path) {
            let mut contents = contents.lock();
            let at = (bit / 8) as usize;
            if at < contents.bytes.len() {
                contents.bytes[at] ^= 1 << (bit % 8);
                contents.synced = contents.bytes.clone();
            }
        }
    }

    /// Paths of all files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.0.lock().files.keys().cloned().collect()
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{}: no such file or directory", path.display()),
    )
}

fn crashed() -> io::Error {
    io::Error::other("simulated crash")
}

impl State {
    fn used(&self) -> u64 {
        self.files
            .values()
            .map(|c| c.lock().bytes.len() as u64)
            .sum()
    }

    fn alive(&self) -> io::Result<()> {
        if self.crashed { Err(crashed()) } else { Ok(()) }
    }

    /// Counts a changing operation; an error when it is the one to crash at, or after it.
    fn change(&mut self) -> io::Result<()> {
        self.alive()?;
        let number = self.operations;
        self.operations += 1;
        if self.crash_at == Some(number) {
            self.crashed = true;
            return Err(crashed());
        }
        if self.read_only {
            return Err(io::Error::new(
                io::ErrorKind::ReadOnlyFilesystem,
                "read-only file system",
            ));
        }
        Ok(())
    }

    fn file(&self, path: &Path) -> io::Result<Arc<Mutex<Contents>>> {
        self.alive()?;
        self.files.get(path).cloned().ok_or_else(|| not_found(path))
    }

    fn require_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(dir) if !self.dirs.contains(dir) => Err(not_found(dir)),
            _ => Ok(()),
        }
    }
}

impl Contents {
    /// Puts on the disk what it still takes.
    fn save(&mut self) {
        self.synced = self.bytes.clone();
        let len = self.synced.len();
        for part in &self.given_up {
            self.synced[part.start.min(len)..part.end.min(len)].fill(0);
        }
    }
}

struct SimFile {
    disk: SimDisk,
    contents: Arc<Mutex<Contents>>,
    life: u64,
}

impl SimFile {
    /// Runs a change of this file: `whole` is false when the crash comes in the middle of it.
    fn change(&self, new_bytes: u64, apply: impl FnOnce(&mut Contents, Part)) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        if state.life != self.life {
            return Err(crashed());
        }
        let free = state
            .capacity
            .map(|capacity| capacity.saturating_sub(state.used()));
        match state.change() {
            Ok(()) => {}
            Err(error) => {
                if state.crash_at == Some(state.operations.wrapping_sub(1)) {
                    apply(&mut self.contents.lock(), Part::Half);
                }
                return Err(error);
            }
        }
        match free {
            Some(free) if new_bytes > free => {
                apply(&mut self.contents.lock(), Part::First(free));
                Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    "no space left on device",
                ))
            }
            _ => {
                apply(&mut self.contents.lock(), Part::Whole);
                Ok(())
            }
        }
    }
}

/// How much of a write reaches the disk.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Half,
    First(u64),
}

impl Part {
    fn of(self, len: usize) -> usize {
        match self {
            Part::Whole => len,
            Part::Half => len / 2,
            Part::First(n) => len.min(n as usize),
        }
    }
}

impl DiskFile for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.change(bytes.len() as u64, |contents, part| {
            contents
                .bytes
                .extend_from_slice(&bytes[..part.of(bytes.len())]);
        })
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        let grown = end.saturating_sub(self.position());
        self.change(grown, |contents, part| {
            let bytes = &bytes[..part.of(bytes.len())];
            let end = offset as usize + bytes.len();
            if contents.bytes.len() < end {
                contents.bytes.resize(end, 0);
            }
            contents.bytes[offset as usize..end].copy_from_slice(bytes);
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        let fails = self.disk.0.lock().syncs_fail;
        self.change(0, |contents, part| {
            if fails {
                let lost = contents.synced.len()..contents.bytes.len();
                contents.given_up.push(lost);
            } else if matches!(part, Part::Whole) {
                contents.save();
            }
        })?;
        match fails {
            true => Err(io::Error::other("input/output error")),
            false => Ok(()),
        }
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let grown = len.saturating_sub(self.position());
        self.change(grown, |contents, part| {
            if matches!(part, Part::Whole) {
                let len = len as usize;
                contents.bytes.resize(len, 0);
                contents.given_up.retain(|part| part.start < len);
                contents
                    .given_up
                    .iter_mut()
                    .for_each(|part| part.end = part.end.min(len));
            }
        })
    }

    fn position(&self) -> u64 {
        self.contents.lock().bytes.len() as u64
    }
}

struct SimLock {
    disk: SimDisk,
    path: PathBuf,
    life: u64,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.change()?;
        state.require_parent(path)?;
        let contents = match state.files.get(path) {
            Some(contents) => {
                contents.lock().bytes.clear();
                contents.clone()
            }
            None => Arc::new(Mutex::new(Contents::default())),
        };
        state.files.insert(path.to_path_buf(), contents.clone());
        Ok(Box::new(SimFile {
            disk: self.clone(),
            contents,
            life: state.life,
        }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.change()?;
        state.require_parent(path)?;
        let contents = state.files.entry(path.to_path_buf()).or_default().clone();
        Ok(Box::new(SimFile {
            disk: self.clone(),
            contents,
            life: state.life,
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let contents = self.0.lock().file(path)?;
        let bytes = contents.lock().bytes.clone();
        Ok(bytes)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let contents = self.0.lock().file(path)?;
        let contents = contents.lock();
        let from = (offset as usize).min(contents.bytes.len());
        let to = from.saturating_add(len).min(contents.bytes.len());
        Ok(contents.bytes[from..to].to_vec())
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.read(path).map(Bytes::from)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let state = self.0.lock();
        state.alive()?;
        if !state.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let mut entries: Vec<DiskEntry> = Vec::new();
        for path in state.dirs.iter().filter(|path| path.parent() == Some(dir)) {
            entries.extend(name(path).map(|name| DiskEntry {
                name,
                is_dir: true,
                len: 0,
            }));
        }
        for (path, contents) in state
            .files
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir))
        {
            let len = contents.lock().bytes.len() as u64;
            entries.extend(name(path).map(|name| DiskEntry {
                name,
                is_dir: false,
                len,
            }));
        }
        entries.sort();
        Ok(entries)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(self.0.lock().file(path)?.lock().bytes.len() as u64)
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.0.lock();
        !state.crashed && (state.files.contains_key(path) || state.dirs.contains(path))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        for ancestor in dir.ancestors() {
            state.dirs.insert(ancestor.to_path_buf());
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        state
            .files
            .remove(path)
            .map(|_| ())
            .ok_or_else(|| not_found(path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        if !state.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        state.files.retain(|path, _| !path.starts_with(dir));
        state.dirs.retain(|path| !path.starts_with(dir));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        state.require_parent(to)?;
        if let Some(contents) = state.files.remove(from) {
            state.files.insert(to.to_path_buf(), contents);
            return Ok(());
        }
        if !state.dirs.contains(from) {
            return Err(not_found(from));
        }
        let moved = |path: &Path| match path.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_path_buf(),
            Ok(rest) => to.join(rest),
            Err(_) => path.to_path_buf(),
        };
        if state.files.keys().any(|path| path.starts_with(to)) {
            return Err(io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                "directory not empty",
            ));
        }
        state.files = std::mem::take(&mut state.files)
            .into_iter()
            .map(|(path, contents)| (moved(&path), contents))
            .collect();
        state.dirs = std::mem::take(&mut state.dirs)
            .iter()
            .map(|path| moved(path))
            .collect();
        // The folder moves with what it durably holds, but its own new name is durable only after `sync_dir`.
        Ok(())
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        let contents = state.file(path)?;
        contents.lock().bytes.resize(len as usize, 0);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        state.require_parent(to)?;
        let contents = state.file(from)?;
        state.files.insert(to.to_path_buf(), contents);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.change()?;
        if !state.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        // Names directly in `dir` become as they are now. A folder that was renamed into it brings its contents along,
        // which is how journaling file systems behave for a folder that was synced before its rename.
        let state = &mut *state;
        let within = |path: &Path| path.starts_with(dir);
        let direct_children: BTreeSet<PathBuf> = state
            .dirs
            .iter()
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect();
        let known_children: BTreeSet<PathBuf> = state
            .durable_dirs
            .iter()
            .filter(|path| path.parent() == Some(dir))
            .cloned()
            .collect();
        state.durable.retain(|path, _| {
            !within(path)
                || (path.parent() != Some(dir)
                    && !known_children
                        .iter()
                        .any(|child| path.starts_with(child) && !direct_children.contains(child)))
        });
        state.durable_dirs.retain(|path| {
            !known_children
                .iter()
                .any(|child| path.starts_with(child) && !direct_children.contains(child))
        });
        for (path, contents) in &state.files {
            let direct = path.parent() == Some(dir);
            let in_new_child = direct_children
                .iter()
                .any(|child| !known_children.contains(child) && path.starts_with(child));
            if direct || in_new_child {
                state.durable.insert(path.clone(), contents.clone());
            }
        }
        for path in &state.dirs {
            if direct_children.iter().any(|child| {
                path == child || (!known_children.contains(child) && path.starts_with(child))
            }) {
                state.durable_dirs.insert(path.clone());
            }
        }
        state
            .durable_dirs
            .extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let mut state = self.0.lock();
        state.change()?;
        state.require_parent(path)?;
        if !state.locks.insert(path.to_path_buf()) {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "resource temporarily unavailable",
            ));
        }
        state.files.entry(path.to_path_buf()).or_default();
        Ok(Box::new(SimLock {
            disk: self.clone(),
            path: path.to_path_buf(),
            life: state.life,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::write_atomically;

    #[test]
    fn unsynced_bytes_and_names_are_lost_with_the_machine() {
        let disk = SimDisk::new();
        let dir = Path::new("/data");
        disk.create_dir_all(dir).expect("dir");
        let mut kept = disk.create(&dir.join("kept")).expect("create");
        kept.write_all(b"abc").expect("write");
        kept.sync().expect("sync");
        disk.sync_dir(dir).expect("sync dir");
        kept.write_all(b"def").expect("write");
        let mut lost = disk.create(&dir.join("lost")).expect("create");
        lost.write_all(b"x").expect("write");
        lost.sync().expect("sync");
        disk.restart(Crash::Machine { seed: 3 });
        let bytes = disk.read(&dir.join("kept")).expect("kept");
        assert!(bytes.starts_with(b"abc") && b"abcdef".starts_with(&bytes[..]));
        assert!(!disk.exists(&dir.join("lost")), "its name was never synced");
        assert!(
            kept.write_all(b"!").is_err(),
            "a file of the life before is dead"
        );
    }

    #[test]
    fn an_atomic_write_is_old_or_new_at_every_crash() {
        let dir = Path::new("/data");
        let path = dir.join("meta.json");
        let prepare = || {
            let disk = SimDisk::new();
            disk.create_dir_all(dir).expect("dir");
            write_atomically(&disk, &path, b"old").expect("write");
            disk
        };
        let disk = prepare();
        let before = disk.operations();
        write_atomically(&disk, &path, b"new!").expect("write");
        let after = disk.operations();
        for at in before..after {
            for crash in [Crash::Process, Crash::Machine { seed: at }] {
                let disk = prepare();
                disk.crash_at(at);
                write_atomically(&disk, &path, b"new!").expect_err("crashed");
                disk.restart(crash);
                let bytes = disk.read(&path).expect("there");
                assert!(
                    bytes == b"old" || bytes == b"new!",
                    "{at} {crash:?}: {bytes:?}"
                );
            }
        }
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let disk = SimDisk::new();
        let mut file = disk.create(Path::new("/f")).expect("create");
        disk.set_capacity(Some(4));
        let error = file.write_all(b"abcdef").expect_err("full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.position(), 4);
        disk.set_capacity(None);
        file.write_all(b"!").expect("room again");
    }

    #[test]
    fn locks_exclude() {
        let disk = SimDisk::new();
        let held = disk.lock(Path::new("/lock")).expect("free");
        assert!(disk.lock(Path::new("/lock")).is_err());
        drop(held);
        assert!(disk.lock(Path::new("/lock")).is_ok());
    }
}
