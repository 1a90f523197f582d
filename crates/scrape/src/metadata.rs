//! What targets tell about their families: type, unit, help. Texts that many targets share are kept once.

use std::collections::HashSet;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{Metadata, MetricType};
use parking_lot::Mutex;

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

/// The families of one target.
pub struct TargetMetadata {
    interner: Interner,
    families: HashMap<Arc<str>, Family>,
    scrape: u32,
}

struct Family {
    metadata: Arc<Metadata>,
    seen: u32,
    /// The scrape that changed it last.
    changed: u32,
}

impl TargetMetadata {
    /// Nothing is known yet.
    pub fn new(interner: Interner) -> TargetMetadata {
        TargetMetadata {
            interner,
            families: HashMap::new(),
            scrape: 0,
        }
    }

    /// Starts a scrape.
    pub fn begin(&mut self) {
        self.scrape = self.scrape.wrapping_add(1);
    }

    /// A `# TYPE` line.
    pub fn see_type(&mut self, name: &str, kind: MetricType) {
        self.see(
            name,
            |known| known.kind == kind,
            |metadata| metadata.kind = kind,
        );
    }

    /// A `# HELP` line.
    pub fn see_help(&mut self, name: &str, help: &str) {
        self.see(
            name,
            |known| known.help == help,
            |metadata| metadata.help = help.to_string(),
        );
    }

    /// A `# UNIT` line.
    pub fn see_unit(&mut self, name: &str, unit: &str) {
        self.see(
            name,
            |known| known.unit == unit,
            |metadata| metadata.unit = unit.to_string(),
        );
    }

    /// Allocates only when something is new.
    fn see(
        &mut self,
        name: &str,
        same: impl Fn(&Metadata) -> bool,
        change: impl Fn(&mut Metadata),
    ) {
        let scrape = self.scrape;
        if let Some(family) = self.families.get_mut(name) {
            family.seen = scrape;
            if !same(&family.metadata) {
                let mut metadata = Metadata::clone(&family.metadata);
                change(&mut metadata);
                family.metadata = self.interner.metadata(metadata);
                family.changed = scrape;
            }
            return;
        }
        let mut metadata = Metadata::default();
        change(&mut metadata);
        let metadata = self.interner.metadata(metadata);
        self.families.insert(
            self.interner.name(name),
            Family {
                metadata,
                seen: scrape,
                changed: scrape,
            },
        );
    }

    /// Ends a successful scrape: forgets families that are long gone.
    pub fn finish(&mut self) {
        let scrape = self.scrape;
        if scrape.is_multiple_of(FORGET_AFTER) {
            self.families
                .retain(|_, family| scrape.wrapping_sub(family.seen) < FORGET_AFTER);
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
        self.families.values().map(size).sum()
    }

    /// What is known, in no particular order.
    pub fn all(&self) -> Vec<(Arc<str>, Arc<Metadata>)> {
        self.families
            .iter()
            .map(|(name, f)| (name.clone(), f.metadata.clone()))
            .collect()
    }

    /// Whether the scrape that is going on has told something new of a family.
    pub fn has_changed(&self, name: &str) -> bool {
        let family = self.families.get(name);
        family.is_some_and(|family| family.changed == self.scrape)
    }

    /// What is known of one family.
    pub fn get(&self, name: &str) -> Option<Arc<Metadata>> {
        self.families
            .get(name)
            .map(|family| family.metadata.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
