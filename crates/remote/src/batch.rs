//! What is read from the log to be sent, and the requests it is packed into.

use bytes::Bytes;
use model::{Exemplar, FloatHistogram, Histogram};
use wire::fields::Broken;
use wire::remote_write::{Kind, Outgoing, Version, retain};

use crate::position::Position;

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
    /// As it is written into a request.
    pub fn outgoing(&self) -> Outgoing<'_> {
        match self {
            Payload::Float(v) => Outgoing::Float(*v),
            Payload::Integer(h) => Outgoing::Integer(h),
            Payload::FloatHistogram(h) => Outgoing::FloatHistogram(h),
            Payload::Exemplar(e) => Outgoing::Exemplar(e),
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Payload::Float(_) => Kind::Sample,
            Payload::Integer(_) | Payload::FloatHistogram(_) => Kind::Histogram,
            Payload::Exemplar(_) => Kind::Exemplar,
        }
    }
}

/// An item as the log has it.
#[derive(Debug)]
pub struct Read {
    /// The series' number in the log.
    pub reference: u64,
    /// Which of the known series it is.
    pub series: u32,
    /// Unix milliseconds.
    pub t: i64,
    /// Unix milliseconds at which counting began; 0 when unknown.
    pub start: i64,
    /// The value.
    pub payload: Payload,
    /// Where its record begins.
    pub at: Position,
    /// Whether an earlier process may have sent it already.
    pub again: bool,
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
    /// One more of a kind.
    pub fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Sample => self.samples += 1,
            Kind::Histogram => self.histograms += 1,
            Kind::Exemplar => self.exemplars += 1,
        }
    }

    /// Of all kinds.
    pub fn all(self) -> u64 {
        self.samples + self.histograms + self.exemplars
    }
}

/// What a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents {
    /// How many items.
    pub counts: Counts,
    /// Unix milliseconds of the oldest.
    pub oldest: i64,
    /// Unix milliseconds of the newest.
    pub newest: i64,
}

impl Default for Contents {
    fn default() -> Contents {
        Contents {
            counts: Counts::default(),
            oldest: i64::MAX,
            newest: i64::MIN,
        }
    }
}

impl Contents {
    /// Takes one more in.
    pub fn see(&mut self, kind: Kind, t: i64) {
        self.counts.count(kind);
        self.oldest = self.oldest.min(t);
        self.newest = self.newest.max(t);
    }
}

/// A request as it travels.
#[derive(Clone, Debug)]
pub struct Request {
    /// The message, compressed.
    pub body: Bytes,
    /// What is in it.
    pub contents: Contents,
}

/// Why a request could not be taken apart; only a fault of this program makes one.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Snappy.
    #[error(transparent)]
    Snappy(#[from] snap::Error),
    /// The message.
    #[error("a request made here cannot be read: {}", .0.0)]
    Message(Broken),
}

impl Request {
    /// The items that `keep` wants, by kind and time, as a request of their own.
    fn only(
        &self,
        version: Version,
        mut keep: impl FnMut(Kind, i64) -> bool,
    ) -> Result<Request, Unreadable> {
        let message = snap::raw::Decoder::new().decompress_vec(&self.body)?;
        let mut contents = Contents::default();
        let wanted = |kind, t| {
            let kept = keep(kind, t);
            if kept {
                contents.see(kind, t);
            }
            kept
        };
        let message = retain(&message, version, wanted).map_err(Unreadable::Message)?;
        let body = snap::raw::Encoder::new().compress_vec(&message)?.into();
        Ok(Request { body, contents })
    }

    /// Without what is older than `oldest`, unix milliseconds.
    pub fn without_older(&self, version: Version, oldest: i64) -> Result<Request, Unreadable> {
        self.only(version, |_, t| t >= oldest)
    }

    /// Its first and second half.
    pub fn halves(&self, version: Version) -> Result<[Request; 2], Unreadable> {
        let half = self.contents.counts.all() / 2;
        let part = |second: bool| {
            let mut seen = 0;
            self.only(version, |_, _| {
                seen += 1;
                (seen > half) == second
            })
        };
        Ok([part(false)?, part(true)?])
    }
}

/// A request on its way to a sender.
#[derive(Debug)]
pub struct Batch {
    /// What is sent.
    pub request: Request,
    /// Where in the log the first of its items stands.
    pub first: Position,
    /// Whether an earlier process may have sent some of them already.
    pub again: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::remote_write::{encode_labels, put_v1, read_v1};

    fn request(times: &[i64]) -> Request {
        let mut message = Vec::new();
        let mut contents = Contents::default();
        for t in times {
            let labels = encode_labels([("__name__", format!("m{t}").as_str())]);
            put_v1(&mut message, &labels, *t, Outgoing::Float(*t as f64));
            contents.see(Kind::Sample, *t);
        }
        let body = snap::raw::Encoder::new().compress_vec(&message);
        let body = body.expect("compresses").into();
        Request { body, contents }
    }

    fn times(request: &Request) -> Vec<i64> {
        let message = snap::raw::Decoder::new().decompress_vec(&request.body);
        let mut times = Vec::new();
        read_v1(&message.expect("snappy"), |series| {
            assert_eq!(series.labels[0].1, format!("m{}", series.samples[0].0));
            times.extend(series.samples.iter().map(|sample| sample.0));
        })
        .expect("a request");
        assert_eq!(request.contents.counts.samples, times.len() as u64);
        assert_eq!(
            request.contents.oldest,
            times.iter().copied().min().unwrap_or(i64::MAX)
        );
        assert_eq!(
            request.contents.newest,
            times.iter().copied().max().unwrap_or(i64::MIN)
        );
        times
    }

    #[test]
    fn requests_are_halved_and_rid_of_what_is_old() {
        let whole = request(&[5, 1, 7, 3, 9]);
        let [first, second] = whole.halves(Version::V1).expect("halves");
        assert_eq!((times(&first), times(&second)), (vec![5, 1], vec![7, 3, 9]));
        let fresh = whole.without_older(Version::V1, 5).expect("a request");
        assert_eq!(times(&fresh), [5, 7, 9]);
        let none = whole.without_older(Version::V1, 10).expect("a request");
        assert_eq!(times(&none), [0i64; 0]);
    }
}
