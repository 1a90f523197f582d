//! Chunk segments of a block (`chunks/NNNNNN`): a header, then chunks one after another.

use bytes::Bytes;

use crate::chunk::{ChunkError, Encoding};
use crate::fields::{BadField, Fields, PutFields, crc, uvarint_len};

/// Magic number, version 1, three zero bytes.
pub const HEADER: [u8; 8] = [0x85, 0xBD, 0x40, 0xDD, 1, 0, 0, 0];
/// Upstream's default for the longest segment.
pub const SEGMENT_BYTES_MAX: u64 = 512 << 20;
/// The estimate of a chunk's room that decides on a new segment: length, encoding, data, checksum.
pub const CHUNK_OVERHEAD: u64 = 5 + 1 + 4;

/// What is wrong with a segment; offsets are from its start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Fewer than 8 bytes.
    #[error("invalid segment header: short by {0} bytes")]
    ShortHeader(usize),
    /// Another file.
    #[error("invalid magic number {0:x}")]
    Magic(u32),
    /// A version nobody knows.
    #[error("invalid chunk format version {0}")]
    Version(u8),
    /// A chunk reaches past the end.
    #[error("segment doesn't include enough bytes to read the chunk at {0}")]
    PastEnd(usize),
    /// Bits changed.
    #[error("checksum mismatch at {offset}, expected:{expected:x}, actual:{actual:x}")]
    Checksum {
        /// Where the chunk starts.
        offset: usize,
        /// What is stored.
        expected: u32,
        /// What the bytes give.
        actual: u32,
    },
    /// An encoding nobody knows.
    #[error("chunk at {0}: {1}")]
    Chunk(usize, ChunkError),
}

/// Checks a segment's header.
pub fn check_header(segment: &[u8]) -> Result<(), SegmentError> {
    let Some(header) = segment.first_chunk::<8>() else {
        return Err(SegmentError::ShortHeader(8 - segment.len()));
    };
    if header[..4] != HEADER[..4] {
        let magic = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        return Err(SegmentError::Magic(magic));
    }
    if header[4] != 1 {
        return Err(SegmentError::Version(header[4]));
    }
    Ok(())
}

/// Appends a chunk as it stands in a segment.
pub fn put_chunk(buf: &mut Vec<u8>, encoding: Encoding, data: &[u8]) {
    buf.put_uvarint(data.len() as u64);
    let from = buf.len();
    buf.push(encoding.to_byte());
    buf.extend_from_slice(data);
    buf.put_crc_from(from);
}

/// Bytes a chunk takes in a segment.
pub fn chunk_len(data: &[u8]) -> usize {
    uvarint_len(data.len() as u64) + 1 + data.len() + 4
}

/// The chunk at `offset`, its checksum checked; shares the segment's memory.
pub fn chunk_at(segment: &Bytes, offset: usize) -> Result<(Encoding, Bytes), SegmentError> {
    let past_end = |_: BadField| SegmentError::PastEnd(offset);
    let mut fields = Fields::at(segment, offset).map_err(past_end)?;
    let len = fields.count(1).map_err(past_end)?;
    let start = segment.len() - fields.len();
    let body = fields.take(len + 1).map_err(past_end)?;
    let expected = fields.be32().map_err(past_end)?;
    let actual = crc(body);
    if actual != expected {
        return Err(SegmentError::Checksum {
            offset,
            expected,
            actual,
        });
    }
    let encoding = Encoding::from_byte(body[0]).map_err(|err| SegmentError::Chunk(offset, err))?;
    Ok((encoding, segment.slice(start + 1..start + 1 + len)))
}

/// A reference to a chunk as the index has it: segment by position in the folder, counted from 0, and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkRef(pub u64);

impl ChunkRef {
    /// Joins the two halves.
    pub fn new(segment: u32, offset: u32) -> ChunkRef {
        ChunkRef(u64::from(segment) << 32 | u64::from(offset))
    }

    /// Position of the segment.
    pub fn segment(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// Offset of the chunk's length field.
    pub fn offset(self) -> usize {
        self.0 as u32 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_chunk_and_damage() {
        let data = [
            0x00, 0x05, 0xd0, 0x0f, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0x98, 0x75, 0x30, 0x97, 0xff,
            0xe0, 0x00, 0x57, 0xff, 0xdb, 0x02, 0xc0,
        ];
        let mut segment = HEADER.to_vec();
        put_chunk(&mut segment, Encoding::Xor, &data);
        assert_eq!(segment[8..10], [0x18, 1]);
        assert_eq!(segment[segment.len() - 4..], [0xfa, 0xa2, 0xe3, 0xca]);
        assert_eq!(segment.len() - 8, chunk_len(&data));
        check_header(&segment).unwrap();
        let whole = Bytes::from(segment.clone());
        assert_eq!(
            chunk_at(&whole, 8).unwrap(),
            (Encoding::Xor, Bytes::copy_from_slice(&data))
        );
        assert_eq!(chunk_at(&whole, 999), Err(SegmentError::PastEnd(999)));
        for bit in 64..segment.len() * 8 {
            let mut damaged = segment.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(chunk_at(&Bytes::from(damaged), 8).is_err(), "bit {bit}");
        }
    }
}
