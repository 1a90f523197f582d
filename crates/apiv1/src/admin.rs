//! `/admin/tsdb/*`: requests that change the data.

use std::sync::Arc;

use model::Matcher;
use serde_json::json;
use storage::{StorageError, TimeRange};

use crate::error::{ApiError, ErrorType};
use crate::params::Params;
use crate::respond::{Handled, Reply};
use crate::router::Api;

/// What can be done to the data.
pub trait Admin: Send + Sync {
    /// Deletes samples of a range from the series that fulfil all matchers.
    fn delete_series(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), StorageError>;

    /// Frees the space of what was deleted.
    fn clean_tombstones(&self) -> Result<(), StorageError>;

    /// Makes a copy of the data, which shares files with it; gives its name.
    fn snapshot(&self, with_head: bool) -> Result<String, StorageError>;
}

fn disabled() -> ApiError {
    ApiError {
        kind: ErrorType::Unavailable,
        message: "admin APIs disabled".into(),
    }
}

/// Does work that blocks, if it is allowed.
async fn run<T: Send + 'static>(
    api: Arc<Api>,
    work: impl FnOnce(&dyn Admin) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, ApiError> {
    let Some(admin) = api.admin.clone() else {
        return Err(disabled());
    };
    // Once begun it goes on, even if the client goes away.
    match tokio::task::spawn_blocking(move || work(&*admin)).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(ApiError::internal(
            "the request ended unexpectedly; see the log",
        )),
    }
}

/// `/admin/tsdb/delete_series`
pub async fn delete_series(api: Arc<Api>, params: Params) -> Handled {
    if api.admin.is_none() {
        return Err(disabled());
    }
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (min, max) = params.range_or_all()?;
    let sets = params
        .any_matcher_sets()
        .map_err(|e| ApiError::parameter("match[]", e))?;
    run(api, move |admin| {
        // A set without matchers selects nothing in upstream's storage.
        sets.iter()
            .filter(|matchers| !matchers.is_empty())
            .try_for_each(|matchers| admin.delete_series(matchers, TimeRange { min, max }))
    })
    .await?;
    Ok(Reply::default())
}

/// `/admin/tsdb/clean_tombstones`
pub async fn clean_tombstones(api: Arc<Api>, _: Params) -> Handled {
    run(api, |admin| admin.clean_tombstones()).await?;
    Ok(Reply::default())
}

/// `/admin/tsdb/snapshot`
pub async fn snapshot(api: Arc<Api>, params: Params) -> Handled {
    let skip_head = params.switch("skip_head");
    if api.admin.is_some() {
        skip_head.clone()?;
    }
    let with_head = !skip_head.unwrap_or(false);
    let name = run(api, move |admin| admin.snapshot(with_head)).await?;
    Reply::of(&json!({ "name": name }))
}
