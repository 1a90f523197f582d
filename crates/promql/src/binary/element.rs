//! Operators between two samples of either kind.

use std::sync::Arc;

use model::ResetHint;
use model::histogram_trim::Keep;
use promql_syntax::PosRange;
use promql_syntax::ast::BinaryOp;

use super::{holds, scalar};
use crate::cx::Cx;
use crate::frame::Hist;
use crate::notes::Note;

#[derive(Clone, Debug)]
pub(super) enum Operand {
    Float(f64),
    Hist(Hist),
}

impl Operand {
    fn kind(&self) -> &'static str {
        match self {
            Operand::Float(_) => "float",
            Operand::Hist(_) => "histogram",
        }
    }
}

/// What went wrong at each step. Of several problems at one step only the last is told, as upstream does.
pub(super) struct Problems {
    pos: PosRange,
    last: Vec<Option<Note>>,
    infos: Vec<Option<Note>>,
    any: bool,
}

impl Problems {
    pub fn new(pos: PosRange, steps: usize) -> Problems {
        Problems {
            pos,
            last: vec![None; steps],
            infos: vec![None; steps],
            any: false,
        }
    }

    fn add(&mut self, step: usize, note: Note) {
        self.any = true;
        if let Some(slot) = self.last.get_mut(step) {
            *slot = Some(note);
        }
    }

    fn add_info(&mut self, step: usize, note: Note) {
        self.any = true;
        if let Some(slot) = self.infos.get_mut(step) {
            *slot = Some(note);
        }
    }

    pub fn tell(&mut self, cx: &Cx<'_>) {
        if !self.any {
            return;
        }
        self.any = false;
        for note in self.last.iter_mut().chain(&mut self.infos) {
            if let Some(note) = note.take() {
                cx.note(note, self.pos);
            }
        }
    }
}

/// The value of `l op r` and whether it is to be kept; for comparisons the value is the left one. `None` where the two do
/// not go together.
pub(super) fn apply(
    op: BinaryOp,
    l: &Operand,
    r: &Operand,
    step: usize,
    problems: &mut Problems,
) -> Option<(Operand, bool)> {
    let hist = |h: model::FloatHistogram| {
        let mut h = h;
        h.compact();
        Some((Operand::Hist(Arc::new(h)), true))
    };
    match (l, r) {
        (Operand::Float(a), Operand::Float(b)) if !op.is_trim() => {
            return Some(if op.is_comparison() {
                (Operand::Float(*a), holds(op, *a, *b))
            } else {
                (Operand::Float(scalar(op, *a, *b)), true)
            });
        }
        (Operand::Float(a), Operand::Hist(h)) | (Operand::Hist(h), Operand::Float(a))
            if op == BinaryOp::Mul =>
        {
            let mut h = (**h).clone();
            h.mul(*a);
            return hist(h);
        }
        (Operand::Hist(h), Operand::Float(a)) if op == BinaryOp::Div || op.is_trim() => {
            let mut h = (**h).clone();
            match op {
                BinaryOp::Div => h.div(*a),
                BinaryOp::TrimUpper => h.trim(*a, Keep::Below),
                _ => h.trim(*a, Keep::Above),
            }
            return hist(h);
        }
        (Operand::Hist(a), Operand::Hist(b)) => match op {
            BinaryOp::Add | BinaryOp::Sub => {
                let (name, mut h) = ((op == BinaryOp::Add), (**a).clone());
                let operation = if name { "addition" } else { "subtraction" };
                let done = if name { h.add(b) } else { h.sub(b) };
                let notes = match done {
                    Ok(notes) => notes,
                    Err(_) => {
                        problems.add(step, Note::IncompatibleBucketLayout(op.as_str()));
                        return None;
                    }
                };
                if op == BinaryOp::Sub {
                    h.reset_hint = ResetHint::Gauge;
                }
                if notes.reset_collision {
                    problems.add(step, Note::ResetCollision(operation));
                }
                if notes.bounds_reconciled {
                    problems.add_info(step, Note::BoundsReconciled(operation));
                }
                return hist(h);
            }
            BinaryOp::Equal => return Some((l.clone(), a.equals(b))),
            BinaryOp::NotEqual => return Some((l.clone(), !a.equals(b))),
            _ => {}
        },
        _ => {}
    }
    problems.add(
        step,
        Note::IncompatibleTypes(l.kind(), op.as_str(), r.kind()),
    );
    None
}
