//! The storage contract: what can be appended to and selected from, and in which shape.
//!
//! A series comes as labels and **compressed chunks**; the local head, a block, a bucket block and a remote store all
//! answer with the same shape, and readers decode late ([`samples`]). The crate knows nothing of files or networks.

pub mod append;
pub mod memory;
pub mod merged;
pub mod samples;
pub mod select;

pub use append::{AppendError, Appendable, Appender, HistogramSample, SeriesRef};
pub use samples::{Samples, Value};
pub use select::{
    Answer, Chunk, Querier, Queryable, ReadySeries, SelectHints, Series, SeriesSet, SourceRead,
    StorageError, TimeRange,
};
