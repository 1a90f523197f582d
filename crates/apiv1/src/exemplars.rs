//! `/query_exemplars`: exemplars of the series that a query reads.

use std::sync::Arc;

use model::{Exemplar, Labels, Matcher};
use storage::{StorageError, TimeRange};

use crate::error::ApiError;
use crate::json::{push_labels, push_time, push_value};
use crate::params::Params;
use crate::respond::{Handled, Reply};
use crate::router::Api;

/// Something that keeps exemplars.
pub trait ExemplarSource: Send + Sync {
    /// Those of series that fulfil all matchers of any of the sets, by series, sorted by labels.
    fn exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, StorageError>;
}

/// `/query_exemplars`
pub async fn query_exemplars(api: Arc<Api>, params: Params) -> Handled {
    let (min, max) = params.range_or_all()?;
    if max < min {
        return Err(ApiError::bad_data(
            "end timestamp must not be before start timestamp",
        ));
    }
    let expr = promql_syntax::parse(params.get("query"), &api.engine.options().parser)
        .map_err(|e| ApiError::bad_data(e.to_string()))?;
    let sets: Vec<Vec<Matcher>> = expr.selectors().into_iter().map(<[_]>::to_vec).collect();
    if sets.is_empty() {
        return Ok(Reply::default());
    }
    let found =
        tokio::task::spawn_blocking(move || api.exemplars.exemplars(TimeRange { min, max }, &sets))
            .await;
    let found =
        found.map_err(|_| ApiError::internal("the request ended unexpectedly; see the log"))??;
    let mut data = vec![b'['];
    for (i, (labels, exemplars)) in found.iter().enumerate() {
        data.extend_from_slice(if i > 0 { b"," } else { b"" });
        data.extend_from_slice(b"{\"seriesLabels\":");
        push_labels(&mut data, labels);
        data.extend_from_slice(b",\"exemplars\":[");
        for (i, exemplar) in exemplars.iter().enumerate() {
            data.extend_from_slice(if i > 0 { b"," } else { b"" });
            push_exemplar(&mut data, exemplar);
        }
        data.extend_from_slice(b"]}");
    }
    data.push(b']');
    Ok(Reply {
        data,
        ..Reply::default()
    })
}

fn push_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    out.extend_from_slice(b"{\"labels\":");
    push_labels(out, &exemplar.labels);
    out.extend_from_slice(b",\"value\":");
    push_value(out, exemplar.value);
    out.extend_from_slice(b",\"timestamp\":");
    push_time(out, exemplar.timestamp.unwrap_or(0));
    out.push(b'}');
}
