//! The series that the log has described, in the order in which it did.
//!
//! A target's samples come in the order in which its series were made, scrape after scrape. So the series behind the last
//! one found is tried first; a table alone would wait for a distant cache line at every sample.

use hashbrown::HashMap;
use model::{Labels, Metadata};
use wire::remote_write::{Version, put_labels_v1};

/// Bytes of encoded labels that stand together.
const PAGE: usize = 256 << 10;

/// What is kept of a series, after external labels and relabelling.
enum Kept {
    /// Relabelling dropped it.
    Dropped,
    /// Its labels as a 1.0 request has them: from where on which page.
    Encoded { page: u32, start: u32, len: u32 },
    /// For 2.0.
    Labelled(Box<Labelled>),
}

struct Labelled {
    labels: Labels,
    /// What the log says about its family.
    metadata: Option<Metadata>,
}

struct Entry {
    reference: u64,
    /// The newest segment that describes the series.
    segment: u32,
    kept: Kept,
}

/// Series by their numbers in the log.
pub struct KnownSeries {
    version: Version,
    entries: Vec<Entry>,
    /// Encoded labels in the order of the entries, so that what is sent one after another stands side by side.
    pages: Vec<Vec<u8>>,
    /// Indices into `entries`.
    places: HashMap<u64, u32>,
    /// Index of the series that is expected next.
    expected: usize,
}

/// What the log said of a number.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Its series is sent; where it is known.
    Sent(u32),
    /// Relabelling dropped it.
    Dropped,
    /// The log has not described it.
    Unknown,
}

/// A series that is sent.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// Its labels as a 1.0 request has them.
    Encoded(&'a [u8]),
    /// Its labels and what the log says about its family, for 2.0.
    Labels(&'a Labels, Option<&'a Metadata>),
}

impl KnownSeries {
    /// None yet; for requests of that version.
    pub fn new(version: Version) -> KnownSeries {
        KnownSeries {
            version,
            entries: Vec::new(),
            pages: Vec::new(),
            places: HashMap::new(),
            expected: 0,
        }
    }

    fn place(&self, reference: u64) -> Option<usize> {
        let expected = self.entries.get(self.expected);
        if expected.is_some_and(|entry| entry.reference == reference) {
            return Some(self.expected);
        }
        self.places.get(&reference).map(|place| *place as usize)
    }

    /// The series with that number.
    #[inline]
    pub fn find(&mut self, reference: u64) -> Found {
        let Some(place) = self.place(reference) else {
            return Found::Unknown;
        };
        self.expected = place + 1;
        match &self.entries[place].kept {
            Kept::Dropped => Found::Dropped,
            _ => Found::Sent(place as u32),
        }
    }

    /// The series found at a place, as long as none was forgotten since; `None` where none is sent.
    #[inline]
    pub fn at(&self, place: u32) -> Option<Known<'_>> {
        match &self.entries.get(place as usize)?.kept {
            Kept::Dropped => None,
            Kept::Encoded { page, start, len } => {
                let page = &self.pages[*page as usize];
                Some(Known::Encoded(&page[*start as usize..][..*len as usize]))
            }
            Kept::Labelled(known) => Some(Known::Labels(&known.labels, known.metadata.as_ref())),
        }
    }

    /// Notes what the log says about a series' family; only 2.0 sends it along.
    pub fn set_metadata(&mut self, reference: u64, metadata: Metadata) {
        if let Found::Sent(place) = self.find(reference)
            && let Kept::Labelled(known) = &mut self.entries[place as usize].kept
        {
            known.metadata = Some(metadata);
        }
    }

    /// Notes that `segment` describes the series; `make` is asked for its labels if it is new.
    pub fn describe(
        &mut self,
        reference: u64,
        segment: u32,
        make: impl FnOnce() -> Option<Labels>,
    ) {
        if let Some(place) = self.place(reference) {
            let entry = &mut self.entries[place];
            entry.segment = entry.segment.max(segment);
            return;
        }
        let kept = match (make(), self.version) {
            (None, _) => Kept::Dropped,
            (Some(labels), Version::V1) => {
                keep_encoded(&mut self.pages, |page| put_labels_v1(page, &labels))
            }
            (Some(labels), Version::V2) => Kept::Labelled(Box::new(Labelled {
                labels,
                metadata: None,
            })),
        };
        let place = self.entries.len() as u32;
        self.places.insert(reference, place);
        self.entries.push(Entry {
            reference,
            segment,
            kept,
        });
    }

    /// Forgets series that no segment from `first` on describes.
    pub fn forget_before(&mut self, first: u32) {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.segment >= first);
        if self.entries.len() == before {
            return;
        }
        self.entries.shrink_to(self.entries.len() * 2);
        self.expected = 0;
        let places = self.entries.iter().zip(0..);
        self.places = places.map(|(entry, at)| (entry.reference, at)).collect();
        let old = std::mem::take(&mut self.pages);
        for entry in &mut self.entries {
            if let Kept::Encoded { page, start, len } = entry.kept {
                let labels = &old[page as usize][start as usize..][..len as usize];
                entry.kept = keep_encoded(&mut self.pages, |page| page.extend_from_slice(labels));
            }
        }
    }
}

/// Writes labels behind the last ones; a page that is full enough is followed by another, so none is ever moved.
fn keep_encoded(pages: &mut Vec<Vec<u8>>, write: impl FnOnce(&mut Vec<u8>)) -> Kept {
    const ROOM: usize = 4 << 10;
    if pages.last().is_none_or(|page| page.len() + ROOM > PAGE) {
        pages.push(Vec::with_capacity(PAGE));
    }
    let number = pages.len() - 1;
    let page = &mut pages[number];
    let start = page.len();
    write(page);
    Kept::Encoded {
        page: number as u32,
        start: start as u32,
        len: (page.len() - start) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::remote_write::{Outgoing, put_v1, read_v1};

    fn series(name: &str) -> Option<Labels> {
        Some(Labels::from_refs(&mut [("__name__", name)]))
    }

    /// The name of the series with that number; empty where it was dropped.
    fn name(known: &mut KnownSeries, reference: u64) -> Option<String> {
        let place = match known.find(reference) {
            Found::Sent(place) => place,
            Found::Dropped => return Some(String::new()),
            Found::Unknown => return None,
        };
        match known.at(place).expect("it is sent") {
            Known::Labels(labels, _) => Some(labels.metric_name().to_string()),
            Known::Encoded(labels) => {
                let (mut message, mut name) = (Vec::new(), None);
                put_v1(&mut message, labels, 1, Outgoing::Float(1.0));
                read_v1(&message, |series| {
                    name = Some(series.labels[0].1.to_string())
                })
                .expect("a request");
                name
            }
        }
    }

    #[test]
    fn series_are_found_in_any_order_and_forgotten_by_segment() {
        for version in [Version::V1, Version::V2] {
            let mut known = KnownSeries::new(version);
            for (reference, segment) in [(10, 1), (11, 1), (12, 2), (40, 2)] {
                known.describe(reference, segment, || series(&format!("s{reference}")));
            }
            known.describe(50, 2, || None);
            // A second description only keeps it.
            known.describe(10, 3, || panic!("it is there"));
            for order in [[10, 11, 12, 40], [40, 10, 12, 11], [11, 11, 40, 40]] {
                for reference in order {
                    assert_eq!(name(&mut known, reference), Some(format!("s{reference}")));
                }
            }
            assert_eq!(name(&mut known, 50).as_deref(), Some(""));
            assert_eq!(name(&mut known, 13), None);
            known.forget_before(2);
            assert_eq!(name(&mut known, 11), None);
            for reference in [12, 40, 10] {
                assert_eq!(name(&mut known, reference), Some(format!("s{reference}")));
            }
        }
    }

    #[test]
    fn labels_of_many_pages_and_of_more_than_a_page_are_kept() {
        let mut known = KnownSeries::new(Version::V1);
        let name_of = |n: u64| {
            format!(
                "s{n}_{}",
                "x".repeat(n as usize % 7 * 900 + n as usize / 499 * PAGE)
            )
        };
        for n in 0..500 {
            known.describe(n, n as u32 % 2, || series(&name_of(n)));
        }
        assert!(known.pages.len() > 3);
        known.forget_before(1);
        for n in 0..500 {
            let wanted = (n % 2 == 1).then(|| name_of(n));
            assert_eq!(name(&mut known, n), wanted);
        }
    }
}
