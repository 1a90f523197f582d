//! What a target's scrapes remember of its series: the storage reference behind each line, so that a steady scrape
//! neither builds labels nor looks anything up by them.
//!
//! Lines are known by a 64-bit hash of their text, not by the text, seeded per process so that no target can prepare a
//! collision: of the million lines of a huge target any two collide with a chance of 3 in 100 million. 24 bytes a
//! series and about 12 for its place in a table and its length, and nothing to allocate when it is seen again.
//!
//! Targets tell their series in the same order every time. Lines are kept in the order of their first appearance, and
//! the one after the last one seen is tried first: a steady scrape walks through memory in its order, where a table
//! alone would wait for a distant cache line at every sample.

use hashbrown::HashTable;
use storage::SeriesRef;

use crate::untimed::Untimed;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The series of one target.
#[derive(Default)]
pub struct SeriesCache {
    seed: u64,
    /// In order of first appearance.
    lines: Vec<Line>,
    /// Lengths of their texts, 0 where [`LineHash::length`] is.
    lengths: Vec<u16>,
    /// Indices into `lines`, by hash.
    places: HashTable<u32>,
    /// Index of the line that is expected to be seen next.
    expected: usize,
    /// The scrape that is going on or was last, counted.
    scrape: u32,
    /// Lines of the scrape that is going on.
    seen: usize,
    /// Lines seen in the last successful scrape.
    seen_before: usize,
    /// Exemplars that pages show again.
    pub(crate) untimed: Untimed,
}

#[derive(Clone, Copy)]
struct Line {
    hash: u64,
    /// `None`: relabelling drops the series.
    series: Option<SeriesRef>,
    /// The scrape that saw it last.
    scrape: u32,
    life: Life,
}

/// Since when a line is there, and what its end means; packed, because there are as many as there are series.
#[derive(Clone, Copy)]
struct Life(u32);

impl Life {
    const TRACKED: u32 = 1;
    const ENDED: u32 = 2;

    fn new(born: u32, tracked: bool, ended: bool) -> Life {
        Life(born << 2 | u32::from(ended) << 1 | u32::from(tracked))
    }

    /// Whether its end is to be marked.
    fn is_tracked(self) -> bool {
        self.0 & Life::TRACKED != 0
    }

    /// Whether its end has been marked, or there is nothing to mark.
    fn has_ended(self) -> bool {
        self.0 & Life::ENDED != 0
    }

    /// Whether `scrape` was the first to see it since its last end.
    fn was_born_in(self, scrape: u32) -> bool {
        self.0 >> 2 == scrape & (u32::MAX >> 2)
    }
}

/// The hash of a line's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineHash {
    hash: u64,
    /// The text's length; 0 when it is long, or does not end with a brace, so that it could go on.
    length: u16,
}

/// What is known of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    New,
    /// Relabelling drops it.
    Dropped,
    /// It is this series; `again` when this scrape has seen it before.
    Series {
        /// The reference.
        series: SeriesRef,
        /// A second time in the same scrape.
        again: bool,
    },
}

impl SeriesCache {
    /// An empty cache whose hashes are seeded with `seed`.
    pub fn new(seed: u64) -> SeriesCache {
        SeriesCache {
            seed,
            ..SeriesCache::default()
        }
    }

    /// Hashes the text of name and labels.
    #[inline]
    pub fn hash(&self, text: &[u8]) -> LineHash {
        let length = match text.last() {
            Some(b'}') => u16::try_from(text.len()).unwrap_or(0),
            _ => 0,
        };
        LineHash {
            hash: xxh3_64_with_seed(text, self.seed),
            length,
        }
    }

    /// The line that is expected next, if `rest` of the page begins with it; and its length, in bytes.
    #[inline]
    pub fn expect(&self, rest: &[u8]) -> Option<(LineHash, usize)> {
        let length = usize::from(*self.lengths.get(self.expected)?);
        // An empty text has no last byte to be a brace.
        let text = rest
            .get(..length)
            .filter(|text| text.last() == Some(&b'}'))?;
        let hash = self.hash(text);
        (self.lines[self.expected].hash == hash.hash).then_some((hash, length))
    }

    /// Starts a scrape.
    pub fn begin(&mut self) {
        self.scrape = self.scrape.wrapping_add(1);
        self.seen = 0;
        self.expected = 0;
    }

    /// Finds a line, where it is expected or wherever it is.
    #[inline]
    fn find(&mut self, hash: LineHash) -> Option<&mut Line> {
        let in_order = self.lines.get(self.expected);
        let place = if in_order.is_some_and(|line| line.hash == hash.hash) {
            self.expected
        } else {
            let lines = &self.lines;
            *self
                .places
                .find(hash.hash, |place| lines[*place as usize].hash == hash.hash)?
                as usize
        };
        self.expected = place + 1;
        Some(&mut self.lines[place])
    }

    /// Builds the table anew for the lines there are.
    fn place_all(&mut self) {
        let lines = &self.lines;
        let hash = |place: &u32| lines[*place as usize].hash;
        self.places.clear();
        self.places.shrink_to(lines.len(), hash);
        for place in 0..lines.len() as u32 {
            self.places.insert_unique(hash(&place), place, hash);
        }
    }

    /// Looks up a line and marks it as seen. `tracked`: its end is to be marked when it goes.
    pub fn see(&mut self, hash: LineHash, tracked: bool) -> Known {
        let scrape = self.scrape;
        let Some(line) = self.find(hash) else {
            return Known::New;
        };
        let again = line.scrape == scrape;
        line.scrape = scrape;
        let known = match line.series {
            None => Known::Dropped,
            Some(series) => {
                let tracked = tracked || (again && line.life.is_tracked());
                line.life = if line.life.has_ended() {
                    Life::new(scrape, tracked, false)
                } else {
                    Life::new(line.life.0 >> 2, tracked, false)
                };
                Known::Series { series, again }
            }
        };
        self.seen += usize::from(!again);
        known
    }

    /// Remembers a new line, or one whose reference has changed.
    pub fn remember(&mut self, hash: LineHash, series: Option<SeriesRef>, tracked: bool) {
        let life = Life::new(self.scrape, tracked, series.is_none());
        let line = Line {
            hash: hash.hash,
            series,
            scrape: self.scrape,
            life,
        };
        let lines = &mut self.lines;
        let same = |place: &u32| lines[*place as usize].hash == hash.hash;
        if let Some(place) = self.places.find(hash.hash, same) {
            lines[*place as usize] = line;
            return;
        }
        // Four billion lines are more text than a page may have.
        let Ok(place) = u32::try_from(lines.len()) else {
            return;
        };
        self.seen += 1;
        lines.push(line);
        self.lengths.push(hash.length);
        let hash_at = |place: &u32| lines[*place as usize].hash;
        self.places.insert_unique(hash.hash, place, hash_at);
    }

    /// Calls `mark` for every tracked series that was there and that this scrape has not seen.
    pub fn each_gone(&mut self, mark: impl FnMut(SeriesRef)) {
        if self.seen == self.lines.len() {
            return;
        }
        let scrape = self.scrape;
        self.end_where(|line| line.scrape != scrape, mark);
    }

    /// Calls `mark` for every tracked series that scrapes before the current one have left without an end: the current
    /// one failed, or was begun only to end them. What it saw for the first time was never stored.
    pub fn each_live(&mut self, mark: impl FnMut(SeriesRef)) {
        self.end_where(|_| true, mark);
    }

    fn end_where(&mut self, which: impl Fn(&Line) -> bool, mut mark: impl FnMut(SeriesRef)) {
        let scrape = self.scrape;
        for line in self
            .lines
            .iter_mut()
            .filter(|line| which(line) && !line.life.has_ended())
        {
            let mark_it = line.life.is_tracked() && !line.life.was_born_in(scrape);
            line.life.0 |= Life::ENDED;
            if let Some(series) = line.series
                && mark_it
            {
                mark(series);
            }
        }
    }

    /// Ends a successful scrape: forgets what is gone once more lines are remembered than twice what is live (and some).
    /// `true` when it did.
    pub fn finish(&mut self) -> bool {
        self.seen_before = self.seen;
        // Pages hardly ever grow after the first; what is reserved for that is reserved for every target.
        if self.lines.capacity() > self.lines.len() + self.lines.len() / 8 {
            self.lines.shrink_to_fit();
            self.lengths.shrink_to_fit();
        }
        if self.lines.len() <= 2 * self.seen_before + 1000 {
            return false;
        }
        let scrape = self.scrape;
        let mut lines = self.lines.iter();
        self.lengths
            .retain(|_| lines.next().is_some_and(|line| line.scrape == scrape));
        self.lines.retain(|line| line.scrape == scrape);
        self.lengths.shrink_to_fit();
        self.lines.shrink_to_fit();
        self.untimed.clear();
        self.place_all();
        true
    }

    /// Lines remembered.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes that lines and table take.
    pub fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
            + self.lengths.capacity() * size_of::<u16>()
            + self.places.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;

    fn series(n: u64) -> SeriesRef {
        SeriesRef(NonZeroU64::new(n).expect("not zero"))
    }

    fn gone(cache: &mut SeriesCache) -> Vec<u64> {
        let mut out = Vec::new();
        cache.each_gone(|s| out.push(s.0.get()));
        out.sort_unstable();
        out
    }

    #[test]
    fn knows_lines_again_and_tells_which_are_gone() {
        let mut cache = SeriesCache::default();
        let [a, b, c] = ["a", "b", "c"].map(|text| cache.hash(text.as_bytes()));
        cache.begin();
        assert_eq!(cache.see(a, true), Known::New);
        cache.remember(a, Some(series(1)), true);
        cache.remember(b, Some(series(2)), false);
        cache.remember(c, None, true);
        assert!(gone(&mut cache).is_empty());
        assert!(!cache.finish());
        cache.begin();
        assert_eq!(cache.see(c, true), Known::Dropped);
        assert_eq!(
            gone(&mut cache),
            [1],
            "b is not tracked, c was never stored"
        );
        assert!(gone(&mut cache).is_empty(), "told once");
        cache.begin();
        assert_eq!(
            cache.see(a, true),
            Known::Series {
                series: series(1),
                again: false
            }
        );
        assert_eq!(
            cache.see(a, true),
            Known::Series {
                series: series(1),
                again: true
            }
        );
        cache.begin();
        let mut live = Vec::new();
        cache.each_live(|s| live.push(s));
        assert_eq!(live, [series(1)]);
    }

    #[test]
    fn forgets_when_much_is_gone() {
        let mut cache = SeriesCache::default();
        cache.begin();
        for n in 1..=5000u64 {
            let hash = cache.hash(&n.to_le_bytes());
            cache.remember(hash, Some(series(n)), true);
        }
        assert!(!cache.finish());
        cache.begin();
        for n in 1..=10u64 {
            let hash = cache.hash(&n.to_le_bytes());
            assert!(matches!(cache.see(hash, true), Known::Series { .. }));
        }
        let mut count = 0;
        cache.each_gone(|_| count += 1);
        assert_eq!(count, 4990);
        assert!(cache.finish());
        assert_eq!(cache.len(), 10);
    }

    #[test]
    fn finds_lines_in_any_order() {
        let mut cache = SeriesCache::new(7);
        let hashes: Vec<LineHash> = (1..=100u64).map(|n| cache.hash(&n.to_le_bytes())).collect();
        cache.begin();
        for (n, hash) in (1..).zip(&hashes) {
            assert_eq!(cache.see(*hash, true), Known::New);
            cache.remember(*hash, Some(series(n)), true);
        }
        let orders: [Vec<usize>; 3] = [
            (0..100).collect(),
            (0..100).rev().collect(),
            (0..100).map(|n| n * 37 % 100).collect(),
        ];
        for order in orders {
            cache.begin();
            for nth in order {
                let known = cache.see(hashes[nth], true);
                let (series, again) = (series(nth as u64 + 1), false);
                assert_eq!(known, Known::Series { series, again });
            }
            assert!(gone(&mut cache).is_empty());
            assert!(!cache.finish());
        }
    }

    #[test]
    fn expects_whole_label_sets_only() {
        let mut cache = SeriesCache::new(7);
        cache.begin();
        for (n, text) in (1..).zip([&br#"a{x="1"}"#[..], b"b", br#"c{x="}"}"#]) {
            cache.remember(cache.hash(text), Some(series(n)), true);
        }
        cache.begin();
        let a = cache.hash(br#"a{x="1"}"#);
        assert_eq!(cache.expect(br#"a{x="1"} 5"#), Some((a, 8)));
        for other in [&br#"a{x="2"} 5"#[..], br#"a{x="1""#, b""] {
            assert_eq!(cache.expect(other), None);
        }
        cache.see(a, true);
        assert_eq!(
            cache.expect(b"b 5"),
            None,
            "it could go on, as b5 or with labels"
        );
        cache.see(cache.hash(b"b"), true);
        let c = cache.hash(br#"c{x="}"}"#);
        assert_eq!(cache.expect(br#"c{x="}"} 5"#), Some((c, 8)));
        cache.see(c, true);
        assert_eq!(cache.expect(br#"c{x="}"} 5"#), None, "the last is seen");
    }

    #[test]
    fn a_line_costs_few_bytes() {
        assert_eq!(size_of::<Line>(), 24);
    }
}
