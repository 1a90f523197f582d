//! `/federate`: the latest sample of selected series, for other servers to scrape.

use std::borrow::Cow;
use std::sync::Arc;

use apiv1::params::Params;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use exposition::{Format, Protocol, negotiation};
use http::{Response, StatusCode, header};
use model::{FloatHistogram, Labels, Metric, MetricFamily, MetricType, MetricValue, ResetHint};
use storage::{Queryable as _, SelectHints, StorageError, TimeRange, Value};

use crate::web::Web;

/// The formats that upstream serves here.
const OFFERED: [Protocol; 2] = [Protocol::PrometheusProto, Protocol::PrometheusText0_0_4];

/// `/federate`
pub async fn federate(State(web): State<Arc<Web>>, request: Request) -> Response<Body> {
    use apiv1::status::StatusSource as _;
    if !web.state.is_ready() {
        return apiv1::router::unavailable(web.state.is_stopping());
    }
    let accept = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
        .to_string();
    let (protocol, escaping) = negotiation::negotiate(&accept, &OFFERED);
    let sets = match Params::of(request).await {
        Ok(params) => params.any_matcher_sets(),
        Err(error) => Err(error.message),
    };
    let sets = match sets {
        Ok(sets) => sets,
        Err(message) => return plain(StatusCode::BAD_REQUEST, &message),
    };
    let work = {
        let web = web.clone();
        move || {
            let natives = protocol == Protocol::PrometheusProto;
            let families = families_of(&web, &sets, natives)?;
            let mut body = Vec::new();
            match protocol.format() {
                Format::OpenMetrics => {
                    exposition::write_openmetrics(&families, escaping, &mut body);
                }
                // External labels stand behind the others, as upstream has them.
                Format::Text => {
                    exposition::write_text_as_given(&families, escaping, &mut body);
                }
                Format::Protobuf => exposition::write_protobuf(&families, escaping, &mut body),
            }
            Ok::<_, StorageError>(body)
        }
    };
    let made = tokio::task::spawn_blocking(work).await;
    let made = made.unwrap_or_else(|_| {
        Err(StorageError::Other(
            "the request ended unexpectedly; see the log".into(),
        ))
    });
    match made {
        Ok(body) => {
            let kind = protocol.content_type(escaping);
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        }
        Err(error) => {
            web.metrics.federation_errors.inc();
            plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}

fn plain(status: StatusCode, message: &str) -> Response<Body> {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, format!("{message}\n")).into_response()
}

fn families_of(
    web: &Web,
    sets: &[Vec<model::Matcher>],
    natives: bool,
) -> Result<Vec<MetricFamily>, StorageError> {
    let now = web.state.clock.now();
    let range = TimeRange {
        min: now - web.lookback_delta,
        max: now,
    };
    let querier = web.state.db.querier(range)?;
    let hints = SelectHints {
        start: range.min,
        end: range.max,
        ..SelectHints::default()
    };
    let mut latest: Vec<(Labels, i64, Value)> = Vec::new();
    for matchers in sets {
        let mut set = querier.select(matchers, &hints)?;
        while let Some(series) = set.next() {
            let series = series?;
            let mut samples = series.samples(range);
            let mut last = None;
            let corrupt = |e: ondisk::chunk::ChunkError| StorageError::Corrupt(e.to_string());
            while let Some(sample) = samples.next().map_err(corrupt)? {
                last = Some(sample);
            }
            if let Some((t, value)) = last
                && !value.is_stale()
            {
                latest.push((series.labels.clone(), t, value));
            }
        }
        web.metrics
            .federation_warnings
            .add(set.warnings().len() as u64);
    }
    // Several selectors may find the same series.
    latest.sort_by(|a, b| (a.0.metric_name(), &a.0).cmp(&(b.0.metric_name(), &b.0)));
    latest.dedup_by(|a, b| a.0 == b.0);
    let external = external_labels(&web.state.config.read().config.global.external_labels);
    Ok(grouped(latest, &external, natives))
}

/// What is added to series; without an `instance`, an empty one, so that the other server does not add its own.
fn external_labels(configured: &Labels) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = configured
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    if configured.get("instance").is_none() {
        pairs.push(("instance".into(), String::new()));
    }
    pairs.sort();
    pairs
}

fn grouped(
    latest: Vec<(Labels, i64, Value)>,
    external: &[(String, String)],
    natives: bool,
) -> Vec<MetricFamily> {
    let mut families: Vec<MetricFamily> = Vec::new();
    for (labels, t, value) in latest {
        let name = labels.metric_name();
        if name.is_empty() {
            continue;
        }
        let (kind, value) = match value {
            Value::Float(v) => (MetricType::Unknown, MetricValue::Single(v)),
            Value::Histogram(h) if h.uses_custom_buckets() => (MetricType::Histogram, classic(&h)),
            // No text format has them.
            Value::Histogram(_) if !natives => continue,
            Value::Histogram(h) => {
                let kind = match h.reset_hint {
                    ResetHint::Gauge => MetricType::GaugeHistogram,
                    _ => MetricType::Histogram,
                };
                (kind, MetricValue::NativeFloat(h))
            }
        };
        let metric = Metric {
            labels: shown(&labels, external),
            value,
            timestamp_ms: Some(t),
        };
        match families.last_mut() {
            Some(family) if family.name == name && family.kind == kind => {
                family.metrics.push(metric);
            }
            _ => {
                let mut family = MetricFamily::new(name, "", kind);
                family.metrics.push(metric);
                families.push(family);
            }
        }
    }
    families
}

fn shown(labels: &Labels, external: &[(String, String)]) -> Vec<(Cow<'static, str>, String)> {
    let own = labels.drop_metric_name();
    let added = external
        .iter()
        .filter(|(name, _)| labels.get(name).is_none());
    own.iter()
        .map(|(name, value)| (Cow::Owned(name.to_string()), value.to_string()))
        .chain(added.map(|(name, value)| (Cow::Owned(name.clone()), value.clone())))
        .collect()
}

/// A histogram with bounds of its own as the classic one that it came from.
fn classic(histogram: &FloatHistogram) -> MetricValue {
    let filled: Vec<(f64, f64)> = histogram
        .all_buckets()
        .into_iter()
        .map(|b| (b.upper, b.count))
        .collect();
    let below = |bound: f64| -> f64 {
        let counts = filled.iter().filter(|(upper, _)| *upper <= bound);
        counts.map(|(_, count)| count).sum()
    };
    let bounds = histogram.custom_bounds().iter().copied();
    let bounds = bounds.chain([f64::INFINITY]);
    let counts: Vec<(f64, f64)> = bounds.map(|bound| (bound, below(bound))).collect();
    let (sum, count) = (histogram.sum, histogram.count);
    let whole = |count: &f64| count.fract() == 0.0;
    if !whole(&count) || !counts.iter().all(|(_, count)| whole(count)) {
        return MetricValue::ClassicFloat {
            buckets: counts,
            sum,
            count,
        };
    }
    let whole = |(bound, count): &(f64, f64)| (*bound, *count as u64);
    MetricValue::Histogram {
        buckets: counts.iter().map(whole).collect(),
        sum,
        count: count as u64,
        native: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Span;
    use model::histogram::CUSTOM_BUCKETS_SCHEMA;

    fn with(count: f64, buckets: Vec<f64>) -> FloatHistogram {
        FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: 4.0,
            positive_spans: vec![Span {
                offset: 0,
                length: buckets.len() as u32,
            }],
            positive_buckets: buckets,
            custom_values: Some([1.0, 2.0].into()),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn counts_of_a_rate_keep_their_fractions() {
        let MetricValue::ClassicFloat { buckets, count, .. } =
            classic(&with(1.75, vec![0.5, 0.25, 1.0]))
        else {
            panic!("not whole");
        };
        assert_eq!(buckets, [(1.0, 0.5), (2.0, 0.75), (f64::INFINITY, 1.75)]);
        assert_eq!(count, 1.75);
        let MetricValue::Histogram { buckets, count, .. } =
            classic(&with(6.0, vec![1.0, 2.0, 3.0]))
        else {
            panic!("whole");
        };
        assert_eq!(buckets, [(1.0, 1), (2.0, 3), (f64::INFINITY, 6)]);
        assert_eq!(count, 6);
    }
}
