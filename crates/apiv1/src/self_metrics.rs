//! `/status/self_metrics`: the server's own metrics as protobuf's JSON spells them.

use std::sync::Arc;

use model::{Metric, MetricFamily, MetricType, MetricValue};
use regex::Regex;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::params::Params;
use crate::respond::{Handled, Reply};
use crate::router::Api;

/// `/status/self_metrics`
pub async fn self_metrics(api: Arc<Api>, params: Params) -> Handled {
    let pattern = match params.get("metric_name_pattern") {
        "" => None,
        text => Some(Regex::new(&format!("^(?s:{text})$")).map_err(|e| {
            ApiError::bad_data(format!(
                "invalid metric_name_pattern: error parsing regexp: {e}"
            ))
        })?),
    };
    let families: Vec<Value> = api
        .status
        .self_metrics()
        .iter()
        .filter(|family| {
            pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(&family.name))
        })
        .map(family_json)
        .collect();
    Reply::of(&families)
}

fn family_json(family: &MetricFamily) -> Value {
    let kind = match family.kind {
        MetricType::Counter => "COUNTER",
        MetricType::Gauge | MetricType::Info | MetricType::StateSet => "GAUGE",
        MetricType::Summary => "SUMMARY",
        MetricType::Histogram => "HISTOGRAM",
        MetricType::GaugeHistogram => "GAUGE_HISTOGRAM",
        MetricType::Unknown => "UNTYPED",
    };
    let metrics: Vec<Value> = family
        .metrics
        .iter()
        .map(|metric| metric_json(metric, family.kind))
        .collect();
    json!({"name": family.name, "help": family.help, "type": kind, "metric": metrics})
}

/// Protobuf's JSON has words for what JSON numbers cannot say.
fn number(v: f64) -> Value {
    // As protobuf's JSON spells them: whole numbers without a fraction.
    if v.fract() == 0.0 && v.abs() < 1e15 {
        return json!(v as i64);
    }
    if v.is_finite() {
        return json!(v);
    }
    json!(if v.is_nan() {
        "NaN"
    } else if v > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    })
}

fn metric_json(metric: &Metric, kind: MetricType) -> Value {
    let labels: Vec<Value> = metric
        .labels
        .iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut object = json!({});
    if !labels.is_empty() {
        object["label"] = json!(labels);
    }
    match &metric.value {
        MetricValue::Single(v) => {
            let member = match kind {
                MetricType::Counter => "counter",
                MetricType::Unknown => "untyped",
                _ => "gauge",
            };
            object[member] = json!({"value": number(*v)});
        }
        // 64-bit integers are strings in protobuf's JSON.
        MetricValue::Histogram {
            buckets,
            sum,
            count,
            native,
        } => {
            let buckets: Vec<Value> = buckets
                .iter()
                .map(|(bound, n)| {
                    json!({"cumulativeCount": n.to_string(), "upperBound": number(*bound)})
                })
                .collect();
            let mut members = json!({"sampleCount": count.to_string(), "sampleSum": number(*sum), "bucket": buckets});
            if let Some(native) = native {
                native_json(native, &mut members);
            }
            object["histogram"] = members;
        }
        // Only what is federated has float counts.
        MetricValue::ClassicFloat { .. } | MetricValue::NativeFloat(_) => {}
        MetricValue::Summary {
            quantiles,
            sum,
            count,
        } => {
            let quantiles: Vec<Value> = quantiles
                .iter()
                .map(|(q, v)| json!({"quantile": number(*q), "value": number(*v)}))
                .collect();
            object["summary"] = json!({"sampleCount": count.to_string(), "sampleSum": number(*sum), "quantile": quantiles});
        }
    }
    object
}

fn native_json(histogram: &model::Histogram, members: &mut Value) {
    members["schema"] = json!(histogram.schema);
    members["zeroThreshold"] = number(histogram.zero_threshold);
    members["zeroCount"] = json!(histogram.zero_count.to_string());
    let sides = [
        (
            "negative",
            &histogram.negative_spans,
            &histogram.negative_buckets,
        ),
        (
            "positive",
            &histogram.positive_spans,
            &histogram.positive_buckets,
        ),
    ];
    for (side, spans, deltas) in sides.into_iter().filter(|(_, spans, _)| !spans.is_empty()) {
        let span = |s: &model::histogram::Span| json!({"offset": s.offset, "length": s.length});
        members[format!("{side}Span")] = spans.iter().map(span).collect();
        members[format!("{side}Delta")] = deltas.iter().map(|d| json!(d.to_string())).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        let mut family = MetricFamily::new("up", "Whether.", MetricType::Gauge);
        family.push(vec![("a".into(), "b".into())], f64::NAN);
        let wanted: Value = serde_json::from_str(r#"{"help":"Whether.","metric":[{"gauge":{"value":"NaN"},"label":[{"name":"a","value":"b"}]}],"name":"up","type":"GAUGE"}"#).expect("JSON");
        assert_eq!(family_json(&family), wanted);
    }
}
