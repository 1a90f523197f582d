//! Since when alerts are pending, from before a restart.

use std::sync::atomic::Ordering;

use hashbrown::HashMap;
use model::{Labels, Matcher};
use storage::{Queryable, SelectHints, StorageError, TimeRange};

use crate::group::Group;
use crate::rule::Kind;

/// How state is looked for, milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestoreOptions {
    pub outage_tolerance: i64,
    pub grace_period: i64,
}

/// The last sample of a series: when, and what.
type Last = (i64, f64);

impl Group {
    /// Looks for `ALERTS_FOR_STATE` of pending alerts and lets them go on from there. Afterwards alerts' series are
    /// written.
    pub(crate) fn restore(&self, now: i64, queryable: &dyn Queryable, options: RestoreOptions) {
        for rule in self.rules() {
            let Kind::Alerting(alerting) = &rule.kind else {
                continue;
            };
            if alerting.restored.load(Ordering::Acquire) {
                continue;
            }
            let has_alerts = !alerting.active.lock().is_empty();
            if alerting.holds.hold_for >= options.grace_period && has_alerts {
                let plain: Vec<(&str, &str)> = rule
                    .rule
                    .labels
                    .iter()
                    .filter(|(_, text)| !text.contains("{{"))
                    .map(|(n, v)| (n.as_str(), v.as_str()))
                    .collect();
                match last_states(&alerting.name, &plain, now, queryable, options) {
                    Ok(states) => {
                        let mut active = alerting.active.lock();
                        for (labels, known) in active.iter_mut() {
                            if let Some(last) = states.get(labels) {
                                known.alert.active_at =
                                    active_since(*last, alerting.holds.hold_for, now, options);
                            }
                        }
                    }
                    Err(error) => {
                        tracing::error!(component = "rule manager", file = %self.definition().file, group = %self.definition().name, alert = %alerting.name, err = %error, "Failed to restore 'for' state");
                    }
                }
            }
            rule.set_restored();
        }
    }
}

fn last_states(
    name: &str,
    labels: &[(&str, &str)],
    now: i64,
    queryable: &dyn Queryable,
    options: RestoreOptions,
) -> Result<HashMap<Labels, Last>, StorageError> {
    let range = TimeRange {
        min: now - options.outage_tolerance,
        max: now,
    };
    let querier = queryable.querier(range)?;
    let mut matchers = vec![
        Matcher::equal("__name__", "ALERTS_FOR_STATE"),
        Matcher::equal("alertname", name),
    ];
    matchers.extend(labels.iter().map(|(n, v)| Matcher::equal(*n, *v)));
    let hints = SelectHints {
        start: range.min,
        end: range.max,
        ..SelectHints::default()
    };
    let mut set = querier.select(&matchers, &hints)?;
    let mut states = HashMap::new();
    while let Some(series) = set.next() {
        let series = series?;
        let mut last: Option<Last> = None;
        let mut samples = series.samples(range);
        let damaged = |e: ondisk::chunk::ChunkError| StorageError::Corrupt(e.to_string());
        while let Some((t, value)) = samples.next().map_err(damaged)? {
            if let storage::Value::Float(v) = value {
                last = Some((t, v));
            }
        }
        if let Some((t, v)) = last
            && !model::sample::is_stale_nan(v)
        {
            states.insert(series.labels.drop_metric_name(), (t, v));
        }
    }
    Ok(states)
}

/// When the alert counts as active from, so that neither the outage counts as holding nor it fires without grace.
fn active_since((down_at, since): Last, hold_for: i64, now: i64, options: RestoreOptions) -> i64 {
    let down_at = down_at / 1000 * 1000;
    let since = (since as i64).saturating_mul(1000);
    let remaining = hold_for.saturating_sub(down_at.saturating_sub(since));
    if remaining <= 0 {
        since
    } else if remaining < options.grace_period {
        now + options.grace_period - hold_for
    } else {
        since.saturating_add(now - down_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outage_does_not_count() {
        const MINUTE: i64 = 60_000;
        let options = RestoreOptions {
            outage_tolerance: 60 * MINUTE,
            grace_period: 10 * MINUTE,
        };
        let since = |down: i64, since: i64, hold: i64, now: i64| {
            let last = (down * MINUTE, (since * 60) as f64);
            active_since(last, hold * MINUTE, now * MINUTE, options) / MINUTE
        };
        assert_eq!(since(60, 0, 30, 70), 0, "held for long enough before");
        assert_eq!(
            since(25, 0, 30, 40),
            40 + 10 - 30,
            "little was missing: the grace period"
        );
        assert_eq!(
            since(10, 0, 30, 40),
            30,
            "the outage of 30 minutes is left out"
        );
    }
}
