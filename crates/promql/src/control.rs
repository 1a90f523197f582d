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

/// Lends threads to a query, if there are idle ones.
pub trait Executor: Sync {
    /// Runs `own` on the caller's thread, and `job` at the same time on as many others as are idle, perhaps none; returns
    /// when all have ended.
    fn alongside(&self, job: &(dyn Fn() + Sync), own: &mut dyn FnMut());

    /// How many samples of a selector one thread evaluates before help is asked for; less is done before others have
    /// woken up.
    fn alone(&self) -> u64 {
        100_000
    }
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
