//! Records of the log: what happened, in the order it was committed.
//!
//! Decoders append to vectors of the caller, so that a replay reuses its memory; encoders append one whole record.

use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata, MetricType, ResetHint, Span};

use crate::fields::{BadField, Fields, PutFields};
use crate::tombstones::Interval;
use model::histogram::CUSTOM_BUCKETS_SCHEMA;

#[cfg(test)]
mod tests;

/// What a record holds; the discriminants are its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RecordKind {
    /// New series.
    Series = 1,
    /// Float samples.
    Samples = 2,
    /// Deletions.
    Tombstones = 3,
    /// Exemplars.
    Exemplars = 4,
    /// Out-of-order chunks that went to a head chunk file.
    MmapMarkers = 5,
    /// Type, unit and help of series.
    Metadata = 6,
    /// Exponential integer histograms.
    Histograms = 7,
    /// Exponential float histograms.
    FloatHistograms = 8,
    /// Integer histograms with custom buckets.
    CustomHistograms = 9,
    /// Float histograms with custom buckets.
    CustomFloatHistograms = 10,
    /// Float samples with start timestamps.
    SamplesV2 = 11,
    /// Integer histograms with start timestamps.
    HistogramsV2 = 12,
    /// Float histograms with start timestamps.
    FloatHistogramsV2 = 13,
}

impl RecordKind {
    /// The kind of a record; `None` for an empty one or a kind of the future, which readers skip.
    pub fn of(record: &[u8]) -> Option<RecordKind> {
        use RecordKind::*;
        const ALL: [RecordKind; 13] = [
            Series,
            Samples,
            Tombstones,
            Exemplars,
            MmapMarkers,
            Metadata,
            Histograms,
            FloatHistograms,
            CustomHistograms,
            CustomFloatHistograms,
            SamplesV2,
            HistogramsV2,
            FloatHistogramsV2,
        ];
        let first = *record.first()?;
        ALL.into_iter().find(|k| *k as u8 == first)
    }
}

/// A record whose fields do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("decode {kind:?} record: invalid size")]
pub struct RecordError {
    /// What the record claims to be.
    pub kind: RecordKind,
}

/// A float sample of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RefSample {
    /// The series.
    pub series: u64,
    /// Unix milliseconds.
    pub t: i64,
    /// The value.
    pub value: f64,
    /// Start timestamp; 0 when unknown.
    pub start: i64,
}

/// A native histogram of either kind.
#[derive(Debug, Clone)]
pub enum AnyHistogram {
    /// Whole-number counts.
    Integer(Histogram),
    /// Float counts.
    Float(FloatHistogram),
}

impl AnyHistogram {
    /// Its schema.
    pub fn schema(&self) -> i32 {
        match self {
            AnyHistogram::Integer(h) => h.schema,
            AnyHistogram::Float(h) => h.schema,
        }
    }

    /// Its sum.
    pub fn sum(&self) -> f64 {
        match self {
            AnyHistogram::Integer(h) => h.sum,
            AnyHistogram::Float(h) => h.sum,
        }
    }
}

/// A histogram sample of a series.
#[derive(Debug, Clone)]
pub struct RefHistogram {
    /// The series.
    pub series: u64,
    /// Unix milliseconds.
    pub t: i64,
    /// Start timestamp; 0 when unknown.
    pub start: i64,
    /// The histogram.
    pub histogram: AnyHistogram,
}

/// A deleted interval of a series; all of time means the series itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefTombstone {
    /// The series.
    pub series: u64,
    /// What is gone.
    pub interval: Interval,
}

/// An exemplar of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct RefExemplar {
    /// The series.
    pub series: u64,
    /// Unix milliseconds.
    pub t: i64,
    /// The observed value.
    pub value: f64,
    /// The exemplar's own labels.
    pub labels: Labels,
}

impl RefExemplar {
    /// The exemplar without its series.
    pub fn exemplar(&self) -> Exemplar {
        Exemplar {
            labels: self.labels.clone(),
            value: self.value,
            timestamp: Some(self.t),
        }
    }
}

/// A flushed out-of-order chunk of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefMarker {
    /// The series.
    pub series: u64,
    /// Where in the head chunk files (file number and offset); 0 when a new chunk was started and none flushed.
    pub chunk: u64,
}

/// Writes series records.
#[derive(Debug)]
pub struct SeriesRecord(Vec<u8>);

impl Default for SeriesRecord {
    fn default() -> SeriesRecord {
        SeriesRecord(vec![RecordKind::Series as u8])
    }
}

impl SeriesRecord {
    /// Adds a series; labels must be sorted by name.
    pub fn push<'a>(
        &mut self,
        series: u64,
        labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) {
        self.0.put_be64(series);
        self.0.put_uvarint(labels.len() as u64);
        for (name, value) in labels {
            self.0.put_str(name);
            self.0.put_str(value);
        }
    }

    /// Whether it holds no series.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    /// Its length so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The record.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Appends a record of float samples (kind 2, without start timestamps).
pub fn put_samples(buf: &mut Vec<u8>, samples: impl IntoIterator<Item = (u64, i64, f64)>) {
    buf.push(RecordKind::Samples as u8);
    let mut first = None;
    for (series, t, value) in samples {
        let (first_series, first_t) = *first.get_or_insert_with(|| {
            buf.put_be64(series);
            buf.put_be64(t as u64);
            (series, t)
        });
        buf.put_varint(series.wrapping_sub(first_series) as i64);
        buf.put_varint(t.wrapping_sub(first_t));
        buf.put_f64(value);
    }
}

/// Appends a record of float samples with start timestamps (kind 11).
pub fn put_samples_v2(buf: &mut Vec<u8>, samples: &[RefSample]) {
    buf.push(RecordKind::SamplesV2 as u8);
    let Some(first) = samples.first() else { return };
    for (i, s) in samples.iter().enumerate() {
        if i == 0 {
            buf.put_varint(s.series as i64);
            buf.put_varint(s.t);
            buf.put_varint(s.start);
        } else {
            let before = &samples[i - 1];
            buf.put_varint(s.series.wrapping_sub(before.series) as i64);
            buf.put_varint(s.t.wrapping_sub(first.t));
            if s.start == 0 {
                buf.push(0);
            } else if s.start == before.start {
                buf.push(1);
            } else {
                buf.push(2);
                buf.put_varint(s.start.wrapping_sub(first.start));
            }
        }
        buf.put_f64(s.value);
    }
}

/// Appends histograms as one record of `kind` (7 to 10); the caller sorts them by kind.
pub fn put_histograms<'a>(
    buf: &mut Vec<u8>,
    kind: RecordKind,
    samples: impl IntoIterator<Item = &'a RefHistogram>,
) {
    buf.push(kind as u8);
    let mut first = None;
    for sample in samples {
        let (series, t) = *first.get_or_insert_with(|| {
            buf.put_be64(sample.series);
            buf.put_be64(sample.t as u64);
            (sample.series, sample.t)
        });
        buf.put_varint(sample.series.wrapping_sub(series) as i64);
        buf.put_varint(sample.t.wrapping_sub(t));
        match &sample.histogram {
            AnyHistogram::Integer(h) => put_integer(buf, h),
            AnyHistogram::Float(h) => put_float(buf, h),
        }
    }
}

/// The record kind a histogram goes to.
pub fn histogram_kind(histogram: &AnyHistogram) -> RecordKind {
    match histogram {
        AnyHistogram::Integer(h) if h.schema == CUSTOM_BUCKETS_SCHEMA => {
            RecordKind::CustomHistograms
        }
        AnyHistogram::Integer(_) => RecordKind::Histograms,
        AnyHistogram::Float(h) if h.schema == CUSTOM_BUCKETS_SCHEMA => {
            RecordKind::CustomFloatHistograms
        }
        AnyHistogram::Float(_) => RecordKind::FloatHistograms,
    }
}

fn hint_byte(hint: ResetHint) -> u8 {
    match hint {
        ResetHint::Unknown => 0,
        ResetHint::CounterReset => 1,
        ResetHint::NotCounterReset => 2,
        ResetHint::Gauge => 3,
    }
}

fn hint_of(byte: u8) -> ResetHint {
    match byte {
        1 => ResetHint::CounterReset,
        2 => ResetHint::NotCounterReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

fn put_spans(buf: &mut Vec<u8>, spans: &[Span]) {
    buf.put_uvarint(spans.len() as u64);
    for span in spans {
        buf.put_varint(i64::from(span.offset));
        buf.put_uvarint(u64::from(span.length));
    }
}

fn put_bounds(buf: &mut Vec<u8>, schema: i32, bounds: Option<&[f64]>) {
    if schema == CUSTOM_BUCKETS_SCHEMA {
        let bounds = bounds.unwrap_or_default();
        buf.put_uvarint(bounds.len() as u64);
        bounds.iter().for_each(|b| buf.put_f64(*b));
    }
}

/// Appends an integer histogram as records and chunk snapshots hold it.
pub fn put_integer(buf: &mut Vec<u8>, h: &Histogram) {
    buf.push(hint_byte(h.reset_hint));
    buf.put_varint(i64::from(h.schema));
    buf.put_f64(h.zero_threshold);
    buf.put_uvarint(h.zero_count);
    buf.put_uvarint(h.count);
    buf.put_f64(h.sum);
    put_spans(buf, &h.positive_spans);
    put_spans(buf, &h.negative_spans);
    for buckets in [&h.positive_buckets, &h.negative_buckets] {
        buf.put_uvarint(buckets.len() as u64);
        buckets.iter().for_each(|b| buf.put_varint(*b));
    }
    put_bounds(buf, h.schema, h.custom_values.as_deref());
}

/// Appends a float histogram as records and chunk snapshots hold it.
pub fn put_float(buf: &mut Vec<u8>, h: &FloatHistogram) {
    buf.push(hint_byte(h.reset_hint));
    buf.put_varint(i64::from(h.schema));
    buf.put_f64(h.zero_threshold);
    buf.put_f64(h.zero_count);
    buf.put_f64(h.count);
    buf.put_f64(h.sum);
    put_spans(buf, &h.positive_spans);
    put_spans(buf, &h.negative_spans);
    for buckets in [&h.positive_buckets, &h.negative_buckets] {
        buf.put_uvarint(buckets.len() as u64);
        buckets.iter().for_each(|b| buf.put_f64(*b));
    }
    put_bounds(buf, h.schema, h.custom_values.as_deref());
}

/// Appends a record of deletions.
pub fn put_tombstones(buf: &mut Vec<u8>, tombstones: &[RefTombstone]) {
    buf.push(RecordKind::Tombstones as u8);
    for t in tombstones {
        buf.put_be64(t.series);
        buf.put_varint(t.interval.min);
        buf.put_varint(t.interval.max);
    }
}

/// Appends a record of exemplars.
pub fn put_exemplars(buf: &mut Vec<u8>, exemplars: &[RefExemplar]) {
    buf.push(RecordKind::Exemplars as u8);
    let Some(first) = exemplars.first() else {
        return;
    };
    buf.put_be64(first.series);
    buf.put_be64(first.t as u64);
    for e in exemplars {
        buf.put_varint(e.series.wrapping_sub(first.series) as i64);
        buf.put_varint(e.t.wrapping_sub(first.t));
        buf.put_f64(e.value);
        buf.put_uvarint(e.labels.len() as u64);
        for (name, value) in e.labels.iter() {
            buf.put_str(name);
            buf.put_str(value);
        }
    }
}

/// Appends a record of markers.
pub fn put_markers(buf: &mut Vec<u8>, markers: &[RefMarker]) {
    buf.push(RecordKind::MmapMarkers as u8);
    for m in markers {
        buf.put_be64(m.series);
        buf.put_be64(m.chunk);
    }
}

/// Appends a record of metadata.
pub fn put_metadata<'a>(
    buf: &mut Vec<u8>,
    metadata: impl IntoIterator<Item = (u64, &'a Metadata)>,
) {
    buf.push(RecordKind::Metadata as u8);
    for (series, m) in metadata {
        buf.put_uvarint(series);
        buf.push(kind_byte(m.kind));
        buf.put_uvarint(2);
        buf.put_str("UNIT");
        buf.put_str(&m.unit);
        buf.put_str("HELP");
        buf.put_str(&m.help);
    }
}

const KINDS: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

fn kind_byte(kind: MetricType) -> u8 {
    KINDS.iter().position(|k| *k == kind).unwrap_or(0) as u8
}

/// Reads a record's body after its kind byte with `f`; any bad field makes it a bad record.
fn body<'a>(
    record: &'a [u8],
    kind: RecordKind,
    mut f: impl FnMut(Fields<'a>) -> Result<(), BadField>,
) -> Result<(), RecordError> {
    match record.split_first() {
        Some((_, rest)) => f(Fields::new(rest)).map_err(|_| RecordError { kind }),
        None => Err(RecordError { kind }),
    }
}

/// Reads series: each reference with its labels, sorted.
pub fn series(
    record: &[u8],
    mut each: impl FnMut(u64, &mut [(&str, &str)]),
) -> Result<(), RecordError> {
    body(record, RecordKind::Series, |mut f| {
        let mut pairs = Vec::new();
        while !f.is_empty() {
            let series = f.be64()?;
            pairs.clear();
            for _ in 0..f.count(2)? {
                pairs.push((f.str()?, f.str()?));
            }
            each(series, &mut pairs);
        }
        Ok(())
    })
}

/// Reads float samples, with start timestamps or without.
pub fn samples(record: &[u8], out: &mut Vec<RefSample>) -> Result<(), RecordError> {
    out.reserve(record.len() / 10);
    samples_that(record, |_, _| true, out)
}

/// As [`samples`], of those for whose series and time `keep` says so.
#[inline]
pub fn samples_that(
    record: &[u8],
    mut keep: impl FnMut(u64, i64) -> bool,
    out: &mut Vec<RefSample>,
) -> Result<(), RecordError> {
    if RecordKind::of(record) == Some(RecordKind::SamplesV2) {
        return body(record, RecordKind::SamplesV2, |f| {
            each_v2(f, |f, series, t, start| {
                let value = f.f64()?;
                if keep(series, t) {
                    out.push(RefSample {
                        series,
                        t,
                        start,
                        value,
                    });
                }
                Ok(())
            })
        });
    }
    body(record, RecordKind::Samples, |mut f| {
        if f.is_empty() {
            return Ok(());
        }
        let (first_series, first_t) = (f.be64()?, f.be64()? as i64);
        while !f.is_empty() {
            let series = first_series.wrapping_add_signed(f.varint()?);
            let t = first_t.wrapping_add(f.varint()?);
            let value = f.f64()?;
            if keep(series, t) {
                out.push(RefSample {
                    series,
                    t,
                    value,
                    start: 0,
                });
            }
        }
        Ok(())
    })
}

/// Walks over the heads of a second-generation record.
fn each_v2<'a>(
    mut f: Fields<'a>,
    mut each: impl FnMut(&mut Fields<'a>, u64, i64, i64) -> Result<(), BadField>,
) -> Result<(), BadField> {
    if f.is_empty() {
        return Ok(());
    }
    let mut series = f.varint()? as u64;
    let (first_t, first_start) = (f.varint()?, f.varint()?);
    let mut start = first_start;
    each(&mut f, series, first_t, first_start)?;
    while !f.is_empty() {
        series = series.wrapping_add_signed(f.varint()?);
        let t = first_t.wrapping_add(f.varint()?);
        start = match f.byte()? {
            0 => 0,
            1 => start,
            2 => first_start.wrapping_add(f.varint()?),
            _ => return Err(BadField),
        };
        each(&mut f, series, t, start)?;
    }
    Ok(())
}

/// Reads histograms of any of their kinds. Those with a schema nobody knows are left out, finer ones than 8 too coarse
/// to tell are kept as they are; the caller checks them before use.
pub fn histograms(record: &[u8], out: &mut Vec<RefHistogram>) -> Result<(), RecordError> {
    use RecordKind::*;
    let kind = RecordKind::of(record).unwrap_or(Histograms);
    let float = matches!(
        kind,
        FloatHistograms | CustomFloatHistograms | FloatHistogramsV2
    );
    let mut push = |f: &mut Fields<'_>, series, t, start| {
        let histogram = match float {
            true => AnyHistogram::Float(take_float(f)?),
            false => AnyHistogram::Integer(take_integer(f)?),
        };
        if matches!(histogram.schema(), -9..=52 | CUSTOM_BUCKETS_SCHEMA) {
            out.push(RefHistogram {
                series,
                t,
                start,
                histogram,
            });
        }
        Ok(())
    };
    body(record, kind, |mut f| {
        if matches!(kind, HistogramsV2 | FloatHistogramsV2) {
            return each_v2(f, &mut push);
        }
        if f.is_empty() {
            return Ok(());
        }
        let (first_series, first_t) = (f.be64()?, f.be64()? as i64);
        while !f.is_empty() {
            let series = first_series.wrapping_add_signed(f.varint()?);
            let t = first_t.wrapping_add(f.varint()?);
            push(&mut f, series, t, 0)?;
        }
        Ok(())
    })
}

fn take_spans(f: &mut Fields<'_>) -> Result<Vec<Span>, BadField> {
    let n = f.count(2)?;
    let mut spans = Vec::with_capacity(n);
    for _ in 0..n {
        let offset = i32::try_from(f.varint()?).map_err(|_| BadField)?;
        spans.push(Span {
            offset,
            length: f.uvarint32()?,
        });
    }
    Ok(spans)
}

/// Spans and buckets must agree, or later steps would trust lengths nobody checked.
fn agree(spans: &[Span], buckets: usize) -> Result<(), BadField> {
    let described: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
    if described == buckets as u64 {
        Ok(())
    } else {
        Err(BadField)
    }
}

fn take_bounds(f: &mut Fields<'_>, schema: i32) -> Result<Option<std::sync::Arc<[f64]>>, BadField> {
    if schema != CUSTOM_BUCKETS_SCHEMA {
        return Ok(None);
    }
    let n = f.count(8)?;
    let bounds: Result<Vec<f64>, BadField> = (0..n).map(|_| f.f64()).collect();
    Ok(Some(bounds?.into()))
}

/// Reads an integer histogram as [`put_integer`] writes it.
pub fn take_integer(f: &mut Fields<'_>) -> Result<Histogram, BadField> {
    let reset_hint = hint_of(f.byte()?);
    let schema = i32::try_from(f.varint()?).map_err(|_| BadField)?;
    let zero_threshold = f.f64()?;
    let (zero_count, count, sum) = (f.uvarint()?, f.uvarint()?, f.f64()?);
    let (positive_spans, negative_spans) = (take_spans(f)?, take_spans(f)?);
    let mut buckets = || -> Result<Vec<i64>, BadField> {
        let n = f.count(1)?;
        (0..n).map(|_| f.varint()).collect()
    };
    let (positive_buckets, negative_buckets) = (buckets()?, buckets()?);
    agree(&positive_spans, positive_buckets.len())?;
    agree(&negative_spans, negative_buckets.len())?;
    Ok(Histogram {
        reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values: take_bounds(f, schema)?,
    })
}

/// Reads a float histogram as [`put_float`] writes it.
pub fn take_float(f: &mut Fields<'_>) -> Result<FloatHistogram, BadField> {
    let reset_hint = hint_of(f.byte()?);
    let schema = i32::try_from(f.varint()?).map_err(|_| BadField)?;
    let zero_threshold = f.f64()?;
    let (zero_count, count, sum) = (f.f64()?, f.f64()?, f.f64()?);
    let (positive_spans, negative_spans) = (take_spans(f)?, take_spans(f)?);
    let mut buckets = || -> Result<Vec<f64>, BadField> {
        let n = f.count(8)?;
        (0..n).map(|_| f.f64()).collect()
    };
    let (positive_buckets, negative_buckets) = (buckets()?, buckets()?);
    agree(&positive_spans, positive_buckets.len())?;
    agree(&negative_spans, negative_buckets.len())?;
    Ok(FloatHistogram {
        reset_hint,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        custom_values: take_bounds(f, schema)?,
    })
}

/// Reads deletions.
pub fn tombstones(record: &[u8], out: &mut Vec<RefTombstone>) -> Result<(), RecordError> {
    body(record, RecordKind::Tombstones, |mut f| {
        while !f.is_empty() {
            let series = f.be64()?;
            let interval = Interval {
                min: f.varint()?,
                max: f.varint()?,
            };
            out.push(RefTombstone { series, interval });
        }
        Ok(())
    })
}

/// Reads exemplars.
pub fn exemplars(record: &[u8], out: &mut Vec<RefExemplar>) -> Result<(), RecordError> {
    body(record, RecordKind::Exemplars, |mut f| {
        if f.is_empty() {
            return Ok(());
        }
        let (first_series, first_t) = (f.be64()?, f.be64()? as i64);
        let mut pairs = Vec::new();
        while !f.is_empty() {
            let series = first_series.wrapping_add_signed(f.varint()?);
            let t = first_t.wrapping_add(f.varint()?);
            let value = f.f64()?;
            pairs.clear();
            for _ in 0..f.count(2)? {
                pairs.push((f.str()?, f.str()?));
            }
            let labels = Labels::from_refs(&mut pairs);
            out.push(RefExemplar {
                series,
                t,
                value,
                labels,
            });
        }
        Ok(())
    })
}

/// Reads markers.
pub fn markers(record: &[u8], out: &mut Vec<RefMarker>) -> Result<(), RecordError> {
    body(record, RecordKind::MmapMarkers, |mut f| {
        while !f.is_empty() {
            out.push(RefMarker {
                series: f.be64()?,
                chunk: f.be64()?,
            });
        }
        Ok(())
    })
}

/// Reads metadata; fields with names of the future are skipped.
pub fn metadata(record: &[u8], mut each: impl FnMut(u64, Metadata)) -> Result<(), RecordError> {
    body(record, RecordKind::Metadata, |mut f| {
        while !f.is_empty() {
            let series = f.uvarint()?;
            let kind = KINDS.get(usize::from(f.byte()?)).copied();
            let mut m = Metadata {
                kind: kind.unwrap_or(MetricType::Unknown),
                unit: String::new(),
                help: String::new(),
            };
            for _ in 0..f.count(2)? {
                match (f.str()?, f.str()?) {
                    ("UNIT", unit) => unit.clone_into(&mut m.unit),
                    ("HELP", help) => help.clone_into(&mut m.help),
                    _ => {}
                }
            }
            each(series, m);
        }
        Ok(())
    })
}
