//! Native histograms made to fit: fewer buckets where a job limits them.

use std::borrow::Cow;

use exposition::protobuf::Native;
use model::histogram::{EXPONENTIAL_SCHEMA_MAX, EXPONENTIAL_SCHEMA_MIN};
use model::{FloatHistogram, Histogram};

/// How large native histograms may be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NativeLimits {
    /// Most buckets of both sides; 0 for any number.
    pub buckets: u64,
    /// The finest resolution kept; `None` for any.
    pub finest_schema: Option<i32>,
}

impl NativeLimits {
    /// Of a job: `min_factor` is the least growth from one bucket to the next.
    pub fn new(buckets: u64, min_factor: f64) -> NativeLimits {
        NativeLimits {
            buckets,
            finest_schema: (min_factor > 0.0).then(|| finest_schema(min_factor)),
        }
    }

    /// The histogram with as fine a resolution as is allowed; `None` where even the coarsest has too many buckets.
    pub fn fit<'a>(&self, native: &'a Native) -> Option<Cow<'a, Native>> {
        let mut fitting = Cow::Borrowed(native);
        if let Some(finest) = self.finest_schema
            && is_exponential(schema(native))
            && schema(native) > finest
        {
            fitting = Cow::Owned(coarser(native, finest));
        }
        if self.buckets == 0 {
            return Some(fitting);
        }
        while buckets(&fitting) > self.buckets {
            let now = schema(&fitting);
            if !is_exponential(now) || now <= EXPONENTIAL_SCHEMA_MIN {
                return None;
            }
            fitting = Cow::Owned(coarser(&fitting, now - 1));
        }
        Some(fitting)
    }
}

/// The finest schema whose buckets grow by at least `factor`.
fn finest_schema(factor: f64) -> i32 {
    if factor <= 1.0 {
        return EXPONENTIAL_SCHEMA_MAX;
    }
    let schema = (-factor.log2().log2()).floor();
    schema.clamp(
        f64::from(EXPONENTIAL_SCHEMA_MIN),
        f64::from(EXPONENTIAL_SCHEMA_MAX),
    ) as i32
}

fn is_exponential(schema: i32) -> bool {
    (EXPONENTIAL_SCHEMA_MIN..=EXPONENTIAL_SCHEMA_MAX).contains(&schema)
}

fn schema(native: &Native) -> i32 {
    match native {
        Native::Integer(h) => h.schema,
        Native::Float(h) => h.schema,
    }
}

fn buckets(native: &Native) -> u64 {
    let (positive, negative) = match native {
        Native::Integer(h) => (h.positive_buckets.len(), h.negative_buckets.len()),
        Native::Float(h) => (h.positive_buckets.len(), h.negative_buckets.len()),
    };
    (positive + negative) as u64
}

fn coarser(native: &Native, schema: i32) -> Native {
    match native {
        Native::Float(h) => Native::Float(h.to_schema(schema)),
        // Counts below 2^53 are exact as floats, and larger ones do not occur.
        Native::Integer(h) => Native::Integer(whole(h, &h.to_float().to_schema(schema))),
    }
}

/// The buckets of `shape`, as whole numbers again.
fn whole(of: &Histogram, shape: &FloatHistogram) -> Histogram {
    let deltas = |counts: &[f64]| {
        let mut before = 0;
        let delta = |count: &f64| {
            let delta = *count as i64 - before;
            before = *count as i64;
            delta
        };
        counts.iter().map(delta).collect()
    };
    Histogram {
        schema: shape.schema,
        positive_spans: shape.positive_spans.clone(),
        negative_spans: shape.negative_spans.clone(),
        positive_buckets: deltas(&shape.positive_buckets),
        negative_buckets: deltas(&shape.negative_buckets),
        ..of.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Span;

    fn native(schema: i32, buckets: usize) -> Native {
        let mut deltas = vec![0; buckets];
        deltas[0] = 1;
        Native::Integer(Histogram {
            schema,
            count: buckets as u64,
            positive_spans: vec![Span {
                offset: 1,
                length: buckets as u32,
            }],
            positive_buckets: deltas,
            ..Histogram::default()
        })
    }

    #[test]
    fn resolution_is_halved_until_it_fits() {
        let limits = NativeLimits::new(5, 0.0);
        let many = native(2, 16);
        let Some(Cow::Owned(Native::Integer(h))) = limits.fit(&many) else {
            panic!("made coarser")
        };
        assert_eq!((h.schema, h.positive_buckets.len()), (0, 4));
        assert_eq!(h.positive_buckets, [4, 0, 0, 0], "four of one each");
        assert!(matches!(limits.fit(&native(2, 5)), Some(Cow::Borrowed(_))));
        let custom = native(-53, 16);
        assert!(
            limits.fit(&custom).is_none(),
            "custom buckets cannot be merged"
        );
    }

    #[test]
    fn factors_as_upstream_reads_them() {
        for (factor, schema) in [
            (1.0, 8),
            (1.1, 2),
            (2.0, 0),
            (4.0, -1),
            (1e9, -4),
            (65536.0, -4),
        ] {
            assert_eq!(finest_schema(factor), schema, "{factor}");
        }
        let limits = NativeLimits::new(0, 2.0);
        let Some(Cow::Owned(Native::Integer(h))) = limits.fit(&native(3, 8)) else {
            panic!("made coarser")
        };
        assert_eq!((h.schema, h.count), (0, 8));
    }
}
