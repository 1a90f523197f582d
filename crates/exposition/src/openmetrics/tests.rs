use super::*;
use proptest::prelude::*;

fn read_with(mut parser: OpenMetricsParser<'_>) -> String {
    let mut out = String::new();
    loop {
        match parser.next() {
            Ok(Some(Entry::Series {
                timestamp, value, ..
            })) => {
                out += &format!("{} {value}", parser.labels());
                if let Some(timestamp) = timestamp {
                    out += &format!(" @{timestamp}");
                }
                if let Some(exemplar) = parser.exemplar() {
                    out += &format!(
                        " # {} {} {:?}",
                        exemplar.labels, exemplar.value, exemplar.timestamp
                    );
                }
                if let Some(start) = parser.start_timestamp() {
                    out += &format!(" from {start}");
                }
            }
            Ok(Some(Entry::Type { name, kind })) => {
                out += &format!("TYPE {name} {}", kind.as_str())
            }
            Ok(Some(Entry::Help { name, help })) => out += &format!("HELP {name} {help:?}"),
            Ok(Some(Entry::Unit { name, unit })) => out += &format!("UNIT {name} {unit:?}"),
            Ok(Some(other)) => out += &format!("{other:?}"),
            Ok(None) => return out,
            Err(error) => return format!("{out}line {}: {error}", error.line),
        }
        out.push('\n');
    }
}

fn read(body: &str) -> String {
    read_with(OpenMetricsParser::new(body.as_bytes()))
}

#[test]
fn reads_what_the_format_allows() {
    let body = r#"# HELP go_seconds Some \"help\"\n
# TYPE go_seconds summary
# UNIT go_seconds seconds
go_seconds{quantile="0"} 4.9351e-05
go_seconds{quantile="0.5",a="b",} 8.3835e-05 1.234
# TYPE hist histogram
hist_bucket{le="1"} 3 # {trace_id="a,b\"c"} 0.5 1.5
hist_bucket{le="+Inf"} 4 12 # {} 0.5
# TYPE hist gaugehistogram
# TYPE s stateset
{"s.x","q.q"="1"} 1
# UNIT s 
# EOF
"#;
    let want = r#"HELP go_seconds "Some \"help\"\n"
TYPE go_seconds summary
UNIT go_seconds "seconds"
{__name__="go_seconds", quantile="0.0"} 0.000049351
{__name__="go_seconds", a="b", quantile="0.5"} 0.000083835 @1234
TYPE hist histogram
{__name__="hist_bucket", le="1.0"} 3 # {trace_id="a,b\"c"} 0.5 Some(1500)
{__name__="hist_bucket", le="+Inf"} 4 @12000 # {} 0.5 Some(12000)
TYPE hist gaugehistogram
TYPE s stateset
{__name__="s.x", "q.q"="1"} 1
UNIT s ""
"#;
    assert_eq!(read(body), want);
    assert_eq!(read("# EOF"), "");
}

#[test]
fn errors_say_what_upstream_says() {
    for (body, text) in [
        ("", "data does not end with # EOF"),
        ("a 1\n", "data does not end with # EOF"),
        ("a 1\n# EOF\n\n", "unexpected data after # EOF"),
        (
            "a\n# EOF\n",
            r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#,
        ),
        (
            "\n\na 1\n# EOF\n",
            r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#,
        ),
        (
            "# TYPE a untyped\n# EOF\n",
            r#"invalid metric type "untyped""#,
        ),
        (
            "# UNIT a_b_s seconds\n# EOF\n",
            r#"unit "seconds" not a suffix of metric "a_b_s""#,
        ),
        (
            "# UNIT aseconds seconds\n# EOF\n",
            r#"unit "seconds" not a suffix of metric "aseconds""#,
        ),
        (
            "a{b=\"c\" d=\"e\"} 1\n# EOF\n",
            r#"expected comma or brace close, got " " ("INVALID") while parsing: "a{b=\"c\" ""#,
        ),
        ("a 1 NaN\n# EOF\n", "invalid timestamp NaN"),
        (
            "a 1 1 # {b=\"c\"} 1 Inf\n# EOF\n",
            "invalid exemplar timestamp +Inf",
        ),
        (
            "a 1 # {\"b\"} 1\n# EOF\n",
            r#"expected equal, got "} " ("BRACECLOSE") while parsing: "a 1 # {\"b\"} ""#,
        ),
        (
            "a  1\n# EOF\n",
            r#"expected value after metric, got " " ("INVALID") while parsing: "a ""#,
        ),
        (
            "{a=\"b\"} 1\n# EOF\n",
            r#"metric name not set while parsing: "{a=\"b\"}""#,
        ),
        (
            "a{b='c'} 1\n# EOF\n",
            r#"expected label value, got "'" ("INVALID") while parsing: "a{b='""#,
        ),
    ] {
        let got = read(body);
        let message = got
            .lines()
            .last()
            .and_then(|l| l.split_once(": "))
            .map_or("", |(_, m)| m);
        assert_eq!(message, text, "{body:?}");
    }
}

#[test]
fn created_samples_become_start_timestamps() {
    let body = r#"# TYPE c counter
c_total{a="1"} 5
c_total{a="2"} 6
c_created{a="2"} 2.5
c_created{a="1"} 1.5
# TYPE h histogram
h_bucket{le="+Inf"} 1
h_count 1
h_sum 1
h_created 9
# TYPE g gauge
g_created 4
# EOF
"#;
    let got = read_with(OpenMetricsParser::new(body.as_bytes()).with_start_timestamps());
    let want = r#"TYPE c counter
{__name__="c_total", a="1"} 5 from 1500
{__name__="c_total", a="2"} 6 from 2500
TYPE h histogram
{__name__="h_bucket", le="+Inf"} 1 from 9000
{__name__="h_count"} 1 from 9000
{__name__="h_sum"} 1 from 9000
TYPE g gauge
{__name__="g_created"} 4
"#;
    assert_eq!(got, want);
    assert!(read(body).contains("c_created"));
}

proptest! {
    #[test]
    fn any_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut parser = OpenMetricsParser::new(&body).with_start_timestamps();
        while let Ok(Some(_)) = parser.next() {
            parser.labels();
            parser.exemplar();
            parser.start_timestamp();
        }
    }
}
