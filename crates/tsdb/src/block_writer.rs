//! Writing a block: chunks and index as series come, the rest at the end, the name last.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{Disk, DiskFile};
use ondisk::chunk::{ValueKind, count};
use ondisk::index::{ChunkMeta, IndexWriter};
use ondisk::meta::{Meta, Stats, Ulid};
use ondisk::segment::{self, CHUNK_OVERHEAD, ChunkRef};
use ondisk::tombstones::Tombstones;
use storage::Chunk;

use crate::block::write_meta;
use crate::failure::DbError;

/// Suffix of a block's folder while it is written.
pub(crate) const CREATING: &str = ".tmp-for-creation";
/// Suffix of a block's folder while it is removed.
pub(crate) const DELETING: &str = ".tmp-for-deletion";

const BUFFER: usize = 256 << 10;
/// Written bytes after which the system is told to begin putting them on the disk.
const BEGIN_SYNC: usize = 4 << 20;

/// A buffered file that can be synced.
struct Sink {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Bytes written since the system was last told to begin.
    waiting: usize,
}

impl Sink {
    fn create(disk: &dyn Disk, path: &Path) -> Result<Sink, DbError> {
        let file = disk.create(path).map_err(DbError::io("create", path))?;
        Ok(Sink {
            file,
            buffer: Vec::with_capacity(BUFFER),
            waiting: 0,
        })
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all(&self.buffer)?;
            self.waiting += self.buffer.len();
            self.buffer.clear();
            if self.waiting >= BEGIN_SYNC {
                self.file.begin_sync();
                self.waiting = 0;
            }
        }
        Ok(())
    }
}

/// A block being written. Dropping it without finishing leaves a folder that the next start removes.
pub(crate) struct BlockWriter {
    disk: Arc<dyn Disk>,
    parent: PathBuf,
    dir: PathBuf,
    ulid: Ulid,
    index: IndexWriter<Sink>,
    segment: Option<Sink>,
    /// Number of the open segment, from 1.
    number: u32,
    length: u64,
    segment_max: u64,
    stats: Stats,
    record: Vec<u8>,
}

impl BlockWriter {
    /// Starts a block in `parent`.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        parent: &Path,
        ulid: Ulid,
        segment_max: u64,
    ) -> Result<BlockWriter, DbError> {
        let dir = parent.join(format!("{ulid}{CREATING}"));
        if disk.exists(&dir) {
            disk.remove_dir_all(&dir)
                .map_err(DbError::io("remove", &dir))?;
        }
        let chunks = dir.join("chunks");
        disk.create_dir_all(&chunks)
            .map_err(DbError::io("create", &chunks))?;
        let index = IndexWriter::new(Sink::create(&*disk, &dir.join("index"))?)?;
        Ok(BlockWriter {
            disk,
            parent: parent.to_owned(),
            dir,
            ulid,
            index,
            segment: None,
            number: 0,
            length: 0,
            segment_max,
            stats: Stats::default(),
            record: Vec::new(),
        })
    }

    /// Adds a symbol; they come sorted, before the first series.
    pub(crate) fn add_symbol(&mut self, symbol: &str) -> Result<u32, DbError> {
        Ok(self.index.add_symbol(symbol)?)
    }

    fn segment_path(&self, number: u32) -> PathBuf {
        self.dir.join("chunks").join(format!("{number:06}"))
    }

    fn close_segment(&mut self) -> Result<(), DbError> {
        if let Some(segment) = self.segment.take() {
            let path = self.segment_path(self.number);
            segment.finish().map_err(DbError::io("sync", &path))?;
        }
        Ok(())
    }

    fn put_chunk(&mut self, chunk: &Chunk) -> Result<ChunkMeta, DbError> {
        let need = CHUNK_OVERHEAD + chunk.data.len() as u64;
        let full =
            self.length + need > self.segment_max && self.length > segment::HEADER.len() as u64;
        if self.segment.is_none() || full {
            self.close_segment()?;
            self.number += 1;
            let path = self.segment_path(self.number);
            let mut sink = Sink::create(&*self.disk, &path)?;
            sink.write_all(&segment::HEADER)
                .map_err(DbError::io("write", &path))?;
            self.segment = Some(sink);
            self.length = segment::HEADER.len() as u64;
        }
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        segment::put_chunk(&mut record, chunk.encoding, &chunk.data);
        let at = ChunkRef::new(self.number - 1, self.length as u32);
        if let Some(sink) = &mut self.segment {
            let path = self.dir.join("chunks");
            sink.write_all(&record)
                .map_err(DbError::io("write", &path))?;
        }
        self.length += record.len() as u64;
        self.record = record;
        let samples = u64::from(count(chunk.encoding, &chunk.data));
        self.stats.num_samples += samples;
        match chunk.encoding.kind() {
            Some(ValueKind::Float) => self.stats.num_float_samples += samples,
            Some(_) => self.stats.num_histogram_samples += samples,
            None => {}
        }
        self.stats.num_chunks += 1;
        Ok(ChunkMeta {
            min_time: chunk.min_time,
            max_time: chunk.max_time,
            chunk: at,
        })
    }

    /// Adds a series with its chunks, which must be disjoint and in order. One without chunks is left out.
    pub(crate) fn add_series(
        &mut self,
        labels: &[(u32, u32)],
        chunks: &[Chunk],
    ) -> Result<(), DbError> {
        if chunks.is_empty() {
            return Ok(());
        }
        let mut metas = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            metas.push(self.put_chunk(chunk)?);
        }
        self.index.add_series(labels, &metas)?;
        self.stats.num_series += 1;
        Ok(())
    }

    /// Finishes the block and gives it its name. Without samples nothing is left behind and the answer is `None`.
    ///
    /// `meta` carries times and ancestry; its name and statistics are filled in.
    pub(crate) fn finish(mut self, mut meta: Meta) -> Result<Option<Meta>, DbError> {
        self.close_segment()?;
        if self.stats.num_samples == 0 {
            drop(self.index);
            self.disk
                .remove_dir_all(&self.dir)
                .map_err(DbError::io("remove", &self.dir))?;
            return Ok(None);
        }
        let index_path = self.dir.join("index");
        let (sink, _) = self.index.finish()?;
        sink.finish().map_err(DbError::io("sync", &index_path))?;
        meta.ulid = self.ulid;
        meta.stats = self.stats;
        write_meta(&*self.disk, &self.dir, &meta)?;
        let tombstones = self.dir.join("tombstones");
        env::disk::write_atomically(&*self.disk, &tombstones, &Tombstones::default().to_bytes())
            .map_err(DbError::io("write", &tombstones))?;
        let target = self.parent.join(self.ulid.to_string());
        let publish = || -> io::Result<()> {
            self.disk.sync_dir(&self.dir.join("chunks"))?;
            self.disk.sync_dir(&self.dir)?;
            self.disk.rename(&self.dir, &target)?;
            self.disk.sync_dir(&self.parent)
        };
        publish().map_err(DbError::io("publish", &target))?;
        Ok(Some(meta))
    }
}
