//! `topk` and `bottomk`: per group and step the best series. Only candidates are held, never the whole input.

use std::cmp::Ordering;

use model::Labels;
use promql_syntax::ast::AggregateOp;

use super::grouping::Grouping;
use crate::cx::Cx;
use crate::error::Res;
use crate::frame::{Frame, is_absent};
use crate::grid::Grid;
use crate::notes::Note;
use crate::plan::Aggregate;
use crate::stream::{Stream, open as open_stream};

/// A value and the number of the series it comes from.
type Entry = (f64, u32);

struct Candidate {
    labels: Labels,
    drop_name: bool,
}

/// The best comes first; NaN is worse than anything, of equal values the earlier series is better.
fn order(top: bool, a: Entry, b: Entry) -> Ordering {
    let by_value = match (a.0.is_nan(), b.0.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ if top => b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal),
        _ => a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal),
    };
    by_value.then(a.1.cmp(&b.1))
}

pub(super) fn open<'q>(
    aggregate: &'q Aggregate,
    counts: Vec<usize>,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<Box<dyn Stream + 'q>> {
    let top = aggregate.op == AggregateOp::Topk;
    let mut input = open_stream(&aggregate.input, grid, cx)?;
    let mut grouping = Grouping::new(aggregate, cx);
    // Per group and step a heap of at most k entries, the worst on top.
    let mut heaps: Vec<Vec<Vec<Entry>>> = Vec::new();
    let mut candidates: Vec<Option<Candidate>> = Vec::new();
    let mut frame = Frame::default();
    while input.next(&mut frame)? {
        cx.check()?;
        if frame.hists.iter().any(Option::is_some) && counts.iter().any(|k| *k > 0) {
            let note = Note::IgnoredInAggregation(aggregate.op.as_str());
            cx.note(note, aggregate.own_pos);
        }
        let at = match grouping.place(&frame) {
            Ok(at) => at,
            Err((at, _)) => {
                cx.budget.take(0, grid.n * 24)?;
                heaps.push(vec![Vec::new(); grid.n]);
                at
            }
        };
        let number = candidates.len() as u32;
        let mut taken = false;
        for (i, v) in frame.floats.iter().enumerate() {
            if is_absent(*v) || counts[i] == 0 {
                continue;
            }
            let heap = &mut heaps[at][i];
            if heap.len() < counts[i] {
                cx.budget.take(1, 16)?;
                push(heap, (*v, number), top);
                taken = true;
            } else if order(top, (*v, number), heap[0]) == Ordering::Less {
                heap[0] = (*v, number);
                sift_down(heap, top);
                taken = true;
            }
        }
        candidates.push(taken.then(|| Candidate {
            labels: frame.labels.clone(),
            drop_name: frame.drop_name,
        }));
    }
    Ok(Box::new(Ranked::new(heaps, candidates, top, &grid)))
}

/// The entries that are left, series by series; over one step in order of rank.
struct Ranked {
    /// (place of the series in the output, step, value), sorted.
    entries: std::iter::Peekable<std::vec::IntoIter<(u32, u32, f64)>>,
    /// The series in order of output.
    series: std::vec::IntoIter<Candidate>,
    steps: usize,
}

impl Ranked {
    fn new(
        heaps: Vec<Vec<Vec<Entry>>>,
        mut candidates: Vec<Option<Candidate>>,
        top: bool,
        grid: &Grid,
    ) -> Ranked {
        const NOWHERE: u32 = u32::MAX;
        let mut places = vec![NOWHERE; candidates.len()];
        let mut series = Vec::new();
        let mut entries = Vec::new();
        for group in heaps {
            for (step, mut heap) in group.into_iter().enumerate() {
                heap.sort_by(|a, b| order(top, *a, *b));
                for (v, number) in heap {
                    let at = number as usize;
                    if places[at] == NOWHERE {
                        let Some(candidate) = candidates[at].take() else {
                            continue;
                        };
                        places[at] = series.len() as u32;
                        series.push(candidate);
                    }
                    entries.push((places[at], step as u32, v));
                }
            }
        }
        entries.sort_by_key(|(place, step, _)| (*place, *step));
        Ranked {
            entries: entries.into_iter().peekable(),
            series: series.into_iter(),
            steps: grid.n,
        }
    }
}

impl Stream for Ranked {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        let Some(candidate) = self.series.next() else {
            return Ok(false);
        };
        out.reset(self.steps);
        out.labels = candidate.labels;
        out.drop_name = candidate.drop_name;
        if let Some((place, _, _)) = self.entries.peek().copied() {
            while let Some((_, step, v)) = self.entries.next_if(|e| e.0 == place) {
                out.floats[step as usize] = v;
            }
        }
        Ok(true)
    }
}

/// Whether `a` is worse than `b`, and so belongs nearer to the top of the heap.
fn worse(top: bool, a: Entry, b: Entry) -> bool {
    order(top, a, b) == Ordering::Greater
}

fn push(heap: &mut Vec<Entry>, entry: Entry, top: bool) {
    heap.push(entry);
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !worse(top, heap[at], heap[parent]) {
            return;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

fn sift_down(heap: &mut [Entry], top: bool) {
    let mut at = 0;
    loop {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        let mut worst = at;
        for child in [left, right] {
            if child < heap.len() && worse(top, heap[child], heap[worst]) {
                worst = child;
            }
        }
        if worst == at {
            return;
        }
        heap.swap(at, worst);
        at = worst;
    }
}
