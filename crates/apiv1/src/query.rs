//! `/query`, `/query_range`, `/format_query`, `/parse_query`.

use std::sync::Arc;
use std::time::Duration;

use promql::{ErrorKind, Explained, QueryError, QueryOptions, QueryResult, QueryStats, Value};
use storage::Queryable;

use crate::control::Deadline;
use crate::error::ApiError;
use crate::explain::explain_json;
use crate::json::push_time;
use crate::observe::{Caller, EndedQuery, Measured, Timings};
use crate::params::Params;
use crate::respond::{Handled, Reply};
use crate::result::ResultText;
use crate::router::Api;
use crate::time::parse_nanos;

/// The most steps a range query may have, less one.
const MAX_STEPS: i64 = 11_000;
const TRUNCATED: &str = "results truncated due to limit";

/// What all queries ask for.
struct Common {
    limit: usize,
    timeout: Duration,
    options: QueryOptions,
    stats: StatsWish,
    /// Tell how the query was evaluated.
    explain: bool,
}

/// The `stats` parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum StatsWish {
    None,
    Totals,
    /// A value that upstream still takes for "totals", with a warning.
    Deprecated(String),
}

impl Common {
    fn read(params: &Params, api: &Api) -> Result<Common, ApiError> {
        let limit = params.limit()?;
        Ok(Common {
            limit,
            timeout: read_timeout(params, api)?,
            options: read_options(params, api)?,
            stats: read_stats(params),
            explain: params.switch("explain")?,
        })
    }
}

fn read_timeout(params: &Params, api: &Api) -> Result<Duration, ApiError> {
    let nanos = match params.get("timeout") {
        "" => return Ok(api.query_timeout),
        text => parse_nanos(text).map_err(|e| ApiError::parameter("timeout", e))?,
    };
    match u64::try_from(nanos) {
        Ok(1..) => Ok(Duration::from_nanos(nanos as u64).min(api.query_timeout)),
        _ => Err(ApiError::parameter(
            "timeout",
            format!(
                "timeout must be positive, got {}",
                model::duration::format_go_duration(nanos / 1_000_000)
            ),
        )),
    }
}

fn read_options(params: &Params, api: &Api) -> Result<QueryOptions, ApiError> {
    let lookback = match params.get("lookback_delta") {
        "" => 0,
        text => crate::time::parse_step(text).map_err(|e| {
            ApiError::bad_data(format!("error parsing lookback delta duration: {e}"))
        })?,
    };
    Ok(QueryOptions {
        lookback_delta_ms: lookback,
        per_step_stats: api.per_step_stats && params.get("stats") == "all",
        ..QueryOptions::default()
    })
}

fn read_stats(params: &Params) -> StatsWish {
    match params.get("stats") {
        "" => StatsWish::None,
        "true" | "all" => StatsWish::Totals,
        other => StatsWish::Deprecated(other.to_string()),
    }
}

/// What a query is, for those who watch.
struct Asked {
    query: String,
    start: i64,
    end: i64,
    step: i64,
    caller: Caller,
}

/// `/query`
pub async fn instant(api: Arc<Api>, params: Params) -> Handled {
    let time = params.time_or("time", api.clock.now())?;
    let common = Common::read(&params, &api)?;
    let asked = Asked {
        query: params.get("query").to_string(),
        start: time,
        end: time,
        step: 0,
        caller: params.caller().clone(),
    };
    finish(api, common, asked).await
}

/// `/query_range`
pub async fn range(api: Arc<Api>, params: Params) -> Handled {
    params.limit()?;
    let (start, end) = (params.time("start")?, params.time("end")?);
    if end < start {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step = parse_nanos(params.get("step")).map_err(|e| ApiError::parameter("step", e))?;
    if step <= 0 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    let nanos = i128::from(end.saturating_sub(start)) * 1_000_000;
    if nanos / i128::from(step) > i128::from(MAX_STEPS) {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    let common = Common::read(&params, &api)?;
    let asked = Asked {
        query: params.get("query").to_string(),
        start,
        end,
        // A step shorter than time is counted in is the shortest.
        step: (step / 1_000_000).max(1),
        caller: params.caller().clone(),
    };
    finish(api, common, asked).await
}

impl Asked {
    /// The answer, and the plan if it is asked for.
    fn run(
        &self,
        api: &Api,
        storage: &dyn Queryable,
        common: &Common,
        control: &Deadline,
    ) -> Result<(QueryResult, Option<Explained>), QueryError> {
        let (engine, query, options) = (&api.engine, &self.query, &common.options);
        let times = (self.start, self.end, self.step);
        if common.explain {
            let (result, plan) = engine.explain_with(storage, query, times, options, control)?;
            return Ok((result, Some(plan)));
        }
        let result = match self.step {
            0 => engine.instant_with(storage, query, self.start, options, control),
            _ => engine.range_with(storage, query, times, options, control),
        };
        Ok((result?, None))
    }
}

/// Runs a query on a thread that may compute, and encodes the start of its answer there.
async fn finish(api: Arc<Api>, common: Common, asked: Asked) -> Handled {
    let started = api.clock.monotonic();
    let deadline =
        Deadline::after(api.clock.clone(), common.timeout).with_threads(api.query_threads.clone());
    // The handler is dropped when the client goes away.
    let _guard = deadline.guard();
    let queued =
        tokio::time::timeout(common.timeout, api.query_slots.clone().acquire_owned()).await;
    let Ok(Ok(slot)) = queued else {
        return Err(ApiError {
            kind: crate::ErrorType::Timeout,
            message: "query timed out in query queue".into(),
        });
    };
    let queue = api.clock.monotonic().saturating_sub(started);
    let times = (asked.start, asked.end, asked.step);
    let light = !common.explain && api.engine.is_light(&*api.queryable, &asked.query, times);
    let work = move || {
        let running = api.observer.begin(&asked.query);
        let began = api.clock.monotonic();
        let storage = Measured::new(&*api.queryable, &api.clock);
        let _busy = api.query_threads.enter();
        let result = asked.run(&api, &storage, &common, &deadline);
        let timings = Timings {
            queue,
            eval: api.clock.monotonic().saturating_sub(began),
            preparation: storage.spent(),
        };
        drop(slot);
        drop(running);
        let none = QueryStats::default();
        let stats = result.as_ref().map_or(&none, |(result, _)| &result.stats);
        api.observer.measured(&timings, stats, asked.step > 0);
        if api.observer.wants_ended() {
            tell(&api, &asked, &result, &timings);
        }
        let (result, plan) = result.map_err(|e| refused(api.limits.explain(e)))?;
        let plan = plan.map(|plan| explain_json(&asked.query, &plan));
        encode(result, &common, &timings, plan)
    };
    let ended = if light {
        // Waking another thread, and being woken by it, would take longer than the query.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).ok()
    } else {
        tokio::task::spawn_blocking(work).await.ok()
    };
    ended.unwrap_or_else(|| {
        Err(ApiError::internal(
            "the query ended unexpectedly; see the log",
        ))
    })
}

/// What is wrong with the text itself is wrong with the parameter.
fn refused(error: QueryError) -> ApiError {
    match error.kind {
        ErrorKind::BadData => ApiError::parameter("query", error.message),
        _ => error.into(),
    }
}

type Ran = Result<(QueryResult, Option<Explained>), QueryError>;

fn tell(api: &Api, asked: &Asked, result: &Ran, timings: &Timings) {
    let none = QueryStats::default();
    let stats = result.as_ref().map_or(&none, |(result, _)| &result.stats);
    let mut text = Vec::new();
    push_stats(&mut text, stats, timings);
    api.observer.ended(&EndedQuery {
        query: &asked.query,
        start: asked.start,
        end: asked.end,
        step: asked.step,
        error: result.as_ref().err().map(|error| error.message.as_str()),
        stats: std::str::from_utf8(&text).unwrap_or("{}"),
        caller: &asked.caller,
    });
}

fn encode(
    mut result: QueryResult,
    common: &Common,
    timings: &Timings,
    explained: Option<serde_json::Value>,
) -> Handled {
    let mut warnings = std::mem::take(&mut result.annotations.warnings);
    let infos = std::mem::take(&mut result.annotations.infos);
    if common.limit > 0 && truncate(&mut result.value, common.limit) {
        warnings.push(TRUNCATED.to_string());
    }
    let mut tail = Vec::new();
    if common.stats != StatsWish::None {
        tail.extend_from_slice(b",\"stats\":");
        push_stats(&mut tail, &result.stats, timings);
    }
    if let Some(explained) = explained {
        tail.extend_from_slice(b",\"explain\":");
        tail.extend_from_slice(explained.to_string().as_bytes());
    }
    if let StatsWish::Deprecated(value) = &common.stats {
        let value = model::labels::go_quote(value);
        warnings.push(format!(
            "value {value} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\""
        ));
    }
    let (data, rest) = ResultText::start(result.value, tail);
    Ok(Reply {
        data,
        rest,
        warnings,
        infos,
    })
}

fn truncate(value: &mut Value, limit: usize) -> bool {
    let cut = |len: usize| len > limit;
    match value {
        Value::Vector(samples) if cut(samples.len()) => samples.truncate(limit),
        Value::Matrix(series) if cut(series.len()) => series.truncate(limit),
        _ => return false,
    }
    true
}

fn push_stats(out: &mut Vec<u8>, stats: &QueryStats, timings: &Timings) {
    let seconds = |time: Duration| time.as_secs_f64();
    let sorting = Duration::from_nanos(stats.sort_nanos);
    out.extend_from_slice(
        format!(
            "{{\"timings\":{{\"evalTotalTime\":{},\"resultSortTime\":{},\"queryPreparationTime\":{},\"innerEvalTime\":{},\"execQueueTime\":{},\"execTotalTime\":{}}},\"samples\":{{",
            seconds(timings.eval),
            seconds(sorting),
            seconds(timings.preparation),
            seconds(timings.inner(stats)),
            seconds(timings.queue),
            seconds(timings.queue + timings.eval),
        )
        .as_bytes(),
    );
    if !stats.per_step.is_empty() {
        out.extend_from_slice(b"\"totalQueryableSamplesPerStep\":[");
        for (i, (t, count)) in stats.per_step.iter().enumerate() {
            out.extend_from_slice(if i > 0 { b",[" } else { b"[" });
            push_time(out, *t);
            out.extend_from_slice(format!(",{count}]").as_bytes());
        }
        out.extend_from_slice(b"],");
    }
    out.extend_from_slice(
        format!(
            "\"totalQueryableSamples\":{},\"samplesRead\":{},\"seriesTouched\":{},\"peakSamples\":{}}}}}",
            stats.total_queryable_samples,
            stats.samples_read,
            stats.series,
            stats.peak_samples
        )
        .as_bytes(),
    );
}

/// `/format_query`
pub async fn format(api: Arc<Api>, params: Params) -> Handled {
    let expr = promql_syntax::parse(params.get("query"), &api.engine.options().parser)
        .map_err(|e| ApiError::parameter("query", e))?;
    Reply::of(&promql_syntax::pretty(&expr))
}

/// `/parse_query`
pub async fn parse(api: Arc<Api>, params: Params) -> Handled {
    let expr = promql_syntax::parse(params.get("query"), &api.engine.options().parser)
        .map_err(|e| ApiError::parameter("query", e))?;
    Reply::of(&promql_syntax::to_json(&expr))
}
