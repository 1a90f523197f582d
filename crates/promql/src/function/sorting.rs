//! `sort`, `sort_desc` by value, `sort_by_label`, `sort_by_label_desc` by labels. They order instant vectors only.

use std::cmp::Ordering;

use super::text;
use crate::cx::Cx;
use crate::error::Res;
use crate::frame::{Frame, is_absent};
use crate::grid::Grid;
use crate::notes::Note;
use crate::plan::Call;
use crate::stream::{Ready, Stream, open as open_stream};

pub(super) fn open<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let by_value = !call.func.name.starts_with("sort_by");
    let descending = call.func.name.ends_with("_desc");
    let mut input = open_stream(&call.args[0].node, grid, cx)?;
    // What `@` fixes is evaluated at one time, also in a range query.
    let range_query = grid.n > 1;
    if range_query {
        cx.note(Note::SortIneffective, call.pos);
        if !by_value {
            return Ok(input);
        }
    }
    let mut frames = Vec::new();
    let mut frame = Frame::default();
    while input.next(&mut frame)? {
        cx.check()?;
        if by_value {
            frame.hists.clear();
            if frame.is_blank() {
                continue;
            }
        }
        let samples = frame.samples();
        cx.budget.take(samples, samples * 16 + 80)?;
        frames.push(std::mem::take(&mut frame));
    }
    if range_query {
        return Ok(Box::new(Ready::new(frames)));
    }
    if by_value {
        let value = |f: &Frame| {
            f.floats
                .first()
                .copied()
                .filter(|v| !is_absent(*v))
                .unwrap_or(f64::NAN)
        };
        frames.sort_by(|a, b| {
            let (a, b) = (value(a), value(b));
            match a.partial_cmp(&b) {
                Some(order) if descending => order.reverse(),
                Some(order) => order,
                // NaN comes last either way.
                None => a.is_nan().cmp(&b.is_nan()),
            }
        });
        return Ok(Box::new(Ready::new(frames)));
    }
    let mut labels = Vec::new();
    for at in 1..call.args.len() {
        labels.push(text(call, at)?);
    }
    frames.sort_by(|a, b| {
        let get = |f: &'_ Frame, l: &str| f.labels.get(l).unwrap_or("").to_string();
        let order = labels
            .iter()
            .map(|l| natural(&get(a, l), &get(b, l)))
            .find(|o| *o != Ordering::Equal)
            .unwrap_or_else(|| a.labels.cmp(&b.labels));
        if descending { order.reverse() } else { order }
    });
    Ok(Box::new(Ready::new(frames)))
}

/// Compares runs of digits as numbers, everything else as text.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (x, rest_a) = chunk(a);
        let (y, rest_b) = chunk(b);
        if x.is_empty() || y.is_empty() {
            return x.len().cmp(&y.len());
        }
        let digits = |c: &[u8]| c.first().is_some_and(u8::is_ascii_digit);
        let order = if digits(x) && digits(y) {
            let number = |c: &[u8]| {
                let zeros = c.iter().take_while(|d| **d == b'0').count();
                (c.len() - zeros, c[zeros..].to_vec())
            };
            number(x).cmp(&number(y)).then(x.len().cmp(&y.len()))
        } else {
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The run of digits or of anything else at the start.
fn chunk(s: &[u8]) -> (&[u8], &[u8]) {
    let digit = s.first().is_some_and(u8::is_ascii_digit);
    let n = s.iter().take_while(|b| b.is_ascii_digit() == digit).count();
    s.split_at(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order() {
        for (a, b) in [
            ("a2", "a10"),
            ("1", "a"),
            ("", "a"),
            ("a", "a1"),
            ("v1.9", "v1.10"),
        ] {
            assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(natural(b, a), Ordering::Greater, "{a} {b}");
        }
        assert_eq!(natural("x1", "x1"), Ordering::Equal);
    }
}
