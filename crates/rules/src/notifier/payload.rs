//! Alerts as Alertmanager's API v2 takes them.

use std::sync::Arc;

use gotemplate::time::Time;
use serde_json::json;

use crate::alert::Alert;

const LAYOUT: &str = "2006-01-02T15:04:05.000Z07:00";

/// Each alert as a JSON object.
pub(super) fn alerts(alerts: &[Alert], link: &str) -> Vec<Arc<str>> {
    let time = |ms: i64| Time::from_millis(ms).format(LAYOUT);
    alerts
        .iter()
        .map(|alert| {
            let object = json!({
                "annotations": alert.annotations,
                "endsAt": time(alert.resolved_at.unwrap_or(alert.valid_until)),
                "startsAt": time(alert.fired_at.unwrap_or(alert.active_at)),
                "generatorURL": link,
                "labels": alert.labels,
            });
            Arc::from(object.to_string())
        })
        .collect()
}

/// Several objects as one body.
pub(super) fn body(alerts: &[Arc<str>]) -> String {
    let mut body = String::with_capacity(alerts.iter().map(|a| a.len() + 1).sum::<usize>() + 2);
    body.push('[');
    for (i, alert) in alerts.iter().enumerate() {
        if i > 0 {
            body.push(',');
        }
        body.push_str(alert);
    }
    body.push(']');
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::AlertState;
    use model::Labels;

    #[test]
    fn objects() {
        let alert = Alert {
            state: AlertState::Firing,
            labels: Labels::from_pairs([("alertname", "A"), ("q", "\"\n")]),
            annotations: Labels::from_pairs([("s", "t")]),
            value: 1.0,
            active_at: 0,
            fired_at: Some(1_500),
            resolved_at: None,
            last_sent_at: None,
            valid_until: 61_500,
            keep_firing_since: None,
        };
        let all = alerts(
            &[alert.clone(), alert],
            "http://x/graph?g0.expr=up&g0.tab=1",
        );
        let parsed: serde_json::Value = serde_json::from_str(&body(&all)).expect("JSON");
        assert_eq!(parsed.as_array().map(Vec::len), Some(2));
        assert_eq!(
            parsed[1],
            json!({"annotations": {"s": "t"}, "endsAt": "1970-01-01T00:01:01.500Z",
                "startsAt": "1970-01-01T00:00:01.500Z", "generatorURL": "http://x/graph?g0.expr=up&g0.tab=1",
                "labels": {"alertname": "A", "q": "\"\n"}})
        );
        assert_eq!(body(&[]), "[]");
    }
}
