//! JSON as upstream writes it: label sets in order, times in seconds, values as strings.

use model::number::format_float;
use model::{FloatHistogram, Labels};
use promql::{ResultSeries, Sample, SampleValue, Value};

/// Appends a string, escaped as Go's encoder does it for web pages: `<`, `>`, `&` and the two line separators too.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, true);
}

fn push_escaped(out: &mut Vec<u8>, text: &str, html: bool) {
    out.push(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let escaped: Option<(usize, String)> = match bytes[at] {
            b'"' => Some((1, "\\\"".into())),
            b'\\' => Some((1, "\\\\".into())),
            b'\n' => Some((1, "\\n".into())),
            b'\r' => Some((1, "\\r".into())),
            b'\t' => Some((1, "\\t".into())),
            0x08 => Some((1, "\\b".into())),
            0x0c => Some((1, "\\f".into())),
            b @ (b'<' | b'>' | b'&') if html => Some((1, format!("\\u{b:04x}"))),
            b if b < 0x20 => Some((1, format!("\\u{b:04x}"))),
            0xe2 if html && bytes[at..].starts_with(b"\xe2\x80\xa8") => Some((3, "\\u2028".into())),
            0xe2 if html && bytes[at..].starts_with(b"\xe2\x80\xa9") => Some((3, "\\u2029".into())),
            _ => None,
        };
        match escaped {
            Some((width, escape)) => {
                out.extend_from_slice(&bytes[plain..at]);
                out.extend_from_slice(escape.as_bytes());
                at += width;
                plain = at;
            }
            None => at += 1,
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// Appends `{"name":"value",...}`.
pub fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_escaped(out, name, false);
        out.push(b':');
        push_escaped(out, value, false);
    }
    out.push(b'}');
}

/// Appends unix milliseconds as seconds, with three decimals where they are not whole.
pub fn push_time(out: &mut Vec<u8>, ms: i64) {
    if ms < 0 {
        out.push(b'-');
    }
    let ms = ms.unsigned_abs();
    push_unsigned(out, ms / 1000);
    let fraction = ms % 1000;
    if fraction != 0 {
        out.extend_from_slice(&[
            b'.',
            b'0' + (fraction / 100) as u8,
            b'0' + (fraction / 10 % 10) as u8,
            b'0' + (fraction % 10) as u8,
        ]);
    }
}

fn push_unsigned(out: &mut Vec<u8>, mut n: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a sample's value: a string, with an exponent outside of 1e-6..1e21.
pub fn push_value(out: &mut Vec<u8>, v: f64) {
    out.push(b'"');
    push_number(out, v);
    out.push(b'"');
}

fn push_number(out: &mut Vec<u8>, v: f64) {
    let magnitude = v.abs();
    if v.fract() == 0.0 && magnitude < 1e15 && (v != 0.0 || v.is_sign_positive()) {
        // Whole numbers are the common case, and take no formatting.
        if v < 0.0 {
            out.push(b'-');
        }
        push_unsigned(out, magnitude as u64);
    } else if magnitude.is_finite() && magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{v:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        out.extend_from_slice(format!("{mantissa}e{sign}{digits:0>2}").as_bytes());
    } else {
        model::number::write_float(out, v);
    }
}

/// Appends a native histogram.
pub fn push_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":");
    push_value(out, histogram.count);
    out.extend_from_slice(b",\"sum\":");
    push_value(out, histogram.sum);
    let mut first = true;
    for bucket in histogram.all_buckets() {
        if bucket.count == 0.0 {
            continue;
        }
        out.extend_from_slice(if first { b",\"buckets\":[" } else { b"," });
        first = false;
        let rule = match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        };
        out.push(b'[');
        out.push(rule);
        for v in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            push_value(out, v);
        }
        out.push(b']');
    }
    if !first {
        out.push(b']');
    }
    out.push(b'}');
}

/// Appends `"resultType":...,"result":...` without the braces.
pub fn push_query_value(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(b"\"resultType\":");
    push_string(out, value.type_name());
    out.extend_from_slice(b",\"result\":");
    match value {
        Value::Scalar(t, v) => {
            push_plain_time(out, *t);
            push_string(out, &format_float(*v));
            out.push(b']');
        }
        Value::String(t, text) => {
            push_plain_time(out, *t);
            push_string(out, text);
            out.push(b']');
        }
        Value::Vector(samples) => push_list(out, samples, push_sample),
        Value::Matrix(series) => push_list(out, series, push_series),
    }
}

/// The start of a scalar: here upstream writes the time as a plain float.
fn push_plain_time(out: &mut Vec<u8>, t: i64) {
    out.push(b'[');
    out.extend_from_slice(format_float(t as f64 / 1000.0).as_bytes());
    out.push(b',');
}

fn push_list<T>(out: &mut Vec<u8>, items: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Appends a sample of a vector.
pub fn push_sample(out: &mut Vec<u8>, sample: &Sample) {
    out.extend_from_slice(b"{\"metric\":");
    push_labels(out, &sample.labels);
    match &sample.value {
        SampleValue::Float(v) => {
            out.extend_from_slice(b",\"value\":[");
            push_time(out, sample.t);
            out.push(b',');
            push_value(out, *v);
        }
        SampleValue::Histogram(histogram) => {
            out.extend_from_slice(b",\"histogram\":[");
            push_time(out, sample.t);
            out.push(b',');
            push_histogram(out, histogram);
        }
    }
    out.extend_from_slice(b"]}");
}

/// Appends a series of a matrix.
pub fn push_series(out: &mut Vec<u8>, series: &ResultSeries) {
    out.extend_from_slice(b"{\"metric\":");
    push_labels(out, &series.labels);
    if !series.floats.is_empty() {
        out.extend_from_slice(b",\"values\":");
        push_list(out, &series.floats, |out, (t, v)| {
            out.push(b'[');
            push_time(out, *t);
            out.push(b',');
            push_value(out, *v);
            out.push(b']');
        });
    }
    if !series.histograms.is_empty() {
        out.extend_from_slice(b",\"histograms\":");
        push_list(out, &series.histograms, |out, (t, histogram)| {
            out.push(b'[');
            push_time(out, *t);
            out.push(b',');
            push_histogram(out, histogram);
            out.push(b']');
        });
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("utf-8")
    }

    #[test]
    fn numbers_and_times() {
        for (v, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.5, "0.5"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (-1.5e-9, "-1.5e-09"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (1e15, "1000000000000000"),
        ] {
            assert_eq!(text(|out| push_value(out, v)), format!("\"{expected}\""));
        }
        for (ms, expected) in [
            (1_435_781_451_781, "1435781451.781"),
            (1_435_781_451_050, "1435781451.050"),
            (1000, "1"),
            (-1500, "-1.500"),
            (0, "0"),
        ] {
            assert_eq!(text(|out| push_time(out, ms)), expected);
        }
    }

    #[test]
    fn strings_and_labels() {
        assert_eq!(
            text(|out| push_string(out, "a\"<\u{2028}\u{1}é")),
            "\"a\\\"\\u003c\\u2028\\u0001é\""
        );
        let labels = Labels::from_pairs([("b", "<x>"), ("a", "1")]);
        assert_eq!(
            text(|out| push_labels(out, &labels)),
            r#"{"a":"1","b":"<x>"}"#
        );
    }

    #[test]
    fn values() {
        let labels = Labels::from_pairs([("a", "b")]);
        let vector = Value::Vector(vec![Sample {
            labels: labels.clone(),
            t: 1500,
            value: SampleValue::Float(2.0),
        }]);
        assert_eq!(
            text(|out| push_query_value(out, &vector)),
            r#""resultType":"vector","result":[{"metric":{"a":"b"},"value":[1.500,"2"]}]"#
        );
        let matrix = Value::Matrix(vec![ResultSeries {
            labels,
            floats: vec![(0, 1.0), (1000, 2.5)],
            histograms: vec![],
        }]);
        assert_eq!(
            text(|out| push_query_value(out, &matrix)),
            r#""resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[0,"1"],[1,"2.5"]]}]"#
        );
        assert_eq!(
            text(|out| push_query_value(out, &Value::Scalar(1050, 1e21))),
            r#""resultType":"scalar","result":[1.05,"1000000000000000000000"]"#
        );
        assert_eq!(
            text(|out| push_query_value(out, &Value::Vector(vec![]))),
            r#""resultType":"vector","result":[]"#
        );
    }
}
