//! Threads for large queries: as many as there are processors without a query of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use promql::Executor;

/// Counts threads that evaluate queries, and lends idle processors to queries that can use them.
#[derive(Debug)]
pub struct QueryThreads {
    processors: usize,
    busy: AtomicUsize,
}

impl QueryThreads {
    /// For as many processors.
    pub fn new(processors: usize) -> Arc<QueryThreads> {
        Arc::new(QueryThreads {
            processors,
            busy: AtomicUsize::new(0),
        })
    }

    /// For the processors this process may use.
    pub fn of_this_machine() -> Arc<QueryThreads> {
        QueryThreads::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Counts the caller's thread while the guard lives.
    pub fn enter(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }

    /// A processor that no query uses.
    fn idle(&self) -> Option<Busy<'_>> {
        let taken = self
            .busy
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |busy| {
                (busy < self.processors).then_some(busy + 1)
            });
        taken.ok().map(|_| Busy(self))
    }
}

/// See [`QueryThreads::enter`].
pub struct Busy<'a>(&'a QueryThreads);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Executor for QueryThreads {
    fn alongside(&self, job: &(dyn Fn() + Sync), own: &mut dyn FnMut()) {
        std::thread::scope(|scope| {
            while let Some(busy) = self.idle() {
                let work = move || {
                    let _busy = busy;
                    job();
                };
                // Without another thread the caller's does it all.
                let named = std::thread::Builder::new().name("query".into());
                if named.spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            own();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_idle_processors_are_lent() {
        for (processors, queries, threads) in
            [(1, 1, 1), (2, 1, 2), (2, 2, 1), (4, 2, 3), (2, 9, 1)]
        {
            let all = QueryThreads::new(processors);
            let entered: Vec<Busy<'_>> = (0..queries).map(|_| all.enter()).collect();
            let (jobs, together) = (AtomicUsize::new(0), std::sync::Barrier::new(threads));
            let job = || {
                jobs.fetch_add(1, Ordering::Relaxed);
                together.wait();
            };
            all.alongside(&job, &mut || job());
            assert_eq!(jobs.into_inner(), threads, "{processors} for {queries}");
            drop(entered);
            assert_eq!(all.busy.load(Ordering::Relaxed), 0);
        }
    }
}
