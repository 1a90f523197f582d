//! Integer histogram chunks (encoding 2; 5 with start timestamps is read by the same iterator).

use model::{FloatHistogram, Histogram, ResetHint, sample::is_stale_nan};

use crate::bits::{BitReader, BitTail};

use super::layout::{self, Layout, ResetHeader};
use super::start::StartTimes;
use super::xor::{XorWindow, put_xor, take_xor};
use super::{ChunkError, varbit};

/// Bytes before the bit stream: sample count and flags.
pub(super) const HEADER: usize = 3;

/// What to do with the next histogram of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Append to the chunk.
    Append,
    /// Start a new chunk with this header, unless the sample's own hint says more.
    NewChunk(ResetHeader),
}

impl Plan {
    /// The header for a chunk cut by time or size before a sample with this plan.
    pub fn header_after_cut(self) -> ResetHeader {
        match self {
            Plan::Append => ResetHeader::NotReset,
            Plan::NewChunk(header) => header,
        }
    }

    /// As `header_after_cut` for float histograms, which call everything but a reset "no reset".
    pub fn float_header_after_cut(self) -> ResetHeader {
        match self {
            Plan::NewChunk(ResetHeader::Reset) => ResetHeader::Reset,
            _ => ResetHeader::NotReset,
        }
    }
}

/// Reset bits of a histogram chunk's header.
pub(super) fn header_of(buf: &[u8]) -> ResetHeader {
    ResetHeader::from_byte(buf.get(2).copied().unwrap_or(0))
}

/// Where an open integer histogram chunk stands; the bytes are the caller's.
#[derive(Debug, Clone)]
pub struct HistogramAppender {
    layout: Layout,
    tail: BitTail,
    t: i64,
    t_delta: i64,
    count: u64,
    count_delta: i64,
    zero_count: u64,
    zero_delta: i64,
    sum: u64,
    sum_window: XorWindow,
    /// Positive buckets, then negative, as deltas between neighbours; beside each its last change.
    buckets: Vec<(i64, i64)>,
}

impl HistogramAppender {
    /// Starts a chunk in `buf` (emptied first) with its first sample; the sample's own hint goes before `header`.
    pub fn start(
        buf: &mut Vec<u8>,
        header: ResetHeader,
        t: i64,
        h: &Histogram,
    ) -> HistogramAppender {
        let header = ResetHeader::of_first(h.reset_hint, header);
        let stale = is_stale_nan(h.sum);
        let layout = if stale {
            Layout::default()
        } else {
            Layout {
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                positive: h.positive_spans.clone(),
                negative: h.negative_spans.clone(),
                custom: h.custom_values.clone(),
            }
        };
        buf.clear();
        buf.extend_from_slice(&[0, 1, header.to_byte()]);
        let mut tail = BitTail::aligned();
        layout.put(buf, &mut tail);
        let (count, zero_count) = if stale {
            (0, 0)
        } else {
            (h.count, h.zero_count)
        };
        varbit::put_int(buf, &mut tail, t);
        varbit::put_uint(buf, &mut tail, count);
        varbit::put_uint(buf, &mut tail, zero_count);
        tail.put(buf, h.sum.to_bits(), 64);
        let mut buckets = Vec::new();
        if !stale {
            buckets = sized(&h.positive_buckets, &layout.positive)
                .chain(sized(&h.negative_buckets, &layout.negative))
                .map(|b| (b, 0))
                .collect();
        }
        for (bucket, _) in &buckets {
            varbit::put_int(buf, &mut tail, *bucket);
        }
        HistogramAppender {
            layout,
            tail,
            t,
            t_delta: 0,
            count,
            count_delta: 0,
            zero_count,
            zero_delta: 0,
            sum: h.sum.to_bits(),
            sum_window: XorWindow::NONE,
            buckets,
        }
    }

    /// Buckets of the newest sample; none after a stale marker.
    pub fn buckets(&self) -> usize {
        match is_stale_nan(self.last_sum()) {
            true => 0,
            false => self.layout.buckets(),
        }
    }

    /// Time of the newest sample.
    pub fn last_time(&self) -> i64 {
        self.t
    }

    /// The newest sum; a stale marker when the series has ended.
    pub fn last_sum(&self) -> f64 {
        f64::from_bits(self.sum)
    }

    /// Whether the newest sample equals `h`, its hint aside.
    pub fn last_equals(&self, h: &Histogram) -> bool {
        if is_stale_nan(h.sum) || is_stale_nan(self.last_sum()) {
            return is_stale_nan(h.sum) && is_stale_nan(self.last_sum());
        }
        self.layout.same_resolution(h.schema, h.zero_threshold)
            && self.layout.same_bounds(&h.custom_values)
            && self.count == h.count
            && self.zero_count == h.zero_count
            && self.sum == h.sum.to_bits()
            && {
                let (p, n) = self.absolute_buckets();
                let (hp, hn) = (
                    layout::absolute(&h.positive_buckets),
                    layout::absolute(&h.negative_buckets),
                );
                let same = |a: &[_], av: &[i64], b: &[_], bv: &[i64]| {
                    !layout::any_bucket_shrinks(a, av, b, bv)
                        && !layout::any_bucket_shrinks(b, bv, a, av)
                };
                same(&self.layout.positive, &p, &h.positive_spans, &hp)
                    && same(&self.layout.negative, &n, &h.negative_spans, &hn)
            }
    }

    fn absolute_buckets(&self) -> (Vec<i64>, Vec<i64>) {
        let n = layout::bucket_count(&self.layout.positive).min(self.buckets.len());
        let (p, n) = self.buckets.split_at(n);
        let of = |b: &[(i64, i64)]| layout::absolute(&b.iter().map(|b| b.0).collect::<Vec<_>>());
        (of(p), of(n))
    }

    /// Decides whether `h` may join the chunk in `buf`.
    pub fn plan(&self, buf: &[u8], h: &Histogram) -> Plan {
        let gauge = header_of(buf) == ResetHeader::Gauge;
        if h.reset_hint == ResetHint::Gauge {
            return self.plan_gauge(gauge, h);
        }
        if gauge {
            return Plan::NewChunk(ResetHeader::NotReset);
        }
        if h.reset_hint == ResetHint::CounterReset {
            return Plan::NewChunk(ResetHeader::Reset);
        }
        if is_stale_nan(h.sum) {
            return Plan::Append;
        }
        if is_stale_nan(self.last_sum()) {
            return Plan::NewChunk(ResetHeader::Unknown);
        }
        if h.count < self.count {
            return Plan::NewChunk(ResetHeader::Reset);
        }
        if !self.layout.same_resolution(h.schema, h.zero_threshold) {
            return Plan::NewChunk(ResetHeader::Unknown);
        }
        if !self.layout.same_bounds(&h.custom_values) || h.zero_count < self.zero_count {
            return Plan::NewChunk(ResetHeader::Reset);
        }
        let (p, n) = self.absolute_buckets();
        let (hp, hn) = (
            layout::absolute(&h.positive_buckets),
            layout::absolute(&h.negative_buckets),
        );
        if layout::any_bucket_shrinks(&self.layout.positive, &p, &h.positive_spans, &hp)
            || layout::any_bucket_shrinks(&self.layout.negative, &n, &h.negative_spans, &hn)
        {
            return Plan::NewChunk(ResetHeader::Reset);
        }
        self.plan_spans(h)
    }

    fn plan_gauge(&self, gauge: bool, h: &Histogram) -> Plan {
        if !gauge {
            return Plan::NewChunk(ResetHeader::Gauge);
        }
        if is_stale_nan(h.sum) {
            return Plan::Append;
        }
        if is_stale_nan(self.last_sum())
            || !self.layout.same_resolution(h.schema, h.zero_threshold)
            || !self.layout.same_bounds(&h.custom_values)
        {
            return Plan::NewChunk(ResetHeader::Gauge);
        }
        self.plan_spans(h)
    }

    /// Spans so far apart that no layout covers both need a new chunk.
    fn plan_spans(&self, h: &Histogram) -> Plan {
        let fits = layout::union(&self.layout.positive, &h.positive_spans).is_some()
            && layout::union(&self.layout.negative, &h.negative_spans).is_some();
        if fits {
            Plan::Append
        } else {
            Plan::NewChunk(ResetHeader::Unknown)
        }
    }

    /// Appends a sample that `plan` let pass. Buckets the chunk does not know yet make it re-encode itself in place.
    pub fn append(&mut self, buf: &mut Vec<u8>, t: i64, h: &Histogram) -> Result<(), ChunkError> {
        let n = super::sample_count(buf);
        if n == u16::MAX {
            return Err(ChunkError::Full);
        }
        let stale = is_stale_nan(h.sum);
        let mut buckets = Vec::new();
        if !stale {
            let same = self.layout.positive == h.positive_spans
                && self.layout.negative == h.negative_spans;
            if same {
                buckets.extend(sized(&h.positive_buckets, &h.positive_spans));
                buckets.extend(sized(&h.negative_buckets, &h.negative_spans));
            } else {
                self.widen(buf, h)?;
                for (spans, deltas, to) in [
                    (
                        &h.positive_spans,
                        &h.positive_buckets,
                        &self.layout.positive,
                    ),
                    (
                        &h.negative_spans,
                        &h.negative_buckets,
                        &self.layout.negative,
                    ),
                ] {
                    let moved = layout::spread(spans, &layout::absolute(deltas), to);
                    buckets.extend(layout::deltas(&moved));
                }
            }
        }
        let t_delta = t.wrapping_sub(self.t);
        let count_delta = h.count.wrapping_sub(self.count) as i64;
        let zero_delta = h.zero_count.wrapping_sub(self.zero_count) as i64;
        let (count_dod, zero_dod) = if stale {
            (0, 0)
        } else {
            (
                count_delta.wrapping_sub(self.count_delta),
                zero_delta.wrapping_sub(self.zero_delta),
            )
        };
        let tail = &mut self.tail;
        varbit::put_int(buf, tail, t_delta.wrapping_sub(self.t_delta));
        varbit::put_int(buf, tail, count_dod);
        varbit::put_int(buf, tail, zero_dod);
        put_xor(buf, tail, &mut self.sum_window, self.sum, h.sum.to_bits());
        for ((last, last_delta), bucket) in self.buckets.iter_mut().zip(buckets) {
            let delta = bucket.wrapping_sub(*last);
            varbit::put_int(buf, tail, delta.wrapping_sub(*last_delta));
            (*last, *last_delta) = (bucket, delta);
        }
        (self.t, self.t_delta) = (t, t_delta);
        (self.count, self.count_delta) = (h.count, count_delta);
        (self.zero_count, self.zero_delta) = (h.zero_count, zero_delta);
        self.sum = h.sum.to_bits();
        super::set_sample_count(buf, n + 1);
        Ok(())
    }

    /// Re-encodes the chunk so that it has room for all of `h`'s buckets.
    fn widen(&mut self, buf: &mut Vec<u8>, h: &Histogram) -> Result<(), ChunkError> {
        let none = ChunkError::Malformed("spans too far apart");
        let positive =
            layout::union(&self.layout.positive, &h.positive_spans).ok_or(none.clone())?;
        let negative = layout::union(&self.layout.negative, &h.negative_spans).ok_or(none)?;
        if positive == self.layout.positive && negative == self.layout.negative {
            return Ok(());
        }
        let header = header_of(buf);
        let old = std::mem::take(buf);
        let mut iter = HistogramIter::new(&old[..])?;
        let mut wide: Option<HistogramAppender> = None;
        while iter.next()? {
            let mut sample = iter.raw();
            if !is_stale_nan(sample.sum) {
                for (spans, deltas, to) in [
                    (
                        &mut sample.positive_spans,
                        &mut sample.positive_buckets,
                        &positive,
                    ),
                    (
                        &mut sample.negative_spans,
                        &mut sample.negative_buckets,
                        &negative,
                    ),
                ] {
                    *deltas = layout::deltas(&layout::spread(spans, &layout::absolute(deltas), to));
                    spans.clone_from(to);
                }
            }
            sample.reset_hint = ResetHint::Unknown;
            match &mut wide {
                Some(wide) => wide.append(buf, iter.time(), &sample)?,
                None => wide = Some(HistogramAppender::start(buf, header, iter.time(), &sample)),
            }
        }
        if let Some(wide) = wide {
            *self = wide;
        }
        Ok(())
    }
}

/// Exactly as many deltas as the spans say, whatever the caller brought.
fn sized<'a>(deltas: &'a [i64], spans: &[model::Span]) -> impl Iterator<Item = i64> + 'a {
    let n = layout::bucket_count(spans);
    deltas.iter().copied().chain(std::iter::repeat(0)).take(n)
}

/// Reads an integer histogram chunk sample by sample.
#[derive(Debug, Clone)]
pub struct HistogramIter<D> {
    reader: BitReader<D>,
    total: u16,
    read: u16,
    header: ResetHeader,
    start: Option<StartTimes>,
    layout: Layout,
    t: i64,
    t_delta: i64,
    count: u64,
    count_delta: i64,
    zero_count: u64,
    zero_delta: i64,
    sum: u64,
    sum_window: XorWindow,
    buckets: Vec<(i64, i64)>,
}

impl<D: AsRef<[u8]>> HistogramIter<D> {
    /// Reads the header of a chunk of encoding 2.
    pub fn new(data: D) -> Result<HistogramIter<D>, ChunkError> {
        let &[a, b, flags, ..] = data.as_ref() else {
            return Err(ChunkError::Truncated);
        };
        let total = u16::from_be_bytes([a, b]);
        Ok(HistogramIter::with(
            data,
            total,
            ResetHeader::from_byte(flags),
            None,
        ))
    }

    /// Reads the header of a chunk of encoding 5.
    pub fn with_start_times(data: D) -> Result<HistogramIter<D>, ChunkError> {
        let &[a, b, st, ..] = data.as_ref() else {
            return Err(ChunkError::Truncated);
        };
        let total = u16::from_be_bytes([a, b]) & 0x3fff;
        Ok(HistogramIter::with(
            data,
            total,
            ResetHeader::from_byte(a),
            Some(StartTimes::new(st)),
        ))
    }

    fn with(
        data: D,
        total: u16,
        header: ResetHeader,
        start: Option<StartTimes>,
    ) -> HistogramIter<D> {
        HistogramIter {
            reader: BitReader::new(data, HEADER),
            total,
            read: 0,
            header,
            start,
            layout: Layout::default(),
            t: 0,
            t_delta: 0,
            count: 0,
            count_delta: 0,
            zero_count: 0,
            zero_delta: 0,
            sum: 0,
            sum_window: XorWindow::WHOLE,
            buckets: Vec::new(),
        }
    }

    /// Samples in the chunk, by its header.
    pub fn len(&self) -> u16 {
        self.total
    }

    /// Whether the header counts no samples.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The current sample's time.
    pub fn time(&self) -> i64 {
        self.t
    }

    /// The current sample's sum, without building the histogram; tells stale markers.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum)
    }

    /// The start timestamp of the current sample; 0 when unknown.
    pub fn start_time(&self) -> i64 {
        self.start.as_ref().map_or(0, |s| s.current())
    }

    /// Steps to the next sample; false after the last.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<bool, ChunkError> {
        if self.read == self.total {
            return Ok(false);
        }
        let before = self.t;
        if self.read == 0 {
            self.first()?;
        } else {
            self.later()?;
        }
        if let Some(start) = &mut self.start {
            start.take(&mut self.reader, self.read, before, self.t)?;
        }
        self.read += 1;
        Ok(true)
    }

    fn first(&mut self) -> Result<(), ChunkError> {
        let r = &mut self.reader;
        self.layout = Layout::take(r)?;
        self.t = varbit::take_int(r)?;
        self.count = varbit::take_uint(r)?;
        self.zero_count = varbit::take_uint(r)?;
        self.sum = r.take(64)?;
        let n = layout::bucket_count(&self.layout.positive)
            + layout::bucket_count(&self.layout.negative);
        self.buckets.reserve_exact(n);
        for _ in 0..n {
            self.buckets.push((varbit::take_int(r)?, 0));
        }
        Ok(())
    }

    fn later(&mut self) -> Result<(), ChunkError> {
        let r = &mut self.reader;
        self.t_delta = self.t_delta.wrapping_add(varbit::take_int(r)?);
        self.t = self.t.wrapping_add(self.t_delta);
        self.count_delta = self.count_delta.wrapping_add(varbit::take_int(r)?);
        self.count = self.count.wrapping_add_signed(self.count_delta);
        self.zero_delta = self.zero_delta.wrapping_add(varbit::take_int(r)?);
        self.zero_count = self.zero_count.wrapping_add_signed(self.zero_delta);
        self.sum = take_xor(r, &mut self.sum_window, self.sum)?;
        if is_stale_nan(f64::from_bits(self.sum)) {
            return Ok(());
        }
        for (bucket, delta) in &mut self.buckets {
            *delta = delta.wrapping_add(varbit::take_int(r)?);
            *bucket = bucket.wrapping_add(*delta);
        }
        Ok(())
    }

    /// The current sample in the chunk's own schema.
    fn raw(&self) -> Histogram {
        let sum = self.sum();
        if is_stale_nan(sum) {
            return Histogram {
                sum,
                ..Histogram::default()
            };
        }
        let n = layout::bucket_count(&self.layout.positive).min(self.buckets.len());
        let (positive, negative) = self.buckets.split_at(n);
        let of = |b: &[(i64, i64)]| b.iter().map(|b| b.0).collect();
        Histogram {
            reset_hint: self.header.hint(self.read.saturating_sub(1)),
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum,
            positive_spans: self.layout.positive.clone(),
            negative_spans: self.layout.negative.clone(),
            positive_buckets: of(positive),
            negative_buckets: of(negative),
            custom_values: self.layout.custom.clone(),
        }
    }

    /// The current sample. A stale marker has nothing but its sum; schemas finer than 8 are reduced to it.
    pub fn histogram(&self) -> Histogram {
        let mut h = self.raw();
        if h.schema > 8 {
            for (spans, deltas) in [
                (&mut h.positive_spans, &mut h.positive_buckets),
                (&mut h.negative_spans, &mut h.negative_buckets),
            ] {
                let (s, v) = layout::coarsen(
                    h.schema,
                    spans,
                    &layout::absolute(deltas),
                    i64::wrapping_add,
                );
                (*spans, *deltas) = (s, layout::deltas(&v));
            }
            h.schema = 8;
        }
        h
    }

    /// The current sample with float counts.
    pub fn float_histogram(&self) -> FloatHistogram {
        self.histogram().to_float()
    }
}
