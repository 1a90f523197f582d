//! Appenders, readers and maintenance at the same time.

#[path = "support/site.rs"]
mod support;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use model::Matcher;
use storage::{Appendable as _, Queryable as _, TimeRange};
use support::*;
use tsdb::{Options, Retention};

const TARGETS: usize = 3;
const SERIES: usize = 20;

fn series_of(target: usize, n: usize) -> model::Labels {
    model::Labels::from_pairs([
        ("__name__", "m".to_owned()),
        ("target", target.to_string()),
        ("n", n.to_string()),
    ])
}

/// Every reader must see, of each target, all series end at the same scrape with the same value.
#[test]
fn readers_see_whole_scrapes_while_everything_moves() {
    let site = Site::with(Options {
        retention: Retention::none(),
        ..Site::new().options.clone()
    });
    let db = site.open();
    let done = AtomicBool::new(false);
    // Nobody may fall more than the admission bound behind the others.
    let together = std::sync::Barrier::new(TARGETS);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..TARGETS)
            .map(|target| {
                let (db, together) = (&db, &together);
                scope.spawn(move || {
                    for scrape in 0..1500i64 {
                        if scrape % 50 == 0 {
                            together.wait();
                        }
                        let mut appender = db.appender();
                        for n in 0..SERIES {
                            let series = appender.series(&series_of(target, n)).unwrap();
                            appender
                                .append(series, scrape * 20_000, scrape as f64)
                                .unwrap();
                        }
                        let once = model::Labels::from_pairs([
                            ("__name__", "churn".to_owned()),
                            ("target", target.to_string()),
                            ("scrape", (scrape / 10).to_string()),
                        ]);
                        let series = appender.series(&once).unwrap();
                        appender.append(series, scrape * 20_000, 1.0).unwrap();
                        appender.commit().unwrap();
                    }
                })
            })
            .collect();
        let (db, done) = (&db, &done);
        scope.spawn(move || {
            while !done.load(Relaxed) {
                db.maintain().unwrap();
                std::thread::yield_now();
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    let querier = db.querier(TimeRange::ALL).unwrap();
                    let target = Matcher::equal("target", "1");
                    let first = collect(&*querier, TimeRange::ALL, &[name("m"), target.clone()]);
                    let again = collect(&*querier, TimeRange::ALL, &[name("m"), target]);
                    assert!(first == again, "a querier answers the same twice");
                    let mut all = first.values();
                    let Some(one) = all.next() else { continue };
                    assert_eq!(first.len(), SERIES);
                    assert!(all.all(|samples| samples == one), "half a scrape");
                    let whole = one
                        .iter()
                        .enumerate()
                        .all(|(i, s)| s.0 == i as i64 * 20_000);
                    assert!(whole, "a hole in {one:?}");
                }
            });
        }
        let written: Vec<_> = writers.into_iter().map(|w| w.join()).collect();
        done.store(true, Relaxed);
        written.into_iter().for_each(|w| w.unwrap());
    });
    db.maintain().unwrap();
    let all = read(&db, TimeRange::ALL, &[name("m")]);
    assert_eq!(all.len(), TARGETS * SERIES);
    assert!(all.values().all(|samples| samples.len() == 1500));
    assert!(db.metas().len() > 1);
    drop(db);
    site.restart();
    assert!(read(&site.open(), TimeRange::ALL, &[name("m")]) == all);
}

fn name(name: &str) -> Matcher {
    Matcher::equal("__name__", name)
}
