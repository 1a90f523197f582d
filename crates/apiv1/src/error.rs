//! Failures as the API tells them: a type for machines, a text for people, a status code.

use http::StatusCode;
use promql::{ErrorKind, QueryError};
use storage::StorageError;

/// Upstream's classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// The request is wrong.
    BadData,
    /// The query cannot be evaluated.
    Execution,
    /// It took too long.
    Timeout,
    /// The client went away.
    Canceled,
    /// Something here failed.
    Internal,
    /// Switched off, or not ready.
    Unavailable,
    /// There is no such thing.
    NotFound,
}

impl ErrorType {
    /// The word in the answer.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::BadData => "bad_data",
            ErrorType::Execution => "execution",
            ErrorType::Timeout => "timeout",
            ErrorType::Canceled => "canceled",
            ErrorType::Internal => "internal",
            ErrorType::Unavailable => "unavailable",
            ErrorType::NotFound => "not_found",
        }
    }

    /// The status code that goes with it.
    pub fn status(self) -> StatusCode {
        let code = match self {
            ErrorType::BadData => 400,
            ErrorType::Execution => 422,
            ErrorType::Timeout => 503,
            ErrorType::Canceled => 499,
            ErrorType::Internal | ErrorType::Unavailable => 500,
            ErrorType::NotFound => 404,
        };
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Its class.
    pub kind: ErrorType,
    /// What the user sees.
    pub message: String,
}

impl ApiError {
    /// The request is wrong.
    pub fn bad_data(message: impl Into<String>) -> ApiError {
        ApiError {
            kind: ErrorType::BadData,
            message: message.into(),
        }
    }

    /// A parameter is wrong.
    pub fn parameter(name: &str, cause: impl std::fmt::Display) -> ApiError {
        ApiError::bad_data(format!("invalid parameter {name:?}: {cause}"))
    }

    /// Something here failed.
    pub fn internal(message: impl Into<String>) -> ApiError {
        ApiError {
            kind: ErrorType::Internal,
            message: message.into(),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> ApiError {
        let kind = match error.kind {
            ErrorKind::BadData => ErrorType::BadData,
            ErrorKind::Execution => ErrorType::Execution,
            ErrorKind::Timeout => ErrorType::Timeout,
            ErrorKind::Canceled => ErrorType::Canceled,
            ErrorKind::Internal => ErrorType::Internal,
        };
        ApiError {
            kind,
            message: error.message,
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> ApiError {
        let kind = match error {
            StorageError::Canceled => ErrorType::Canceled,
            StorageError::NotReady => ErrorType::Unavailable,
            StorageError::Limit(_) => ErrorType::Execution,
            StorageError::Corrupt(_) | StorageError::Io(_) | StorageError::Other(_) => {
                ErrorType::Internal
            }
        };
        ApiError {
            kind,
            message: error.to_string(),
        }
    }
}
