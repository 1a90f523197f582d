//! Binary operators.

mod element;
mod join;
mod matching;
mod sets;

use promql_syntax::ast::{BinaryOp, ValueType};

use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{ABSENT, Frame, is_absent};
use crate::grid::Grid;
use crate::guard::Guard;
use crate::plan::Binary;
use crate::stream::{Mapped, Stream, open as open_stream, scalars};
use element::{Operand, Problems, apply};

/// Whether an operator makes a new metric of its operands.
pub(crate) fn is_arithmetic(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
            | BinaryOp::Atan2
    )
}

/// The operator between two numbers; comparisons give 0 or 1.
pub(crate) fn scalar(op: BinaryOp, l: f64, r: f64) -> f64 {
    let truth = |b: bool| f64::from(u8::from(b));
    match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        BinaryOp::Pow => l.powf(r),
        BinaryOp::Atan2 => l.atan2(r),
        op if op.is_comparison() => truth(holds(op, l, r)),
        _ => f64::NAN,
    }
}

/// Whether a comparison holds.
pub(crate) fn holds(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Equal => l == r,
        BinaryOp::NotEqual => l != r,
        BinaryOp::Less => l < r,
        BinaryOp::LessOrEqual => l <= r,
        BinaryOp::Greater => l > r,
        BinaryOp::GreaterOrEqual => l >= r,
        _ => false,
    }
}

/// Starts an operator of which at least one side is a vector.
pub(crate) fn open<'q>(
    binary: &'q Binary,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<Box<dyn Stream + 'q>> {
    let is_scalar = |n: &crate::plan::Node| n.value_type(cx.plan) == ValueType::Scalar;
    match (is_scalar(&binary.lhs), is_scalar(&binary.rhs)) {
        (true, true) => Err(QueryError::execution("expression is not an instant vector")),
        (left, false) if left => with_scalar(binary, true, grid, cx),
        (_, true) => with_scalar(binary, false, grid, cx),
        _ => match &binary.matching {
            Some(matching) if binary.op.is_set() => sets::open(binary, matching, grid, cx),
            Some(matching) => join::open(binary, matching, grid, cx),
            None => Err(QueryError::execution("operator without vector matching")),
        },
    }
}

/// One side is a vector, the other a scalar.
fn with_scalar<'q>(
    binary: &'q Binary,
    scalar_left: bool,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<Box<dyn Stream + 'q>> {
    let (vector, number) = if scalar_left {
        (&binary.rhs, &binary.lhs)
    } else {
        (&binary.lhs, &binary.rhs)
    };
    let numbers = scalars(number, grid, cx)?;
    let input = open_stream(vector, grid, cx)?;
    Ok(scalar_stream(
        binary,
        scalar_left,
        vector,
        numbers,
        input,
        grid,
        cx,
    ))
}

fn scalar_stream<'q>(
    binary: &'q Binary,
    scalar_left: bool,
    vector: &'q crate::plan::Node,
    numbers: Vec<f64>,
    input: Box<dyn Stream + 'q>,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Box<dyn Stream + 'q> {
    let op = binary.op;
    let drops_name = is_arithmetic(op) || binary.return_bool;
    let mut guard = Guard::for_node(vector, cx);
    let mut problems = Problems::new(binary.pos, grid.n);
    Box::new(Mapped {
        input,
        f: move |frame: &mut Frame| {
            if frame.hists.is_empty() && !op.is_trim() {
                plain(frame, &numbers, binary, scalar_left);
            } else {
                for (i, number) in numbers.iter().enumerate() {
                    let own = if !is_absent(frame.floats[i]) {
                        Operand::Float(frame.floats[i])
                    } else if let Some(h) = frame.hist(i) {
                        Operand::Hist(h.clone())
                    } else {
                        continue;
                    };
                    let number = Operand::Float(*number);
                    let (l, r) = if scalar_left {
                        (&number, &own)
                    } else {
                        (&own, &number)
                    };
                    let result = apply(op, l, r, i, &mut problems);
                    frame.floats[i] = ABSENT;
                    if let Some(h) = frame.hists.get_mut(i) {
                        *h = None;
                    }
                    let Some((value, holds)) = result else {
                        continue;
                    };
                    if binary.return_bool {
                        frame.floats[i] = f64::from(u8::from(holds));
                    } else if holds {
                        // A comparison keeps the vector's value, whichever side it is on.
                        let kept = if op.is_comparison() { own } else { value };
                        match kept {
                            Operand::Float(v) => frame.floats[i] = v,
                            Operand::Hist(h) => frame.set_hist(i, h),
                        }
                    }
                }
                problems.tell(cx);
            }
            if is_arithmetic(op) && cx.options.delayed_name_removal {
                // Gone at once: nothing below can want it back.
                frame.drop_name = true;
            }
            frame.drop_name |= drops_name;
            guard.check(frame, cx)
        },
    })
}

/// Floats only: one tight loop per operator.
fn plain(frame: &mut Frame, numbers: &[f64], binary: &Binary, scalar_left: bool) {
    let op = binary.op;
    let mut each = |f: &dyn Fn(f64, f64) -> f64| {
        for (v, n) in frame.floats.iter_mut().zip(numbers) {
            if !is_absent(*v) {
                *v = f(*v, *n);
            }
        }
    };
    match (op, scalar_left) {
        (BinaryOp::Add, _) => {
            for (v, n) in frame.floats.iter_mut().zip(numbers) {
                *v = if is_absent(*v) { *v } else { *v + *n };
            }
        }
        (BinaryOp::Mul, _) => {
            for (v, n) in frame.floats.iter_mut().zip(numbers) {
                *v = if is_absent(*v) { *v } else { *v * *n };
            }
        }
        (BinaryOp::Div, false) => {
            for (v, n) in frame.floats.iter_mut().zip(numbers) {
                *v = if is_absent(*v) { *v } else { *v / *n };
            }
        }
        (op, left) if op.is_comparison() && !binary.return_bool => each(&|v, n| {
            let (l, r) = if left { (n, v) } else { (v, n) };
            if holds(op, l, r) { v } else { ABSENT }
        }),
        (op, true) => each(&|v, n| scalar(op, n, v)),
        (op, false) => each(&|v, n| scalar(op, v, n)),
    }
}
