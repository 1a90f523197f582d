//! Sends metric families once, without a log: what `promtool push metrics` does.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use cloud::CloudClient;
use configfile::remote::{RemoteWriteConfig, WriteMessage};
use env::Clock;
use model::labels::{BUCKET_LABEL, METRIC_NAME, QUANTILE_LABEL};
use model::number::format_float_g;
use model::{Metadata, Metric, MetricFamily, MetricValue};
use net::http_client::HttpClient;
use wire::remote_write::{Outgoing, RequestV2, encode_labels, put_metadata_v1, put_v1};

use crate::backoff::Backoff;
use crate::send::{Outcome, compress, post};

/// Tries after the first, as upstream's client has it.
const RETRIES: u32 = 10;

/// Sends the families to `target`, with `labels` on each series; gives up after some tries.
pub async fn push(
    client: &HttpClient,
    target: &RemoteWriteConfig,
    families: &[MetricFamily],
    labels: &[(String, String)],
    clock: &dyn Clock,
) -> Result<(), String> {
    let message = match target.message {
        WriteMessage::V1 => message_v1(families, labels, clock.now()),
        WriteMessage::V2 => message_v2(families, labels, clock.now()),
    };
    let body = compress(&message)?;
    let client = CloudClient::from(client.clone());
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
    for attempt in 0.. {
        match post(&client, target, clock.now(), body.clone(), attempt).await {
            Outcome::Done => break,
            Outcome::Refused { error, .. } => return Err(error),
            Outcome::Retry { error, .. } if attempt == RETRIES => return Err(error),
            Outcome::Retry { after, .. } => {
                clock
                    .sleep(backoff.next() + after.unwrap_or_default())
                    .await;
            }
        }
    }
    Ok(())
}

/// Labels of a series, sorted.
type Series = BTreeMap<String, String>;

fn pairs(series: &Series) -> impl Iterator<Item = (&str, &str)> {
    series.iter().map(|(name, value)| (&**name, &**value))
}

fn message_v1(families: &[MetricFamily], labels: &[(String, String)], now: i64) -> Vec<u8> {
    let mut message = Vec::new();
    for family in sorted(families) {
        each_sample(family, labels, now, |series, t, value| {
            let labels = encode_labels(pairs(series));
            put_v1(&mut message, &labels, t, Outgoing::Float(value));
        });
    }
    for family in sorted(families) {
        put_metadata_v1(&mut message, &family.name, &metadata_of(family));
    }
    message
}

fn message_v2(families: &[MetricFamily], labels: &[(String, String)], now: i64) -> Vec<u8> {
    let mut request = RequestV2::default();
    for family in sorted(families) {
        let metadata = metadata_of(family);
        each_sample(family, labels, now, |series, t, value| {
            let value = Outgoing::Float(value);
            request.push(pairs(series), t, 0, value, Some(&metadata));
        });
    }
    let mut message = Vec::new();
    request.finish(&mut message);
    message
}

fn sorted(families: &[MetricFamily]) -> Vec<&MetricFamily> {
    let mut sorted: Vec<&MetricFamily> = families.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted
}

fn metadata_of(family: &MetricFamily) -> Metadata {
    Metadata {
        kind: family.kind,
        help: family.help.clone(),
        unit: family.unit.clone(),
    }
}

/// Calls `visit` for every sample of the family, with its labels and time.
fn each_sample(
    family: &MetricFamily,
    labels: &[(String, String)],
    now: i64,
    mut visit: impl FnMut(&Series, i64, f64),
) {
    for metric in &family.metrics {
        let mut series = labels_of(metric, labels);
        let t = metric.timestamp_ms.filter(|t| *t != 0).unwrap_or(now);
        let mut put = |ending: &str, bound: Option<(&str, f64)>, value: f64| {
            series.insert(METRIC_NAME.into(), format!("{}{ending}", family.name));
            if let Some((label, bound)) = bound {
                series.insert(label.into(), format_float_g(bound));
            }
            visit(&series, t, value);
            if let Some((label, _)) = bound {
                series.remove(label);
            }
        };
        match &metric.value {
            MetricValue::Single(value) => put("", None, *value),
            // Text, which is what is pushed, has none.
            MetricValue::ClassicFloat { .. } | MetricValue::NativeFloat(_) => {}
            MetricValue::Summary {
                quantiles,
                sum,
                count,
            } => {
                for (quantile, value) in quantiles {
                    put("", Some((QUANTILE_LABEL, *quantile)), *value);
                }
                put("_sum", None, *sum);
                put("_count", None, *count as f64);
            }
            MetricValue::Histogram {
                buckets,
                sum,
                count,
                native: _,
            } => {
                for (bound, cumulative) in buckets {
                    put("_bucket", Some((BUCKET_LABEL, *bound)), *cumulative as f64);
                }
                if buckets.iter().all(|(bound, _)| *bound != f64::INFINITY) {
                    put(
                        "_bucket",
                        Some((BUCKET_LABEL, f64::INFINITY)),
                        *count as f64,
                    );
                }
                put("_sum", None, *sum);
                put("_count", None, *count as f64);
            }
        }
    }
}

/// The metric's own labels go before those that are added, but for `job`, which moves aside.
fn labels_of(metric: &Metric, added: &[(String, String)]) -> Series {
    let mut series: Series = added.iter().cloned().collect();
    for (name, value) in &metric.labels {
        let name: Cow<'_, str> = match &**name {
            "job" => Cow::Borrowed("exported_job"),
            other => Cow::Borrowed(other),
        };
        series.insert(name.into_owned(), value.clone());
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::MetricType;

    #[test]
    fn families_become_series() {
        let metric = |labels: &[(&'static str, &str)], value: MetricValue| Metric {
            labels: labels
                .iter()
                .map(|(name, value)| (Cow::Borrowed(*name), value.to_string()))
                .collect(),
            value,
            timestamp_ms: None,
        };
        let mut histogram = MetricFamily::new("h", "H.", MetricType::Histogram);
        histogram.metrics.push(metric(
            &[("job", "own"), ("a", "own")],
            MetricValue::Histogram {
                buckets: vec![(1.0, 2), (2.5e6, 3)],
                sum: 7.5,
                count: 4,
                native: None,
            },
        ));
        let added = [("job", "promtool"), ("a", "added")];
        let added = added.map(|(name, value)| (name.to_string(), value.to_string()));
        let mut seen = Vec::new();
        each_sample(&histogram, &added, 5, |series, t, value| {
            assert_eq!(series["exported_job"], "own");
            assert_eq!((&*series["job"], &*series["a"]), ("promtool", "own"));
            let le = series.get("le").cloned().unwrap_or_default();
            seen.push((series[METRIC_NAME].clone(), le, t, value));
        });
        let wanted = [
            ("h_bucket", "1", 2.0),
            ("h_bucket", "2.5e+06", 3.0),
            ("h_bucket", "+Inf", 4.0),
            ("h_sum", "", 7.5),
            ("h_count", "", 4.0),
        ];
        let wanted = wanted.map(|(name, le, v)| (name.to_string(), le.to_string(), 5, v));
        assert_eq!(seen, wanted);
    }
}
