//! The head's postings: which series have a label value.
//!
//! Series are named by slot, a small dense number, so sets compress well: a value of a single series takes no memory
//! beyond its table entry, a few take two bytes each, a large set is a bitmap.

use hashbrown::hash_map::HashMap;
use roaring::RoaringBitmap;

/// Slots with one label value.
#[derive(Debug)]
enum Set {
    One(u32),
    Many(Box<RoaringBitmap>),
}

/// New series mostly get a slot beyond all others, whose place needs no search.
fn put(set: &mut RoaringBitmap, slot: u32) {
    if set.try_push(slot).is_err() {
        set.insert(slot);
    }
}

impl Set {
    fn insert(&mut self, slot: u32) {
        match self {
            Set::One(one) => {
                let mut many = RoaringBitmap::new();
                many.insert(*one);
                many.insert(slot);
                *self = Set::Many(Box::new(many));
            }
            Set::Many(many) => put(many, slot),
        }
    }

    /// Whether the set is empty after taking `slot` out.
    fn remove(&mut self, slot: u32) -> bool {
        match self {
            Set::One(one) => *one == slot,
            Set::Many(many) => {
                many.remove(slot);
                match (many.len(), many.min()) {
                    (0, _) | (_, None) => true,
                    (1, Some(one)) => {
                        *self = Set::One(one);
                        false
                    }
                    _ => false,
                }
            }
        }
    }

    fn len(&self) -> u64 {
        match self {
            Set::One(_) => 1,
            Set::Many(many) => many.len(),
        }
    }
}

/// Sets by name symbol and value symbol.
#[derive(Debug, Default)]
pub(crate) struct HeadPostings {
    names: HashMap<u32, HashMap<u32, Set>>,
    all: RoaringBitmap,
}

impl HeadPostings {
    /// Adds a series.
    pub(crate) fn add(&mut self, slot: u32, pairs: impl Iterator<Item = (u32, u32)>) {
        put(&mut self.all, slot);
        for (name, value) in pairs {
            self.names
                .entry(name)
                .or_default()
                .entry(value)
                .and_modify(|set| set.insert(slot))
                .or_insert(Set::One(slot));
        }
    }

    /// Takes a series out.
    pub(crate) fn remove(&mut self, slot: u32, pairs: impl Iterator<Item = (u32, u32)>) {
        self.all.remove(slot);
        for (name, value) in pairs {
            let Some(values) = self.names.get_mut(&name) else {
                continue;
            };
            if values.get_mut(&value).is_some_and(|set| set.remove(slot)) {
                values.remove(&value);
                if values.is_empty() {
                    self.names.remove(&name);
                }
            }
        }
    }

    /// Gives back what removals left reserved.
    pub(crate) fn shrink(&mut self) {
        for values in self.names.values_mut() {
            if values.capacity() > 4 * values.len() + 16 {
                values.shrink_to_fit();
            }
        }
    }

    /// All series.
    pub(crate) fn all(&self) -> &RoaringBitmap {
        &self.all
    }

    /// Adds the series of a label value to `out`.
    pub(crate) fn add_to(&self, name: u32, value: u32, out: &mut RoaringBitmap) {
        match self.names.get(&name).and_then(|v| v.get(&value)) {
            Some(Set::One(one)) => {
                out.insert(*one);
            }
            Some(Set::Many(many)) => *out |= &**many,
            None => {}
        }
    }

    /// How many series a label value has.
    pub(crate) fn count(&self, name: u32, value: u32) -> u64 {
        let set = self.names.get(&name).and_then(|v| v.get(&value));
        set.map_or(0, Set::len)
    }

    /// Leaves those of `found` that have a label value.
    pub(crate) fn narrow(&self, name: u32, value: u32, found: &mut RoaringBitmap) {
        match self.names.get(&name).and_then(|v| v.get(&value)) {
            Some(Set::One(one)) => {
                let there = found.contains(*one);
                found.clear();
                if there {
                    found.insert(*one);
                }
            }
            Some(Set::Many(many)) => *found &= &**many,
            None => found.clear(),
        }
    }

    /// Whether any series of a label value is in `among`.
    pub(crate) fn meets(&self, name: u32, value: u32, among: &RoaringBitmap) -> bool {
        match self.names.get(&name).and_then(|v| v.get(&value)) {
            Some(Set::One(one)) => among.contains(*one),
            Some(Set::Many(many)) => !many.is_disjoint(among),
            None => false,
        }
    }

    /// Value symbols of a name with the number of their series.
    pub(crate) fn values(&self, name: u32) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.names
            .get(&name)
            .into_iter()
            .flatten()
            .map(|(value, set)| (*value, set.len()))
    }

    /// Name symbols.
    pub(crate) fn names(&self) -> impl Iterator<Item = u32> + '_ {
        self.names.keys().copied()
    }

    /// Pairs of name and value in use.
    #[cfg(test)]
    pub(crate) fn pair_count(&self) -> usize {
        self.names.values().map(|v| v.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_grow_and_shrink() {
        let mut postings = HeadPostings::default();
        for slot in 0..100 {
            postings.add(slot, [(1, 10), (2, slot % 3)].into_iter());
        }
        let of = |p: &HeadPostings, name, value| {
            let mut out = RoaringBitmap::new();
            p.add_to(name, value, &mut out);
            out.len()
        };
        assert_eq!(
            (
                of(&postings, 1, 10),
                of(&postings, 2, 0),
                of(&postings, 2, 9)
            ),
            (100, 34, 0)
        );
        for slot in 1..100 {
            postings.remove(slot, [(1, 10), (2, slot % 3)].into_iter());
        }
        assert_eq!(
            (
                of(&postings, 1, 10),
                of(&postings, 2, 0),
                of(&postings, 2, 1)
            ),
            (1, 1, 0)
        );
        assert_eq!(postings.pair_count(), 2);
        postings.remove(0, [(1, 10), (2, 0)].into_iter());
        assert_eq!(postings.names().count(), 0);
        assert!(postings.all().is_empty());
    }
}
