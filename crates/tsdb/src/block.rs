//! A block: an immutable folder of index, chunks, tombstones and meta.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use env::Disk;
use env::disk::write_atomically;
use model::{Labels, Matcher};
use ondisk::index::{ChunkMeta, IndexReader, Postings, SeriesEntry, SymbolCache};
use ondisk::meta::Meta;
use ondisk::segment;
use ondisk::tombstones::{Interval, Tombstones};
use parking_lot::RwLock;
use roaring::{MultiOps as _, RoaringBitmap};
use storage::{Chunk, TimeRange};

use crate::failure::DbError;
use crate::matching::{self, LabelIndex};
use crate::merge;

/// An open block. It stays readable after its folder is removed.
pub struct Block {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    meta: RwLock<Meta>,
    index: IndexReader,
    segments: Vec<Bytes>,
    tombstones: RwLock<Arc<Tombstones>>,
    size: u64,
}

/// Reads and checks `meta.json`.
pub fn read_meta(disk: &dyn Disk, dir: &Path) -> Result<Meta, DbError> {
    let path = dir.join("meta.json");
    let bytes = disk.read(&path).map_err(DbError::io("read", &path))?;
    let meta = Meta::from_json(&bytes).map_err(|err| DbError::corrupt(&path, 0, err))?;
    // Far beyond any real time; sums of times stay within bounds everywhere else.
    const FAR: i64 = i64::MAX / 4;
    if meta.min_time > meta.max_time || meta.min_time < -FAR || meta.max_time > FAR {
        return Err(DbError::corrupt(&path, 0, "impossible times"));
    }
    Ok(meta)
}

/// Writes `meta.json`.
pub(crate) fn write_meta(disk: &dyn Disk, dir: &Path, meta: &Meta) -> Result<(), DbError> {
    let path = dir.join("meta.json");
    write_atomically(disk, &path, &meta.to_json()).map_err(DbError::io("write", &path))
}

impl Block {
    /// Opens and checks a block.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Block, DbError> {
        let meta = read_meta(&*disk, dir)?;
        let index_path = dir.join("index");
        let file = disk
            .map(&index_path)
            .map_err(DbError::io("map", &index_path))?;
        let index = IndexReader::open(file).map_err(|err| DbError::corrupt(&index_path, 0, err))?;
        let chunks_dir = dir.join("chunks");
        let entries = disk
            .list(&chunks_dir)
            .map_err(DbError::io("list", &chunks_dir))?;
        let mut names: Vec<(u64, String)> = entries
            .into_iter()
            .filter_map(|e| Some((e.name.parse().ok()?, e.name)))
            .collect();
        names.sort();
        let mut segments = Vec::new();
        for (_, name) in names {
            let path = chunks_dir.join(name);
            let map = disk.map(&path).map_err(DbError::io("map", &path))?;
            segment::check_header(&map).map_err(|err| DbError::corrupt(&path, 0, err))?;
            segments.push(map);
        }
        let tombstones_path = dir.join("tombstones");
        let tombstones = match disk.exists(&tombstones_path) {
            true => {
                let bytes = disk
                    .read(&tombstones_path)
                    .map_err(DbError::io("read", &tombstones_path))?;
                Tombstones::from_bytes(&bytes)
                    .map_err(|err| DbError::corrupt(&tombstones_path, 0, err))?
            }
            false => Tombstones::default(),
        };
        let size = crate::wal::size_of_tree(&*disk, dir);
        Ok(Block {
            disk,
            dir: dir.to_owned(),
            meta: RwLock::new(meta),
            index,
            segments,
            tombstones: RwLock::new(Arc::new(tombstones)),
            size,
        })
    }

    /// Its description.
    pub fn meta(&self) -> Meta {
        self.meta.read().clone()
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes of its files when it was opened.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its index.
    pub fn index(&self) -> &IndexReader {
        &self.index
    }

    /// What was deleted of it.
    pub fn tombstones(&self) -> Arc<Tombstones> {
        self.tombstones.read().clone()
    }

    fn list(&self, name: &str, value: &str) -> Result<Postings, DbError> {
        let list = self.index.postings(name, value);
        list.map_err(|err| self.bad_index(err))
    }

    fn index_path(&self) -> PathBuf {
        self.dir.join("index")
    }

    fn bad_index(&self, err: ondisk::index::IndexError) -> DbError {
        DbError::corrupt(&self.index_path(), 0, err)
    }

    /// Whether it may hold samples of a range.
    pub fn overlaps(&self, range: TimeRange) -> bool {
        let meta = self.meta.read();
        meta.min_time <= range.max && range.min < meta.max_time
    }

    /// Reads a series.
    pub fn series(&self, reference: u32, entry: &mut SeriesEntry) -> Result<(), DbError> {
        self.index
            .series(reference, entry)
            .map_err(|err| self.bad_index(err))
    }

    /// A series' labels.
    pub fn labels(&self, entry: &SeriesEntry) -> Result<Labels, DbError> {
        self.index.labels(entry).map_err(|err| self.bad_index(err))
    }

    /// The same for a reader of many series.
    pub fn labels_with(
        &self,
        entry: &SeriesEntry,
        cache: &mut SymbolCache,
        scratch: &mut Vec<u8>,
    ) -> Result<Labels, DbError> {
        let labels = self.index.labels_with(entry, cache, scratch);
        labels.map_err(|err| self.bad_index(err))
    }

    /// A chunk's bytes; shares the mapped file.
    pub fn chunk(&self, meta: &ChunkMeta) -> Result<Chunk, DbError> {
        let number = meta.chunk.segment();
        let path = || self.dir.join("chunks").join(format!("{:06}", number + 1));
        let offset = meta.chunk.offset();
        let Some(bytes) = self.segments.get(number) else {
            return Err(DbError::corrupt(&path(), offset as u64, "no such segment"));
        };
        let (encoding, data) = segment::chunk_at(bytes, offset)
            .map_err(|err| DbError::corrupt(&path(), offset as u64, err))?;
        Ok(Chunk {
            min_time: meta.min_time,
            max_time: meta.max_time,
            encoding,
            data,
        })
    }

    /// Gives memory free that mapped chunks took: those in a segment between two offsets.
    pub(crate) fn release(&self, segment: usize, from: usize, to: usize) {
        let Some(segment) = self.segments.get(segment) else {
            return;
        };
        let part = segment.get(from..to.min(segment.len()));
        self.disk.release(part.unwrap_or_default());
    }

    /// Chunks of a series that touch a range, without deleted samples.
    pub fn chunks(
        &self,
        reference: u32,
        entry: &SeriesEntry,
        range: TimeRange,
        tombstones: &Tombstones,
    ) -> Result<Vec<Chunk>, DbError> {
        let deleted = tombstones.get(u64::from(reference));
        let mut chunks = Vec::with_capacity(entry.chunks.len());
        for meta in &entry.chunks {
            if meta.min_time > range.max || meta.max_time < range.min {
                continue;
            }
            if deleted.is_some_and(|d| d.cover(meta.min_time, meta.max_time)) {
                continue;
            }
            let chunk = self.chunk(meta)?;
            match deleted {
                None => chunks.push(chunk),
                Some(_) => chunks.extend(merge::trim(chunk, Interval::ALL, deleted)?),
            }
        }
        Ok(chunks)
    }

    /// References of the series that fulfil all matchers, in label order.
    pub(crate) fn select(&self, matchers: &[Matcher]) -> Result<RoaringBitmap, DbError> {
        matching::series(self, matchers)
    }

    /// How many series may fulfil all matchers.
    pub(crate) fn at_most(&self, matchers: &[Matcher]) -> Option<u64> {
        matching::at_most(self, matchers)
    }

    /// Deletes samples of a range from the series that fulfil all matchers.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), DbError> {
        let mut tombstones = (*self.tombstones()).clone();
        let mut entry = SeriesEntry::default();
        for reference in self.select(matchers)? {
            self.series(reference, &mut entry)?;
            let (Some(first), Some(last)) = (entry.chunks.first(), entry.chunks.last()) else {
                continue;
            };
            if entry
                .chunks
                .iter()
                .any(|c| c.min_time <= range.max && range.min <= c.max_time)
            {
                let interval = Interval {
                    min: range.min.max(first.min_time),
                    max: range.max.min(last.max_time),
                };
                tombstones.add(u64::from(reference), interval);
            }
        }
        let path = self.dir.join("tombstones");
        write_atomically(&*self.disk, &path, &tombstones.to_bytes())
            .map_err(DbError::io("write", &path))?;
        let mut meta = self.meta();
        meta.stats.num_tombstones = tombstones.total();
        *self.tombstones.write() = Arc::new(tombstones);
        write_meta(&*self.disk, &self.dir, &meta)?;
        *self.meta.write() = meta;
        Ok(())
    }

    /// Notes in the meta that a compaction of it failed.
    pub(crate) fn mark(&self, change: impl FnOnce(&mut Meta)) -> Result<(), DbError> {
        let mut meta = self.meta();
        change(&mut meta);
        write_meta(&*self.disk, &self.dir, &meta)?;
        *self.meta.write() = meta;
        Ok(())
    }

    /// Hard-links its files to `dir/<ULID>`.
    pub(crate) fn snapshot(&self, dir: &Path) -> Result<(), DbError> {
        let target = dir.join(self.meta.read().ulid.to_string());
        let chunks = target.join("chunks");
        self.disk
            .create_dir_all(&chunks)
            .map_err(DbError::io("create", &chunks))?;
        let link = |from: PathBuf, to: PathBuf| {
            self.disk
                .hard_link(&from, &to)
                .map_err(DbError::io("link", &to))
        };
        for name in ["meta.json", "index", "tombstones"] {
            let from = self.dir.join(name);
            if self.disk.exists(&from) {
                link(from, target.join(name))?;
            }
        }
        let from = self.dir.join("chunks");
        for entry in self.disk.list(&from).map_err(DbError::io("list", &from))? {
            link(from.join(&entry.name), chunks.join(&entry.name))?;
        }
        for dir in [&chunks, &target] {
            self.disk.sync_dir(dir).map_err(DbError::io("sync", dir))?;
        }
        Ok(())
    }
}

/// Adds a posting list to a set. Lists are ascending; one that is not is taken all the same.
fn add_list(out: &mut RoaringBitmap, list: &Postings) {
    match RoaringBitmap::from_sorted_iter(list.iter()) {
        Ok(set) if out.is_empty() => *out = set,
        Ok(set) => *out |= set,
        Err(_) => out.extend(list.iter()),
    }
}

impl LabelIndex for Block {
    fn all(&self) -> Result<RoaringBitmap, DbError> {
        let postings = self
            .index
            .all_postings()
            .map_err(|err| self.bad_index(err))?;
        let mut out = RoaringBitmap::new();
        add_list(&mut out, &postings);
        Ok(out)
    }

    fn with_values(&self, name: &str, values: &[&str]) -> Result<RoaringBitmap, DbError> {
        let mut out = RoaringBitmap::new();
        for value in values {
            add_list(&mut out, &self.list(name, value)?);
        }
        Ok(out)
    }

    fn count(&self, name: &str, values: &[&str]) -> Result<u64, DbError> {
        let mut count = 0;
        for value in values {
            let found = self.index.postings_offset(name, value);
            if let Some(offset) = found.map_err(|err| self.bad_index(err))? {
                let len = self.index.postings_len(offset);
                count += len.map_err(|err| self.bad_index(err))?;
            }
        }
        Ok(count)
    }

    fn narrowed(
        &self,
        found: RoaringBitmap,
        name: &str,
        values: &[&str],
    ) -> Result<RoaringBitmap, DbError> {
        /// From this many times as many on, looking each one up is quicker than reading the whole list.
        const FAR_MORE: u64 = 32;
        if let [value] = values {
            let list = self.list(name, value)?;
            if found.len().saturating_mul(FAR_MORE) < list.len() as u64 {
                return Ok(found.into_iter().filter(|r| list.contains(*r)).collect());
            }
        }
        Ok(found & self.with_values(name, values)?)
    }

    fn with_matching(
        &self,
        name: &str,
        prefix: &str,
        test: &dyn Fn(&str) -> bool,
    ) -> Result<RoaringBitmap, DbError> {
        let mut lists = Vec::new();
        let walked = self.index.for_values(name, prefix, |value, list| {
            if !value.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            if test(value) {
                lists.push(list);
            }
            ControlFlow::Continue(())
        });
        walked.map_err(|err| self.bad_index(err))?;
        let mut sets = Vec::with_capacity(lists.len());
        for list in lists {
            let postings = self.index.postings_at(list);
            let mut set = RoaringBitmap::new();
            add_list(&mut set, &postings.map_err(|err| self.bad_index(err))?);
            sets.push(set);
        }
        Ok(sets.union())
    }

    fn values(
        &self,
        name: &str,
        test: &dyn Fn(&str) -> bool,
        among: Option<&RoaringBitmap>,
    ) -> Result<Vec<String>, DbError> {
        let mut out = Vec::new();
        let mut failed = None;
        let walked = self.index.for_values(name, "", |value, list| {
            if !test(value) {
                return ControlFlow::Continue(());
            }
            let there = match among {
                None => true,
                Some(among) => match self.index.postings_at(list) {
                    Ok(postings) => postings.iter().any(|p| among.contains(p)),
                    Err(err) => {
                        failed = Some(err);
                        return ControlFlow::Break(());
                    }
                },
            };
            if there {
                out.push(value.to_owned());
            }
            ControlFlow::Continue(())
        });
        match walked.err().or(failed) {
            Some(err) => Err(self.bad_index(err)),
            None => Ok(out),
        }
    }

    fn names(&self, among: Option<&RoaringBitmap>) -> Result<Vec<String>, DbError> {
        let Some(among) = among else {
            return Ok(self.index.label_names().map(str::to_owned).collect());
        };
        let mut symbols = std::collections::BTreeSet::new();
        let mut entry = SeriesEntry::default();
        for reference in among {
            self.series(reference, &mut entry)?;
            symbols.extend(entry.labels.iter().map(|(name, _)| *name));
        }
        let text = |s| {
            self.index
                .symbol(s)
                .map(str::to_owned)
                .map_err(|err| self.bad_index(err))
        };
        symbols.into_iter().map(text).collect()
    }
}
