//! Float histogram chunks (encoding 3; 6 with start timestamps is read by the same iterator).

use model::{FloatHistogram, ResetHint, Span, sample::is_stale_nan};

use crate::bits::{BitReader, BitTail, EndOfBits};

use super::histogram::{HEADER, Plan, header_of};
use super::layout::{self, Layout, ResetHeader};
use super::start::StartTimes;
use super::xor::{XorWindow, put_xor, take_xor};
use super::{ChunkError, varbit};

/// A float that is written relative to its predecessor, with a window of its own.
#[derive(Debug, Clone, Copy)]
struct Xored {
    bits: u64,
    window: XorWindow,
}

impl Xored {
    fn fresh(bits: u64) -> Xored {
        Xored {
            bits,
            window: XorWindow::NONE,
        }
    }

    fn put(&mut self, buf: &mut Vec<u8>, tail: &mut BitTail, value: f64) {
        put_xor(buf, tail, &mut self.window, self.bits, value.to_bits());
        self.bits = value.to_bits();
    }

    fn first<D: AsRef<[u8]>>(reader: &mut BitReader<D>) -> Result<Xored, EndOfBits> {
        Ok(Xored {
            bits: reader.take(64)?,
            window: XorWindow::WHOLE,
        })
    }

    fn take<D: AsRef<[u8]>>(&mut self, reader: &mut BitReader<D>) -> Result<(), EndOfBits> {
        self.bits = take_xor(reader, &mut self.window, self.bits)?;
        Ok(())
    }

    fn get(self) -> f64 {
        f64::from_bits(self.bits)
    }
}

fn values(buckets: &[Xored]) -> Vec<f64> {
    buckets.iter().map(|b| b.get()).collect()
}

/// Where an open float histogram chunk stands; the bytes are the caller's.
#[derive(Debug, Clone)]
pub struct FloatHistogramAppender {
    layout: Layout,
    tail: BitTail,
    t: i64,
    t_delta: i64,
    count: Xored,
    zero_count: Xored,
    sum: Xored,
    /// Positive buckets, then negative.
    buckets: Vec<Xored>,
}

impl FloatHistogramAppender {
    /// Starts a chunk in `buf` (emptied first) with its first sample; the sample's own hint goes before `header`.
    pub fn start(
        buf: &mut Vec<u8>,
        header: ResetHeader,
        t: i64,
        h: &FloatHistogram,
    ) -> FloatHistogramAppender {
        let header = ResetHeader::of_first(h.reset_hint, header);
        let stale = is_stale_nan(h.sum);
        let (layout, count, zero_count) = if stale {
            (Layout::default(), 0.0, 0.0)
        } else {
            let layout = Layout {
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                positive: h.positive_spans.clone(),
                negative: h.negative_spans.clone(),
                custom: h.custom_values.clone(),
            };
            (layout, h.count, h.zero_count)
        };
        buf.clear();
        buf.extend_from_slice(&[0, 1, header.to_byte()]);
        let mut tail = BitTail::aligned();
        layout.put(buf, &mut tail);
        varbit::put_int(buf, &mut tail, t);
        let mut buckets = Vec::new();
        if !stale {
            buckets = sized(&h.positive_buckets, &layout.positive)
                .chain(sized(&h.negative_buckets, &layout.negative))
                .map(|v| Xored::fresh(v.to_bits()))
                .collect();
        }
        let heads = [count, zero_count, h.sum].map(|v| Xored::fresh(v.to_bits()));
        for value in heads.iter().chain(&buckets) {
            tail.put(buf, value.bits, 64);
        }
        let [count, zero_count, sum] = heads;
        FloatHistogramAppender {
            layout,
            tail,
            t,
            t_delta: 0,
            count,
            zero_count,
            sum,
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
        self.sum.get()
    }

    /// Whether the newest sample equals `h` bit for bit, its hint aside.
    pub fn last_equals(&self, h: &FloatHistogram) -> bool {
        if is_stale_nan(h.sum) || is_stale_nan(self.last_sum()) {
            return is_stale_nan(h.sum) && is_stale_nan(self.last_sum());
        }
        let bits = |v: &[f64]| -> Vec<u64> { v.iter().map(|v| v.to_bits()).collect() };
        let same = |a: &[Span], av: &[f64], b: &[Span], bv: &[f64]| match layout::union(a, b) {
            Some(both) => {
                bits(&layout::spread(a, av, &both)) == bits(&layout::spread(b, bv, &both))
            }
            None => false,
        };
        let (p, n) = self.split();
        self.layout.same_resolution(h.schema, h.zero_threshold)
            && self.layout.same_bounds(&h.custom_values)
            && self.count.bits == h.count.to_bits()
            && self.zero_count.bits == h.zero_count.to_bits()
            && self.sum.bits == h.sum.to_bits()
            && same(
                &self.layout.positive,
                &p,
                &h.positive_spans,
                &h.positive_buckets,
            )
            && same(
                &self.layout.negative,
                &n,
                &h.negative_spans,
                &h.negative_buckets,
            )
    }

    fn split(&self) -> (Vec<f64>, Vec<f64>) {
        let n = layout::bucket_count(&self.layout.positive).min(self.buckets.len());
        let (p, n) = self.buckets.split_at(n);
        (values(p), values(n))
    }

    /// Decides whether `h` may join the chunk in `buf`.
    pub fn plan(&self, buf: &[u8], h: &FloatHistogram) -> Plan {
        let gauge = header_of(buf) == ResetHeader::Gauge;
        if h.reset_hint == ResetHint::Gauge {
            return self.plan_gauge(gauge, h);
        }
        if gauge {
            return Plan::NewChunk(ResetHeader::Unknown);
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
        if h.count < self.count.get() {
            return Plan::NewChunk(ResetHeader::Reset);
        }
        if !self.layout.same_resolution(h.schema, h.zero_threshold) {
            return Plan::NewChunk(ResetHeader::Unknown);
        }
        if !self.layout.same_bounds(&h.custom_values) || h.zero_count < self.zero_count.get() {
            return Plan::NewChunk(ResetHeader::Reset);
        }
        let (p, n) = self.split();
        let (old, new) = (&self.layout, h);
        if layout::any_bucket_shrinks(
            &old.positive,
            &p,
            &new.positive_spans,
            &new.positive_buckets,
        ) || layout::any_bucket_shrinks(
            &old.negative,
            &n,
            &new.negative_spans,
            &new.negative_buckets,
        ) {
            return Plan::NewChunk(ResetHeader::Reset);
        }
        self.plan_spans(h)
    }

    fn plan_gauge(&self, gauge: bool, h: &FloatHistogram) -> Plan {
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
    fn plan_spans(&self, h: &FloatHistogram) -> Plan {
        let fits = layout::union(&self.layout.positive, &h.positive_spans).is_some()
            && layout::union(&self.layout.negative, &h.negative_spans).is_some();
        if fits {
            Plan::Append
        } else {
            Plan::NewChunk(ResetHeader::Unknown)
        }
    }

    /// Appends a sample that `plan` let pass. Buckets the chunk does not know yet make it re-encode itself in place.
    pub fn append(
        &mut self,
        buf: &mut Vec<u8>,
        t: i64,
        h: &FloatHistogram,
    ) -> Result<(), ChunkError> {
        let n = super::sample_count(buf);
        if n == u16::MAX {
            return Err(ChunkError::Full);
        }
        let stale = is_stale_nan(h.sum);
        let mut buckets = Vec::new();
        if !stale {
            let (p, n) = (&h.positive_spans, &h.negative_spans);
            if self.layout.positive == *p && self.layout.negative == *n {
                buckets.extend(sized(&h.positive_buckets, p));
                buckets.extend(sized(&h.negative_buckets, n));
            } else {
                self.widen(buf, h)?;
                buckets = layout::spread(p, &h.positive_buckets, &self.layout.positive);
                buckets.extend(layout::spread(
                    n,
                    &h.negative_buckets,
                    &self.layout.negative,
                ));
            }
        }
        let (count, zero_count) = if stale {
            (0.0, 0.0)
        } else {
            (h.count, h.zero_count)
        };
        let t_delta = t.wrapping_sub(self.t);
        let tail = &mut self.tail;
        varbit::put_int(buf, tail, t_delta.wrapping_sub(self.t_delta));
        self.count.put(buf, tail, count);
        self.zero_count.put(buf, tail, zero_count);
        self.sum.put(buf, tail, h.sum);
        for (last, bucket) in self.buckets.iter_mut().zip(buckets) {
            last.put(buf, tail, bucket);
        }
        (self.t, self.t_delta) = (t, t_delta);
        super::set_sample_count(buf, n + 1);
        Ok(())
    }

    /// Re-encodes the chunk so that it has room for all of `h`'s buckets.
    fn widen(&mut self, buf: &mut Vec<u8>, h: &FloatHistogram) -> Result<(), ChunkError> {
        let none = ChunkError::Malformed("spans too far apart");
        let positive =
            layout::union(&self.layout.positive, &h.positive_spans).ok_or(none.clone())?;
        let negative = layout::union(&self.layout.negative, &h.negative_spans).ok_or(none)?;
        if positive == self.layout.positive && negative == self.layout.negative {
            return Ok(());
        }
        let header = header_of(buf);
        let old = std::mem::take(buf);
        let mut iter = FloatHistogramIter::new(&old[..])?;
        let mut wide: Option<FloatHistogramAppender> = None;
        while iter.next()? {
            let mut sample = iter.raw();
            if !is_stale_nan(sample.sum) {
                for (spans, buckets, to) in [
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
                    *buckets = layout::spread(spans, buckets, to);
                    spans.clone_from(to);
                }
            }
            sample.reset_hint = ResetHint::Unknown;
            match &mut wide {
                Some(wide) => wide.append(buf, iter.time(), &sample)?,
                None => {
                    wide = Some(FloatHistogramAppender::start(
                        buf,
                        header,
                        iter.time(),
                        &sample,
                    ));
                }
            }
        }
        if let Some(wide) = wide {
            *self = wide;
        }
        Ok(())
    }
}

/// Exactly as many buckets as the spans say, whatever the caller brought.
fn sized<'a>(buckets: &'a [f64], spans: &[Span]) -> impl Iterator<Item = f64> + 'a {
    let n = layout::bucket_count(spans);
    buckets
        .iter()
        .copied()
        .chain(std::iter::repeat(0.0))
        .take(n)
}

/// Reads a float histogram chunk sample by sample.
#[derive(Debug, Clone)]
pub struct FloatHistogramIter<D> {
    reader: BitReader<D>,
    total: u16,
    read: u16,
    header: ResetHeader,
    start: Option<StartTimes>,
    layout: Layout,
    t: i64,
    t_delta: i64,
    count: Xored,
    zero_count: Xored,
    sum: Xored,
    buckets: Vec<Xored>,
}

impl<D: AsRef<[u8]>> FloatHistogramIter<D> {
    /// Reads the header of a chunk of encoding 3.
    pub fn new(data: D) -> Result<FloatHistogramIter<D>, ChunkError> {
        let &[a, b, flags, ..] = data.as_ref() else {
            return Err(ChunkError::Truncated);
        };
        let total = u16::from_be_bytes([a, b]);
        Ok(FloatHistogramIter::with(
            data,
            total,
            ResetHeader::from_byte(flags),
            None,
        ))
    }

    /// Reads the header of a chunk of encoding 6.
    pub fn with_start_times(data: D) -> Result<FloatHistogramIter<D>, ChunkError> {
        let &[a, b, st, ..] = data.as_ref() else {
            return Err(ChunkError::Truncated);
        };
        let total = u16::from_be_bytes([a, b]) & 0x3fff;
        let start = Some(StartTimes::new(st));
        Ok(FloatHistogramIter::with(
            data,
            total,
            ResetHeader::from_byte(a),
            start,
        ))
    }

    fn with(
        data: D,
        total: u16,
        header: ResetHeader,
        start: Option<StartTimes>,
    ) -> FloatHistogramIter<D> {
        let zero = Xored {
            bits: 0,
            window: XorWindow::WHOLE,
        };
        FloatHistogramIter {
            reader: BitReader::new(data, HEADER),
            total,
            read: 0,
            header,
            start,
            layout: Layout::default(),
            t: 0,
            t_delta: 0,
            count: zero,
            zero_count: zero,
            sum: zero,
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
        self.sum.get()
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
        self.count = Xored::first(r)?;
        self.zero_count = Xored::first(r)?;
        self.sum = Xored::first(r)?;
        let n = layout::bucket_count(&self.layout.positive)
            + layout::bucket_count(&self.layout.negative);
        // Each bucket of the first sample takes eight bytes.
        if n > r.bits_left() / 64 {
            return Err(ChunkError::Truncated);
        }
        self.buckets.reserve_exact(n);
        for _ in 0..n {
            self.buckets.push(Xored::first(r)?);
        }
        Ok(())
    }

    fn later(&mut self) -> Result<(), ChunkError> {
        let r = &mut self.reader;
        self.t_delta = self.t_delta.wrapping_add(varbit::take_int(r)?);
        self.t = self.t.wrapping_add(self.t_delta);
        self.count.take(r)?;
        self.zero_count.take(r)?;
        self.sum.take(r)?;
        if is_stale_nan(self.sum.get()) {
            return Ok(());
        }
        for bucket in &mut self.buckets {
            bucket.take(r)?;
        }
        Ok(())
    }

    /// The current sample in the chunk's own schema.
    fn raw(&self) -> FloatHistogram {
        let sum = self.sum();
        if is_stale_nan(sum) {
            return FloatHistogram {
                sum,
                ..FloatHistogram::default()
            };
        }
        let n = layout::bucket_count(&self.layout.positive).min(self.buckets.len());
        let (positive, negative) = self.buckets.split_at(n);
        FloatHistogram {
            reset_hint: self.header.hint(self.read.saturating_sub(1)),
            schema: self.layout.schema,
            zero_threshold: self.layout.zero_threshold,
            zero_count: self.zero_count.get(),
            count: self.count.get(),
            sum,
            positive_spans: self.layout.positive.clone(),
            negative_spans: self.layout.negative.clone(),
            positive_buckets: values(positive),
            negative_buckets: values(negative),
            custom_values: self.layout.custom.clone(),
        }
    }

    /// The current sample. A stale marker has nothing but its sum; schemas finer than 8 are reduced to it.
    pub fn float_histogram(&self) -> FloatHistogram {
        let mut h = self.raw();
        if h.schema > 8 {
            for (spans, buckets) in [
                (&mut h.positive_spans, &mut h.positive_buckets),
                (&mut h.negative_spans, &mut h.negative_buckets),
            ] {
                (*spans, *buckets) = layout::coarsen(h.schema, spans, buckets, |a, b| a + b);
            }
            h.schema = 8;
        }
        h
    }
}
