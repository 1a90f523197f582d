//! `/rules`, `/alerts`, `/alertmanagers`.

use std::sync::Arc;

use model::Matcher;
use rules::{Alert, GroupView, RuleView, RuleViewKind};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::params::{Params, parse_bool};
use crate::respond::{Handled, Reply};
use crate::router::Api;
use crate::time::format_rfc3339;

/// The view of whoever evaluates rules.
pub trait RuleSource: Send + Sync {
    /// Groups by file and name; with alerts only if wanted.
    fn groups(&self, with_alerts: bool) -> Vec<GroupView>;

    /// URLs of the Alertmanagers that alerts are sent to, and of those that relabelling dropped.
    fn alertmanagers(&self) -> (Vec<String>, Vec<String>);
}

/// Nobody evaluates rules here.
pub struct NoRules;

impl RuleSource for NoRules {
    fn groups(&self, _with_alerts: bool) -> Vec<GroupView> {
        Vec::new()
    }

    fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        Default::default()
    }
}

/// `/alertmanagers`
pub async fn alertmanagers(api: Arc<Api>) -> Handled {
    let (active, dropped) = api.rules.alertmanagers();
    let shown = |urls: Vec<String>| -> Vec<Value> {
        urls.into_iter().map(|url| json!({ "url": url })).collect()
    };
    Reply::of(&json!({
        "activeAlertmanagers": shown(active),
        "droppedAlertmanagers": shown(dropped),
    }))
}

/// `/alerts`
pub async fn alerts(api: Arc<Api>) -> Handled {
    let shown: Vec<Value> = api
        .rules
        .groups(true)
        .iter()
        .flat_map(|group| &group.rules)
        .filter_map(|rule| match &rule.kind {
            RuleViewKind::Alerting { alerts, .. } => Some(alerts),
            RuleViewKind::Recording => None,
        })
        .flatten()
        .map(alert_json)
        .collect();
    Reply::of(&json!({ "alerts": shown }))
}

/// Go's `FormatFloat(v, 'e', -1, 64)`.
fn format_e(v: f64) -> String {
    if !v.is_finite() {
        return model::number::format_float(v);
    }
    let text = format!("{v:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn alert_json(alert: &Alert) -> Value {
    let mut object = json!({
        "labels": alert.labels,
        "annotations": alert.annotations,
        "state": alert.state.as_str(),
        "activeAt": format_rfc3339(Some(alert.active_at)),
        "value": format_e(alert.value),
    });
    if let Some(since) = alert.keep_firing_since {
        object["keepFiringSince"] = json!(format_rfc3339(Some(since)));
    }
    object
}

/// Seconds, whole ones without a fraction.
fn seconds(ms: i64) -> Value {
    if ms % 1000 == 0 {
        json!(ms / 1000)
    } else {
        json!(ms as f64 / 1000.0)
    }
}

fn rule_json(rule: &RuleView, with_alerts: bool) -> Value {
    let mut object = json!({
        "name": rule.name,
        "query": rule.query,
        "labels": rule.labels,
        "health": rule.health.as_str(),
        "evaluationTime": rule.evaluation_time.as_secs_f64(),
        "lastEvaluation": format_rfc3339(rule.last_evaluation),
        "type": "recording",
    });
    if let Some(error) = &rule.last_error {
        object["lastError"] = json!(error);
    }
    if let RuleViewKind::Alerting {
        state,
        hold_for,
        keep_firing_for,
        annotations,
        alerts,
    } = &rule.kind
    {
        object["type"] = json!("alerting");
        object["state"] = json!(state.as_str());
        object["duration"] = json!(seconds(*hold_for));
        object["keepFiringFor"] = json!(seconds(*keep_firing_for));
        object["annotations"] = json!(annotations);
        object["alerts"] = match with_alerts {
            true => Value::Array(alerts.iter().map(alert_json).collect()),
            false => Value::Null,
        };
    }
    object
}

/// What of the rules is wanted.
struct Filter {
    alerting: bool,
    recording: bool,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    matchers: Vec<Vec<Matcher>>,
    with_alerts: bool,
}

impl Filter {
    fn of(params: &Params) -> Result<Filter, ApiError> {
        let kind = params.get("type").to_ascii_lowercase();
        let (alerting, recording) = match kind.as_str() {
            "" => (true, true),
            "alert" => (true, false),
            "record" => (false, true),
            other => {
                let quoted = model::labels::go_quote(other);
                let text = format!("not supported value {quoted}");
                return Err(ApiError::parameter("type", text));
            }
        };
        // Upstream reads this switch in lower case, and says so in the error.
        let exclude = params.get("exclude_alerts").to_ascii_lowercase();
        let exclude = parse_bool(&exclude).ok_or_else(|| {
            let quoted = model::labels::go_quote(&exclude);
            ApiError::parameter(
                "exclude_alerts",
                format!(
                    "error converting exclude_alerts: strconv.ParseBool: parsing {quoted}: invalid syntax"
                ),
            )
        })?;
        let all = |name| params.all(name).map(str::to_string).collect();
        Ok(Filter {
            alerting,
            recording,
            names: all("rule_name[]"),
            groups: all("rule_group[]"),
            files: all("file[]"),
            // The one endpoint whose error does not name the parameter.
            matchers: params.matcher_sets().map_err(ApiError::bad_data)?,
            with_alerts: !exclude,
        })
    }

    fn wants_group(&self, group: &GroupView) -> bool {
        let among = |wanted: &[String], name: &str| {
            wanted.is_empty() || wanted.iter().any(|known| known == name)
        };
        among(&self.groups, &group.name) && among(&self.files, &group.file)
    }

    fn wants(&self, rule: &RuleView) -> bool {
        let kind = match rule.kind {
            RuleViewKind::Alerting { .. } => self.alerting,
            RuleViewKind::Recording => self.recording,
        };
        let fits = |set: &Vec<Matcher>| {
            let value = |name: &str| rule.labels.get(name).map_or("", String::as_str);
            set.iter().all(|m| m.matches(value(m.name())))
        };
        kind && (self.names.is_empty() || self.names.contains(&rule.name))
            && (self.matchers.is_empty() || self.matchers.iter().any(fits))
    }
}

/// Where the next page begins.
fn token(group: &GroupView) -> String {
    let name = format!("{};{}", group.file, group.name);
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

fn group_limit(params: &Params) -> Result<Option<usize>, ApiError> {
    let bad = |text: String| ApiError::parameter("group_limit", text);
    match (params.get("group_limit"), params.get("group_next_token")) {
        ("", "") => Ok(None),
        ("", _) => Err(ApiError::parameter(
            "group_next_token",
            "group_limit needs to be present in order to paginate over the groups".to_string(),
        )),
        (text, _) => {
            let limit: i32 = text.parse().map_err(|e: std::num::ParseIntError| {
                use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                let quoted = model::labels::go_quote(text);
                let why = match e.kind() {
                    PosOverflow | NegOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                bad(format!(
                    "group_limit needs to be a valid number: strconv.ParseInt: parsing {quoted}: {why}"
                ))
            })?;
            if limit <= 0 {
                return Err(bad("group_limit needs to be greater than 0".into()));
            }
            Ok(Some(limit as usize))
        }
    }
}

/// `/rules`
pub async fn rules(api: Arc<Api>, params: Params) -> Handled {
    let filter = Filter::of(&params)?;
    let limit = group_limit(&params)?;
    let wanted_token = params.get("group_next_token");
    let mut begun = wanted_token.is_empty();
    let mut shown: Vec<Value> = Vec::new();
    let mut next: Option<String> = None;
    for group in api.rules.groups(filter.with_alerts) {
        if !begun && token(&group) != wanted_token {
            continue;
        }
        begun = true;
        if !filter.wants_group(&group) {
            continue;
        }
        let rules: Vec<Value> = group
            .rules
            .iter()
            .filter(|rule| filter.wants(rule))
            .map(|rule| rule_json(rule, filter.with_alerts))
            .collect();
        if rules.is_empty() {
            continue;
        }
        if limit.is_some_and(|limit| shown.len() == limit) {
            next = Some(token(&group));
            break;
        }
        shown.push(json!({
            "name": group.name,
            "file": group.file,
            "rules": rules,
            "interval": seconds(group.interval),
            "limit": group.limit,
            "evaluationTime": group.evaluation_time.as_secs_f64(),
            "lastEvaluation": format_rfc3339(group.last_evaluation),
        }));
    }
    if !begun {
        return Err(ApiError::parameter(
            "group_next_token",
            format!("invalid group_next_token '{wanted_token}'. were rule groups changed?"),
        ));
    }
    let mut data = json!({ "groups": shown });
    if let Some(token) = next {
        data["groupNextToken"] = json!(token);
    }
    Reply::of(&data)
}
