//! The messages `prometheus.WriteRequest` (remote write 1.0) and `io.prometheus.write.v2.Request` (2.0).

use hashbrown::HashMap;
use model::{Exemplar, FloatHistogram, Histogram, Metadata, MetricType};

use crate::fields::{Broken, Value, fields, integers, put_bytes, put_double, put_uint, put_varint};
use crate::histogram::{self, HistogramSample};
use crate::remote_read::put_labels;

/// A value on its way out.
#[derive(Clone, Copy, Debug)]
pub enum Outgoing<'a> {
    /// A float sample.
    Float(f64),
    /// A histogram with whole-number counts.
    Integer(&'a Histogram),
    /// A histogram with float counts.
    FloatHistogram(&'a FloatHistogram),
    /// An exemplar; its own timestamp counts.
    Exemplar(&'a Exemplar),
}

/// The labels of a series as they stand at the head of its `TimeSeries` in 1.0: encoded once, sent many times.
pub fn encode_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Box<[u8]> {
    let mut out = Vec::with_capacity(128);
    put_labels_v1(&mut out, labels);
    out.into_boxed_slice()
}

/// Appends the labels of a series as [`encode_labels`] does.
pub fn put_labels_v1<'a>(out: &mut Vec<u8>, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
    put_labels(out, labels);
}

fn varint_len(n: u64) -> usize {
    (70 - (n | 1).leading_zeros() as usize) / 7
}

/// Appends a `TimeSeries` with one element to a 1.0 request. `labels` comes from [`encode_labels`].
pub fn put_v1(out: &mut Vec<u8>, labels: &[u8], t: i64, value: Outgoing<'_>) {
    if let Outgoing::Float(v) = value {
        // The hot path writes lengths ahead instead of building messages in messages.
        let sample = 10 + varint_len(t as u64);
        put_varint(out, 1 << 3 | 2);
        put_varint(out, (labels.len() + 2 + sample) as u64);
        out.extend_from_slice(labels);
        put_varint(out, 2 << 3 | 2);
        put_varint(out, sample as u64);
        put_double(out, 1, v);
        put_uint(out, 2, t as u64);
        return;
    }
    let mut series = Vec::with_capacity(labels.len() + 256);
    series.extend_from_slice(labels);
    match value {
        Outgoing::Float(_) => {}
        Outgoing::Integer(h) => histogram::put_integer(&mut series, 4, t, 0, h),
        Outgoing::FloatHistogram(h) => histogram::put_float(&mut series, 4, t, 0, h),
        Outgoing::Exemplar(exemplar) => {
            let mut message = Vec::with_capacity(64);
            put_labels(&mut message, &exemplar.labels);
            put_double(&mut message, 2, exemplar.value);
            put_uint(&mut message, 3, exemplar.timestamp.unwrap_or(t) as u64);
            put_bytes(&mut series, 3, &message);
        }
    }
    put_bytes(out, 1, &series);
}

/// Appends a `MetricMetadata` to a 1.0 request.
pub fn put_metadata_v1(out: &mut Vec<u8>, family: &str, metadata: &Metadata) {
    let mut message = Vec::with_capacity(64 + metadata.help.len());
    put_uint(&mut message, 1, kind_number(metadata.kind));
    put_bytes(&mut message, 2, family.as_bytes());
    put_bytes(&mut message, 4, metadata.help.as_bytes());
    put_bytes(&mut message, 5, metadata.unit.as_bytes());
    put_bytes(out, 3, &message);
}

fn kind_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

fn kind_of(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// Builds a 2.0 request: series by references into a table of texts. Used again for the next request.
#[derive(Default)]
pub struct RequestV2 {
    symbols: HashMap<Box<str>, u32>,
    order: Vec<Box<str>>,
    series: Vec<u8>,
    scratch: Vec<u8>,
    message: Vec<u8>,
}

impl RequestV2 {
    /// Forgets the last request.
    pub fn clear(&mut self) {
        self.symbols.clear();
        self.order.clear();
        self.series.clear();
    }

    fn symbol(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(known) = self.symbols.get(text) {
            return *known;
        }
        self.order.push(text.into());
        // The empty text is number 0.
        let number = self.order.len() as u32;
        self.symbols.insert(text.into(), number);
        number
    }

    fn push_refs<'a>(&mut self, labels: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut packed = std::mem::take(&mut self.scratch);
        packed.clear();
        for (name, value) in labels {
            put_varint(&mut packed, u64::from(self.symbol(name)));
            put_varint(&mut packed, u64::from(self.symbol(value)));
        }
        put_bytes(&mut self.message, 1, &packed);
        self.scratch = packed;
    }

    /// Adds a series with one element. `start` is 0 when unknown.
    pub fn push<'a>(
        &mut self,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        t: i64,
        start: i64,
        value: Outgoing<'_>,
        metadata: Option<&Metadata>,
    ) {
        self.message.clear();
        self.push_refs(labels);
        match value {
            Outgoing::Float(v) => {
                let mut sample = Vec::with_capacity(28);
                put_double(&mut sample, 1, v);
                put_uint(&mut sample, 2, t as u64);
                if start != 0 {
                    put_uint(&mut sample, 3, start as u64);
                }
                put_bytes(&mut self.message, 2, &sample);
            }
            Outgoing::Integer(h) => histogram::put_integer(&mut self.message, 3, t, start, h),
            Outgoing::FloatHistogram(h) => histogram::put_float(&mut self.message, 3, t, start, h),
            Outgoing::Exemplar(exemplar) => {
                let outer = std::mem::take(&mut self.message);
                self.push_refs(&exemplar.labels);
                let mut inner = std::mem::replace(&mut self.message, outer);
                put_double(&mut inner, 2, exemplar.value);
                put_uint(&mut inner, 3, exemplar.timestamp.unwrap_or(t) as u64);
                put_bytes(&mut self.message, 4, &inner);
            }
        }
        if let Some(metadata) = metadata {
            let mut message = Vec::with_capacity(16);
            put_uint(&mut message, 1, kind_number(metadata.kind));
            let (help, unit) = (self.symbol(&metadata.help), self.symbol(&metadata.unit));
            put_uint(&mut message, 3, u64::from(help));
            put_uint(&mut message, 4, u64::from(unit));
            put_bytes(&mut self.message, 5, &message);
        }
        put_bytes(&mut self.series, 5, &self.message);
    }

    /// Appends the request to `out`.
    pub fn finish(&self, out: &mut Vec<u8>) {
        put_bytes(out, 4, b"");
        for text in &self.order {
            put_bytes(out, 4, text.as_bytes());
        }
        out.extend_from_slice(&self.series);
    }
}

/// Which of the two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

/// What a series of a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A float sample.
    Sample,
    /// A native histogram.
    Histogram,
    /// An exemplar.
    Exemplar,
}

/// Copies a request that was made here, so with one element a series, without the series that `keep` refuses by the kind
/// and the time (unix milliseconds) of that element. All else is kept as it is.
pub fn retain(
    message: &[u8],
    version: Version,
    mut keep: impl FnMut(Kind, i64) -> bool,
) -> Result<Vec<u8>, Broken> {
    let (series, histogram, exemplar) = match version {
        Version::V1 => (1, 4, 3),
        Version::V2 => (5, 3, 4),
    };
    let mut kept = Vec::with_capacity(message.len());
    fields(message, |field, value| {
        if field == series {
            let mut element = None;
            fields(value.bytes(), |field, value| {
                let (kind, time_field) = match field {
                    2 => (Kind::Sample, 2),
                    f if f == histogram => {
                        let t = histogram::read(value.bytes())?.t;
                        element = Some((Kind::Histogram, t));
                        return Ok(());
                    }
                    f if f == exemplar => (Kind::Exemplar, 3),
                    _ => return Ok(()),
                };
                let mut t = 0;
                fields(value.bytes(), |field, value| {
                    if field == time_field {
                        t = value.u64() as i64;
                    }
                    Ok(())
                })?;
                element = Some((kind, t));
                Ok(())
            })?;
            if element.is_some_and(|(kind, t)| !keep(kind, t)) {
                return Ok(());
            }
        }
        put_bytes(&mut kept, field, value.bytes());
        Ok(())
    })?;
    Ok(kept)
}

/// A series of a request that came in. Texts are as sent: whether they make a valid label set is not checked.
#[derive(Clone, Debug, Default)]
pub struct Incoming<'a> {
    /// Names and values, in the sender's order.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Whether a text of the labels was not UTF-8, or a reference led nowhere.
    pub broken_labels: bool,
    /// Float samples: time, value, start (0 when unknown).
    pub samples: Vec<(i64, f64, i64)>,
    /// Histograms.
    pub histograms: Vec<HistogramSample>,
    /// Exemplars.
    pub exemplars: Vec<IncomingExemplar<'a>>,
    /// Metadata, in 2.0 only.
    pub metadata: Option<Metadata>,
}

/// An exemplar of a request that came in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IncomingExemplar<'a> {
    /// Its own labels.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Its value.
    pub value: f64,
    /// Unix milliseconds.
    pub t: i64,
}

impl<'a> Incoming<'a> {
    fn clear(&mut self) {
        self.labels.clear();
        self.broken_labels = false;
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata = None;
    }

    fn sample(&mut self, message: &[u8]) -> Result<(), Broken> {
        let mut sample = (0, 0.0, 0);
        fields(message, |field, value| {
            match field {
                1 => sample.1 = value.f64(),
                2 => sample.0 = value.u64() as i64,
                3 => sample.2 = value.u64() as i64,
                _ => {}
            }
            Ok(())
        })?;
        self.samples.push(sample);
        Ok(())
    }
}

/// Reads a 1.0 request and calls `visit` with each of its series; metadata is passed over.
pub fn read_v1<'a>(message: &'a [u8], mut visit: impl FnMut(&Incoming<'a>)) -> Result<(), Broken> {
    let mut series = Incoming::default();
    fields(message, |field, value| {
        if field != 1 {
            return Ok(());
        }
        series.clear();
        fields(value.bytes(), |field, value| {
            match field {
                1 => {
                    let label = read_label(value)?;
                    series.broken_labels |= label.is_none();
                    series.labels.extend(label);
                }
                2 => series.sample(value.bytes())?,
                3 => {
                    let mut exemplar = IncomingExemplar::default();
                    fields(value.bytes(), |field, value| {
                        match field {
                            1 => exemplar.labels.extend(read_label(value)?),
                            2 => exemplar.value = value.f64(),
                            3 => exemplar.t = value.u64() as i64,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    series.exemplars.push(exemplar);
                }
                4 => series.histograms.push(histogram::read(value.bytes())?),
                _ => {}
            }
            Ok(())
        })?;
        visit(&series);
        Ok(())
    })
}

/// `None` where a text is not UTF-8.
fn read_label(value: Value<'_>) -> Result<Option<(&str, &str)>, Broken> {
    let (mut name, mut text) = (Some(""), Some(""));
    fields(value.bytes(), |field, value| {
        match field {
            1 => name = std::str::from_utf8(value.bytes()).ok(),
            2 => text = std::str::from_utf8(value.bytes()).ok(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(name.zip(text))
}

/// Reads a 2.0 request and calls `visit` with each of its series.
pub fn read_v2<'a>(message: &'a [u8], mut visit: impl FnMut(&Incoming<'a>)) -> Result<(), Broken> {
    let mut symbols: Vec<Option<&'a str>> = Vec::new();
    fields(message, |field, value| {
        if field == 4 {
            symbols.push(std::str::from_utf8(value.bytes()).ok());
        }
        Ok(())
    })?;
    if symbols.first().is_some_and(|first| *first != Some("")) {
        return Err(Broken("the first symbol must be empty"));
    }
    let mut series = Incoming::default();
    let mut references: Vec<u64> = Vec::new();
    fields(message, |field, value| {
        if field != 5 {
            return Ok(());
        }
        series.clear();
        references.clear();
        let mut metadata = None;
        fields(value.bytes(), |field, value| {
            match field {
                1 => integers(value, |n| references.push(n))?,
                2 => series.sample(value.bytes())?,
                3 => series.histograms.push(histogram::read(value.bytes())?),
                4 => series.exemplars.push(read_exemplar_v2(value, &symbols)?),
                5 => metadata = Some(read_metadata_v2(value, &symbols)?),
                _ => {}
            }
            Ok(())
        })?;
        series.metadata = metadata;
        series.broken_labels = !resolve(&references, &symbols, &mut series.labels);
        visit(&series);
        Ok(())
    })
}

fn lookup<'a>(symbols: &[Option<&'a str>], reference: u64) -> Option<&'a str> {
    symbols.get(usize::try_from(reference).ok()?).copied()?
}

/// Whether every reference led to a text.
fn resolve<'a>(
    references: &[u64],
    symbols: &[Option<&'a str>],
    out: &mut Vec<(&'a str, &'a str)>,
) -> bool {
    let (pairs, rest) = references.as_chunks::<2>();
    out.extend(
        pairs
            .iter()
            .filter_map(|[name, value]| lookup(symbols, *name).zip(lookup(symbols, *value))),
    );
    rest.is_empty() && out.len() == pairs.len()
}

fn read_exemplar_v2<'a>(
    value: Value<'a>,
    symbols: &[Option<&'a str>],
) -> Result<IncomingExemplar<'a>, Broken> {
    let mut exemplar = IncomingExemplar::default();
    let mut references = Vec::new();
    fields(value.bytes(), |field, value| {
        match field {
            1 => integers(value, |n| references.push(n))?,
            2 => exemplar.value = value.f64(),
            3 => exemplar.t = value.u64() as i64,
            _ => {}
        }
        Ok(())
    })?;
    resolve(&references, symbols, &mut exemplar.labels);
    Ok(exemplar)
}

fn read_metadata_v2(value: Value<'_>, symbols: &[Option<&str>]) -> Result<Metadata, Broken> {
    let mut metadata = Metadata::default();
    let text = |reference: u64| lookup(symbols, reference).unwrap_or("").to_string();
    fields(value.bytes(), |field, value| {
        match field {
            1 => metadata.kind = kind_of(value.u64()),
            3 => metadata.help = text(value.u64()),
            4 => metadata.unit = text(value.u64()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Labels, Span};
    use proptest::prelude::*;

    fn histogram() -> Histogram {
        Histogram {
            count: 4,
            sum: 1.5,
            schema: 1,
            zero_threshold: 0.001,
            zero_count: 1,
            positive_spans: vec![Span {
                offset: -2,
                length: 2,
            }],
            positive_buckets: vec![1, 1],
            ..Histogram::default()
        }
    }

    const LABELS: [(&str, &str); 2] = [("__name__", "m"), ("a", "é")];

    fn exemplar() -> Exemplar {
        Exemplar {
            labels: Labels::from_pairs([("trace", "x")]),
            value: 2.5,
            timestamp: Some(77),
        }
    }

    fn v1() -> Vec<u8> {
        let labels = encode_labels(LABELS);
        let mut out = Vec::new();
        put_v1(&mut out, &labels, -5, Outgoing::Float(1.25));
        put_v1(&mut out, &labels, 1 << 40, Outgoing::Integer(&histogram()));
        put_v1(
            &mut out,
            &labels,
            9,
            Outgoing::FloatHistogram(&histogram().to_float()),
        );
        put_v1(&mut out, &labels, 9, Outgoing::Exemplar(&exemplar()));
        put_metadata_v1(&mut out, "m", &Metadata::default());
        out
    }

    fn v2() -> Vec<u8> {
        let metadata = Metadata {
            kind: MetricType::Counter,
            unit: "s".into(),
            help: "h".into(),
        };
        let mut request = RequestV2::default();
        request.push(LABELS, -5, 3, Outgoing::Float(1.25), Some(&metadata));
        request.push(LABELS, 1 << 40, 0, Outgoing::Integer(&histogram()), None);
        let float = histogram().to_float();
        request.push(LABELS, 9, 0, Outgoing::FloatHistogram(&float), None);
        request.push(LABELS, 9, 0, Outgoing::Exemplar(&exemplar()), None);
        let mut out = Vec::new();
        request.finish(&mut out);
        out
    }

    fn check(series: &[Incoming<'_>], start: i64) {
        assert_eq!(series.len(), 4);
        for one in series {
            assert!(one.labels == LABELS && !one.broken_labels, "{one:?}");
        }
        assert_eq!(series[0].samples, [(-5, 1.25, start)]);
        let integer = &series[1].histograms[0];
        let AnyInteger(h) = of(integer);
        assert_eq!(
            (integer.t, h.count, &h.positive_buckets[..]),
            (1 << 40, 4, &[1, 1][..])
        );
        assert_eq!(h.positive_spans, histogram().positive_spans);
        assert!(
            matches!(&series[2].histograms[0].histogram, crate::histogram::AnyHistogram::Float(h) if h.count == 4.0)
        );
        let wanted = IncomingExemplar {
            labels: vec![("trace", "x")],
            value: 2.5,
            t: 77,
        };
        assert_eq!(series[3].exemplars, [wanted]);
    }

    struct AnyInteger(Histogram);

    fn of(sample: &HistogramSample) -> AnyInteger {
        match &sample.histogram {
            crate::histogram::AnyHistogram::Integer(h) => AnyInteger(h.clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_versions_there_and_back() {
        let bytes = v1();
        let mut series = Vec::new();
        read_v1(&bytes, |one| series.push(one.clone())).expect("reads");
        check(&series, 0);
        let bytes = v2();
        let mut series = Vec::new();
        read_v2(&bytes, |one| series.push(one.clone())).expect("reads");
        check(&series, 3);
        assert_eq!(
            series[0].metadata.as_ref().map(|m| m.kind),
            Some(MetricType::Counter)
        );
    }

    #[test]
    fn parts_of_requests_are_kept() {
        let wanted = [
            (Kind::Sample, -5),
            (Kind::Histogram, 1 << 40),
            (Kind::Histogram, 9),
            (Kind::Exemplar, 77),
        ];
        for (message, version) in [(v1(), Version::V1), (v2(), Version::V2)] {
            let mut seen = Vec::new();
            let all = retain(&message, version, |kind, t| {
                seen.push((kind, t));
                true
            });
            assert_eq!(all.expect("a request"), message);
            assert_eq!(seen, wanted);
            let late = retain(&message, version, |_, t| t > 9).expect("a request");
            let mut left = Vec::new();
            let visit = |one: &Incoming<'_>| {
                assert_eq!(one.labels, LABELS);
                left.push((one.histograms.len(), one.exemplars.len()));
            };
            match version {
                Version::V1 => read_v1(&late, visit),
                Version::V2 => read_v2(&late, visit),
            }
            .expect("a request");
            assert_eq!(left, [(1, 0), (0, 1)]);
        }
    }

    proptest! {
        #[test]
        fn damaged_requests_are_refused_or_read(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
            for (mut bytes, second) in [(v1(), false), (v2(), true)] {
                if let Some(place) = bytes.get_mut(at) {
                    *place = byte;
                }
                bytes.truncate(bytes.len().saturating_sub(cut));
                let _ = if second { read_v2(&bytes, |_| {}) } else { read_v1(&bytes, |_| {}) };
            }
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_v1(&bytes, |_| {});
            let _ = read_v2(&bytes, |_| {});
        }

        #[test]
        fn lengths(n in any::<u64>()) {
            let mut out = Vec::new();
            put_varint(&mut out, n);
            prop_assert_eq!(varint_len(n), out.len());
        }
    }
}
