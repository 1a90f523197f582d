//! Evaluates an expression at one instant by doing just what the language says: no plan, no sharing, no windows that slide.
//! Floats only, metric names dropped at once.

use std::collections::BTreeMap;

use model::sample::is_stale_nan;
use promql_syntax::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Edge, Expr, Matching, TimeShift,
    VectorSelector,
};

pub type Labels = BTreeMap<String, String>;
/// Series sorted by labels with their samples.
pub type Data = Vec<(Labels, Vec<(i64, f64)>)>;
pub type Vector = Vec<(Labels, f64)>;

pub enum Value {
    Scalar(f64),
    Vector(Vector),
}

/// Any error: which one is not the question here.
#[derive(Debug)]
pub struct Failed;

type Res<T> = Result<T, Failed>;

const LOOKBACK_MS: i64 = 300_000;

struct Eval<'a> {
    data: &'a Data,
    bounds: (i64, i64),
}

/// The value of `expr` at `t`; `bounds` are the query's first and last step.
pub fn evaluate(expr: &Expr, data: &Data, t: i64, bounds: (i64, i64)) -> Res<Value> {
    Eval { data, bounds }.value(expr, t)
}

fn unnamed(labels: &Labels) -> Labels {
    let mut out = labels.clone();
    out.remove("__name__");
    out
}

/// Equal label sets at one step are an error.
fn distinct(v: Vector) -> Res<Vector> {
    let mut seen = std::collections::BTreeSet::new();
    if v.iter().all(|(l, _)| seen.insert(l.clone())) {
        Ok(v)
    } else {
        Err(Failed)
    }
}

impl Eval<'_> {
    fn reference(&self, shift: &TimeShift, t: i64) -> i64 {
        let base = match (shift.at_edge, shift.at_ms) {
            (Some(Edge::Start), _) => self.bounds.0,
            (Some(Edge::End), _) => self.bounds.1,
            (None, Some(at)) => at,
            (None, None) => t,
        };
        base - shift.offset_ms
    }

    fn value(&self, expr: &Expr, t: i64) -> Res<Value> {
        Ok(match expr {
            Expr::Number(n) => Value::Scalar(n.value),
            Expr::Paren(p) => self.value(&p.expr, t)?,
            Expr::Vector(v) => Value::Vector(
                self.select(v, t)
                    .into_iter()
                    .map(|(l, (_, v))| (l, v))
                    .collect(),
            ),
            Expr::Unary(u) => match self.value(&u.expr, t)? {
                Value::Scalar(v) => Value::Scalar(if u.negative { -v } else { v }),
                Value::Vector(v) if u.negative => Value::Vector(distinct(
                    v.into_iter().map(|(l, v)| (unnamed(&l), -v)).collect(),
                )?),
                v => v,
            },
            Expr::Aggregate(a) => Value::Vector(self.aggregate(a, t)?),
            Expr::Binary(b) => self.binary(b, t)?,
            Expr::Call(c) => self.call(c, t)?,
            _ => return Err(Failed),
        })
    }

    fn vector(&self, expr: &Expr, t: i64) -> Res<Vector> {
        match self.value(expr, t)? {
            Value::Vector(v) => Ok(v),
            Value::Scalar(_) => Err(Failed),
        }
    }

    fn scalar(&self, expr: &Expr, t: i64) -> Res<f64> {
        match self.value(expr, t)? {
            Value::Scalar(v) => Ok(v),
            Value::Vector(_) => Err(Failed),
        }
    }

    fn matching<'a>(
        &'a self,
        v: &'a VectorSelector,
    ) -> impl Iterator<Item = &'a (Labels, Vec<(i64, f64)>)> {
        self.data.iter().filter(|(labels, _)| {
            v.matchers
                .iter()
                .all(|m| m.matches(labels.get(m.name()).map_or("", String::as_str)))
        })
    }

    fn select(&self, v: &VectorSelector, t: i64) -> Vec<(Labels, (i64, f64))> {
        let at = self.reference(&v.shift, t);
        self.matching(v)
            .filter_map(|(labels, samples)| {
                let last = samples.iter().rev().find(|(t, _)| *t <= at)?;
                let fresh = last.0 > at - LOOKBACK_MS && !is_stale_nan(last.1);
                fresh.then(|| (labels.clone(), *last))
            })
            .collect()
    }

    /// Series with the samples of a range vector, and the window's ends.
    fn range(&self, expr: &Expr, t: i64) -> Res<(Data, i64, i64)> {
        match expr {
            Expr::Paren(p) => self.range(&p.expr, t),
            Expr::Matrix(m) => {
                let to = self.reference(&m.selector.shift, t);
                let from = to - m.range_ms;
                let series = self
                    .matching(&m.selector)
                    .map(|(labels, samples)| {
                        let within = samples
                            .iter()
                            .filter(|(t, v)| *t > from && *t <= to && !is_stale_nan(*v));
                        (labels.clone(), within.copied().collect())
                    })
                    .collect();
                Ok((series, from, to))
            }
            Expr::Subquery(s) => {
                let to = self.reference(&s.shift, t);
                let from = to - s.range_ms;
                let mut step = from / s.step_ms * s.step_ms;
                if step <= from {
                    step += s.step_ms;
                }
                let mut series: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
                while step <= to {
                    for (labels, v) in self.vector(&s.expr, step)? {
                        series.entry(labels).or_default().push((step, v));
                    }
                    step += s.step_ms;
                }
                Ok((series.into_iter().collect(), from, to))
            }
            _ => Err(Failed),
        }
    }

    fn call(&self, c: &Call, t: i64) -> Res<Value> {
        let mapped = |f: &dyn Fn(f64) -> f64| -> Res<Value> {
            let v = self.vector(&c.args[0], t)?;
            Ok(Value::Vector(distinct(
                v.into_iter().map(|(l, v)| (unnamed(&l), f(v))).collect(),
            )?))
        };
        match c.func.name {
            "time" => Ok(Value::Scalar(t as f64 / 1000.0)),
            "vector" => Ok(Value::Vector(vec![(
                Labels::new(),
                self.scalar(&c.args[0], t)?,
            )])),
            "scalar" => {
                let v = self.vector(&c.args[0], t)?;
                Ok(Value::Scalar(if v.len() == 1 { v[0].1 } else { f64::NAN }))
            }
            "abs" => mapped(&f64::abs),
            "ceil" => mapped(&f64::ceil),
            "floor" => mapped(&f64::floor),
            "sgn" => mapped(&|v| {
                if v > 0.0 {
                    1.0
                } else if v < 0.0 {
                    -1.0
                } else {
                    v
                }
            }),
            "clamp" => mapped(&|v| if v.is_nan() { v } else { v.clamp(-1.0, 3.0) }),
            "timestamp" => match c.args[0].unwrap_parens() {
                Expr::Vector(v) => Ok(Value::Vector(distinct(
                    self.select(v, t)
                        .into_iter()
                        .map(|(l, (t, _))| (unnamed(&l), t as f64 / 1000.0))
                        .collect(),
                )?)),
                _ => mapped(&|_| t as f64 / 1000.0),
            },
            "absent" | "absent_over_time" => {
                let any = if c.func.name == "absent" {
                    !self.vector(&c.args[0], t)?.is_empty()
                } else {
                    self.range(&c.args[0], t)?
                        .0
                        .iter()
                        .any(|(_, s)| !s.is_empty())
                };
                let labels = pinned(c.args[0].unwrap_parens());
                Ok(Value::Vector(if any {
                    Vec::new()
                } else {
                    vec![(labels, 1.0)]
                }))
            }
            "label_replace" => {
                let v = self.vector(&c.args[0], t)?;
                let out = v.into_iter().map(|(mut l, v)| {
                    if let Some(b) = l.get("b").filter(|b| *b == "x" || *b == "y").cloned() {
                        l.insert("c".to_string(), format!("{b}-"));
                    }
                    (l, v)
                });
                Ok(Value::Vector(distinct(out.collect())?))
            }
            name => {
                let (series, from, to) = self.range(&c.args[0], t)?;
                let keeps = matches!(name, "last_over_time" | "first_over_time");
                let mut out = Vector::new();
                for (labels, samples) in series {
                    if let Some(v) = over_range(name, &samples, from, to) {
                        out.push((if keeps { labels } else { unnamed(&labels) }, v));
                    }
                }
                Ok(Value::Vector(distinct(out)?))
            }
        }
    }

    fn aggregate(&self, a: &Aggregate, t: i64) -> Res<Vector> {
        let input = self.vector(&a.expr, t)?;
        let key = |l: &Labels| -> Labels {
            l.iter()
                .filter(|(n, _)| {
                    let listed = a.grouping.contains(n);
                    if a.without {
                        !listed && *n != "__name__"
                    } else {
                        listed
                    }
                })
                .map(|(n, v)| (n.clone(), v.clone()))
                .collect()
        };
        let mut groups: BTreeMap<Labels, Vector> = BTreeMap::new();
        for (labels, v) in input {
            groups.entry(key(&labels)).or_default().push((labels, v));
        }
        let param = |this: &Self| match &a.param {
            Some(p) => this.scalar(p, t),
            None => Err(Failed),
        };
        let mut out = Vector::new();
        for (group, members) in groups {
            let values: Vec<f64> = members.iter().map(|m| m.1).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            match a.op {
                AggregateOp::Sum => out.push((group, values.iter().sum())),
                AggregateOp::Avg => out.push((group, mean)),
                AggregateOp::Count => out.push((group, n)),
                AggregateOp::Group => out.push((group, 1.0)),
                AggregateOp::Min => out.push((group, extreme(&values, f64::min))),
                AggregateOp::Max => out.push((group, extreme(&values, f64::max))),
                AggregateOp::Stddev => {
                    let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
                    out.push((group, (squares / n).sqrt()));
                }
                AggregateOp::Quantile => out.push((group, quantile(param(self)?, values))),
                AggregateOp::Limitk => out.extend(members.into_iter().take(param(self)? as usize)),
                AggregateOp::Topk | AggregateOp::Bottomk => {
                    let mut ranked = members;
                    // Stable: of equal values the first stays first.
                    ranked.sort_by(|x, y| match (x.1.is_nan(), y.1.is_nan()) {
                        (true, true) => std::cmp::Ordering::Equal,
                        (true, false) => std::cmp::Ordering::Greater,
                        (false, true) => std::cmp::Ordering::Less,
                        _ if a.op == AggregateOp::Topk => y.1.total_cmp(&(x.1 + 0.0)),
                        _ => x.1.total_cmp(&(y.1 + 0.0)),
                    });
                    out.extend(ranked.into_iter().take(param(self)? as usize));
                }
                AggregateOp::CountValues => {
                    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
                    for v in values {
                        *counts.entry(model::number::format_float(v)).or_default() += 1.0;
                    }
                    for (text, n) in counts {
                        let mut labels = group.clone();
                        labels.insert("v".to_string(), text);
                        out.push((labels, n));
                    }
                }
                _ => return Err(Failed),
            }
        }
        Ok(out)
    }

    fn binary(&self, b: &Binary, t: i64) -> Res<Value> {
        let arithmetic = !b.op.is_comparison() && !b.op.is_set();
        let drops = arithmetic || b.return_bool;
        let result = |l: f64, r: f64, kept: f64| -> Option<f64> {
            if arithmetic {
                return Some(calculate(b.op, l, r));
            }
            let truth = compare(b.op, l, r);
            if b.return_bool {
                Some(f64::from(u8::from(truth)))
            } else {
                truth.then_some(kept)
            }
        };
        let named = |l: &Labels| if drops { unnamed(l) } else { l.clone() };
        match (self.value(&b.lhs, t)?, self.value(&b.rhs, t)?) {
            (Value::Scalar(l), Value::Scalar(r)) => {
                Ok(Value::Scalar(result(l, r, l).unwrap_or(f64::NAN)))
            }
            (Value::Vector(v), Value::Scalar(s)) => Ok(Value::Vector(distinct(
                v.iter()
                    .filter_map(|(l, v)| Some((named(l), result(*v, s, *v)?)))
                    .collect(),
            )?)),
            (Value::Scalar(s), Value::Vector(v)) => Ok(Value::Vector(distinct(
                v.iter()
                    .filter_map(|(l, v)| Some((named(l), result(s, *v, *v)?)))
                    .collect(),
            )?)),
            (Value::Vector(l), Value::Vector(r)) => {
                let matching = b.matching.as_ref().ok_or(Failed)?;
                if b.op.is_set() {
                    return Ok(Value::Vector(distinct(set(b.op, matching, l, r))?));
                }
                if l.is_empty() || r.is_empty() {
                    return Ok(Value::Vector(Vec::new()));
                }
                let swapped = matching.card == Cardinality::OneToMany;
                let (many, one) = if swapped { (r, l) } else { (l, r) };
                let mut ones: BTreeMap<Labels, (Labels, f64)> = BTreeMap::new();
                for (labels, v) in one {
                    if ones
                        .insert(signature(matching, &labels), (labels, v))
                        .is_some()
                    {
                        return Err(Failed);
                    }
                }
                let mut out = Vector::new();
                let mut pairs = std::collections::BTreeSet::new();
                for (labels, v) in many {
                    let sig = signature(matching, &labels);
                    let Some((one, w)) = ones.get(&sig) else {
                        continue;
                    };
                    let mut name = named(&labels);
                    if matching.card == Cardinality::OneToOne {
                        name.retain(|n, _| matching.labels.contains(n) == matching.on);
                    }
                    for include in &matching.include {
                        match one.get(include) {
                            Some(v) => name.insert(include.clone(), v.clone()),
                            None => name.remove(include),
                        };
                    }
                    let unique = if matching.card == Cardinality::OneToOne {
                        pairs.insert((sig, Labels::new()))
                    } else {
                        pairs.insert((sig, name.clone()))
                    };
                    if !unique {
                        return Err(Failed);
                    }
                    let (x, y) = if swapped { (*w, v) } else { (v, *w) };
                    if let Some(v) = result(x, y, x) {
                        out.push((name, v));
                    }
                }
                Ok(Value::Vector(distinct(out)?))
            }
        }
    }
}

fn pinned(expr: &Expr) -> Labels {
    let matchers = match expr {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.selector.matchers,
        _ => return Labels::new(),
    };
    // The generated selectors never name a label twice.
    matchers
        .iter()
        .filter(|m| m.name() != "__name__" && m.op() == model::MatchOp::Equal)
        .map(|m| (m.name().to_string(), m.value().to_string()))
        .collect()
}

fn signature(m: &Matching, labels: &Labels) -> Labels {
    let mut out = labels.clone();
    if m.on {
        out.retain(|n, _| m.labels.contains(n));
    } else {
        out.retain(|n, _| !m.labels.contains(n) && n != "__name__");
    }
    out
}

fn set(op: BinaryOp, m: &Matching, l: Vector, r: Vector) -> Vector {
    let has = |v: &Vector, labels: &Labels| {
        let sig = signature(m, labels);
        v.iter().any(|(l, _)| signature(m, l) == sig)
    };
    match op {
        BinaryOp::And => l.into_iter().filter(|(x, _)| has(&r, x)).collect(),
        BinaryOp::Unless => l.into_iter().filter(|(x, _)| !has(&r, x)).collect(),
        _ => {
            let more: Vector = r.into_iter().filter(|(x, _)| !has(&l, x)).collect();
            l.into_iter().chain(more).collect()
        }
    }
}

fn calculate(op: BinaryOp, l: f64, r: f64) -> f64 {
    match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => l % r,
        _ => f64::NAN,
    }
}

fn compare(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Equal => l == r,
        BinaryOp::NotEqual => l != r,
        BinaryOp::Greater => l > r,
        BinaryOp::Less => l < r,
        BinaryOp::GreaterOrEqual => l >= r,
        _ => l <= r,
    }
}

fn extreme(values: &[f64], pick: fn(f64, f64) -> f64) -> f64 {
    // Rust's min and max leave NaN aside, as the language wants.
    values.iter().copied().fold(f64::NAN, pick)
}

fn quantile(q: f64, mut values: Vec<f64>) -> f64 {
    values.sort_by(|a, b| {
        a.partial_cmp(b)
            .unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
    });
    let rank = q * (values.len() as f64 - 1.0);
    let low = rank.floor() as usize;
    let high = (low + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[low] * (1.0 - weight) + values[high] * weight
}

/// A range function of one series' window.
fn over_range(name: &str, samples: &[(i64, f64)], from: i64, to: i64) -> Option<f64> {
    let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
    let n = values.len();
    if n == 0 {
        return None;
    }
    let pairs = || values.windows(2);
    let count = n as f64;
    Some(match name {
        "sum_over_time" => values.iter().sum(),
        "avg_over_time" => values.iter().sum::<f64>() / count,
        "min_over_time" => extreme(&values, f64::min),
        "max_over_time" => extreme(&values, f64::max),
        "count_over_time" => count,
        "present_over_time" => 1.0,
        "last_over_time" => values[n - 1],
        "first_over_time" => values[0],
        "changes" => pairs()
            .filter(|w| w[0] != w[1] && !(w[0].is_nan() && w[1].is_nan()))
            .count() as f64,
        "resets" => pairs().filter(|w| w[1] < w[0]).count() as f64,
        "stddev_over_time" => {
            let mean = values.iter().sum::<f64>() / count;
            (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count).sqrt()
        }
        _ if n < 2 => return None,
        "irate" | "idelta" => {
            let ((t0, a), (t1, b)) = (samples[n - 2], samples[n - 1]);
            let seconds = (t1 - t0) as f64 / 1000.0;
            match name {
                "idelta" => b - a,
                _ if b < a => b / seconds,
                _ => (b - a) / seconds,
            }
        }
        "deriv" => {
            if values.iter().all(|v| *v == values[0]) {
                return Some(0.0);
            }
            let x: Vec<f64> = samples
                .iter()
                .map(|s| (s.0 - samples[0].0) as f64 / 1000.0)
                .collect();
            let (mx, my) = (
                x.iter().sum::<f64>() / count,
                values.iter().sum::<f64>() / count,
            );
            let xy: f64 = x
                .iter()
                .zip(&values)
                .map(|(x, y)| (x - mx) * (y - my))
                .sum();
            let xx: f64 = x.iter().map(|x| (x - mx) * (x - mx)).sum();
            xy / xx
        }
        _ => {
            let counter = name != "delta";
            let (first, last) = (samples[0], samples[n - 1]);
            let mut increase = last.1 - first.1;
            if counter {
                increase += pairs().filter(|w| w[1] < w[0]).map(|w| w[0]).sum::<f64>();
            }
            let seconds = |ms: i64| ms as f64 / 1000.0;
            let sampled = seconds(last.0 - first.0);
            let average = sampled / (count - 1.0);
            let reach = |gap: f64| {
                if gap >= average * 1.1 {
                    average / 2.0
                } else {
                    gap
                }
            };
            let mut before = reach(seconds(first.0 - from));
            if counter && increase > 0.0 && first.1 >= 0.0 {
                before = before.min(sampled * (first.1 / increase));
            }
            let after = reach(seconds(to - last.0));
            let total = increase * (sampled + before + after) / sampled;
            if name == "rate" {
                total / seconds(to - from)
            } else {
                total
            }
        }
    })
}
