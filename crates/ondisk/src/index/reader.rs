//! Reading an index on its mapped file.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use model::Labels;

use super::{ChunkMeta, IndexError, MAGIC, SERIES_ALIGN, Toc};
use crate::fields::{BadField, Fields, crc};
use crate::segment::ChunkRef;

/// Every so many symbols the offset is kept in memory.
const SYMBOL_STEP: usize = 8;
/// Every so many values of a label the table offset is kept in memory.
const VALUE_STEP: usize = 32;

/// Series references of one posting list, ascending, straight from the file.
#[derive(Debug, Clone, Default)]
pub struct Postings(Bytes);

impl Postings {
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a reference is among them.
    pub fn contains(&self, reference: u32) -> bool {
        let (mut low, mut high) = (0, self.len());
        let entries = self.0.as_chunks::<4>().0;
        while low < high {
            let middle = low + (high - low) / 2;
            match u32::from_be_bytes(entries[middle]).cmp(&reference) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return true,
                Ordering::Greater => high = middle,
            }
        }
        false
    }

    /// The references.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.0
            .chunks_exact(4)
            .map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }
}

/// A series as the index holds it; reused from read to read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SeriesEntry {
    /// Symbols of names and values, in label order.
    pub labels: Vec<(u32, u32)>,
    /// Chunks in order of time.
    pub chunks: Vec<ChunkMeta>,
}

/// Where the values of one label are in the postings offset table.
#[derive(Debug, Default)]
struct Values {
    /// Offsets of every 32nd entry, or of every entry where the table is not sorted (version 1).
    sampled: Vec<u32>,
    /// Entries in all.
    count: usize,
}

/// Where symbols that were looked up lately are: series that follow each other share most of theirs.
#[derive(Debug, Clone)]
pub struct SymbolCache(Vec<(u32, u32, u32)>);

impl SymbolCache {
    const SIZE: usize = 512;
}

impl Default for SymbolCache {
    fn default() -> SymbolCache {
        // No symbol has this number: there would be more than bytes in any file.
        SymbolCache(vec![(u32::MAX, 0, 0); SymbolCache::SIZE])
    }
}

/// An open index.
#[derive(Debug)]
pub struct IndexReader {
    file: Bytes,
    version: u8,
    toc: Toc,
    /// Offsets of every 8th symbol.
    symbols: Vec<u32>,
    symbol_count: u32,
    /// Where the symbol section's strings end.
    symbols_end: usize,
    names: BTreeMap<Box<str>, Values>,
    /// The postings offset table's entries.
    table: Bytes,
    all: Option<u64>,
}

/// A section that starts with its length in four bytes and ends with a checksum.
fn section(file: &Bytes, offset: u64, name: &'static str) -> Result<Bytes, IndexError> {
    let size = IndexError::Size {
        section: name,
        offset,
    };
    let start = usize::try_from(offset).map_err(|_| size.clone())?;
    let mut fields = Fields::at(file, start).map_err(|_| size.clone())?;
    let mut read = || {
        let len = fields.be32()? as usize;
        Ok::<_, BadField>((len, fields.take(len)?, fields.be32()?))
    };
    let (len, body, sum) = read().map_err(|_| size)?;
    if crc(body) != sum {
        return Err(IndexError::Checksum {
            section: name,
            offset,
        });
    }
    Ok(file.slice(start + 4..start + 4 + len))
}

/// One entry of the postings offset table: name, value, offset of the list.
fn table_entry<'a>(fields: &mut Fields<'a>) -> Result<(&'a str, &'a str, u64), BadField> {
    if fields.uvarint()? != 2 {
        return Err(BadField);
    }
    Ok((fields.str()?, fields.str()?, fields.uvarint()?))
}

impl IndexReader {
    /// Checks header, table of contents and both tables, and samples them.
    pub fn open(file: Bytes) -> Result<IndexReader, IndexError> {
        let size = |section| IndexError::Size { section, offset: 0 };
        let mut header = Fields::new(&file);
        let magic = header.be32().map_err(|_| size("header"))?;
        if magic != MAGIC {
            return Err(IndexError::Magic(magic));
        }
        let version = header.byte().map_err(|_| size("header"))?;
        if !(1..=3).contains(&version) {
            return Err(IndexError::Version(version));
        }
        let toc = Toc::from_file(&file)?;
        let mut reader = IndexReader {
            table: section(&file, toc.postings_table, "postings offset table")?,
            file,
            version,
            toc,
            symbols: Vec::new(),
            symbol_count: 0,
            symbols_end: 0,
            names: BTreeMap::new(),
            all: None,
        };
        reader.sample_symbols()?;
        reader.sample_table()?;
        Ok(reader)
    }

    fn sample_symbols(&mut self) -> Result<(), IndexError> {
        let offset = self.toc.symbols;
        let bad = IndexError::Size {
            section: "symbols",
            offset,
        };
        let body = section(&self.file, offset, "symbols")?;
        let start = offset as usize + 4;
        self.symbols_end = start + body.len();
        let mut fields = Fields::new(&body);
        let count = fields.be32().map_err(|_| bad.clone())?;
        for i in 0..count {
            if (i as usize).is_multiple_of(SYMBOL_STEP) {
                let at = start + body.len() - fields.len();
                self.symbols
                    .push(u32::try_from(at).map_err(|_| bad.clone())?);
            }
            fields.str().map_err(|_| bad.clone())?;
        }
        self.symbol_count = count;
        Ok(())
    }

    fn sample_table(&mut self) -> Result<(), IndexError> {
        let bad = IndexError::Size {
            section: "postings offset table",
            offset: self.toc.postings_table,
        };
        let step = if self.version == 1 { 1 } else { VALUE_STEP };
        let mut names: BTreeMap<Box<str>, Values> = BTreeMap::new();
        let mut fields = Fields::new(&self.table);
        let count = fields.be32().map_err(|_| bad.clone())?;
        for _ in 0..count {
            let at = (self.table.len() - fields.len()) as u32;
            let (name, value, list) = table_entry(&mut fields).map_err(|_| bad.clone())?;
            if name.is_empty() && value.is_empty() {
                self.all = Some(list);
                continue;
            }
            if !names.contains_key(name) {
                names.insert(name.into(), Values::default());
            }
            if let Some(values) = names.get_mut(name) {
                if values.count.is_multiple_of(step) {
                    values.sampled.push(at);
                }
                values.count += 1;
            }
        }
        if self.version == 1 {
            let value_at = |at: &u32| {
                self.entry_at(*at)
                    .map(|e| e.1.to_owned())
                    .unwrap_or_default()
            };
            for values in names.values_mut() {
                values.sampled.sort_by_cached_key(value_at);
            }
        }
        self.names = names;
        Ok(())
    }

    /// The version in the header.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Length of the file.
    pub fn len(&self) -> usize {
        self.file.len()
    }

    /// Whether the index has no series.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Bytes the sampled tables take in memory, roughly.
    pub fn symbol_table_bytes(&self) -> usize {
        self.symbols.len() * 4
    }

    /// Symbols in the table.
    pub fn symbol_count(&self) -> u32 {
        self.symbol_count
    }

    /// All symbols with their references, ascending.
    pub fn symbols(&self) -> impl Iterator<Item = (u32, &str)> {
        let start = self.toc.symbols as usize + 8;
        let body = self.file.get(start..self.symbols_end).unwrap_or_default();
        let mut fields = Fields::new(body);
        (0..self.symbol_count).map_while(move |i| {
            let at = start + body.len() - fields.len();
            let symbol = fields.str().ok()?;
            let reference = if self.version == 1 { at as u32 } else { i };
            Some((reference, symbol))
        })
    }

    /// The symbol with a reference, which is its number (its offset in version 1).
    pub fn symbol(&self, reference: u32) -> Result<&str, IndexError> {
        let unknown = IndexError::Symbol(reference);
        let (at, skip) = if self.version == 1 {
            (reference as usize, 0)
        } else if reference < self.symbol_count {
            let number = reference as usize;
            (
                self.symbols[number / SYMBOL_STEP] as usize,
                number % SYMBOL_STEP,
            )
        } else {
            return Err(unknown);
        };
        let body = self.file.get(at..self.symbols_end).ok_or(unknown.clone())?;
        let mut fields = Fields::new(body);
        for _ in 0..skip {
            let len = fields.count(1).map_err(|_| unknown.clone())?;
            fields.take(len).map_err(|_| unknown.clone())?;
        }
        fields.str().map_err(|_| unknown)
    }

    /// As [`IndexReader::symbol`], for callers that look up many.
    pub fn symbol_with(&self, reference: u32, cache: &mut SymbolCache) -> Result<&str, IndexError> {
        let slot = &mut cache.0[reference as usize % SymbolCache::SIZE];
        if slot.0 == reference
            && let Some(bytes) = self.file.get(slot.1 as usize..slot.2 as usize)
        {
            return std::str::from_utf8(bytes).map_err(|_| IndexError::Symbol(reference));
        }
        let text = self.symbol(reference)?;
        let from = text.as_ptr() as usize - self.file.as_ptr() as usize;
        if let (Ok(from), Ok(to)) = (u32::try_from(from), u32::try_from(from + text.len())) {
            *slot = (reference, from, to);
        }
        Ok(text)
    }

    fn entry_at(&self, at: u32) -> Result<(&str, &str, u64), IndexError> {
        Fields::at(&self.table, at as usize)
            .and_then(|mut f| table_entry(&mut f))
            .map_err(|_| IndexError::Size {
                section: "postings offset table",
                offset: self.toc.postings_table + u64::from(at),
            })
    }

    /// Label names, ascending.
    pub fn label_names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|n| &**n)
    }

    /// How many values a label has.
    pub fn value_count(&self, name: &str) -> usize {
        self.names.get(name).map_or(0, |v| v.count)
    }

    /// Walks over a label's values, ascending, from the first that is not less than `from`; `each` gets the offset of
    /// the value's posting list for [`IndexReader::postings_at`].
    pub fn for_values(
        &self,
        name: &str,
        from: &str,
        mut each: impl FnMut(&str, u64) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        let Some(values) = self.names.get(name) else {
            return Ok(());
        };
        let mut failed = None;
        // The last sampled entry that is not greater; what is sought is in its stretch or at the next one's start.
        let stretch = values
            .sampled
            .partition_point(|at| match self.entry_at(*at) {
                Ok((_, value, _)) => value <= from,
                Err(err) => {
                    failed = Some(err);
                    false
                }
            });
        if let Some(err) = failed {
            return Err(err);
        }
        let first = stretch.saturating_sub(1);
        if self.version == 1 {
            for at in &values.sampled[first..] {
                let (_, value, list) = self.entry_at(*at)?;
                if value >= from && each(value, list).is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let bad = IndexError::Size {
            section: "postings offset table",
            offset: self.toc.postings_table,
        };
        let Some(&at) = values.sampled.get(first) else {
            return Ok(());
        };
        let mut fields = Fields::at(&self.table, at as usize).map_err(|_| bad.clone())?;
        for _ in first * VALUE_STEP..values.count {
            let (at_name, value, list) = table_entry(&mut fields).map_err(|_| bad.clone())?;
            if at_name != name {
                return Err(bad);
            }
            if value.cmp(from) != Ordering::Less && each(value, list).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Where the posting list of a pair is.
    pub fn postings_offset(&self, name: &str, value: &str) -> Result<Option<u64>, IndexError> {
        let mut found = None;
        self.for_values(name, value, |v, list| {
            if v == value {
                found = Some(list);
            }
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// The posting list at an offset.
    pub fn postings_at(&self, offset: u64) -> Result<Postings, IndexError> {
        let body = section(&self.file, offset, "postings")?;
        let mut fields = Fields::new(&body);
        match fields.be32() {
            Ok(n) if fields.len() as u64 == u64::from(n) * 4 => Ok(Postings(body.slice(4..))),
            _ => Err(IndexError::Size {
                section: "postings",
                offset,
            }),
        }
    }

    /// How many references the posting list at an offset says it has; nothing is checked.
    pub fn postings_len(&self, offset: u64) -> Result<u64, IndexError> {
        let size = IndexError::Size {
            section: "postings",
            offset,
        };
        let start = usize::try_from(offset).map_err(|_| size.clone())?;
        let mut fields = Fields::at(&self.file, start).map_err(|_| size.clone())?;
        let mut read = || {
            fields.be32()?;
            fields.be32()
        };
        read().map(u64::from).map_err(|_| size)
    }

    /// Series with a label value.
    pub fn postings(&self, name: &str, value: &str) -> Result<Postings, IndexError> {
        match self.postings_offset(name, value)? {
            Some(offset) => self.postings_at(offset),
            None => Ok(Postings::default()),
        }
    }

    /// All series.
    pub fn all_postings(&self) -> Result<Postings, IndexError> {
        match self.all {
            Some(offset) => self.postings_at(offset),
            None => Ok(Postings::default()),
        }
    }

    /// Reads a series by the reference postings have for it.
    pub fn series(&self, reference: u32, entry: &mut SeriesEntry) -> Result<(), IndexError> {
        let step = if self.version == 1 { 1 } else { SERIES_ALIGN };
        let offset = u64::from(reference) * step;
        let bad = |_: BadField| IndexError::Size {
            section: "series",
            offset,
        };
        let mut fields = Fields::at(&self.file, offset as usize).map_err(bad)?;
        let len = fields.count(1).map_err(bad)?;
        let body = fields.take(len).map_err(bad)?;
        if fields.be32().map_err(bad)? != crc(body) {
            return Err(IndexError::Checksum {
                section: "series",
                offset,
            });
        }
        entry.labels.clear();
        entry.chunks.clear();
        let mut fields = Fields::new(body);
        read_entry(&mut fields, entry).map_err(bad)
    }

    /// As [`IndexReader::labels`], for callers that read many series.
    pub fn labels_with(
        &self,
        entry: &SeriesEntry,
        cache: &mut SymbolCache,
        scratch: &mut Vec<u8>,
    ) -> Result<Labels, IndexError> {
        const USUAL: usize = 32;
        let mut pairs = [("", ""); USUAL];
        if entry.labels.len() > USUAL {
            return self.labels(entry);
        }
        let mut sorted = true;
        for (i, &(name, value)) in entry.labels.iter().enumerate() {
            let pair = (
                self.symbol_with(name, cache)?,
                self.symbol_with(value, cache)?,
            );
            sorted &= !pair.1.is_empty() && (i == 0 || pairs[i - 1].0 < pair.0);
            pairs[i] = pair;
        }
        let pairs = &mut pairs[..entry.labels.len()];
        match sorted {
            true => Ok(Labels::from_sorted(pairs.iter().copied(), scratch)),
            false => Ok(Labels::from_refs(pairs)),
        }
    }

    /// A series' labels.
    pub fn labels(&self, entry: &SeriesEntry) -> Result<Labels, IndexError> {
        let mut pairs = Vec::with_capacity(entry.labels.len());
        for &(name, value) in &entry.labels {
            pairs.push((self.symbol(name)?, self.symbol(value)?));
        }
        Ok(Labels::from_refs(&mut pairs))
    }
}

fn read_entry(fields: &mut Fields<'_>, entry: &mut SeriesEntry) -> Result<(), BadField> {
    for _ in 0..fields.count(2)? {
        entry
            .labels
            .push((fields.uvarint32()?, fields.uvarint32()?));
    }
    let n = fields.count(3)?;
    entry.chunks.reserve(n);
    let (mut end, mut chunk) = (0i64, 0u64);
    for i in 0..n {
        let min_time = match i {
            0 => fields.varint()?,
            _ => end.wrapping_add(fields.uvarint()? as i64),
        };
        end = min_time.wrapping_add(fields.uvarint()? as i64);
        chunk = match i {
            0 => fields.uvarint()?,
            _ => chunk.wrapping_add_signed(fields.varint()?),
        };
        entry.chunks.push(ChunkMeta {
            min_time,
            max_time: end,
            chunk: ChunkRef(chunk),
        });
    }
    Ok(())
}
