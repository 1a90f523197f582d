//! Why a query gave no answer.

use promql_syntax::ParseError;
use thiserror::Error;

/// A failed query. The text is what the user sees, the kind decides the status code.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}")]
pub struct QueryError {
    /// What went wrong, for machines.
    pub kind: ErrorKind,
    /// What went wrong, in upstream's words.
    pub message: String,
}

/// Classes of failures, as the HTTP API names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The query itself is wrong (400).
    BadData,
    /// It cannot be evaluated over this data (422).
    Execution,
    /// It took too long (503).
    Timeout,
    /// The client went away or the server is stopping (499).
    Canceled,
    /// Storage failed (500).
    Internal,
}

impl QueryError {
    pub(crate) fn execution(message: impl Into<String>) -> QueryError {
        QueryError {
            kind: ErrorKind::Execution,
            message: message.into(),
        }
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> QueryError {
        QueryError {
            kind: ErrorKind::BadData,
            message: message.into(),
        }
    }

    pub(crate) fn duplicate_labels() -> QueryError {
        QueryError::execution("vector cannot contain metrics with the same labelset")
    }

    pub(crate) fn storage(e: &storage::StorageError) -> QueryError {
        match e {
            storage::StorageError::Canceled => QueryError {
                kind: ErrorKind::Canceled,
                message: "query was canceled in query execution".to_string(),
            },
            e => QueryError {
                kind: ErrorKind::Internal,
                message: format!("expanding series: {e}"),
            },
        }
    }

    pub(crate) fn damaged(e: &ondisk::chunk::ChunkError) -> QueryError {
        QueryError {
            kind: ErrorKind::Internal,
            message: format!("expanding series: {e}"),
        }
    }
}

impl From<ParseError> for QueryError {
    fn from(e: ParseError) -> QueryError {
        QueryError::bad_data(e.to_string())
    }
}

/// The result of everything inside the engine.
pub(crate) type Res<T> = Result<T, QueryError>;
