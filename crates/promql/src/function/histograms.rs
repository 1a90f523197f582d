//! Functions of histograms: moments of native ones, quantiles and fractions of native and classic ones.

use hashbrown::HashMap;
use model::histogram_sum::kahan_add;
use model::labels::BUCKET_LABEL;
use model::{FloatHistogram, Labels, LabelsBuilder};

use super::text;
use crate::block::Block;
use crate::cx::Cx;
use crate::error::Res;
use crate::frame::{ABSENT, Frame, is_absent};
use crate::grid::Grid;
use crate::guard::Guard;
use crate::notes::{Forced, Note};
use crate::plan::Call;
use crate::quantile::{self, ClassicBucket};
use crate::stream::{Mapped, Ready, Stream, open as open_stream, scalars};

/// `histogram_count`, `_sum`, `_avg`, `_stddev`, `_stdvar`.
pub(super) fn moments<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let f: fn(&FloatHistogram) -> f64 = match call.func.name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_stddev" => |h| variance(h).sqrt(),
        _ => variance,
    };
    let mut guard = Guard::for_node(&call.args[0].node, cx);
    Ok(Box::new(Mapped {
        input: open_stream(&call.args[0].node, grid, cx)?,
        f: move |frame: &mut Frame| {
            for i in 0..frame.floats.len() {
                frame.floats[i] = frame.hist(i).map_or(ABSENT, |h| f(h));
            }
            frame.hists.clear();
            if cx.options.delayed_name_removal {
                frame.drop_name = true;
            } else {
                // Type and unit stay, unlike with all other functions.
                frame.settle();
                frame.labels = frame.labels.drop_metric_name();
            }
            guard.check(frame, cx)
        },
    }))
}

fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut lost) = (0.0, 0.0);
    for b in h.all_buckets() {
        if b.count == 0.0 {
            continue;
        }
        let value = if h.uses_custom_buckets() {
            (b.upper + b.lower) / 2.0
        } else if b.lower <= 0.0 && b.upper >= 0.0 {
            0.0
        } else if b.upper < 0.0 {
            -(b.upper * b.lower).sqrt()
        } else {
            (b.upper * b.lower).sqrt()
        };
        let delta = value - mean;
        kahan_add(b.count * delta * delta, &mut sum, &mut lost);
    }
    (sum + lost) / h.count
}

/// The parts of one histogram: classic buckets, native samples, or both at different steps.
struct Group {
    labels: Labels,
    /// Bucket boundary and index into the block.
    classic: Vec<(f64, usize)>,
    native: Vec<usize>,
}

/// The group of these labels, made where it is new.
fn place(labels: Labels, places: &mut HashMap<Labels, usize>, groups: &mut Vec<Group>) -> usize {
    *places.entry(labels).or_insert_with_key(|labels| {
        groups.push(Group {
            labels: labels.clone(),
            classic: Vec::new(),
            native: Vec::new(),
        });
        groups.len() - 1
    })
}

/// What is asked of each histogram, once per output series.
enum Ask {
    Quantile {
        q: Vec<f64>,
        label: Option<(String, String)>,
    },
    Fraction {
        lower: Vec<f64>,
        upper: Vec<f64>,
    },
}

/// `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.
pub(super) fn open<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let scalar = |at: usize| scalars(&call.args[at].node, grid, cx);
    let (at, asks) = match call.func.name {
        "histogram_fraction" => (
            2,
            vec![Ask::Fraction {
                lower: scalar(0)?,
                upper: scalar(1)?,
            }],
        ),
        "histogram_quantile" => {
            let q = scalar(0)?;
            q.iter()
                .for_each(|q| quantile::note_invalid(*q, call.args[0].pos, cx));
            (1, vec![Ask::Quantile { q, label: None }])
        }
        _ => {
            let label = text(call, 1)?;
            let mut asks = Vec::new();
            for at in 2..call.args.len() {
                let q = scalar(at)?;
                q.iter()
                    .for_each(|q| quantile::note_invalid(*q, call.args[at].pos, cx));
                let shown = openmetrics_float(q.first().copied().unwrap_or(f64::NAN));
                asks.push(Ask::Quantile {
                    q,
                    label: Some((label.to_string(), shown)),
                });
            }
            (0, asks)
        }
    };
    let pos = call.args[at].pos;
    let delayed = cx.options.delayed_name_removal;
    let shown_name = |labels: &Labels| {
        let name = labels.metric_name();
        (delayed && !name.is_empty()).then(|| name.to_string())
    };
    let mut input = open_stream(&call.args[at].node, grid, cx)?;
    let mut block = Block::empty(cx);
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut frame = Frame::default();
    while input.next(&mut frame)? {
        cx.check()?;
        if !delayed {
            frame.settle();
        }
        let index = block.series.len();
        block.push(&frame)?;
        if block.series.len() == index {
            continue;
        }
        if frame.floats.iter().any(|v| !is_absent(*v)) {
            let le = frame.labels.get(BUCKET_LABEL).unwrap_or("");
            match model::number::parse_float(le) {
                Some(upper) => {
                    let labels = frame.labels.without(&[BUCKET_LABEL]);
                    let at = place(labels, &mut places, &mut groups);
                    groups[at].classic.push((upper, index));
                }
                None => cx.note(
                    Note::BadBucketLabel(le.to_string(), shown_name(&frame.labels)),
                    pos,
                ),
            }
        }
        if frame.hists.iter().any(Option::is_some) {
            let at = place(frame.labels.clone(), &mut places, &mut groups);
            groups[at].native.push(index);
        }
    }
    let mut out = Vec::new();
    let mut guard = Guard::strict();
    for ask in &asks {
        for group in &groups {
            cx.check()?;
            let mut result = Frame::default();
            result.reset(grid.n);
            answer(ask, group, &block, &grid, cx, pos, &mut result);
            if result.is_blank() {
                continue;
            }
            result.labels = group.labels.clone();
            if let Ask::Quantile {
                label: Some((name, value)),
                ..
            } = ask
            {
                let mut builder = LabelsBuilder::new(&group.labels);
                builder.set(name.clone(), value.clone());
                result.labels = builder.build();
            }
            result.drop_name = true;
            if !delayed {
                result.settle();
                guard.claim(result.labels.clone(), &result)?;
            }
            cx.budget.take(result.samples(), grid.n * 8)?;
            out.push(result);
        }
    }
    Ok(Box::new(Ready::new(out)))
}

fn answer(
    ask: &Ask,
    group: &Group,
    block: &Block,
    grid: &Grid,
    cx: &Cx<'_>,
    pos: promql_syntax::PosRange,
    out: &mut Frame,
) {
    let name = (cx.options.delayed_name_removal && !group.labels.metric_name().is_empty())
        .then(|| group.labels.metric_name().to_string());
    let mut buckets: Vec<ClassicBucket> = Vec::with_capacity(group.classic.len());
    for step in 0..grid.n {
        buckets.clear();
        buckets.extend(group.classic.iter().filter_map(|(upper, at)| {
            let count = block.series[*at].float(step);
            (!is_absent(count)).then_some(ClassicBucket {
                upper: *upper,
                count,
            })
        }));
        let native = group
            .native
            .iter()
            .find_map(|at| block.series[*at].hist(step));
        match native {
            Some(_) if !buckets.is_empty() => {
                cx.note(Note::MixedClassicNative(name.clone()), pos);
            }
            Some(h) => {
                out.floats[step] = match ask {
                    Ask::Quantile { q, .. } => quantile::native(q[step], h, |is_nan| {
                        let note = if is_nan {
                            Note::QuantileNan(name.clone())
                        } else {
                            Note::QuantileSkewed(name.clone())
                        };
                        cx.note(note, pos);
                    }),
                    Ask::Fraction { lower, upper } => {
                        quantile::native_fraction(lower[step], upper[step], h, || {
                            cx.note(Note::FractionNan(name.clone()), pos);
                        })
                    }
                };
            }
            None if buckets.is_empty() => {}
            None => {
                out.floats[step] = match ask {
                    Ask::Fraction { lower, upper } => {
                        quantile::classic_fraction(lower[step], upper[step], &mut buckets)
                    }
                    Ask::Quantile { q, .. } => {
                        let (value, repaired) = quantile::classic(q[step], &mut buckets);
                        if let Some(r) = repaired {
                            let at = grid.time(step);
                            let forced = Forced {
                                min_bucket: r.min_bucket,
                                max_bucket: r.max_bucket,
                                max_diff: r.max_diff,
                                count: 1,
                                first_ms: at,
                                last_ms: at,
                            };
                            cx.notes.borrow_mut().add_forced(name.clone(), pos, forced);
                        }
                        value
                    }
                };
            }
        }
    }
}

/// A number as OpenMetrics writes it: whole ones with `.0`.
fn openmetrics_float(v: f64) -> String {
    let text = model::histogram_text::go_g(v);
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    if plain { format!("{text}.0") } else { text }
}
