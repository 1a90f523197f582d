//! Duration expressions: their value once the query's start, end and step are known.

use crate::ast::{DurationExpr, DurationOp, Expr, TimeShift};
use crate::position::{ParseError, PosRange};

/// The largest duration in seconds, that of 64-bit nanoseconds.
pub(crate) const SECONDS_MAX: f64 = (1u64 << 63) as f64 / 1e9;

/// A duration that is known from the text alone, or has to be computed.
pub(crate) enum Computed {
    /// Milliseconds.
    Known(i64),
    /// An expression over `step()` and `range()`, or arithmetic.
    Later(Box<DurationExpr>),
}

impl Computed {
    pub(crate) fn split(self) -> (i64, Option<Box<DurationExpr>>) {
        match self {
            Computed::Known(ms) => (ms, None),
            Computed::Later(expr) => (0, Some(expr)),
        }
    }
}

/// Seconds to whole milliseconds: rounded to nanoseconds first, as upstream's durations are.
pub(crate) fn seconds_to_ms(seconds: f64) -> i64 {
    ((seconds * 1e9).round() / 1e6) as i64
}

/// The times of the query that durations may refer to.
#[derive(Clone, Copy, Debug)]
pub struct QueryTimes {
    /// First step, ms.
    pub start_ms: i64,
    /// Last step, ms.
    pub end_ms: i64,
    /// Step width in ms; 0 for an instant query.
    pub step_ms: i64,
}

/// Computes every duration expression of a query in place: ranges, subquery steps and offsets.
///
/// The error's text carries its own position (`start:end: message`), as upstream's does.
pub fn resolve_durations(expr: &mut Expr, times: &QueryTimes) -> Result<(), ParseError> {
    match expr {
        Expr::Vector(v) => resolve_shift(&mut v.shift, times)?,
        Expr::Matrix(m) => {
            resolve_shift(&mut m.selector.shift, times)?;
            if let Some(range) = &m.range_expr {
                m.range_ms = resolve(range, times, false)?;
            }
        }
        Expr::Subquery(s) => {
            resolve_shift(&mut s.shift, times)?;
            if let Some(range) = &s.range_expr {
                s.range_ms = resolve(range, times, false)?;
            }
            if let Some(step) = &s.step_expr {
                s.step_ms = resolve(step, times, false)?;
            }
        }
        _ => {}
    }
    for child in expr.children_mut() {
        resolve_durations(child, times)?;
    }
    Ok(())
}

fn resolve_shift(shift: &mut TimeShift, times: &QueryTimes) -> Result<(), ParseError> {
    if let Some(offset) = &shift.offset_expr {
        shift.offset_ms = resolve(offset, times, true)?;
    }
    Ok(())
}

fn fail<T>(pos: PosRange, message: &str) -> Result<T, ParseError> {
    Err(ParseError::unframed(
        pos,
        format!("{}:{}: {message}", pos.start, pos.end),
    ))
}

fn resolve(
    expr: &DurationExpr,
    times: &QueryTimes,
    negative_allowed: bool,
) -> Result<i64, ParseError> {
    let seconds = evaluate(expr, times)?;
    if seconds <= 0.0 && !negative_allowed {
        return fail(expr.pos(), "duration must be greater than 0");
    }
    if seconds.is_nan() || seconds.is_infinite() {
        return fail(expr.pos(), "duration is NaN or infinite");
    }
    if seconds.abs() > SECONDS_MAX {
        return fail(expr.pos(), "duration is out of range");
    }
    Ok((seconds * 1000.0) as i64)
}

fn evaluate(expr: &DurationExpr, times: &QueryTimes) -> Result<f64, ParseError> {
    Ok(match expr {
        DurationExpr::Number(n) => n.value,
        DurationExpr::Step(_) => times.step_ms as f64 / 1000.0,
        DurationExpr::Range(_) => times.end_ms.saturating_sub(times.start_ms) as f64 / 1000.0,
        DurationExpr::Negate { expr, .. } => -evaluate(expr, times)?,
        DurationExpr::Binary {
            op, lhs, rhs, pos, ..
        } => {
            let (l, r) = (evaluate(lhs, times)?, evaluate(rhs, times)?);
            match op {
                DurationOp::Add => l + r,
                DurationOp::Sub => l - r,
                DurationOp::Mul => l * r,
                DurationOp::Div if r == 0.0 => return fail(*pos, "division by zero"),
                DurationOp::Div => l / r,
                DurationOp::Mod if r == 0.0 => return fail(*pos, "modulo by zero"),
                DurationOp::Mod => l % r,
                DurationOp::Pow => l.powf(r),
                DurationOp::MinOf => l.min(r),
                DurationOp::MaxOf => l.max(r),
            }
        }
    })
}
