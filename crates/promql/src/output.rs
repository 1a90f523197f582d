//! From frames to the answer: pending names removed, parts joined, series sorted.

use hashbrown::HashMap;
use model::Labels;

use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{Frame, is_absent, without_name};
use crate::grid::Grid;
use crate::stream::Stream;
use crate::value::{ResultSeries, Sample, SampleValue};

/// A frame as a series of the answer.
pub(crate) fn series(frame: &Frame, grid: &Grid, cx: &Cx<'_>) -> Res<ResultSeries> {
    let samples = frame.samples();
    cx.budget.take(samples, samples * 16 + 80)?;
    let mut out = ResultSeries {
        labels: if frame.drop_name {
            without_name(&frame.labels)
        } else {
            frame.labels.clone()
        },
        ..ResultSeries::default()
    };
    for (i, v) in frame.floats.iter().enumerate() {
        if !is_absent(*v) {
            if out.floats.is_empty() {
                out.floats
                    .reserve_exact(samples.min(frame.floats.len() - i));
            }
            out.floats.push((grid.time(i), *v));
        } else if let Some(h) = frame.hist(i) {
            out.histograms.push((grid.time(i), h.clone()));
        }
    }
    Ok(out)
}

/// All series of a stream, each label set once, sorted by labels.
pub(crate) fn matrix(stream: &mut dyn Stream, grid: &Grid, cx: &Cx<'_>) -> Res<Vec<ResultSeries>> {
    let mut frame = Frame::default();
    let mut all = Vec::new();
    while stream.next(&mut frame)? {
        cx.check()?;
        let series = series(&frame, grid, cx)?;
        if !series.floats.is_empty() || !series.histograms.is_empty() {
            all.push(series);
        }
    }
    join_and_sort(all, cx)
}

/// Sorts series by labels and joins those with the same; two values at one time are an error.
pub(crate) fn join_and_sort(all: Vec<ResultSeries>, cx: &Cx<'_>) -> Res<Vec<ResultSeries>> {
    let began = cx.control.nanos();
    let sorted = joined(all);
    let took = cx.control.nanos().saturating_sub(began);
    cx.budget.sort_nanos.set(took);
    sorted
}

fn joined(mut all: Vec<ResultSeries>) -> Res<Vec<ResultSeries>> {
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut out: Vec<ResultSeries> = Vec::with_capacity(all.len());
    for series in all {
        match out.last_mut() {
            Some(last) if last.labels == series.labels => {
                last.floats.extend(series.floats);
                last.floats.sort_by_key(|p| p.0);
                last.histograms.extend(series.histograms);
                last.histograms.sort_by_key(|p| p.0);
                let twice = last.floats.windows(2).any(|w| w[0].0 == w[1].0)
                    || last.histograms.windows(2).any(|w| w[0].0 == w[1].0)
                    || last
                        .histograms
                        .iter()
                        .any(|h| last.floats.binary_search_by_key(&h.0, |p| p.0).is_ok());
                if twice {
                    return Err(QueryError::duplicate_labels());
                }
            }
            _ => out.push(series),
        }
    }
    Ok(out)
}

/// The samples of a stream over one step, in its order.
pub(crate) fn vector(stream: &mut dyn Stream, at: i64, cx: &Cx<'_>) -> Res<Vec<Sample>> {
    let mut frame = Frame::default();
    let mut out = Vec::new();
    let mut seen: HashMap<Labels, ()> = HashMap::new();
    while stream.next(&mut frame)? {
        cx.check()?;
        let samples = frame.samples();
        cx.budget.take(samples, samples * 16 + 80)?;
        frame.settle();
        let value = match (frame.floats.first(), frame.hist(0)) {
            (_, Some(h)) => SampleValue::Histogram(h.clone()),
            (Some(v), None) if !is_absent(*v) => SampleValue::Float(*v),
            _ => continue,
        };
        if seen.insert(frame.labels.clone(), ()).is_some() {
            return Err(QueryError::duplicate_labels());
        }
        out.push(Sample {
            labels: frame.labels.clone(),
            t: at,
            value,
        });
    }
    Ok(out)
}
