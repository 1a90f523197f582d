//! Answers of the engine, in the common shape.

use std::collections::BTreeMap;

use promql::{QueryError, QueryResult, SampleValue, Value};

use crate::answer::{Answer, Labels, Points};

fn labels_of(labels: &model::Labels) -> Labels {
    let pairs = labels.iter();
    pairs.map(|(n, v)| (n.to_string(), v.to_string())).collect()
}

/// Reads what the engine gives.
pub fn read(result: Result<QueryResult, QueryError>) -> Answer {
    let result = match result {
        Ok(result) => result,
        Err(e) => {
            let kind = match e.kind {
                promql::ErrorKind::BadData => "bad_data",
                promql::ErrorKind::Execution => "execution",
                promql::ErrorKind::Timeout => "timeout",
                promql::ErrorKind::Canceled => "canceled",
                promql::ErrorKind::Internal => "internal",
            };
            return Answer::Error(kind.to_string(), e.message);
        }
    };
    let mut series = BTreeMap::new();
    match result.value {
        Value::Scalar(t, v) => {
            series.insert(Labels::new(), Points::from([(t, v)]));
        }
        Value::String(..) => {}
        Value::Vector(samples) => {
            for sample in samples {
                let SampleValue::Float(v) = sample.value else {
                    panic!("a histogram out of floats: {}", sample.labels);
                };
                series.insert(labels_of(&sample.labels), Points::from([(sample.t, v)]));
            }
        }
        Value::Matrix(all) => {
            for one in all {
                assert!(one.histograms.is_empty(), "a histogram out of floats");
                series.insert(labels_of(&one.labels), one.floats.into_iter().collect());
            }
        }
    }
    Answer::Series(series)
}
