//! What a rule wrote last time, so that series are known by reference and those that are gone get a stale marker.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{FloatHistogram, Labels};
use promql::SampleValue;
use storage::{AppendError, Appendable, Appender, HistogramSample, SeriesRef};

/// Names a series of the writer; good until the next [`Writer::write`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

#[derive(Debug)]
struct Entry {
    labels: Labels,
    series: Option<SeriesRef>,
    /// The evaluation that yielded it last.
    seen: u64,
    written: bool,
    /// Tells uses of the same slot apart.
    serial: u64,
}

/// The series of one rule.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    by_output: HashMap<Labels, u32>,
    /// From what a query yields to what is written: a steady rule builds no label set anew.
    by_input: HashMap<Labels, (u32, u64)>,
    generation: u64,
    serials: u64,
}

/// The same label set twice in one evaluation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Twice;

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Samples that storage took.
    pub samples: usize,
    /// Samples that it refused, by cause: out of order, too old, duplicate.
    pub dropped: [usize; 3],
    /// The last refusal, or why nothing was written.
    pub error: Option<String>,
}

impl Writer {
    /// A new evaluation.
    pub fn begin(&mut self) {
        self.generation += 1;
        if self.by_input.len() > 2 * self.by_output.len() + 64 {
            let entries = &self.entries;
            self.by_input.retain(|_, (at, serial)| {
                entries[*at as usize]
                    .as_ref()
                    .is_some_and(|e| e.serial == *serial)
            });
        }
    }

    /// The slot of a label set.
    pub fn claim(&mut self, labels: &Labels) -> Result<Slot, Twice> {
        let at = match self.by_output.get(labels) {
            Some(at) => *at,
            None => self.insert(labels.clone()),
        };
        self.see(at)
    }

    /// The slot of what `output` makes of `input`.
    pub fn claim_input(
        &mut self,
        input: &Labels,
        output: impl FnOnce(&Labels) -> Labels,
    ) -> Result<Slot, Twice> {
        if let Some((at, serial)) = self.by_input.get(input) {
            let at = *at;
            if self.entries[at as usize]
                .as_ref()
                .is_some_and(|e| e.serial == *serial)
            {
                return self.see(at);
            }
        }
        let slot = self.claim(&output(input))?;
        if let Some(entry) = &self.entries[slot.0 as usize] {
            self.by_input.insert(input.clone(), (slot.0, entry.serial));
        }
        Ok(slot)
    }

    fn insert(&mut self, labels: Labels) -> u32 {
        self.serials += 1;
        let entry = Some(Entry {
            labels: labels.clone(),
            series: None,
            seen: 0,
            written: false,
            serial: self.serials,
        });
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.by_output.insert(labels, at);
        at
    }

    fn see(&mut self, at: u32) -> Result<Slot, Twice> {
        match &mut self.entries[at as usize] {
            Some(entry) if entry.seen != self.generation => {
                entry.seen = self.generation;
                Ok(Slot(at))
            }
            _ => Err(Twice),
        }
    }

    /// Writes the samples at `t` and stale markers for what was there before and is not now, as one batch.
    pub fn write(
        &mut self,
        samples: &[(Slot, SampleValue)],
        t: i64,
        appendable: &dyn Appendable,
    ) -> Written {
        let mut written = Written::default();
        let mut batch = appendable.appender();
        for (slot, value) in samples {
            let Some(entry) = &mut self.entries[slot.0 as usize] else {
                continue;
            };
            match entry.append(&mut *batch, t, value) {
                Ok(()) => {
                    entry.written = true;
                    written.samples += 1;
                }
                Err(error) => {
                    match error {
                        AppendError::OutOfOrder => written.dropped[0] += 1,
                        AppendError::TooOld | AppendError::OutOfBounds => written.dropped[1] += 1,
                        AppendError::DuplicateTimestamp(_) => written.dropped[2] += 1,
                        _ => {}
                    }
                    written.error = Some(error.to_string());
                }
            }
        }
        let stale = SampleValue::Float(model::sample::stale_nan());
        for at in 0..self.entries.len() {
            let Some(entry) = &mut self.entries[at] else {
                continue;
            };
            if entry.seen == self.generation {
                continue;
            }
            if entry.written {
                // A refusal has no consequence: the series has newer samples from somebody else.
                let _ = entry.append(&mut *batch, t, &stale);
            }
            self.by_output.remove(&entry.labels);
            self.entries[at] = None;
            self.free.push(at as u32);
        }
        if let Err(error) = batch.commit() {
            written.samples = 0;
            written.error = Some(error.to_string());
        }
        written
    }

    /// Takes over the series of a rule that ends, so that those that are gone are marked.
    pub fn take_over(&mut self, old: &mut Writer) {
        *self = std::mem::take(old);
        // What rules add to the labels may have changed.
        self.by_input.clear();
    }

    /// Marks all series stale at `t`; afterwards there are none.
    pub fn end(&mut self, t: i64, appendable: &dyn Appendable) -> Written {
        self.begin();
        self.write(&[], t, appendable)
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.by_output.is_empty()
    }
}

impl Entry {
    fn append(
        &mut self,
        batch: &mut dyn Appender,
        t: i64,
        value: &SampleValue,
    ) -> Result<(), AppendError> {
        if let Some(series) = self.series {
            match append(batch, series, t, value) {
                Err(AppendError::UnknownSeries) => {}
                result => return result,
            }
        }
        let series = batch.series(&self.labels)?;
        self.series = Some(series);
        append(batch, series, t, value)
    }
}

fn append(
    batch: &mut dyn Appender,
    series: SeriesRef,
    t: i64,
    value: &SampleValue,
) -> Result<(), AppendError> {
    match value {
        SampleValue::Float(v) => batch.append(series, t, *v),
        SampleValue::Histogram(h) => {
            let h: &Arc<FloatHistogram> = h;
            batch.append_histogram(series, t, HistogramSample::Float(h))
        }
    }
}
