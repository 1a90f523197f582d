//! How much of a body is kept in memory: a limit for each, and one for all that have no limit of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a page may have, decompressed, where no `body_size_limit` is set: a million series and more.
pub const DEFAULT_LIMIT: u64 = 256 << 20;
/// What all pages together may have that are under way and have no `body_size_limit`.
pub const SHARED_LIMIT: u64 = 1 << 30;
/// The first bytes of a page do not count as shared: ordinary pages never wait or fail for others.
const FREE: u64 = 4 << 20;
/// How much of what is shared is taken at a time.
const STEP: u64 = 1 << 20;

/// Why a body is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It reaches the limit that is configured.
    Limit,
    /// It reaches what is taken without a configured limit.
    Default,
    /// All bodies together leave no room for it.
    Shared,
}

/// The bytes that bodies without a limit of their own share. Clones are the same.
#[derive(Clone)]
pub struct Room(Arc<AtomicU64>);

impl Default for Room {
    fn default() -> Room {
        Room(Arc::new(AtomicU64::new(SHARED_LIMIT)))
    }
}

/// A part of the room, given back when dropped.
#[derive(Default)]
pub struct Share {
    bytes: u64,
    room: Option<Room>,
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({})", self.bytes)
    }
}

impl Share {
    /// Takes what is still needed for a body of `length` bytes.
    fn cover(&mut self, length: u64) -> Result<(), Refusal> {
        let Some(room) = &self.room else {
            return Ok(());
        };
        let needed = length.saturating_sub(FREE).next_multiple_of(STEP);
        let more = needed.saturating_sub(self.bytes);
        let taken = room
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(more)
            });
        match taken {
            Ok(_) => {
                self.bytes += more;
                Ok(())
            }
            Err(_) => Err(Refusal::Shared),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.0.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Collects a body up to a limit; the limit itself is already too much, as upstream counts.
pub struct Limited {
    body: Vec<u8>,
    limit: u64,
    share: Share,
    refusal: Option<Refusal>,
}

impl Limited {
    /// Into `body`, up to the `configured` limit, or what is taken without one (0).
    pub fn new(body: Vec<u8>, configured: u64, room: &Room) -> Limited {
        let (limit, room) = match configured {
            0 => (DEFAULT_LIMIT, Some(room.clone())),
            limit => (limit, None),
        };
        Limited {
            body,
            limit,
            share: Share { bytes: 0, room },
            refusal: None,
        }
    }

    /// Why it takes no more.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// The body with its share of the room.
    pub fn finish(self) -> (Vec<u8>, Share) {
        (self.body, self.share)
    }
}

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = (self.body.len() + bytes.len()) as u64;
        let taken = if length < self.limit {
            self.share.cover(length)
        } else if self.share.room.is_some() {
            Err(Refusal::Default)
        } else {
            Err(Refusal::Limit)
        };
        if let Err(refusal) = taken {
            self.refusal = Some(refusal);
            return Err(std::io::ErrorKind::QuotaExceeded.into());
        }
        self.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Writes `length` bytes, one mebibyte at a time; gives what came of it.
    fn fill(body: &mut Limited, length: u64) -> Option<Refusal> {
        let part = vec![b'a'; STEP as usize];
        for _ in 0..length / STEP {
            if body.write_all(&part).is_err() {
                break;
            }
        }
        body.refusal()
    }

    #[test]
    fn bodies_without_a_limit_share_what_there_is() {
        let room = Room(Arc::new(AtomicU64::new(10 << 20)));
        let mut first = Limited::new(Vec::new(), 0, &room);
        assert_eq!(fill(&mut first, 12 << 20), None, "4 are free, 8 shared");
        let mut second = Limited::new(Vec::new(), 0, &room);
        assert_eq!(fill(&mut second, 7 << 20), Some(Refusal::Shared));
        let mut small = Limited::new(Vec::new(), 0, &room);
        assert_eq!(fill(&mut small, 3 << 20), None);
        let mut configured = Limited::new(Vec::new(), 20 << 20, &room);
        assert_eq!(fill(&mut configured, 19 << 20), None);
        assert_eq!(fill(&mut configured, 1 << 20), Some(Refusal::Limit));
        // A page keeps its share until it has been read.
        let (body, share) = first.finish();
        drop((body, second));
        assert_eq!(room.0.load(Ordering::Relaxed), 2 << 20);
        drop(share);
        assert_eq!(room.0.load(Ordering::Relaxed), 10 << 20);
    }
}
