//! A series' raw samples as columns: decoded once, then read by every step.

use std::sync::Arc;

use model::sample::is_stale_nan;
use model::{FloatHistogram, ResetHint};
use ondisk::chunk::{ChunkError, ChunkIter, ValueKind, decode_floats_between};
use storage::{Chunk, Series};

use crate::error::{QueryError, Res};
use crate::frame::Hist;

/// Samples of one series in order of time, floats and histograms apart. Reused from series to series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    /// Start timestamps of the floats, 0 for unknown; empty where they are not asked for.
    pub starts: Vec<i64>,
    pub hist_times: Vec<i64>,
    pub hists: Vec<Hist>,
    /// Like `starts`.
    pub hist_starts: Vec<i64>,
}

/// Count and sum of a histogram. Resets, which are found by comparing buckets, are noted in the hint.
fn counts_only(mut h: FloatHistogram, prev: &mut Option<FloatHistogram>) -> FloatHistogram {
    if !is_stale_nan(h.sum) {
        if h.reset_hint == ResetHint::Unknown
            && let Some(before) = prev
        {
            h.reset_hint = if h.detect_reset(before) {
                ResetHint::CounterReset
            } else {
                ResetHint::NotCounterReset
            };
        }
        *prev = Some(h.clone());
    }
    FloatHistogram {
        reset_hint: h.reset_hint,
        schema: h.schema,
        count: h.count,
        sum: h.sum,
        ..FloatHistogram::default()
    }
}

/// What to decode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub first: i64,
    pub last: i64,
    /// Stale markers end a series for instant selectors; range selectors never see them.
    pub stale_markers: bool,
    pub starts: bool,
    /// Of histograms only count, sum and what is known of resets are kept.
    pub skip_buckets: bool,
}

impl Columns {
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.starts.clear();
        self.hist_times.clear();
        self.hists.clear();
        self.hist_starts.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty() && self.hist_times.is_empty()
    }

    pub fn len(&self) -> usize {
        self.times.len() + self.hist_times.len()
    }

    /// Replaces the columns with the samples of `series` that are wanted.
    pub fn load(&mut self, series: &Series, wanted: &Wanted) -> Res<()> {
        self.clear();
        let chunks = || {
            series
                .chunks
                .iter()
                .filter(|c| c.max_time >= wanted.first && c.min_time <= wanted.last)
        };
        let mut end = i64::MIN;
        let overlap = chunks().any(|c| {
            let overlaps = end != i64::MIN && c.min_time <= end;
            end = end.max(c.max_time);
            overlaps
        });
        let mut prev = None;
        for chunk in chunks() {
            self.append(chunk, wanted, &mut prev)
                .map_err(|e| QueryError::damaged(&e))?;
        }
        if overlap {
            self.put_in_order();
        }
        Ok(())
    }

    fn append(
        &mut self,
        chunk: &Chunk,
        wanted: &Wanted,
        prev: &mut Option<FloatHistogram>,
    ) -> Result<(), ChunkError> {
        let is_float = chunk.encoding.kind() == Some(ValueKind::Float);
        if is_float && !wanted.starts {
            let from = self.times.len();
            decode_floats_between(
                chunk.encoding,
                &chunk.data,
                (wanted.first, wanted.last),
                &mut self.times,
                &mut self.values,
            )?;
            if !wanted.stale_markers {
                self.drop_stale(from);
            }
            return Ok(());
        }
        let mut iter = ChunkIter::new(chunk.encoding, &chunk.data[..])?;
        while let Some(kind) = iter.next()? {
            let t = iter.time();
            if t < wanted.first {
                continue;
            }
            if t > wanted.last {
                break;
            }
            let (_, v) = iter.at_float();
            if !wanted.stale_markers && is_stale_nan(v) {
                continue;
            }
            if kind == ValueKind::Float {
                self.times.push(t);
                self.values.push(v);
                if wanted.starts {
                    self.starts.push(iter.start_time());
                }
            } else {
                self.hist_times.push(t);
                let h = iter.at_float_histogram().1;
                self.hists.push(Arc::new(if wanted.skip_buckets {
                    counts_only(h, prev)
                } else {
                    h
                }));
                if wanted.starts {
                    self.hist_starts.push(iter.start_time());
                }
            }
        }
        Ok(())
    }

    /// Drops the stale markers among the floats from `from` on.
    fn drop_stale(&mut self, from: usize) {
        if !self.values[from..].iter().any(|v| is_stale_nan(*v)) {
            return;
        }
        let mut kept = from;
        for i in from..self.values.len() {
            if !is_stale_nan(self.values[i]) {
                self.values[kept] = self.values[i];
                self.times[kept] = self.times[i];
                kept += 1;
            }
        }
        self.values.truncate(kept);
        self.times.truncate(kept);
    }

    /// Sorts by time and keeps the first sample of each: chunks may overlap.
    fn put_in_order(&mut self) {
        let mut order: Vec<usize> = (0..self.times.len()).collect();
        order.sort_by_key(|i| self.times[*i]);
        order.dedup_by_key(|i| self.times[*i]);
        let mut hist_order: Vec<usize> = (0..self.hist_times.len()).collect();
        hist_order.sort_by_key(|i| self.hist_times[*i]);
        hist_order.dedup_by_key(|i| self.hist_times[*i]);
        // A float at the time of a histogram hides it.
        hist_order.retain(|i| {
            order
                .binary_search_by_key(&self.hist_times[*i], |j| self.times[*j])
                .is_err()
        });
        let pick = |values: &Vec<i64>, order: &[usize]| -> Vec<i64> {
            order
                .iter()
                .filter_map(|i| values.get(*i).copied())
                .collect()
        };
        self.starts = pick(&self.starts, &order);
        self.hist_starts = pick(&self.hist_starts, &hist_order);
        self.values = order.iter().map(|i| self.values[*i]).collect();
        self.times = pick(&self.times, &order);
        self.hists = hist_order
            .iter()
            .map(|i| Arc::clone(&self.hists[*i]))
            .collect();
        self.hist_times = pick(&self.hist_times, &hist_order);
    }

    /// Replaces the columns with the values of a frame at the steps of a grid.
    pub fn load_frame(&mut self, frame: &crate::frame::Frame, grid: &crate::grid::Grid) {
        self.clear();
        for (i, v) in frame.floats.iter().enumerate() {
            if !crate::frame::is_absent(*v) {
                self.times.push(grid.time(i));
                self.values.push(*v);
            } else if let Some(h) = frame.hist(i) {
                self.hist_times.push(grid.time(i));
                // What is known about resets between neighbours in storage says nothing about neighbours here.
                let h = match h.reset_hint {
                    model::ResetHint::CounterReset | model::ResetHint::NotCounterReset => {
                        let mut copy = (**h).clone();
                        copy.reset_hint = model::ResetHint::Unknown;
                        Arc::new(copy)
                    }
                    _ => Arc::clone(h),
                };
                self.hists.push(h);
            }
        }
    }
}
