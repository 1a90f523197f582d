//! What a query read and held: the figures of `stats=all`, and the limits on them.

use std::cell::{Cell, RefCell};

use crate::error::{QueryError, Res};

/// Figures of one query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples looked at, a sample counted once for every step that looks at it.
    pub total_queryable_samples: u64,
    /// The same by step (unix ms); only where asked for.
    pub per_step: Vec<(i64, u64)>,
    /// Samples decoded.
    pub samples_read: u64,
    /// The most samples held at once.
    pub peak_samples: usize,
    /// The most bytes held at once, by the engine's own reckoning.
    pub peak_bytes: usize,
    /// Series selected.
    pub series: u64,
    /// Nanoseconds that sorting the answer took, by [`crate::Control::nanos`].
    pub sort_nanos: u64,
}

/// Counts samples and bytes a query holds.
#[derive(Debug)]
pub(crate) struct Budget {
    max_samples: usize,
    max_bytes: usize,
    samples: Cell<usize>,
    bytes: Cell<usize>,
    peak_samples: Cell<usize>,
    peak_bytes: Cell<usize>,
    pub queryable: Cell<u64>,
    pub read: Cell<u64>,
    pub series: Cell<u64>,
    pub sort_nanos: Cell<u64>,
    pub per_step: RefCell<Vec<u64>>,
}

impl Budget {
    pub fn new(max_samples: usize, max_bytes: usize) -> Budget {
        let or_all = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        Budget {
            max_samples: or_all(max_samples),
            max_bytes: or_all(max_bytes),
            samples: Cell::new(0),
            bytes: Cell::new(0),
            peak_samples: Cell::new(0),
            peak_bytes: Cell::new(0),
            queryable: Cell::new(0),
            read: Cell::new(0),
            series: Cell::new(0),
            sort_nanos: Cell::new(0),
            per_step: RefCell::new(Vec::new()),
        }
    }

    /// Counts what is about to be held.
    pub fn take(&self, samples: usize, bytes: usize) -> Res<()> {
        let held = self.samples.get().saturating_add(samples);
        let held_bytes = self.bytes.get().saturating_add(bytes);
        self.samples.set(held);
        self.bytes.set(held_bytes);
        self.peak_samples.set(self.peak_samples.get().max(held));
        self.peak_bytes.set(self.peak_bytes.get().max(held_bytes));
        if held > self.max_samples {
            return Err(QueryError::execution(
                "query processing would load too many samples into memory in query execution",
            ));
        }
        if held_bytes > self.max_bytes {
            return Err(QueryError::execution(format!(
                "query processing would hold more than {} bytes in memory in query execution",
                self.max_bytes
            )));
        }
        Ok(())
    }

    /// Takes back what was counted.
    pub fn give(&self, samples: usize, bytes: usize) {
        self.samples.set(self.samples.get().saturating_sub(samples));
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
    }

    pub fn stats(&self, time_of: impl Fn(usize) -> i64) -> QueryStats {
        QueryStats {
            total_queryable_samples: self.queryable.get(),
            per_step: self
                .per_step
                .borrow()
                .iter()
                .enumerate()
                .map(|(i, n)| (time_of(i), *n))
                .collect(),
            samples_read: self.read.get(),
            peak_samples: self.peak_samples.get(),
            peak_bytes: self.peak_bytes.get(),
            series: self.series.get(),
            sort_nanos: self.sort_nanos.get(),
        }
    }
}
