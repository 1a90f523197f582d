//! How whoever started a query stops it.

use crate::error::{ErrorKind, QueryError};

/// Why a query has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its deadline has passed.
    TimedOut,
    /// Nobody waits for the answer any more.
    Canceled,
}

/// Asked every few thousand samples whether to go on. Implementations read a clock or a flag; the engine has neither.
pub trait Control: Send + Sync {
    /// `Some` ends the query.
    fn stop(&self) -> Option<Stop>;

    /// Runs parts of a query at the same time; without one everything runs on the caller's thread.
    fn executor(&self) -> Option<&dyn Executor> {
        None
    }

    /// Nanoseconds since any fixed moment; what [`crate::Engine::explain_with`] takes operators' times from.
    fn nanos(&self) -> u64 {
        0
    }
}

/// Runs jobs, on several threads if it has them.
pub trait Executor: Sync {
    /// Calls `job` once with every number below `n`, in any order, and returns when all are done.
    fn for_each(&self, n: usize, job: &(dyn Fn(usize) + Sync));
}

/// Never stops a query.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunToEnd;

impl Control for RunToEnd {
    fn stop(&self) -> Option<Stop> {
        None
    }
}

impl From<Stop> for QueryError {
    fn from(stop: Stop) -> QueryError {
        match stop {
            Stop::TimedOut => QueryError {
                kind: ErrorKind::Timeout,
                message: "query timed out in expression evaluation".to_string(),
            },
            Stop::Canceled => QueryError {
                kind: ErrorKind::Canceled,
                message: "query was canceled in expression evaluation".to_string(),
            },
        }
    }
}
