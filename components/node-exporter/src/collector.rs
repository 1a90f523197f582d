//! What a collector is, and how one can come back without data.

use crate::sink::Sink;

/// Why a collector has nothing, or not everything, to show.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// This machine does not have the thing: counts as "no success", is not worth a log line.
    #[error("collector returned no data")]
    NoData,
    /// Something that should work did not.
    #[error("{0}")]
    Failed(String),
}

impl CollectError {
    /// A failure with a text.
    pub fn failed(text: impl Into<String>) -> CollectError {
        CollectError::Failed(text.into())
    }
}

/// A source of metrics. Made once, asked at every scrape; asked by several scrapes at once.
pub trait Collector: Send + Sync {
    /// Adds what there is to see now. What was added before an error stays.
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError>;
}

impl<F> Collector for F
where
    F: Fn(&mut Sink) -> Result<(), CollectError> + Send + Sync,
{
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        self(sink)
    }
}
