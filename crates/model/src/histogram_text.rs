//! Native histograms as text: `{count:2, sum:3, (0.5,1]:2}`.

use std::fmt;

use crate::histogram::FloatHistogram;
use crate::histogram_buckets::Bucket;

pub use crate::number::format_float_g as go_g;

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
