//! Fields of the file formats: big-endian integers, LEB128 numbers, length-prefixed strings, CRC-32C.

/// Bytes end before a field does, or a field holds what it cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid size")]
pub struct BadField;

/// CRC-32C (Castagnoli).
pub fn crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// CRC-32C of two slices in a row.
pub fn crc_of_two(first: &[u8], second: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(first), second)
}

/// Appends fields to a byte vector.
pub trait PutFields {
    /// Four bytes, big endian.
    fn put_be32(&mut self, v: u32);
    /// Eight bytes, big endian.
    fn put_be64(&mut self, v: u64);
    /// LEB128.
    fn put_uvarint(&mut self, v: u64);
    /// Zigzag LEB128.
    fn put_varint(&mut self, v: i64);
    /// IEEE bits, big endian.
    fn put_f64(&mut self, v: f64);
    /// LEB128 length and bytes.
    fn put_str(&mut self, s: &str);
    /// The CRC-32C of what was appended from `from` on.
    fn put_crc_from(&mut self, from: usize);
}

impl PutFields for Vec<u8> {
    fn put_be32(&mut self, v: u32) {
        self.extend_from_slice(&v.to_be_bytes());
    }

    fn put_be64(&mut self, v: u64) {
        self.extend_from_slice(&v.to_be_bytes());
    }

    #[inline]
    fn put_uvarint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.push(v as u8);
    }

    #[inline]
    fn put_varint(&mut self, v: i64) {
        self.put_uvarint(((v << 1) ^ (v >> 63)) as u64);
    }

    fn put_f64(&mut self, v: f64) {
        self.put_be64(v.to_bits());
    }

    fn put_str(&mut self, s: &str) {
        self.put_uvarint(s.len() as u64);
        self.extend_from_slice(s.as_bytes());
    }

    fn put_crc_from(&mut self, from: usize) {
        let sum = crc(&self[from..]);
        self.put_be32(sum);
    }
}

/// Length of a number in LEB128.
pub fn uvarint_len(v: u64) -> usize {
    (70 - (v | 1).leading_zeros() as usize) / 7
}

/// Takes fields from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Fields<'a> {
        Fields(bytes)
    }

    /// Starts at `offset` of `bytes`.
    pub fn at(bytes: &'a [u8], offset: usize) -> Result<Fields<'a>, BadField> {
        bytes.get(offset..).map(Fields).ok_or(BadField)
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Bytes left.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next `n` bytes.
    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], BadField> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(BadField)?;
        self.0 = tail;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadField> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(BadField)?;
        self.0 = tail;
        Ok(*head)
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, BadField> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, big endian.
    pub fn be16(&mut self) -> Result<u16, BadField> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// Four bytes, big endian.
    #[inline]
    pub fn be32(&mut self) -> Result<u32, BadField> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// Eight bytes, big endian.
    #[inline]
    pub fn be64(&mut self) -> Result<u64, BadField> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// IEEE bits, big endian.
    pub fn f64(&mut self) -> Result<f64, BadField> {
        Ok(f64::from_bits(self.be64()?))
    }

    /// LEB128 of at most ten bytes.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u64, BadField> {
        if let [byte, tail @ ..] = self.0
            && *byte < 0x80
        {
            self.0 = tail;
            return Ok(u64::from(*byte));
        }
        // Two and three bytes: what references and times mostly take.
        if let [a, b, tail @ ..] = self.0 {
            let low = u64::from(a & 0x7f) | u64::from(b & 0x7f) << 7;
            if *b < 0x80 {
                self.0 = tail;
                return Ok(low);
            }
            if let [c, tail @ ..] = tail
                && *c < 0x80
            {
                self.0 = tail;
                return Ok(low | u64::from(*c) << 14);
            }
        }
        self.long_uvarint()
    }

    #[cold]
    fn long_uvarint(&mut self) -> Result<u64, BadField> {
        let mut v = 0u64;
        for (i, &byte) in self.0.iter().take(10).enumerate() {
            if i == 9 && byte > 1 {
                return Err(BadField);
            }
            v |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(v);
            }
        }
        Err(BadField)
    }

    /// Zigzag LEB128.
    #[inline]
    pub fn varint(&mut self) -> Result<i64, BadField> {
        let v = self.uvarint()?;
        Ok(((v >> 1) as i64) ^ -((v & 1) as i64))
    }

    /// A LEB128 number that fits 32 bits.
    pub fn uvarint32(&mut self) -> Result<u32, BadField> {
        u32::try_from(self.uvarint()?).map_err(|_| BadField)
    }

    /// A count of things that take at least `each` bytes of what is left, so that it is safe to reserve room for them.
    pub fn count(&mut self, each: usize) -> Result<usize, BadField> {
        let n = usize::try_from(self.uvarint()?).map_err(|_| BadField)?;
        if n > self.0.len() / each.max(1) {
            return Err(BadField);
        }
        Ok(n)
    }

    /// A length-prefixed string. Bytes that are no UTF-8 are refused: nothing we or upstream write has them.
    #[inline]
    pub fn str(&mut self) -> Result<&'a str, BadField> {
        let n = usize::try_from(self.uvarint()?).map_err(|_| BadField)?;
        std::str::from_utf8(self.take(n)?).map_err(|_| BadField)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip() {
        assert_eq!(crc(b"123456789"), 0xE306_9283);
        assert_eq!(crc_of_two(b"1234", b"56789"), 0xE306_9283);
        let numbers = [0u64, 1, 127, 128, 300, 1 << 32, u64::MAX];
        let mut buf = Vec::new();
        for v in numbers {
            let before = buf.len();
            buf.put_uvarint(v);
            assert_eq!(buf.len() - before, uvarint_len(v));
            buf.put_varint(v as i64);
        }
        buf.put_str("é");
        let mut fields = Fields::new(&buf);
        for v in numbers {
            assert_eq!(fields.uvarint(), Ok(v));
            assert_eq!(fields.varint(), Ok(v as i64));
        }
        assert_eq!(fields.str(), Ok("é"));
        assert_eq!(fields.byte(), Err(BadField));
        assert_eq!(Fields::new(&[0xff; 11]).uvarint(), Err(BadField));
        assert_eq!(Fields::new(&[200, 1, 1]).count(1), Err(BadField));
    }
}
