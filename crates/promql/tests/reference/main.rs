//! The engine against a slow, obviously right evaluator: seeded random queries over seeded random data.

mod evaluator;
mod generator;

use std::collections::BTreeMap;

use evaluator::{Data, Labels, Value as Wanted, evaluate};
use generator::Generator;
use promql::testscript::ScriptStorage;
use promql::{
    Control, Engine, EngineOptions, Executor, QueryOptions, RunToEnd, SampleValue, Stop, Value,
};
use promql_syntax::ParserOptions;

/// Relative difference that is only another order of additions.
const TOLERANCE: f64 = 1e-9;

fn close(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    a == b || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()).max(1e-9)
}

/// Lends two threads from the first samples on.
struct Threads;

impl Executor for Threads {
    fn alongside(&self, job: &(dyn Fn() + Sync), own: &mut dyn FnMut()) {
        std::thread::scope(|scope| {
            scope.spawn(job);
            scope.spawn(job);
            own();
        });
    }

    fn alone(&self) -> u64 {
        3
    }
}

impl Control for Threads {
    fn stop(&self) -> Option<Stop> {
        None
    }

    fn executor(&self) -> Option<&dyn Executor> {
        Some(self)
    }
}

fn engine(optimize: bool) -> Engine {
    Engine::new(EngineOptions {
        parser: ParserOptions::all(),
        optimize,
        ..EngineOptions::default()
    })
}

fn store(data: &Data) -> ScriptStorage {
    let storage = ScriptStorage::default();
    for (labels, samples) in data {
        let labels = model::Labels::from_pairs(labels.iter());
        for (t, v) in samples {
            storage.insert_float(&labels, *t, *v);
        }
    }
    storage
}

fn plain(labels: &model::Labels) -> Labels {
    labels
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect()
}

/// An answer as values by labels and time.
type Points = BTreeMap<Labels, BTreeMap<i64, f64>>;

fn got(value: Value, at: i64) -> Points {
    let mut out = Points::new();
    match value {
        Value::Scalar(_, v) => {
            out.entry(Labels::new()).or_default().insert(at, v);
        }
        Value::Vector(samples) => {
            for s in samples {
                if let SampleValue::Float(v) = s.value {
                    out.entry(plain(&s.labels)).or_default().insert(at, v);
                }
            }
        }
        Value::Matrix(series) => {
            for s in series {
                out.entry(plain(&s.labels)).or_default().extend(s.floats);
            }
        }
        Value::String(..) => {}
    }
    out
}

/// The reference's answer at some steps; `None` for an error at any of them.
fn wanted(query: &str, data: &Data, steps: &[i64]) -> Option<Points> {
    let expr = promql_syntax::parse(query, &ParserOptions::all()).expect("generated queries parse");
    let bounds = (steps[0], steps[steps.len() - 1]);
    let mut out = Points::new();
    for t in steps {
        let points = match evaluate(&expr, data, *t, bounds).ok()? {
            Wanted::Scalar(v) => vec![(Labels::new(), v)],
            Wanted::Vector(points) => points,
        };
        for (labels, v) in points {
            // Two equal label sets at one step are an error, whatever the query.
            if out.entry(labels).or_default().insert(*t, v).is_some() {
                return None;
            }
        }
    }
    Some(out)
}

fn compare(query: &str, wanted: &Option<Points>, got: &Option<Points>) -> Result<(), String> {
    let (wanted, got) = match (wanted, got) {
        (None, None) => return Ok(()),
        (Some(w), Some(g)) => (w, g),
        (w, g) => {
            return Err(format!(
                "{query}: reference fails: {}, engine fails: {}",
                w.is_none(),
                g.is_none()
            ));
        }
    };
    let keys = |p: &Points| p.keys().cloned().collect::<Vec<_>>();
    if keys(wanted) != keys(got) {
        return Err(format!(
            "{query}: series {:?}, wanted {:?}",
            keys(got),
            keys(wanted)
        ));
    }
    for (labels, points) in wanted {
        let same = points.len() == got[labels].len()
            && points
                .iter()
                .zip(&got[labels])
                .all(|(a, b)| a.0 == b.0 && close(*a.1, *b.1));
        if !same {
            return Err(format!(
                "{query}: {labels:?}\n got    {:?}\n wanted {points:?}",
                got[labels]
            ));
        }
    }
    Ok(())
}

#[test]
fn random_queries() {
    let options = QueryOptions::default();
    let mut failures = Vec::new();
    let mut answered = 0;
    for seed in 1..=40 {
        let mut random = Generator::new(seed);
        let data = random.data();
        let storage = store(&data);
        for _ in 0..40 {
            let query = random.query();
            let start = random.time();
            let step = random.step();
            let steps: Vec<i64> = (0..random.below(12) as i64 + 1)
                .map(|i| start + i * step)
                .collect();
            let end = steps[steps.len() - 1];
            let want = wanted(&query, &data, &steps);
            answered += usize::from(want.as_ref().is_some_and(|w| !w.is_empty()));
            let controls: [(bool, &dyn Control); 3] =
                [(true, &RunToEnd), (false, &RunToEnd), (true, &Threads)];
            for (optimize, control) in controls {
                let times = (start, end, step);
                let result =
                    engine(optimize).range_with(&storage, &query, times, &options, control);
                let got_range = result.ok().map(|r| got(r.value, start));
                if let Err(e) = compare(&query, &want, &got_range) {
                    failures.push(format!("seed {seed}, {start}..{end} by {step}: {e}"));
                }
            }
            let want = wanted(&query, &data, &[start]);
            let result = engine(true).instant(&storage, &query, start, &options);
            let got_instant = result.ok().map(|r| got(r.value, start));
            if let Err(e) = compare(&query, &want, &got_instant) {
                failures.push(format!("seed {seed}, at {start}: {e}"));
            }
        }
    }
    assert!(answered > 400, "only {answered} queries had an answer");
    assert!(
        failures.is_empty(),
        "{} failures, among them:\n{}",
        failures.len(),
        failures[..failures.len().min(8)].join("\n")
    );
}
