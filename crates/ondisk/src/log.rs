//! The log container: segments of 32 KiB pages that hold records in checksummed fragments.
//!
//! The write-ahead log, the out-of-order log, checkpoints and chunk snapshots all use it; what the records mean is in
//! [`crate::record`]. [`frame`] turns a record into the bytes to append; [`LogReader`] finds the records of a segment
//! again and, tailing a live one, waits where a record is not complete yet.

use std::cell::RefCell;

use crate::fields::crc;

/// Bytes of a page.
pub const PAGE: usize = 32 * 1024;
/// Bytes before each fragment's data: type, length, checksum.
pub const FRAGMENT_HEADER: usize = 7;
/// Upstream's default length of a segment.
pub const SEGMENT_BYTES: u64 = 128 << 20;
/// How hard zstd tries: the library's own default.
const ZSTD_LEVEL: i32 = 3;
/// What a zstd record may unpack to.
const ZSTD_RECORD_BYTES_MAX: u64 = 512 << 20;

const SNAPPY: u8 = 1 << 3;
const ZSTD: u8 = 1 << 4;

/// How records are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    None,
    /// Snappy's block format, upstream's default.
    #[default]
    Snappy,
    /// One zstd frame a record.
    Zstd,
}

impl Compression {
    /// The flag value that chooses it.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        }
    }
}

thread_local! {
    /// Its table is as large as the records of many a scrape, and need not be made anew for each.
    static SNAPPY_ENCODER: RefCell<snap::raw::Encoder> = RefCell::new(snap::raw::Encoder::new());
}

/// A record made ready for [`frame`]: packed if that made it smaller.
#[derive(Debug, Clone)]
pub struct Packed {
    flag: u8,
    bytes: Vec<u8>,
    saved: usize,
}

impl Packed {
    /// Packs a record. A record that does not shrink stays as it is.
    pub fn new(record: Vec<u8>, compression: Compression) -> Packed {
        let packed = match compression {
            _ if record.is_empty() => None,
            Compression::None => None,
            Compression::Snappy => {
                let packed = SNAPPY_ENCODER.with_borrow_mut(|e| e.compress_vec(&record));
                packed.ok().map(|bytes| (SNAPPY, bytes))
            }
            Compression::Zstd => {
                let packed = zstd::bulk::compress(&record, ZSTD_LEVEL).ok();
                packed.map(|bytes| (ZSTD, bytes))
            }
        };
        match packed {
            Some((flag, bytes)) if bytes.len() < record.len() => {
                let saved = record.len() - bytes.len();
                Packed { flag, bytes, saved }
            }
            _ => Packed {
                flag: 0,
                bytes: record,
                saved: 0,
            },
        }
    }

    /// Bytes that packing saved.
    pub fn saved(&self) -> usize {
        self.saved
    }

    /// Bytes to store, without fragment headers.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to store but a header.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the record fits a segment of `segment_bytes` that is `position` bytes long already.
    pub fn fits(&self, position: u64, segment_bytes: u64) -> bool {
        let page = PAGE as u64;
        let used = position % page;
        let done = position / page;
        let pages = (segment_bytes / page).saturating_sub(done + 1);
        let in_page = (page - used).saturating_sub(FRAGMENT_HEADER as u64);
        self.bytes.len() as u64 <= in_page + pages * (page - FRAGMENT_HEADER as u64)
    }
}

/// Appends a record's fragments to `out`, which will be written at `position` of the segment.
pub fn frame(packed: &Packed, position: u64, out: &mut Vec<u8>) {
    let base = out.len();
    let mut rest = &packed.bytes[..];
    let mut first = true;
    loop {
        let used = ((position + (out.len() - base) as u64) % PAGE as u64) as usize;
        let room = PAGE - used;
        if room < FRAGMENT_HEADER {
            out.resize(out.len() + room, 0);
            continue;
        }
        let (part, tail) = rest.split_at(rest.len().min(room - FRAGMENT_HEADER));
        let kind = match (first, tail.is_empty()) {
            (true, true) => 1,
            (true, false) => 2,
            (false, false) => 3,
            (false, true) => 4,
        };
        out.push(kind | packed.flag);
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
        out.extend_from_slice(&crc(part).to_be_bytes());
        out.extend_from_slice(part);
        rest = tail;
        first = false;
        if tail.is_empty() {
            break;
        }
    }
    // A page without room for another header is finished at once, as upstream does.
    let used = ((position + (out.len() - base) as u64) % PAGE as u64) as usize;
    if used > 0 && PAGE - used < FRAGMENT_HEADER {
        out.resize(out.len() + PAGE - used, 0);
    }
}

/// Where and why a segment cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct LogError {
    /// Where the record starts that cannot be read; all before it is good.
    pub offset: u64,
    /// Why.
    pub cause: LogCause,
}

/// Why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogCause {
    /// The segment ends within the record. At the end of a live segment: not written yet.
    #[error("last record is torn")]
    Torn,
    /// Bits changed.
    #[error("unexpected checksum {actual:x}, expected {expected:x}")]
    Checksum {
        /// What the bytes give.
        actual: u32,
        /// What is stored.
        expected: u32,
    },
    /// A fragment that reaches past its page.
    #[error("invalid record size {0}")]
    Size(usize),
    /// A fragment kind nobody knows.
    #[error("unexpected record type {0}")]
    Kind(u8),
    /// Fragments in an order that cannot be.
    #[error("{0}")]
    Sequence(&'static str),
    /// Something in a page's padding.
    #[error("unexpected non-zero byte in padded page")]
    Padding,
    /// The record does not unpack.
    #[error("decompress record: {0}")]
    Unpack(String),
}

/// Finds the records of one segment.
#[derive(Debug, Default)]
pub struct LogReader {
    /// End of the last complete record.
    offset: usize,
    joined: Vec<u8>,
    unpacked: Vec<u8>,
}

impl LogReader {
    /// Starts at `offset`, which must be a record's start (0, or an offset a reader told).
    pub fn starting_at(offset: u64) -> LogReader {
        LogReader {
            offset: offset as usize,
            ..LogReader::default()
        }
    }

    /// End of the last record read; after an error this is where good data ends.
    pub fn offset(&self) -> u64 {
        self.offset as u64
    }

    /// Goes behind the next record without checking or unpacking it; false at the end.
    pub fn skip(&mut self, segment: &[u8]) -> Result<bool, LogError> {
        match self.walk::<false>(segment)? {
            Some(found) => {
                self.offset = found.end;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The next record of `segment`, unpacked, or `None` at the end. May be called again with a longer segment.
    pub fn next<'a>(&'a mut self, segment: &'a [u8]) -> Result<Option<&'a [u8]>, LogError> {
        let offset = self.offset as u64;
        let Some(found) = self.walk::<true>(segment)? else {
            return Ok(None);
        };
        let record = match found.single {
            Some((from, to)) => &segment[from..to],
            None => &self.joined[..],
        };
        let unpack = |cause: String| LogError {
            offset,
            cause: LogCause::Unpack(cause),
        };
        let record = match found.flags {
            0 => record,
            SNAPPY => {
                unpack_snappy(record, &mut self.unpacked).map_err(unpack)?;
                &self.unpacked[..]
            }
            ZSTD => {
                unpack_zstd(record, &mut self.unpacked).map_err(unpack)?;
                &self.unpacked[..]
            }
            _ => return Err(unpack("unknown compression".to_owned())),
        };
        self.offset = found.end;
        Ok(Some(record))
    }

    /// Finds the fragments of the next record, and with `READ` checks and joins them.
    fn walk<const READ: bool>(&mut self, segment: &[u8]) -> Result<Option<Walked>, LogError> {
        let start = self.offset;
        let fail = |cause| LogError {
            offset: start as u64,
            cause,
        };
        let mut at = start;
        self.joined.clear();
        let mut single: Option<(usize, usize)> = None;
        let mut parts = 0;
        let flags = loop {
            let room = PAGE - at % PAGE;
            let page_end = (at + room).min(segment.len());
            let Some(&kind) = segment.get(at) else {
                return if parts == 0 {
                    Ok(None)
                } else {
                    Err(fail(LogCause::Torn))
                };
            };
            if kind & 7 == 0 {
                if segment[at..page_end].iter().any(|&b| b != 0) {
                    return Err(fail(LogCause::Padding));
                }
                at = page_end;
                if parts == 0 && at.is_multiple_of(PAGE) {
                    self.offset = at;
                }
                if page_end == segment.len() && !at.is_multiple_of(PAGE) {
                    return if parts == 0 {
                        Ok(None)
                    } else {
                        Err(fail(LogCause::Torn))
                    };
                }
                continue;
            }
            let Some(header) = segment.get(at..at + FRAGMENT_HEADER) else {
                return Err(fail(LogCause::Torn));
            };
            if room < FRAGMENT_HEADER {
                return Err(fail(LogCause::Kind(kind & 7)));
            }
            let len = usize::from(u16::from_be_bytes([header[1], header[2]]));
            let expected = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
            if FRAGMENT_HEADER + len > room {
                return Err(fail(LogCause::Size(len)));
            }
            let Some(part) = segment.get(at + FRAGMENT_HEADER..at + FRAGMENT_HEADER + len) else {
                return Err(fail(LogCause::Torn));
            };
            if READ {
                let actual = crc(part);
                if actual != expected {
                    return Err(fail(LogCause::Checksum { actual, expected }));
                }
            }
            let wrong = match (kind & 7, parts) {
                (1, 0) | (2, 0) => None,
                (3 | 4, n) if n > 0 => None,
                (1, _) => Some(LogCause::Sequence("unexpected full record")),
                (2, _) => Some(LogCause::Sequence(
                    "unexpected first record, dropping buffer",
                )),
                (3, _) => Some(LogCause::Sequence(
                    "unexpected middle record, dropping buffer",
                )),
                (4, _) => Some(LogCause::Sequence(
                    "unexpected last record, dropping buffer",
                )),
                (other, _) => Some(LogCause::Kind(other)),
            };
            if let Some(cause) = wrong {
                return Err(fail(cause));
            }
            let range = (at + FRAGMENT_HEADER, at + FRAGMENT_HEADER + len);
            at = range.1;
            parts += 1;
            match kind & 7 {
                1 => single = Some(range),
                _ if READ => self.joined.extend_from_slice(part),
                _ => {}
            }
            if matches!(kind & 7, 1 | 4) {
                break kind & (SNAPPY | ZSTD);
            }
        };
        Ok(Some(Walked {
            flags,
            single,
            end: at,
        }))
    }
}

/// A record's place.
struct Walked {
    /// How it is packed.
    flags: u8,
    /// Its bytes when they are in one piece; else they are joined in the reader.
    single: Option<(usize, usize)>,
    /// Where the next one begins.
    end: usize,
}

fn unpack_snappy(record: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let len = snap::raw::decompress_len(record).map_err(|e| e.to_string())?;
    // Three bytes can copy at most 64: more than that is no snappy.
    if len > record.len().saturating_mul(32) {
        return Err(format!("{len} bytes cannot come from {}", record.len()));
    }
    out.resize(len, 0);
    let n = snap::raw::Decoder::new()
        .decompress(record, out)
        .map_err(|e| e.to_string())?;
    out.truncate(n);
    Ok(())
}

fn unpack_zstd(record: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    use std::io::Read as _;
    out.clear();
    let decoder = zstd::stream::read::Decoder::with_buffer(record).map_err(|e| e.to_string())?;
    let n = decoder
        .take(ZSTD_RECORD_BYTES_MAX + 1)
        .read_to_end(out)
        .map_err(|e| e.to_string())?;
    if n as u64 > ZSTD_RECORD_BYTES_MAX {
        return Err("record is too large".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(records: &[Vec<u8>], compression: Compression) -> Vec<u8> {
        let mut out = Vec::new();
        for record in records {
            let packed = Packed::new(record.clone(), compression);
            let position = out.len() as u64;
            frame(&packed, position, &mut out);
        }
        out
    }

    fn read(segment: &[u8]) -> (Vec<Vec<u8>>, Option<LogError>) {
        let mut reader = LogReader::default();
        let mut records = Vec::new();
        loop {
            match reader.next(segment) {
                Ok(Some(record)) => records.push(record.to_vec()),
                Ok(None) => return (records, None),
                Err(err) => {
                    assert_eq!(err.offset, reader.offset());
                    return (records, Some(err));
                }
            }
        }
    }

    #[test]
    fn golden_header_of_a_series_record() {
        let mut record = vec![1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 8];
        record.extend_from_slice(b"__name__\x02up\x03job\x01a");
        let out = write(&[record], Compression::None);
        assert_eq!(out[..7], [0x01, 0x00, 0x1c, 0xe2, 0x13, 0x77, 0x03]);
    }

    #[test]
    fn records_cross_pages() {
        let records: Vec<Vec<u8>> = (0..400usize)
            .map(|i| vec![i as u8; (i * 7919) % 70_000])
            .collect();
        for compression in [Compression::None, Compression::Snappy] {
            let out = write(&records, compression);
            let (got, err) = read(&out);
            assert_eq!(err, None);
            assert_eq!(got, records);
        }
        let few = &records[..6];
        let (got, err) = read(&write(few, Compression::Zstd));
        assert_eq!((&got[..], err), (few, None));
    }

    #[test]
    fn a_page_with_little_room_is_padded() {
        let records = vec![
            vec![1; PAGE - 7 - 5],
            vec![2; 10],
            vec![3; PAGE - 7 - 17 - 7],
            vec![4; 5],
        ];
        let out = write(&records, Compression::None);
        let (got, err) = read(&out);
        assert_eq!((got, err), (records, None));
    }

    #[test]
    fn a_reader_waits_for_the_rest() {
        let records = vec![vec![7; 100], (0..80_000).map(|i| (i % 251) as u8).collect()];
        let out = write(&records, Compression::None);
        let mut reader = LogReader::default();
        assert!(reader.next(&out[..107]).unwrap().is_some());
        for cut in (107..out.len()).step_by(997) {
            match reader.next(&out[..cut]) {
                Ok(None) => assert_eq!(cut, 107),
                Err(err) => assert_eq!(err.cause, LogCause::Torn),
                Ok(Some(_)) => panic!("record at {cut}"),
            }
        }
        assert_eq!(reader.next(&out).unwrap(), Some(&records[1][..]));
    }

    proptest! {
        #[test]
        fn damage_is_found(
            lens in prop::collection::vec(0usize..9000, 1..30),
            at in any::<prop::sample::Index>(),
            xor in 1u8..,
            cut in any::<prop::sample::Index>(),
        ) {
            let records: Vec<Vec<u8>> = lens.iter().enumerate().map(|(i, n)| vec![i as u8 + 1; *n]).collect();
            let mut out = write(&records, Compression::Snappy);
            let i = at.index(out.len());
            out[i] ^= xor;
            let (got, _) = read(&out);
            // Checksums cover all but the kind and compression bits: at most one record comes out wrong.
            let wrong = got.iter().zip(&records).filter(|(a, b)| a != b).count();
            prop_assert!(wrong <= 1, "{wrong} wrong records");
            out[i] ^= xor;
            out.truncate(cut.index(out.len()));
            let (got, _) = read(&out);
            prop_assert!(got[..] == records[..got.len()]);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..500), flag in 0u8..32) {
            read(&bytes);
            let mut framed = vec![flag];
            framed.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            framed.extend_from_slice(&crc(&bytes).to_be_bytes());
            framed.extend_from_slice(&bytes);
            read(&framed);
        }
    }
}
