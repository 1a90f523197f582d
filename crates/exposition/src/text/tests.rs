use super::*;
use proptest::prelude::*;

/// All entries, one a line, or the first error.
fn read(body: &str) -> String {
    let mut parser = TextParser::new(body.as_bytes());
    let mut out = String::new();
    loop {
        match parser.next() {
            Ok(Some(Entry::Series {
                series,
                timestamp,
                value,
            })) => {
                assert!(body.as_bytes().windows(series.len()).any(|w| w == series));
                out += &format!("{} {value}", parser.labels());
                if let Some(timestamp) = timestamp {
                    out += &format!(" @{timestamp}");
                }
            }
            Ok(Some(Entry::Type { name, kind })) => {
                out += &format!("TYPE {name} {}", kind.as_str())
            }
            Ok(Some(Entry::Help { name, help })) => out += &format!("HELP {name} {help:?}"),
            Ok(Some(Entry::Comment(text))) => {
                out += &format!("COMMENT {}", String::from_utf8_lossy(text))
            }
            Ok(Some(other)) => out += &format!("{other:?}"),
            Ok(None) => return out,
            Err(error) => return format!("{out}line {}: {error}", error.line),
        }
        out.push('\n');
    }
}

fn message(body: &[u8]) -> String {
    let mut parser = TextParser::new(body);
    loop {
        match parser.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("accepted {:?}", String::from_utf8_lossy(body)),
            Err(error) => return error.message,
        }
    }
}

#[test]
fn reads_what_the_format_allows() {
    let body = r#"# HELP go_gc_duration_seconds A \\ "summary"\n of \x.
# 	TYPE go_gc_duration_seconds summary
#comment without blank
go_gc_duration_seconds{quantile="0"} 4.9351e-05
go_gc_duration_seconds{quantile="0.25",} 7.424100000000001e-05

  go_gc_duration_seconds {  quantile = "0.5" , a="b" }   8.3835e-05 	 1234
go_gc_duration_seconds_count 99 5
nolabels{} +Inf
# HELP
# HELP x
# TYPE odd histogram
odd_bucket{le="1",a="2" b="x\"y\\z\nw"} 3
odd_bucket{le="1e3"}4
odd_bucket{le="+inf"} NaN
{"my.metric",  "my.label"="v",} 5
{a="b","my.metric"} 6
# TYPE "my.metric" gauge
last 7"#;
    let want = r#"HELP go_gc_duration_seconds "A \\ \"summary\"\n of \\x."
TYPE go_gc_duration_seconds summary
COMMENT #comment without blank
{__name__="go_gc_duration_seconds", quantile="0.0"} 0.000049351
{__name__="go_gc_duration_seconds", quantile="0.25"} 0.00007424100000000001
{__name__="go_gc_duration_seconds", a="b", quantile="0.5"} 0.000083835 @1234
{__name__="go_gc_duration_seconds_count"} 99 @5
{__name__="nolabels"} inf
COMMENT # HELP
HELP x ""
TYPE odd histogram
{__name__="odd_bucket", a="2", b="x\"y\\z\nw", le="1.0"} 3
{__name__="odd_bucket", le="1000.0"} 4
{__name__="odd_bucket", le="+Inf"} NaN
{__name__="my.metric", "my.label"="v"} 5
{__name__="my.metric", a="b"} 6
TYPE my.metric gauge
{__name__="last"} 7
"#;
    assert_eq!(read(body), want);
    assert_eq!(read(""), "");
    assert_eq!(read("\n\n  \t\n"), "");
}

#[test]
fn errors_say_what_upstream_says() {
    for (body, text) in [
        (
            "a",
            r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#,
        ),
        (
            "a 1 -5\n",
            r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "a 1 -""#,
        ),
        (
            "a{b='c'} 1\n",
            r#"expected label value, got "'" ("INVALID") while parsing: "a{b='""#,
        ),
        (
            "a{b=\n",
            r#"expected label value, got "\n" ("INVALID") while parsing: "a{b=\n""#,
        ),
        (
            "a true\n",
            r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a true""#,
        ),
        (
            "something_weird{problem=\"",
            r#"expected label value, got "\"\n" ("INVALID") while parsing: "something_weird{problem=\"\n""#,
        ),
        (
            "empty_label_name{=\"\"} 0",
            r#"expected label name, got "=\"" ("EQUAL") while parsing: "empty_label_name{=\"""#,
        ),
        (
            "foo 1_2\n",
            r#"unsupported character in float while parsing: "foo 1_2""#,
        ),
        (
            "foo 0x1p-3\n",
            r#"unsupported character in float while parsing: "foo 0x1p-3""#,
        ),
        (
            "foo 0 1_2\n",
            r#"expected next entry after timestamp, got "_" ("INVALID") while parsing: "foo 0 1_""#,
        ),
        (
            "{a=\"ok\"} 1",
            r#"metric name not set while parsing: "{a=\"ok\"}""#,
        ),
        (
            "{\"a\",\"b\"} 1",
            r#"metric name already set while parsing: "{\"a\",\"b\"}""#,
        ),
        ("# TYPE a wrong\n", r#"invalid metric type "wrong""#),
        (
            "a{b=\"c\"} 1 x\n",
            r#"expected timestamp or new record, got "x" ("INVALID") while parsing: "a{b=\"c\"} 1 x""#,
        ),
        (
            "a 1 99999999999999999999\n",
            r#"strconv.ParseInt: parsing "99999999999999999999": value out of range while parsing: "a 1 99999999999999999999""#,
        ),
    ] {
        let got = message(body.as_bytes());
        assert_eq!(got, text, "{body:?}");
    }
    assert_eq!(
        message(b"a{b=\"\xff\"} 1\n"),
        r#"invalid UTF-8 label value: "\"\xff\"""#
    );
    assert_eq!(
        message(b"a{b=\x00\"ssss\"} 1\n"),
        r#"expected label value, got "\x00" ("INVALID") while parsing: "a{b=\x00""#
    );
    assert_eq!(
        message(b"a{b\x00=\"hiih\"}\t1"),
        r#"expected equal, got "\x00" ("INVALID") while parsing: "a{b\x00""#
    );
    assert_eq!(
        message(b"a\x00{b=\"ddd\"} 1"),
        r#"expected value after metric, got "\x00" ("INVALID") while parsing: "a\x00""#
    );
    assert!(message(b"# HELP a \xff\n").contains("is not a valid utf8 string"));
    let mut parser = TextParser::new(b"a 1\n\n# x\nb{ 2\n");
    let line = loop {
        if let Err(error) = parser.next() {
            break error.line;
        }
    };
    assert_eq!(line, 4);
}

#[test]
fn raw_labels_keep_empty_values_and_duplicates() {
    let mut parser = TextParser::new(b"a{b=\"\",c=\"1\",c=\"2\"} 1\n");
    parser.next().unwrap();
    let mut seen = Vec::new();
    parser.each_label(|name, value| seen.push(format!("{name}={value}")));
    assert_eq!(seen, ["__name__=a", "b=", "c=1", "c=2"]);
    assert_eq!(parser.distinct_labels(), Err("c".to_string()));
    assert_eq!(parser.labels().to_string(), r#"{__name__="a", c="2"}"#);
}

#[test]
fn no_forged_staleness() {
    let mut parser = TextParser::new(b"a nan\n");
    let Ok(Some(Entry::Series { value, .. })) = parser.next() else {
        panic!()
    };
    assert_eq!(value.to_bits(), model::sample::NORMAL_NAN_BITS);
}

proptest! {
    #[test]
    fn any_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut parser = TextParser::new(&body);
        while let Ok(Some(_)) = parser.next() {
            parser.labels();
        }
    }

    #[test]
    fn what_was_quoted_is_read_back(name in "[a-zé. ]{1,8}", value in "[ -~é\n]{0,12}") {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let body = format!("m{{\"{name}\"=\"{escaped}\"}} 1");
        let mut parser = TextParser::new(body.as_bytes());
        prop_assert!(parser.next().unwrap().is_some());
        let labels = parser.labels();
        prop_assert_eq!(labels.get(&name).unwrap_or(""), value);
    }
}

#[test]
fn known_label_sets_are_not_read_again() {
    let body = b"# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2 7\nb 3\n";
    let mut parser = TextParser::new(body);
    let mut out = String::new();
    // Asked at sample lines only, with all that follows; what is taken is the series, without a look at it.
    let known = |rest: &[u8]| rest.starts_with(b"a{x").then_some(8);
    while let Some(entry) = parser.next_known(known).expect("accepted") {
        if let Entry::Series {
            series,
            timestamp,
            value,
        } = entry
        {
            let series = String::from_utf8_lossy(series);
            out += &format!("{series} {value} {timestamp:?} {}\n", parser.labels());
        }
    }
    assert_eq!(
        out,
        "a{x=\"1\"} 1 None {__name__=\"a\", x=\"1\"}\n\
         a{x=\"2\"} 2 Some(7) {__name__=\"a\", x=\"2\"}\n\
         b 3 None {__name__=\"b\"}\n"
    );
    let beyond = |rest: &[u8]| Some(rest.len() + 1);
    let entry = TextParser::new(b"a 1\n").next_known(beyond);
    assert!(matches!(entry, Ok(Some(Entry::Series { .. }))));
}
