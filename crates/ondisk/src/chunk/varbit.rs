//! Variable-width integers of histogram chunks: a unary class prefix, then 0, 3, 6, 9, 12, 18, 25, 56 or 64 bits.

use crate::bits::{BitReader, BitTail, EndOfBits, asymmetric, fits_asymmetric};

/// Payload bits by number of leading ones.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

fn put_class(buf: &mut Vec<u8>, tail: &mut BitTail, class: usize, v: u64) {
    // Eight ones need no closing zero.
    if class == 8 {
        tail.put(buf, 0xff, 8);
    } else {
        tail.put(buf, ((1u64 << class) - 1) << 1, class as u32 + 1);
    }
    tail.put(buf, v, WIDTHS[class]);
}

/// Appends a signed number.
pub(super) fn put_int(buf: &mut Vec<u8>, tail: &mut BitTail, v: i64) {
    let class = if v == 0 {
        0
    } else {
        (1..8).find(|&c| fits_asymmetric(v, WIDTHS[c])).unwrap_or(8)
    };
    put_class(buf, tail, class, v as u64);
}

/// Appends an unsigned number.
pub(super) fn put_uint(buf: &mut Vec<u8>, tail: &mut BitTail, v: u64) {
    let class = if v == 0 {
        0
    } else {
        (1..8).find(|&c| v >> WIDTHS[c] == 0).unwrap_or(8)
    };
    put_class(buf, tail, class, v);
}

/// Reads a signed number.
#[inline]
pub(super) fn take_int<D: AsRef<[u8]>>(reader: &mut BitReader<D>) -> Result<i64, EndOfBits> {
    let class = reader.take_ones(8)? as usize;
    let raw = reader.take(WIDTHS[class])?;
    Ok(match class {
        0 => 0,
        8 => raw as i64,
        _ => asymmetric(raw, WIDTHS[class]),
    })
}

/// Reads an unsigned number.
#[inline]
pub(super) fn take_uint<D: AsRef<[u8]>>(reader: &mut BitReader<D>) -> Result<u64, EndOfBits> {
    let class = reader.take_ones(8)? as usize;
    reader.take(WIDTHS[class])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries() {
        let signed: Vec<i64> = WIDTHS[1..8]
            .iter()
            .flat_map(|&w| {
                let top = 1i64 << (w - 1);
                [top, top + 1, -(top - 1), -top]
            })
            .chain([0, 1, -1, i64::MAX, i64::MIN])
            .collect();
        let unsigned: Vec<u64> = WIDTHS[1..8]
            .iter()
            .flat_map(|&w| [(1u64 << w) - 1, 1 << w])
            .chain([0, 1, u64::MAX])
            .collect();
        let mut buf = Vec::new();
        let mut tail = BitTail::aligned();
        for &v in &signed {
            put_int(&mut buf, &mut tail, v);
        }
        for &v in &unsigned {
            put_uint(&mut buf, &mut tail, v);
        }
        let mut reader = BitReader::new(&buf[..], 0);
        for v in signed {
            assert_eq!(take_int(&mut reader), Ok(v));
        }
        for v in unsigned {
            assert_eq!(take_uint(&mut reader), Ok(v));
        }
    }
}
