//! A little data and a patient, but not endlessly patient, engine: what any text may be asked of.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use model::Labels;
use promql::testscript::ScriptStorage;
use promql::{Control, Engine, EngineOptions, QueryOptions, Stop};
use promql_syntax::ParserOptions;

/// Looks at the control after which a query is told to stop.
const PATIENCE: u32 = 3_000;

struct Impatient(AtomicU32);

impl Control for Impatient {
    fn stop(&self) -> Option<Stop> {
        (self.0.fetch_add(1, Ordering::Relaxed) > PATIENCE).then_some(Stop::TimedOut)
    }
}

static STORAGE: LazyLock<ScriptStorage> = LazyLock::new(|| {
    let storage = ScriptStorage::default();
    for (n, name) in ["x", "up", "a", "x_bucket"].iter().enumerate() {
        for i in 0..4 {
            let labels = Labels::from_pairs([
                ("__name__", name.to_string()),
                ("i", i.to_string()),
                ("le", ["0.1", "1", "10", "+Inf"][i].to_string()),
            ]);
            for k in 0..40 {
                let value = match (n, k % 13) {
                    (1, 5) => f64::NAN,
                    (2, 7) => f64::INFINITY,
                    (3, _) => (k * (i + 1)) as f64,
                    (_, r) => (r * i) as f64 - 3.0,
                };
                storage.insert_float(&labels, k as i64 * 15_000, value);
            }
        }
    }
    storage
});

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    Engine::new(EngineOptions {
        max_samples: 200_000,
        parser: ParserOptions::all(),
        ..EngineOptions::default()
    })
});

/// Asks at an instant and over a range; gives whether there was an answer to either.
pub fn ask(query: &str) -> bool {
    let options = QueryOptions::default();
    let control = Impatient(AtomicU32::new(0));
    let instant = ENGINE.instant_with(&*STORAGE, query, 300_000, &options, &control);
    let times = (0, 600_000, 20_000);
    let range = ENGINE.range_with(&*STORAGE, query, times, &options, &control);
    for error in [instant.as_ref().err(), range.as_ref().err()]
        .into_iter()
        .flatten()
    {
        assert!(!error.message.is_empty(), "{query:?}");
    }
    instant.is_ok() || range.is_ok()
}
