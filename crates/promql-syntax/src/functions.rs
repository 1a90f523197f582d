//! The catalogue of functions: names, argument types, which are experimental.

use crate::ast::ValueType;
use ValueType::{Matrix, Scalar, String, Vector};

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Types of the arguments; further ones have the last type.
    pub args: &'static [ValueType],
    /// 0: exactly `args`; n > 0: the last may be missing or come up to n times; n < 0: any number of times.
    pub variadic: i32,
    /// Type of the result.
    pub return_type: ValueType,
    /// Needs a feature flag.
    pub experimental: bool,
}

const fn f(name: &'static str, args: &'static [ValueType], return_type: ValueType) -> Function {
    Function {
        name,
        args,
        variadic: 0,
        return_type,
        experimental: false,
    }
}

const fn var(function: Function, variadic: i32) -> Function {
    Function {
        variadic,
        ..function
    }
}

const fn exp(function: Function) -> Function {
    Function {
        experimental: true,
        ..function
    }
}

const V: &[ValueType] = &[Vector];
const M: &[ValueType] = &[Matrix];
const SS: &[ValueType] = &[Scalar, Scalar];
const VS: &[ValueType] = &[Vector, Scalar];
const NONE: &[ValueType] = &[];

/// All functions, sorted by name.
pub static FUNCTIONS: &[Function] = &[
    f("abs", V, Vector),
    f("absent", V, Vector),
    f("absent_over_time", M, Vector),
    f("acos", V, Vector),
    f("acosh", V, Vector),
    f("asin", V, Vector),
    f("asinh", V, Vector),
    f("atan", V, Vector),
    f("atanh", V, Vector),
    f("avg_over_time", M, Vector),
    f("ceil", V, Vector),
    f("changes", M, Vector),
    f("clamp", &[Vector, Scalar, Scalar], Vector),
    f("clamp_max", VS, Vector),
    f("clamp_min", VS, Vector),
    f("cos", V, Vector),
    f("cosh", V, Vector),
    f("count_over_time", M, Vector),
    var(f("day_of_month", V, Vector), 1),
    var(f("day_of_week", V, Vector), 1),
    var(f("day_of_year", V, Vector), 1),
    var(f("days_in_month", V, Vector), 1),
    f("deg", V, Vector),
    f("delta", M, Vector),
    f("deriv", M, Vector),
    exp(f(
        "double_exponential_smoothing",
        &[Matrix, Scalar, Scalar],
        Vector,
    )),
    exp(f("end", NONE, Scalar)),
    f("exp", V, Vector),
    f("first_over_time", M, Vector),
    f("floor", V, Vector),
    f("histogram_avg", V, Vector),
    f("histogram_count", V, Vector),
    f("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    f("histogram_quantile", &[Scalar, Vector], Vector),
    exp(var(
        f(
            "histogram_quantiles",
            &[Vector, String, Scalar, Scalar],
            Vector,
        ),
        9,
    )),
    f("histogram_stddev", V, Vector),
    f("histogram_stdvar", V, Vector),
    f("histogram_sum", V, Vector),
    var(f("hour", V, Vector), 1),
    f("idelta", M, Vector),
    f("increase", M, Vector),
    exp(var(f("info", &[Vector, Vector], Vector), 1)),
    f("irate", M, Vector),
    var(
        f("label_join", &[Vector, String, String, String], Vector),
        -1,
    ),
    f(
        "label_replace",
        &[Vector, String, String, String, String],
        Vector,
    ),
    f("last_over_time", M, Vector),
    f("ln", V, Vector),
    f("log10", V, Vector),
    f("log2", V, Vector),
    exp(f("mad_over_time", M, Vector)),
    exp(f("max_of", SS, Scalar)),
    f("max_over_time", M, Vector),
    exp(f("min_of", SS, Scalar)),
    f("min_over_time", M, Vector),
    var(f("minute", V, Vector), 1),
    var(f("month", V, Vector), 1),
    f("pi", NONE, Scalar),
    f("predict_linear", &[Matrix, Scalar], Vector),
    f("present_over_time", M, Vector),
    f("quantile_over_time", &[Scalar, Matrix], Vector),
    f("rad", V, Vector),
    exp(f("range", NONE, Scalar)),
    f("rate", M, Vector),
    f("resets", M, Vector),
    var(f("round", VS, Vector), 1),
    f("scalar", V, Scalar),
    f("sgn", V, Vector),
    f("sin", V, Vector),
    f("sinh", V, Vector),
    f("sort", V, Vector),
    exp(var(f("sort_by_label", &[Vector, String], Vector), -1)),
    exp(var(f("sort_by_label_desc", &[Vector, String], Vector), -1)),
    f("sort_desc", V, Vector),
    f("sqrt", V, Vector),
    exp(f("start", NONE, Scalar)),
    exp(f("start_timestamp", V, Vector)),
    f("stddev_over_time", M, Vector),
    f("stdvar_over_time", M, Vector),
    exp(f("step", NONE, Scalar)),
    f("sum_over_time", M, Vector),
    f("tan", V, Vector),
    f("tanh", V, Vector),
    f("time", NONE, Scalar),
    f("timestamp", V, Vector),
    exp(f("ts_of_first_over_time", M, Vector)),
    exp(f("ts_of_last_over_time", M, Vector)),
    exp(f("ts_of_max_over_time", M, Vector)),
    exp(f("ts_of_min_over_time", M, Vector)),
    f("vector", &[Scalar], Vector),
    var(f("year", V, Vector), 1),
];

/// The function of that name (case matters).
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS
        .binary_search_by(|f| f.name.cmp(name))
        .ok()
        .map(|at| &FUNCTIONS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_complete() {
        assert!(FUNCTIONS.windows(2).all(|w| w[0].name < w[1].name));
        assert_eq!(FUNCTIONS.len(), 90);
        assert_eq!(FUNCTIONS.iter().filter(|f| f.experimental).count(), 17);
        assert!(function("rate").is_some());
        assert!(function("Rate").is_none());
    }
}
