//! A folder of data as a server leaves it: blocks, and a log with the newest hours.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::Registry;
use env::sim::SimClock;
use env::system::SystemDisk;
use model::Labels;
use storage::{Appendable as _, SeriesRef};
use tsdb::{Db, Options};

use crate::generator::Generator;

/// The first moment with data, unix seconds; a multiple of two hours.
pub const FIRST: i64 = 1_699_999_200;
/// Seconds of data.
pub const SPAN: i64 = 5 * 3600;
pub const INTERVAL_MS: i64 = 15_000;

/// Upper bounds of the classic histograms.
const BOUNDS: [&str; 6] = ["0.1", "0.5", "1", "2.5", "10", "+Inf"];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Resets stay far from zero, see "near zero" among the known differences.
    Counter,
    /// Resets to zero.
    SmallCounter,
    Gauge,
    /// A gauge that is infinite or not a number at times.
    Odd,
    Bucket(u64),
}

/// A series of a made-up target.
pub struct Made {
    pub labels: Labels,
    kind: Kind,
    pub value: f64,
    series: Option<SeriesRef>,
    /// Scrapes without a sample still to come.
    pub away: u64,
}

/// All series at their start.
pub fn all() -> Vec<Made> {
    let mut all = Vec::new();
    let mut add = |name: &str, a: &str, b: &str, le: Option<&str>, kind| {
        let mut pairs = vec![("__name__", name), ("a", a), ("b", b)];
        pairs.extend(le.map(|le| ("le", le)));
        all.push(Made {
            labels: Labels::from_pairs(pairs),
            kind,
            value: match kind {
                Kind::Counter | Kind::Bucket(_) => 50_000.0,
                _ => 0.0,
            },
            series: None,
            away: 0,
        });
    };
    for a in ["1", "2"] {
        for b in ["x", "y", "z"] {
            add("req_total", a, b, None, Kind::Counter);
            add("small_total", a, b, None, Kind::SmallCounter);
            add("temp", a, b, None, Kind::Gauge);
            add("size", a, b, None, Kind::Gauge);
        }
        add("odd", a, "x", None, Kind::Odd);
        for (i, le) in BOUNDS.iter().enumerate() {
            add("lat_bucket", a, "x", Some(le), Kind::Bucket(i as u64));
        }
        add("lat_sum", a, "x", None, Kind::Counter);
    }
    all
}

impl Made {
    /// On to the next scrape.
    pub fn step(&mut self, random: &mut Generator) {
        match self.kind {
            Kind::Counter if random.below(200) == 0 => self.value = 20_000.0,
            Kind::SmallCounter if random.below(60) == 0 => self.value = 0.0,
            Kind::Counter | Kind::SmallCounter => self.value += random.below(9) as f64,
            // Cumulative: a higher bound never gains less.
            Kind::Bucket(nth) => self.value += (nth * 2 + 1) as f64,
            Kind::Gauge => self.value = random.below(4000) as f64 / 4.0 - 300.0,
            Kind::Odd => {
                self.value = match random.below(12) {
                    0 => f64::INFINITY,
                    1 => f64::NEG_INFINITY,
                    2 | 3 => f64::NAN,
                    n => n as f64,
                }
            }
        }
    }
}

pub fn open(folder: &Path, clock: &SimClock) -> Arc<Db> {
    let options = Options {
        retention: tsdb::Retention::none(),
        ..Options::default()
    };
    Db::open(
        folder,
        options,
        Arc::new(SystemDisk),
        Arc::new(clock.clone()),
        &Registry::new(),
    )
    .expect("a database")
}

/// Writes the folder.
pub fn write(folder: &Path, random: &mut Generator) {
    let clock = SimClock::starting_at(FIRST * 1000);
    let db = open(folder, &clock);
    let mut all = all();
    for scrape in 0..SPAN * 1000 / INTERVAL_MS {
        let time = FIRST * 1000 + scrape * INTERVAL_MS;
        clock.advance(Duration::from_millis(INTERVAL_MS as u64));
        let mut batch = db.appender();
        for made in &mut all {
            made.step(random);
            if made.away > 0 {
                made.away -= 1;
                continue;
            }
            let mut value = made.value;
            match random.below(400) {
                0..=7 => continue,
                8 => {
                    // The target goes away, for longer than queries look back at times.
                    value = model::sample::stale_nan();
                    made.away = random.below(40);
                }
                9 => {
                    made.away = random.below(40);
                    continue;
                }
                _ => {}
            }
            // Never on a whole second: no window begins or ends at a sample.
            let at = time + 101 + random.below(700) as i64;
            let series = match made.series {
                Some(series) if batch.append(series, at, value).is_ok() => continue,
                _ => batch.series(&made.labels).expect("a series"),
            };
            made.series = Some(series);
            batch.append(series, at, value).expect("a sample taken");
        }
        batch.commit().expect("a batch taken");
        if scrape % 40 == 0 {
            db.maintain().expect("blocks cut");
        }
    }
    db.close().expect("a whole folder");
}
