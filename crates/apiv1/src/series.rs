//! `/labels`, `/label/<name>/values`, `/series`.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, Matcher};
use storage::{Querier, SelectHints, TimeRange};

use crate::error::ApiError;
use crate::json::push_labels;
use crate::params::Params;
use crate::respond::{Handled, Reply};
use crate::router::Api;

const TRUNCATED: &str = "results truncated due to limit";

/// Which names or values are asked for.
enum Wanted {
    Names,
    Values(String),
}

/// `/labels`
pub async fn label_names(api: Arc<Api>, params: Params) -> Handled {
    labels(api, params, Wanted::Names).await
}

/// `/label/<name>/values`
pub async fn label_values(api: Arc<Api>, params: Params, name: String) -> Handled {
    let name = unescape(&name);
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    labels(api, params, Wanted::Values(name)).await
}

/// A name may come in the `U__` spelling of systems that know no UTF-8 names.
fn unescape(name: &str) -> String {
    let Some(rest) = name.strip_prefix("U__") else {
        return name.to_string();
    };
    let mut out = String::new();
    let mut parts = rest.split('_');
    out.push_str(parts.next().unwrap_or(""));
    while let Some(part) = parts.next() {
        if part.is_empty() {
            // Two underscores are one.
            out.push('_');
            out.push_str(parts.next().unwrap_or(""));
            continue;
        }
        match u32::from_str_radix(part, 16).ok().and_then(char::from_u32) {
            Some(c) => out.push(c),
            None => return name.to_string(),
        }
        out.push_str(parts.next().unwrap_or(""));
    }
    out
}

async fn labels(api: Arc<Api>, params: Params, wanted: Wanted) -> Handled {
    let limit = params.limit()?;
    let (min, max) = params.range_or_all()?;
    let sets = params.matcher_sets().map_err(ApiError::bad_data)?;
    compute(move || {
        let querier = api.queryable.querier(TimeRange { min, max })?;
        // One more than asked for, to see whether there is more.
        let ask_for = if limit == 0 { 0 } else { limit + 1 };
        let mut found = BTreeSet::new();
        let mut warnings = Vec::new();
        let no_matchers: [Vec<Matcher>; 1] = [Vec::new()];
        for matchers in if sets.is_empty() {
            &no_matchers[..]
        } else {
            &sets[..]
        } {
            let answer = match &wanted {
                Wanted::Names => querier.label_names(matchers, ask_for)?,
                Wanted::Values(name) => querier.label_values(name, matchers, ask_for)?,
            };
            found.extend(answer.value);
            warnings.extend(answer.warnings);
        }
        let mut values: Vec<String> = found.into_iter().collect();
        if limit > 0 && values.len() > limit {
            values.truncate(limit);
            warnings.push(TRUNCATED.to_string());
        }
        Ok(Reply {
            warnings,
            ..Reply::strings(&values)
        })
    })
    .await
}

/// `/series`
pub async fn series(api: Arc<Api>, params: Params) -> Handled {
    let limit = params.limit()?;
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (min, max) = params.range_or_all()?;
    let sets = params
        .matcher_sets()
        .map_err(|e| ApiError::parameter("match[]", e))?;
    compute(move || {
        let querier = api.queryable.querier(TimeRange { min, max })?;
        let hints = SelectHints {
            start: min,
            end: max,
            func: Some("series".into()),
            limit: if limit == 0 { 0 } else { limit + 1 },
            ..SelectHints::default()
        };
        let mut found: BTreeSet<Labels> = BTreeSet::new();
        let mut warnings = Vec::new();
        for matchers in &sets {
            warnings.extend(collect(&*querier, matchers, &hints, &mut found)?);
        }
        let mut data = vec![b'['];
        for (i, labels) in found.iter().enumerate() {
            if limit > 0 && i == limit {
                warnings.push(TRUNCATED.to_string());
                break;
            }
            if i > 0 {
                data.push(b',');
            }
            push_labels(&mut data, labels);
        }
        data.push(b']');
        Ok(Reply {
            data,
            warnings,
            ..Reply::default()
        })
    })
    .await
}

fn collect(
    querier: &dyn Querier,
    matchers: &[Matcher],
    hints: &SelectHints,
    found: &mut BTreeSet<Labels>,
) -> Result<Vec<String>, ApiError> {
    let mut set = querier.select(matchers, hints)?;
    while let Some(series) = set.next() {
        found.insert(series?.labels);
        if hints.limit > 0 && found.len() > hints.limit {
            break;
        }
    }
    Ok(set.warnings())
}

/// Runs work that reads storage on a thread that may block.
async fn compute(work: impl FnOnce() -> Handled + Send + 'static) -> Handled {
    match tokio::task::spawn_blocking(work).await {
        Ok(handled) => handled,
        Err(_) => Err(ApiError::internal(
            "the request ended unexpectedly; see the log",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_other_spelling() {
        assert_eq!(unescape("job"), "job");
        assert_eq!(unescape("U__a_2e_b"), "a.b");
        assert_eq!(unescape("U__a__b"), "a_b");
        assert_eq!(unescape("U__a_zz_b"), "U__a_zz_b");
    }
}
