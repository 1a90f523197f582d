//! Carries out a script.

use promql_syntax::ast::Expr;
use promql_syntax::{ParserOptions, SeriesValue, parse};
use storage::memory::StoredValue;

use super::compare;
use super::nhcb::Converter;
use super::script::{self, Command, Eval, Load, Pattern};
use super::store::{ScriptStorage, Stored};
use crate::engine::Engine;
use crate::error::QueryError;
use crate::options::{EngineOptions, QueryOptions};
use crate::value::QueryResult;

/// A minute, the step of the additional range queries.
const MINUTE_MS: i64 = 60_000;

/// What a script found wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Line of the command, from 1.
    pub line: usize,
    /// What was expected and what came.
    pub message: String,
}

/// How a script went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The script's name.
    pub name: String,
    /// `eval` commands that passed.
    pub passed: usize,
    /// Those that did not, and lines that could not be read.
    pub failed: Vec<Failure>,
}

/// The options upstream runs its own scripts with.
fn script_options() -> EngineOptions {
    EngineOptions {
        max_samples: 10_000,
        default_step_ms: MINUTE_MS,
        parser: ParserOptions::all(),
        delayed_name_removal: true,
        use_start_timestamps: true,
        ..EngineOptions::default()
    }
}

/// Runs a script the way upstream runs its own.
pub fn run_script(name: &str, text: &str) -> Report {
    run_script_with(name, text, script_options())
}

/// Runs a script with other options.
pub fn run_script_with(name: &str, text: &str, options: EngineOptions) -> Report {
    let mut report = Report {
        name: name.to_string(),
        passed: 0,
        failed: Vec::new(),
    };
    let commands = match script::parse(text) {
        Ok(commands) => commands,
        Err(e) => {
            report.failed.push(Failure {
                line: e.line,
                message: e.message,
            });
            return report;
        }
    };
    let storage = ScriptStorage::default();
    let engine = Engine::new(options);
    for command in commands {
        match command {
            Command::Clear => storage.clear(),
            Command::Load(load) => carry_out(&load, &storage),
            Command::Eval(eval) => match evaluate(&eval, &engine, &storage) {
                Ok(()) => report.passed += 1,
                Err(message) => report.failed.push(Failure {
                    line: eval.line,
                    message: format!("{}: {message}", eval.query),
                }),
            },
        }
    }
    report
}

fn carry_out(load: &Load, storage: &ScriptStorage) {
    let mut converter = Converter::default();
    for series in &load.series {
        for (t, start, value) in &series.samples {
            let stored = match value {
                SeriesValue::Omitted => continue,
                SeriesValue::Float(v) => {
                    if load.with_nhcb {
                        converter.add(&series.labels, *t, *v, *start);
                    }
                    StoredValue::Float(*v)
                }
                SeriesValue::Histogram(h, _) => StoredValue::FloatHistogram((**h).clone()),
            };
            storage.insert(
                &series.labels,
                *t,
                Stored {
                    start: *start,
                    value: stored,
                },
            );
        }
    }
    for (labels, t, start, h) in converter.finish() {
        let value = StoredValue::FloatHistogram(h);
        storage.insert(&labels, t, Stored { start, value });
    }
}

fn evaluate(eval: &Eval, engine: &Engine, storage: &ScriptStorage) -> Result<(), String> {
    let options = QueryOptions::default();
    if eval.is_range {
        let result = engine.range(
            storage,
            &eval.query,
            eval.start,
            eval.end,
            eval.step,
            &options,
        );
        let Some(result) = outcome(eval, result)? else {
            return Ok(());
        };
        annotations(eval, &result)?;
        return compare::range(eval, &result.value);
    }
    let at = eval.start;
    ask_instant(eval, &eval.query, at, engine, storage)?;
    if let Some(pinned) = pinned(&eval.query, at) {
        let times = if at == 0 {
            vec![-1000, 0, 1000]
        } else {
            vec![-10 * at, 0, at / 5, at, 10 * at]
        };
        for t in times {
            ask_instant(eval, &pinned, t, engine, storage)
                .map_err(|e| format!("as {pinned} at {t}: {e}"))?;
        }
    }
    Ok(())
}

/// An instant query, and the same as the middle step of a range.
fn ask_instant(
    eval: &Eval,
    query: &str,
    t: i64,
    engine: &Engine,
    storage: &ScriptStorage,
) -> Result<(), String> {
    let options = QueryOptions::default();
    let result = engine.instant(storage, query, t, &options);
    let Some(result) = outcome(eval, result)? else {
        return Ok(());
    };
    if query == eval.query {
        annotations(eval, &result)?;
    }
    compare::instant(eval, &result.value)?;
    let context = ["start()", "end()", "range()", "step()"];
    let depends = context.iter().any(|f| eval.query.contains(f));
    if eval.ordered || eval.text.is_some() || eval.matrix.is_some() || depends {
        return Ok(());
    }
    let result = engine
        .range(
            storage,
            query,
            t - MINUTE_MS,
            t + MINUTE_MS,
            MINUTE_MS,
            &options,
        )
        .map_err(|e| format!("as range query: {e}"))?;
    compare::middle(eval, &result.value, t).map_err(|e| format!("as range query: {e}"))
}

/// `None` for a failure that was expected.
fn outcome(
    eval: &Eval,
    result: Result<QueryResult, QueryError>,
) -> Result<Option<QueryResult>, String> {
    match (result, &eval.fail) {
        (Ok(result), None) => Ok(Some(result)),
        (Ok(_), Some(_)) => Err("expected an error, but got none".to_string()),
        (Err(e), Some(pattern)) if pattern.fits(&e.message) => Ok(None),
        (Err(e), Some(pattern)) => Err(format!(
            "expected error {}, got {:?}",
            pattern.describe(),
            e.message
        )),
        (Err(e), None) => Err(format!("unexpected error: {e}")),
    }
}

fn annotations(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    let got = &result.annotations;
    for (kind, wanted, none, got) in [
        ("warning", &eval.warn, eval.no_warn, &got.warnings),
        ("info", &eval.info, eval.no_info, &got.infos),
    ] {
        if none && !got.is_empty() {
            return Err(format!("unexpected {kind} annotations {got:?}"));
        }
        if wanted.is_empty() {
            continue;
        }
        if let Some(missing) = wanted.iter().find(|p| !got.iter().any(|g| p.fits(g))) {
            return Err(format!(
                "expected {kind} annotation {}, got {got:?}",
                missing.describe()
            ));
        }
        let fits = |g: &String| wanted.iter().any(|p: &Pattern| p.fits(g));
        if let Some(extra) = got.iter().find(|g| !fits(g)) {
            return Err(format!("unexpected {kind} annotation {extra:?}"));
        }
    }
    Ok(())
}

/// The query with every selector and subquery fixed to a time; `None` where its value would change nevertheless.
fn pinned(query: &str, at: i64) -> Option<String> {
    let mut expr = parse(query, &ParserOptions::all()).ok()?;
    let mut unsafe_call = false;
    pin(&mut expr, at, &mut unsafe_call);
    (!unsafe_call).then(|| expr.to_string())
}

fn pin(expr: &mut Expr, at: i64, unsafe_call: &mut bool) {
    let shift = match expr {
        Expr::Vector(v) => Some(&mut v.shift),
        Expr::Matrix(m) => Some(&mut m.selector.shift),
        Expr::Subquery(s) => Some(&mut s.shift),
        Expr::Call(c) => {
            *unsafe_call |= crate::plan::is_step_dependent(c.func.name);
            None
        }
        _ => None,
    };
    if let Some(shift) = shift
        && shift.at_ms.is_none()
    {
        shift.at_ms = Some(at);
    }
    // A pinned subquery pins what is inside.
    if !matches!(expr, Expr::Subquery(_)) {
        for child in expr.children_mut() {
            pin(child, at, unsafe_call);
        }
    } else {
        let mut inner_unsafe = false;
        expr.visit(&mut |e| {
            if let Expr::Call(c) = e {
                inner_unsafe |= crate::plan::is_step_dependent(c.func.name);
            }
        });
        *unsafe_call |= inner_unsafe;
    }
}
