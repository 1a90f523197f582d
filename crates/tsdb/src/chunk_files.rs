//! The head's finished chunks on disk (`chunks_head/NNNNNN`), mapped back when read.
//!
//! A chunk goes to a write buffer the moment it is finished, so the head keeps 20 bytes of it. What the buffer loses in
//! a crash the log still has. A write that fails leaves the buffer as it is: its chunks stay readable and are tried
//! again with the next flush.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use env::{Disk, DiskFile};
use ondisk::head_chunks::{self, FILE_BYTES_MAX, HEADER, HeadChunk, HeadChunkError};
use parking_lot::{Mutex, RwLock};

use crate::failure::DbError;

/// Buffered bytes that make a flush.
const BUFFER: usize = 256 << 10;

/// Where a chunk is: file and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileRef {
    pub(crate) file: u32,
    pub(crate) offset: u32,
}

impl FileRef {
    /// As the out-of-order log writes it.
    pub(crate) fn packed(self) -> u64 {
        u64::from(self.file) << 32 | u64::from(self.offset)
    }
}

struct Writer {
    /// Number of the newest file; 0 before the first.
    number: u32,
    file: Option<Box<dyn DiskFile>>,
    /// Length of the file without the buffer.
    flushed: u64,
    buffer: Vec<u8>,
    /// An earlier flush failed, so there may be half a record beyond `flushed`.
    dirty: bool,
}

/// The folder.
pub(crate) struct ChunkFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    writer: Mutex<Writer>,
    /// Mapped files by number. The newest is mapped as far as it was flushed when it was last asked for.
    maps: RwLock<BTreeMap<u32, Bytes>>,
}

impl ChunkFiles {
    /// Opens the folder and walks over all chunks in it. When a file is damaged it and all later ones are removed
    /// (the log has what they held) and `on_damage` is told; `each` sees chunks of whole files only.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        mut each: impl FnMut(FileRef, HeadChunk),
        mut on_damage: impl FnMut(&DbError),
    ) -> Result<ChunkFiles, DbError> {
        disk.create_dir_all(dir)
            .map_err(DbError::io("create", dir))?;
        let mut numbers: Vec<u32> = disk
            .list(dir)
            .map_err(DbError::io("list", dir))?
            .iter()
            .filter_map(|e| e.name.parse().ok().filter(|n| *n > 0 && !e.is_dir))
            .collect();
        numbers.sort_unstable();
        let gap = numbers.windows(2).find(|w| w[1] != w[0] + 1).map(|w| w[1]);
        let mut maps = BTreeMap::new();
        let mut bad = gap;
        if gap.is_some() {
            on_damage(&DbError::Sequence("found unsequential head chunk files"));
        }
        for &number in &numbers {
            if bad.is_some_and(|b| number >= b) {
                break;
            }
            let path = dir.join(format!("{number:06}"));
            let map = disk.map(&path).map_err(DbError::io("map", &path))?;
            match read_all(number, &map) {
                Ok(chunks) => {
                    chunks.into_iter().for_each(|(at, chunk)| each(at, chunk));
                    // A new mapping takes no memory until a chunk is read again; the one that was walked over took all.
                    drop(map);
                    let map = disk.map(&path).map_err(DbError::io("map", &path))?;
                    maps.insert(number, map);
                }
                Err(HeadChunkError::Empty) if Some(&number) == numbers.last() => bad = Some(number),
                Err(err) => {
                    on_damage(&DbError::corrupt(&path, 0, err));
                    bad = Some(number);
                }
            }
        }
        if let Some(first) = bad {
            for number in numbers.iter().filter(|n| **n >= first) {
                let path = dir.join(format!("{number:06}"));
                disk.remove_file(&path)
                    .map_err(DbError::io("remove", &path))?;
            }
            numbers.retain(|n| *n < first);
        }
        let writer = Writer {
            number: numbers.last().copied().unwrap_or(0),
            file: None,
            flushed: 0,
            buffer: Vec::new(),
            dirty: false,
        };
        Ok(ChunkFiles {
            disk,
            dir: dir.to_owned(),
            writer: Mutex::new(writer),
            maps: RwLock::new(maps),
        })
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:06}"))
    }

    /// Adds a finished chunk. It is readable at once; a failing disk shows at the next flush.
    pub(crate) fn write(
        &self,
        series: u64,
        (min, max): (i64, i64),
        encoding: u8,
        data: &[u8],
    ) -> FileRef {
        let mut w = self.writer.lock();
        let end = w.flushed + w.buffer.len() as u64;
        let full = end + (data.len() + 40) as u64 > FILE_BYTES_MAX;
        if full && self.flush_locked(&mut w).is_ok() {
            if let Some(mut file) = w.file.take()
                && let Err(err) = file.sync()
            {
                tracing::warn!(%err, "sync head chunk file");
            }
            w.flushed = 0;
        }
        if w.flushed == 0 && w.buffer.is_empty() {
            w.number += 1;
            w.buffer.extend_from_slice(&HEADER);
        }
        let offset = (w.flushed + w.buffer.len() as u64) as u32;
        head_chunks::put_record(&mut w.buffer, series, min, max, encoding, data);
        let at = FileRef {
            file: w.number,
            offset,
        };
        if w.buffer.len() >= BUFFER
            && let Err(err) = self.flush_locked(&mut w)
        {
            tracing::warn!(%err, "write head chunks; they stay in memory");
        }
        at
    }

    fn flush_locked(&self, w: &mut Writer) -> Result<(), DbError> {
        if w.buffer.is_empty() {
            return Ok(());
        }
        let path = self.path(w.number);
        if w.file.is_none() {
            w.file = Some(
                self.disk
                    .create(&path)
                    .map_err(DbError::io("create", &path))?,
            );
        }
        let Some(file) = &mut w.file else {
            return Ok(());
        };
        let written = match w.dirty {
            true => file.set_len(w.flushed),
            false => Ok(()),
        };
        match written.and_then(|()| file.write_all(&w.buffer)) {
            Ok(()) => {
                w.dirty = false;
                w.flushed += w.buffer.len() as u64;
                w.buffer.clear();
                if w.buffer.capacity() > 2 * BUFFER {
                    w.buffer.shrink_to(BUFFER);
                }
                Ok(())
            }
            Err(err) => {
                w.dirty = true;
                Err(DbError::io("write", &path)(err))
            }
        }
    }

    /// Writes what is buffered.
    pub(crate) fn flush(&self) -> Result<(), DbError> {
        self.flush_locked(&mut self.writer.lock())
    }

    /// The chunk at a place, its checksum checked.
    pub(crate) fn read(&self, at: FileRef) -> Result<Bytes, DbError> {
        let bad = |err: &dyn ToString| {
            DbError::corrupt(&self.path(at.file), u64::from(at.offset), err.to_string())
        };
        let found = |bytes: &Bytes, offset: usize| match head_chunks::record_at(bytes, offset) {
            Ok(Some((chunk, _))) => Ok(chunk.data),
            Ok(None) => Err(bad(&"no chunk")),
            Err(err) => Err(bad(&err)),
        };
        if let Some(map) = self.maps.read().get(&at.file)
            && (at.offset as usize) < map.len()
        {
            return found(map, at.offset as usize);
        }
        {
            let w = self.writer.lock();
            let open = !w.buffer.is_empty();
            if open && w.number == at.file && u64::from(at.offset) >= w.flushed {
                let start = (u64::from(at.offset) - w.flushed) as usize;
                let rest = w.buffer.get(start..).ok_or_else(|| bad(&"no chunk"))?;
                return found(&Bytes::copy_from_slice(rest), 0);
            }
        }
        let path = self.path(at.file);
        let map = self.disk.map(&path).map_err(DbError::io("map", &path))?;
        let chunk = found(&map, at.offset as usize);
        self.maps.write().insert(at.file, map);
        chunk
    }

    /// Removes files below `keep` (all but the newest without it) and lets the next chunk begin a new file.
    pub(crate) fn truncate(&self, keep: Option<u32>) -> Result<(), DbError> {
        let mut w = self.writer.lock();
        self.flush_locked(&mut w)?;
        if w.flushed > 0 {
            if let Some(mut file) = w.file.take() {
                let path = self.path(w.number);
                file.sync().map_err(DbError::io("sync", &path))?;
            }
            w.flushed = 0;
        }
        let keep = keep.unwrap_or(w.number).min(w.number);
        let entries = self
            .disk
            .list(&self.dir)
            .map_err(DbError::io("list", &self.dir))?;
        for entry in entries {
            if let Ok(number) = entry.name.parse::<u32>()
                && number < keep
            {
                self.maps.write().remove(&number);
                let path = self.dir.join(&entry.name);
                self.disk
                    .remove_file(&path)
                    .map_err(DbError::io("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Flushes and syncs.
    pub(crate) fn close(&self) -> Result<(), DbError> {
        let mut w = self.writer.lock();
        self.flush_locked(&mut w)?;
        let path = self.path(w.number);
        match &mut w.file {
            Some(file) => file.sync().map_err(DbError::io("sync", &path)),
            None => Ok(()),
        }
    }

    /// Bytes of all files.
    pub(crate) fn size(&self) -> u64 {
        let entries = self.disk.list(&self.dir).unwrap_or_default();
        entries.iter().map(|e| e.len).sum()
    }
}

fn read_all(number: u32, map: &Bytes) -> Result<Vec<(FileRef, HeadChunk)>, HeadChunkError> {
    head_chunks::check_header(map)?;
    let mut chunks = Vec::new();
    let mut offset = HEADER.len();
    while let Some((chunk, next)) = head_chunks::record_at(map, offset)? {
        chunks.push((
            FileRef {
                file: number,
                offset: offset as u32,
            },
            chunk,
        ));
        offset = next;
    }
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::sim::SimDisk;

    fn open(disk: &SimDisk) -> (ChunkFiles, Vec<u64>, usize) {
        let (mut seen, mut damaged) = (Vec::new(), 0);
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let each = |_: FileRef, c: HeadChunk| seen.push(c.series);
        let files = ChunkFiles::open(disk, Path::new("/d"), each, |_| damaged += 1).unwrap();
        (files, seen, damaged)
    }

    #[test]
    fn written_buffered_and_reopened() {
        let disk = SimDisk::new();
        let (files, _, _) = open(&disk);
        let data = vec![7u8; 1000];
        let refs: Vec<FileRef> = (1..600).map(|s| files.write(s, (0, 9), 1, &data)).collect();
        for at in &refs {
            assert_eq!(files.read(*at).unwrap(), data);
        }
        files.truncate(None).unwrap();
        let later = files.write(1000, (0, 9), 1, &data);
        assert_eq!(later.file, 2);
        files.close().unwrap();
        drop(files);
        let (files, seen, damaged) = open(&disk);
        assert_eq!((seen.len(), damaged), (600, 0));
        assert_eq!(files.read(later).unwrap(), data);
        files.truncate(Some(2)).unwrap();
        drop(files);
        disk.flip_bit(Path::new("/d/000002"), 8 * 200);
        let (files, seen, damaged) = open(&disk);
        assert_eq!((seen.len(), damaged), (0, 1));
        assert_eq!(files.write(5, (0, 1), 1, &data).file, 1);
    }

    #[test]
    fn a_full_disk_loses_nothing() {
        let disk = SimDisk::new();
        let (files, _, _) = open(&disk);
        disk.set_capacity(Some(1000));
        let data = vec![7u8; 1000];
        let refs: Vec<FileRef> = (1..600).map(|s| files.write(s, (0, 9), 1, &data)).collect();
        assert!(files.flush().is_err());
        assert_eq!(files.read(refs[0]).unwrap(), data);
        disk.set_capacity(None);
        files.close().unwrap();
        drop(files);
        let (files, seen, damaged) = open(&disk);
        assert_eq!((seen.len(), damaged), (599, 0));
        assert_eq!(files.read(refs[598]).unwrap(), data);
    }
}
