//! What was expected and what was got, side by side.

use model::labels::go_quote;
use model::number::format_float_g;
use model::{FloatHistogram, Labels, ResetHint};

/// An alert's labels and annotations.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AlertLine {
    pub labels: Labels,
    pub annotations: Labels,
}

/// A sample of an answer.
#[derive(Clone, Debug)]
pub(super) struct SampleLine {
    pub labels: Labels,
    pub value: f64,
    /// A histogram in series notation; `""` for a float.
    pub histogram: String,
}

impl SampleLine {
    /// Equal in labels and value; with `fuzzy` values may be neighbours.
    pub fn fits(&self, other: &SampleLine, fuzzy: bool) -> bool {
        let values = self.value == other.value
            || (fuzzy && self.value.next_up() == other.value)
            || (fuzzy && self.value.next_down() == other.value);
        self.labels == other.labels && self.histogram == other.histogram && values
    }

    fn shown(&self) -> String {
        if self.histogram.is_empty() {
            format!("{} {}", self.labels, format_e(self.value))
        } else {
            format!("{} {}", self.labels, self.histogram)
        }
    }
}

/// Go's `FormatFloat(v, 'E', -1, 64)`.
fn format_e(v: f64) -> String {
    if !v.is_finite() {
        return model::number::format_float(v);
    }
    let text = format!("{v:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}E{sign}{digits:0>2}")
}

/// Samples in a row.
pub(super) fn samples(lines: &[SampleLine]) -> String {
    if lines.is_empty() {
        return "nil".into();
    }
    let shown: Vec<String> = lines.iter().map(SampleLine::shown).collect();
    shown.join(", ")
}

/// Alerts as a numbered list.
pub(super) fn alerts(lines: &[AlertLine]) -> String {
    if lines.is_empty() {
        return "[]".into();
    }
    let mut out = String::from("[\n");
    for (i, alert) in lines.iter().enumerate() {
        out.push_str(&format!(
            "            {i}:\n              Labels:{}\n              Annotations:{}\n",
            alert.labels, alert.annotations
        ));
    }
    out.push_str("            ]");
    out
}

/// A histogram in series notation, with its hint.
pub(super) fn histogram(h: &FloatHistogram) -> String {
    let mut parts = Vec::new();
    let mut number = |name: &str, v: f64| {
        if v != 0.0 {
            parts.push(format!("{name}:{}", format_float_g(v)));
        }
    };
    number("schema", f64::from(h.schema));
    number("count", h.count);
    number("sum", h.sum);
    number("z_bucket", h.zero_count);
    number("z_bucket_w", h.zero_threshold);
    let list = |values: &[f64]| {
        let shown: Vec<String> = values.iter().map(|v| format_float_g(*v)).collect();
        format!("[{}]", shown.join(" "))
    };
    if let Some(bounds) = &h.custom_values {
        parts.push(format!("custom_values:{}", list(bounds)));
    }
    match h.reset_hint {
        ResetHint::Unknown => {}
        ResetHint::CounterReset => parts.push("counter_reset_hint:reset".into()),
        ResetHint::NotCounterReset => parts.push("counter_reset_hint:not_reset".into()),
        ResetHint::Gauge => parts.push("counter_reset_hint:gauge".into()),
    }
    for (prefix, spans, buckets) in [
        ("", &h.positive_spans, &h.positive_buckets),
        ("n_", &h.negative_spans, &h.negative_buckets),
    ] {
        // Series notation has one run of buckets: gaps are empty ones.
        let mut all: Vec<f64> = Vec::new();
        let mut values = buckets.iter();
        let mut first = None;
        for span in spans {
            match first {
                None => first = Some(span.offset),
                Some(_) => all.extend((0..span.offset.clamp(0, 100_000)).map(|_| 0.0)),
            }
            all.extend(values.by_ref().take(span.length as usize));
        }
        if let Some(offset) = first.filter(|offset| *offset != 0) {
            parts.push(format!("{prefix}offset:{offset}"));
        }
        if !all.is_empty() {
            parts.push(format!("{prefix}buckets:{}", list(&all)));
        }
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

/// Lines that differ, those expected in red, those got in green.
pub(super) fn diff(expected: &str, got: &str) -> String {
    let mut out = String::new();
    let got_lines: Vec<&str> = got.lines().collect();
    let expected_lines: Vec<&str> = expected.lines().collect();
    for line in &expected_lines {
        if got_lines.contains(line) {
            out.push_str(&format!("            {line}\n"));
        } else {
            out.push_str(&format!("        \u{1b}[0;31m-   {line}\u{1b}[0m\n"));
        }
    }
    for line in got_lines.iter().filter(|l| !expected_lines.contains(l)) {
        out.push_str(&format!("        \u{1b}[0;32m+   {line}\u{1b}[0m\n"));
    }
    out
}

/// Alerts as JSON, for [`diff`].
pub(super) fn alerts_json(lines: &[AlertLine]) -> String {
    let all: Vec<serde_json::Value> = lines
        .iter()
        .map(|a| serde_json::json!({"Labels": a.labels, "Annotations": a.annotations}))
        .collect();
    serde_json::to_string_pretty(&all).unwrap_or_default()
}

/// Samples as JSON, for [`diff`].
pub(super) fn samples_json(lines: &[SampleLine]) -> String {
    let all: Vec<String> = lines.iter().map(SampleLine::shown).collect();
    serde_json::to_string_pretty(&all).unwrap_or_default()
}

/// `"..."` as Go quotes it.
pub(super) fn quoted(text: &str) -> String {
    go_quote(text)
}
