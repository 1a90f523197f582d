//! One commit of the agent: checked against the newest time of each series, written to the log, done.

use std::num::NonZeroU64;

use model::{Exemplar, Labels, Metadata};
use ondisk::log::Packed;
use ondisk::record::{self, AnyHistogram, RecordKind, RefExemplar, RefHistogram, SeriesRecord};
use storage::{AppendError, Appender, HistogramSample, SeriesRef};

use super::Agent;
use crate::validate;

/// Characters the labels of an exemplar may have.
const LABEL_CHARS_MAX: usize = 128;

pub(super) struct AgentAppender<'a> {
    agent: &'a Agent,
    floats: Vec<(u64, i64, f64)>,
    histograms: Vec<RefHistogram>,
    exemplars: Vec<RefExemplar>,
    metadata: Vec<(u64, Metadata)>,
    done: bool,
}

impl<'a> AgentAppender<'a> {
    pub(super) fn new(agent: &'a Agent) -> AgentAppender<'a> {
        AgentAppender {
            agent,
            floats: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
            done: false,
        }
    }

    fn admit(&self, series: SeriesRef, t: i64) -> Result<u64, AppendError> {
        let reference = series.0.get();
        let mut shard = self.agent.shard(reference).lock();
        let known = shard
            .get_mut(&reference)
            .ok_or(AppendError::UnknownSeries)?;
        if t <= known.last.saturating_sub(self.agent.window) {
            self.agent.metrics.out_of_order.inc();
            return Err(AppendError::OutOfOrder);
        }
        known.pending += 1;
        Ok(reference)
    }

    fn records(&self) -> Vec<Packed> {
        let compression = self.agent.wal.compression();
        let mut records = Vec::new();
        let mut push = |buf: Vec<u8>| {
            if buf.len() > 1 {
                records.push(Packed::new(buf, compression));
            }
        };
        if !self.metadata.is_empty() {
            let mut buf = Vec::new();
            let metadata = self.metadata.iter();
            record::put_metadata(&mut buf, metadata.map(|(series, m)| (*series, m)));
            push(buf);
        }
        let mut buf = Vec::new();
        record::put_samples(&mut buf, self.floats.iter().copied());
        push(buf);
        for kind in [
            RecordKind::Histograms,
            RecordKind::CustomHistograms,
            RecordKind::FloatHistograms,
            RecordKind::CustomFloatHistograms,
        ] {
            let of_kind = |h: &&RefHistogram| record::histogram_kind(&h.histogram) == kind;
            let mut buf = Vec::new();
            record::put_histograms(&mut buf, kind, self.histograms.iter().filter(of_kind));
            push(buf);
        }
        let mut buf = Vec::new();
        record::put_exemplars(&mut buf, &self.exemplars);
        push(buf);
        records
    }

    fn write(&self, records: &[Packed]) -> Result<(), AppendError> {
        let agent = self.agent;
        let taken = std::cell::RefCell::new(Vec::new());
        let first = || {
            let references = std::mem::take(&mut *agent.unlogged.lock());
            let mut record = SeriesRecord::default();
            for reference in &references {
                let labels = agent
                    .shard(*reference)
                    .lock()
                    .get(reference)
                    .map(|s| s.labels.clone());
                if let Some(labels) = labels {
                    let pairs: Vec<(&str, &str)> = labels.iter().collect();
                    record.push(*reference, pairs.into_iter());
                }
            }
            taken.replace(references);
            (!record.is_empty()).then(|| record.into_bytes())
        };
        let done = |written: bool| {
            if !written {
                agent.unlogged.lock().extend(taken.take());
            }
        };
        agent
            .wal
            .commit(first, records, done)
            .map_err(|err| AppendError::Disk(err.to_string()))
    }

    /// Ends the batch; with `written` the newest times move on.
    fn finish(&mut self, written: bool) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let floats = self.floats.iter().map(|s| (s.0, s.1));
        let histograms = self.histograms.iter().map(|h| (h.series, h.t));
        for (reference, t) in floats.chain(histograms) {
            if let Some(series) = self.agent.shard(reference).lock().get_mut(&reference) {
                series.pending = series.pending.saturating_sub(1);
                if written {
                    series.last = series.last.max(t);
                }
            }
        }
        if written && let Some(samples) = &self.agent.metrics.samples {
            samples.with(&["float"]).add(self.floats.len() as u64);
            samples
                .with(&["histogram"])
                .add(self.histograms.len() as u64);
            self.agent
                .metrics
                .exemplars
                .add(self.exemplars.len() as u64);
        }
    }
}

impl Drop for AgentAppender<'_> {
    fn drop(&mut self) {
        self.finish(false);
    }
}

impl Appender for AgentAppender<'_> {
    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::InvalidLabels(
                "empty labelset: invalid sample".to_owned(),
            ));
        }
        let reference = self.agent.find_or_create(labels);
        // References count from one.
        Ok(SeriesRef(
            NonZeroU64::new(reference).unwrap_or(NonZeroU64::MIN),
        ))
    }

    fn append(&mut self, series: SeriesRef, t: i64, value: f64) -> Result<(), AppendError> {
        let reference = self.admit(series, t)?;
        self.floats.push((reference, t, value));
        Ok(())
    }

    fn append_histogram(
        &mut self,
        series: SeriesRef,
        t: i64,
        histogram: HistogramSample<'_>,
    ) -> Result<(), AppendError> {
        let histogram = match histogram {
            HistogramSample::Integer(h) => {
                validate::integer(h).map_err(AppendError::InvalidHistogram)?;
                AnyHistogram::Integer(h.clone())
            }
            HistogramSample::Float(h) => {
                validate::float(h).map_err(AppendError::InvalidHistogram)?;
                AnyHistogram::Float(h.clone())
            }
        };
        let reference = self.admit(series, t)?;
        self.histograms.push(RefHistogram {
            series: reference,
            t,
            start: 0,
            histogram,
        });
        Ok(())
    }

    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        let chars: usize = exemplar
            .labels
            .iter()
            .map(|(n, v)| n.chars().count() + v.chars().count())
            .sum();
        if chars > LABEL_CHARS_MAX {
            return Err(AppendError::ExemplarTooLong);
        }
        let reference = series.0.get();
        let mut shard = self.agent.shard(reference).lock();
        let known = shard
            .get_mut(&reference)
            .ok_or(AppendError::UnknownSeries)?;
        // The same one comes with every scrape until there is another.
        if known.last_exemplar.as_deref() == Some(exemplar) {
            return Ok(());
        }
        known.last_exemplar = Some(Box::new(exemplar.clone()));
        self.exemplars.push(RefExemplar {
            series: reference,
            t: exemplar.timestamp.unwrap_or(0),
            value: exemplar.value,
            labels: exemplar.labels.clone(),
        });
        Ok(())
    }

    fn append_start(
        &mut self,
        series: SeriesRef,
        t: i64,
        start: i64,
        like: Option<HistogramSample<'_>>,
    ) -> Result<(), AppendError> {
        let reference = series.0.get();
        let last = match self.agent.shard(reference).lock().get(&reference) {
            Some(known) => known.last,
            None => return Err(AppendError::UnknownSeries),
        };
        if start >= t {
            return Err(AppendError::StartNotBeforeSample);
        }
        if start == 0 || start <= last {
            return Err(AppendError::OutOfOrderStart);
        }
        match like.map(|like| like.zero()) {
            Some(AnyHistogram::Integer(zero)) => {
                self.append_histogram(series, start, HistogramSample::Integer(&zero))
            }
            Some(AnyHistogram::Float(zero)) => {
                self.append_histogram(series, start, HistogramSample::Float(&zero))
            }
            None => self.append(series, start, 0.0),
        }
    }

    /// Logged for those who send it on; whether it is news is the caller's to know.
    fn update_metadata(
        &mut self,
        series: SeriesRef,
        metadata: &Metadata,
    ) -> Result<(), AppendError> {
        self.metadata.push((series.0.get(), metadata.clone()));
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), AppendError> {
        let empty = self.floats.is_empty()
            && self.histograms.is_empty()
            && self.exemplars.is_empty()
            && self.metadata.is_empty();
        if empty && self.agent.unlogged.lock().is_empty() {
            self.finish(false);
            return Ok(());
        }
        let written = self.write(&self.records());
        self.finish(written.is_ok());
        written
    }

    fn rollback(mut self: Box<Self>) {
        self.finish(false);
    }
}
