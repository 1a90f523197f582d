//! The index of a block: symbols, series with their chunks, postings by label.
//!
//! Versions 1 to 3 are read ([`IndexReader`]), version 2 is written ([`IndexWriter`]). The reader works on the mapped
//! file and keeps only samples of the tables in memory; the writer streams series and holds what depends on labels.

use crate::fields::{BadField, Fields, crc};

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{IndexReader, Postings, SeriesEntry, SymbolCache};
pub use writer::{IndexWriter, WriteError};

/// The file's first bytes.
pub const MAGIC: u32 = 0xBAAA_D700;
/// Header: magic number and version.
const HEADER: usize = 5;
/// Table of contents: six offsets and a checksum.
const TOC: usize = 6 * 8 + 4;
/// Alignment of series entries; references count in these.
const SERIES_ALIGN: u64 = 16;
/// Series references are 32 bits of 16-byte steps.
const INDEX_BYTES_MAX: u64 = 64 << 30;

/// What is wrong with an index; offsets are from the start of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Not an index.
    #[error("invalid magic number {0:x}")]
    Magic(u32),
    /// A version nobody knows.
    #[error("unknown index file version {0}")]
    Version(u8),
    /// Fields that do not fit together.
    #[error("{section} at {offset}: invalid size")]
    Size {
        /// What was being read.
        section: &'static str,
        /// Where.
        offset: u64,
    },
    /// Bits changed.
    #[error("{section} at {offset}: invalid checksum")]
    Checksum {
        /// What was being read.
        section: &'static str,
        /// Where.
        offset: u64,
    },
    /// A symbol that the table does not have.
    #[error("unknown symbol offset {0}")]
    Symbol(u32),
}

/// One chunk of a series, as the index lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of its first sample.
    pub min_time: i64,
    /// Time of its last sample.
    pub max_time: i64,
    /// Where it is.
    pub chunk: crate::segment::ChunkRef,
}

/// Offsets of the sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Toc {
    pub(crate) symbols: u64,
    pub(crate) series: u64,
    pub(crate) label_indices: u64,
    pub(crate) label_indices_table: u64,
    pub(crate) postings: u64,
    pub(crate) postings_table: u64,
}

impl Toc {
    fn fields(self) -> [u64; 6] {
        [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_indices_table,
            self.postings,
            self.postings_table,
        ]
    }

    fn from_file(file: &[u8]) -> Result<Toc, IndexError> {
        let size = IndexError::Size {
            section: "TOC",
            offset: 0,
        };
        let start = file.len().checked_sub(TOC).ok_or(size)?;
        let offset = start as u64;
        let (body, sum) = file[start..].split_at(TOC - 4);
        if crc(body).to_be_bytes() != sum {
            return Err(IndexError::Checksum {
                section: "TOC",
                offset,
            });
        }
        let mut f = Fields::new(body);
        let mut read = || -> Result<Toc, BadField> {
            Ok(Toc {
                symbols: f.be64()?,
                series: f.be64()?,
                label_indices: f.be64()?,
                label_indices_table: f.be64()?,
                postings: f.be64()?,
                postings_table: f.be64()?,
            })
        };
        read().map_err(|_| IndexError::Size {
            section: "TOC",
            offset,
        })
    }
}
