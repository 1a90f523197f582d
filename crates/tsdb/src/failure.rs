//! Why the engine could not do something.

use std::io;
use std::path::{Path, PathBuf};

use storage::StorageError;

/// What went wrong, with where.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The disk said no.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error("lock DB directory: {0}")]
    Locked(String),
    /// Bytes on disk are not what they should be.
    #[error("{} at {offset}: {cause}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        cause: String,
    },
    /// Blocks that do not open, although no other replaces them.
    #[error("corrupted block {0}: {1}")]
    Blocks(String, String),
    /// Numbers of files in a folder that have gaps.
    #[error("{0}")]
    Sequence(&'static str),
    /// An index that could not be written.
    #[error("{0}")]
    Index(#[from] ondisk::index::WriteError),
    /// Chunk bytes that do not decode.
    #[error("decode chunk: {0}")]
    Chunk(#[from] ondisk::chunk::ChunkError),
    /// An option that cannot be.
    #[error("{0}")]
    Options(String),
    /// The database is closed.
    #[error("database is closed")]
    Closed,
}

impl DbError {
    /// A disk error.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DbError {
        let path = path.to_owned();
        move |source| DbError::Io {
            doing,
            path,
            source,
        }
    }

    /// A decoding error.
    pub(crate) fn corrupt(path: &Path, offset: u64, cause: impl ToString) -> DbError {
        DbError::Corrupt {
            path: path.to_owned(),
            offset,
            cause: cause.to_string(),
        }
    }
}

impl From<DbError> for StorageError {
    fn from(err: DbError) -> StorageError {
        match err {
            DbError::Corrupt { .. } | DbError::Chunk(_) | DbError::Blocks(..) => {
                StorageError::Corrupt(err.to_string())
            }
            other => StorageError::Io(other.to_string()),
        }
    }
}
