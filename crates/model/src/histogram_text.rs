//! Native histograms as text: `{count:2, sum:3, (0.5,1]:2}`.

use std::fmt;

use crate::histogram::FloatHistogram;
use crate::histogram_buckets::Bucket;

/// Go's `%g`: the shortest digits that read back equal, with an exponent below 1e-4 and from 1e6 on (`1e+06`).
pub fn go_g(v: f64) -> String {
    if v.is_nan() {
        return "NaN".to_string();
    }
    if v.is_infinite() {
        return if v > 0.0 { "+Inf" } else { "-Inf" }.to_string();
    }
    let scientific = format!("{v:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if v != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{v}")
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{},{}{}:{}",
            if self.lower_inclusive { '[' } else { '(' },
            go_g(self.lower),
            go_g(self.upper),
            if self.upper_inclusive { ']' } else { ')' },
            go_g(self.count)
        )
    }
}

impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{count:{}, sum:{}", go_g(self.count), go_g(self.sum))?;
        let negative: Vec<_> = self.negative_indexed().filter(|(_, n)| *n != 0.0).collect();
        for (i, n) in negative.into_iter().rev() {
            write!(f, ", {}", self.negative_bucket(i, n))?;
        }
        if self.zero_count != 0.0 {
            write!(f, ", {}", self.zero_bucket())?;
        }
        for (i, n) in self.positive_indexed().filter(|(_, n)| *n != 0.0) {
            write!(f, ", {}", self.positive_bucket(i, n))?;
        }
        f.write_str("}")
    }
}
