//! `/scrape_pools/config` and `/targets/relabel_steps`: what a job's rules do to a target's labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Labels;
use model::relabel::{RelabelRule, relabel};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::params::Params;
use crate::respond::{Handled, Reply};
use crate::router::Api;

fn pool_of(params: &Params) -> Result<&str, ApiError> {
    match params.get("scrapePool") {
        "" => Err(ApiError::bad_data("no scrapePool parameter provided")),
        pool => Ok(pool),
    }
}

fn unknown(pool: &str) -> ApiError {
    let quoted = model::labels::go_quote(pool);
    ApiError::bad_data(format!(
        "error retrieving scrape config: scrape pool {quoted} not found"
    ))
}

/// `/scrape_pools/config`
pub async fn pool_config(api: Arc<Api>, params: Params) -> Handled {
    let pool = pool_of(&params)?;
    let yaml = api.targets.pool_config(pool).ok_or_else(|| unknown(pool))?;
    Reply::of(&json!({ "yaml": yaml }))
}

/// `/targets/relabel_steps`
pub async fn relabel_steps(api: Arc<Api>, params: Params) -> Handled {
    let pool = pool_of(&params)?;
    let labels = match params.get("labels") {
        "" => return Err(ApiError::bad_data("no labels parameter provided")),
        text => serde_json::from_str::<BTreeMap<String, String>>(text)
            .map_err(|e| ApiError::bad_data(format!("error parsing labels: {e}")))?,
    };
    let rules = api
        .targets
        .relabel_rules(pool)
        .ok_or_else(|| unknown(pool))?;
    Reply::of(&json!({ "steps": steps(Labels::from_pairs(labels), &rules) }))
}

/// What each rule makes of the labels; after a drop nothing is left to show.
fn steps(labels: Labels, rules: &[RelabelRule]) -> Vec<Value> {
    let mut current = Some(labels);
    rules
        .iter()
        .map(|rule| {
            current = current
                .take()
                .and_then(|labels| relabel(&labels, std::slice::from_ref(rule)));
            let output = current.clone().unwrap_or_else(Labels::empty);
            json!({"rule": rule_json(rule), "output": output, "keep": current.is_some()})
        })
        .collect()
}

fn rule_json(rule: &RelabelRule) -> Value {
    let fields = rule.fields();
    let mut object = json!({
        "regex": fields.regex,
        "separator": fields.separator,
        "replacement": fields.replacement,
        "action": fields.action.as_str(),
    });
    if !fields.source_labels.is_empty() {
        object["source_labels"] = json!(fields.source_labels);
    }
    if !fields.target_label.is_empty() {
        object["target_label"] = json!(fields.target_label);
    }
    if fields.modulus != 0 {
        object["modulus"] = json!(fields.modulus);
    }
    object
}
