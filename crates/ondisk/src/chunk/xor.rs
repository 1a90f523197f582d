//! XOR chunks (encoding 1): float samples as delta-of-delta timestamps and XORed values.
//!
//! An appender is 32 bytes of plain state beside the chunk's bytes, so a series can hold both without indirection.

use crate::bits::{BitReader, BitTail, EndOfBits, asymmetric, fits_asymmetric};

use super::ChunkError;

/// The most samples a chunk can hold: its header counts in 16 bits.
pub const MAX_SAMPLES: u16 = u16::MAX;

/// The bits of a value that its neighbours share: outside `leading` and `trailing` everything was zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct XorWindow {
    pub(super) leading: u8,
    pub(super) trailing: u8,
}

impl XorWindow {
    /// No window yet, as a fresh appender starts.
    pub(super) const NONE: XorWindow = XorWindow {
        leading: u8::MAX,
        trailing: 0,
    };
    /// What a decoder starts with.
    pub(super) const WHOLE: XorWindow = XorWindow {
        leading: 0,
        trailing: 0,
    };

    /// Whether the window can take a difference with these zero counts.
    #[inline]
    pub(super) fn holds(self, leading: u8, trailing: u8) -> bool {
        self.leading != u8::MAX && leading >= self.leading && trailing >= self.trailing
    }

    /// Significant bits between the zeros.
    #[inline]
    pub(super) fn bits(self) -> u32 {
        64u32.saturating_sub(u32::from(self.leading) + u32::from(self.trailing))
    }
}

/// Writes `new` relative to `old`, both IEEE bits.
#[inline]
pub(super) fn put_xor(
    buf: &mut Vec<u8>,
    tail: &mut BitTail,
    window: &mut XorWindow,
    old: u64,
    new: u64,
) {
    let delta = old ^ new;
    if delta == 0 {
        tail.put(buf, 0, 1);
        return;
    }
    let leading = delta.leading_zeros().min(31) as u8;
    let trailing = delta.trailing_zeros() as u8;
    if window.holds(leading, trailing) {
        tail.put(buf, 0b10, 2);
        tail.put(buf, delta >> window.trailing, window.bits());
        return;
    }
    *window = XorWindow { leading, trailing };
    put_window(buf, tail, *window, 0b11, 2, delta);
}

/// Writes a prefix, the window and the significant bits of `delta`.
#[inline]
pub(super) fn put_window(
    buf: &mut Vec<u8>,
    tail: &mut BitTail,
    window: XorWindow,
    prefix: u64,
    prefix_bits: u32,
    delta: u64,
) {
    let sig = window.bits();
    let head = (prefix << 11) | (u64::from(window.leading) << 6) | u64::from(sig & 63);
    tail.put(buf, head, prefix_bits + 11);
    tail.put(buf, delta >> window.trailing, sig);
}

/// Reads a new window (5 bits leading zeros, 6 bits significant).
#[inline(always)]
pub(super) fn take_window<D: AsRef<[u8]>>(
    reader: &mut BitReader<D>,
) -> Result<XorWindow, EndOfBits> {
    let raw = reader.take(11)? as u32;
    let leading = raw >> 6;
    let sig = match raw & 63 {
        0 => 64,
        n => n,
    };
    // More than 64 bits in all is damage; what is read then is meaningless but bounded.
    let trailing = 64u32.saturating_sub(leading + sig);
    Ok(XorWindow {
        leading: leading.min(64 - sig) as u8,
        trailing: trailing as u8,
    })
}

/// Reads a value relative to `old`.
#[inline(always)]
pub(super) fn take_xor<D: AsRef<[u8]>>(
    reader: &mut BitReader<D>,
    window: &mut XorWindow,
    old: u64,
) -> Result<u64, EndOfBits> {
    match reader.take_ones(2)? {
        0 => Ok(old),
        ones => {
            if ones == 2 {
                *window = take_window(reader)?;
            }
            Ok(old ^ (reader.take(window.bits())? << window.trailing))
        }
    }
}

/// Writes a delta of deltas with XOR chunks' classes.
#[inline]
fn put_dod(buf: &mut Vec<u8>, tail: &mut BitTail, dod: i64) {
    let low = |n: u32| (dod as u64) & ((1 << n) - 1);
    if dod == 0 {
        tail.put(buf, 0, 1);
    } else if fits_asymmetric(dod, 14) {
        tail.put(buf, (0b10 << 14) | low(14), 16);
    } else if fits_asymmetric(dod, 17) {
        tail.put(buf, (0b110 << 17) | low(17), 20);
    } else if fits_asymmetric(dod, 20) {
        tail.put(buf, (0b1110 << 20) | low(20), 24);
    } else {
        tail.put(buf, 0b1111, 4);
        tail.put(buf, dod as u64, 64);
    }
}

/// Reads a delta of deltas.
#[inline(always)]
fn take_dod<D: AsRef<[u8]>>(reader: &mut BitReader<D>) -> Result<i64, EndOfBits> {
    Ok(match reader.take_ones(4)? {
        0 => 0,
        1 => asymmetric(reader.take(14)?, 14),
        2 => asymmetric(reader.take(17)?, 17),
        3 => asymmetric(reader.take(20)?, 20),
        _ => reader.take(64)? as i64,
    })
}

/// Where an open XOR chunk stands; the bytes are the caller's.
///
/// The sample count is kept here and not in the bytes until [`XorAppender::seal`]: the chunk's first bytes are another
/// cache line than its last, and an appender has no other business there.
#[derive(Debug, Clone, Copy)]
pub struct XorAppender {
    t: i64,
    delta: u64,
    value: u64,
    n: u16,
    window: XorWindow,
    tail: BitTail,
}

impl XorAppender {
    /// Empties `buf` and starts a chunk in it.
    pub fn start(buf: &mut Vec<u8>) -> XorAppender {
        buf.clear();
        buf.extend_from_slice(&[0, 0]);
        XorAppender {
            t: 0,
            delta: 0,
            value: 0,
            n: 0,
            window: XorWindow::NONE,
            tail: BitTail::aligned(),
        }
    }

    /// Opens a finished chunk for more samples; bytes after the last sample are cut off.
    pub fn resume(buf: &mut Vec<u8>) -> Result<XorAppender, ChunkError> {
        let mut iter = XorIter::new(&buf[..])?;
        while iter.next()? {}
        let bits = iter.reader.data().len() * 8 - iter.reader.bits_left();
        let (t, delta, value, window, n) =
            (iter.t, iter.delta, iter.value, iter.window, iter.total);
        if n == 0 {
            return Ok(XorAppender::start(buf));
        }
        let len = bits.div_ceil(8);
        buf.truncate(len);
        let free = (len * 8 - bits) as u8;
        if let Some(last) = buf.last_mut() {
            *last &= 0xffu8 << free;
        }
        Ok(XorAppender {
            t,
            delta,
            value,
            n,
            window,
            tail: BitTail::with_free(free),
        })
    }

    /// Samples in the chunk.
    #[inline]
    pub fn len(&self) -> u16 {
        self.n
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Writes the sample count to the front of the chunk, or of a copy of it.
    #[inline]
    pub fn seal(&self, chunk: &mut [u8]) {
        if let [a, b, ..] = chunk {
            [*a, *b] = self.n.to_be_bytes();
        }
    }

    /// Time of the newest sample; 0 in an empty chunk.
    #[inline]
    pub fn last_time(&self) -> i64 {
        self.t
    }

    /// IEEE bits of the newest value.
    #[inline]
    pub fn last_value_bits(&self) -> u64 {
        self.value
    }

    /// Appends a sample; see [`XorAppender::seal`] for its count. The caller keeps times ascending and cuts long before [`MAX_SAMPLES`]; a sample beyond it is
    /// refused.
    #[inline]
    pub fn append(&mut self, buf: &mut Vec<u8>, t: i64, value: f64) -> Result<(), ChunkError> {
        let bits = value.to_bits();
        match self.n {
            MAX_SAMPLES => return Err(ChunkError::Full),
            0 => {
                self.tail.put_varint(buf, t);
                self.tail.put(buf, bits, 64);
            }
            1 => {
                self.delta = t.wrapping_sub(self.t) as u64;
                self.tail.put_uvarint(buf, self.delta);
                put_xor(buf, &mut self.tail, &mut self.window, self.value, bits);
            }
            _ => {
                let delta = t.wrapping_sub(self.t) as u64;
                let dod = delta.wrapping_sub(self.delta) as i64;
                self.delta = delta;
                put_dod(buf, &mut self.tail, dod);
                put_xor(buf, &mut self.tail, &mut self.window, self.value, bits);
            }
        }
        self.t = t;
        self.value = bits;
        self.n += 1;
        Ok(())
    }
}

/// Reads an XOR chunk sample by sample.
#[derive(Debug, Clone)]
pub struct XorIter<D> {
    reader: BitReader<D>,
    total: u16,
    read: u16,
    t: i64,
    delta: u64,
    value: u64,
    window: XorWindow,
}

impl<D: AsRef<[u8]>> XorIter<D> {
    /// Reads the header; bytes after the last sample are ignored.
    pub fn new(data: D) -> Result<XorIter<D>, ChunkError> {
        let total = match data.as_ref() {
            [a, b, ..] => u16::from_be_bytes([*a, *b]),
            _ => return Err(ChunkError::Truncated),
        };
        Ok(XorIter {
            reader: BitReader::new(data, 2),
            total,
            read: 0,
            t: 0,
            delta: 0,
            value: 0,
            window: XorWindow::WHOLE,
        })
    }

    /// Samples in the chunk, by its header.
    pub fn len(&self) -> u16 {
        self.total
    }

    /// Whether the header counts no samples.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The current sample's time and value; meaningful after `next` said true.
    #[inline(always)]
    pub fn at(&self) -> (i64, f64) {
        (self.t, f64::from_bits(self.value))
    }

    /// Steps to the next sample; false after the last.
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<bool, ChunkError> {
        if self.read == self.total {
            return Ok(false);
        }
        match self.read {
            0 => {
                self.t = self.reader.take_varint()?;
                self.value = self.reader.take(64)?;
            }
            1 => {
                self.delta = self.reader.take_uvarint()?;
                self.t = self.t.wrapping_add(self.delta as i64);
                self.value = take_xor(&mut self.reader, &mut self.window, self.value)?;
            }
            _ => self.step()?,
        }
        self.read += 1;
        Ok(true)
    }

    #[inline(always)]
    fn step(&mut self) -> Result<(), EndOfBits> {
        let dod = take_dod(&mut self.reader)?;
        self.delta = self.delta.wrapping_add(dod as u64);
        self.t = self.t.wrapping_add(self.delta as i64);
        self.value = take_xor(&mut self.reader, &mut self.window, self.value)?;
        Ok(())
    }
}

/// Appends the samples of an XOR chunk from `first` to `last`, both inclusive, to two columns: the hot path of queries.
///
/// On damage the samples before it are in the columns.
pub(super) fn decode_between(
    data: &[u8],
    first: i64,
    last: i64,
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), ChunkError> {
    let mut iter = XorIter::new(data)?;
    // A sample after the first takes at least two bits, whatever the header promises.
    let at_most = (data.len() * 4).min(usize::from(iter.total));
    let (from, values_from) = (times.len(), values.len());
    times.resize(from + at_most, 0);
    values.resize(values_from + at_most, 0.0);
    let columns = (&mut times[from..], &mut values[values_from..]);
    let mut kept = 0;
    let result = decode_columns(&mut iter, first, last, columns, &mut kept);
    times.truncate(from + kept);
    values.truncate(values_from + kept);
    result
}

/// Fills the columns, which have room for all samples; counts in `kept` those that are wanted.
#[inline(always)]
fn decode_columns(
    iter: &mut XorIter<&[u8]>,
    first: i64,
    last: i64,
    (times, values): (&mut [i64], &mut [f64]),
    kept: &mut usize,
) -> Result<(), ChunkError> {
    // Every sample is written; one that is not wanted is overwritten by the next.
    let mut keep = |t: i64, value: u64| {
        if t > last {
            return false;
        }
        let (Some(time), Some(slot)) = (times.get_mut(*kept), values.get_mut(*kept)) else {
            return false;
        };
        (*time, *slot) = (t, f64::from_bits(value));
        *kept += usize::from(t >= first);
        true
    };
    for _ in 0..2 {
        if !iter.next()? || !keep(iter.t, iter.value) {
            return Ok(());
        }
    }
    // Locals let the compiler keep the whole state in registers.
    let mut reader = iter.reader.clone();
    let (mut t, mut delta, mut value, mut window) = (iter.t, iter.delta, iter.value, iter.window);
    for _ in 2..iter.total {
        // Even steps and all that tells how the value changed lie within the first 14 bits.
        reader.ensure_short();
        if !reader.skip_zero() {
            let dod = take_dod(&mut reader)?;
            delta = delta.wrapping_add(dod as u64);
        }
        t = t.wrapping_add(delta as i64);
        value = take_xor(&mut reader, &mut window, value)?;
        if !keep(t, value) {
            break;
        }
    }
    Ok(())
}
