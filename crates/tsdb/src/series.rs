//! One series of the head: its open chunk, where its finished chunks are, and what is pending.
//!
//! About 190 bytes with the lock, plus label values, plus the open chunk's bytes. The buffer of the open chunk is kept
//! from chunk to chunk, so that a steady series allocates nothing.

use model::{FloatHistogram, Histogram, Metadata, sample::is_stale_nan};
use ondisk::chunk::{
    Encoding, FLOAT_CHUNK_BYTES_MAX, FloatHistogramAppender, HISTOGRAM_CHUNK_BYTES_TARGET,
    HistogramAppender, Plan, ResetHeader, XorAppender, count,
};
use ondisk::record::AnyHistogram;
use ondisk::tombstones::Intervals;

use crate::chunk_files::{ChunkFiles, FileRef};
use crate::isolation::{Applying, Marks};
use crate::out_of_order::OutOfOrder;
use crate::prefetch::prefetch;
use crate::symbols::LabelSet;

/// A finished chunk in a head chunk file.
#[derive(Debug, Clone, Copy)]
#[repr(C, packed(4))]
pub(crate) struct Finished {
    min_time: i64,
    /// Head chunks never span more than a chunk range.
    span: u32,
    /// The file's number in the upper 29 bits, the encoding in the lower three.
    file: u32,
    offset: u32,
}

impl Finished {
    /// `None` when the chunk spans more than 49 days or its file has a number of more than 29 bits, which no head
    /// writes.
    pub(crate) fn new(min: i64, max: i64, encoding: Encoding, at: FileRef) -> Option<Finished> {
        let span = u32::try_from(max.checked_sub(min)?).ok()?;
        let file = at.file.checked_mul(8)? | u32::from(encoding.to_byte() & 7);
        let offset = at.offset;
        Some(Finished {
            min_time: min,
            span,
            file,
            offset,
        })
    }

    pub(crate) fn min_time(&self) -> i64 {
        self.min_time
    }

    pub(crate) fn max_time(&self) -> i64 {
        self.min_time + i64::from(self.span)
    }

    pub(crate) fn at(&self) -> FileRef {
        FileRef {
            file: self.file / 8,
            offset: self.offset,
        }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        Encoding::from_byte(self.file as u8 & 7).unwrap_or(Encoding::None)
    }
}

/// What decides on new chunks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkPolicy {
    /// Length of the windows chunks keep to, milliseconds.
    pub(crate) range: i64,
    /// Samples to aim at.
    pub(crate) samples: u32,
}

/// How the open chunk is encoded.
#[derive(Debug)]
enum State {
    /// No open chunk.
    None,
    Float(XorAppender),
    Histogram(Box<HistogramAppender>),
    FloatHistogram(Box<FloatHistogramAppender>),
}

/// What became of a sample at commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Stored.
    InOrder,
    /// The same as the newest sample: nothing to do.
    Same,
    /// Not newer than the newest sample.
    Late,
}

/// A value to append.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Incoming<'a> {
    Float(f64),
    Histogram(&'a AnyHistogram),
}

/// What appending changed, for the head's counters.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Changes {
    pub(crate) chunks_created: u64,
    pub(crate) chunks_written: u64,
    /// By how much the head's gauges change.
    pub(crate) standing: Standing,
}

impl Changes {
    /// Adds what others did.
    pub(crate) fn add(&mut self, other: &Changes) {
        self.chunks_created += other.chunks_created;
        self.chunks_written += other.chunks_written;
        self.standing.change(Standing::default(), other.standing);
    }
}

/// What series add to the head's gauges by their newest samples.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Series that ended with a stale marker.
    pub(crate) stale: i64,
    /// Series of native histograms.
    pub(crate) histograms: i64,
    /// Buckets of these.
    pub(crate) buckets: i64,
}

impl Standing {
    /// Takes a series' standing from before a change out, and the one after it in.
    pub(crate) fn change(&mut self, before: Standing, after: Standing) {
        self.stale += after.stale - before.stale;
        self.histograms += after.histograms - before.histograms;
        self.buckets += after.buckets - before.buckets;
    }
}

/// A series of the head; `reference` 0 marks a vacant slot.
#[derive(Debug)]
pub(crate) struct Series {
    /// Its number in the log.
    pub(crate) reference: u64,
    pub(crate) labels: LabelSet,
    buf: Vec<u8>,
    state: State,
    min_time: i64,
    next_at: i64,
    pub(crate) finished: Vec<Finished>,
    pub(crate) marks: Marks,
    pub(crate) out_of_order: Option<Box<OutOfOrder>>,
    pub(crate) deleted: Option<Box<Intervals>>,
    pub(crate) metadata: Option<Box<Metadata>>,
    /// Open appenders that have samples for the series: it must not go.
    pub(crate) pending: u16,
    /// Its series record is in the log.
    pub(crate) logged: bool,
}

impl Series {
    pub(crate) fn vacant() -> Series {
        Series {
            reference: 0,
            labels: LabelSet::default(),
            buf: Vec::new(),
            state: State::None,
            min_time: 0,
            next_at: 0,
            finished: Vec::new(),
            marks: Marks::default(),
            out_of_order: None,
            deleted: None,
            metadata: None,
            pending: 0,
            logged: false,
        }
    }

    pub(crate) fn new(reference: u64, labels: LabelSet) -> Series {
        Series {
            reference,
            labels,
            ..Series::vacant()
        }
    }

    /// Whether there is an open chunk.
    pub(crate) fn has_open(&self) -> bool {
        !matches!(self.state, State::None)
    }

    /// Time of the newest sample of the open chunk.
    pub(crate) fn open_last(&self) -> Option<i64> {
        match &self.state {
            State::None => None,
            State::Float(a) => Some(a.last_time()),
            State::Histogram(a) => Some(a.last_time()),
            State::FloatHistogram(a) => Some(a.last_time()),
        }
    }

    /// Time of the newest sample in order; `i64::MIN` without any.
    pub(crate) fn last_time(&self) -> i64 {
        let newest = self
            .open_last()
            .or_else(|| self.finished.last().map(Finished::max_time));
        newest.unwrap_or(i64::MIN)
    }

    /// Time of the oldest sample in order.
    pub(crate) fn first_time(&self) -> Option<i64> {
        match self.finished.first() {
            Some(chunk) => Some(chunk.min_time()),
            None => self.has_open().then_some(self.min_time),
        }
    }

    /// Whether the newest sample is a stale marker.
    pub(crate) fn is_stale(&self) -> bool {
        match &self.state {
            State::None => false,
            State::Float(a) => is_stale_nan(f64::from_bits(a.last_value_bits())),
            State::Histogram(a) => is_stale_nan(a.last_sum()),
            State::FloatHistogram(a) => is_stale_nan(a.last_sum()),
        }
    }

    /// What it adds to the head's gauges.
    #[inline]
    pub(crate) fn standing(&self) -> Standing {
        let buckets = match &self.state {
            State::None => return Standing::default(),
            State::Float(_) => None,
            State::Histogram(a) => Some(a.buckets()),
            State::FloatHistogram(a) => Some(a.buckets()),
        };
        Standing {
            stale: i64::from(self.is_stale()),
            histograms: i64::from(buckets.is_some()),
            buckets: buckets.unwrap_or(0) as i64,
        }
    }

    /// The newest sample's value, if it is a float of the open chunk.
    pub(crate) fn last_float(&self) -> Option<f64> {
        match &self.state {
            State::Float(a) => Some(f64::from_bits(a.last_value_bits())),
            _ => None,
        }
    }

    /// Whether the newest sample has this value.
    pub(crate) fn last_is(&self, value: Incoming<'_>) -> bool {
        match (&self.state, value) {
            (State::Float(a), Incoming::Float(v)) => a.last_value_bits() == v.to_bits(),
            (State::Histogram(a), Incoming::Histogram(AnyHistogram::Integer(h))) => {
                a.last_equals(h)
            }
            (State::FloatHistogram(a), Incoming::Histogram(AnyHistogram::Float(h))) => {
                a.last_equals(h)
            }
            _ => false,
        }
    }

    /// Samples in the open chunk.
    fn open_samples(&self) -> u32 {
        match self.state {
            State::None => 0,
            State::Float(ref a) => u32::from(a.len()),
            _ => u32::from(count(Encoding::Histogram, &self.buf)),
        }
    }

    /// Chunks in all, out-of-order ones aside.
    pub(crate) fn chunk_count(&self) -> u64 {
        self.finished.len() as u64 + u64::from(self.has_open())
    }

    /// Times and encoding of the open chunk.
    pub(crate) fn open_chunk(&self) -> Option<(i64, i64, Encoding)> {
        let encoding = match &self.state {
            State::None => return None,
            State::Float(_) => Encoding::Xor,
            State::Histogram(_) => Encoding::Histogram,
            State::FloatHistogram(_) => Encoding::FloatHistogram,
        };
        Some((self.min_time, self.open_last()?, encoding))
    }

    /// A copy of the open chunk's bytes.
    pub(crate) fn open_bytes(&self) -> Vec<u8> {
        let mut copy = self.buf.clone();
        if let State::Float(a) = &self.state {
            a.seal(&mut copy);
        }
        copy
    }

    /// Fetches what the next append will touch, so that it is there by then.
    #[inline]
    pub(crate) fn expect_append(&self) {
        // One byte beyond the last is where the next one goes; the address is never read through.
        prefetch(
            self.buf
                .as_ptr()
                .wrapping_add(self.buf.len().saturating_sub(1)),
        );
    }

    /// Appends a sample if it is newer than all before.
    pub(crate) fn append(
        &mut self,
        t: i64,
        value: Incoming<'_>,
        policy: ChunkPolicy,
        files: &ChunkFiles,
        commit: Option<&Applying<'_>>,
        changes: &mut Changes,
    ) -> Taken {
        let last = self.last_time();
        if t <= last {
            return if t == last && self.last_is(value) {
                Taken::Same
            } else {
                Taken::Late
            };
        }
        if let Some(commit) = commit {
            self.marks.note(commit, last);
        }
        let before = self.standing();
        match value {
            Incoming::Float(v) => self.append_float(t, v, policy, files, changes),
            Incoming::Histogram(h) if is_stale_nan(h.sum()) => {
                // A marker joins whichever kind of histogram the series has.
                match (&self.state, h) {
                    (State::FloatHistogram(_), AnyHistogram::Integer(h)) => {
                        self.append_float_histogram(t, &h.to_float(), policy, files, changes);
                    }
                    (State::Histogram(_), AnyHistogram::Float(h)) => {
                        let marker = Histogram {
                            sum: h.sum,
                            ..Histogram::default()
                        };
                        self.append_histogram(t, &marker, policy, files, changes);
                    }
                    (_, AnyHistogram::Integer(h)) => {
                        self.append_histogram(t, h, policy, files, changes);
                    }
                    (_, AnyHistogram::Float(h)) => {
                        self.append_float_histogram(t, h, policy, files, changes);
                    }
                }
            }
            Incoming::Histogram(AnyHistogram::Integer(h)) => {
                self.append_histogram(t, h, policy, files, changes);
            }
            Incoming::Histogram(AnyHistogram::Float(h)) => {
                self.append_float_histogram(t, h, policy, files, changes);
            }
        }
        changes.standing.change(before, self.standing());
        Taken::InOrder
    }

    /// Whether the newest samples in order are histograms, and of which kind.
    pub(crate) fn histogram_kind(&self) -> Option<Encoding> {
        match &self.state {
            State::Histogram(_) => Some(Encoding::Histogram),
            State::FloatHistogram(_) => Some(Encoding::FloatHistogram),
            State::Float(_) => None,
            State::None => self
                .finished
                .last()
                .map(Finished::encoding)
                .filter(|e| matches!(e, Encoding::Histogram | Encoding::FloatHistogram)),
        }
    }

    fn append_float(
        &mut self,
        t: i64,
        v: f64,
        policy: ChunkPolicy,
        files: &ChunkFiles,
        changes: &mut Changes,
    ) {
        if is_stale_nan(v) {
            // The end of a histogram series is a histogram, or a restart would change what the series is.
            match self.histogram_kind() {
                Some(Encoding::Histogram) => {
                    let marker = Histogram {
                        sum: v,
                        ..Histogram::default()
                    };
                    return self.append_histogram(t, &marker, policy, files, changes);
                }
                Some(_) => {
                    let marker = FloatHistogram {
                        sum: v,
                        ..FloatHistogram::default()
                    };
                    return self.append_float_histogram(t, &marker, policy, files, changes);
                }
                None => {}
            }
        }
        let n = self.open_samples();
        let cut = match &self.state {
            State::Float(_) => {
                let target = policy.samples.max(1);
                if n == target / 4 {
                    self.predict_end(4.0);
                }
                self.buf.len() > FLOAT_CHUNK_BYTES_MAX || t >= self.next_at || n >= 2 * target
            }
            _ => true,
        };
        if cut {
            self.finish(files, changes);
            grow(&mut self.buf);
            self.state = State::Float(XorAppender::start(&mut self.buf));
            self.begin(t, policy, changes);
        }
        let State::Float(appender) = &mut self.state else {
            return;
        };
        if self.buf.capacity() - self.buf.len() < 20 {
            grow(&mut self.buf);
        }
        // Chunks are cut long before their sample count overflows.
        let appended = appender.append(&mut self.buf, t, v);
        debug_assert!(appended.is_ok());
    }

    /// Foresees when the chunk will be full, `ratio` times what it is now, and shares the window evenly among chunks
    /// like it.
    fn predict_end(&mut self, ratio: f64) {
        let start = self.min_time;
        let room = self.next_at.saturating_sub(start) as f64;
        let newest = self.open_last().unwrap_or(start);
        let step = (newest.saturating_sub(start).saturating_add(1)) as f64 * ratio;
        let chunks = room / step;
        if chunks > 1.0 {
            self.next_at = start.saturating_add((room / chunks.floor()) as i64);
        }
    }

    fn begin(&mut self, t: i64, policy: ChunkPolicy, changes: &mut Changes) {
        self.min_time = t;
        self.next_at = (t / policy.range * policy.range).saturating_add(policy.range);
        changes.chunks_created += 1;
    }

    /// Adds a chunk. Room grows from two to what three hours of samples every 15 s need, then by as much again: all series
    /// grow at the same time, and every step in between would leave holes between them.
    pub(crate) fn push_finished(&mut self, chunk: Finished) {
        let (len, room) = (self.finished.len(), self.finished.capacity());
        if len == room {
            self.finished.reserve_exact(match room {
                0 => 2,
                _ => (room / 6 + 1) * 6 - len,
            });
        }
        self.finished.push(chunk);
    }

    /// Sends the open chunk to a file.
    pub(crate) fn finish(&mut self, files: &ChunkFiles, changes: &mut Changes) {
        if let Some((min, max, encoding)) = self.open_chunk() {
            if let State::Float(a) = &self.state {
                a.seal(&mut self.buf);
            }
            let times = (min, max);
            let at = files.write(self.reference, times, encoding.to_byte(), &self.buf);
            if let Some(finished) = Finished::new(min, max, encoding, at) {
                self.push_finished(finished);
            }
            changes.chunks_written += 1;
        }
        self.state = State::None;
    }

    /// Whether a histogram chunk is full by size or time.
    fn histogram_chunk_full(&mut self, t: i64, policy: ChunkPolicy) -> bool {
        let (n, bytes) = (self.open_samples(), self.buf.len());
        let target = HISTOGRAM_CHUNK_BYTES_TARGET;
        let window_end = (self.min_time / policy.range * policy.range).saturating_add(policy.range);
        if bytes >= target / 4 && self.next_at == window_end {
            self.predict_end(target as f64 / bytes.max(1) as f64);
        }
        (t >= self.next_at || bytes >= 2 * target) && (n >= 10 || t >= window_end)
    }

    fn append_histogram(
        &mut self,
        t: i64,
        h: &Histogram,
        policy: ChunkPolicy,
        files: &ChunkFiles,
        changes: &mut Changes,
    ) {
        let full = self.has_open() && self.histogram_chunk_full(t, policy);
        let header = match &mut self.state {
            State::Histogram(appender) => match appender.plan(&self.buf, h) {
                Plan::Append if !full => {
                    if appender.append(&mut self.buf, t, h).is_ok() {
                        return;
                    }
                    ResetHeader::Unknown
                }
                Plan::NewChunk(header) if !full => header,
                plan => plan.header_after_cut(),
            },
            _ => ResetHeader::Unknown,
        };
        self.finish(files, changes);
        let appender = HistogramAppender::start(&mut self.buf, header, t, h);
        self.state = State::Histogram(Box::new(appender));
        self.begin(t, policy, changes);
    }

    fn append_float_histogram(
        &mut self,
        t: i64,
        h: &FloatHistogram,
        policy: ChunkPolicy,
        files: &ChunkFiles,
        changes: &mut Changes,
    ) {
        let full = self.has_open() && self.histogram_chunk_full(t, policy);
        let header = match &mut self.state {
            State::FloatHistogram(appender) => match appender.plan(&self.buf, h) {
                Plan::Append if !full => {
                    if appender.append(&mut self.buf, t, h).is_ok() {
                        return;
                    }
                    ResetHeader::Unknown
                }
                Plan::NewChunk(header) if !full => header,
                plan => plan.float_header_after_cut(),
            },
            _ => ResetHeader::Unknown,
        };
        self.finish(files, changes);
        let appender = FloatHistogramAppender::start(&mut self.buf, header, t, h);
        self.state = State::FloatHistogram(Box::new(appender));
        self.begin(t, policy, changes);
    }

    /// Drops what ends before `min`; gives the number of chunks dropped.
    pub(crate) fn truncate(&mut self, min: i64, standing: &mut Standing) -> u64 {
        let (before, stood) = (self.chunk_count(), self.standing());
        let gone = self.finished.partition_point(|c| c.max_time() < min);
        if gone > 0 {
            self.finished.drain(..gone);
            if self.finished.is_empty() {
                self.finished = Vec::new();
            }
        }
        if self.finished.is_empty() && self.open_last().is_some_and(|last| last < min) {
            self.state = State::None;
            self.buf = Vec::new();
            standing.change(stood, Standing::default());
        }
        // Late samples stay longer than those in order, and must not come back.
        let late = self.out_of_order.as_ref().and_then(|o| o.range());
        if let Some(deleted) = &mut self.deleted {
            deleted.forget_before(late.map_or(min, |(first, _)| first.min(min)));
            if deleted.is_empty() {
                self.deleted = None;
            }
        }
        before - self.chunk_count()
    }

    /// Forgets all samples.
    pub(crate) fn clear(&mut self, standing: &mut Standing) -> u64 {
        let chunks = self.chunk_count();
        standing.change(self.standing(), Standing::default());
        self.state = State::None;
        self.buf = Vec::new();
        self.finished = Vec::new();
        self.out_of_order = None;
        self.deleted = None;
        chunks
    }

    /// Whether nothing is left of the series.
    pub(crate) fn is_empty(&self) -> bool {
        self.finished.is_empty()
            && !self.has_open()
            && self.out_of_order.as_ref().is_none_or(|o| o.is_empty())
            && self.pending == 0
    }
}

/// Makes room for the next sample in small steps: what is reserved stays reserved for every series.
fn grow(buf: &mut Vec<u8>) {
    let step = if buf.capacity() < 128 { 32 } else { 64 };
    buf.reserve_exact(buf.capacity() - buf.len() + step);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The budget of a series; whoever needs more changes it here, knowing what it costs.
    #[test]
    fn a_series_keeps_to_its_budget() {
        assert_eq!(std::mem::size_of::<Finished>(), 20);
        assert_eq!(std::mem::size_of::<parking_lot::Mutex<Series>>(), 184);
    }
}
