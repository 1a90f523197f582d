//! The machine's disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;

use crate::disk::{Disk, DiskEntry, DiskFile, DiskLock};

/// Files of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

struct SystemFile {
    file: File,
    position: u64,
    /// Up to where the system was told to begin writing out.
    begun: u64,
}

/// The lock lives as long as the file is open; the kernel frees it when the process dies.
struct SystemLock {
    _file: File,
}

impl DiskLock for SystemLock {}

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SystemFile {
            file: File::create(path)?,
            position: 0,
            begun: 0,
        }))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let position = file.seek(SeekFrom::End(0))?;
        Ok(Box::new(SystemFile {
            file,
            position,
            begun: position,
        }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut out = Vec::new();
        file.take(len as u64).read_to_end(&mut out)?;
        Ok(out)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Bytes::new());
        }
        // SAFETY: the mapping is read-only, and the contract of `Disk::map` asks that the file is not cut while mapped:
        // files of a block are never changed after they were renamed into place (they are unlinked, which keeps the
        // pages), and head chunk files only grow.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Bytes::from_owner(map))
    }

    fn release(&self, part: &[u8]) {
        let page = rustix::param::page_size();
        let start = (part.as_ptr() as usize).next_multiple_of(page);
        let end = (part.as_ptr() as usize + part.len()) / page * page;
        if start < end {
            let at = start as *mut std::ffi::c_void;
            // SAFETY: the pages lie wholly within `part`, which is borrowed, and paging out changes no contents, whether
            // they are of a file or not. Kernels that do not know it refuse, and then nothing happens.
            let _ =
                unsafe { rustix::mm::madvise(at, end - start, rustix::mm::Advice::LinuxPageOut) };
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(meta) = entry.metadata() else { continue }; // gone in the meantime
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let is_dir = meta.is_dir();
            entries.push(DiskEntry {
                name,
                is_dir,
                len: if is_dir { 0 } else { meta.len() },
            });
        }
        entries.sort();
        Ok(entries)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(path)?.set_len(len)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        // Upstream takes both kinds of lock depending on the system; on Linux it is flock.
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(io::Error::from)?;
        Ok(Box::new(SystemLock { _file: file }))
    }
}

impl DiskFile for SystemFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).inspect_err(|_| {
            // Part of the bytes may be there: the position must say where the file really ends.
            if let Ok(end) = self.file.stream_position() {
                self.position = end;
            }
        })?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn begin_sync(&mut self) {
        // Pages that were not written out yet are, in the background; only clean ones are dropped, and there are none.
        if let Some(len) = std::num::NonZeroU64::new(self.position.saturating_sub(self.begun)) {
            let advice = rustix::fs::Advice::DontNeed;
            let _ = rustix::fs::fadvise(&self.file, self.begun, Some(len), advice);
            self.begun = self.position;
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.position = self.file.seek(SeekFrom::Start(len))?;
        Ok(())
    }

    fn position(&self) -> u64 {
        self.position
    }
}

impl std::fmt::Debug for SystemFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SystemFile at {}", self.position)
    }
}
