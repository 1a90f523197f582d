//! Reads the log for a queue: which series there are, and the samples that go out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use configfile::remote::WriteMessage;
use env::Disk;
use model::relabel::{RelabelRule, relabel};
use model::{Labels, LabelsBuilder, Metadata};
use ondisk::record::{
    self, AnyHistogram, RecordError, RecordKind, RefExemplar, RefHistogram, RefSample,
};
use tsdb::DbError;
use tsdb::wal::{Cursor, Step, segments};

use crate::batch::{Payload, Read};
use crate::known_series::{self, Known, KnownSeries};
use crate::metrics::{DROPPED_SERIES, NO_CUSTOM_BUCKETS, QueueMetrics, UNKNOWN_SERIES};
use crate::packing;
use crate::position::Position;

/// What of the log a queue wants.
pub struct Wishes {
    /// The message.
    pub message: WriteMessage,
    /// Whether exemplars go out.
    pub exemplars: bool,
    /// Whether native histograms go out.
    pub histograms: bool,
    /// Labels of series that lack them.
    pub external: Labels,
    /// What is done with the labels then.
    pub relabel: Vec<RelabelRule>,
    /// Samples up to this time are not sent, unless the log is read on from a known place.
    pub start: i64,
    /// Where an earlier process had got to.
    pub resume: Option<Position>,
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Something; there may be more.
    Some,
    /// Nothing for now.
    Nothing,
}

/// Follows the log.
pub struct LogReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    wishes: Wishes,
    metrics: QueueMetrics,
    cursor: Cursor,
    series: KnownSeries,
    checkpoint: Option<u32>,
    /// The end of the log when the queue began: what lies before it may have been sent by an earlier process.
    old_end: Option<Position>,
    record: Vec<u8>,
    samples: Vec<RefSample>,
    histograms: Vec<RefHistogram>,
    exemplars: Vec<RefExemplar>,
    read: [env::instruments::Counter; 6],
}

impl LogReader {
    /// Reads the newest checkpoint for its series and starts behind it.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        wishes: Wishes,
        metrics: QueueMetrics,
    ) -> Result<LogReader, DbError> {
        let read = [
            "series",
            "samples",
            "exemplars",
            "histogram_samples",
            "float_histogram_samples",
            "metadata",
        ]
        .map(|kind| metrics.records(kind));
        let mut reader = LogReader {
            cursor: Cursor::new(disk.clone(), dir, 0),
            disk,
            dir: dir.to_path_buf(),
            series: KnownSeries::new(packing::version(wishes.message)),
            wishes,
            metrics,
            checkpoint: None,
            old_end: None,
            record: Vec::new(),
            samples: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            read,
        };
        let mut first = segments(&*reader.disk, dir)?
            .into_iter()
            .next()
            .unwrap_or(0);
        if let Some((number, path)) = tsdb::checkpoint::newest(&*reader.disk, dir)? {
            reader.read_checkpoint(number, &path)?;
            first = first.max(number + 1);
        }
        reader.cursor = Cursor::new(reader.disk.clone(), dir, first);
        if reader.wishes.resume.is_some() {
            reader.old_end = reader.end_of_log()?;
        }
        Ok(reader)
    }

    fn end_of_log(&self) -> Result<Option<Position>, DbError> {
        let Some(last) = segments(&*self.disk, &self.dir)?.into_iter().next_back() else {
            return Ok(None);
        };
        let path = tsdb::wal::segment_path(&self.dir, last);
        Ok(Some(Position {
            segment: last,
            offset: self.disk.len(&path).unwrap_or(0),
        }))
    }

    /// How far the log was read.
    pub fn position(&self) -> Position {
        let (segment, offset) = self.cursor.position();
        Position { segment, offset }
    }

    fn read_checkpoint(&mut self, number: u32, path: &Path) -> Result<(), DbError> {
        for segment in segments(&*self.disk, path)? {
            let mut cursor = Cursor::new(self.disk.clone(), path, segment);
            let mut records: Vec<Vec<u8>> = Vec::new();
            while cursor.segment() == segment
                && cursor.step(|record| records.push(record.to_vec()))? == Step::Record
            {
                for record in records.drain(..) {
                    match RecordKind::of(&record) {
                        Some(RecordKind::Series) => self.take_series(&record, number),
                        Some(RecordKind::Metadata) => self.take_metadata(&record),
                        _ => {}
                    }
                }
            }
        }
        self.checkpoint = Some(number);
        Ok(())
    }

    /// Forgets series that a newer checkpoint no longer has.
    pub fn forget_old_series(&mut self) -> Result<(), DbError> {
        let Some((number, path)) = tsdb::checkpoint::newest(&*self.disk, &self.dir)? else {
            return Ok(());
        };
        // While the log is read behind the checkpoint, its series are still needed as they were.
        if self.checkpoint.is_some_and(|known| known >= number) || self.cursor.segment() <= number {
            return Ok(());
        }
        self.read_checkpoint(number, &path)?;
        self.series.forget_before(number);
        Ok(())
    }

    /// Reads the next record and hands what goes out to `each`.
    pub fn step(&mut self, mut each: impl FnMut(Read)) -> Result<Found, DbError> {
        let at = self.position();
        let mut record = std::mem::take(&mut self.record);
        let step = self.cursor.step(|bytes| {
            record.clear();
            record.extend_from_slice(bytes);
        });
        if let Err(DbError::Corrupt { .. }) = &step {
            self.metrics.corruptions.inc();
        }
        let step = step?;
        self.metrics.segment.set(f64::from(self.cursor.segment()));
        match step {
            Step::Wait => return Ok(Found::Nothing),
            Step::Skipped => {
                self.metrics.skipped.inc();
                tracing::warn!(
                    component = "remote",
                    "A part of the log was gone before it was sent"
                );
                return Ok(Found::Some);
            }
            Step::Record => {}
        }
        // A record that ends a segment begins in the next one as far as positions go: both are at or before it.
        let again = self.old_end.is_some_and(|end| at < end);
        if again {
            self.metrics.pre_tailing.inc();
        }
        let wanted = match self.wishes.resume {
            Some(resume) => at >= resume,
            None => true,
        };
        let decoded = self.decode(&record, wanted, at, again, &mut each);
        self.record = record;
        if let Err(error) = decoded {
            self.metrics.decode_failures.inc();
            tracing::warn!(component = "remote", err = %error, "A record of the log could not be read");
        }
        Ok(Found::Some)
    }

    fn decode(
        &mut self,
        record: &[u8],
        wanted: bool,
        at: Position,
        again: bool,
        each: &mut impl FnMut(Read),
    ) -> Result<(), RecordError> {
        let Some(kind) = RecordKind::of(record) else {
            // Of a newer version.
            return Ok(());
        };
        match kind {
            RecordKind::Series => {
                self.read[0].inc();
                self.take_series(record, self.cursor.segment());
                Ok(())
            }
            RecordKind::Metadata => {
                self.read[5].inc();
                self.take_metadata(record);
                Ok(())
            }
            _ if !wanted => Ok(()),
            RecordKind::Samples | RecordKind::SamplesV2 => {
                self.read[1].inc();
                self.samples.clear();
                let decoded = record::samples(record, &mut self.samples);
                self.hand_out_samples(at, again, each);
                decoded
            }
            RecordKind::Exemplars if self.wishes.exemplars => {
                self.read[2].inc();
                self.exemplars.clear();
                let decoded = record::exemplars(record, &mut self.exemplars);
                self.hand_out_exemplars(at, again, each);
                decoded
            }
            RecordKind::Histograms
            | RecordKind::FloatHistograms
            | RecordKind::CustomHistograms
            | RecordKind::CustomFloatHistograms
            | RecordKind::HistogramsV2
            | RecordKind::FloatHistogramsV2
                if self.wishes.histograms =>
            {
                self.read[3].inc();
                self.histograms.clear();
                let decoded = record::histograms(record, &mut self.histograms);
                self.hand_out_histograms(at, again, each);
                decoded
            }
            _ => Ok(()),
        }
    }

    fn is_fresh(&self, t: i64) -> bool {
        self.wishes.resume.is_some() || t > self.wishes.start
    }

    /// The series of something read since the last [step](LogReader::step) that forgot none.
    #[inline]
    pub fn known(&self, series: u32) -> Option<Known<'_>> {
        self.series.at(series)
    }

    /// The series of a sample, or counts why there is none.
    fn series_of(&mut self, reference: u64, kind: usize) -> Option<u32> {
        match self.series.find(reference) {
            known_series::Found::Sent(place) => Some(place),
            known_series::Found::Dropped => {
                self.metrics.dropped(kind, DROPPED_SERIES).inc();
                None
            }
            known_series::Found::Unknown => {
                self.metrics.dropped(kind, UNKNOWN_SERIES).inc();
                None
            }
        }
    }

    fn hand_out_samples(&mut self, at: Position, again: bool, each: &mut impl FnMut(Read)) {
        let samples = std::mem::take(&mut self.samples);
        for sample in &samples {
            if !self.is_fresh(sample.t) {
                continue;
            }
            if let Some(series) = self.series_of(sample.series, 0) {
                each(Read {
                    reference: sample.series,
                    series,
                    t: sample.t,
                    start: sample.start,
                    payload: Payload::Float(sample.value),
                    at,
                    again,
                });
            }
        }
        self.samples = samples;
    }

    fn hand_out_exemplars(&mut self, at: Position, again: bool, each: &mut impl FnMut(Read)) {
        for exemplar in std::mem::take(&mut self.exemplars) {
            if !self.is_fresh(exemplar.t) {
                continue;
            }
            if let Some(series) = self.series_of(exemplar.series, 2) {
                each(Read {
                    reference: exemplar.series,
                    series,
                    t: exemplar.t,
                    start: 0,
                    payload: Payload::Exemplar(Box::new(exemplar.exemplar())),
                    at,
                    again,
                });
            }
        }
    }

    fn hand_out_histograms(&mut self, at: Position, again: bool, each: &mut impl FnMut(Read)) {
        for one in std::mem::take(&mut self.histograms) {
            if !self.is_fresh(one.t) {
                continue;
            }
            let custom = one.histogram.schema() == model::histogram::CUSTOM_BUCKETS_SCHEMA;
            if custom && self.wishes.message == WriteMessage::V1 {
                self.metrics.dropped(1, NO_CUSTOM_BUCKETS).inc();
                continue;
            }
            if let Some(series) = self.series_of(one.series, 1) {
                let payload = match one.histogram {
                    AnyHistogram::Integer(h) => Payload::Integer(Box::new(h)),
                    AnyHistogram::Float(h) => Payload::FloatHistogram(Box::new(h)),
                };
                each(Read {
                    reference: one.series,
                    series,
                    t: one.t,
                    start: one.start,
                    payload,
                    at,
                    again,
                });
            }
        }
    }

    fn take_series(&mut self, record: &[u8], segment: u32) {
        let (wishes, series) = (&self.wishes, &mut self.series);
        let result = record::series(record, |reference, pairs| {
            series.describe(reference, segment, || {
                outgoing_labels(Labels::from_refs(pairs), wishes)
            });
        });
        if result.is_err() {
            self.metrics.decode_failures.inc();
        }
    }

    fn take_metadata(&mut self, record: &[u8]) {
        if self.wishes.message == WriteMessage::V1 {
            return;
        }
        let series = &mut self.series;
        let result = record::metadata(record, |reference, metadata: Metadata| {
            series.set_metadata(reference, metadata);
        });
        if result.is_err() {
            self.metrics.decode_failures.inc();
        }
    }
}

/// External labels where the series has none of the name, then relabelling; `None` for a series that is dropped.
fn outgoing_labels(labels: Labels, wishes: &Wishes) -> Option<Labels> {
    let labels = if wishes.external.is_empty() {
        labels
    } else {
        let mut builder = LabelsBuilder::new(&labels);
        for (name, value) in &wishes.external {
            if labels.get(name).is_none() {
                builder.set(name, value);
            }
        }
        builder.build()
    };
    if wishes.relabel.is_empty() {
        return Some(labels);
    }
    relabel(&labels, &wishes.relabel).filter(|labels| !labels.is_empty())
}
