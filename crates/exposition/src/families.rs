//! A whole text body as metric families: lines of one histogram or summary become one metric.
//!
//! For files that people and scripts write (text files for the node exporter, input of the linter), so it insists on
//! what upstream's reader of such files insists on: legacy names, one TYPE and one HELP a family, a final line break.

use std::borrow::Cow;
use std::collections::HashMap;

use model::labels::{
    BUCKET_LABEL, METRIC_NAME, QUANTILE_LABEL, is_valid_label_name_legacy,
    is_valid_metric_name_legacy,
};
use model::{Metric, MetricFamily, MetricType, MetricValue};

use crate::entry::{Entry, ParseError};
use crate::float::parse_float;
use crate::quote;
use crate::text::TextParser;

type OwnedLabels = Vec<(Cow<'static, str>, String)>;

/// Families being put together.
#[derive(Default)]
struct Builder {
    families: Vec<MetricFamily>,
    by_name: HashMap<String, usize>,
    /// Whether a family has had its TYPE and its HELP line.
    stated: Vec<(bool, bool)>,
    /// Position of the histogram or summary with these labels in its family.
    parts: HashMap<(usize, OwnedLabels), usize>,
}

/// Reads a text body into families, in the order of their first mention. Labels are sorted by name.
pub fn read_families(body: &[u8]) -> Result<Vec<MetricFamily>, ParseError> {
    let lines = || 1 + memchr::memchr_iter(b'\n', body).count();
    if !body.is_empty() && body.last() != Some(&b'\n') {
        return Err(ParseError {
            line: lines(),
            message: "unexpected end of input stream".into(),
        });
    }
    let mut parser = TextParser::new(body).with_negative_times();
    let mut builder = Builder::default();
    while let Some(entry) = parser.next()? {
        let done = match entry {
            Entry::Type { name, kind } => builder.kind(&name, kind),
            Entry::Help { name, help } => builder.help(&name, &help),
            Entry::Series {
                timestamp, value, ..
            } => {
                let mut labels = OwnedLabels::new();
                let mut name = String::new();
                parser.each_label(|label, value| {
                    if label == METRIC_NAME {
                        name = value.into_owned();
                    } else {
                        labels.push((Cow::Owned(label.into_owned()), value.into_owned()));
                    }
                });
                builder.sample(&name, labels, timestamp, value)
            }
            _ => Ok(()),
        };
        done.map_err(|message| ParseError {
            line: parser.line(),
            message,
        })?;
    }
    Ok(builder.families)
}

impl Builder {
    fn family(&mut self, name: &str) -> usize {
        if let Some(at) = self.by_name.get(name) {
            return *at;
        }
        self.families
            .push(MetricFamily::new(name, "", MetricType::Unknown));
        self.stated.push((false, false));
        self.by_name
            .insert(name.to_string(), self.families.len() - 1);
        self.families.len() - 1
    }

    fn kind(&mut self, name: &str, kind: MetricType) -> Result<(), String> {
        let at = self.family(name);
        if self.stated[at].0 || !self.families[at].metrics.is_empty() {
            return Err(format!(
                "second TYPE line for metric name {}, or TYPE reported after samples",
                quote::go(name)
            ));
        }
        self.stated[at].0 = true;
        self.families[at].kind = kind;
        Ok(())
    }

    fn help(&mut self, name: &str, help: &str) -> Result<(), String> {
        let at = self.family(name);
        if self.stated[at].1 {
            return Err(format!(
                "second HELP line for metric name {}",
                quote::go(name)
            ));
        }
        self.stated[at].1 = true;
        self.families[at].help = help.to_string();
        Ok(())
    }

    /// The family a sample belongs to, and which part of a histogram or summary it is.
    fn owner(&self, name: &str) -> Option<(usize, &'static str)> {
        for part in ["_bucket", "_count", "_sum"] {
            let Some(base) = name.strip_suffix(part) else {
                continue;
            };
            let Some(at) = self.by_name.get(base) else {
                continue;
            };
            match self.families[*at].kind {
                MetricType::Histogram => return Some((*at, part)),
                MetricType::Summary if part != "_bucket" => return Some((*at, part)),
                _ => {}
            }
        }
        None
    }

    fn sample(
        &mut self,
        name: &str,
        mut labels: OwnedLabels,
        timestamp_ms: Option<i64>,
        value: f64,
    ) -> Result<(), String> {
        if !is_valid_metric_name_legacy(name) {
            return Err(format!("invalid metric name {}", quote::go(name)));
        }
        labels.sort();
        for pair in labels.windows(2) {
            if pair[0].0 == pair[1].0 {
                return Err(format!(
                    "duplicate label names for metric {}",
                    quote::go(name)
                ));
            }
        }
        if let Some((label, _)) = labels
            .iter()
            .find(|(label, _)| !is_valid_label_name_legacy(label))
        {
            return Err(format!("invalid label name {}", quote::go(&**label)));
        }
        let (at, part) = match self.owner(name) {
            Some(found) => found,
            None => (self.family(name), ""),
        };
        let mut bound = |label: &str| -> Result<Option<f64>, String> {
            let Some(i) = labels.iter().position(|(n, _)| n == label) else {
                return Ok(None);
            };
            let (_, text) = labels.remove(i);
            parse_float(text.as_bytes()).map(Some).map_err(|_| {
                format!(
                    "expected float as value for {} label, got {}",
                    quote::go(label),
                    quote::go(&text)
                )
            })
        };
        let kind = self.families[at].kind;
        let bound = match kind {
            MetricType::Histogram => bound(BUCKET_LABEL)?,
            MetricType::Summary => bound(QUANTILE_LABEL)?,
            _ => {
                let value = MetricValue::Single(value);
                self.families[at].metrics.push(Metric {
                    labels,
                    value,
                    timestamp_ms,
                });
                return Ok(());
            }
        };
        let key = (at, labels.clone());
        let family = &mut self.families[at];
        let position = *self.parts.entry(key).or_insert_with(|| {
            let value = if kind == MetricType::Histogram {
                MetricValue::Histogram {
                    buckets: Vec::new(),
                    sum: 0.0,
                    count: 0,
                    native: None,
                }
            } else {
                MetricValue::Summary {
                    quantiles: Vec::new(),
                    sum: 0.0,
                    count: 0,
                }
            };
            family.metrics.push(Metric {
                labels,
                value,
                timestamp_ms: None,
            });
            family.metrics.len() - 1
        });
        let metric = &mut family.metrics[position];
        metric.timestamp_ms = timestamp_ms.or(metric.timestamp_ms);
        match (&mut metric.value, part, bound) {
            (
                MetricValue::Histogram { count, .. } | MetricValue::Summary { count, .. },
                "_count",
                _,
            ) => {
                *count = value as u64;
            }
            (MetricValue::Histogram { sum, .. } | MetricValue::Summary { sum, .. }, "_sum", _) => {
                *sum = value;
            }
            (MetricValue::Histogram { buckets, .. }, "_bucket", Some(bound)) => {
                buckets.push((bound, value as u64));
            }
            (MetricValue::Summary { quantiles, .. }, "", Some(quantile)) => {
                quantiles.push((quantile, value));
            }
            // A line of the family that is none of its parts is passed over, as upstream does.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escaping::Escaping;
    use crate::writer::write_text;

    fn rewrite(body: &str) -> Result<String, ParseError> {
        let mut out = Vec::new();
        write_text(
            &read_families(body.as_bytes())?,
            Escaping::Underscores,
            &mut out,
        );
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_page_comes_back_as_it_was() {
        let page = "# HELP c_total C.\n# TYPE c_total counter\nc_total{a=\"\"} 1\nc_total{a=\"1\"} 2 77\n\
            # HELP h H.\n# TYPE h histogram\nh_bucket{a=\"1\",le=\"0.5\"} 1\nh_bucket{a=\"1\",le=\"+Inf\"} 3\n\
            h_sum{a=\"1\"} 2.5\nh_count{a=\"1\"} 3\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n\
            # TYPE u untyped\nu 1\n# TYPE x_count untyped\nx_count 1\n";
        assert_eq!(rewrite(page).unwrap(), page);
    }

    #[test]
    fn what_is_refused() {
        for (body, line, text) in [
            ("a 1", 1, "unexpected end of input stream"),
            ("a 1\n# TYPE a counter\n", 2, "second TYPE line"),
            ("# HELP a b\n# HELP a c\n", 2, "second HELP line"),
            ("\n{\"a.b\"} 1\n", 2, "invalid metric name"),
            ("a{b=\"1\",b=\"2\"} 1\n", 1, "duplicate label"),
            (
                "# TYPE h histogram\nh_bucket{le=\"x\"} 1\n",
                2,
                "expected float",
            ),
        ] {
            let error = read_families(body.as_bytes()).unwrap_err();
            assert!(
                error.message.starts_with(text) && error.line == line,
                "{body:?}: {error:?}"
            );
        }
    }
}
