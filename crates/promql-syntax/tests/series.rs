//! The series notation of test scripts.

use promql_syntax::{SeriesValue, parse_series, parse_start_times};

fn values(text: &str) -> String {
    match parse_series(text) {
        Ok(series) => {
            let values: Vec<String> = series
                .values
                .iter()
                .map(|v| match v {
                    SeriesValue::Omitted => "_".to_string(),
                    SeriesValue::Float(f) if model::sample::is_stale_nan(*f) => "stale".to_string(),
                    SeriesValue::Float(f) => f.to_string(),
                    SeriesValue::Histogram(h, _) => h.to_string(),
                })
                .collect();
            format!("{} {}", series.labels, values.join(" "))
        }
        Err(e) => e.to_string(),
    }
}

#[test]
fn notation() {
    for (text, want) in [
        ("m{a=\"b\"} 1 -2.5 +3", "{__name__=\"m\", a=\"b\"} 1 -2.5 3"),
        ("m 1+2x3", "{__name__=\"m\"} 1 3 5 7"),
        ("m 0x3", "{__name__=\"m\"} 0 0 0 0"),
        ("m _ _x2 stale 5", "{__name__=\"m\"} _ _ _ stale 5"),
        ("m 1-1x1 5m NaN -Inf", "{__name__=\"m\"} 1 0 300 NaN -inf"),
        ("{} 1", "{} 1"),
        ("{\"a b\", c=\"d\"} 1", "{__name__=\"a b\", c=\"d\"} 1"),
        ("sum 1", "{__name__=\"sum\"} 1"),
        (
            "m {{schema:0 count:3 sum:2 buckets:[1 2]}}x1",
            "{__name__=\"m\"} {count:3, sum:2, (0.5,1]:1, (1,2]:2} {count:3, sum:2, (0.5,1]:1, (1,2]:2}",
        ),
        (
            "m {{count:1 sum:1 buckets:[1]}}+{{count:1 sum:2 buckets:[0 1]}}x1",
            "{__name__=\"m\"} {count:1, sum:1, (0.5,1]:1} {count:2, sum:3, (0.5,1]:1, (1,2]:1}",
        ),
    ] {
        assert_eq!(values(text), want, "{text}");
    }
}

#[test]
fn refusals() {
    for text in [
        "m 1+2",
        "m x3",
        "m 1x99999999999",
        "m {{schema:0 schema:1}}",
        "m {{nope:1}}",
        "m {{schema:2}}+{{schema:1}}x2",
        "m 1,2",
        "m{a!=\"b\"} 1",
    ] {
        assert!(parse_series(text).is_err(), "{text}");
    }
}

#[test]
fn start_times() {
    assert_eq!(
        parse_start_times("_ -1m -1m+10sx2 _x2").unwrap(),
        vec![
            None,
            Some(-60_000),
            Some(-60_000),
            Some(-50_000),
            Some(-40_000),
            None,
            None
        ]
    );
}
