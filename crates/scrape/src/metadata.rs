//! What targets tell about their families: type, unit, help. Texts that many targets share are kept once.

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashTable;
use model::{Metadata, MetricType};
use parking_lot::Mutex;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Scrapes after which a family that is not seen any more is forgotten.
const FORGET_AFTER: u32 = 10;

/// Keeps one copy of equal metadata. Clones share it.
#[derive(Clone, Default)]
pub struct Interner(Arc<Mutex<Interned>>);

#[derive(Default)]
struct Interned {
    names: HashSet<Arc<str>>,
    metadata: HashSet<Arc<Metadata>>,
}

impl Interner {
    fn name(&self, name: &str) -> Arc<str> {
        let mut interned = self.0.lock();
        if let Some(known) = interned.names.get(name) {
            return known.clone();
        }
        let fresh: Arc<str> = name.into();
        interned.names.insert(fresh.clone());
        fresh
    }

    fn metadata(&self, metadata: Metadata) -> Arc<Metadata> {
        let mut interned = self.0.lock();
        if let Some(known) = interned.metadata.get(&metadata) {
            return known.clone();
        }
        let fresh = Arc::new(metadata);
        interned.metadata.insert(fresh.clone());
        fresh
    }

    /// Forgets what nobody holds any more.
    pub fn sweep(&self) {
        let mut interned = self.0.lock();
        interned.names.retain(|name| Arc::strong_count(name) > 1);
        interned
            .metadata
            .retain(|metadata| Arc::strong_count(metadata) > 1);
    }
}

/// The families of one target, in the order in which it first told of them.
///
/// Targets tell the same of the same families every time, in the same order. So the family of the last line, and the one
/// after it, are tried first, by a hash of what the line says: a steady scrape walks through memory in its order.
pub struct TargetMetadata {
    interner: Interner,
    families: Vec<Family>,
    /// Indices into `families`, by name.
    places: HashTable<u32>,
    /// Index of the family of the last line.
    at: usize,
    scrape: u32,
}

struct Family {
    name: Arc<str>,
    metadata: Arc<Metadata>,
    /// Hashes of name and content of the last line of each kind; 0 before the first.
    told: [u32; 3],
    seen: u32,
    /// The scrape that changed it last.
    changed: u32,
}

/// Kinds of lines, as indices of [`Family::told`].
const TYPE: usize = 0;
const HELP: usize = 1;
const UNIT: usize = 2;

fn hash_of(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// Of what a line says. That two lines after one another have the same has a chance of 1 in 4 billion.
fn told(name: &str, content: &str) -> u32 {
    let hash = xxh3_64_with_seed(content.as_bytes(), hash_of(name));
    (hash as u32).max(1)
}

impl TargetMetadata {
    /// Nothing is known yet.
    pub fn new(interner: Interner) -> TargetMetadata {
        TargetMetadata {
            interner,
            families: Vec::new(),
            places: HashTable::new(),
            at: 0,
            scrape: 0,
        }
    }

    /// Starts a scrape.
    pub fn begin(&mut self) {
        self.scrape = self.scrape.wrapping_add(1);
        self.at = 0;
    }

    /// A `# TYPE` line.
    pub fn see_type(&mut self, name: &str, kind: MetricType) {
        self.see(TYPE, name, kind.as_str(), |metadata| metadata.kind = kind);
    }

    /// A `# HELP` line.
    pub fn see_help(&mut self, name: &str, help: &str) {
        self.see(HELP, name, help, |metadata| {
            metadata.help = help.to_string();
        });
    }

    /// A `# UNIT` line.
    pub fn see_unit(&mut self, name: &str, unit: &str) {
        self.see(UNIT, name, unit, |metadata| {
            metadata.unit = unit.to_string();
        });
    }

    /// Allocates only when something is new.
    fn see(&mut self, line: usize, name: &str, content: &str, change: impl Fn(&mut Metadata)) {
        let (scrape, told) = (self.scrape, told(name, content));
        let near = self.families.iter_mut().enumerate().skip(self.at).take(2);
        for (at, family) in near {
            if family.told[line] == told {
                family.seen = scrape;
                self.at = at;
                return;
            }
        }
        self.at = self.place(name).unwrap_or_else(|| self.add(name));
        let family = &mut self.families[self.at];
        family.seen = scrape;
        if family.told[line] == told {
            return;
        }
        family.told[line] = told;
        let mut metadata = Metadata::clone(&family.metadata);
        change(&mut metadata);
        if metadata != *family.metadata {
            family.metadata = self.interner.metadata(metadata);
            family.changed = scrape;
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        let same = |place: &u32| *self.families[*place as usize].name == *name;
        let place = self.places.find(hash_of(name), same)?;
        Some(*place as usize)
    }

    fn add(&mut self, name: &str) -> usize {
        let place = self.families.len();
        self.families.push(Family {
            name: self.interner.name(name),
            metadata: self.interner.metadata(Metadata::default()),
            told: [0; 3],
            seen: self.scrape,
            changed: self.scrape,
        });
        let families = &self.families;
        self.places
            .insert_unique(hash_of(name), place as u32, |place| {
                hash_of(&families[*place as usize].name)
            });
        place
    }

    /// Ends a successful scrape: forgets families that are long gone.
    pub fn finish(&mut self) {
        let scrape = self.scrape;
        if !scrape.is_multiple_of(FORGET_AFTER) {
            return;
        }
        let before = self.families.len();
        self.families
            .retain(|family| scrape.wrapping_sub(family.seen) < FORGET_AFTER);
        if self.families.len() == before {
            return;
        }
        self.places.clear();
        let families = &self.families;
        for (place, family) in families.iter().enumerate() {
            self.places
                .insert_unique(hash_of(&family.name), place as u32, |place| {
                    hash_of(&families[*place as usize].name)
                });
        }
    }

    /// How many families are known.
    pub fn len(&self) -> usize {
        self.families.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// Bytes of what is known, shared or not.
    pub fn bytes(&self) -> usize {
        let size = |f: &Family| {
            let known = &f.metadata;
            known.help.len() + known.unit.len() + known.kind.as_str().len()
        };
        self.families.iter().map(size).sum()
    }

    /// What is known, in no particular order.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<Metadata>)> {
        self.families
            .iter()
            .map(|f| (f.name.clone(), f.metadata.clone()))
            .collect()
    }

    /// Whether the scrape that is going on has told something new of a family.
    pub fn has_changed(&self, name: &str) -> bool {
        let family = self.place(name).map(|place| &self.families[place]);
        family.is_some_and(|family| family.changed == self.scrape)
    }

    /// What is known of one family.
    pub fn get(&self, name: &str) -> Option<Arc<Metadata>> {
        let place = self.place(name)?;
        Some(self.families[place].metadata.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_in_any_order() {
        let mut target = TargetMetadata::new(Interner::default());
        let names = ["a", "b", "c", "d"];
        for order in [[0, 1, 2, 3], [3, 1, 0, 2], [0, 0, 3, 3]] {
            target.begin();
            for i in order {
                let help = format!("Help of {}.", names[i]);
                target.see_help(names[i], &help);
                target.see_type(names[i], MetricType::Counter);
                assert_eq!(target.get(names[i]).expect("known").help, help);
            }
            assert_eq!(target.all().len(), 4);
        }
        assert!(!target.has_changed("a"), "it says the same again");
        target.begin();
        target.see_help("c", "Other.");
        assert!(target.has_changed("c") && !target.has_changed("d"));
        let c = target.get("c").expect("known");
        assert_eq!((c.help.as_str(), c.kind), ("Other.", MetricType::Counter));
    }

    #[test]
    fn shares_equal_texts_and_forgets() {
        let interner = Interner::default();
        let mut a = TargetMetadata::new(interner.clone());
        let mut b = TargetMetadata::new(interner.clone());
        for target in [&mut a, &mut b] {
            target.begin();
            target.see_help("m", "Help.");
            target.see_type("m", MetricType::Gauge);
        }
        let (of_a, of_b) = (a.get("m").expect("known"), b.get("m").expect("known"));
        assert!(Arc::ptr_eq(&of_a, &of_b));
        assert_eq!(
            (of_a.kind, of_a.help.as_str()),
            (MetricType::Gauge, "Help.")
        );
        assert!(a.has_changed("m"));
        for _ in 0..20 {
            a.begin();
            a.see_type("n", MetricType::Counter);
            a.finish();
        }
        assert!(a.get("m").is_none() && a.get("n").is_some());
        drop((a, b, of_a, of_b));
        interner.sweep();
        assert!(interner.0.lock().metadata.is_empty());
    }
}
