//! `and`, `or`, `unless`: series kept or left out by what the other side has. Only signatures are held.

use hashbrown::HashMap;
use promql_syntax::ast::{BinaryOp, Matching};

use super::matching::Signature;
use crate::cx::Cx;
use crate::error::Res;
use crate::frame::{ABSENT, Frame};
use crate::grid::Grid;
use crate::guard::Guard;
use crate::plan::Binary;
use crate::steps::Steps;
use crate::stream::{Stream, open as open_stream};

/// At which steps each signature has a value.
type Presence = HashMap<Box<[u8]>, Steps>;

fn note_presence(
    presence: &mut Presence,
    signature: &mut Signature<'_>,
    frame: &Frame,
    cx: &Cx<'_>,
) -> Res<()> {
    let n = frame.floats.len();
    let key = signature.of_frame(frame);
    if !presence.contains_key(key) {
        cx.budget.take(0, n / 8 + key.len() + 64)?;
        presence.insert(key.into(), Steps::new(n));
    }
    if let Some(steps) = presence.get_mut(key) {
        for i in (0..n).filter(|i| frame.has(*i)) {
            steps.insert(i);
        }
    }
    Ok(())
}

/// Takes away the values at steps that do not pass.
fn retain(frame: &mut Frame, keep: impl Fn(usize) -> bool) {
    for i in 0..frame.floats.len() {
        if !keep(i) {
            frame.floats[i] = ABSENT;
            if let Some(h) = frame.hists.get_mut(i) {
                *h = None;
            }
        }
    }
}

pub(super) fn open<'q>(
    binary: &'q Binary,
    matching: &'q Matching,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<Box<dyn Stream + 'q>> {
    let mut presence = Presence::new();
    let mut signature = Signature::new(matching, cx);
    if binary.op == BinaryOp::Or {
        return Ok(Box::new(Either {
            left: Some(open_stream(&binary.lhs, grid, cx)?),
            right: open_stream(&binary.rhs, grid, cx)?,
            presence,
            signature,
            guard: Guard::strict(),
            cx,
        }));
    }
    let mut right = open_stream(&binary.rhs, grid, cx)?;
    let mut frame = Frame::default();
    while right.next(&mut frame)? {
        cx.check()?;
        note_presence(&mut presence, &mut signature, &frame, cx)?;
    }
    Ok(Box::new(Filtered {
        input: open_stream(&binary.lhs, grid, cx)?,
        presence,
        signature,
        wanted: binary.op == BinaryOp::And,
        cx,
    }))
}

/// `and` and `unless`.
struct Filtered<'q> {
    input: Box<dyn Stream + 'q>,
    presence: Presence,
    signature: Signature<'q>,
    wanted: bool,
    cx: &'q Cx<'q>,
}

impl Stream for Filtered<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        while self.input.next(out)? {
            self.cx.check()?;
            let other = self.presence.get(self.signature.of_frame(out));
            let present = |i: usize| other.is_some_and(|s| s.contains(i));
            retain(out, |i| present(i) == self.wanted);
            if !out.is_blank() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// `or`: the left side as it is, then of the right side what the left did not have.
struct Either<'q> {
    left: Option<Box<dyn Stream + 'q>>,
    right: Box<dyn Stream + 'q>,
    presence: Presence,
    signature: Signature<'q>,
    guard: Guard,
    cx: &'q Cx<'q>,
}

impl Either<'_> {
    /// The two sides may have the same labels, name pending or not, but not at one step.
    fn claim(&mut self, out: &Frame) -> Res<()> {
        if self.cx.options.delayed_name_removal {
            return Ok(());
        }
        let labels = if out.drop_name {
            crate::frame::without_name(&out.labels)
        } else {
            out.labels.clone()
        };
        self.guard.claim(labels, out)
    }
}

impl Stream for Either<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        if let Some(left) = &mut self.left {
            if left.next(out)? {
                self.cx.check()?;
                note_presence(&mut self.presence, &mut self.signature, out, self.cx)?;
                self.claim(out)?;
                return Ok(true);
            }
            self.left = None;
        }
        while self.right.next(out)? {
            self.cx.check()?;
            if let Some(taken) = self.presence.get(self.signature.of_frame(out)) {
                retain(out, |i| !taken.contains(i));
                if out.is_blank() {
                    continue;
                }
            }
            self.claim(out)?;
            return Ok(true);
        }
        Ok(false)
    }
}
