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
    let mut frame = Frame::default();
    // Read to the end even where no step is left without a value: errors come with the last series.
    while input.next(&mut frame)? {
        cx.check()?;
        for (i, v) in values.iter_mut().enumerate() {
            if *v == 1.0 && frame.has(i) {
                *v = ABSENT;
            }
        }
    }
    Ok(single(values, call.labels.clone()))
}
