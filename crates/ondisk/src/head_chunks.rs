//! Head chunk files (`chunks_head/NNNNNN`): finished chunks of the head, so that they need no memory.

use bytes::Bytes;

use crate::fields::{Fields, PutFields, crc};

/// Magic number, version 1, three zero bytes.
pub const HEADER: [u8; 8] = [0x01, 0x30, 0xBC, 0x91, 1, 0, 0, 0];
/// The longest file.
pub const FILE_BYTES_MAX: u64 = 128 << 20;
/// The least a record takes: reference, two times, encoding, length, checksum.
pub const RECORD_BYTES_MIN: usize = 8 + 16 + 1 + 5 + 4;
/// Reference, two times and encoding.
const FIXED: usize = 8 + 16 + 1;

/// A finished chunk as a file holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadChunk {
    /// The series, as the log numbers it.
    pub series: u64,
    /// Time of the first sample.
    pub min_time: i64,
    /// Time of the last sample.
    pub max_time: i64,
    /// The encoding's byte; bit 7 says that the samples came out of order.
    pub encoding: u8,
    /// The chunk, sharing the file's memory.
    pub data: Bytes,
    /// Where the record starts.
    pub offset: usize,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadChunkError {
    /// Not even a magic number; upstream deletes such a file when it is the last one.
    #[error("file is empty")]
    Empty,
    /// Another file, or a version nobody knows.
    #[error("invalid head chunk file header")]
    Header,
    /// The record does not end within the file, or its fields cannot be.
    #[error("head chunk file doesn't include enough bytes to read the chunk at {0}")]
    PastEnd(usize),
    /// Bits changed.
    #[error("checksum mismatch at {offset}, expected:{expected:x}, actual:{actual:x}")]
    Checksum {
        /// Where the record starts.
        offset: usize,
        /// What is stored.
        expected: u32,
        /// What the bytes give.
        actual: u32,
    },
}

/// Checks a file's header. A file shorter than a magic number, or with only zeros there, is `Empty`.
pub fn check_header(file: &[u8]) -> Result<(), HeadChunkError> {
    match file.first_chunk::<8>() {
        _ if file.iter().take(4).all(|&b| b == 0) => Err(HeadChunkError::Empty),
        _ if file.len() < 4 => Err(HeadChunkError::Empty),
        Some(header) if header[..5] == HEADER[..5] => Ok(()),
        _ => Err(HeadChunkError::Header),
    }
}

/// Appends a record and gives its length.
pub fn put_record(
    buf: &mut Vec<u8>,
    series: u64,
    min_time: i64,
    max_time: i64,
    encoding: u8,
    data: &[u8],
) -> usize {
    let from = buf.len();
    buf.put_be64(series);
    buf.put_be64(min_time as u64);
    buf.put_be64(max_time as u64);
    buf.push(encoding);
    buf.put_uvarint(data.len() as u64);
    buf.extend_from_slice(data);
    buf.put_crc_from(from);
    buf.len() - from
}

/// The record at `offset` and the offset after it, or `None` at the end of the data.
pub fn record_at(
    file: &Bytes,
    offset: usize,
) -> Result<Option<(HeadChunk, usize)>, HeadChunkError> {
    let past_end = HeadChunkError::PastEnd(offset);
    let rest = file.get(offset..).unwrap_or_default();
    if rest.len() < RECORD_BYTES_MIN {
        return match rest.iter().all(|&b| b == 0) {
            true => Ok(None),
            false => Err(past_end),
        };
    }
    if rest[..24].iter().all(|&b| b == 0) {
        return Ok(None);
    }
    let mut fields = Fields::new(rest);
    let mut read = || {
        let series = fields.be64()?;
        let times = (fields.be64()? as i64, fields.be64()? as i64);
        let encoding = fields.byte()?;
        let len = fields.count(1)?;
        let start = rest.len() - fields.len();
        fields.take(len)?;
        Ok::<_, crate::fields::BadField>((series, times, encoding, start, len, fields.be32()?))
    };
    let (series, (min_time, max_time), encoding, start, len, expected) =
        read().map_err(|_| past_end)?;
    debug_assert!(start > FIXED);
    let actual = crc(&rest[..start + len]);
    if actual != expected {
        return Err(HeadChunkError::Checksum {
            offset,
            expected,
            actual,
        });
    }
    let chunk = HeadChunk {
        series,
        min_time,
        max_time,
        encoding,
        data: file.slice(offset + start..offset + start + len),
        offset,
    };
    Ok(Some((chunk, offset + start + len + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_record_tail_and_damage() {
        let data: Vec<u8> = (0..24).map(|i| i * 9 + 1).collect();
        let mut file = HEADER.to_vec();
        put_record(&mut file, 1, 1000, 61000, 1, &data);
        let end = file.len();
        file.resize(end + 500, 0);
        let bytes = Bytes::from(file.clone());
        check_header(&bytes).unwrap();
        let (chunk, next) = record_at(&bytes, 8).unwrap().unwrap();
        assert_eq!(
            (chunk.series, chunk.min_time, chunk.max_time),
            (1, 1000, 61000)
        );
        assert_eq!(chunk.data[..], data[..]);
        assert_eq!(next, end);
        assert_eq!(record_at(&bytes, next), Ok(None));
        assert_eq!(record_at(&bytes.slice(..end + 3), next), Ok(None));
        for bit in 64..end * 8 {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(record_at(&Bytes::from(damaged), 8).is_err(), "bit {bit}");
        }
        assert_eq!(check_header(&[0; 100]), Err(HeadChunkError::Empty));
        assert_eq!(check_header(&[1; 100]), Err(HeadChunkError::Header));
    }

    #[test]
    fn golden_bytes() {
        let data = [
            0x00, 0x05, 0xd0, 0x0f, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0x98, 0x75, 0x30, 0x97, 0xff,
            0xe0, 0x00, 0x57, 0xff, 0xdb, 0x02, 0xc0,
        ];
        let mut record = Vec::new();
        put_record(&mut record, 1, 1000, 61000, 1, &data);
        assert_eq!(record[24..26], [1, 0x18]);
        assert_eq!(record[record.len() - 4..], [0x27, 0xd6, 0x0b, 0xe6]);
    }
}
