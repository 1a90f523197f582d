//! Building the head again from head chunk files and the log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use env::instruments::Counter;
use hashbrown::{HashSet, hash_map::HashMap};
use model::{Histogram, Labels};
use ondisk::chunk::{
    FloatHistogramAppender, FloatHistogramIter, HistogramAppender, HistogramIter, ResetHeader,
};
use ondisk::head_chunks::HeadChunk;
use ondisk::record::{
    self, AnyHistogram, RecordError, RecordKind, RefExemplar, RefHistogram, RefMarker, RefSample,
    RefTombstone,
};
use ondisk::tombstones::Interval;

use super::Head;
use crate::checkpoint;
use crate::chunk_files::FileRef;
use crate::failure::DbError;
use crate::merge::{self, Sample, Value};
use crate::out_of_order::histogram_value;
use crate::series::{Changes, Finished, Incoming, Series};
use crate::validate;
use crate::wal::{self, WalError};

mod floats;
mod lane;
mod read;
mod tables;

use floats::Floats;
use read::{Reading, Step};
use tables::{Covered, Filed, SlotTable};

/// How far a replay is: segment numbers, as `/api/v1/status/walreplay` shows them.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) min: AtomicI64,
    pub(crate) max: AtomicI64,
    pub(crate) current: AtomicI64,
}

/// Chunks found in head chunk files, by series.
#[derive(Debug, Default)]
pub(crate) struct Found {
    in_order: HashMap<u64, Vec<Finished>>,
    late: HashMap<u64, Vec<Finished>>,
}

impl Found {
    /// Adds a chunk; those with unknown encodings are left out.
    pub(crate) fn add(&mut self, at: FileRef, chunk: &HeadChunk) {
        let late = chunk.encoding & ondisk::chunk::OUT_OF_ORDER_BIT != 0;
        let byte = chunk.encoding & !ondisk::chunk::OUT_OF_ORDER_BIT;
        let Ok(encoding) = ondisk::chunk::Encoding::from_byte(byte) else {
            return;
        };
        let Some(finished) = Finished::new(chunk.min_time, chunk.max_time, encoding, at) else {
            return;
        };
        match late {
            true => self.late.entry(chunk.series).or_default().push(finished),
            false => self
                .in_order
                .entry(chunk.series)
                .or_default()
                .push(finished),
        }
    }
}

impl Found {
    /// Drops the chunks of series whose chunks are not in sequence. Upstream drops all files for this; the log has the
    /// samples, so dropping the series' own is enough.
    fn leave_out_of_sequence(&mut self) {
        self.in_order.retain(|reference, chunks| {
            let fine = chunks.windows(2).all(|w| w[1].min_time() > w[0].max_time());
            if !fine {
                tracing::warn!(
                    reference,
                    "out of sequence head chunks; taking the series from the log"
                );
            }
            fine
        });
    }
}

#[derive(Default)]
struct Unknown {
    samples: u64,
    histograms: u64,
    exemplars: u64,
    metadata: u64,
    tombstones: u64,
    markers: u64,
}

/// More threads that apply samples would wait for those that read them.
const THREADS_MAX: usize = 4;

struct Replayer<'a> {
    head: &'a Head,
    found: Found,
    slots: SlotTable,
    covered: Covered,
    /// References that turned out to be other names of a series, with the newest sample they brought.
    aliases: HashMap<u64, i64>,
    min_valid: i64,
    /// Threads that samples are applied on.
    threads: usize,
    changes: Changes,
    created: i64,
    unknown: Unknown,
    samples: Vec<RefSample>,
    histograms: Vec<RefHistogram>,
    failed: Option<DbError>,
}

/// A histogram as it can be appended: finer schemas are reduced, impossible ones dropped.
fn usable(histogram: AnyHistogram) -> Option<AnyHistogram> {
    let histogram = match histogram {
        AnyHistogram::Integer(h) if h.schema > 8 => {
            let mut buf = Vec::new();
            HistogramAppender::start(&mut buf, ResetHeader::Unknown, 0, &h);
            let mut iter = HistogramIter::new(&buf[..]).ok()?;
            iter.next().ok()?;
            AnyHistogram::Integer(Histogram {
                reset_hint: h.reset_hint,
                ..iter.histogram()
            })
        }
        AnyHistogram::Float(h) if h.schema > 8 => {
            let mut buf = Vec::new();
            FloatHistogramAppender::start(&mut buf, ResetHeader::Unknown, 0, &h);
            let mut iter = FloatHistogramIter::new(&buf[..]).ok()?;
            iter.next().ok()?;
            let coarse = iter.float_histogram();
            AnyHistogram::Float(model::FloatHistogram {
                reset_hint: h.reset_hint,
                ..coarse
            })
        }
        other => other,
    };
    let valid = match &histogram {
        AnyHistogram::Integer(h) => validate::integer(h),
        AnyHistogram::Float(h) => validate::float(h),
    };
    match valid {
        Ok(()) => Some(histogram),
        Err(err) => {
            tracing::warn!(%err, "drop a histogram from the log");
            None
        }
    }
}

impl Replayer<'_> {
    fn record(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        let Some(kind) = RecordKind::of(bytes) else {
            return Ok(());
        };
        match kind {
            RecordKind::Series => record::series(bytes, |reference, pairs| {
                self.series(reference, &Labels::from_refs(pairs));
            })?,
            RecordKind::Samples | RecordKind::SamplesV2 => {
                let mut samples = std::mem::take(&mut self.samples);
                samples.clear();
                let read = record::samples(bytes, &mut samples);
                if read.is_ok() {
                    self.floats(&samples);
                }
                self.samples = samples;
                read?;
            }
            RecordKind::Tombstones => {
                let mut tombstones = Vec::new();
                record::tombstones(bytes, &mut tombstones)?;
                tombstones.iter().for_each(|t| self.tombstone(t));
            }
            RecordKind::Exemplars => {
                let mut exemplars = Vec::new();
                record::exemplars(bytes, &mut exemplars)?;
                exemplars.iter().for_each(|e| self.exemplar(e));
            }
            RecordKind::Metadata => record::metadata(bytes, |reference, metadata| {
                match self
                    .slots
                    .get(reference)
                    .and_then(|slot| self.head.slots.lock(slot))
                {
                    Some(mut series) => series.metadata = Some(Box::new(metadata)),
                    None => self.unknown.metadata += 1,
                }
            })?,
            RecordKind::MmapMarkers => {}
            _ => {
                let mut histograms = std::mem::take(&mut self.histograms);
                histograms.clear();
                record::histograms(bytes, &mut histograms)?;
                for h in histograms.drain(..) {
                    self.histogram(h);
                }
                self.histograms = histograms;
            }
        }
        Ok(())
    }

    fn series(&mut self, reference: u64, labels: &Labels) {
        self.head.last_reference.fetch_max(reference, Relaxed);
        if labels.is_empty() {
            return;
        }
        let found = match self.head.find_or_create(labels, Some(reference)) {
            Ok(found) => found,
            Err(err) => {
                self.failed = Some(DbError::Options(err.to_string()));
                return;
            }
        };
        self.slots.set(reference, Some(found.slot));
        let min_valid = self.min_valid;
        let mut chunks = self.found.in_order.remove(&reference).unwrap_or_default();
        if found.reference != reference {
            // Samples that chunk files have are not seen here, and count all the same.
            let newest = chunks.last().map_or(i64::MIN, Finished::max_time);
            let known = self.aliases.entry(reference).or_insert(i64::MIN);
            *known = newest.max(*known);
        }
        chunks.retain(|c| c.max_time() >= min_valid);
        let late = self.found.late.remove(&reference).unwrap_or_default();
        if chunks.is_empty() && late.is_empty() {
            return;
        }
        let Some(mut series) = self.head.slots.lock(found.slot) else {
            return;
        };
        if !late.is_empty() {
            series
                .out_of_order
                .get_or_insert_default()
                .finished
                .extend(late);
        }
        for chunk in chunks {
            let last = series.last_time();
            if chunk.min_time() > last {
                // Under another reference it may have an open chunk already, and that is older.
                series.finish(&self.head.files, &mut self.changes);
                series.push_finished(chunk);
                self.created += 1;
            } else if chunk.max_time() > last {
                self.append_chunk(&mut series, chunk);
            }
        }
        self.covered.set(found.slot, series.last_time());
    }

    /// Appends the samples of a chunk of another reference of a series which begins before the series ends.
    fn append_chunk(&mut self, series: &mut Series, chunk: Finished) {
        let head = self.head;
        let mut samples = Vec::new();
        let decoded = head
            .files
            .read(chunk.at())
            .and_then(|data| Ok(merge::decode(chunk.encoding(), &data, &mut samples)?));
        if let Err(err) = decoded {
            tracing::warn!(%err, "read head chunk");
        }
        for Sample { t, value } in samples {
            let histogram = match value {
                Value::Float(v) => {
                    let value = Incoming::Float(v);
                    let changes = &mut self.changes;
                    series.append(t, value, head.policy, &head.files, None, changes);
                    continue;
                }
                Value::Histogram(h) => AnyHistogram::Integer(*h),
                Value::FloatHistogram(h) => AnyHistogram::Float(*h),
            };
            let value = Incoming::Histogram(&histogram);
            let changes = &mut self.changes;
            series.append(t, value, head.policy, &head.files, None, changes);
        }
    }

    fn alias(&mut self, reference: u64, t: i64) {
        if let Some(newest) = self.aliases.get_mut(&reference) {
            *newest = t.max(*newest);
        }
    }

    fn floats(&mut self, samples: &[RefSample]) {
        let floats = Floats {
            head: self.head,
            slots: &self.slots,
            covered: &self.covered,
            min_valid: self.min_valid,
        };
        let applied = floats.apply(samples, self.threads);
        self.changes.add(&applied.changes);
        self.unknown.samples += applied.unknown;
        if !self.aliases.is_empty() {
            samples.iter().for_each(|s| self.alias(s.series, s.t));
        }
    }

    fn histogram(&mut self, h: RefHistogram) {
        if h.t < self.min_valid {
            return;
        }
        let Some(slot) = self.slots.get(h.series) else {
            self.unknown.histograms += 1;
            return;
        };
        let Some(histogram) = usable(h.histogram) else {
            return;
        };
        if let Some(mut series) = self.head.slots.lock(slot) {
            let (policy, files) = (self.head.policy, &self.head.files);
            let value = Incoming::Histogram(&histogram);
            series.append(h.t, value, policy, files, None, &mut self.changes);
        }
        self.alias(h.series, h.t);
    }

    fn tombstone(&mut self, t: &RefTombstone) {
        self.head.last_reference.fetch_max(t.series, Relaxed);
        let Some(slot) = self.slots.get(t.series) else {
            self.unknown.tombstones += 1;
            return;
        };
        if t.interval == Interval::ALL {
            self.slots.set(t.series, None);
            if let Some(mut series) = self.head.slots.lock(slot) {
                self.created -= series.clear(&mut self.changes.standing) as i64;
            }
            self.covered.set(slot, i64::MIN);
            self.head.remove_series(&[slot], self.min_valid);
        } else if t.interval.max >= self.min_valid
            && let Some(mut series) = self.head.slots.lock(slot)
        {
            series.deleted.get_or_insert_default().add(t.interval);
        }
    }

    fn exemplar(&mut self, e: &RefExemplar) {
        if e.t < self.min_valid {
            return;
        }
        match self
            .slots
            .get(e.series)
            .and_then(|slot| self.head.labels_of(slot))
        {
            // One that does not fit any more (the ring is smaller now) is no failure.
            Some(labels) => drop(self.head.exemplars.add(&labels, &e.exemplar(), i64::MAX)),
            None => self.unknown.exemplars += 1,
        }
    }

    fn late_record(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        match RecordKind::of(bytes) {
            Some(RecordKind::MmapMarkers) => {
                let mut markers = Vec::new();
                record::markers(bytes, &mut markers)?;
                markers.iter().for_each(|m| self.marker(m));
            }
            Some(
                RecordKind::Histograms
                | RecordKind::FloatHistograms
                | RecordKind::CustomHistograms
                | RecordKind::CustomFloatHistograms
                | RecordKind::HistogramsV2
                | RecordKind::FloatHistogramsV2,
            ) => {
                let mut histograms = Vec::new();
                record::histograms(bytes, &mut histograms)?;
                for h in histograms {
                    let Some(histogram) = usable(h.histogram) else {
                        continue;
                    };
                    if !self.late(h.series, h.t, histogram_value(&histogram)) {
                        self.unknown.histograms += 1;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn late_floats(&mut self, samples: &[RefSample]) {
        for s in samples {
            if !self.late(s.series, s.t, Value::Float(s.value)) {
                self.unknown.samples += 1;
            }
        }
    }

    fn late(&mut self, reference: u64, t: i64, value: Value) -> bool {
        let Some(slot) = self.slots.get(reference) else {
            return false;
        };
        let Some(mut series) = self.head.slots.lock(slot) else {
            return false;
        };
        let reference = series.reference;
        let side = series.out_of_order.get_or_insert_default();
        side.insert(reference, t, value, &self.head.files, |_| {});
        true
    }

    /// The samples before a marker are in a chunk file, if that chunk got there. What the chunk holds is what is dropped:
    /// a later life may have written another chunk of the series at the place of one that a crash lost.
    fn marker(&mut self, marker: &RefMarker) {
        let Some(slot) = self.slots.get(marker.series) else {
            self.unknown.markers += 1;
            return;
        };
        let at = FileRef {
            file: (marker.chunk >> 32) as u32,
            offset: marker.chunk as u32,
        };
        let Some(mut series) = self.head.slots.lock(slot) else {
            return;
        };
        let Some(side) = &mut series.out_of_order else {
            return;
        };
        let Some(chunk) = side.finished.iter().find(|chunk| chunk.at() == at) else {
            return;
        };
        let mut held = Vec::new();
        let read = self.head.files.read(at).ok();
        let decoded = read.and_then(|data| merge::decode(chunk.encoding(), &data, &mut held).ok());
        if decoded.is_some() {
            let times: HashSet<i64> = held.iter().map(|sample| sample.t).collect();
            side.samples.retain(|sample| !times.contains(&sample.t));
        }
    }

    /// Applies the records of segments, in order, while other threads read and unpack them. Stops at the first segment
    /// that cannot be read on.
    fn apply(
        &mut self,
        sources: &[(PathBuf, u32)],
        filed: Option<&Filed>,
        mut each: impl FnMut(&mut Self, Step) -> Result<(), RecordError>,
    ) -> Result<(), WalError> {
        let disk = &*self.head.disk;
        std::thread::scope(|scope| {
            Reading::begin(scope, disk, sources, filed).each(|step| {
                if let Err(err) = each(self, step) {
                    // Its checksum was right, so the record was written like this: reading on is safe.
                    tracing::warn!(%err, "skip a log record");
                    self.head.metrics.wal_corruptions.inc();
                }
                self.failed.take().map_or(Ok(()), Err)
            })
        })
    }

    /// As [`Replayer::apply`] for the segments of a live log: one that is damaged is cut there, and the next ones follow.
    fn apply_repairing(
        &mut self,
        dir: &Path,
        mut sources: Vec<(PathBuf, u32)>,
        filed: Option<&Filed>,
        corruptions: &Counter,
        mut each: impl FnMut(&mut Self, Step) -> Result<(), RecordError>,
    ) -> Result<(), DbError> {
        loop {
            match self.apply(&sources, filed, &mut each) {
                Ok(()) => return Ok(()),
                Err(WalError::Damaged {
                    segment,
                    offset,
                    cause,
                }) => {
                    tracing::warn!(segment, offset, %cause, dir = %dir.display(), "log segment is damaged; cutting it there");
                    corruptions.inc();
                    wal::repair(&*self.head.disk, dir, segment, offset)?;
                    sources.retain(|(_, number)| *number > segment);
                }
                Err(err) => return Err(err.into_error(dir)),
            }
        }
    }
}

impl Head {
    /// Replays the log over the chunks in files, repairs it where it is damaged, and begins new segments. Nothing older
    /// than `min_valid` is taken: blocks have it.
    pub(crate) fn replay(
        &self,
        found: Found,
        min_valid: i64,
        progress: &Replay,
    ) -> Result<(), DbError> {
        self.min_valid.store(min_valid, Relaxed);
        let mut found = found;
        found.leave_out_of_sequence();
        let filed = Filed::new(&found.in_order);
        let mut replayer = Replayer {
            head: self,
            found,
            slots: SlotTable::default(),
            covered: Covered::default(),
            aliases: HashMap::new(),
            min_valid,
            threads: std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX)),
            changes: Changes::default(),
            created: 0,
            unknown: Unknown::default(),
            samples: Vec::new(),
            histograms: Vec::new(),
            failed: None,
        };
        let dir = self.wal.dir();
        let newest = checkpoint::newest(&*self.disk, dir)?;
        let mut segments = wal::segments(&*self.disk, dir)?;
        let replay_step = |replayer: &mut Replayer<'_>, step: Step| {
            match step {
                Step::Segment(number) => progress.current.store(i64::from(number), Relaxed),
                Step::Samples(samples) => replayer.floats(&samples),
                Step::Record(bytes) => replayer.record(&bytes)?,
            }
            Ok(())
        };
        progress
            .min
            .store(segments.first().map_or(0, |s| i64::from(*s)), Relaxed);
        progress
            .max
            .store(segments.last().map_or(0, |s| i64::from(*s)), Relaxed);
        if let Some((covered, folder)) = &newest {
            let numbers = wal::segments(&*self.disk, folder)?;
            let sources: Vec<_> = numbers.into_iter().map(|n| (folder.clone(), n)).collect();
            // Damage here is for people to look at: live segments must not pay for it.
            let applied = replayer.apply(&sources, Some(&filed), replay_step);
            applied.map_err(|err| err.into_error(folder))?;
            segments.retain(|s| s > covered);
        }
        let sources: Vec<_> = segments.into_iter().map(|n| (dir.to_owned(), n)).collect();
        let corruptions = &self.metrics.wal_corruptions;
        replayer.apply_repairing(dir, sources, Some(&filed), corruptions, replay_step)?;
        self.wal.start()?;
        let wal_unknown = std::mem::take(&mut replayer.unknown);
        let wbl = self.wbl.read().clone();
        if let Some(wbl) = wbl {
            let dir = wbl.dir();
            let numbers = wal::segments(&*self.disk, dir)?;
            let sources: Vec<_> = numbers.into_iter().map(|n| (dir.to_owned(), n)).collect();
            let late_step = |replayer: &mut Replayer<'_>, step: Step| {
                match step {
                    Step::Segment(_) => {}
                    Step::Samples(samples) => replayer.late_floats(&samples),
                    Step::Record(bytes) => replayer.late_record(&bytes)?,
                }
                Ok(())
            };
            let corruptions = &self.metrics.wbl_corruptions;
            replayer.apply_repairing(dir, sources, None, corruptions, late_step)?;
            wbl.start()?;
        }
        let Replayer {
            aliases,
            changes,
            created,
            unknown,
            ..
        } = replayer;
        self.expiries.lock().extend(aliases);
        self.chunk_count
            .fetch_add(created + changes.chunks_created as i64, Relaxed);
        self.stand(changes.standing);
        self.metrics.head_chunks_created.add(changes.chunks_created);
        self.report_unknown(&wal_unknown, &unknown);
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        self.slots.each(|_, series| {
            if let Some(first) = series.first_time() {
                min = min.min(first);
                max = max.max(series.last_time());
            }
            if let Some((first, last)) = series.out_of_order.as_ref().and_then(|o| o.range()) {
                self.extend_late(first, last);
            }
        });
        if min <= max {
            self.extend(min.max(min_valid), max);
        }
        self.collect(min_valid)
    }

    fn report_unknown(&self, wal: &Unknown, wbl: &Unknown) {
        let m = &self.metrics;
        for (vector, kind, n) in [
            (&m.wal_unknown_refs, "samples", wal.samples),
            (&m.wal_unknown_refs, "histograms", wal.histograms),
            (&m.wal_unknown_refs, "exemplars", wal.exemplars),
            (&m.wal_unknown_refs, "metadata", wal.metadata),
            (&m.wal_unknown_refs, "tombstones", wal.tombstones),
            (&m.wbl_unknown_refs, "samples", wbl.samples),
            (&m.wbl_unknown_refs, "histograms", wbl.histograms),
            (&m.wbl_unknown_refs, "mmap_markers", wbl.markers),
        ] {
            if n > 0 {
                vector.with(&[kind]).add(n);
                tracing::warn!(kind, n, "log records of unknown series");
            }
        }
    }
}
