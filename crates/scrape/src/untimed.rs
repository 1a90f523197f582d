//! Exemplars without a time of their own. A page shows one again and again until there is another, and each time it
//! would look like a new one: only the first is stored, as upstream does.

use std::collections::HashMap;

use model::Exemplar;
use storage::SeriesRef;

/// The last one of each series, as a hash of labels and value.
#[derive(Default)]
pub struct Untimed(HashMap<SeriesRef, u64>);

impl Untimed {
    /// Whether it is the one that the series had last.
    pub fn is_known(&self, series: SeriesRef, exemplar: &Exemplar) -> bool {
        self.0.get(&series) == Some(&mark(exemplar))
    }

    /// Remembers one that was stored.
    pub fn remember(&mut self, series: SeriesRef, exemplar: &Exemplar) {
        self.0.insert(series, mark(exemplar));
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0 = HashMap::new();
    }
}

fn mark(exemplar: &Exemplar) -> u64 {
    exemplar.labels.stable_hash() ^ exemplar.value.to_bits().rotate_left(32)
}
