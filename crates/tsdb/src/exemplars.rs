//! Exemplars: one ring for all series, the oldest ingested goes first.

use std::collections::{HashMap, VecDeque};

use model::{Exemplar, Labels, Matcher};
use parking_lot::RwLock;
use storage::{AppendError, TimeRange};

/// Characters the labels of an exemplar may have.
const LABEL_CHARS_MAX: usize = 128;

#[derive(Debug, Default)]
struct Ring {
    capacity: usize,
    /// Order of ingestion: the series and the exemplar's number.
    order: VecDeque<(Labels, u64)>,
    /// By series: number and exemplar, sorted by time.
    series: HashMap<Labels, Vec<(u64, Exemplar)>>,
    next: u64,
    newest: i64,
}

/// All exemplars of a head.
#[derive(Debug)]
pub(crate) struct ExemplarRing(RwLock<Ring>);

/// Numbers for metrics: exemplars, series with exemplars, newest time, capacity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ExemplarStats {
    pub(crate) exemplars: usize,
    pub(crate) series: usize,
    pub(crate) newest: i64,
    pub(crate) capacity: usize,
}

fn time(e: &Exemplar) -> i64 {
    e.timestamp.unwrap_or(0)
}

impl Ring {
    fn check(&self, series: &Labels, e: &Exemplar, window: i64) -> Result<(), AppendError> {
        if self.capacity == 0 {
            return Err(AppendError::ExemplarsDisabled);
        }
        let chars = |s: &str| s.chars().count();
        let length: usize = e.labels.iter().map(|(n, v)| chars(n) + chars(v)).sum();
        if length > LABEL_CHARS_MAX {
            return Err(AppendError::ExemplarTooLong);
        }
        let Some((_, newest)) = self.series.get(series).and_then(|list| list.last()) else {
            return Ok(());
        };
        let same_value = newest.value.to_bits() == e.value.to_bits();
        if newest.labels == e.labels && same_value && time(newest) == time(e) {
            return Err(AppendError::DuplicateExemplar);
        }
        let (t, last) = (time(e), time(newest));
        let smaller = e.value < newest.value
            || same_value && e.labels.stable_hash() < newest.labels.stable_hash();
        if (t < last && t <= last.saturating_sub(window)) || (t == last && smaller) {
            return Err(AppendError::OutOfOrderExemplar);
        }
        Ok(())
    }

    fn evict(&mut self) {
        let Some((labels, number)) = self.order.pop_front() else {
            return;
        };
        if let Some(list) = self.series.get_mut(&labels) {
            list.retain(|(n, _)| *n != number);
            if list.is_empty() {
                self.series.remove(&labels);
            }
        }
    }
}

impl ExemplarRing {
    pub(crate) fn new(capacity: usize) -> ExemplarRing {
        ExemplarRing(RwLock::new(Ring {
            capacity,
            ..Ring::default()
        }))
    }

    /// Whether an exemplar could be added.
    pub(crate) fn check(
        &self,
        series: &Labels,
        e: &Exemplar,
        window: i64,
    ) -> Result<(), AppendError> {
        self.0.read().check(series, e, window)
    }

    /// Adds an exemplar; false when it is there already.
    pub(crate) fn add(
        &self,
        series: &Labels,
        e: &Exemplar,
        window: i64,
    ) -> Result<bool, AppendError> {
        let mut ring = self.0.write();
        match ring.check(series, e, window) {
            Err(AppendError::DuplicateExemplar) => return Ok(false),
            other => other?,
        }
        while ring.order.len() >= ring.capacity {
            ring.evict();
        }
        let number = ring.next;
        ring.next += 1;
        ring.newest = ring.newest.max(time(e));
        let list = ring.series.entry(series.clone()).or_default();
        let at = list.partition_point(|(_, old)| time(old) <= time(e));
        let known = at > 0 && time(&list[at - 1].1) == time(e) && at < list.len();
        if known {
            return Ok(false);
        }
        list.insert(at, (number, e.clone()));
        ring.order.push_back((series.clone(), number));
        Ok(true)
    }

    /// Exemplars of series that fulfil all matchers of any of the sets, sorted by labels.
    pub(crate) fn select(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
    ) -> Vec<(Labels, Vec<Exemplar>)> {
        let ring = self.0.read();
        let wanted = |labels: &Labels| {
            sets.iter()
                .any(|set| set.iter().all(|m| m.matches_labels(labels)))
        };
        let mut out: Vec<(Labels, Vec<Exemplar>)> = ring
            .series
            .iter()
            .filter(|(labels, _)| wanted(labels))
            .map(|(labels, list)| {
                let inside = list.iter().filter(|(_, e)| range.contains(time(e)));
                (
                    labels.clone(),
                    inside.map(|(_, e)| e.clone()).collect::<Vec<_>>(),
                )
            })
            .filter(|(_, list)| !list.is_empty())
            .collect();
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    /// Changes the room; the oldest ingested go when it shrinks.
    pub(crate) fn resize(&self, capacity: usize) {
        let mut ring = self.0.write();
        ring.capacity = capacity;
        while ring.order.len() > capacity {
            ring.evict();
        }
    }

    pub(crate) fn stats(&self) -> ExemplarStats {
        let ring = self.0.read();
        ExemplarStats {
            exemplars: ring.order.len(),
            series: ring.series.len(),
            newest: ring.newest,
            capacity: ring.capacity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(t: i64, value: f64) -> Exemplar {
        Exemplar {
            labels: Labels::from_pairs([("trace", "x")]),
            value,
            timestamp: Some(t),
        }
    }

    #[test]
    fn ring_order_and_selection() {
        let ring = ExemplarRing::new(3);
        let (a, b) = (
            Labels::from_pairs([("s", "a")]),
            Labels::from_pairs([("s", "b")]),
        );
        assert_eq!(ring.add(&a, &exemplar(10, 1.0), 0), Ok(true));
        assert_eq!(ring.add(&a, &exemplar(10, 1.0), 0), Ok(false));
        assert_eq!(
            ring.add(&a, &exemplar(5, 1.0), 0),
            Err(AppendError::OutOfOrderExemplar)
        );
        assert_eq!(
            ring.add(&a, &exemplar(10, 0.5), 0),
            Err(AppendError::OutOfOrderExemplar)
        );
        assert_eq!(ring.add(&a, &exemplar(5, 1.0), 100), Ok(true));
        assert_eq!(ring.add(&b, &exemplar(20, 1.0), 0), Ok(true));
        let any = vec![vec![
            Matcher::new(model::MatchOp::Regex, "s", ".+").unwrap(),
        ]];
        let all = ring.select(TimeRange::ALL, &any);
        assert_eq!(all.iter().map(|(_, l)| l.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(time(&all[0].1[0]), 5);
        ring.add(&b, &exemplar(30, 1.0), 0).unwrap();
        assert_eq!(
            ring.select(TimeRange { min: 0, max: 10 }, &any)[0].1.len(),
            1
        );
        ring.resize(1);
        assert_eq!(ring.stats().exemplars, 1);
        ring.resize(0);
        assert_eq!(
            ring.add(&a, &exemplar(90, 1.0), 0),
            Err(AppendError::ExemplarsDisabled)
        );
    }

    #[test]
    fn too_long_labels() {
        let ring = ExemplarRing::new(3);
        let e = Exemplar {
            labels: Labels::from_pairs([("t", "x".repeat(128))]),
            value: 1.0,
            timestamp: None,
        };
        assert_eq!(
            ring.add(&Labels::empty(), &e, 0),
            Err(AppendError::ExemplarTooLong)
        );
    }
}
