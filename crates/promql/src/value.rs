//! What a query answers.

use std::sync::Arc;

use model::{FloatHistogram, Labels};

use crate::notes::Annotations;
use crate::stats::QueryStats;

/// The value of one sample.
#[derive(Clone, Debug)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// One sample of an instant vector.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The series.
    pub labels: Labels,
    /// Unix ms.
    pub t: i64,
    /// Its value.
    pub value: SampleValue,
}

/// One series of a matrix: floats and histograms apart, each in order of time.
#[derive(Clone, Debug, Default)]
pub struct ResultSeries {
    /// The series.
    pub labels: Labels,
    /// (unix ms, value)
    pub floats: Vec<(i64, f64)>,
    /// (unix ms, value)
    pub histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

/// The value of a query.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number at a time (unix ms).
    Scalar(i64, f64),
    /// A text at a time (unix ms).
    String(i64, String),
    /// Series with one sample each, in the order the query gives them.
    Vector(Vec<Sample>),
    /// Series with many samples, sorted by labels.
    Matrix(Vec<ResultSeries>),
}

impl Value {
    /// `scalar`, `string`, `vector`, `matrix`
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Scalar(..) => "scalar",
            Value::String(..) => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        }
    }
}

/// A query's answer with all that is told about it.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The answer.
    pub value: Value,
    /// Warnings and infos.
    pub annotations: Annotations,
    /// What it took.
    pub stats: QueryStats,
}
