//! Chunks: a run of one series' samples, compressed; the encodings upstream knows, bit for bit.
//!
//! [`ChunkIter`] reads any of them; [`decode_floats_into`] is the short way for floats. Appenders keep their state
//! beside bytes that belong to the caller.

use bytes::Bytes;
use model::{FloatHistogram, Histogram};

use crate::bits::EndOfBits;

mod float_histogram;
mod histogram;
mod layout;
mod start;
#[cfg(test)]
mod tests;
mod varbit;
mod xor;
mod xor2;

pub use float_histogram::{FloatHistogramAppender, FloatHistogramIter};
pub use histogram::{HistogramAppender, HistogramIter, Plan};
pub use layout::ResetHeader;
pub use xor::{MAX_SAMPLES, XorAppender, XorIter};
pub use xor2::Xor2Iter;

/// Beyond this length a float chunk takes no further sample: 1024 bytes less the longest possible sample.
pub const FLOAT_CHUNK_BYTES_MAX: usize = 1005;
/// The size histogram chunks aim at.
pub const HISTOGRAM_CHUNK_BYTES_TARGET: usize = 1024;
/// Bit 7 of an encoding byte in head chunk files: the chunk holds out-of-order samples.
pub const OUT_OF_ORDER_BIT: u8 = 0x80;

/// What went wrong while decoding or appending to a chunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes end before the samples do.
    #[error("chunk ends early")]
    Truncated,
    /// No encoding has this number.
    #[error("unknown chunk encoding {0}")]
    UnknownEncoding(u8),
    /// A histogram schema nobody knows.
    #[error("unknown histogram schema {0}")]
    Schema(i64),
    /// A count or length that cannot be.
    #[error("malformed chunk: {0}")]
    Malformed(&'static str),
    /// The chunk holds as many samples as its header can count.
    #[error("chunk is full")]
    Full,
}

impl From<EndOfBits> for ChunkError {
    fn from(_: EndOfBits) -> ChunkError {
        ChunkError::Truncated
    }
}

/// How a chunk is encoded; the discriminants are the bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Encoding {
    /// Not valid on disk.
    None = 0,
    /// Floats.
    Xor = 1,
    /// Integer histograms.
    Histogram = 2,
    /// Float histograms.
    FloatHistogram = 3,
    /// Floats, second layout, with optional start timestamps.
    Xor2 = 4,
    /// Integer histograms with start timestamps.
    HistogramSt = 5,
    /// Float histograms with start timestamps.
    FloatHistogramSt = 6,
}

impl Encoding {
    /// The encoding with this byte; `None` (0) is none of them.
    pub fn from_byte(byte: u8) -> Result<Encoding, ChunkError> {
        Ok(match byte {
            1 => Encoding::Xor,
            2 => Encoding::Histogram,
            3 => Encoding::FloatHistogram,
            4 => Encoding::Xor2,
            5 => Encoding::HistogramSt,
            6 => Encoding::FloatHistogramSt,
            other => return Err(ChunkError::UnknownEncoding(other)),
        })
    }

    /// The byte on disk.
    pub fn to_byte(self) -> u8 {
        self as u8
    }

    /// What the samples are.
    pub fn kind(self) -> Option<ValueKind> {
        match self {
            Encoding::None => None,
            Encoding::Xor | Encoding::Xor2 => Some(ValueKind::Float),
            Encoding::Histogram | Encoding::HistogramSt => Some(ValueKind::Histogram),
            Encoding::FloatHistogram | Encoding::FloatHistogramSt => {
                Some(ValueKind::FloatHistogram)
            }
        }
    }

    /// Upstream's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::None => "none",
            Encoding::Xor => "XOR",
            Encoding::Histogram => "histogram",
            Encoding::FloatHistogram => "floathistogram",
            Encoding::Xor2 => "XOR2",
            Encoding::HistogramSt => "histogramST",
            Encoding::FloatHistogramSt => "floathistogramST",
        }
    }
}

/// What a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// A float.
    Float,
    /// A histogram with whole-number counts.
    Histogram,
    /// A histogram with float counts.
    FloatHistogram,
}

/// Samples in a chunk, by its header; right for every encoding but 5 and 6, whose two top bits mean something else.
pub(crate) fn sample_count(buf: &[u8]) -> u16 {
    match buf {
        [a, b, ..] => u16::from_be_bytes([*a, *b]),
        _ => 0,
    }
}

/// Samples in a chunk, by its header.
pub fn count(encoding: Encoding, data: &[u8]) -> u16 {
    match encoding {
        Encoding::HistogramSt | Encoding::FloatHistogramSt => sample_count(data) & 0x3fff,
        _ => sample_count(data),
    }
}

fn set_sample_count(buf: &mut [u8], n: u16) {
    if let [a, b, ..] = buf {
        [*a, *b] = n.to_be_bytes();
    }
}

/// A copy of the chunk that ends after its first `n` samples: decoders go by the count in the header.
pub fn first_samples(encoding: Encoding, data: &[u8], n: u16) -> Bytes {
    let mut copy = data.to_vec();
    if n < count(encoding, data)
        && let [a, b, ..] = &mut copy[..]
    {
        let kept = match encoding {
            Encoding::HistogramSt | Encoding::FloatHistogramSt => *a & 0xc0,
            _ => 0,
        };
        [*a, *b] = n.to_be_bytes();
        *a |= kept;
    }
    copy.into()
}

/// Appends the samples of a float chunk from `first` to `last`, both inclusive, to two columns.
///
/// On damage the samples before it are in the columns. Chunks of histograms are refused.
pub fn decode_floats_between(
    encoding: Encoding,
    data: &[u8],
    (first, last): (i64, i64),
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    match encoding {
        Encoding::Xor => xor::decode_between(data, first, last, times, values),
        Encoding::Xor2 => {
            let mut iter = Xor2Iter::new(data)?;
            while iter.next()? {
                let (t, v) = iter.at();
                if t > last {
                    break;
                }
                if t >= first {
                    times.push(t);
                    values.push(v);
                }
            }
            Ok(())
        }
        other => Err(ChunkError::UnknownEncoding(other.to_byte())),
    }
}

/// Appends all samples of a float chunk to two columns; see [`decode_floats_between`].
pub fn decode_floats_into(
    encoding: Encoding,
    data: &[u8],
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    decode_floats_between(encoding, data, (i64::MIN, i64::MAX), times, values)
}

/// Reads a chunk of any encoding sample by sample.
#[derive(Debug, Clone)]
pub struct ChunkIter<D = Bytes>(Inner<D>);

#[derive(Debug, Clone)]
enum Inner<D> {
    Xor(XorIter<D>),
    Xor2(Xor2Iter<D>),
    Histogram(Box<HistogramIter<D>>),
    FloatHistogram(Box<FloatHistogramIter<D>>),
}

impl<D: AsRef<[u8]>> ChunkIter<D> {
    /// Reads the header. `data` is the chunk alone, without its encoding byte.
    pub fn new(encoding: Encoding, data: D) -> Result<ChunkIter<D>, ChunkError> {
        Ok(ChunkIter(match encoding {
            Encoding::Xor => Inner::Xor(XorIter::new(data)?),
            Encoding::Xor2 => Inner::Xor2(Xor2Iter::new(data)?),
            Encoding::Histogram => Inner::Histogram(Box::new(HistogramIter::new(data)?)),
            Encoding::HistogramSt => {
                Inner::Histogram(Box::new(HistogramIter::with_start_times(data)?))
            }
            Encoding::FloatHistogram => {
                Inner::FloatHistogram(Box::new(FloatHistogramIter::new(data)?))
            }
            Encoding::FloatHistogramSt => {
                Inner::FloatHistogram(Box::new(FloatHistogramIter::with_start_times(data)?))
            }
            Encoding::None => return Err(ChunkError::UnknownEncoding(0)),
        }))
    }

    /// Steps to the next sample and says what it is; `None` after the last.
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<ValueKind>, ChunkError> {
        Ok(match &mut self.0 {
            Inner::Xor(i) => i.next()?.then_some(ValueKind::Float),
            Inner::Xor2(i) => i.next()?.then_some(ValueKind::Float),
            Inner::Histogram(i) => i.next()?.then_some(ValueKind::Histogram),
            Inner::FloatHistogram(i) => i.next()?.then_some(ValueKind::FloatHistogram),
        })
    }

    /// What the samples are.
    pub fn kind(&self) -> ValueKind {
        match &self.0 {
            Inner::Xor(_) | Inner::Xor2(_) => ValueKind::Float,
            Inner::Histogram(_) => ValueKind::Histogram,
            Inner::FloatHistogram(_) => ValueKind::FloatHistogram,
        }
    }

    /// Samples in the chunk, by its header.
    pub fn len(&self) -> u16 {
        match &self.0 {
            Inner::Xor(i) => i.len(),
            Inner::Xor2(i) => i.len(),
            Inner::Histogram(i) => i.len(),
            Inner::FloatHistogram(i) => i.len(),
        }
    }

    /// Whether the header counts no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The current sample's time, unix milliseconds.
    #[inline]
    pub fn time(&self) -> i64 {
        match &self.0 {
            Inner::Xor(i) => i.at().0,
            Inner::Xor2(i) => i.at().0,
            Inner::Histogram(i) => i.time(),
            Inner::FloatHistogram(i) => i.time(),
        }
    }

    /// The current sample's time and value; of a histogram, the sum.
    #[inline]
    pub fn at_float(&self) -> (i64, f64) {
        match &self.0 {
            Inner::Xor(i) => i.at(),
            Inner::Xor2(i) => i.at(),
            Inner::Histogram(i) => (i.time(), i.sum()),
            Inner::FloatHistogram(i) => (i.time(), i.sum()),
        }
    }

    /// The current sample's time and integer histogram; an empty one in other chunks.
    pub fn at_histogram(&self) -> (i64, Histogram) {
        match &self.0 {
            Inner::Histogram(i) => (i.time(), i.histogram()),
            _ => (self.time(), Histogram::default()),
        }
    }

    /// The current sample's time and histogram with float counts; an empty one in float chunks.
    pub fn at_float_histogram(&self) -> (i64, FloatHistogram) {
        match &self.0 {
            Inner::Histogram(i) => (i.time(), i.float_histogram()),
            Inner::FloatHistogram(i) => (i.time(), i.float_histogram()),
            _ => (self.time(), FloatHistogram::default()),
        }
    }

    /// The start timestamp of the current sample; 0 when unknown.
    pub fn start_time(&self) -> i64 {
        match &self.0 {
            Inner::Xor(_) => 0,
            Inner::Xor2(i) => i.start_time(),
            Inner::Histogram(i) => i.start_time(),
            Inner::FloatHistogram(i) => i.start_time(),
        }
    }
}
