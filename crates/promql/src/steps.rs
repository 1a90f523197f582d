//! A set of steps, one bit each.

#[derive(Clone, Debug, Default)]
pub(crate) struct Steps(Vec<u64>);

impl Steps {
    pub fn new(n: usize) -> Steps {
        Steps(vec![0; n.div_ceil(64)])
    }

    /// Adds a step; false if it was in already.
    pub fn insert(&mut self, i: usize) -> bool {
        let bit = 1u64 << (i % 64);
        match self.0.get_mut(i / 64) {
            Some(word) => {
                let new = *word & bit == 0;
                *word |= bit;
                new
            }
            None => false,
        }
    }

    pub fn contains(&self, i: usize) -> bool {
        self.0
            .get(i / 64)
            .is_some_and(|word| word & (1u64 << (i % 64)) != 0)
    }
}
