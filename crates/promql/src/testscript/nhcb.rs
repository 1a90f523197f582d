//! Classic histograms as native ones with custom buckets, as `load_with_nhcb` adds them.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::CUSTOM_BUCKETS_SCHEMA;
use model::labels::{BUCKET_LABEL, METRIC_NAME};
use model::sample::is_stale_nan;
use model::{FloatHistogram, Labels, LabelsBuilder, ResetHint, Span};

/// One classic histogram at one time.
#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    start: i64,
}

/// Collects classic series and turns them into histograms.
#[derive(Default)]
pub(super) struct Converter {
    found: BTreeMap<Labels, BTreeMap<i64, Classic>>,
}

impl Converter {
    pub fn add(&mut self, labels: &Labels, t: i64, v: f64, start: i64) {
        if is_stale_nan(v) {
            return;
        }
        let name = labels.metric_name();
        let parts = [("_bucket", 'b'), ("_count", 'c'), ("_sum", 's')]
            .iter()
            .find_map(|(suffix, kind)| name.strip_suffix(suffix).map(|base| (base, *kind)));
        let Some((base, kind)) = parts else { return };
        let mut builder = LabelsBuilder::new(labels);
        builder.set(METRIC_NAME, base.to_string());
        builder.del(BUCKET_LABEL);
        let classic = self
            .found
            .entry(builder.build())
            .or_default()
            .entry(t)
            .or_default();
        classic.start = start;
        match kind {
            'b' => {
                let le = labels.get(BUCKET_LABEL).unwrap_or("");
                if let Some(le) = model::number::parse_float(le) {
                    classic.buckets.push((le, v));
                }
            }
            'c' => classic.count = Some(v),
            _ => classic.sum = v,
        }
    }

    /// All histograms: labels, time, start timestamp, histogram.
    pub fn finish(self) -> Vec<(Labels, i64, i64, FloatHistogram)> {
        let mut out = Vec::new();
        for (labels, times) in self.found {
            for (t, classic) in times {
                let start = classic.start;
                if let Some(h) = convert(classic) {
                    out.push((labels.clone(), t, start, h));
                }
            }
        }
        out
    }
}

/// `None` where counts do not add up to a histogram.
fn convert(mut c: Classic) -> Option<FloatHistogram> {
    c.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    c.buckets.dedup_by(|a, b| a.0 == b.0);
    if c.buckets.windows(2).any(|w| w[1].1 < w[0].1) || c.buckets.iter().any(|b| b.1 < 0.0) {
        return None;
    }
    let count = c
        .count
        .or_else(|| c.buckets.last().map(|b| b.1))
        .unwrap_or(0.0);
    if c.buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
        c.buckets.push((f64::INFINITY, count));
    }
    if c.buckets.last().is_some_and(|b| b.1 != count) {
        return None;
    }
    let bounds: Vec<f64> = c
        .buckets
        .iter()
        .map(|b| b.0)
        .filter(|le| le.is_finite() || *le < 0.0)
        .collect();
    let mut before = 0.0;
    let counts: Vec<f64> = c
        .buckets
        .iter()
        .map(|b| {
            let own = b.1 - before;
            before = b.1;
            own
        })
        .collect();
    let mut h = FloatHistogram {
        reset_hint: ResetHint::Unknown,
        schema: CUSTOM_BUCKETS_SCHEMA,
        count,
        sum: c.sum,
        positive_spans: vec![Span {
            offset: 0,
            length: counts.len() as u32,
        }],
        positive_buckets: counts,
        custom_values: Some(Arc::from(bounds)),
        ..FloatHistogram::default()
    };
    h.compact();
    Some(h)
}
