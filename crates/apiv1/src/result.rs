//! The answer of a query as JSON, piece by piece: series are let go of as they are written.

use bytes::Bytes;
use promql::{ResultSeries, Sample, Value};

use crate::json::{push_query_value, push_sample, push_series, push_string};
use crate::stream::{PIECE, Rest};

/// What is left to write.
enum Items {
    Vector(std::vec::IntoIter<Sample>),
    Matrix(std::vec::IntoIter<ResultSeries>),
}

/// The text of a result: the object `{"resultType":...,"result":...}`, with `tail` before its closing brace.
pub struct ResultText {
    items: Items,
    is_first: bool,
    tail: Option<Vec<u8>>,
}

impl ResultText {
    /// Starts with an answer. Gives all of it where it is short, else its beginning and the rest.
    pub fn start(value: Value, tail: Vec<u8>) -> (Vec<u8>, Option<Rest>) {
        let mut out = vec![b'{'];
        let (kind, items) = match value {
            Value::Vector(samples) => ("vector", Items::Vector(samples.into_iter())),
            Value::Matrix(series) => ("matrix", Items::Matrix(series.into_iter())),
            single => {
                push_query_value(&mut out, &single);
                out.extend_from_slice(&tail);
                out.push(b'}');
                return (out, None);
            }
        };
        out.extend_from_slice(b"\"resultType\":");
        push_string(&mut out, kind);
        out.extend_from_slice(b",\"result\":[");
        let mut text = ResultText {
            items,
            is_first: true,
            tail: Some(tail),
        };
        text.fill(&mut out);
        let rest = text.tail.is_some().then(|| Rest::Made(Box::new(text)));
        (out, rest)
    }

    /// Writes until there is enough or no more.
    fn fill(&mut self, out: &mut Vec<u8>) {
        while out.len() < PIECE {
            let comma = !self.is_first;
            let separate = |out: &mut Vec<u8>| {
                if comma {
                    out.push(b',');
                }
            };
            let wrote = match &mut self.items {
                Items::Vector(samples) => samples.next().map(|sample| {
                    separate(out);
                    push_sample(out, &sample);
                }),
                Items::Matrix(all) => all.next().map(|series| {
                    separate(out);
                    push_series(out, &series);
                }),
            };
            self.is_first = false;
            if wrote.is_none() {
                out.push(b']');
                out.extend_from_slice(&self.tail.take().unwrap_or_default());
                out.push(b'}');
                return;
            }
        }
    }
}

impl Iterator for ResultText {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.tail.as_ref()?;
        let mut out = Vec::with_capacity(PIECE + PIECE / 8);
        self.fill(&mut out);
        Some(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    #[test]
    fn pieces_make_the_whole() {
        let series = |i: usize| ResultSeries {
            labels: Labels::from_pairs([("i", i.to_string())]),
            floats: (0..300).map(|t| (t * 1000, t as f64 / 3.0)).collect(),
            histograms: Vec::new(),
        };
        for n in [0, 1, 2, 200] {
            let matrix: Vec<ResultSeries> = (0..n).map(series).collect();
            let mut expected = vec![b'{'];
            push_query_value(&mut expected, &Value::Matrix(matrix.clone()));
            expected.extend_from_slice(b",\"x\":1}");
            let (mut text, rest) = ResultText::start(Value::Matrix(matrix), b",\"x\":1".to_vec());
            assert_eq!(rest.is_some(), n == 200, "{n} series");
            if let Some(Rest::Made(pieces)) = rest {
                pieces.for_each(|piece| text.extend_from_slice(&piece));
            }
            assert!(text == expected, "{n} series");
        }
    }
}
