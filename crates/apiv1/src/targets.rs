//! `/targets`, `/scrape_pools`, `/targets/metadata`, `/metadata`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Labels, Metadata};
use serde::Serialize;
use serde_json::json;

use crate::error::ApiError;
use crate::params::Params;
use crate::respond::{Handled, Reply};
use crate::router::Api;

/// A target that is scraped, as it is shown.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveTarget {
    /// Labels before relabelling.
    pub discovered_labels: Labels,
    /// Labels of its series.
    pub labels: Labels,
    /// Its job.
    pub scrape_pool: String,
    /// Where it is asked.
    pub scrape_url: String,
    /// The same as reached from elsewhere.
    pub global_url: String,
    /// Why the last scrape failed.
    pub last_error: String,
    /// When the last scrape was, RFC 3339.
    pub last_scrape: String,
    /// How long it took, seconds.
    pub last_scrape_duration: f64,
    /// `unknown`, `up`, `down`.
    pub health: String,
    /// A duration.
    pub scrape_interval: String,
    /// A duration.
    pub scrape_timeout: String,
}

/// A job's targets.
#[derive(Clone, Debug, Default)]
pub struct PoolTargets {
    /// Those that are scraped.
    pub active: Vec<ActiveTarget>,
    /// Labels of those that relabelling dropped, as many as are kept.
    pub dropped: Vec<Labels>,
    /// How many were dropped.
    pub dropped_count: usize,
}

/// What a target says about a family.
pub struct TargetFamily {
    /// The target's labels.
    pub target: Labels,
    /// The family.
    pub metric: Arc<str>,
    /// What it says.
    pub metadata: Arc<Metadata>,
}

/// The view of whoever scrapes.
pub trait TargetSource: Send + Sync {
    /// Targets by job.
    fn pools(&self) -> BTreeMap<String, PoolTargets>;

    /// What targets say about families, of one family if it is named.
    fn families(&self, metric: Option<&str>) -> Vec<TargetFamily>;

    /// A job's configuration as YAML.
    fn pool_config(&self, pool: &str) -> Option<String>;

    /// A job's rules for targets.
    fn relabel_rules(&self, pool: &str) -> Option<Vec<model::relabel::RelabelRule>>;
}

/// `/targets`
pub async fn targets(api: Arc<Api>, query: &str) -> Handled {
    let params = Params::of_query(query);
    let state = params.get("state").to_ascii_lowercase();
    let (show_active, show_dropped) = match state.as_str() {
        "active" => (true, false),
        "dropped" => (false, true),
        "" | "any" => (true, true),
        // As upstream: what nobody knows is no target's state.
        _ => (false, false),
    };
    let wanted_pool = params.get("scrapePool");
    let pools = api.targets.pools();
    let wanted = |name: &str| wanted_pool.is_empty() || name == wanted_pool;
    let active: Vec<&ActiveTarget> = pools
        .iter()
        .filter(|(name, _)| show_active && wanted(name))
        .flat_map(|(_, pool)| &pool.active)
        .collect();
    let dropped: Vec<serde_json::Value> = pools
        .iter()
        .filter(|(name, _)| show_dropped && wanted(name))
        .flat_map(|(name, pool)| {
            let shown = |labels: &Labels| json!({"discoveredLabels": labels, "scrapePool": name});
            pool.dropped.iter().map(shown).collect::<Vec<_>>()
        })
        .collect();
    // Of all pools, whichever is asked for.
    let counts: Option<BTreeMap<&str, usize>> = show_dropped.then(|| {
        pools
            .iter()
            .map(|(name, pool)| (name.as_str(), pool.dropped_count))
            .collect()
    });
    Reply::of(&json!({
        "activeTargets": active,
        "droppedTargets": dropped,
        "droppedTargetCounts": counts,
    }))
}

/// `/scrape_pools`
pub async fn scrape_pools(api: Arc<Api>) -> Handled {
    let names: Vec<String> = api.targets.pools().into_keys().collect();
    Reply::of(&json!({ "scrapePools": names }))
}

fn metadata_json(metadata: &Metadata) -> serde_json::Value {
    json!({"type": metadata.kind.as_str(), "unit": metadata.unit, "help": metadata.help})
}

fn number(params: &Params, name: &str) -> Result<Option<i64>, ApiError> {
    match params.get(name) {
        "" => Ok(None),
        text => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(ApiError::bad_data(format!("{name} must be a number"))),
        },
    }
}

/// `/targets/metadata`
pub async fn target_metadata(api: Arc<Api>, params: Params) -> Handled {
    let limit = number(&params, "limit")?.filter(|limit| *limit >= 0);
    let matchers = match params.get("match_target") {
        "" => Vec::new(),
        selector => promql_syntax::parse_selector(selector)
            .map_err(|e| ApiError::parameter("match_target", e))?,
    };
    let metric = params.get("metric");
    let mut found: Vec<TargetFamily> = api
        .targets
        .families((!metric.is_empty()).then_some(metric))
        .into_iter()
        .filter(|family| matchers.iter().all(|m| m.matches_labels(&family.target)))
        .collect();
    found.sort_by(|a, b| (&a.target, &a.metric).cmp(&(&b.target, &b.metric)));
    if let Some(limit) = limit {
        found.truncate(limit as usize);
    }
    let shown: Vec<serde_json::Value> = found
        .iter()
        .map(|family| {
            let mut object = metadata_json(&family.metadata);
            object["target"] = json!(family.target);
            if metric.is_empty() {
                object["metric"] = json!(&*family.metric);
            }
            object
        })
        .collect();
    Reply::of(&shown)
}

/// `/metadata`
pub async fn metadata(api: Arc<Api>, params: Params) -> Handled {
    let limit = number(&params, "limit")?;
    let per_metric = number(&params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let metric = params.get("metric");
    let mut families: BTreeMap<Arc<str>, Vec<Arc<Metadata>>> = BTreeMap::new();
    for family in api.targets.families((!metric.is_empty()).then_some(metric)) {
        let known = families.entry(family.metric).or_default();
        let room = per_metric.is_none_or(|limit| (known.len() as i64) < limit);
        if room && !known.contains(&family.metadata) {
            known.push(family.metadata);
        }
    }
    let most = limit
        .filter(|limit| *limit >= 0)
        .map_or(usize::MAX, |limit| limit as usize);
    let shown: BTreeMap<&str, Vec<serde_json::Value>> = families
        .iter()
        .take(most)
        .map(|(name, known)| (&**name, known.iter().map(|m| metadata_json(m)).collect()))
        .collect();
    Reply::of(&shown)
}
