//! The two kinds of answers to a remote read, as series of chunks.

use bytes::Bytes;
use model::Labels;
use ondisk::chunk::Encoding;
use storage::memory::{StoredValue, encode};
use storage::{Chunk, Series};
use wire::histogram::AnyHistogram;
use wire::{Broken, fields};

/// The largest answer of samples after decompression.
const MAX_MESSAGE: usize = 1 << 30;

/// Reads a `ReadResponse`, compressed.
pub fn read_samples(body: &[u8]) -> Result<Vec<Series>, String> {
    let length = snap::raw::decompress_len(body).map_err(|e| e.to_string())?;
    if length > MAX_MESSAGE {
        return Err(format!("the answer is longer than {MAX_MESSAGE} bytes"));
    }
    let message = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|e| e.to_string())?;
    let mut all = Vec::new();
    let mut fault = None;
    let read = fields(&message, |field, value| {
        if field != 1 {
            return Ok(());
        }
        // A query's result lists series as a request of remote write does.
        wire::remote_write::read_v1(value.bytes(), |series| {
            let mut samples: Vec<(i64, StoredValue)> = series
                .samples
                .iter()
                .map(|(t, v, _)| (*t, StoredValue::Float(*v)))
                .collect();
            samples.extend(series.histograms.iter().map(|sample| {
                let value = match &sample.histogram {
                    AnyHistogram::Integer(h) => StoredValue::Histogram(h.clone()),
                    AnyHistogram::Float(h) => StoredValue::FloatHistogram(h.clone()),
                };
                (sample.t, value)
            }));
            samples.sort_by_key(|(t, _)| *t);
            let refs: Vec<(i64, &StoredValue)> = samples.iter().map(|(t, v)| (*t, v)).collect();
            match encode(&refs) {
                Ok(chunks) => all.push(Series {
                    labels: Labels::from_pairs(series.labels.iter().copied()),
                    chunks,
                }),
                Err(error) => fault = Some(error.to_string()),
            }
        })
    });
    read.map_err(|e| e.to_string())?;
    match fault {
        Some(error) => Err(error),
        None => Ok(all),
    }
}

/// Frames of a streamed answer, as they arrive.
pub struct Frames {
    limit: u64,
    buffer: Vec<u8>,
    series: Vec<Series>,
}

impl Frames {
    /// Nothing has arrived; no frame may be longer than `limit` bytes.
    pub fn new(limit: u64) -> Frames {
        Frames {
            limit,
            buffer: Vec::new(),
            series: Vec::new(),
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((frame, after)) = self.next_frame(at)? {
            let frame = Bytes::copy_from_slice(&self.buffer[frame]);
            read_frame(&frame, &mut self.series).map_err(|e| e.to_string())?;
            at = after;
        }
        self.buffer.drain(..at);
        Ok(())
    }

    /// Where the frame that begins at `at` lies, and the next one begins, if it is there as a whole.
    fn next_frame(&self, at: usize) -> Result<Option<(std::ops::Range<usize>, usize)>, String> {
        let mut rest = &self.buffer[at..];
        let Ok(length) = wire::varint(&mut rest, 10) else {
            let undecided = self.buffer.len() - at < 10;
            return if undecided {
                Ok(None)
            } else {
                Err("a frame has no length".into())
            };
        };
        if length > self.limit {
            return Err(format!(
                "a frame of {length} bytes exceeds the limit of {} bytes: raise chunked_read_limit",
                self.limit
            ));
        }
        let Some((sum, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = length as usize;
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        if crc32c::crc32c(payload) != u32::from_be_bytes(*sum) {
            return Err("a frame has a wrong checksum".into());
        }
        let start = self.buffer.len() - rest.len();
        Ok(Some((start..start + length, start + length)))
    }

    /// All series, once everything has arrived.
    pub fn finish(self) -> Result<Vec<Series>, String> {
        if !self.buffer.is_empty() {
            return Err("the answer ended within a frame".into());
        }
        Ok(self.series)
    }
}

fn read_frame(frame: &Bytes, all: &mut Vec<Series>) -> Result<(), Broken> {
    fields(frame, |field, value| {
        if field != 1 {
            return Ok(());
        }
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        let mut chunks = Vec::new();
        fields(value.bytes(), |field, value| {
            match field {
                1 => {
                    let (mut name, mut text) = ("", "");
                    fields(value.bytes(), |field, value| {
                        let utf8 = std::str::from_utf8(value.bytes())
                            .map_err(|_| Broken("a label is not UTF-8"))?;
                        match field {
                            1 => name = utf8,
                            2 => text = utf8,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    pairs.push((name, text));
                }
                2 => chunks.push(read_chunk(frame, value.bytes())?),
                _ => {}
            }
            Ok(())
        })?;
        let labels = Labels::from_pairs(pairs);
        match all.last_mut() {
            // A series with many chunks comes in several frames.
            Some(last) if last.labels == labels => last.chunks.extend(chunks),
            _ => all.push(Series { labels, chunks }),
        }
        Ok(())
    })
}

fn read_chunk(frame: &Bytes, message: &[u8]) -> Result<Chunk, Broken> {
    let mut chunk = Chunk {
        min_time: 0,
        max_time: 0,
        encoding: Encoding::None,
        data: Bytes::new(),
    };
    fields(message, |field, value| {
        match field {
            1 => chunk.min_time = value.u64() as i64,
            2 => chunk.max_time = value.u64() as i64,
            3 => {
                chunk.encoding = u8::try_from(value.u64())
                    .ok()
                    .and_then(|byte| Encoding::from_byte(byte).ok())
                    .ok_or(Broken("a chunk is encoded in a way that is not known"))?;
            }
            4 => chunk.data = frame.slice_ref(value.bytes()),
            _ => {}
        }
        Ok(())
    })?;
    if chunk.encoding == Encoding::None || chunk.data.len() < 2 {
        return Err(Broken("a chunk has no data"));
    }
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{put_bytes, put_varint};

    fn stream() -> Vec<u8> {
        let mut out = Vec::new();
        for t in [1i64, 1000] {
            let value = StoredValue::Float(t as f64);
            let chunks = encode(&[(t, &value)]).expect("encodes");
            let mut series = Vec::new();
            wire::remote_read::put_labels(&mut series, [("__name__", "m")]);
            wire::remote_read::put_chunk(&mut series, t, t, 1, &chunks[0].data);
            let mut frame = Vec::new();
            put_bytes(&mut frame, 1, &series);
            put_varint(&mut out, frame.len() as u64);
            out.extend_from_slice(&crc32c::crc32c(&frame).to_be_bytes());
            out.extend_from_slice(&frame);
        }
        out
    }

    #[test]
    fn frames_may_be_cut_anywhere() {
        let stream = stream();
        for size in 1..stream.len() {
            let mut frames = Frames::new(1000);
            for part in stream.chunks(size) {
                frames.push(part).expect("reads");
            }
            let series = frames.finish().expect("whole");
            assert_eq!((series.len(), series[0].chunks.len()), (1, 2));
        }
        let mut cut = Frames::new(1000);
        cut.push(&stream[..stream.len() - 1]).expect("reads");
        assert!(cut.finish().is_err());
        assert!(
            Frames::new(5)
                .push(&stream)
                .expect_err("long")
                .contains("chunked_read_limit")
        );
    }

    #[test]
    fn damaged_frames_are_refused() {
        let stream = stream();
        for at in 0..stream.len() {
            let mut damaged = stream.clone();
            damaged[at] ^= 0x55;
            let mut frames = Frames::new(1000);
            let pushed = frames.push(&damaged);
            assert!(pushed.is_err() || frames.finish().is_err(), "byte {at}");
        }
        assert!(read_samples(&[0xff; 30]).is_err());
    }
}
