//! Tombstones: what was deleted of a block or of the head, as closed time intervals per series.

use std::collections::BTreeMap;

use crate::fields::{Fields, PutFields, crc};

const MAGIC: u32 = 0x0130_BA30;

/// A closed interval of time, unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interval {
    /// The first instant.
    pub min: i64,
    /// The last instant.
    pub max: i64,
}

impl Interval {
    /// All of time: as a tombstone in the log, the series itself is gone.
    pub const ALL: Interval = Interval {
        min: i64::MIN,
        max: i64::MAX,
    };

    /// Whether `t` lies within.
    pub fn contains(self, t: i64) -> bool {
        self.min <= t && t <= self.max
    }
}

/// Sorted, disjoint intervals that do not touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    /// The intervals, sorted.
    pub fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an interval, joining those it overlaps or touches within a millisecond. One that ends before it begins is
    /// left out.
    pub fn add(&mut self, new: Interval) {
        if new.min > new.max {
            return;
        }
        let from = self
            .0
            .partition_point(|i| i.max < new.min.saturating_sub(1));
        let to = self
            .0
            .partition_point(|i| i.min <= new.max.saturating_add(1))
            .max(from);
        let joined = match self.0.get(from..to) {
            Some([first, .., last]) => Interval {
                min: first.min.min(new.min),
                max: last.max.max(new.max),
            },
            Some([one]) => Interval {
                min: one.min.min(new.min),
                max: one.max.max(new.max),
            },
            _ => new,
        };
        self.0.splice(from..to, [joined]);
    }

    /// Whether `t` was deleted.
    pub fn contains(&self, t: i64) -> bool {
        let at = self.0.partition_point(|i| i.max < t);
        self.0.get(at).is_some_and(|i| i.min <= t)
    }

    /// Whether one interval covers the closed range.
    pub fn cover(&self, min: i64, max: i64) -> bool {
        let at = self.0.partition_point(|i| i.max < min);
        self.0.get(at).is_some_and(|i| i.min <= min && max <= i.max)
    }

    /// Whether any instant of the closed range was deleted.
    pub fn overlap(&self, min: i64, max: i64) -> bool {
        let at = self.0.partition_point(|i| i.max < min);
        self.0.get(at).is_some_and(|i| i.min <= max)
    }

    /// Drops all that ends before `t`.
    pub fn forget_before(&mut self, t: i64) {
        self.0.retain(|i| i.max >= t);
    }
}

impl FromIterator<Interval> for Intervals {
    fn from_iter<I: IntoIterator<Item = Interval>>(iter: I) -> Intervals {
        let mut intervals = Intervals::default();
        iter.into_iter().for_each(|i| intervals.add(i));
        intervals
    }
}

/// Deleted intervals by series reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tombstones(BTreeMap<u64, Intervals>);

/// What is wrong with a tombstones file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TombstonesError {
    /// Too short, or fields that cannot be.
    #[error("tombstones: invalid size")]
    Size,
    /// Another file.
    #[error("invalid magic number {0:x}")]
    Magic(u32),
    /// A version nobody knows.
    #[error("invalid tombstone format {0:x}")]
    Version(u8),
    /// Bits changed.
    #[error("checksum did not match")]
    Checksum,
}

impl Tombstones {
    /// Deletes an interval of a series. One that ends before it begins is left out.
    pub fn add(&mut self, series: u64, interval: Interval) {
        if interval.min > interval.max {
            return;
        }
        self.0.entry(series).or_default().add(interval);
    }

    /// What was deleted of a series.
    pub fn get(&self, series: u64) -> Option<&Intervals> {
        self.0.get(&series)
    }

    /// Forgets a series.
    pub fn remove(&mut self, series: u64) {
        self.0.remove(&series);
    }

    /// Whether nothing was deleted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Intervals in all.
    pub fn total(&self) -> u64 {
        self.0.values().map(|i| i.0.len() as u64).sum()
    }

    /// Series with intervals, by reference.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Intervals)> {
        self.0
            .iter()
            .map(|(series, intervals)| (*series, intervals))
    }

    /// Drops all that ends before `t`, and all of series that `keep` does not want.
    pub fn forget(&mut self, t: i64, keep: impl Fn(u64) -> bool) {
        self.0.retain(|series, intervals| {
            intervals.forget_before(t);
            !intervals.is_empty() && keep(*series)
        });
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut buf = Vec::new();
        buf.put_be32(MAGIC);
        buf.push(1);
        for (series, intervals) in &self.0 {
            for interval in &intervals.0 {
                put_entry(&mut buf, *series, *interval);
            }
        }
        buf.put_crc_from(5);
        buf
    }

    /// Reads the file.
    pub fn from_bytes(file: &[u8]) -> Result<Tombstones, TombstonesError> {
        if file.len() < 9 {
            return Err(TombstonesError::Size);
        }
        let (body, sum) = file.split_at(file.len() - 4);
        let mut head = Fields::new(body);
        let magic = head.be32().map_err(|_| TombstonesError::Size)?;
        if magic != MAGIC {
            return Err(TombstonesError::Magic(magic));
        }
        match head.byte() {
            Ok(1) => {}
            Ok(version) => return Err(TombstonesError::Version(version)),
            Err(_) => return Err(TombstonesError::Size),
        }
        if crc(head.rest()).to_be_bytes() != sum {
            return Err(TombstonesError::Checksum);
        }
        let mut tombstones = Tombstones::default();
        while !head.is_empty() {
            let mut entry = || {
                Ok::<_, crate::fields::BadField>((head.uvarint()?, head.varint()?, head.varint()?))
            };
            let (series, min, max) = entry().map_err(|_| TombstonesError::Size)?;
            tombstones.add(series, Interval { min, max });
        }
        Ok(tombstones)
    }
}

fn put_entry(buf: &mut Vec<u8>, series: u64, interval: Interval) {
    buf.put_uvarint(series);
    buf.put_varint(interval.min);
    buf.put_varint(interval.max);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(i64, i64)]) -> Intervals {
        pairs
            .iter()
            .map(|&(min, max)| Interval { min, max })
            .collect()
    }

    #[test]
    fn intervals_join() {
        assert_eq!(
            of(&[(5, 8), (1, 3), (4, 4)]).as_slice(),
            [Interval { min: 1, max: 8 }]
        );
        assert_eq!(of(&[(1, 2), (4, 5), (10, 11)]).as_slice().len(), 3);
        assert_eq!(
            of(&[(1, 2), (4, 5), (10, 11), (3, 9)]).as_slice(),
            [Interval { min: 1, max: 11 }]
        );
        assert_eq!(
            of(&[(i64::MIN, 0), (1, i64::MAX)]).as_slice(),
            [Interval::ALL]
        );
        assert_eq!(of(&[(3, 1)]).as_slice(), []);
        let some = of(&[(1, 2), (10, 20)]);
        assert!(some.contains(2) && !some.contains(3) && some.contains(10));
        assert!(some.cover(11, 20) && !some.cover(9, 11));
        assert!(some.overlap(0, 1) && !some.overlap(3, 9) && some.overlap(20, 30));
    }

    #[test]
    fn golden_file() {
        let mut t = Tombstones::default();
        assert_eq!(t.to_bytes(), [0x01, 0x30, 0xba, 0x30, 1, 0, 0, 0, 0]);
        t.add(
            2,
            Interval {
                min: 1000,
                max: 2000,
            },
        );
        let file = [
            0x01, 0x30, 0xba, 0x30, 0x01, 0x02, 0xd0, 0x0f, 0xa0, 0x1f, 0xa3, 0x96, 0x36, 0x94,
        ];
        assert_eq!(t.to_bytes(), file);
        assert_eq!(Tombstones::from_bytes(&file), Ok(t));
        for bit in 0..file.len() * 8 {
            let mut damaged = file;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Tombstones::from_bytes(&damaged).is_err(), "bit {bit}");
        }
        assert_eq!(
            Tombstones::from_bytes(&file[..8]),
            Err(TombstonesError::Size)
        );
    }
}
