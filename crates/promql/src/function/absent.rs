//! `absent` and `absent_over_time`: a value where there is none.

use super::single;
use crate::cx::Cx;
use crate::error::Res;
use crate::frame::{ABSENT, Frame};
use crate::grid::Grid;
use crate::plan::Call;
use crate::stream::Stream;

pub(super) fn open<'q>(
    mut input: Box<dyn Stream + 'q>,
    call: &Call,
    grid: Grid,
    cx: &Cx<'_>,
) -> Res<Box<dyn Stream + 'q>> {
    let mut values = vec![1.0; grid.n];
    let mut left = grid.n;
    let mut frame = Frame::default();
    // Once no step is without a value nothing can change any more.
    while left > 0 && input.next(&mut frame)? {
        cx.check()?;
        for (i, v) in values.iter_mut().enumerate() {
            if *v == 1.0 && frame.has(i) {
                *v = ABSENT;
                left -= 1;
            }
        }
    }
    Ok(single(values, call.labels.clone()))
}
