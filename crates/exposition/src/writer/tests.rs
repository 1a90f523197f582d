use super::*;
use crate::{Entry, OpenMetricsParser, TextParser};

fn metric(labels: &[(&'static str, &str)], value: MetricValue) -> Metric {
    Metric {
        labels: labels
            .iter()
            .map(|(n, v)| ((*n).into(), v.to_string()))
            .collect(),
        value,
        timestamp_ms: None,
    }
}

fn family(name: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    MetricFamily {
        metrics,
        ..MetricFamily::new(name, format!("Help of {name}\\\n\"x\"."), kind)
    }
}

fn sample() -> Vec<MetricFamily> {
    use MetricValue::*;
    let mut timed = metric(&[], Single(1.5));
    timed.timestamp_ms = Some(1234);
    vec![
        family("z", MetricType::Unknown, vec![timed]),
        family("empty", MetricType::Gauge, vec![]),
        family(
            "c_total",
            MetricType::Counter,
            vec![
                metric(&[("b", "2"), ("a", "x\"y\\z\n")], Single(3e6)),
                metric(&[("a", "9"), ("b", "1")], Single(2.0)),
                metric(&[("a", "9")], Single(1.0)),
            ],
        ),
        family(
            "h_seconds",
            MetricType::Histogram,
            vec![metric(
                &[("a", "1")],
                Histogram {
                    buckets: vec![(0.5, 1), (1.0, 2)],
                    sum: 7.25,
                    count: 3_000_000,
                    native: None,
                },
            )],
        ),
        family(
            "s",
            MetricType::Summary,
            vec![metric(
                &[],
                Summary {
                    quantiles: vec![(0.5, 0.1), (1.0, f64::NAN)],
                    sum: 1.0,
                    count: 2,
                },
            )],
        ),
        family(
            "my.metric",
            MetricType::Gauge,
            vec![metric(&[("my.label", "v")], Single(0.0))],
        ),
    ]
}

#[test]
fn text_is_byte_exact() {
    let mut out = Vec::new();
    write_text(&sample(), Escaping::AllowUtf8, &mut out);
    let want = r#"# HELP c_total Help of c_total\\\n"x".
# TYPE c_total counter
c_total{a="9"} 1
c_total{a="9",b="1"} 2
c_total{a="x\"y\\z\n",b="2"} 3e+06
# HELP h_seconds Help of h_seconds\\\n"x".
# TYPE h_seconds histogram
h_seconds_bucket{a="1",le="0.5"} 1
h_seconds_bucket{a="1",le="1"} 2
h_seconds_bucket{a="1",le="+Inf"} 3e+06
h_seconds_sum{a="1"} 7.25
h_seconds_count{a="1"} 3e+06
# HELP "my.metric" Help of my.metric\\\n"x".
# TYPE "my.metric" gauge
{"my.metric","my.label"="v"} 0
# HELP s Help of s\\\n"x".
# TYPE s summary
s{quantile="0.5"} 0.1
s{quantile="1"} NaN
s_sum 1
s_count 2
# HELP z Help of z\\\n"x".
# TYPE z untyped
z 1.5 1234
"#;
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn openmetrics_is_byte_exact() {
    let mut out = Vec::new();
    write_openmetrics(&sample(), Escaping::Underscores, &mut out);
    let want = r#"# HELP c Help of c_total\\\n\"x\".
# TYPE c counter
c_total{a="9"} 1.0
c_total{a="9",b="1"} 2.0
c_total{a="x\"y\\z\n",b="2"} 3e+06
# HELP h_seconds Help of h_seconds\\\n\"x\".
# TYPE h_seconds histogram
h_seconds_bucket{a="1",le="0.5"} 1
h_seconds_bucket{a="1",le="1.0"} 2
h_seconds_bucket{a="1",le="+Inf"} 3000000
h_seconds_sum{a="1"} 7.25
h_seconds_count{a="1"} 3000000
# HELP my_metric Help of my.metric\\\n\"x\".
# TYPE my_metric gauge
my_metric{my_label="v"} 0.0
# HELP s Help of s\\\n\"x\".
# TYPE s summary
s{quantile="0.5"} 0.1
s{quantile="1.0"} NaN
s_sum 1.0
s_count 2
# HELP z Help of z\\\n\"x\".
# TYPE z unknown
z 1.5 1.234
# EOF
"#;
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn our_parsers_read_what_we_write() {
    let mut text = Vec::new();
    write_text(&sample(), Escaping::AllowUtf8, &mut text);
    let mut parser = TextParser::new(&text);
    let mut first = Vec::new();
    while let Some(entry) = parser.next().unwrap() {
        if let Entry::Series { value, .. } = entry {
            first.push(format!("{} {value}", parser.labels()));
        }
    }
    let mut openmetrics = Vec::new();
    write_openmetrics(&sample(), Escaping::AllowUtf8, &mut openmetrics);
    let mut parser = OpenMetricsParser::new(&openmetrics);
    let mut second = Vec::new();
    while let Some(entry) = parser.next().unwrap() {
        if let Entry::Series { value, .. } = entry {
            second.push(format!("{} {value}", parser.labels()));
        }
    }
    assert_eq!(first, second);
    assert_eq!(first.len(), 14);
}

#[test]
fn counts_that_are_not_whole_are_shown_as_they_are() {
    let mut family = MetricFamily::new("rate", "", MetricType::Histogram);
    family.metrics.push(Metric {
        labels: vec![("z".into(), "1".into()), ("a".into(), "2".into())],
        value: MetricValue::ClassicFloat {
            buckets: vec![(0.5, 0.25), (f64::INFINITY, 1.5)],
            sum: 3.0,
            count: 1.5,
        },
        timestamp_ms: Some(7),
    });
    let mut out = Vec::new();
    write_text_as_given(&[family.clone()], Escaping::AllowUtf8, &mut out);
    let want = "# TYPE rate histogram\nrate_bucket{z=\"1\",a=\"2\",le=\"0.5\"} 0.25 7\nrate_bucket{z=\"1\",a=\"2\",le=\"+Inf\"} 1.5 7\nrate_sum{z=\"1\",a=\"2\"} 3 7\nrate_count{z=\"1\",a=\"2\"} 1.5 7\n";
    assert_eq!(String::from_utf8_lossy(&out), want);
    let mut sorted = Vec::new();
    write_text(&[family], Escaping::AllowUtf8, &mut sorted);
    let sorted = String::from_utf8_lossy(&sorted);
    assert!(
        sorted.contains("rate_count{a=\"2\",z=\"1\"} 1.5 7\n"),
        "{sorted}"
    );
}
