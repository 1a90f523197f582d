//! Warnings and infos about an answer, with upstream's texts.

use hashbrown::HashMap;
use model::histogram_text::go_g;
use model::labels::go_quote;
use promql_syntax::PosRange;

/// Warnings and infos, ready to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// What is probably wrong with the query or its data.
    pub warnings: Vec<String>,
    /// What may be.
    pub infos: Vec<String>,
}

impl Annotations {
    /// At most `max` of each kind, then one more entry that says how many were left out: what the HTTP API shows.
    pub fn limited(mut self, max: usize) -> Annotations {
        for (list, kind) in [(&mut self.warnings, "warning"), (&mut self.infos, "info")] {
            if list.len() > max {
                let more = list.len() - max;
                list.truncate(max);
                list.push(format!("{more} more {kind} annotations omitted"));
            }
        }
        self
    }
}

/// Something worth telling; texts are those of upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Note {
    /// A plain text from storage, without prefix or position.
    Storage(String),
    InvalidQuantile(String),
    InvalidRatio(String, String),
    BadBucketLabel(String, Option<String>),
    MixedFloatsHistograms(String),
    MixedFloatsHistogramsAggregation,
    MixedClassicNative(Option<String>),
    NotCounter(String),
    NotGauge(String),
    MixedExponentialCustom(String),
    IncompatibleBucketLayout(&'static str),
    SortIneffective,
    ResetCollision(&'static str),
    StartOverlap(String),
    PossibleNonCounter(String),
    PossibleNonCounterType(String, String),
    IncompatibleTypes(&'static str, &'static str, &'static str),
    IgnoredInAggregation(&'static str),
    IgnoredInRange(String),
    QuantileNan(Option<String>),
    QuantileSkewed(Option<String>),
    FractionNan(Option<String>),
    BoundsReconciled(&'static str),
    /// Merged over all steps; see [`Forced`].
    ForcedMonotonic(Option<String>),
}

/// Details of the repairs behind one [`Note::ForcedMonotonic`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Forced {
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub max_diff: f64,
    pub count: u64,
    pub first_ms: i64,
    pub last_ms: i64,
}

impl Note {
    fn is_warning(&self) -> bool {
        !matches!(
            self,
            Note::PossibleNonCounter(_)
                | Note::PossibleNonCounterType(..)
                | Note::IncompatibleTypes(..)
                | Note::IgnoredInAggregation(_)
                | Note::IgnoredInRange(_)
                | Note::QuantileNan(_)
                | Note::QuantileSkewed(_)
                | Note::FractionNan(_)
                | Note::BoundsReconciled(_)
                | Note::ForcedMonotonic(_)
        )
    }

    fn text(&self, details: &Details) -> String {
        let of = |name: &Option<String>| match name {
            Some(n) => format!(" for metric name {}", go_quote(n)),
            None => String::new(),
        };
        match self {
            Note::Storage(text) => text.clone(),
            Note::InvalidQuantile(q) => {
                format!("quantile value should be between 0 and 1, got {q}")
            }
            Note::InvalidRatio(r, to) => {
                format!("ratio value should be between -1 and 1, got {r}, capping to {to}")
            }
            Note::BadBucketLabel(le, name) => format!(
                "bucket label \"le\" is missing or has a malformed value of {}{}",
                go_quote(le),
                of(name)
            ),
            Note::MixedFloatsHistograms(name) => format!(
                "encountered a mix of histograms and floats for metric name {}",
                go_quote(name)
            ),
            Note::MixedFloatsHistogramsAggregation => {
                "encountered a mix of histograms and floats for aggregation".to_string()
            }
            Note::MixedClassicNative(name) => format!(
                "vector contains a mix of classic and native histograms{}",
                of(name)
            ),
            Note::NotCounter(name) => format!(
                "this native histogram metric is not a counter: {}",
                go_quote(name)
            ),
            Note::NotGauge(name) => format!(
                "this native histogram metric is not a gauge: {}",
                go_quote(name)
            ),
            Note::MixedExponentialCustom(name) => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {}",
                go_quote(name)
            ),
            Note::IncompatibleBucketLayout(op) => {
                format!("incompatible bucket layout encountered for binary operator {op}")
            }
            Note::SortIneffective => {
                "sort is ineffective for range queries since results are always ordered by labels"
                    .to_string()
            }
            Note::ResetCollision(operation) => {
                format!("conflicting counter resets during histogram {operation}")
            }
            Note::StartOverlap(name) => {
                let times = match details.count {
                    n if n > 1 => format!(" ({n} occurrences)"),
                    _ => String::new(),
                };
                format!(
                    "sample has start time that overlaps with previous sample timestamp for metric {}{times}",
                    go_quote(name)
                )
            }
            Note::PossibleNonCounter(name) => format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                go_quote(name)
            ),
            Note::PossibleNonCounterType(kind, name) => format!(
                "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                go_quote(kind),
                go_quote(name)
            ),
            Note::IncompatibleTypes(left, op, right) => format!(
                "incompatible sample types encountered for binary operator {}: {left} {op} {right}",
                go_quote(op)
            ),
            Note::IgnoredInAggregation(op) => format!("ignored histogram in {op} aggregation"),
            Note::IgnoredInRange(name) => format!(
                "ignored histograms in a range containing both floats and histograms for metric name {}",
                go_quote(name)
            ),
            Note::QuantileNan(name) => format!(
                "input to histogram_quantile has NaN observations, result is NaN{}",
                of(name)
            ),
            Note::QuantileSkewed(name) => format!(
                "input to histogram_quantile has NaN observations, result is skewed higher{}",
                of(name)
            ),
            Note::FractionNan(name) => format!(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
                of(name)
            ),
            Note::BoundsReconciled(operation) => {
                format!("mismatched custom buckets were reconciled during {operation}")
            }
            Note::ForcedMonotonic(name) => {
                let mut text = format!(
                    "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
                    of(name)
                );
                if let Some(f) = &details.forced {
                    text.push_str(&format!(
                        ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                        go_g(f.min_bucket),
                        go_g(f.max_bucket),
                        two_digits(f.max_diff),
                        f.count,
                        crate::calendar::rfc3339(f.first_ms),
                        crate::calendar::rfc3339(f.last_ms)
                    ));
                }
                text
            }
        }
    }
}

/// Go's `%.2g`.
fn two_digits(v: f64) -> String {
    let text = format!("{v:.1e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if v != 0.0 && !(-4..2).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        let mantissa = mantissa.strip_suffix(".0").unwrap_or(mantissa);
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let rounded: f64 = text.parse().unwrap_or(v);
    format!("{rounded}")
}

#[derive(Clone, Debug, Default)]
struct Details {
    count: u64,
    forced: Option<Forced>,
}

/// Notes collected while a query runs, each once.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    seen: HashMap<Note, (PosRange, usize, Details)>,
}

impl Notes {
    pub fn add(&mut self, note: Note, pos: PosRange) {
        let order = self.seen.len();
        let entry = self
            .seen
            .entry(note)
            .or_insert_with(|| (pos, order, Details::default()));
        entry.2.count += 1;
    }

    pub fn add_forced(&mut self, name: Option<String>, pos: PosRange, forced: Forced) {
        let order = self.seen.len();
        let entry = self
            .seen
            .entry(Note::ForcedMonotonic(name))
            .or_insert_with(|| (pos, order, Details::default()));
        entry.2.forced = Some(match entry.2.forced {
            None => forced,
            Some(f) => Forced {
                min_bucket: f.min_bucket.min(forced.min_bucket),
                max_bucket: f.max_bucket.max(forced.max_bucket),
                max_diff: f.max_diff.max(forced.max_diff),
                count: f.count + forced.count,
                first_ms: f.first_ms.min(forced.first_ms),
                last_ms: f.last_ms.max(forced.last_ms),
            },
        });
    }

    /// Everything as texts with positions.
    pub fn finish(self, query: &str) -> Annotations {
        let mut all: Vec<_> = self.seen.into_iter().collect();
        all.sort_by_key(|(_, (_, order, _))| *order);
        let mut out = Annotations::default();
        for (note, (pos, _, details)) in all {
            let text = note.text(&details);
            let warning = note.is_warning();
            let line = match note {
                Note::Storage(_) => text,
                _ => {
                    let kind = if warning { "warning" } else { "info" };
                    format!("PromQL {kind}: {text} ({})", pos.describe(query))
                }
            };
            if warning {
                out.warnings.push(line);
            } else {
                out.infos.push(line);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_significant_digits() {
        for (v, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.123, "0.12"),
            (12.3, "12"),
            (123.0, "1.2e+02"),
            (1e-7, "1e-07"),
            (0.00012, "0.00012"),
        ] {
            assert_eq!(two_digits(v), text);
        }
    }

    #[test]
    fn each_once_and_capped() {
        let mut notes = Notes::default();
        for i in 0..13 {
            for _ in 0..2 {
                notes.add(Note::NotGauge(format!("m{i}")), PosRange::new(2, 3));
            }
        }
        let shown = notes.finish("rate").limited(10);
        assert_eq!(shown.warnings.len(), 11);
        assert_eq!(
            shown.warnings[0],
            "PromQL warning: this native histogram metric is not a gauge: \"m0\" (1:3)"
        );
        assert_eq!(shown.warnings[10], "3 more warning annotations omitted");
    }
}
