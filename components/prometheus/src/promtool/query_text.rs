//! Answers of the API as the tool prints them: upstream reads them into its model and prints that.

use apiv1::json::push_string;
use model::Labels;
use model::number::{format_float, format_float_g, parse_float};
use serde_json::Value;

/// The labels of a JSON map.
pub fn labels_of(map: &Value) -> Labels {
    let pairs = map.as_object().into_iter().flatten();
    Labels::from_pairs(pairs.map(|(name, value)| (name, value.as_str().unwrap_or(""))))
}

/// `up{job="x"}`
pub fn metric_text(map: &Value) -> String {
    let labels = labels_of(map);
    let name = labels.metric_name();
    let rest = labels.drop_metric_name();
    match (name.is_empty(), rest.is_empty()) {
        (false, true) => name.to_string(),
        _ => format!("{name}{rest}"),
    }
}

/// A number, which the API sends as a string, without an exponent.
fn number_text(value: &Value) -> String {
    let number = match value {
        Value::String(text) => parse_float(text),
        other => other.as_f64(),
    };
    number.map(format_float).unwrap_or_default()
}

fn float(value: &Value) -> f64 {
    let text = value.as_str().unwrap_or("");
    parse_float(text).unwrap_or(f64::NAN)
}

/// `Count: 3.000000, Sum: 1.500000, Buckets: [[-1,1]:2 (1,2]:1]`
fn histogram_text(histogram: &Value) -> String {
    let fixed = |value: &Value| match float(value) {
        v if v.is_finite() => format!("{v:.6}"),
        v => format_float(v),
    };
    let buckets: Vec<String> = histogram["buckets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|bucket| {
            let rule = bucket[0].as_u64().unwrap_or(2);
            format!(
                "{}{},{}{}:{}",
                if matches!(rule, 1 | 3) { '[' } else { '(' },
                format_float_g(float(&bucket[1])),
                format_float_g(float(&bucket[2])),
                if matches!(rule, 0 | 3) { ']' } else { ')' },
                number_text(&bucket[3]),
            )
        })
        .collect();
    format!(
        "Count: {}, Sum: {}, Buckets: [{}]",
        fixed(&histogram["count"]),
        fixed(&histogram["sum"]),
        buckets.join(" ")
    )
}

/// A `[time, value]` pair as `value @[time]`.
fn point_text(pair: &Value) -> String {
    let value = match &pair[1] {
        histogram @ Value::Object(_) => histogram_text(histogram),
        value => number_text(value),
    };
    format!("{value} @[{}]", number_text(&pair[0]))
}

/// The result of a query for people. An empty one is an empty line.
pub fn query_text(data: &Value) -> String {
    let result = &data["result"];
    let items = || result.as_array().into_iter().flatten();
    let lines: Vec<String> = match data["resultType"].as_str().unwrap_or("") {
        "vector" => items()
            .map(|sample| {
                let pair = sample.get("value").unwrap_or(&sample["histogram"]);
                format!("{} => {}", metric_text(&sample["metric"]), point_text(pair))
            })
            .collect(),
        "matrix" => items()
            .map(|series| {
                let points: Vec<String> = ["values", "histograms"]
                    .iter()
                    .filter_map(|kind| series.get(kind)?.as_array())
                    .flatten()
                    .map(point_text)
                    .collect();
                format!(
                    "{} =>\n{}",
                    metric_text(&series["metric"]),
                    points.join("\n")
                )
            })
            .collect(),
        "scalar" => vec![format!("scalar: {}", point_text(result))],
        _ => vec![format!(
            "{} @[{}]",
            result[1].as_str().unwrap_or(""),
            number_text(&result[0])
        )],
    };
    format!("{}\n", lines.join("\n"))
}

fn push_list<'a>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = &'a Value>,
    push: impl Fn(&mut Vec<u8>, &Value),
) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Unlike the API, the tool escapes labels as any other text.
fn push_map(out: &mut Vec<u8>, map: &Value) {
    out.push(b'{');
    for (i, (name, value)) in labels_of(map).iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_string(out, name);
        out.push(b':');
        push_string(out, value);
    }
    out.push(b'}');
}

fn push_point(out: &mut Vec<u8>, pair: &Value) {
    out.push(b'[');
    out.extend_from_slice(number_text(&pair[0]).as_bytes());
    out.push(b',');
    match &pair[1] {
        histogram @ Value::Object(_) => push_histogram(out, histogram),
        value => push_string(out, &number_text(value)),
    }
    out.push(b']');
}

fn push_histogram(out: &mut Vec<u8>, histogram: &Value) {
    for (start, member) in [("{\"count\":", "count"), (",\"sum\":", "sum")] {
        out.extend_from_slice(start.as_bytes());
        push_string(out, &number_text(&histogram[member]));
    }
    out.extend_from_slice(b",\"buckets\":");
    let buckets = histogram["buckets"].as_array().into_iter().flatten();
    push_list(out, buckets, |out, bucket| {
        out.push(b'[');
        out.extend_from_slice(bucket[0].to_string().as_bytes());
        for i in 1..4 {
            out.push(b',');
            push_string(out, &number_text(&bucket[i]));
        }
        out.push(b']');
    });
    out.push(b'}');
}

/// The result of a query as the JSON of upstream's model: without the type around it.
pub fn query_json(data: &Value) -> Vec<u8> {
    let result = &data["result"];
    let mut out = Vec::new();
    match data["resultType"].as_str().unwrap_or("") {
        "vector" | "matrix" => {
            let items = result.as_array().into_iter().flatten();
            push_list(&mut out, items, |out, item| {
                out.extend_from_slice(b"{\"metric\":");
                push_map(out, &item["metric"]);
                for member in ["value", "histogram"] {
                    if let Some(pair) = item.get(member) {
                        out.extend_from_slice(format!(",\"{member}\":").as_bytes());
                        push_point(out, pair);
                    }
                }
                for member in ["values", "histograms"] {
                    if let Some(pairs) = item.get(member).and_then(Value::as_array) {
                        out.extend_from_slice(format!(",\"{member}\":").as_bytes());
                        push_list(out, pairs, push_point);
                    }
                }
                out.push(b'}');
            });
        }
        "string" => {
            out.push(b'[');
            out.extend_from_slice(number_text(&result[0]).as_bytes());
            out.push(b',');
            push_string(&mut out, result[1].as_str().unwrap_or(""));
            out.push(b']');
        }
        _ => push_point(&mut out, result),
    }
    out
}

/// A list of label sets.
pub fn series_json(data: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let items = data.as_array().into_iter().flatten();
    push_list(&mut out, items, |out, labels| {
        push_map(out, labels);
    });
    out
}

/// A list of texts.
pub fn strings_json(data: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let items = data.as_array().into_iter().flatten();
    push_list(&mut out, items, |out, text| {
        push_string(out, text.as_str().unwrap_or(""));
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prints_like_upstream() {
        let vector = json!({"resultType": "vector", "result": [
            {"metric": {"__name__": "up", "job": "j"}, "value": [1.5, "1"]}, {"metric": {}, "value": [1, "1e+21"]}]});
        assert_eq!(
            query_text(&vector),
            "up{job=\"j\"} => 1 @[1.5]\n{} => 1000000000000000000000 @[1]\n"
        );
        assert_eq!(
            String::from_utf8_lossy(&query_json(&vector)),
            r#"[{"metric":{"__name__":"up","job":"j"},"value":[1.5,"1"]},{"metric":{},"value":[1,"1000000000000000000000"]}]"#
        );
        let matrix = json!({"resultType": "matrix", "result": [
            {"metric": {"__name__": "up"}, "values": [[1, "1"], [2, "0"]]}]});
        assert_eq!(query_text(&matrix), "up =>\n1 @[1]\n0 @[2]\n");
        let scalar = json!({"resultType": "scalar", "result": [1, "3"]});
        assert_eq!(query_text(&scalar), "scalar: 3 @[1]\n");
        assert_eq!(query_json(&scalar), br#"[1,"3"]"#);
        let nothing = json!({"resultType": "vector", "result": []});
        assert_eq!(query_text(&nothing), "\n");
        let histogram = json!({"resultType": "vector", "result": [{"metric": {"a": "b"}, "histogram":
            [1, {"count": "3", "sum": "1.5", "buckets": [[3, "-1", "1", "2"], [0, "1", "2", "1"]]}]}]});
        assert_eq!(
            query_text(&histogram),
            "{a=\"b\"} => Count: 3.000000, Sum: 1.500000, Buckets: [[-1,1]:2 (1,2]:1] @[1]\n"
        );
    }
}
