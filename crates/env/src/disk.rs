//! The disk as an argument. Synchronous: storage cores call it from threads that may block.
//!
//! Durability is as POSIX has it: bytes written survive a crash of the process at once, a crash of the machine only
//! after [`DiskFile::sync`]; a new, renamed or removed name only after [`Disk::sync_dir`] of its folder.

use std::io;
use std::path::Path;

use bytes::Bytes;

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskEntry {
    /// The last part of the path.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// Length in bytes; 0 for folders.
    pub len: u64,
}

/// Held while a folder is in use; dropping it gives the folder free.
pub trait DiskLock: Send + Sync {}

/// File operations. Errors are the operating system's.
pub trait Disk: Send + Sync {
    /// A new, empty file; an existing one is emptied.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// An existing or new file, writing at its end.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// The whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Up to `len` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// The whole file as shared memory that the system pages in and out. The file must not shrink while it is in use.
    fn map(&self, path: &Path) -> io::Result<Bytes>;

    /// Tells that a part of mapped bytes will not be read again soon: what it takes of memory can go. A hint; the bytes
    /// stay what they are.
    fn release(&self, part: &[u8]) {
        let _ = part;
    }

    /// What is in a folder, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>>;

    /// Length of a file.
    fn len(&self, path: &Path) -> io::Result<u64>;

    /// Whether there is a file or folder.
    fn exists(&self, path: &Path) -> bool;

    /// A folder with all above it.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with all in it.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Renames, replacing a file (or an empty folder) at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Cuts a file.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// Another name for the same file.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a folder survive a machine crash.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock file at `path`, or fails with [`io::ErrorKind::WouldBlock`] when another process has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// A file open for writing.
pub trait DiskFile: Send + Sync {
    /// Writes all of `bytes` at the end. After an error any part of them may be there.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Overwrites at `offset`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Lets the system begin to put on the disk what was written, without waiting, so that a later sync has less to do.
    /// A hint.
    fn begin_sync(&mut self) {}

    /// Makes what was written survive a machine crash.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts or fills with zeros; the end moves there.
    fn set_len(&mut self, len: u64) -> io::Result<()>;

    /// Where the next byte goes.
    fn position(&self) -> u64;
}

/// Writes a file whole or not at all: temporary name beside it, sync, rename, sync of the folder.
pub fn write_atomically(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let mut file = disk.create(temporary)?;
    file.write_all(bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(temporary, path)?;
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => disk.sync_dir(dir),
        _ => Ok(()),
    }
}
