//! Bit streams inside chunks: most significant bit first, as the chunk formats define them.
//!
//! Reading keeps up to 64 bits in a register and refills it eight bytes at a time; writing merges the new bits with
//! the last, partly used byte in one step. Neither goes bit by bit.

/// The stream ended before the value did, or a length prefix runs past what 64 bits can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bit stream ends early")]
pub struct EndOfBits;

/// Appends bits to a byte vector that belongs to the caller.
///
/// The state is one byte (how many bits of the last byte are still free), so that an open chunk can keep it at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BitTail {
    /// Unused low bits of the last byte, 0 to 7.
    free: u8,
}

impl BitTail {
    /// The tail of a stream that ends on a byte boundary.
    pub const fn aligned() -> BitTail {
        BitTail { free: 0 }
    }

    /// The tail of a stream whose last byte has `free` (0 to 7) unused low bits.
    pub const fn with_free(free: u8) -> BitTail {
        BitTail { free: free & 7 }
    }

    /// Unused low bits of the last byte.
    pub fn free(self) -> u8 {
        self.free
    }

    /// Appends the low `n` bits of `v`, high bit first; `n` is at most 64.
    #[inline]
    pub fn put(&mut self, buf: &mut Vec<u8>, v: u64, n: u32) {
        if n > 56 {
            self.put_short(buf, v >> 32, n - 32);
            self.put_short(buf, v & 0xffff_ffff, 32);
        } else if n > 0 {
            self.put_short(buf, v, n);
        }
    }

    /// As `put` for 1 to 56 bits, which fit in one register together with a partial byte.
    #[inline]
    fn put_short(&mut self, buf: &mut Vec<u8>, v: u64, n: u32) {
        debug_assert!((1..=56).contains(&n));
        let top = v << (64 - n);
        let free = u32::from(self.free);
        let used = (8 - free) & 7;
        let bytes = (top >> used).to_be_bytes();
        let len = (used + n).div_ceil(8) as usize;
        if free > 0 {
            if let Some(last) = buf.last_mut() {
                *last |= bytes[0];
            }
            buf.extend_from_slice(&bytes[1..len]);
        } else {
            buf.extend_from_slice(&bytes[..len]);
        }
        self.free = (len as u32 * 8 - used - n) as u8;
    }

    /// Appends one bit.
    #[inline]
    pub fn put_bit(&mut self, buf: &mut Vec<u8>, bit: bool) {
        self.put(buf, u64::from(bit), 1);
    }

    /// Appends a LEB128 number, its bytes not necessarily aligned.
    pub fn put_uvarint(&mut self, buf: &mut Vec<u8>, mut v: u64) {
        while v >= 0x80 {
            self.put(buf, (v & 0x7f) | 0x80, 8);
            v >>= 7;
        }
        self.put(buf, v, 8);
    }

    /// Appends a zigzag LEB128 number.
    pub fn put_varint(&mut self, buf: &mut Vec<u8>, v: i64) {
        self.put_uvarint(buf, ((v << 1) ^ (v >> 63)) as u64);
    }
}

/// Reads bits from bytes it borrows or owns (`&[u8]`, `Bytes`).
#[derive(Debug, Clone)]
pub struct BitReader<D> {
    data: D,
    pos: usize,
    /// Unread bits, left aligned. Bits beyond `left` may already hold a copy of what follows; refilling with the same
    /// bits again is harmless.
    window: u64,
    left: u32,
}

impl<D: AsRef<[u8]>> BitReader<D> {
    /// Starts at byte `pos` of `data`.
    pub fn new(data: D, pos: usize) -> BitReader<D> {
        BitReader {
            data,
            pos,
            window: 0,
            left: 0,
        }
    }

    /// The bytes below.
    pub fn data(&self) -> &[u8] {
        self.data.as_ref()
    }

    /// Bits not yet read.
    pub fn bits_left(&self) -> usize {
        self.data.as_ref().len().saturating_sub(self.pos) * 8 + self.left as usize
    }

    /// Fills the window to at least 57 bits, or to the end of the data.
    #[inline(always)]
    fn refill(&mut self) {
        let data = self.data.as_ref();
        if let Some(Ok(word)) = data.get(self.pos..self.pos + 8).map(<[u8; 8]>::try_from) {
            self.window |= u64::from_be_bytes(word) >> self.left;
            let take = (63 - self.left) / 8;
            self.pos += take as usize;
            self.left += take * 8;
        } else {
            self.refill_tail();
        }
    }

    #[cold]
    fn refill_tail(&mut self) {
        while self.left <= 56 {
            let Some(&byte) = self.data.as_ref().get(self.pos) else {
                return;
            };
            self.window |= u64::from(byte) << (56 - self.left);
            self.left += 8;
            self.pos += 1;
        }
    }

    /// Makes sure that the next 14 bits are at hand, if there are so many.
    #[inline(always)]
    pub fn ensure_short(&mut self) {
        if self.left < 14 {
            self.refill();
        }
    }

    /// Passes over a zero, if one is next and at hand; see [`BitReader::ensure_short`].
    #[inline(always)]
    pub fn skip_zero(&mut self) -> bool {
        let zero = self.window >> 63 == 0 && self.left > 0;
        if zero {
            self.window <<= 1;
            self.left -= 1;
        }
        zero
    }

    /// Reads `n` bits, `n` from 0 to 64.
    #[inline(always)]
    pub fn take(&mut self, n: u32) -> Result<u64, EndOfBits> {
        if n > 56 {
            let high = self.take_short(n - 32)?;
            return Ok((high << 32) | self.take_short(32)?);
        }
        if n == 0 {
            return Ok(0);
        }
        self.take_short(n)
    }

    #[inline(always)]
    fn take_short(&mut self, n: u32) -> Result<u64, EndOfBits> {
        if self.left < n {
            self.refill();
            if self.left < n {
                return Err(EndOfBits);
            }
        }
        let v = self.window >> (64 - n);
        self.window <<= n;
        self.left -= n;
        Ok(v)
    }

    /// Reads one bit.
    #[inline(always)]
    pub fn take_bit(&mut self) -> Result<bool, EndOfBits> {
        Ok(self.take_short(1)? != 0)
    }

    /// Counts the ones before the next zero, reading both, but reads at most `max` ones (and then no zero).
    #[inline(always)]
    pub fn take_ones(&mut self, max: u32) -> Result<u32, EndOfBits> {
        if self.left <= max {
            self.refill();
        }
        let ones = (!self.window).leading_zeros().min(max);
        let n = if ones == max { max } else { ones + 1 };
        if self.left < n {
            return Err(EndOfBits);
        }
        self.window <<= n;
        self.left -= n;
        Ok(ones)
    }

    /// Reads a LEB128 number of at most ten bytes.
    pub fn take_uvarint(&mut self) -> Result<u64, EndOfBits> {
        let mut v = 0u64;
        for i in 0..10 {
            let byte = self.take_short(8)?;
            if i == 9 && byte > 1 {
                return Err(EndOfBits);
            }
            v |= (byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(v);
            }
        }
        Err(EndOfBits)
    }

    /// Reads a zigzag LEB128 number.
    pub fn take_varint(&mut self) -> Result<i64, EndOfBits> {
        let v = self.take_uvarint()?;
        Ok(((v >> 1) as i64) ^ -((v & 1) as i64))
    }
}

/// Reads a signed field of `n` bits (1 to 63) whose range is −(2^(n−1)−1) to 2^(n−1): the boundary is positive.
#[inline(always)]
pub fn asymmetric(raw: u64, n: u32) -> i64 {
    let raw = raw as i64;
    if raw > 1 << (n - 1) {
        raw - (1 << n)
    } else {
        raw
    }
}

/// Whether `v` fits the asymmetric signed field of `n` bits.
#[inline(always)]
pub fn fits_asymmetric(v: i64, n: u32) -> bool {
    -((1i64 << (n - 1)) - 1) <= v && v <= 1i64 << (n - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut state = 88172645463325252u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut buf = Vec::new();
        let mut tail = BitTail::aligned();
        let mut written = Vec::new();
        for _ in 0..5000 {
            let n = (random() % 65) as u32;
            let v = if n == 0 { 0 } else { random() >> (64 - n) };
            tail.put(&mut buf, v, n);
            written.push((v, n));
        }
        let mut reader = BitReader::new(&buf[..], 0);
        for (v, n) in written {
            assert_eq!(reader.take(n), Ok(v), "{n} bits");
        }
        assert!(reader.bits_left() < 8);
        assert_eq!(reader.take(8), Err(EndOfBits));
    }

    #[test]
    fn ones_and_varints() {
        let mut buf = Vec::new();
        let mut tail = BitTail::aligned();
        tail.put(&mut buf, 0b1110, 4);
        tail.put(&mut buf, 0b11111, 5);
        tail.put_varint(&mut buf, -12345);
        tail.put_uvarint(&mut buf, u64::MAX);
        let mut r = BitReader::new(&buf[..], 0);
        assert_eq!(r.take_ones(8), Ok(3));
        assert_eq!(r.take_ones(5), Ok(5));
        assert_eq!(r.take_varint(), Ok(-12345));
        assert_eq!(r.take_uvarint(), Ok(u64::MAX));
        assert_eq!(asymmetric(1 << 13, 14), 1 << 13);
        assert_eq!(asymmetric((1 << 13) + 1, 14), -((1 << 13) - 1));
    }
}
