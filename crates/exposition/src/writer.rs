//! Writers of the text format and of OpenMetrics, byte for byte as the Go library writes them.
//!
//! Families come out sorted by name, metrics within a family by number of labels and then by label values, labels by
//! name: readers diff pages, and the order is part of what they see.

use std::borrow::Cow;

use model::labels::{is_valid_label_name_legacy, is_valid_metric_name_legacy};
use model::{Metric, MetricFamily, MetricType, MetricValue};

use crate::escaping::{Escaping, escape_label_name, escape_metric_name};
use crate::float::{push_float, push_integer, push_openmetrics_float, push_unsigned};

/// Appends the families in text format.
pub fn write_text(families: &[MetricFamily], escaping: Escaping, out: &mut Vec<u8>) {
    let writer = Writer {
        openmetrics: false,
        as_given: false,
        escaping,
    };
    for family in sorted(families) {
        writer.family(family, out);
    }
}

/// The same with families, metrics and labels in the order that they have.
pub fn write_text_as_given(families: &[MetricFamily], escaping: Escaping, out: &mut Vec<u8>) {
    let writer = Writer {
        openmetrics: false,
        as_given: true,
        escaping,
    };
    for family in families.iter().filter(|f| !f.metrics.is_empty()) {
        writer.family(family, out);
    }
}

/// Appends the families in OpenMetrics text, with the closing `# EOF`.
pub fn write_openmetrics(families: &[MetricFamily], escaping: Escaping, out: &mut Vec<u8>) {
    let writer = Writer {
        openmetrics: true,
        as_given: false,
        escaping,
    };
    for family in sorted(families) {
        writer.family(family, out);
    }
    out.extend_from_slice(b"# EOF\n");
}

/// Families that have something to show, in order.
fn sorted(families: &[MetricFamily]) -> Vec<&MetricFamily> {
    let mut shown: Vec<&MetricFamily> = families.iter().filter(|f| !f.metrics.is_empty()).collect();
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    shown
}

/// The order of metrics in a family. Labels must be sorted by name.
pub fn metric_order(a: &Metric, b: &Metric) -> std::cmp::Ordering {
    let values = |m: &Metric| m.labels.len();
    values(a).cmp(&values(b)).then_with(|| {
        a.labels
            .iter()
            .map(|(_, value)| value)
            .cmp(b.labels.iter().map(|(_, value)| value))
    })
}

struct Writer {
    openmetrics: bool,
    /// Nothing is sorted.
    as_given: bool,
    escaping: Escaping,
}

impl Writer {
    fn family(&self, family: &MetricFamily, out: &mut Vec<u8>) {
        let name = escape_metric_name(&family.name, self.escaping);
        let name = name.as_ref();
        // OpenMetrics speaks of a counter's family without its ending, and knows no counter that lacks it.
        let (shown, kind) = match family.kind {
            MetricType::Counter if self.openmetrics => match name.strip_suffix("_total") {
                Some(base) => (base, MetricType::Counter),
                None => (name, MetricType::Unknown),
            },
            kind => (name, kind),
        };
        if !family.help.is_empty() {
            self.meta(b"# HELP ", shown, out);
            escape_help(&family.help, self.openmetrics, out);
            out.push(b'\n');
        }
        self.meta(b"# TYPE ", shown, out);
        out.extend_from_slice(self.type_word(kind).as_bytes());
        out.push(b'\n');
        if self.openmetrics && !family.unit.is_empty() {
            self.meta(b"# UNIT ", shown, out);
            out.extend_from_slice(family.unit.as_bytes());
            out.push(b'\n');
        }
        let ordered = family
            .metrics
            .iter()
            .all(|m| m.labels.is_sorted_by(|a, b| a.0 < b.0));
        let in_order = ordered
            && family
                .metrics
                .is_sorted_by(|a, b| metric_order(a, b).is_le());
        if self.as_given || in_order {
            for metric in &family.metrics {
                self.metric(name, metric, out);
            }
            return;
        }
        let mut metrics: Vec<Cow<'_, Metric>> = family.metrics.iter().map(Cow::Borrowed).collect();
        if !ordered {
            for metric in &mut metrics {
                metric.to_mut().labels.sort();
            }
        }
        metrics.sort_by(|a, b| metric_order(a, b));
        for metric in &metrics {
            self.metric(name, metric, out);
        }
    }

    fn meta(&self, keyword: &[u8], name: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(keyword);
        if is_valid_metric_name_legacy(name) {
            out.extend_from_slice(name.as_bytes());
        } else {
            quoted(name, out);
        }
        out.push(b' ');
    }

    fn type_word(&self, kind: MetricType) -> &'static str {
        match (kind, self.openmetrics) {
            (_, true) => kind.as_str(),
            (MetricType::Unknown, _) => "untyped",
            (MetricType::GaugeHistogram, _) => "histogram",
            (MetricType::Info | MetricType::StateSet, _) => "gauge",
            (kind, _) => kind.as_str(),
        }
    }

    fn metric(&self, name: &str, metric: &Metric, out: &mut Vec<u8>) {
        match &metric.value {
            MetricValue::Single(value) => {
                self.series(name, "", metric, None, out);
                self.float(*value, metric, out);
            }
            MetricValue::Histogram {
                buckets,
                sum,
                count,
                native: _,
            } => {
                let mut infinite = false;
                for (bound, cumulative) in buckets {
                    infinite |= *bound == f64::INFINITY;
                    self.series(name, "_bucket", metric, Some(("le", *bound)), out);
                    self.whole(*cumulative, metric, out);
                }
                if !infinite {
                    self.series(name, "_bucket", metric, Some(("le", f64::INFINITY)), out);
                    self.whole(*count, metric, out);
                }
                self.sum_and_count(name, metric, *sum, *count, out);
            }
            MetricValue::ClassicFloat {
                buckets,
                sum,
                count,
            } => {
                for (bound, cumulative) in buckets {
                    self.series(name, "_bucket", metric, Some(("le", *bound)), out);
                    self.float(*cumulative, metric, out);
                }
                self.series(name, "_sum", metric, None, out);
                self.float(*sum, metric, out);
                self.series(name, "_count", metric, None, out);
                self.float(*count, metric, out);
            }
            // No text can say it.
            MetricValue::NativeFloat(_) => {}
            MetricValue::Summary {
                quantiles,
                sum,
                count,
            } => {
                for (quantile, value) in quantiles {
                    self.series(name, "", metric, Some(("quantile", *quantile)), out);
                    self.float(*value, metric, out);
                }
                self.sum_and_count(name, metric, *sum, *count, out);
            }
        }
    }

    fn sum_and_count(&self, name: &str, metric: &Metric, sum: f64, count: u64, out: &mut Vec<u8>) {
        self.series(name, "_sum", metric, None, out);
        self.float(sum, metric, out);
        self.series(name, "_count", metric, None, out);
        self.whole(count, metric, out);
    }

    /// Name, labels, and the blank before the value.
    fn series(
        &self,
        name: &str,
        ending: &str,
        metric: &Metric,
        extra: Option<(&str, f64)>,
        out: &mut Vec<u8>,
    ) {
        let mut separator = b'{';
        if is_valid_metric_name_legacy(name) {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(ending.as_bytes());
        } else {
            out.push(b'{');
            quoted(&format!("{name}{ending}"), out);
            separator = b',';
        }
        for (label, value) in &metric.labels {
            out.push(separator);
            separator = b',';
            let label = escape_label_name(label, self.escaping);
            if is_valid_label_name_legacy(&label) {
                out.extend_from_slice(label.as_bytes());
            } else {
                quoted(&label, out);
            }
            out.push(b'=');
            quoted(value, out);
        }
        if let Some((label, value)) = extra {
            out.push(separator);
            separator = b',';
            out.extend_from_slice(label.as_bytes());
            out.extend_from_slice(b"=\"");
            if self.openmetrics {
                push_openmetrics_float(out, value);
            } else {
                push_float(out, value);
            }
            out.push(b'"');
        }
        if separator == b',' {
            out.push(b'}');
        }
        out.push(b' ');
    }

    fn float(&self, value: f64, metric: &Metric, out: &mut Vec<u8>) {
        if self.openmetrics {
            push_openmetrics_float(out, value);
        } else {
            push_float(out, value);
        }
        self.end(metric, out);
    }

    /// A count. OpenMetrics shows it as an integer, the text format as any float.
    fn whole(&self, value: u64, metric: &Metric, out: &mut Vec<u8>) {
        if self.openmetrics {
            push_unsigned(out, value);
        } else {
            push_float(out, value as f64);
        }
        self.end(metric, out);
    }

    fn end(&self, metric: &Metric, out: &mut Vec<u8>) {
        if let Some(timestamp) = metric.timestamp_ms {
            out.push(b' ');
            if self.openmetrics {
                push_openmetrics_float(out, timestamp as f64 / 1000.0);
            } else {
                push_integer(out, timestamp);
            }
        }
        out.push(b'\n');
    }
}

fn escape_help(text: &str, quotes: bool, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            byte => out.push(byte),
        }
    }
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(hit) = memchr::memchr3(b'"', b'\\', b'\n', rest) {
        out.extend_from_slice(&rest[..hit]);
        out.push(b'\\');
        out.push(if rest[hit] == b'\n' { b'n' } else { rest[hit] });
        rest = &rest[hit + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests;
