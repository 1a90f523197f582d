//! XOR2 chunks (encoding 4), read only: joint control bits for time and value, stale markers without value bits,
//! optional start timestamps.

use model::sample::STALE_NAN_BITS;

use crate::bits::{BitReader, EndOfBits};

use super::ChunkError;
use super::start::StartTimes;
use super::xor::{XorWindow, take_window};

/// Reads an XOR2 chunk sample by sample.
#[derive(Debug, Clone)]
pub struct Xor2Iter<D> {
    reader: BitReader<D>,
    total: u16,
    read: u16,
    start: StartTimes,
    t: i64,
    delta: i64,
    value: u64,
    /// The last value that is no stale marker; changes are relative to it.
    baseline: u64,
    window: XorWindow,
}

impl<D: AsRef<[u8]>> Xor2Iter<D> {
    /// Reads the header.
    pub fn new(data: D) -> Result<Xor2Iter<D>, ChunkError> {
        let &[a, b, st, ..] = data.as_ref() else {
            return Err(ChunkError::Truncated);
        };
        Ok(Xor2Iter {
            reader: BitReader::new(data, 3),
            total: u16::from_be_bytes([a, b]),
            read: 0,
            start: StartTimes::new(st),
            t: 0,
            delta: 0,
            value: 0,
            baseline: 0,
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

    /// The current sample's time and value.
    pub fn at(&self) -> (i64, f64) {
        (self.t, f64::from_bits(self.value))
    }

    /// The start timestamp of the current sample; 0 when unknown.
    pub fn start_time(&self) -> i64 {
        self.start.current()
    }

    /// Steps to the next sample; false after the last.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<bool, ChunkError> {
        if self.read == self.total {
            return Ok(false);
        }
        let before = self.t;
        match self.read {
            0 => {
                self.t = self.reader.take_varint()?;
                let bits = self.reader.take(64)?;
                self.set(bits);
            }
            1 => {
                self.delta = self.reader.take_uvarint()? as i64;
                self.t = self.t.wrapping_add(self.delta);
                self.value_a()?;
            }
            _ => self.step()?,
        }
        self.start
            .take(&mut self.reader, self.read, before, self.t)?;
        self.read += 1;
        Ok(true)
    }

    fn set(&mut self, bits: u64) {
        self.value = bits;
        if bits != STALE_NAN_BITS {
            self.baseline = bits;
        }
    }

    fn step(&mut self) -> Result<(), EndOfBits> {
        let control = self.reader.take_ones(5)?;
        let dod = match control {
            2 => twos_complement(self.reader.take(13)?, 13),
            3 => twos_complement(self.reader.take(20)?, 20),
            4 => self.reader.take(64)? as i64,
            _ => 0,
        };
        self.delta = self.delta.wrapping_add(dod);
        self.t = self.t.wrapping_add(self.delta);
        match control {
            0 => self.set(self.baseline),
            1 => {
                if self.reader.take_bit()? {
                    self.window = take_window(&mut self.reader)?;
                }
                self.changed()?;
            }
            5 => self.set(STALE_NAN_BITS),
            _ => self.value_a()?,
        }
        Ok(())
    }

    /// The value code beside an explicit time.
    fn value_a(&mut self) -> Result<(), EndOfBits> {
        match self.reader.take_ones(3)? {
            0 => self.set(self.baseline),
            1 => self.changed()?,
            2 => {
                self.window = take_window(&mut self.reader)?;
                self.changed()?;
            }
            _ => self.set(STALE_NAN_BITS),
        }
        Ok(())
    }

    /// The bits inside the window.
    fn changed(&mut self) -> Result<(), EndOfBits> {
        let bits = self.reader.take(self.window.bits())? << self.window.trailing;
        self.set(self.baseline ^ bits);
        Ok(())
    }
}

fn twos_complement(raw: u64, n: u32) -> i64 {
    ((raw << (64 - n)) as i64) >> (64 - n)
}
