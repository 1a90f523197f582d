//! Metric families as length-delimited protobuf messages.

use model::{FloatHistogram, Histogram, Metric, MetricFamily, MetricType, MetricValue, Span};

use crate::escaping::{Escaping, escape_label_name, escape_metric_name};
use wire::{put_bytes, put_double, put_uint, put_varint, zigzag};

/// Appends the families, each with its length before it. Families without metrics are left out.
pub fn write_protobuf(families: &[MetricFamily], escaping: Escaping, out: &mut Vec<u8>) {
    let mut sorted: Vec<&MetricFamily> =
        families.iter().filter(|f| !f.metrics.is_empty()).collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut family, mut metric, mut inner) = (Vec::new(), Vec::new(), Vec::new());
    for source in sorted {
        family.clear();
        put_bytes(
            &mut family,
            1,
            escape_metric_name(&source.name, escaping).as_bytes(),
        );
        if !source.help.is_empty() {
            put_bytes(&mut family, 2, source.help.as_bytes());
        }
        put_uint(&mut family, 3, kind_number(source.kind));
        for one in &source.metrics {
            metric.clear();
            write_metric(one, source.kind, escaping, &mut inner, &mut metric);
            put_bytes(&mut family, 4, &metric);
        }
        if !source.unit.is_empty() {
            put_bytes(&mut family, 5, source.unit.as_bytes());
        }
        put_varint(out, family.len() as u64);
        out.extend_from_slice(&family);
    }
}

fn kind_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Counter => 0,
        MetricType::Gauge | MetricType::Info | MetricType::StateSet => 1,
        MetricType::Summary => 2,
        MetricType::Unknown => 3,
        MetricType::Histogram => 4,
        MetricType::GaugeHistogram => 5,
    }
}

fn write_metric(
    source: &Metric,
    kind: MetricType,
    escaping: Escaping,
    inner: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    for (name, value) in &source.labels {
        inner.clear();
        put_bytes(inner, 1, escape_label_name(name, escaping).as_bytes());
        put_bytes(inner, 2, value.as_bytes());
        put_bytes(out, 1, inner);
    }
    inner.clear();
    let field = match &source.value {
        MetricValue::Single(value) => {
            put_double(inner, 1, *value);
            match kind {
                MetricType::Counter => 3,
                MetricType::Unknown => 5,
                _ => 2,
            }
        }
        MetricValue::Summary {
            quantiles,
            sum,
            count,
        } => {
            put_uint(inner, 1, *count);
            put_double(inner, 2, *sum);
            for (quantile, value) in quantiles {
                let mut message = Vec::with_capacity(18);
                put_double(&mut message, 1, *quantile);
                put_double(&mut message, 2, *value);
                put_bytes(inner, 3, &message);
            }
            4
        }
        MetricValue::Histogram {
            buckets,
            sum,
            count,
            native,
        } => {
            put_uint(inner, 1, *count);
            put_double(inner, 2, *sum);
            for (bound, cumulative) in buckets {
                let mut message = Vec::with_capacity(20);
                put_uint(&mut message, 1, *cumulative);
                put_double(&mut message, 2, *bound);
                put_bytes(inner, 3, &message);
            }
            if let Some(native) = native {
                write_native(native, inner);
            }
            7
        }
        MetricValue::ClassicFloat {
            buckets,
            sum,
            count,
        } => {
            put_double(inner, 4, *count);
            put_double(inner, 2, *sum);
            for (bound, cumulative) in buckets {
                let mut message = Vec::with_capacity(20);
                put_double(&mut message, 4, *cumulative);
                put_double(&mut message, 2, *bound);
                put_bytes(inner, 3, &message);
            }
            7
        }
        MetricValue::NativeFloat(histogram) => {
            write_native_float(histogram, inner);
            7
        }
    };
    put_bytes(out, field, inner);
    if let Some(timestamp) = source.timestamp_ms {
        put_uint(out, 6, timestamp as u64);
    }
}

fn put_signed(out: &mut Vec<u8>, field: u64, n: i64) {
    put_uint(out, field, zigzag(n));
}

fn write_spans(field: u64, spans: &[Span], out: &mut Vec<u8>) {
    for span in spans {
        let mut message = Vec::with_capacity(12);
        put_signed(&mut message, 1, i64::from(span.offset));
        put_uint(&mut message, 2, u64::from(span.length));
        put_bytes(out, field, &message);
    }
}

fn write_native(histogram: &Histogram, out: &mut Vec<u8>) {
    put_signed(out, 5, i64::from(histogram.schema));
    put_double(out, 6, histogram.zero_threshold);
    put_uint(out, 7, histogram.zero_count);
    // Not packed: the message is of proto2.
    write_spans(9, &histogram.negative_spans, out);
    let deltas = histogram.negative_buckets.iter();
    deltas.for_each(|delta| put_signed(out, 10, *delta));
    write_spans(12, &histogram.positive_spans, out);
    let deltas = histogram.positive_buckets.iter();
    deltas.for_each(|delta| put_signed(out, 13, *delta));
}

fn write_native_float(histogram: &FloatHistogram, out: &mut Vec<u8>) {
    put_double(out, 4, histogram.count);
    put_double(out, 2, histogram.sum);
    put_signed(out, 5, i64::from(histogram.schema));
    put_double(out, 6, histogram.zero_threshold);
    put_double(out, 8, histogram.zero_count);
    write_spans(9, &histogram.negative_spans, out);
    let counts = histogram.negative_buckets.iter();
    counts.for_each(|count| put_double(out, 11, *count));
    write_spans(12, &histogram.positive_spans, out);
    let counts = histogram.positive_buckets.iter();
    counts.for_each(|count| put_double(out, 14, *count));
}
