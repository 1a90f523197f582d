//! Remote read: `prometheus.ReadRequest` and its two kinds of answers.

use crate::fields::{Broken, Value, fields, put_bytes, put_double, put_uint};

/// A request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadRequest {
    /// What is asked for.
    pub queries: Vec<ReadQuery>,
    /// Kinds of answers that the client takes, best first; as numbers, because there may be later ones.
    pub accepted: Vec<u64>,
}

/// Answers of samples.
pub const SAMPLES: u64 = 0;
/// Answers of chunks, one series after another.
pub const STREAMED_XOR_CHUNKS: u64 = 1;

/// One query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadQuery {
    /// Unix milliseconds, inclusive.
    pub start: i64,
    /// Unix milliseconds, inclusive.
    pub end: i64,
    /// All have to be fulfilled.
    pub matchers: Vec<LabelMatcher>,
    /// What the answer is for.
    pub hints: Option<ReadHints>,
}

/// A condition on a label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelMatcher {
    /// 0 `=`, 1 `!=`, 2 `=~`, 3 `!~`.
    pub kind: u64,
    /// The label.
    pub name: String,
    /// The value or regular expression.
    pub value: String,
}

/// What an answer is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadHints {
    /// Milliseconds.
    pub step: i64,
    /// The function around the selector.
    pub func: String,
    /// Unix milliseconds.
    pub start: i64,
    /// Unix milliseconds.
    pub end: i64,
    /// Labels of the aggregation around it.
    pub grouping: Vec<String>,
    /// Whether it is `by`.
    pub by: bool,
    /// Milliseconds.
    pub range: i64,
}

fn text(value: Value<'_>) -> Result<String, Broken> {
    std::str::from_utf8(value.bytes())
        .map(str::to_string)
        .map_err(|_| Broken("string field contains invalid UTF-8"))
}

impl ReadRequest {
    /// Reads a message.
    pub fn decode(message: &[u8]) -> Result<ReadRequest, Broken> {
        let mut request = ReadRequest::default();
        fields(message, |field, value| {
            match field {
                1 => request.queries.push(ReadQuery::decode(value.bytes())?),
                2 => crate::fields::integers(value, |kind| request.accepted.push(kind))?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(request)
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for query in &self.queries {
            let mut message = Vec::new();
            query.encode(&mut message);
            put_bytes(out, 1, &message);
        }
        for kind in &self.accepted {
            put_uint(out, 2, *kind);
        }
    }
}

impl ReadQuery {
    fn decode(message: &[u8]) -> Result<ReadQuery, Broken> {
        let mut query = ReadQuery::default();
        fields(message, |field, value| {
            match field {
                1 => query.start = value.u64() as i64,
                2 => query.end = value.u64() as i64,
                3 => query.matchers.push(LabelMatcher::decode(value.bytes())?),
                4 => query.hints = Some(ReadHints::decode(value.bytes())?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(query)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_uint(out, 1, self.start as u64);
        put_uint(out, 2, self.end as u64);
        for matcher in &self.matchers {
            let mut message = Vec::new();
            put_uint(&mut message, 1, matcher.kind);
            put_bytes(&mut message, 2, matcher.name.as_bytes());
            put_bytes(&mut message, 3, matcher.value.as_bytes());
            put_bytes(out, 3, &message);
        }
        if let Some(hints) = &self.hints {
            let mut message = Vec::new();
            put_uint(&mut message, 1, hints.step as u64);
            put_bytes(&mut message, 2, hints.func.as_bytes());
            put_uint(&mut message, 3, hints.start as u64);
            put_uint(&mut message, 4, hints.end as u64);
            for label in &hints.grouping {
                put_bytes(&mut message, 5, label.as_bytes());
            }
            put_uint(&mut message, 6, u64::from(hints.by));
            put_uint(&mut message, 7, hints.range as u64);
            put_bytes(out, 4, &message);
        }
    }
}

impl LabelMatcher {
    fn decode(message: &[u8]) -> Result<LabelMatcher, Broken> {
        let mut matcher = LabelMatcher::default();
        fields(message, |field, value| {
            match field {
                1 => matcher.kind = value.u64(),
                2 => matcher.name = text(value)?,
                3 => matcher.value = text(value)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(matcher)
    }
}

impl ReadHints {
    fn decode(message: &[u8]) -> Result<ReadHints, Broken> {
        let mut hints = ReadHints::default();
        fields(message, |field, value| {
            match field {
                1 => hints.step = value.u64() as i64,
                2 => hints.func = text(value)?,
                3 => hints.start = value.u64() as i64,
                4 => hints.end = value.u64() as i64,
                5 => hints.grouping.push(text(value)?),
                6 => hints.by = value.u64() != 0,
                7 => hints.range = value.u64() as i64,
                _ => {}
            }
            Ok(())
        })?;
        Ok(hints)
    }
}

/// Appends the label pairs of a series, as field 1.
pub fn put_labels<'a>(out: &mut Vec<u8>, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut pair = Vec::new();
    for (name, value) in labels {
        pair.clear();
        put_bytes(&mut pair, 1, name.as_bytes());
        put_bytes(&mut pair, 2, value.as_bytes());
        put_bytes(out, 1, &pair);
    }
}

/// Appends a float sample to a `TimeSeries`.
pub fn put_sample(out: &mut Vec<u8>, t: i64, value: f64) {
    let mut sample = Vec::with_capacity(20);
    put_double(&mut sample, 1, value);
    put_uint(&mut sample, 2, t as u64);
    put_bytes(out, 2, &sample);
}

/// Appends a chunk to a `ChunkedSeries`. `kind` is the chunk's encoding byte; `max_time` is inclusive.
pub fn put_chunk(out: &mut Vec<u8>, min_time: i64, max_time: i64, kind: u8, data: &[u8]) {
    let mut chunk = Vec::with_capacity(data.len() + 32);
    put_uint(&mut chunk, 1, min_time as u64);
    put_uint(&mut chunk, 2, max_time as u64);
    put_uint(&mut chunk, 3, u64::from(kind));
    put_bytes(&mut chunk, 4, data);
    put_bytes(out, 2, &chunk);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> ReadRequest {
        ReadRequest {
            queries: vec![ReadQuery {
                start: -5,
                end: 1_700_000_000_000,
                matchers: vec![LabelMatcher {
                    kind: 2,
                    name: "__name__".into(),
                    value: "u.*".into(),
                }],
                hints: Some(ReadHints {
                    step: 1000,
                    func: "rate".into(),
                    grouping: vec!["a".into(), "b".into()],
                    by: true,
                    range: 300_000,
                    ..ReadHints::default()
                }),
            }],
            accepted: vec![STREAMED_XOR_CHUNKS, SAMPLES],
        }
    }

    #[test]
    fn there_and_back() {
        let mut bytes = Vec::new();
        request().encode(&mut bytes);
        assert_eq!(ReadRequest::decode(&bytes), Ok(request()));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ReadRequest::decode(&bytes);
        }

        #[test]
        fn damaged(at in 0usize..60, byte in any::<u8>()) {
            let mut bytes = Vec::new();
            request().encode(&mut bytes);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = ReadRequest::decode(&bytes);
        }
    }
}
