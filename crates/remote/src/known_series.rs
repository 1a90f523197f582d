//! The series that the log has described, in the order in which it did.
//!
//! A target's samples come in the order in which its series were made, scrape after scrape. So the series behind the last
//! one found is tried first; a table alone would wait for a distant cache line at every sample.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::batch::Known;

struct Entry {
    reference: u64,
    /// The newest segment that describes the series.
    segment: u32,
    /// `None` where relabelling dropped the series.
    known: Option<Arc<Known>>,
}

/// Series by their numbers in the log.
#[derive(Default)]
pub struct KnownSeries {
    entries: Vec<Entry>,
    /// Indices into `entries`.
    places: HashMap<u64, u32>,
    /// Index of the series that is expected next.
    expected: usize,
}

/// What is known of a series.
#[derive(Debug)]
pub enum Found<'a> {
    /// It is sent.
    Sent(&'a Arc<Known>),
    /// Relabelling dropped it.
    Dropped,
    /// The log has not described it.
    Unknown,
}

impl KnownSeries {
    fn place(&self, reference: u64) -> Option<usize> {
        let expected = self.entries.get(self.expected);
        if expected.is_some_and(|entry| entry.reference == reference) {
            return Some(self.expected);
        }
        self.places.get(&reference).map(|place| *place as usize)
    }

    /// The series with that number.
    #[inline]
    pub fn find(&mut self, reference: u64) -> Found<'_> {
        let Some(place) = self.place(reference) else {
            return Found::Unknown;
        };
        self.expected = place + 1;
        match &self.entries[place].known {
            Some(known) => Found::Sent(known),
            None => Found::Dropped,
        }
    }

    /// Notes that `segment` describes the series; `make` is asked for it if it is new.
    pub fn describe(
        &mut self,
        reference: u64,
        segment: u32,
        make: impl FnOnce() -> Option<Arc<Known>>,
    ) {
        if let Some(place) = self.place(reference) {
            let entry = &mut self.entries[place];
            entry.segment = entry.segment.max(segment);
            return;
        }
        let place = self.entries.len() as u32;
        self.places.insert(reference, place);
        self.entries.push(Entry {
            reference,
            segment,
            known: make(),
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    fn series(name: &str) -> Option<Arc<Known>> {
        Some(Arc::new(Known {
            labels: Labels::from_refs(&mut [("__name__", name)]),
            encoded: Box::default(),
            metadata: Default::default(),
        }))
    }

    fn name(known: &mut KnownSeries, reference: u64) -> Option<String> {
        match known.find(reference) {
            Found::Sent(known) => Some(known.labels.metric_name().to_string()),
            Found::Dropped => Some(String::new()),
            Found::Unknown => None,
        }
    }

    #[test]
    fn series_are_found_in_any_order_and_forgotten_by_segment() {
        let mut known = KnownSeries::default();
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
