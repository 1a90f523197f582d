//! Advice on metric names and shapes, as `promtool check metrics` gives it.
//!
//! The texts are upstream's: people filter and count them in their pipelines.

use model::{Metric, MetricFamily, MetricType, MetricValue};

/// Something a metric should do otherwise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The metric family.
    pub metric: String,
    /// What to change.
    pub text: String,
}

/// Units and their base units. The base units stand for themselves.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: [&str; 14] = [
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d",
];

/// All problems of the families, sorted by metric and text.
pub fn lint(families: &[MetricFamily]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for family in families {
        let mut say = |text: String| {
            problems.push(Problem {
                metric: family.name.clone(),
                text,
            })
        };
        if family.help.is_empty() {
            say("no help text".into());
        }
        units(family, &mut say);
        counters(family, &mut say);
        reserved(family, &mut say);
        names(family, &mut say);
        duplicates(family, &mut say);
    }
    problems.sort();
    problems
}

fn units(family: &MetricFamily, say: &mut impl FnMut(String)) {
    for word in family.name.split('_') {
        let found = UNITS.iter().find_map(|(unit, base)| {
            let prefix = word.strip_suffix(unit)?;
            (prefix.is_empty() || PREFIXES.contains(&prefix)).then_some(*base)
        });
        if let Some(base) = found {
            if word != base {
                say(format!("use base unit \"{base}\" instead of \"{word}\""));
            }
            return;
        }
    }
}

fn counters(family: &MetricFamily, say: &mut impl FnMut(String)) {
    let total = family.name.ends_with("_total");
    match family.kind {
        MetricType::Counter if !total => {
            say("counter metrics should have \"_total\" suffix".into())
        }
        MetricType::Counter | MetricType::Unknown => {}
        _ if total => say("non-counter metrics should not have \"_total\" suffix".into()),
        _ => {}
    }
}

/// Name endings and labels that histograms and summaries own.
fn reserved(family: &MetricFamily, say: &mut impl FnMut(String)) {
    if family.kind == MetricType::Unknown {
        return;
    }
    let histogram = matches!(
        family.kind,
        MetricType::Histogram | MetricType::GaugeHistogram
    );
    let summary = family.kind == MetricType::Summary;
    if !histogram && family.name.ends_with("_bucket") {
        say("non-histogram metrics should not have \"_bucket\" suffix".into());
    }
    for ending in ["_count", "_sum"] {
        if !histogram && !summary && family.name.ends_with(ending) {
            say(format!(
                "non-histogram and non-summary metrics should not have \"{ending}\" suffix"
            ));
        }
    }
    let has = |metric: &Metric, name: &str| metric.labels.iter().any(|(label, _)| label == name);
    if !histogram && family.metrics.iter().any(|metric| has(metric, "le")) {
        say("non-histogram metrics should not have \"le\" label".into());
    }
    if !summary && family.metrics.iter().any(|metric| has(metric, "quantile")) {
        say("non-summary metrics should not have \"quantile\" label".into());
    }
}

fn names(family: &MetricFamily, say: &mut impl FnMut(String)) {
    let lower = family.name.to_lowercase();
    let contains =
        |word: &str| lower.contains(&format!("_{word}_")) || lower.ends_with(&format!("_{word}"));
    if family.kind != MetricType::Unknown {
        let kind = match family.kind {
            MetricType::GaugeHistogram => "gauge_histogram",
            kind => kind.as_str(),
        };
        if contains(kind) {
            say(format!("metric name should not include type '{kind}'"));
        }
    }
    if family.name.contains(':') {
        say("metric names should not contain ':'".into());
    }
    if is_camel_case(&family.name) {
        say("metric names should be written in 'snake_case' not 'camelCase'".into());
    }
    if family
        .metrics
        .iter()
        .flat_map(|m| &m.labels)
        .any(|(label, _)| is_camel_case(label))
    {
        say("label names should be written in 'snake_case' not 'camelCase'".into());
    }
    if ABBREVIATIONS.iter().any(|word| contains(word)) {
        say("metric names should not contain abbreviated units".into());
    }
}

fn is_camel_case(name: &str) -> bool {
    name.as_bytes()
        .windows(2)
        .any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

fn duplicates(family: &MetricFamily, say: &mut impl FnMut(String)) {
    let mut seen = std::collections::HashSet::with_capacity(family.metrics.len());
    if family
        .metrics
        .iter()
        .any(|metric| !seen.insert(&metric.labels))
    {
        say("metric not unique".into());
    }
}

/// How many series a family makes in storage, and their part of all, in per cent.
#[derive(Debug, Clone, PartialEq)]
pub struct Cardinality {
    /// The metric family.
    pub metric: String,
    /// Series.
    pub series: usize,
    /// Part of the whole page.
    pub percentage: f64,
}

/// The families by number of series, largest first, and the total.
pub fn cardinalities(families: &[MetricFamily]) -> (Vec<Cardinality>, usize) {
    let count = |metric: &Metric| match &metric.value {
        MetricValue::Single(_) => 1,
        MetricValue::Histogram { buckets, .. } => buckets.len() + 2,
        MetricValue::ClassicFloat { buckets, .. } => buckets.len() + 2,
        MetricValue::NativeFloat(_) => 1,
        MetricValue::Summary { quantiles, .. } => quantiles.len() + 2,
    };
    let mut all: Vec<Cardinality> = families
        .iter()
        .map(|family| Cardinality {
            metric: family.name.clone(),
            series: family.metrics.iter().map(count).sum(),
            percentage: 0.0,
        })
        .collect();
    let total: usize = all.iter().map(|entry| entry.series).sum();
    for entry in &mut all {
        entry.percentage = if total == 0 {
            0.0
        } else {
            entry.series as f64 * 100.0 / total as f64
        };
    }
    all.sort_by(|a, b| {
        b.series
            .cmp(&a.series)
            .then_with(|| a.metric.cmp(&b.metric))
    });
    (all, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::read_families;

    const PAGE: &str = "\
# TYPE no_help gauge
no_help 1
# HELP a_milliseconds x
# TYPE a_milliseconds gauge
a_milliseconds 1
# HELP c_requests x
# TYPE c_requests counter
c_requests 1
# HELP g_total x
# TYPE g_total gauge
g_total{le=\"1\",quantile=\"2\",camelCase=\"x\"} 1
# HELP b_bucket x
# TYPE b_bucket gauge
b_bucket 1
# HELP b_count x
# TYPE b_count gauge
b_count 1
# HELP b_sum x
# TYPE b_sum gauge
b_sum 1
# HELP x_gauge_y x
# TYPE x_gauge_y gauge
x_gauge_y 1
# HELP a:b x
# TYPE a:b gauge
a:b 1
# HELP camelCase x
# TYPE camelCase gauge
camelCase 1
# HELP x_ms x
# TYPE x_ms gauge
x_ms 1
# HELP d_thermometers x
# TYPE d_thermometers gauge
d_thermometers{a=\"1\"} 1
d_thermometers{a=\"1\"} 2
# HELP h_seconds x
# TYPE h_seconds histogram
h_seconds_bucket{quantile=\"1\",le=\"1\"} 1
h_seconds_bucket{quantile=\"1\",le=\"+Inf\"} 1
h_seconds_sum{quantile=\"1\"} 1
h_seconds_count{quantile=\"1\"} 1
# HELP s_untyped_total_bucket x
# TYPE s_untyped_total_bucket untyped
s_untyped_total_bucket{le=\"1\"} 1
# HELP sm_summary x
# TYPE sm_summary summary
sm_summary{quantile=\"0.5\"} 1
sm_summary{quantile=\"0.9\"} 1
sm_summary_sum 1
sm_summary_count 1
";

    fn problems(page: &str) -> String {
        lint(&read_families(page.as_bytes()).unwrap())
            .iter()
            .map(|problem| format!("{} {}\n", problem.metric, problem.text))
            .collect()
    }

    #[test]
    fn the_advice_is_upstreams() {
        let want = "\
a:b metric names should not contain ':'
a_milliseconds use base unit \"seconds\" instead of \"milliseconds\"
b_bucket non-histogram metrics should not have \"_bucket\" suffix
b_count non-histogram and non-summary metrics should not have \"_count\" suffix
b_sum non-histogram and non-summary metrics should not have \"_sum\" suffix
c_requests counter metrics should have \"_total\" suffix
camelCase metric names should be written in 'snake_case' not 'camelCase'
d_thermometers metric not unique
g_total label names should be written in 'snake_case' not 'camelCase'
g_total non-counter metrics should not have \"_total\" suffix
g_total non-histogram metrics should not have \"le\" label
g_total non-summary metrics should not have \"quantile\" label
h_seconds non-summary metrics should not have \"quantile\" label
no_help no help text
sm_summary metric name should not include type 'summary'
x_gauge_y metric name should not include type 'gauge'
x_ms metric names should not contain abbreviated units
";
        assert_eq!(problems(PAGE), want);
        // The real tool agrees, where there is one; the version in Debian does not look for duplicates yet.
        let Some(theirs) = promtool(PAGE) else { return };
        assert_eq!(
            theirs,
            want.replace("d_thermometers metric not unique\n", "")
        );
    }

    fn promtool(page: &str) -> Option<String> {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: comparison with promtool, which is not installed");
            return None;
        };
        child.stdin.take()?.write_all(page.as_bytes()).ok()?;
        let output = child.wait_with_output().ok()?;
        Some(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn series_are_counted() {
        let (all, total) = cardinalities(&read_families(PAGE.as_bytes()).unwrap());
        assert_eq!(total, 22);
        assert_eq!((all[0].metric.as_str(), all[0].series), ("h_seconds", 4));
        assert!((all.iter().map(|entry| entry.percentage).sum::<f64>() - 100.0).abs() < 1e-9);
    }
}
