//! Samples that go out in one request.

use std::sync::Arc;

use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata};
use parking_lot::Mutex;
use wire::remote_write::{Outgoing, RequestV2, put_v1};

use crate::position::Position;

/// A series that a queue sends, after external labels and relabelling.
#[derive(Debug)]
pub struct Known {
    /// Its labels.
    pub labels: Labels,
    /// The labels as a 1.0 request has them; empty in 2.0.
    pub encoded: Box<[u8]>,
    /// What the log says about its family; 2.0 sends it along.
    pub metadata: Mutex<Option<Arc<Metadata>>>,
}

/// A value of a series.
#[derive(Clone, Debug)]
pub enum Payload {
    /// A float sample.
    Float(f64),
    /// A histogram with whole-number counts.
    Integer(Box<Histogram>),
    /// A histogram with float counts.
    FloatHistogram(Box<FloatHistogram>),
    /// An exemplar.
    Exemplar(Box<Exemplar>),
}

impl Payload {
    fn outgoing(&self) -> Outgoing<'_> {
        match self {
            Payload::Float(v) => Outgoing::Float(*v),
            Payload::Integer(h) => Outgoing::Integer(h),
            Payload::FloatHistogram(h) => Outgoing::FloatHistogram(h),
            Payload::Exemplar(e) => Outgoing::Exemplar(e),
        }
    }
}

/// A value on its way.
#[derive(Clone, Debug)]
pub struct Item {
    /// Of which series.
    pub series: Arc<Known>,
    /// Unix milliseconds.
    pub t: i64,
    /// Unix milliseconds at which counting began; 0 when unknown.
    pub start: i64,
    /// The value.
    pub payload: Payload,
}

/// Numbers of items by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Float samples.
    pub samples: u64,
    /// Histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

impl Counts {
    /// Of these items.
    pub fn of<'a>(items: impl IntoIterator<Item = &'a Item>) -> Counts {
        let mut counts = Counts::default();
        for item in items {
            match item.payload {
                Payload::Float(_) => counts.samples += 1,
                Payload::Integer(_) | Payload::FloatHistogram(_) => counts.histograms += 1,
                Payload::Exemplar(_) => counts.exemplars += 1,
            }
        }
        counts
    }
}

/// An item as the log has it.
#[derive(Debug)]
pub struct Read {
    /// The series' number in the log.
    pub reference: u64,
    /// What goes out.
    pub item: Item,
    /// Where its record begins.
    pub at: Position,
    /// Whether an earlier process may have sent it already.
    pub again: bool,
}

/// Items that go out together.
#[derive(Debug)]
pub struct Batch {
    /// In order of the log.
    pub items: Vec<Item>,
    /// Where in the log the first of them stands.
    pub first: Position,
    /// Whether an earlier process may have sent some of them already.
    pub again: bool,
}

/// Writes items as a 1.0 request.
pub fn encode_v1(items: &[Item], out: &mut Vec<u8>) {
    out.clear();
    for item in items {
        put_v1(out, &item.series.encoded, item.t, item.payload.outgoing());
    }
}

/// Writes items as a 2.0 request.
pub fn encode_v2(items: &[Item], request: &mut RequestV2, out: &mut Vec<u8>) {
    out.clear();
    request.clear();
    for item in items {
        let metadata = item.series.metadata.lock().clone();
        request.push(
            &item.series.labels,
            item.t,
            item.start,
            item.payload.outgoing(),
            metadata.as_deref(),
        );
    }
    request.finish(out);
}
