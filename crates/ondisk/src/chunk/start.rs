//! Start timestamps beside samples, as encodings 4, 5 and 6 carry them.

use crate::bits::BitReader;

use super::{ChunkError, varbit};

/// Decoder state for the start timestamps of one chunk.
#[derive(Debug, Clone)]
pub(super) struct StartTimes {
    /// Whether sample 0 has one.
    first: bool,
    /// Index of the first sample from which every sample has data; 0 for none.
    from: u16,
    current: i64,
    delta: i64,
}

impl StartTimes {
    /// Reads the header byte.
    pub(super) fn new(header: u8) -> StartTimes {
        StartTimes {
            first: header & 0x80 != 0,
            from: u16::from(header & 0x7f),
            current: 0,
            delta: 0,
        }
    }

    /// The start timestamp of the sample last read; 0 when unknown.
    pub(super) fn current(&self) -> i64 {
        self.current
    }

    /// Reads what follows sample `index`, which is at `t` and comes after one at `before`.
    pub(super) fn take<D: AsRef<[u8]>>(
        &mut self,
        reader: &mut BitReader<D>,
        index: u16,
        before: i64,
        t: i64,
    ) -> Result<(), ChunkError> {
        if index == 0 {
            if self.first {
                self.current = t.wrapping_sub(reader.take_varint()?);
            }
        } else if self.from != 0 && index >= self.from {
            // The first is absolute, the others are changes; starting from zero makes them the same.
            self.delta = self.delta.wrapping_add(varbit::take_int(reader)?);
            self.current = before.wrapping_sub(self.delta);
        }
        Ok(())
    }
}
