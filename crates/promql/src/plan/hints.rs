//! What storage is told about the use of a selection.

use storage::SelectHints;

/// What surrounds a selector.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    /// The nearest function or aggregation; none once an operator is in between.
    pub func: Option<String>,
    /// Labels of the aggregation right above.
    pub grouping: Vec<String>,
    pub by: bool,
    /// Only counts and sums of histograms are looked at further up.
    pub counts_only: bool,
    /// Something further up needs whole histograms nevertheless.
    pub needs_buckets: bool,
}

impl Around {
    /// The surroundings of a function's argument.
    pub fn call(&self, name: &str) -> Around {
        let mut out = Around {
            func: Some(name.to_string()),
            ..self.bare()
        };
        match name {
            "histogram_count" | "histogram_sum" | "histogram_avg" => out.counts_only = true,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                out.needs_buckets = true;
            }
            _ => {}
        }
        out
    }

    /// Neither function nor aggregation, as below an operator.
    pub fn bare(&self) -> Around {
        Around {
            counts_only: self.counts_only,
            needs_buckets: self.needs_buckets,
            ..Around::default()
        }
    }

    /// The surroundings of what needs whole histograms.
    pub fn with_buckets(&self) -> Around {
        Around {
            needs_buckets: true,
            ..self.clone()
        }
    }

    /// Whether buckets of histograms need not be kept.
    pub fn skips_buckets(&self) -> bool {
        self.counts_only && !self.needs_buckets
    }

    /// The same without the aggregation's labels, for what is not directly below it.
    pub fn deeper(&self) -> Around {
        Around {
            func: self.func.clone(),
            ..self.bare()
        }
    }

    pub fn hints(&self, start: i64, end: i64, step: i64, range: i64) -> SelectHints {
        SelectHints {
            start,
            end,
            step,
            range,
            func: self.func.clone(),
            grouping: self.grouping.clone(),
            by: self.by,
            limit: 0,
        }
    }
}
