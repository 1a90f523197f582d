//! Every decoder of the crate, fed with bytes of anybody: what the seeded mutation test and the fuzz targets run.
//!
//! Most formats have checksums, behind which random bytes never come. [`sealed`] makes them right first, so that what
//! lies behind them is reached too.

#![allow(dead_code)]

use bytes::Bytes;
use ondisk::chunk::{ChunkIter, Encoding, ValueKind, count, decode_floats_into, first_samples};
use ondisk::fields::crc;
use ondisk::index::{IndexReader, SeriesEntry};
use ondisk::log::LogReader;
use ondisk::meta::Meta;
use ondisk::record::{self, RecordKind};
use ondisk::tombstones::Tombstones;
use ondisk::{head_chunks, segment};

/// A format of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An encoding in the first byte, a chunk behind it.
    Chunk,
    Record,
    Log,
    HeadChunks,
    Segment,
    Index,
    Tombstones,
    Meta,
}

pub const FORMATS: [Format; 8] = [
    Format::Chunk,
    Format::Record,
    Format::Log,
    Format::HeadChunks,
    Format::Segment,
    Format::Index,
    Format::Tombstones,
    Format::Meta,
];

/// Decodes all that there is; gives how many things came out.
pub fn decode(format: Format, bytes: &[u8]) -> usize {
    match format {
        Format::Chunk => match bytes.split_first() {
            Some((encoding, data)) => chunk(*encoding % 8, data),
            None => 0,
        },
        Format::Record => any_record(bytes),
        Format::Log => log(bytes),
        Format::HeadChunks => head(bytes),
        Format::Segment => chunks_of(bytes),
        Format::Index => index(bytes),
        Format::Tombstones => Tombstones::from_bytes(bytes).map_or(0, |t| {
            assert_eq!(
                Tombstones::from_bytes(&t.to_bytes()).ok().as_ref(),
                Some(&t)
            );
            t.iter().count()
        }),
        Format::Meta => Meta::from_json(bytes).map_or(0, |meta| {
            let again = Meta::from_json(&meta.to_json());
            assert_eq!(again.ok().map(|m| m.to_json()), Some(meta.to_json()));
            1
        }),
    }
}

fn chunk(encoding: u8, data: &[u8]) -> usize {
    let Ok(encoding) = Encoding::from_byte(encoding) else {
        return 0;
    };
    let _ = count(encoding, data);
    let _ = first_samples(encoding, data, 7);
    let (mut times, mut values) = (Vec::new(), Vec::new());
    let columns = decode_floats_into(encoding, data, &mut times, &mut values);
    let mut seen = 0;
    let Ok(mut iter) = ChunkIter::new(encoding, data) else {
        return 0;
    };
    while let Ok(Some(kind)) = iter.next() {
        match kind {
            ValueKind::Float => {
                let (t, v) = iter.at_float();
                // Both ways of reading say the same.
                assert_eq!((times[seen], values[seen].to_bits()), (t, v.to_bits()));
            }
            ValueKind::Histogram => drop(iter.at_histogram()),
            ValueKind::FloatHistogram => drop(iter.at_float_histogram()),
        }
        let _ = iter.start_time();
        seen += 1;
        assert!(seen <= usize::from(u16::MAX));
    }
    if columns.is_ok() {
        assert_eq!(times.len(), seen);
    }
    seen
}

fn any_record(bytes: &[u8]) -> usize {
    let mut seen = 0;
    match RecordKind::of(bytes) {
        None => {}
        Some(RecordKind::Series) => {
            let _ = record::series(bytes, |_, pairs| seen += 1 + pairs.len());
        }
        Some(RecordKind::Samples | RecordKind::SamplesV2) => {
            let mut out = Vec::new();
            let _ = record::samples(bytes, &mut out);
            seen = out.len();
        }
        Some(RecordKind::Tombstones) => {
            let mut out = Vec::new();
            let _ = record::tombstones(bytes, &mut out);
            seen = out.len();
        }
        Some(RecordKind::Exemplars) => {
            let mut out = Vec::new();
            let _ = record::exemplars(bytes, &mut out);
            seen = out.len();
        }
        Some(RecordKind::MmapMarkers) => {
            let mut out = Vec::new();
            let _ = record::markers(bytes, &mut out);
            seen = out.len();
        }
        Some(RecordKind::Metadata) => {
            let _ = record::metadata(bytes, |_, _| seen += 1);
        }
        Some(_) => {
            let mut out = Vec::new();
            let _ = record::histograms(bytes, &mut out);
            seen = out.len();
        }
    }
    seen
}

fn log(bytes: &[u8]) -> usize {
    let mut reader = LogReader::default();
    let mut seen = 0;
    let mut last = 0;
    while let Ok(Some(record)) = reader.next(bytes) {
        seen += 1 + any_record(record);
        assert!(reader.offset() > last, "it moves on");
        last = reader.offset();
    }
    seen
}

fn head(bytes: &[u8]) -> usize {
    let file = Bytes::copy_from_slice(bytes);
    if head_chunks::check_header(&file).is_err() {
        return 0;
    }
    let mut offset = head_chunks::HEADER.len();
    let mut seen = 0;
    while let Ok(Some((found, next))) = head_chunks::record_at(&file, offset) {
        assert!(next > offset, "it moves on");
        seen += 1 + chunk(found.encoding & 0x7f, &found.data);
        offset = next;
    }
    seen
}

fn chunks_of(bytes: &[u8]) -> usize {
    let file = Bytes::copy_from_slice(bytes);
    if segment::check_header(&file).is_err() {
        return 0;
    }
    let mut seen = 0;
    for offset in 0..file.len().min(600) {
        if let Ok((encoding, data)) = segment::chunk_at(&file, offset) {
            seen += 1 + chunk(encoding.to_byte(), &data);
        }
    }
    seen
}

fn index(bytes: &[u8]) -> usize {
    let Ok(reader) = IndexReader::open(Bytes::copy_from_slice(bytes)) else {
        return 0;
    };
    let mut seen = reader.symbols().count();
    for number in 0..reader.symbol_count().min(1000) {
        let _ = reader.symbol(number);
    }
    let names: Vec<String> = reader.label_names().map(str::to_owned).collect();
    let mut entry = SeriesEntry::default();
    for name in &names {
        let mut values: Vec<String> = Vec::new();
        let _ = reader.for_values(name, "", |value, _| {
            values.push(value.to_owned());
            std::ops::ControlFlow::Continue(())
        });
        seen += values.len();
        for value in values {
            if let Ok(postings) = reader.postings(name, &value) {
                seen += postings.len();
            }
        }
    }
    let all = reader.all_postings();
    for reference in all.iter().flat_map(|p| p.iter()).chain(0..200) {
        if reader.series(reference, &mut entry).is_ok() {
            seen += entry.chunks.len();
            let _ = reader.labels(&entry);
        }
    }
    seen
}

/// The bytes with right checksums, as far as a checksum can be found in what they became.
pub fn sealed(format: Format, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match format {
        Format::Chunk | Format::Record | Format::Meta => {}
        Format::Tombstones => {
            if bytes.len() >= 9 {
                let end = bytes.len() - 4;
                let sum = crc(&bytes[5..end]);
                bytes[end..].copy_from_slice(&sum.to_be_bytes());
            }
        }
        Format::Log => seal_log(&mut bytes),
        Format::HeadChunks => seal_runs(&mut bytes, 8, 25, 0),
        Format::Segment => seal_segment(&mut bytes),
        Format::Index => seal_index(&mut bytes),
    }
    bytes
}

fn uvarint(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (i, byte) in bytes.get(at..)?.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

fn put_sum(bytes: &mut [u8], from: usize, end: usize) -> Option<()> {
    let sum = crc(bytes.get(from..end)?).to_be_bytes();
    bytes.get_mut(end..end + 4)?.copy_from_slice(&sum);
    Some(())
}

fn seal_log(bytes: &mut [u8]) {
    let mut at = 0;
    while at + 7 <= bytes.len() {
        if bytes[at] & 7 == 0 {
            at = (at / ondisk::log::PAGE + 1) * ondisk::log::PAGE;
            continue;
        }
        let len = usize::from(u16::from_be_bytes([bytes[at + 1], bytes[at + 2]]));
        let end = at + 7 + len;
        let Some(part) = bytes.get(at + 7..end) else {
            return;
        };
        let sum = crc(part).to_be_bytes();
        bytes[at + 3..at + 7].copy_from_slice(&sum);
        at = end;
    }
}

/// Records one after the other: `fixed` bytes, a length, that many bytes, a sum over all of it.
fn seal_runs(bytes: &mut [u8], mut at: usize, fixed: usize, skipped: usize) {
    while let Some((len, width)) = uvarint(bytes, at + fixed) {
        // Room that was not written yet.
        if bytes[at..at + fixed].iter().all(|b| *b == 0) {
            return;
        }
        let Some(end) = (at + fixed + width).checked_add(len) else {
            return;
        };
        if put_sum(bytes, at + skipped, end).is_none() {
            return;
        }
        at = end + 4;
    }
}

fn seal_segment(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some((len, width)) = uvarint(bytes, at) {
        // The encoding's byte does not count as data, but to the sum.
        let Some(end) = (at + width + 1).checked_add(len) else {
            return;
        };
        if put_sum(bytes, at + width, end).is_none() {
            return;
        }
        at = end + 4;
    }
}

fn seal_index(bytes: &mut [u8]) {
    let Some(toc) = bytes.len().checked_sub(52) else {
        return;
    };
    put_sum(bytes, toc, toc + 48);
    let place = |bytes: &[u8], nth: usize| {
        let at = toc + 8 * nth;
        let field: [u8; 8] = bytes[at..at + 8].try_into().unwrap_or_default();
        usize::try_from(u64::from_be_bytes(field)).unwrap_or(usize::MAX)
    };
    let be32 = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(field.try_into().ok()?) as usize)
    };
    for nth in [0, 5] {
        let at = place(bytes, nth);
        if let Some(len) = be32(bytes, at) {
            put_sum(bytes, at + 4, (at + 4).saturating_add(len));
        }
    }
    let (mut at, end) = (place(bytes, 1), place(bytes, 4).min(toc));
    while at < end {
        at = at.next_multiple_of(16);
        let Some((len, width)) = uvarint(bytes, at) else {
            break;
        };
        let from = at + width;
        if len == 0 || put_sum(bytes, from, from.saturating_add(len)).is_none() {
            break;
        }
        at = from + len + 4;
    }
    let (mut at, end) = (end, place(bytes, 5).min(toc));
    while at < end {
        at = at.next_multiple_of(4);
        let Some(len) = be32(bytes, at) else { break };
        if len == 0 || put_sum(bytes, at + 4, (at + 4).saturating_add(len)).is_none() {
            break;
        }
        at += len + 8;
    }
}
