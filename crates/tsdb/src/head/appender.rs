//! One commit: samples are admitted one by one, written to the log together, then applied.

use std::sync::atomic::Ordering::Relaxed;

use hashbrown::hash_map::HashMap;
use model::{Exemplar, Labels, Metadata, sample::is_stale_nan};
use ondisk::log::Packed;
use ondisk::record::{
    self, AnyHistogram, RecordKind, RefExemplar, RefHistogram, RefMarker, RefSample, SeriesRecord,
};
use parking_lot::MutexGuard;
use storage::{AppendError, Appender, HistogramSample, SeriesRef};

use super::Head;
use crate::isolation::{Appending, Applying};
use crate::merge::Value;
use crate::out_of_order::histogram_value;
use crate::series::{Changes, Incoming, Series, Taken};
use crate::validate;

/// A float waiting for its commit.
#[derive(Debug, Clone, Copy)]
struct FloatSample {
    slot: u32,
    reference: u64,
    t: i64,
    value: f64,
}

/// What the log gets as one run of records: within a batch every series has one type of samples.
#[derive(Debug, Default)]
struct Run {
    floats: Vec<FloatSample>,
    histograms: Vec<(u32, RefHistogram)>,
    /// Kinds of the series with histograms.
    kinds: HashMap<u32, RecordKind>,
}

/// The samples of one appender; kept for the next one.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    runs: Vec<Run>,
    exemplars: Vec<(u32, RefExemplar)>,
    metadata: Vec<(u32, u64, Metadata)>,
}

/// An appender of the head.
pub(crate) struct HeadAppender<'a> {
    head: &'a Head,
    _open: Appending<'a>,
    /// Bounds as they were when it began.
    min_valid: i64,
    newest: i64,
    window: i64,
    batch: Batch,
    closed: bool,
}

/// What a commit did, by kind of sample.
#[derive(Default)]
struct Tally {
    appended: [u64; 2],
    late: [u64; 2],
    refused: [u64; 2],
    min: i64,
    max: i64,
    late_min: i64,
    late_max: i64,
    changes: Changes,
    markers: Vec<RefMarker>,
    late_floats: Vec<RefSample>,
    late_histograms: Vec<RefHistogram>,
}

const KINDS: [&str; 2] = ["float", "histogram"];

impl<'a> HeadAppender<'a> {
    pub(crate) fn new(head: &'a Head) -> HeadAppender<'a> {
        head.metrics.appenders_created.inc();
        let mut min_valid = i64::MIN;
        let open = head.isolation.append(|| {
            min_valid = head.appendable_from();
            min_valid
        });
        let batch = head.spare.lock().pop().unwrap_or_default();
        HeadAppender {
            head,
            _open: open,
            min_valid,
            newest: head.max_time.load(Relaxed),
            window: head.window.load(Relaxed),
            batch,
            closed: false,
        }
    }

    fn series_of(&self, handle: SeriesRef) -> Result<(u32, MutexGuard<'a, Series>), AppendError> {
        let bits = handle.0.get();
        let slot = (bits as u32).wrapping_sub(1);
        match self.head.slots.lock(slot) {
            Some(s) if s.reference != 0 && s.reference as u32 == (bits >> 32) as u32 => {
                Ok((slot, s))
            }
            _ => {
                self.head.metrics.series_not_found.inc();
                Err(AppendError::UnknownSeries)
            }
        }
    }

    /// The first sample of a head decides where it begins.
    fn begin_head(&mut self, t: i64) {
        let head = self.head;
        if head
            .max_time
            .compare_exchange(i64::MIN, t, Relaxed, Relaxed)
            .is_ok()
        {
            let _ = head
                .min_time
                .compare_exchange(i64::MAX, t, Relaxed, Relaxed);
        }
        if self.newest == i64::MIN {
            self.newest = head.max_time.load(Relaxed);
            self.min_valid = head.appendable_from();
        }
    }

    fn admit(&self, series: &Series, t: i64, value: Incoming<'_>) -> Result<(), AppendError> {
        if t >= self.min_valid {
            let Some(last) = series.open_last() else {
                return Ok(());
            };
            if t > last {
                return Ok(());
            }
            if t == last {
                let stale = match value {
                    Incoming::Float(v) => is_stale_nan(v) && series.is_stale(),
                    Incoming::Histogram(_) => false,
                };
                return match stale || series.last_is(value) {
                    true => Ok(()),
                    false => Err(match value {
                        Incoming::Float(v) => {
                            AppendError::duplicate_float(t, series.last_float(), v)
                        }
                        Incoming::Histogram(_) => AppendError::DuplicateTimestamp(String::new()),
                    }),
                };
            }
        }
        let behind = self.newest.saturating_sub(t);
        if behind > 0 {
            let delta = &self.head.metrics.out_of_order_delta;
            delta.observe(behind as f64 / 1000.0);
        }
        if self.window > 0 {
            return match t >= self.newest.saturating_sub(self.window) {
                true => Ok(()),
                false => Err(AppendError::TooOld),
            };
        }
        match t < self.min_valid {
            true => Err(AppendError::OutOfBounds),
            false => Err(AppendError::OutOfOrder),
        }
    }

    fn count_refusal(&self, err: &AppendError, kind: usize) {
        let m = &self.head.metrics;
        match err {
            AppendError::OutOfBounds => m.out_of_bound.with(&[KINDS[kind]]).inc(),
            AppendError::TooOld => m.too_old.with(&[KINDS[kind]]).inc(),
            AppendError::OutOfOrder => m.out_of_order.with(&[KINDS[kind]]).inc(),
            _ => {}
        }
    }

    fn check(
        &mut self,
        handle: SeriesRef,
        t: i64,
        value: Incoming<'_>,
        kind: usize,
    ) -> Result<(u32, u64), AppendError> {
        if self.window == 0 && t < self.min_valid {
            self.count_refusal(&AppendError::OutOfBounds, kind);
            return Err(AppendError::OutOfBounds);
        }
        if self.newest == i64::MIN {
            self.begin_head(t);
        }
        let (slot, mut series) = self.series_of(handle)?;
        let admitted = self.admit(&series, t, value);
        if let Err(err) = &admitted {
            drop(series);
            self.count_refusal(err, kind);
            return admitted.map(|()| (0, 0));
        }
        series.pending += 1;
        series.expect_append();
        Ok((slot, series.reference))
    }

    fn run(&mut self, fits: impl Fn(&Run) -> bool) -> &mut Run {
        if self.batch.runs.last().is_none_or(|run| !fits(run)) {
            self.batch.runs.push(Run::default());
        }
        let last = self.batch.runs.len() - 1;
        &mut self.batch.runs[last]
    }

    fn push_histogram(
        &mut self,
        handle: SeriesRef,
        t: i64,
        histogram: AnyHistogram,
    ) -> Result<(), AppendError> {
        let (slot, series) = self.check(handle, t, Incoming::Histogram(&histogram), 1)?;
        let kind = record::histogram_kind(&histogram);
        let run = self.run(|run| run.kinds.get(&slot).is_none_or(|k| *k == kind));
        run.kinds.insert(slot, kind);
        run.histograms.push((
            slot,
            RefHistogram {
                series,
                t,
                start: 0,
                histogram,
            },
        ));
        Ok(())
    }

    /// The batch as log records, in upstream's order.
    fn records(&self) -> Vec<Packed> {
        let compression = self.head.wal.compression();
        let mut records = Vec::new();
        let mut push = |buf: Vec<u8>| {
            if buf.len() > 1 {
                records.push(Packed::new(buf, compression));
            }
        };
        let metadata = &self.batch.metadata;
        if self.head.log_metadata && !metadata.is_empty() {
            let mut buf = Vec::new();
            record::put_metadata(&mut buf, metadata.iter().map(|(_, series, m)| (*series, m)));
            push(buf);
        }
        for run in &self.batch.runs {
            let mut buf = Vec::with_capacity(run.floats.len() * 13 + 24);
            record::put_samples(
                &mut buf,
                run.floats.iter().map(|s| (s.reference, s.t, s.value)),
            );
            push(buf);
            for kind in [
                RecordKind::Histograms,
                RecordKind::CustomHistograms,
                RecordKind::FloatHistograms,
                RecordKind::CustomFloatHistograms,
            ] {
                let of_kind = |h: &&RefHistogram| record::histogram_kind(&h.histogram) == kind;
                let mut buf = Vec::new();
                let all = run.histograms.iter().map(|(_, h)| h);
                record::put_histograms(&mut buf, kind, all.filter(of_kind));
                push(buf);
            }
        }
        if !self.batch.exemplars.is_empty() {
            let exemplars: Vec<RefExemplar> = self
                .batch
                .exemplars
                .iter()
                .map(|(_, e)| e.clone())
                .collect();
            let mut buf = Vec::new();
            record::put_exemplars(&mut buf, &exemplars);
            push(buf);
        }
        records
    }

    /// Writes to the log: records of new series, whoever made them, and then the batch's own.
    fn write_log(&self, records: &[Packed]) -> Result<(), AppendError> {
        let head = self.head;
        // What `first` takes goes back when it was not written; both run under the log's lock.
        let taken_cell = std::cell::RefCell::new(Vec::new());
        let first = || {
            let taken = std::mem::take(&mut *head.unlogged.lock());
            if taken.is_empty() {
                return None;
            }
            let mut record = SeriesRecord::default();
            for slot in &taken {
                let Some((reference, set)) = head
                    .slots
                    .lock(*slot)
                    .map(|s| (s.reference, s.labels.clone()))
                else {
                    continue;
                };
                record.push(reference, head.symbols.read().texts(&set));
            }
            taken_cell.replace(taken);
            Some(record.into_bytes())
        };
        let done = |written: bool| {
            let taken = taken_cell.take();
            if written {
                for slot in taken {
                    if let Some(mut series) = head.slots.lock(slot) {
                        series.logged = true;
                    }
                }
            } else {
                head.unlogged.lock().extend(taken);
            }
        };
        head.wal
            .commit(first, records, done)
            .map_err(|err| AppendError::Disk(err.to_string()))
    }

    fn apply(&mut self) -> Tally {
        let head = self.head;
        let mut tally = Tally {
            min: i64::MAX,
            max: i64::MIN,
            late_min: i64::MAX,
            late_max: i64::MIN,
            ..Tally::default()
        };
        let applying = head.isolation.apply();
        for run in &self.batch.runs {
            for s in &run.floats {
                let Some(mut series) = head.slots.lock(s.slot) else {
                    continue;
                };
                series.pending = series.pending.saturating_sub(1);
                let late = || (Value::Float(s.value), None);
                self.take(
                    &mut series,
                    s.t,
                    Incoming::Float(s.value),
                    0,
                    late,
                    &applying,
                    &mut tally,
                );
            }
            for (slot, h) in &run.histograms {
                let Some(mut series) = head.slots.lock(*slot) else {
                    continue;
                };
                series.pending = series.pending.saturating_sub(1);
                let late = || (histogram_value(&h.histogram), Some(h.clone()));
                let value = Incoming::Histogram(&h.histogram);
                self.take(&mut series, h.t, value, 1, late, &applying, &mut tally);
            }
        }
        for (slot, reference, metadata) in self.batch.metadata.drain(..) {
            if let Some(mut series) = head.slots.lock(slot)
                && series.reference == reference
            {
                series.metadata = Some(Box::new(metadata));
            }
        }
        // Before the gate opens: a reader that begins next sees the range with the samples.
        if tally.min <= tally.max {
            head.extend(tally.min, tally.max);
        }
        if tally.late_min <= tally.late_max {
            head.extend_late(tally.late_min, tally.late_max);
        }
        drop(applying);
        tally
    }

    #[inline]
    fn take(
        &self,
        series: &mut Series,
        t: i64,
        value: Incoming<'_>,
        kind: usize,
        late: impl FnOnce() -> (Value, Option<RefHistogram>),
        applying: &Applying<'_>,
        tally: &mut Tally,
    ) {
        let head = self.head;
        let mut taken = Taken::Late;
        if t >= self.min_valid {
            let changes = &mut tally.changes;
            taken = series.append(t, value, head.policy, &head.files, Some(applying), changes);
        }
        match taken {
            Taken::InOrder => {
                tally.appended[kind] += 1;
                tally.min = tally.min.min(t);
                tally.max = tally.max.max(t);
            }
            Taken::Same => {}
            Taken::Late if self.window > 0 && t >= self.newest.saturating_sub(self.window) => {
                let (value, histogram) = late();
                let reference = series.reference;
                let before = tally.markers.len();
                let side = series.out_of_order.get_or_insert_default();
                let float = match &value {
                    Value::Float(v) => *v,
                    _ => 0.0,
                };
                let markers = &mut tally.markers;
                let fresh = side.insert(reference, t, value, &head.files, |at| {
                    markers.push(head.marker(reference, at));
                });
                if !fresh {
                    return;
                }
                if tally.markers.len() > before {
                    tally.changes.chunks_written += (tally.markers.len() - before) as u64;
                }
                match histogram {
                    Some(h) => tally.late_histograms.push(h),
                    None => {
                        let sample = RefSample {
                            series: reference,
                            t,
                            value: float,
                            start: 0,
                        };
                        tally.late_floats.push(sample);
                    }
                }
                tally.appended[kind] += 1;
                tally.late[kind] += 1;
                tally.late_min = tally.late_min.min(t);
                tally.late_max = tally.late_max.max(t);
            }
            Taken::Late => tally.refused[kind] += 1,
        }
    }

    /// Writes accepted out-of-order samples to their own log.
    fn write_late(&self, tally: &Tally) -> Result<(), AppendError> {
        if tally.late_floats.is_empty() && tally.late_histograms.is_empty() {
            return Ok(());
        }
        let Some(wbl) = self.head.wbl.read().clone() else {
            return Ok(());
        };
        let mut records = Vec::new();
        if !tally.markers.is_empty() {
            let mut buf = Vec::new();
            record::put_markers(&mut buf, &tally.markers);
            records.push(buf);
        }
        let mut buf = Vec::new();
        record::put_samples(
            &mut buf,
            tally.late_floats.iter().map(|s| (s.series, s.t, s.value)),
        );
        records.push(buf);
        for kind in [
            RecordKind::Histograms,
            RecordKind::CustomHistograms,
            RecordKind::FloatHistograms,
            RecordKind::CustomFloatHistograms,
        ] {
            let of_kind = |h: &&RefHistogram| record::histogram_kind(&h.histogram) == kind;
            let mut buf = Vec::new();
            record::put_histograms(&mut buf, kind, tally.late_histograms.iter().filter(of_kind));
            records.push(buf);
        }
        records.retain(|r| r.len() > 1);
        wbl.log(records)
            .map_err(|err| AppendError::Disk(err.to_string()))
    }

    fn count(&self, tally: &Tally) {
        let head = self.head;
        let m = &head.metrics;
        for (kind, name) in KINDS.iter().enumerate() {
            for (vector, n) in [
                (&m.samples_appended, tally.appended[kind]),
                (&m.out_of_order_appended, tally.late[kind]),
                (&m.out_of_order, tally.refused[kind]),
            ] {
                if n > 0 {
                    vector.with(&[name]).add(n);
                }
            }
        }
        let changes = tally.changes;
        m.head_chunks_created.add(changes.chunks_created);
        m.mmap_chunks.add(changes.chunks_written);
        head.chunk_count
            .fetch_add(changes.chunks_created as i64, Relaxed);
        head.stand(changes.standing);
    }

    fn store_exemplars(&mut self) {
        let head = self.head;
        for (slot, e) in self.batch.exemplars.drain(..) {
            let labels = head.labels_of(slot);
            if let Some(mut series) = head.slots.lock(slot) {
                series.pending = series.pending.saturating_sub(1);
            }
            let Some(labels) = labels else { continue };
            let window = self.window;
            if let Ok(true) = head.exemplars.add(&labels, &e.exemplar(), window) {
                head.metrics.exemplars_appended.inc();
            }
        }
    }

    /// Gives up samples that are still pending and keeps the batch's memory for the next appender.
    fn finish(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.runs.truncate(1);
        if let Some(run) = batch.runs.first_mut() {
            run.floats.clear();
            run.histograms.clear();
            run.kinds.clear();
            // One giant batch must not keep its memory for good.
            run.floats.shrink_to(1 << 16);
        }
        batch.exemplars.clear();
        batch.metadata.clear();
        let mut spare = self.head.spare.lock();
        if spare.len() < 16 {
            spare.push(batch);
        }
    }

    fn release(&mut self) {
        let head = self.head;
        let floats = self
            .batch
            .runs
            .iter()
            .flat_map(|r| r.floats.iter().map(|s| s.slot));
        let histograms = self
            .batch
            .runs
            .iter()
            .flat_map(|r| r.histograms.iter().map(|h| h.0));
        let exemplars = self.batch.exemplars.iter().map(|e| e.0);
        for slot in floats.chain(histograms).chain(exemplars) {
            if let Some(mut series) = head.slots.lock(slot) {
                series.pending = series.pending.saturating_sub(1);
            }
        }
        self.finish();
    }

    fn has_samples(&self) -> bool {
        self.batch
            .runs
            .iter()
            .any(|r| !r.floats.is_empty() || !r.histograms.is_empty())
            || !self.batch.exemplars.is_empty()
            || !self.batch.metadata.is_empty()
    }
}

impl Drop for HeadAppender<'_> {
    fn drop(&mut self) {
        if !self.closed {
            self.release();
        }
    }
}

impl Appender for HeadAppender<'_> {
    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        if labels.is_empty() {
            return Err(AppendError::InvalidLabels(
                "empty labelset: invalid sample".to_owned(),
            ));
        }
        Ok(self.head.find_or_create(labels, None)?.handle())
    }

    fn append(&mut self, series: SeriesRef, t: i64, value: f64) -> Result<(), AppendError> {
        let (slot, reference) = self.check(series, t, Incoming::Float(value), 0)?;
        let run = self.run(|run| run.kinds.is_empty() || !run.kinds.contains_key(&slot));
        run.floats.push(FloatSample {
            slot,
            reference,
            t,
            value,
        });
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
        self.push_histogram(series, t, histogram)
    }

    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError> {
        let (slot, reference) = {
            let (slot, s) = self.series_of(series)?;
            (slot, s.reference)
        };
        let labels = self
            .head
            .labels_of(slot)
            .ok_or(AppendError::UnknownSeries)?;
        let checked = self.head.exemplars.check(&labels, exemplar, self.window);
        if let Err(err) = checked {
            if err == AppendError::OutOfOrderExemplar {
                self.head.metrics.exemplars_out_of_order.inc();
            }
            return match err {
                AppendError::DuplicateExemplar => Ok(()),
                other => Err(other),
            };
        }
        if let Some(mut s) = self.head.slots.lock(slot) {
            s.pending += 1;
        }
        let t = exemplar.timestamp.unwrap_or(0);
        let labels = exemplar.labels.clone();
        let e = RefExemplar {
            series: reference,
            t,
            value: exemplar.value,
            labels,
        };
        self.batch.exemplars.push((slot, e));
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
            return Err(AppendError::StartNotBeforeSample);
        }
        if start == 0 || start < self.min_valid {
            return Err(AppendError::OutOfOrderStart);
        }
        {
            let (_, s) = self.series_of(series)?;
            // A zero is only put where nothing is yet: it never goes out of order.
            if start <= s.last_time() {
                return Err(AppendError::OutOfOrderStart);
            }
        }
        match like {
            Some(like) => self.push_histogram(series, start, like.zero()),
            None => self.append(series, start, 0.0),
        }
    }

    fn update_metadata(
        &mut self,
        series: SeriesRef,
        metadata: &Metadata,
    ) -> Result<(), AppendError> {
        let (slot, s) = self.series_of(series)?;
        if s.metadata.as_deref() != Some(metadata) {
            let reference = s.reference;
            drop(s);
            self.batch
                .metadata
                .push((slot, reference, metadata.clone()));
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), AppendError> {
        let has_samples = self.has_samples();
        if !has_samples && self.head.unlogged.lock().is_empty() {
            self.finish();
            return Ok(());
        }
        let records = self.records();
        if let Err(err) = self.write_log(&records) {
            self.release();
            return Err(err);
        }
        drop(records);
        let tally = self.apply();
        self.store_exemplars();
        self.count(&tally);
        let late = self.write_late(&tally);
        self.finish();
        late
    }

    fn rollback(mut self: Box<Self>) {
        // The records of new series are written even so, as upstream does; when that fails the next commit does it.
        if !self.head.unlogged.lock().is_empty()
            && let Err(err) = self.write_log(&[])
        {
            tracing::debug!(%err, "log new series of a batch that was rolled back");
        }
        self.release();
    }
}
