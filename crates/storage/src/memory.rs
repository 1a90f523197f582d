//! A storage that is nothing but a map: the plain reference that tests of queries and scraping use.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Exemplar, FloatHistogram, Histogram, Labels, Matcher, Metadata};
use ondisk::chunk::{
    Encoding, FloatHistogramAppender, HistogramAppender, Plan, ResetHeader, XorAppender,
};
use ondisk::record::AnyHistogram;

use crate::append::{AppendError, Appendable, Appender, HistogramSample, SeriesRef};
use crate::select::{
    Answer, Chunk, Querier, Queryable, ReadySeries, SelectHints, Series, SeriesSet, StorageError,
    TimeRange,
};

/// Samples per chunk, as upstream cuts them.
const CHUNK_SAMPLES: usize = 120;

/// A sample as it was appended.
#[derive(Clone, Debug)]
pub enum StoredValue {
    /// A float.
    Float(f64),
    /// A histogram with whole-number counts.
    Histogram(Histogram),
    /// A histogram with float counts.
    FloatHistogram(FloatHistogram),
}

/// Series in memory. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryStorage(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    refs: BTreeMap<Labels, usize>,
    series: Vec<Stored>,
}

#[derive(Clone, Default)]
struct Stored {
    samples: BTreeMap<i64, StoredValue>,
    exemplars: Vec<Exemplar>,
    metadata: Option<Metadata>,
}

impl MemoryStorage {
    /// An empty storage.
    pub fn new() -> MemoryStorage {
        MemoryStorage::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts one sample, replacing what is at its time.
    pub fn insert(&self, labels: &Labels, t: i64, value: StoredValue) {
        let mut state = self.lock();
        let at = state.find_or_create(labels);
        state.series[at].samples.insert(t, value);
    }

    /// Every series with its samples.
    pub fn dump(&self) -> Vec<(Labels, Vec<(i64, StoredValue)>)> {
        let state = self.lock();
        let samples = |at: usize| state.series[at].samples.clone().into_iter().collect();
        state
            .refs
            .iter()
            .map(|(labels, at)| (labels.clone(), samples(*at)))
            .collect()
    }

    /// The exemplars of a series.
    pub fn exemplars(&self, labels: &Labels) -> Vec<Exemplar> {
        let state = self.lock();
        state
            .refs
            .get(labels)
            .map(|at| state.series[*at].exemplars.clone())
            .unwrap_or_default()
    }

    /// The metadata of a series.
    pub fn metadata(&self, labels: &Labels) -> Option<Metadata> {
        let state = self.lock();
        state
            .refs
            .get(labels)
            .and_then(|at| state.series[*at].metadata.clone())
    }

    /// Forgets everything.
    pub fn clear(&self) {
        *self.lock() = State::default();
    }
}

impl State {
    fn find_or_create(&mut self, labels: &Labels) -> usize {
        if let Some(at) = self.refs.get(labels) {
            return *at;
        }
        let at = self.series.len();
        self.series.push(Stored::default());
        self.refs.insert(labels.clone(), at);
        at
    }
}

impl Appendable for MemoryStorage {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch {
            storage: self,
            samples: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
        })
    }
}

struct Batch<'a> {
    storage: &'a MemoryStorage,
    samples: Vec<(usize, i64, StoredValue)>,
    exemplars: Vec<(usize, Exemplar)>,
    metadata: Vec<(usize, Metadata)>,
}

impl Batch<'_> {
    fn index(&self, series: SeriesRef) -> Result<usize, AppendError> {
        let at = series.0.get() as usize - 1;
        if at < self.storage.lock().series.len() {
            Ok(at)
        } else {
            Err(AppendError::UnknownSeries)
        }
    }

    /// Only in order, as a storage without an out-of-order window.
    fn check(
        &self,
        at: usize,
        t: i64,
        same: impl Fn(&StoredValue) -> bool,
    ) -> Result<bool, AppendError> {
        let state = self.storage.lock();
        let pending = self
            .samples
            .iter()
            .rev()
            .find(|(of, ..)| *of == at)
            .map(|(_, t, v)| (*t, v));
        let last = pending.or_else(|| {
            state.series[at]
                .samples
                .last_key_value()
                .map(|(t, v)| (*t, v))
        });
        match last {
            Some((last, _)) if t < last => Err(AppendError::OutOfOrder),
            Some((last, value)) if t == last && same(value) => Ok(false),
            Some((last, _)) if t == last => Err(AppendError::DuplicateTimestamp(String::new())),
            _ => Ok(true),
        }
    }
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::InvalidLabels(
                "empty labelset: invalid sample".into(),
            ));
        }
        let at = self.storage.lock().find_or_create(labels);
        NonZeroU64::new(at as u64 + 1)
            .map(SeriesRef)
            .ok_or(AppendError::UnknownSeries)
    }

    fn append(&mut self, series: SeriesRef, t: i64, value: f64) -> Result<(), AppendError> {
        let at = self.index(series)?;
        let same =
            |v: &StoredValue| matches!(v, StoredValue::Float(v) if v.to_bits() == value.to_bits());
        if self.check(at, t, same)? {
            self.samples.push((at, t, StoredValue::Float(value)));
        }
        Ok(())
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        t: i64,
        histogram: HistogramSample<'_>,
    ) -> Result<(), AppendError> {
        let at = self.index(series)?;
        if self.check(at, t, |_| false)? {
            let value = match histogram {
                HistogramSample::Integer(h) => StoredValue::Histogram(h.clone()),
                HistogramSample::Float(h) => StoredValue::FloatHistogram(h.clone()),
            };
            self.samples.push((at, t, value));
        }
        Ok(())
    }

    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        self.exemplars.push((self.index(series)?, exemplar.clone()));
        Ok(())
    }

    fn append_start(
        &mut self,
        series: SeriesRef,
        t: i64,
        start: i64,
        like: Option<HistogramSample<'_>>,
    ) -> Result<(), AppendError> {
        if start >= t {
            return Err(AppendError::OutOfOrderStart);
        }
        let at = self.index(series)?;
        match self.check(at, start, |_| false) {
            Ok(_) => {
                let zero = match like.map(|like| like.zero()) {
                    Some(AnyHistogram::Integer(h)) => StoredValue::Histogram(h),
                    Some(AnyHistogram::Float(h)) => StoredValue::FloatHistogram(h),
                    None => StoredValue::Float(0.0),
                };
                self.samples.push((at, start, zero));
                Ok(())
            }
            Err(_) => Err(AppendError::OutOfOrderStart),
        }
    }

    fn update_metadata(
        &mut self,
        series: SeriesRef,
        metadata: &Metadata,
    ) -> Result<(), AppendError> {
        self.metadata.push((self.index(series)?, metadata.clone()));
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        let mut state = self.storage.lock();
        for (at, t, value) in self.samples {
            state.series[at].samples.insert(t, value);
        }
        for (at, exemplar) in self.exemplars {
            state.series[at].exemplars.push(exemplar);
        }
        for (at, metadata) in self.metadata {
            state.series[at].metadata = Some(metadata);
        }
        Ok(())
    }

    fn rollback(self: Box<Self>) {}
}

impl Queryable for MemoryStorage {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, StorageError> {
        Ok(Box::new(View {
            storage: self.clone(),
            range,
        }))
    }
}

struct View {
    storage: MemoryStorage,
    range: TimeRange,
}

impl View {
    fn matching(&self, matchers: &[Matcher]) -> Vec<Labels> {
        let state = self.storage.lock();
        let fits = |labels: &Labels| matchers.iter().all(|m| m.matches_labels(labels));
        state
            .refs
            .keys()
            .filter(|labels| fits(labels))
            .cloned()
            .collect()
    }
}

fn limited(mut values: Vec<String>, limit: usize) -> Answer<Vec<String>> {
    values.sort();
    values.dedup();
    if limit > 0 {
        values.truncate(limit);
    }
    Answer {
        value: values,
        warnings: Vec::new(),
    }
}

impl Querier for View {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let mut out = Vec::new();
        for labels in self.matching(matchers) {
            let state = self.storage.lock();
            let Some(at) = state.refs.get(&labels) else {
                continue;
            };
            let samples: Vec<(i64, &StoredValue)> = state.series[*at]
                .samples
                .range(self.range.min..=self.range.max)
                .map(|(t, v)| (*t, v))
                .collect();
            let chunks = encode(&samples)?;
            if !chunks.is_empty() {
                out.push(Series { labels, chunks });
            }
            if hints.limit > 0 && out.len() == hints.limit {
                break;
            }
        }
        Ok(Box::new(ReadySeries::new(out)))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError> {
        let names = self
            .matching(matchers)
            .iter()
            .flat_map(|labels| {
                labels
                    .iter()
                    .map(|(name, _)| name.to_string())
                    .collect::<Vec<_>>()
            })
            .collect();
        Ok(limited(names, limit))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError> {
        let values = self
            .matching(matchers)
            .iter()
            .filter_map(|labels| labels.get(name).map(str::to_string))
            .collect();
        Ok(limited(values, limit))
    }
}

/// The chunk being filled while samples are encoded.
enum Open {
    Float(XorAppender),
    Histogram(Box<HistogramAppender>),
    FloatHistogram(Box<FloatHistogramAppender>),
}

/// Encodes samples in order of time.
pub fn encode(samples: &[(i64, &StoredValue)]) -> Result<Vec<Chunk>, StorageError> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    let mut open: Option<(Open, i64, i64, usize)> = None;
    let close = |open: &mut Option<(Open, i64, i64, usize)>,
                 data: &mut Vec<u8>,
                 chunks: &mut Vec<Chunk>| {
        if let Some((kind, min_time, max_time, _)) = open.take() {
            let encoding = match &kind {
                Open::Float(appender) => {
                    appender.seal(data);
                    Encoding::Xor
                }
                Open::Histogram(_) => Encoding::Histogram,
                Open::FloatHistogram(_) => Encoding::FloatHistogram,
            };
            chunks.push(Chunk {
                min_time,
                max_time,
                encoding,
                data: std::mem::take(data).into(),
            });
        }
    };
    for (t, value) in samples {
        let fault = |e: ondisk::chunk::ChunkError| StorageError::Other(e.to_string());
        let mut header = ResetHeader::Unknown;
        let fits = match (&open, value) {
            (Some((_, _, _, count)), _) if *count >= CHUNK_SAMPLES => false,
            (Some((Open::Float(_), ..)), StoredValue::Float(_)) => true,
            (Some((Open::Histogram(appender), ..)), StoredValue::Histogram(h)) => {
                match appender.plan(&data, h) {
                    Plan::Append => true,
                    Plan::NewChunk(with) => {
                        header = with;
                        false
                    }
                }
            }
            (Some((Open::FloatHistogram(appender), ..)), StoredValue::FloatHistogram(h)) => {
                match appender.plan(&data, h) {
                    Plan::Append => true,
                    Plan::NewChunk(with) => {
                        header = with;
                        false
                    }
                }
            }
            _ => false,
        };
        if !fits {
            close(&mut open, &mut data, &mut chunks);
        }
        match (&mut open, value) {
            (Some((Open::Float(appender), _, max, count)), StoredValue::Float(v)) => {
                appender.append(&mut data, *t, *v).map_err(fault)?;
                (*max, *count) = (*t, *count + 1);
            }
            (Some((Open::Histogram(appender), _, max, count)), StoredValue::Histogram(h)) => {
                appender.append(&mut data, *t, h).map_err(fault)?;
                (*max, *count) = (*t, *count + 1);
            }
            (
                Some((Open::FloatHistogram(appender), _, max, count)),
                StoredValue::FloatHistogram(h),
            ) => {
                appender.append(&mut data, *t, h).map_err(fault)?;
                (*max, *count) = (*t, *count + 1);
            }
            (_, value) => {
                let kind = match value {
                    StoredValue::Float(v) => {
                        let mut appender = XorAppender::start(&mut data);
                        appender.append(&mut data, *t, *v).map_err(fault)?;
                        Open::Float(appender)
                    }
                    StoredValue::Histogram(h) => Open::Histogram(Box::new(
                        HistogramAppender::start(&mut data, header, *t, h),
                    )),
                    StoredValue::FloatHistogram(h) => Open::FloatHistogram(Box::new(
                        FloatHistogramAppender::start(&mut data, header, *t, h),
                    )),
                };
                open = Some((kind, *t, *t, 1));
            }
        }
    }
    close(&mut open, &mut data, &mut chunks);
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Value;

    #[test]
    fn appends_and_selects() {
        let storage = MemoryStorage::new();
        let up = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        let mut batch = storage.appender();
        let series = batch.series(&up).expect("series");
        for t in 0..300 {
            batch.append(series, t * 1000, t as f64).expect("in order");
        }
        assert_eq!(batch.append(series, 5, 1.0), Err(AppendError::OutOfOrder));
        assert_eq!(
            batch.append(series, 299_000, 1.0),
            Err(AppendError::DuplicateTimestamp(String::new()))
        );
        assert_eq!(
            batch.append(series, 299_000, 299.0),
            Ok(()),
            "the same sample again is nothing new"
        );
        batch.commit().expect("commit");
        let querier = storage
            .querier(TimeRange {
                min: 100_000,
                max: 110_000,
            })
            .expect("querier");
        let matchers = [Matcher::equal("job", "a")];
        let mut set = querier
            .select(&matchers, &SelectHints::default())
            .expect("select");
        let series = set.next().expect("one").expect("readable");
        assert_eq!(series.labels, up);
        let mut samples = series.samples(TimeRange::ALL);
        let mut count = 0;
        while let Some((t, value)) = samples.next().expect("decodes") {
            assert!(matches!(value, Value::Float(v) if v * 1000.0 == t as f64));
            count += 1;
        }
        assert_eq!(count, 11);
        assert!(set.next().is_none());
        assert_eq!(
            querier.label_values("job", &[], 0).expect("values").value,
            ["a"]
        );
        assert_eq!(
            querier.label_names(&matchers, 1).expect("names").value,
            ["__name__"]
        );
    }
}
