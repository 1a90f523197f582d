//! Stopping queries: at their deadline, and when nobody waits for them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use env::Clock;
use promql::{Control, Executor, Stop};

use crate::threads::QueryThreads;

/// Stops a query at a deadline or when told.
#[derive(Clone)]
pub struct Deadline {
    clock: Arc<dyn Clock>,
    at: Duration,
    canceled: Arc<AtomicBool>,
    threads: Option<Arc<QueryThreads>>,
}

impl Deadline {
    /// From now on for `timeout`.
    pub fn after(clock: Arc<dyn Clock>, timeout: Duration) -> Deadline {
        let at = clock.monotonic().saturating_add(timeout);
        Deadline {
            clock,
            at,
            canceled: Arc::default(),
            threads: None,
        }
    }

    /// Lets the query use idle processors.
    pub fn with_threads(mut self, threads: Arc<QueryThreads>) -> Deadline {
        self.threads = Some(threads);
        self
    }

    /// Cancels when dropped: held by the request, so that a client that goes away ends its query.
    pub fn guard(&self) -> CancelOnDrop {
        CancelOnDrop(self.canceled.clone())
    }
}

impl Control for Deadline {
    fn stop(&self) -> Option<Stop> {
        if self.canceled.load(Ordering::Relaxed) {
            Some(Stop::Canceled)
        } else if self.clock.monotonic() >= self.at {
            Some(Stop::TimedOut)
        } else {
            None
        }
    }

    fn executor(&self) -> Option<&dyn Executor> {
        let threads = self.threads.as_deref();
        threads.map(|threads| threads as &dyn Executor)
    }

    fn nanos(&self) -> u64 {
        self.clock.monotonic().as_nanos() as u64
    }
}

/// See [`Deadline::guard`].
pub struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::sim::SimClock;

    #[test]
    fn both_reasons() {
        let clock = SimClock::starting_at(0);
        let deadline = Deadline::after(Arc::new(clock.clone()), Duration::from_secs(1));
        assert_eq!(deadline.stop(), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(deadline.stop(), Some(Stop::TimedOut));
        drop(deadline.guard());
        assert_eq!(deadline.stop(), Some(Stop::Canceled));
    }
}
