//! The increase of native histograms over a window, resets added back.

use model::{FloatHistogram, ResetHint};

use super::start_time::{is_reset, overlaps};
use super::{Env, View};
use crate::notes::Note;

/// The increase between the first and the last histogram of a window with at least two, as a compact gauge; `None` where
/// their buckets do not go together.
pub(super) fn increase(env: &Env<'_>, view: &View<'_>, counter: bool) -> Option<FloatHistogram> {
    let hists = view.hists;
    let n = hists.len();
    let (first, last) = (&hists[0], &hists[n - 1]);
    let is_gauge = |h: &FloatHistogram| h.reset_hint == ResetHint::Gauge;
    let starts = |i: usize| Some((*view.hist_starts.get(i - 1)?, *view.hist_starts.get(i)?));
    let started_anew = |i: usize| {
        starts(i).is_some_and(|(a, b)| is_reset(a, view.hist_times[i - 1], b, view.hist_times[i]))
    };
    let incompatible = || {
        env.note(Note::MixedExponentialCustom(env.name()));
        None
    };
    if counter && hists.iter().any(|h| is_gauge(h)) {
        env.note(Note::NotCounter(env.name()));
    }
    // After a reset right behind the first sample nothing of it is left to look at, not even its layout.
    let mut blank = None;
    if counter {
        let second = &hists[1];
        if started_anew(1) || second.detect_reset(first) {
            blank = Some(FloatHistogram {
                schema: second.schema,
                custom_values: second.custom_values.clone(),
                ..FloatHistogram::default()
            });
        }
    }
    let base: &FloatHistogram = blank.as_ref().unwrap_or(first);
    let custom = base.uses_custom_buckets();
    if last.uses_custom_buckets() != custom {
        return incompatible();
    }
    let mut schema = last.schema.min(base.schema);
    if counter {
        for h in &hists[1..n - 1] {
            schema = schema.min(h.schema);
            if h.uses_custom_buckets() != custom {
                return incompatible();
            }
        }
    }
    let mut result = if custom {
        (**last).clone()
    } else {
        last.to_schema(schema)
    };
    match result.sub(base) {
        Ok(notes) if notes.bounds_reconciled => env.note(Note::BoundsReconciled("subtraction")),
        Ok(_) => {}
        Err(_) => return incompatible(),
    }
    if counter {
        let mut prev = base;
        let mut overlapped = false;
        for (i, h) in hists.iter().enumerate().skip(1) {
            if let Some((a, b)) = starts(i)
                && !overlapped
                && overlaps(a, view.hist_times[i - 1], b)
            {
                overlapped = true;
                env.note(Note::StartOverlap(env.name()));
            }
            if started_anew(i) || h.detect_reset(prev) {
                match result.add(prev) {
                    Ok(notes) if notes.bounds_reconciled => {
                        env.note(Note::BoundsReconciled("addition"));
                    }
                    Ok(_) => {}
                    Err(_) => return incompatible(),
                }
            }
            prev = h;
        }
    } else if !is_gauge(first) || !is_gauge(last) {
        env.note(Note::NotGauge(env.name()));
    }
    result.reset_hint = ResetHint::Gauge;
    result.compact();
    Some(result)
}
