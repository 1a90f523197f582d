//! Series selected from the head, put in label order without building their labels.
//!
//! Every distinct text among them gets its rank once; label sets then compare as lists of small numbers, and labels are
//! built when a series is handed out, from texts of its own: no lock is held meanwhile.

use hashbrown::HashMap;
use model::Labels;

use super::Head;
use crate::symbols::{LabelSet, Symbols};

/// Slots with their labels, sorted by these.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    /// All distinct texts, ascending.
    texts: Vec<Box<str>>,
    /// Ranks of name, value, name, value, ... of one series after the other.
    ranks: Vec<u32>,
    /// Slot, and where its ranks are; in label order.
    series: Vec<(u32, std::ops::Range<u32>)>,
}

impl Head {
    /// The series at these slots that are still there.
    pub(super) fn selected(&self, slots: impl Iterator<Item = u32> + Clone) -> Selected {
        loop {
            let removals = self.symbols.read().removals();
            let mut sets: Vec<(u32, LabelSet)> = Vec::with_capacity(slots.size_hint().0);
            for slot in slots.clone() {
                if let Some(series) = self.slots.lock(slot)
                    && series.reference != 0
                {
                    sets.push((slot, series.labels.clone()));
                }
            }
            let symbols = self.symbols.read();
            // A series that went in between has taken its symbols along.
            if symbols.removals() == removals {
                return Selected::new(&sets, &symbols);
            }
        }
    }
}

impl Selected {
    fn new(sets: &[(u32, LabelSet)], symbols: &Symbols) -> Selected {
        // Numbered as they are met, until their order is known.
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        let mut met: Vec<u32> = Vec::new();
        let mut number = |symbol: u32| {
            *numbers.entry(symbol).or_insert_with(|| {
                met.push(symbol);
                met.len() as u32 - 1
            })
        };
        let mut ranks =
            Vec::with_capacity(sets.first().map_or(0, |(_, set)| set.len() * 2) * sets.len());
        let mut series = Vec::with_capacity(sets.len());
        for (slot, set) in sets {
            let from = ranks.len() as u32;
            for (name, value) in symbols.pairs(set) {
                ranks.push(number(name));
                ranks.push(number(value));
            }
            series.push((*slot, from..ranks.len() as u32));
        }
        let mut order: Vec<(&str, u32)> = met
            .iter()
            .enumerate()
            .map(|(number, symbol)| (symbols.text(*symbol), number as u32))
            .collect();
        order.sort_unstable();
        let mut rank_of = vec![0; order.len()];
        for (rank, (_, number)) in order.iter().enumerate() {
            rank_of[*number as usize] = rank as u32;
        }
        ranks
            .iter_mut()
            .for_each(|rank| *rank = rank_of[*rank as usize]);
        let key = |range: &std::ops::Range<u32>| &ranks[range.start as usize..range.end as usize];
        series.sort_unstable_by(|a, b| key(&a.1).cmp(key(&b.1)));
        Selected {
            texts: order.into_iter().map(|(text, _)| text.into()).collect(),
            ranks,
            series,
        }
    }

    /// All slots, in label order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.series.iter().map(|(slot, _)| *slot)
    }

    /// The slot of the `nth` series in label order.
    pub(crate) fn slot(&self, nth: usize) -> Option<u32> {
        self.series.get(nth).map(|(slot, _)| *slot)
    }

    /// The labels of the `nth` series; `scratch` is reused from call to call.
    pub(crate) fn labels(&self, nth: usize, scratch: &mut Vec<u8>) -> Labels {
        let Some((_, range)) = self.series.get(nth) else {
            return Labels::empty();
        };
        let ranks = &self.ranks[range.start as usize..range.end as usize];
        let text = |rank: u32| &*self.texts[rank as usize];
        let pairs = ranks
            .chunks_exact(2)
            .map(|pair| (text(pair[0]), text(pair[1])));
        Labels::from_sorted(pairs, scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_as_labels_are() {
        let mut symbols = Symbols::default();
        let mut all = Vec::new();
        for (i, names) in [
            vec!["a"],
            vec!["a", "b"],
            vec!["b"],
            vec!["__name__", "a"],
            vec!["a", "c"],
        ]
        .iter()
        .enumerate()
        {
            for j in [3, 10, 2, 1] {
                let value = |n: &&str| (n.to_string(), format!("v{}", j * (i + 1)));
                all.push(Labels::from_pairs(names.iter().map(value)));
            }
        }
        let sets: Vec<(u32, LabelSet)> = all
            .iter()
            .enumerate()
            .map(|(slot, labels)| (slot as u32, symbols.add(labels).expect("room")))
            .collect();
        let selected = Selected::new(&sets, &symbols);
        let got: Vec<Labels> = (0..all.len())
            .map(|nth| selected.labels(nth, &mut Vec::new()))
            .collect();
        for (nth, labels) in got.iter().enumerate() {
            assert_eq!(
                selected.slot(nth).map(|slot| &all[slot as usize]),
                Some(labels)
            );
        }
        all.sort();
        assert_eq!(got, all);
    }
}
