//! Writing an index of version 2 in one pass.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{ChunkMeta, HEADER, INDEX_BYTES_MAX, MAGIC, SERIES_ALIGN, Toc};
use crate::fields::{PutFields, crc, crc_of_two};

/// Why an index could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk.
    #[error("write index: {0}")]
    Io(#[from] io::Error),
    /// A symbol not greater than the one before.
    #[error("symbol {0:?} out-of-order")]
    SymbolOrder(String),
    /// A symbol number that was never added.
    #[error("symbol {0} does not exist")]
    UnknownSymbol(u32),
    /// A label set not greater than the one before.
    #[error("out-of-order series added with label set {0}")]
    SeriesOrder(String),
    /// A chunk reference less than one before.
    #[error("unsorted chunk reference: {next}, previous: {previous}")]
    ChunkOrder {
        /// The offender.
        next: u64,
        /// The one before.
        previous: u64,
    },
    /// Chunks of a series that overlap, or one that ends before it begins.
    #[error("chunk times out of order: [{min}, {max}] after {previous}")]
    ChunkTimes {
        /// First instant.
        min: i64,
        /// Last instant.
        max: i64,
        /// Last instant of the chunk before.
        previous: i64,
    },
    /// Series references have 32 bits.
    #[error("exceeding max size of 64GiB")]
    TooLarge,
    /// A section whose length field has 32 bits.
    #[error("length size exceeds 4 bytes")]
    SectionTooLarge,
}

/// Pairs of value and series, by label name: all that has to be remembered until the end.
#[derive(Debug, Default)]
struct Remembered {
    /// By name: value in the upper half, series reference in the lower.
    by_name: BTreeMap<u32, Vec<u64>>,
    all: Vec<u32>,
}

/// Writes an index to a sink: symbols first, then series in label order, then [`IndexWriter::finish`].
///
/// Labels are given as numbers of symbols, which count from 0 in the order they were added. Since symbols are sorted,
/// comparing numbers is comparing strings.
#[derive(Debug)]
pub struct IndexWriter<W> {
    out: W,
    position: u64,
    toc: Toc,
    /// The symbol section while it grows; afterwards needed to write the postings table.
    symbols: Vec<u8>,
    /// Where each symbol starts in `symbols`.
    starts: Vec<u32>,
    symbols_written: bool,
    last_labels: Vec<(u32, u32)>,
    last_chunk: u64,
    remembered: Remembered,
    entry: Vec<u8>,
}

impl<W: Write> IndexWriter<W> {
    /// Starts a file.
    pub fn new(mut out: W) -> Result<IndexWriter<W>, WriteError> {
        let mut header = MAGIC.to_be_bytes().to_vec();
        header.push(2);
        out.write_all(&header)?;
        Ok(IndexWriter {
            out,
            position: HEADER as u64,
            toc: Toc::default(),
            symbols: Vec::new(),
            starts: Vec::new(),
            symbols_written: false,
            last_labels: Vec::new(),
            last_chunk: 0,
            remembered: Remembered::default(),
            entry: Vec::new(),
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        if self.position > INDEX_BYTES_MAX {
            return Err(WriteError::TooLarge);
        }
        Ok(())
    }

    fn pad(&mut self, align: u64) -> Result<(), WriteError> {
        let zeros = (align - self.position % align) % align;
        self.put(&[0; 16][..zeros as usize])
    }

    fn symbol_bytes(&self, number: u32) -> Option<&[u8]> {
        let start = *self.starts.get(number as usize)? as usize;
        let end = self
            .starts
            .get(number as usize + 1)
            .map_or(self.symbols.len(), |e| *e as usize);
        self.symbols.get(start..end)
    }

    fn symbol(&self, number: u32) -> &str {
        let mut fields = crate::fields::Fields::new(self.symbol_bytes(number).unwrap_or_default());
        fields.str().unwrap_or_default()
    }

    /// Adds a symbol, which must be greater than all before, and gives its number.
    pub fn add_symbol(&mut self, symbol: &str) -> Result<u32, WriteError> {
        let number = self.starts.len() as u32;
        if let Some(last) = number.checked_sub(1)
            && self.symbol(last) >= symbol
        {
            return Err(WriteError::SymbolOrder(symbol.to_owned()));
        }
        let start = u32::try_from(self.symbols.len()).map_err(|_| WriteError::SectionTooLarge)?;
        self.starts.push(start);
        self.symbols.put_str(symbol);
        Ok(number)
    }

    fn write_symbols(&mut self) -> Result<(), WriteError> {
        self.symbols_written = true;
        self.toc.symbols = self.position;
        let len = u32::try_from(self.symbols.len() + 4).map_err(|_| WriteError::SectionTooLarge)?;
        let mut head = Vec::new();
        head.put_be32(len);
        head.put_be32(self.starts.len() as u32);
        let sum = crc_of_two(&head[4..], &self.symbols);
        self.put(&head)?;
        let symbols = std::mem::take(&mut self.symbols);
        self.put(&symbols)?;
        self.symbols = symbols;
        self.put(&sum.to_be_bytes())?;
        self.toc.series = self.position;
        Ok(())
    }

    /// Adds a series, which must be greater than all before, with its chunks in order of time.
    pub fn add_series(
        &mut self,
        labels: &[(u32, u32)],
        chunks: &[ChunkMeta],
    ) -> Result<(), WriteError> {
        if !self.symbols_written {
            self.write_symbols()?;
        }
        if labels <= &self.last_labels[..] && !self.remembered.all.is_empty() {
            let text: Vec<String> = labels
                .iter()
                .map(|(n, v)| format!("{}={:?}", self.symbol(*n), self.symbol(*v)))
                .collect();
            return Err(WriteError::SeriesOrder(format!("{{{}}}", text.join(", "))));
        }
        self.pad(SERIES_ALIGN)?;
        let series =
            u32::try_from(self.position / SERIES_ALIGN).map_err(|_| WriteError::TooLarge)?;
        let mut entry = std::mem::take(&mut self.entry);
        entry.clear();
        entry.put_uvarint(labels.len() as u64);
        for &(name, value) in labels {
            for number in [name, value] {
                if number as usize >= self.starts.len() {
                    return Err(WriteError::UnknownSymbol(number));
                }
                entry.put_uvarint(u64::from(number));
            }
            let pair = u64::from(value) << 32 | u64::from(series);
            self.remembered.by_name.entry(name).or_default().push(pair);
        }
        self.put_chunks(&mut entry, chunks)?;
        let mut len = Vec::new();
        len.put_uvarint(entry.len() as u64);
        self.put(&len)?;
        let sum = crc(&entry);
        entry.put_be32(sum);
        self.put(&entry)?;
        self.entry = entry;
        self.last_labels.clear();
        self.last_labels.extend_from_slice(labels);
        self.remembered.all.push(series);
        Ok(())
    }

    fn put_chunks(&mut self, entry: &mut Vec<u8>, chunks: &[ChunkMeta]) -> Result<(), WriteError> {
        entry.put_uvarint(chunks.len() as u64);
        let mut previous: Option<ChunkMeta> = None;
        for chunk in chunks {
            let next = chunk.chunk.0;
            if next < self.last_chunk {
                return Err(WriteError::ChunkOrder {
                    next,
                    previous: self.last_chunk,
                });
            }
            let late = previous.is_some_and(|p| chunk.min_time <= p.max_time);
            if late || chunk.max_time < chunk.min_time {
                return Err(WriteError::ChunkTimes {
                    min: chunk.min_time,
                    max: chunk.max_time,
                    previous: previous.map_or(i64::MIN, |p| p.max_time),
                });
            }
            let length = chunk.max_time.wrapping_sub(chunk.min_time) as u64;
            match previous {
                None => {
                    entry.put_varint(chunk.min_time);
                    entry.put_uvarint(length);
                    entry.put_uvarint(next);
                }
                Some(p) => {
                    entry.put_uvarint(chunk.min_time.wrapping_sub(p.max_time) as u64);
                    entry.put_uvarint(length);
                    entry.put_varint(next.wrapping_sub(p.chunk.0) as i64);
                }
            }
            self.last_chunk = next;
            previous = Some(*chunk);
        }
        Ok(())
    }

    fn put_postings(
        &mut self,
        series: impl ExactSizeIterator<Item = u32>,
    ) -> Result<(), WriteError> {
        let mut list = std::mem::take(&mut self.entry);
        list.clear();
        let n = series.len() as u64;
        list.put_be32(u32::try_from(4 + 4 * n).map_err(|_| WriteError::SectionTooLarge)?);
        list.put_be32(n as u32);
        series.for_each(|s| list.put_be32(s));
        list.put_crc_from(4);
        let written = self.put(&list);
        self.entry = list;
        written
    }

    /// Writes postings, tables and table of contents, and gives the sink back with the file's length.
    pub fn finish(mut self) -> Result<(W, u64), WriteError> {
        if !self.symbols_written {
            self.write_symbols()?;
        }
        self.toc.label_indices = self.position;
        self.toc.postings = self.position;
        self.pad(4)?;
        let mut table = Vec::new();
        table.put_be32(0);
        table.put_be32(0);
        let mut entries = 0u32;
        let remembered = std::mem::take(&mut self.remembered);
        let mut list = |this: &Self, name: Option<(u32, u32)>| {
            entries = entries.checked_add(1).ok_or(WriteError::SectionTooLarge)?;
            table.put_uvarint(2);
            match name {
                None => table.extend_from_slice(&[0, 0]),
                Some((name, value)) => {
                    for number in [name, value] {
                        table.extend_from_slice(this.symbol_bytes(number).unwrap_or_default());
                    }
                }
            }
            table.put_uvarint(this.position);
            Ok::<_, WriteError>(())
        };
        list(&self, None)?;
        self.put_postings(remembered.all.into_iter())?;
        for (name, mut pairs) in remembered.by_name {
            pairs.sort_unstable();
            for run in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
                // Lists are multiples of four bytes: the next is aligned as well.
                list(&self, Some((name, (run[0] >> 32) as u32)))?;
                self.put_postings(run.iter().map(|pair| *pair as u32))?;
            }
        }
        self.toc.label_indices_table = self.position;
        self.toc.postings_table = self.position;
        let len = u32::try_from(table.len() - 4).map_err(|_| WriteError::SectionTooLarge)?;
        table[..4].copy_from_slice(&len.to_be_bytes());
        table[4..8].copy_from_slice(&entries.to_be_bytes());
        table.put_crc_from(4);
        self.put(&table)?;
        drop(table);
        let mut toc = Vec::with_capacity(super::TOC);
        self.toc.fields().iter().for_each(|f| toc.put_be64(*f));
        toc.put_crc_from(0);
        self.put(&toc)?;
        Ok((self.out, self.position))
    }
}
