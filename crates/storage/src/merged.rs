//! Several series sets as one.

use crate::select::{Series, SeriesSet, StorageError};

/// Series of several sets, sorted; a label set that several have comes once, with the chunks of all of them.
pub struct MergedSeries {
    sets: Vec<Box<dyn SeriesSet>>,
    /// The next series of each set.
    next: Vec<Option<Series>>,
    begun: bool,
    ended: bool,
    warnings: Vec<String>,
}

impl MergedSeries {
    /// Over `sets`, with warnings of sets that are not there.
    pub fn new(sets: Vec<Box<dyn SeriesSet>>, warnings: Vec<String>) -> MergedSeries {
        MergedSeries {
            next: sets.iter().map(|_| None).collect(),
            sets,
            begun: false,
            ended: false,
            warnings,
        }
    }

    fn advance(&mut self, at: usize) -> Result<(), StorageError> {
        self.next[at] = self.sets[at].next().transpose()?;
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Series>, StorageError> {
        if !self.begun {
            self.begun = true;
            for at in 0..self.sets.len() {
                self.advance(at)?;
            }
        }
        let Some(labels) = self
            .next
            .iter()
            .flatten()
            .map(|series| &series.labels)
            .min()
            .cloned()
        else {
            return Ok(None);
        };
        let mut merged: Option<Series> = None;
        for at in 0..self.sets.len() {
            if self.next[at]
                .as_ref()
                .is_none_or(|series| series.labels != labels)
            {
                continue;
            }
            let series = self.next[at].take();
            self.advance(at)?;
            match (&mut merged, series) {
                (Some(merged), Some(series)) => merged.chunks.extend(series.chunks),
                (none, series) => *none = series,
            }
        }
        if let Some(merged) = &mut merged {
            merged
                .chunks
                .sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
        }
        Ok(merged)
    }
}

impl SeriesSet for MergedSeries {
    fn next(&mut self) -> Option<Result<Series, StorageError>> {
        if self.ended {
            return None;
        }
        let step = self.step();
        self.ended = !matches!(step, Ok(Some(_)));
        step.transpose()
    }

    fn warnings(&mut self) -> Vec<String> {
        let mut all = std::mem::take(&mut self.warnings);
        for set in &mut self.sets {
            all.extend(set.warnings());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReadySeries;
    use crate::memory::{StoredValue, encode};
    use model::Labels;

    fn set(series: &[(&str, i64)]) -> Box<dyn SeriesSet> {
        let series = series.iter().map(|(name, t)| Series {
            labels: Labels::from_pairs([("a", *name)]),
            chunks: encode(&[(*t, &StoredValue::Float(1.0))]).expect("encodes"),
        });
        Box::new(ReadySeries::new(series.collect()))
    }

    #[test]
    fn label_sets_come_once() {
        let sets = vec![set(&[("b", 5), ("c", 5)]), set(&[("a", 1), ("b", 1)])];
        let mut merged = MergedSeries::new(sets, vec!["w".into()]);
        let mut seen = Vec::new();
        while let Some(series) = merged.next() {
            let series = series.expect("no fault");
            let times: Vec<i64> = series.chunks.iter().map(|c| c.min_time).collect();
            seen.push((series.labels.get("a").unwrap_or("").to_string(), times));
        }
        let want = [("a", vec![1]), ("b", vec![1, 5]), ("c", vec![5])];
        assert_eq!(seen, want.map(|(name, times)| (name.to_string(), times)));
        assert_eq!(merged.warnings(), ["w"]);
    }
}
