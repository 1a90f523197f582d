//! The labels of a scraped series: its own, the target's, and what relabelling makes of them.

use configfile::scrape::ScrapeLimits;
use model::labels::METRIC_NAME;
use model::relabel::{RelabelRule, relabel};
use model::{Labels, LabelsBuilder};

/// How a job treats the labels of its series.
#[derive(Clone, Debug)]
pub struct LabelRules {
    /// Scraped labels win over the target's.
    pub honor_labels: bool,
    /// Rules for series.
    pub metric_relabel: Vec<RelabelRule>,
    /// Limits on labels; 0 is none.
    pub limits: ScrapeLimits,
}

/// The labels that a scraped series is stored under; `None` when relabelling drops it.
///
/// `present` are the names that the scraped series has with any value: with `honor_labels` even an empty value keeps the
/// target's label away.
pub fn of_sample(
    scraped: &Labels,
    present: &dyn Fn(&str) -> bool,
    target: &Labels,
    rules: &LabelRules,
) -> Option<Labels> {
    let merged = merge(scraped, present, target, rules.honor_labels);
    relabel(&merged, &rules.metric_relabel).filter(|labels| !labels.is_empty())
}

fn merge(
    scraped: &Labels,
    present: &dyn Fn(&str) -> bool,
    target: &Labels,
    honor_labels: bool,
) -> Labels {
    let mut builder = LabelsBuilder::new(scraped);
    if honor_labels {
        for (name, value) in target {
            if !present(name) {
                builder.set(name, value);
            }
        }
        return builder.build();
    }
    let mut conflicts: Vec<(&str, &str)> = Vec::new();
    for (name, value) in target {
        if let Some(theirs) = scraped.get(name) {
            conflicts.push((name, theirs));
        }
        builder.set(name, value);
    }
    // Shorter names first, so that an `exported_x` of the target's own moves out of the way in a steady manner.
    conflicts.sort_by_key(|(name, _)| name.len());
    for (name, theirs) in conflicts {
        let mut renamed = format!("exported_{name}");
        while !builder.get(&renamed).is_empty() {
            renamed = format!("exported_{renamed}");
        }
        builder.set(renamed, theirs);
    }
    builder.build()
}

/// Checks the limits on labels; the error is upstream's text.
pub fn check_limits(labels: &Labels, limits: &ScrapeLimits) -> Result<(), String> {
    let short = |text: &str| -> String { text.chars().take(50).collect() };
    let metric = || short(labels.metric_name());
    if limits.labels > 0 {
        let count = labels.len() as u64;
        if count > limits.labels {
            return Err(format!(
                "label_limit exceeded (metric: {}, number of labels: {count}, limit: {})",
                metric(),
                limits.labels
            ));
        }
    }
    if limits.label_name_length == 0 && limits.label_value_length == 0 {
        return Ok(());
    }
    for (name, value) in labels {
        let length = name.len() as u64;
        if limits.label_name_length > 0 && length > limits.label_name_length {
            return Err(format!(
                "label_name_length_limit exceeded (metric: {}, label name: {}, length: {length}, limit: {})",
                metric(),
                short(name),
                limits.label_name_length
            ));
        }
        let length = value.len() as u64;
        if limits.label_value_length > 0 && length > limits.label_value_length {
            return Err(format!(
                "label_value_length_limit exceeded (metric: {}, label name: {}, value: {:?}, length: {length}, limit: {})",
                metric(),
                short(name),
                short(value),
                limits.label_value_length
            ));
        }
    }
    Ok(())
}

/// The labels of a series that the server reports about a target.
pub fn of_report(name: &str, target: &Labels) -> Labels {
    let mut builder = LabelsBuilder::new(target);
    for (label, _) in target {
        // Upstream moves a label of the report itself out of the way, which has none. What stays of that is that an
        // `exported_x` of the target's own gives way to its `x`, where that comes later in order.
        let moved = format!("exported_{label}");
        if moved.as_str() < label {
            builder.del(moved);
        }
    }
    builder.set(METRIC_NAME, name);
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied())
    }

    fn merged(scraped: &[(&str, &str)], target: &[(&str, &str)], honor: bool) -> String {
        let present = |name: &str| scraped.iter().any(|(n, _)| *n == name);
        merge(&set(scraped), &present, &set(target), honor).to_string()
    }

    #[test]
    fn conflicts() {
        assert_eq!(
            merged(&[("a", "1")], &[("job", "j")], false),
            r#"{a="1", job="j"}"#
        );
        assert_eq!(
            merged(&[("job", "x")], &[("job", "j")], false),
            r#"{exported_job="x", job="j"}"#
        );
        assert_eq!(
            merged(
                &[("job", "x"), ("exported_job", "y")],
                &[("job", "j")],
                false
            ),
            r#"{exported_exported_job="x", exported_job="y", job="j"}"#
        );
        assert_eq!(
            merged(
                &[("l", "x"), ("exported_l", "y")],
                &[("l", "t"), ("exported_l", "u")],
                false
            ),
            r#"{exported_exported_exported_l="y", exported_exported_l="x", exported_l="u", l="t"}"#
        );
        assert_eq!(
            merged(&[("job", "x")], &[("job", "j"), ("b", "c")], true),
            r#"{b="c", job="x"}"#
        );
        assert_eq!(
            merged(&[("job", "")], &[("job", "j")], true),
            "{}",
            "empty counts as present"
        );
    }

    #[test]
    fn reports_carry_the_labels_of_the_target() {
        let target = set(&[
            ("exported_a", "1"),
            ("a", "2"),
            ("exported_zone", "3"),
            ("zone", "4"),
        ]);
        assert_eq!(
            of_report("up", &target).to_string(),
            r#"{__name__="up", a="2", exported_a="1", zone="4"}"#
        );
    }

    #[test]
    fn limits_read_like_upstream() {
        let labels = set(&[("__name__", "m"), ("abc", "defgh")]);
        let limit = |change: fn(&mut ScrapeLimits)| {
            let mut limits = ScrapeLimits::default();
            change(&mut limits);
            check_limits(&labels, &limits)
        };
        assert_eq!(limit(|_| {}), Ok(()));
        assert_eq!(
            limit(|l| l.labels = 1),
            Err("label_limit exceeded (metric: m, number of labels: 2, limit: 1)".into())
        );
        assert_eq!(
            limit(|l| l.label_name_length = 4),
            Err("label_name_length_limit exceeded (metric: m, label name: __name__, length: 8, limit: 4)".into())
        );
        assert_eq!(
            limit(|l| l.label_value_length = 4),
            Err("label_value_length_limit exceeded (metric: m, label name: abc, value: \"defgh\", length: 5, limit: 4)".into())
        );
        let long = set(&[("__name__", &"m".repeat(60))]);
        let limits = ScrapeLimits {
            label_value_length: 59,
            ..ScrapeLimits::default()
        };
        let m = "m".repeat(50);
        assert_eq!(
            check_limits(&long, &limits),
            Err(format!(
                "label_value_length_limit exceeded (metric: {m}, label name: __name__, value: \"{m}\", length: 60, limit: 59)"
            ))
        );
    }
}
