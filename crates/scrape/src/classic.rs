//! Classic histograms turned into native ones with custom buckets.
//!
//! The `_bucket`, `_sum` and `_count` lines of one label set are collected while they pass; when another label set or
//! family begins, they become one histogram.

use std::sync::Arc;

use exposition::protobuf::Native;
use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::{Exemplar, FloatHistogram, Histogram, Labels, MetricType, Span};

/// A classic histogram has not more buckets than this.
const MAX_BUCKETS: usize = 10_000;

/// Collects the lines of one histogram after another.
#[derive(Default)]
pub struct Classic {
    /// The family, where it is one of histograms.
    family: String,
    /// Labels of the lines so far, `le` and suffix taken off.
    labels: Option<Labels>,
    timestamp: Option<i64>,
    start: Option<i64>,
    buckets: Vec<(f64, f64)>,
    sum: Option<f64>,
    count: Option<f64>,
    exemplars: Vec<Exemplar>,
    /// A native histogram of the same labels was there.
    native: bool,
    too_many: bool,
}

/// A histogram made of classic lines.
#[derive(Debug)]
pub struct Converted {
    /// Its labels.
    pub labels: Labels,
    /// The lines' timestamp.
    pub timestamp: Option<i64>,
    /// When counting began.
    pub start: Option<i64>,
    /// The histogram; `Err` tells why the lines make none.
    pub value: Result<Native, &'static str>,
    /// Exemplars of the lines.
    pub exemplars: Vec<Exemplar>,
}

/// What a line is to a family of histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Bucket,
    Sum,
    Count,
}

/// A line on its way.
pub struct Line<'a> {
    /// Its labels.
    pub labels: &'a Labels,
    /// Its timestamp.
    pub timestamp: Option<i64>,
    /// Its value.
    pub value: f64,
    /// When counting began.
    pub start: Option<i64>,
}

impl Classic {
    /// A `# TYPE` line. Gives the histogram that ends with it. `gauges`: gauge histograms are turned into others, too,
    /// which upstream does with those of protobuf only.
    pub fn family(&mut self, name: &str, kind: MetricType, gauges: bool) -> Option<Converted> {
        let done = self.finish();
        self.family.clear();
        if kind == MetricType::Histogram || gauges && kind == MetricType::GaugeHistogram {
            self.family.push_str(name);
        }
        done
    }

    fn part(&self, name: &str) -> Option<Part> {
        if self.family.is_empty() {
            return None;
        }
        match name.strip_prefix(self.family.as_str())? {
            "_bucket" => Some(Part::Bucket),
            "_sum" => Some(Part::Sum),
            "_count" => Some(Part::Count),
            _ => None,
        }
    }

    /// Whether a line with these labels belongs to a histogram. A bucket without a bound does not.
    pub fn takes(&self, labels: &Labels) -> bool {
        match self.part(labels.metric_name()) {
            Some(Part::Bucket) => bound(labels).is_some(),
            part => part.is_some(),
        }
    }

    /// Takes a line that belongs to a histogram. Gives the histogram that ends with it, which is one of other labels.
    pub fn line(
        &mut self,
        line: &Line<'_>,
        exemplars: impl IntoIterator<Item = Exemplar>,
    ) -> Option<Converted> {
        let part = self.part(line.labels.metric_name())?;
        let mut builder = model::LabelsBuilder::new(line.labels);
        builder.set(model::labels::METRIC_NAME, self.family.as_str());
        builder.del("le");
        let labels = builder.build();
        let done = match &self.labels {
            Some(known) if *known == labels => None,
            Some(_) => self.finish(),
            None => None,
        };
        self.labels = Some(labels);
        self.timestamp = line.timestamp;
        self.start = self.start.or(line.start);
        match part {
            Part::Sum => self.sum = Some(line.value),
            Part::Count => self.count = Some(line.value),
            Part::Bucket => {
                let bound = bound(line.labels);
                if self.buckets.len() >= MAX_BUCKETS {
                    self.too_many = true;
                } else if let Some(bound) = bound {
                    self.buckets.push((bound, line.value));
                }
            }
        }
        self.exemplars.extend(exemplars);
        done
    }

    /// A native histogram with these labels is there: classic lines of the same labels are not turned into another.
    pub fn native(&mut self, labels: &Labels) -> Option<Converted> {
        let done = match &self.labels {
            Some(known) if known == labels => None,
            _ => self.finish(),
        };
        self.labels = Some(labels.clone());
        self.native = true;
        done
    }

    /// Ends what is collected.
    pub fn finish(&mut self) -> Option<Converted> {
        let labels = self.labels.take()?;
        let family = std::mem::take(&mut self.family);
        let this = std::mem::replace(
            self,
            Classic {
                family,
                ..Classic::default()
            },
        );
        let empty = this.buckets.is_empty() && this.count.is_none() && this.sum.is_none();
        if this.native || empty {
            return None;
        }
        Some(Converted {
            value: this.value(),
            labels,
            timestamp: this.timestamp,
            start: this.start,
            exemplars: this.exemplars,
        })
    }

    fn value(&self) -> Result<Native, &'static str> {
        if self.too_many {
            return Err("too many buckets");
        }
        let mut buckets = self.buckets.clone();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        // The same bucket twice with the same count is one bucket.
        buckets.dedup();
        if buckets
            .iter()
            .any(|(bound, count)| bound.is_nan() || count.is_nan() || *count < 0.0)
        {
            return Err("a bucket's bound or count is negative or no number");
        }
        if buckets.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("a bucket comes twice with different counts");
        }
        if buckets.windows(2).any(|pair| pair[0].1 > pair[1].1) {
            return Err("buckets are not cumulative");
        }
        let infinite = buckets.last().filter(|(bound, _)| *bound == f64::INFINITY);
        let infinite = infinite.map(|(_, count)| *count);
        let count = match (self.count, infinite) {
            (Some(count), Some(infinite)) if count != infinite => {
                return Err("the count is not that of the +Inf bucket");
            }
            (Some(count), _) | (None, Some(count)) => count,
            (None, None) => return Err("there is neither a count nor a +Inf bucket"),
        };
        if count.is_nan() || count < 0.0 {
            return Err("the count is negative or no number");
        }
        let finite: Vec<(f64, f64)> = buckets
            .into_iter()
            .filter(|(bound, _)| *bound != f64::INFINITY)
            .collect();
        if finite.last().is_some_and(|(_, last)| *last > count) {
            return Err("buckets are not cumulative");
        }
        Ok(build(&finite, count, self.sum.unwrap_or(0.0)))
    }
}

/// The upper bound of a bucket, where its labels have one.
fn bound(labels: &Labels) -> Option<f64> {
    let bound = labels.get("le").and_then(model::number::parse_float)?;
    (!bound.is_nan()).then_some(bound)
}

fn build(finite: &[(f64, f64)], count: f64, sum: f64) -> Native {
    let bounds: Arc<[f64]> = finite.iter().map(|(bound, _)| *bound).collect();
    let cumulative = finite.iter().map(|(_, count)| *count).chain([count]);
    let mut before = 0.0;
    let counts: Vec<f64> = cumulative
        .map(|total| {
            let own = total - before;
            before = total;
            own
        })
        .collect();
    let (spans, counts) = without_empty(&counts);
    let is_whole = |v: &f64| v.fract() == 0.0 && v.abs() < 9.0e15;
    if finite.iter().all(|(_, v)| is_whole(v)) && is_whole(&count) {
        let mut before = 0;
        let deltas = counts
            .iter()
            .map(|count| {
                let delta = *count as i64 - before;
                before = *count as i64;
                delta
            })
            .collect();
        return Native::Integer(Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: count as u64,
            sum,
            positive_spans: spans,
            positive_buckets: deltas,
            custom_values: Some(bounds),
            ..Histogram::default()
        });
    }
    Native::Float(FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count,
        sum,
        positive_spans: spans,
        positive_buckets: counts,
        custom_values: Some(bounds),
        ..FloatHistogram::default()
    })
}

/// Spans and counts of the buckets that are not empty.
fn without_empty(counts: &[f64]) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut kept = Vec::new();
    let mut gap = 0;
    for count in counts {
        if *count == 0.0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(span) if gap == 0 => span.length += 1,
            _ => spans.push(Span {
                offset: gap,
                length: 1,
            }),
        }
        gap = 0;
        kept.push(*count);
    }
    (spans, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(lines: &[(&str, &str, f64)]) -> Vec<Converted> {
        let mut classic = Classic::default();
        let mut done: Vec<Converted> = Vec::new();
        done.extend(classic.family("h", MetricType::Histogram, false));
        for (name, le, value) in lines {
            let labels = Labels::from_pairs([("__name__", *name), ("le", le), ("a", "b")]);
            let line = Line {
                labels: &labels,
                timestamp: None,
                value: *value,
                start: None,
            };
            done.extend(classic.line(&line, []));
        }
        done.extend(classic.finish());
        done
    }

    #[test]
    fn whole_and_broken_counts() {
        let done = feed(&[
            ("h_bucket", "1", 2.0),
            ("h_bucket", "2", 2.0),
            ("h_bucket", "+Inf", 5.0),
            ("h_sum", "", 7.5),
            ("h_count", "", 5.0),
        ]);
        let Ok(Native::Integer(h)) = &done[0].value else {
            panic!("{done:?}")
        };
        assert_eq!(done[0].labels.to_string(), r#"{__name__="h", a="b"}"#);
        assert_eq!(
            (h.count, h.sum, h.custom_bounds()),
            (5, 7.5, &[1.0, 2.0][..])
        );
        // 2 in the first bucket, none in the second, 3 beyond.
        assert_eq!(h.positive_buckets, [2, 1]);
        assert_eq!(h.positive_spans.len(), 2);
        let done = feed(&[("h_bucket", "1", 0.5), ("h_bucket", "+Inf", 1.5)]);
        assert!(matches!(&done[0].value, Ok(Native::Float(h)) if h.count == 1.5));
    }

    #[test]
    fn what_belongs_to_a_histogram() {
        let mut classic = Classic::default();
        let takes = |classic: &Classic, name: &str, le: &str| {
            classic.takes(&Labels::from_pairs([("__name__", name), ("le", le)]))
        };
        classic.family("h", MetricType::Histogram, false);
        assert!(takes(&classic, "h_bucket", "1") && takes(&classic, "h_count", ""));
        for (name, le) in [
            ("h_bucket", ""),
            ("h_bucket", "wide"),
            ("h_bucket", "NaN"),
            ("h_gcount", ""),
            ("h", ""),
            ("g_sum", ""),
        ] {
            assert!(!takes(&classic, name, le), "{name} {le}");
        }
        // Only protobuf's gauge histograms are turned into others.
        classic.family("h", MetricType::GaugeHistogram, false);
        assert!(!takes(&classic, "h_bucket", "1"));
        classic.family("h", MetricType::GaugeHistogram, true);
        assert!(takes(&classic, "h_bucket", "1"));
    }

    #[test]
    fn what_makes_no_histogram() {
        for lines in [
            &[("h_bucket", "1", 3.0), ("h_bucket", "+Inf", 2.0)][..],
            &[("h_bucket", "1", -1.0), ("h_bucket", "+Inf", 2.0)],
            &[("h_bucket", "+Inf", 2.0), ("h_count", "", 3.0)],
            &[("h_bucket", "1", 1.0)],
            &[
                ("h_bucket", "1", 1.0),
                ("h_bucket", "1", 2.0),
                ("h_count", "", 2.0),
            ],
        ] {
            let done = feed(lines);
            assert!(done[0].value.is_err(), "{lines:?}");
        }
        // Missing parts are filled in from the others.
        assert!(
            feed(&[("h_bucket", "1", 1.0), ("h_count", "", 2.0)])[0]
                .value
                .is_ok()
        );
        assert!(feed(&[("h_bucket", "+Inf", 2.0)])[0].value.is_ok());
    }
}
