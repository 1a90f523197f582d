//! Selecting: matchers and a time range in, sorted series of compressed chunks out.

use bytes::Bytes;
use model::{Labels, Matcher};
use ondisk::chunk::Encoding;
use thiserror::Error;

/// Both ends inclusive, unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// The first instant.
    pub min: i64,
    /// The last instant.
    pub max: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange {
        min: i64::MIN,
        max: i64::MAX,
    };

    /// Whether the two share an instant.
    pub fn overlaps(self, other: TimeRange) -> bool {
        self.min <= other.max && other.min <= self.max
    }

    /// Whether `t` lies within.
    pub fn contains(self, t: i64) -> bool {
        self.min <= t && t <= self.max
    }
}

/// Why a read failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StorageError {
    /// Bytes on disk are not what they should be.
    #[error("{0}")]
    Corrupt(String),
    /// The disk or network failed.
    #[error("{0}")]
    Io(String),
    /// A limit was hit; the text names it.
    #[error("{0}")]
    Limit(String),
    /// The reader went away.
    #[error("context canceled")]
    Canceled,
    /// Not ready to answer (still replaying its log).
    #[error("TSDB not ready")]
    NotReady,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// What a reader is going to do with a selection; storage may use it, need not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SelectHints {
    /// First instant needed, unix milliseconds.
    pub start: i64,
    /// Last instant needed.
    pub end: i64,
    /// Step in milliseconds, 0 for instant queries.
    pub step: i64,
    /// Range of a range selector in milliseconds, 0 for none.
    pub range: i64,
    /// The function or aggregation around the selector. `"series"` asks for labels only, without chunks.
    pub func: Option<String>,
    /// Labels of the aggregation around it.
    pub grouping: Vec<String>,
    /// Whether `grouping` is `by` (else `without`).
    pub by: bool,
    /// At most so many series, 0 for all.
    pub limit: usize,
}

/// A piece of a series: compressed samples with their time range.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Time of the first sample.
    pub min_time: i64,
    /// Time of the last sample.
    pub max_time: i64,
    /// How `data` is compressed.
    pub encoding: Encoding,
    /// The chunk's bytes, from the sample count on (no length, no encoding byte, no checksum).
    pub data: Bytes,
}

/// A series with the chunks that touch the selected range.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Ordered by `min_time`; they may overlap and hold samples outside of the range.
    pub chunks: Vec<Chunk>,
}

/// What a selection has taken from one place: the head, a block, another server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceRead {
    /// Which place it is: `head`, or `block` with its ULID.
    pub name: String,
    /// The first instant it holds, unix milliseconds.
    pub min_time: i64,
    /// The last instant it holds.
    pub max_time: i64,
    /// Series taken from it.
    pub series: u64,
    /// Chunks of these.
    pub chunks: u64,
    /// Compressed bytes of these.
    pub bytes: u64,
}

/// Series sorted by labels, each label set once.
pub trait SeriesSet: Send {
    /// The next series. After an error there are no more.
    fn next(&mut self) -> Option<Result<Series, StorageError>>;

    /// What the user should know although the answer stands; complete after the last series.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Where the series came from that were given so far; empty from storages that do not tell.
    fn sources(&self) -> Vec<SourceRead> {
        Vec::new()
    }
}

/// A series set over series already at hand.
pub struct ReadySeries(std::vec::IntoIter<Series>);

impl ReadySeries {
    /// `series` must be sorted by labels.
    pub fn new(series: Vec<Series>) -> ReadySeries {
        ReadySeries(series.into_iter())
    }
}

impl SeriesSet for ReadySeries {
    fn next(&mut self) -> Option<Result<Series, StorageError>> {
        self.0.next().map(Ok)
    }
}

/// An answer with warnings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// What the user should know although the answer stands.
    pub warnings: Vec<String>,
}

/// Something that can be read.
pub trait Queryable: Send + Sync {
    /// A consistent view of `range`.
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, StorageError>;

    /// How many series of `range` may fulfil all matchers, at most; cheap to tell, or `None`. A series that lies in several
    /// places may count in each.
    fn at_most(&self, range: TimeRange, matchers: &[Matcher]) -> Option<u64> {
        let _ = (range, matchers);
        None
    }
}

/// A consistent view of a time range.
pub trait Querier: Send + Sync {
    /// Series that fulfil all matchers.
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError>;

    /// Sorted label names of the series that fulfil all matchers (of all series without one); at most `limit`, 0 for all.
    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError>;

    /// Sorted values of a label among the series that fulfil all matchers; at most `limit`, 0 for all.
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError>;
}
