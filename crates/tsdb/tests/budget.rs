//! What a series of the head costs, by structure: the table of ARCHITECTURE.md, measured. Whoever needs more memory a
//! series changes the figures here and there, knowing what it costs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use env::sim::SimClock;
use env::system::SystemDisk;
use env::{Disk, Registry};
use model::Labels;
use storage::{Appendable as _, SeriesRef};
use tsdb::{Db, Options};

/// The system's allocator, which counts the bytes that are held.
struct Counting;

static HELD: AtomicI64 = AtomicI64::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as i64, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERIES: usize = 10_000;
const START: i64 = 1_700_006_400_000;
const STEP: i64 = 15_000;

/// Six labels, as an application's pages have them.
fn labels(i: usize) -> Labels {
    let (target, n) = (i / 1000, i % 1000);
    Labels::from_pairs([
        ("__name__", format!("app_metric_number_{}_total", n / 10)),
        ("instance", format!("10.0.0.{target}:9090")),
        ("job", "application".to_owned()),
        ("namespace", format!("ns-{}", target % 20)),
        ("pod", format!("app-{target}-5f7d8c9b4-{target:05}")),
        ("path", format!("/api/v1/path/{}", n % 10)),
    ])
}

fn scrape(db: &Db, refs: &[SeriesRef], nth: i64) {
    for (target, refs) in refs.chunks(1000).enumerate() {
        let mut batch = db.appender();
        for (n, series) in refs.iter().enumerate() {
            // Counters that rise by a step of their own, and gauges with a few digits.
            let v = match n % 3 {
                0 => ((nth * 7919 + n as i64 * 31 + target as i64) % 10_000) as f64 / 100.0,
                _ => (nth * (n as i64 % 13 + 1)) as f64,
            };
            batch.append(*series, START + nth * STEP, v).unwrap();
        }
        batch.commit().unwrap();
    }
}

#[test]
fn a_series_keeps_to_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let clock = Arc::new(SimClock::starting_at(START));
    let db = Db::open(
        Path::new(folder.path()),
        Options::default(),
        disk,
        clock,
        &Registry::new(),
    )
    .unwrap();
    let mut before = HELD.load(Relaxed);
    let mut total = 0.0;
    let mut rows = Vec::new();
    let mut step = |what: &'static str, most: f64, held_by_test: i64| {
        let now = HELD.load(Relaxed) - held_by_test;
        let each = (now - before) as f64 / SERIES as f64;
        before = now;
        total += each;
        rows.push((what, each, most));
    };
    let mut refs: Vec<SeriesRef> = Vec::with_capacity(SERIES);
    let own = (SERIES * size_of::<SeriesRef>()) as i64;
    for target in 0..SERIES / 1000 {
        let mut batch = db.appender();
        for n in 0..1000 {
            refs.push(batch.series(&labels(target * 1000 + n)).unwrap());
        }
        batch.commit().unwrap();
    }
    step(
        "series, label set, symbols, postings, index by hash",
        290.0,
        own,
    );
    scrape(&db, &refs, 0);
    step("the open chunk's first bytes", 45.0, own);
    (1..119).for_each(|nth| scrape(&db, &refs, nth));
    step("the open chunk, full", 480.0, own);
    (119..4 * 180).for_each(|nth| scrape(&db, &refs, nth));
    let three_hours = "three hours: places of finished chunks, the buffer of the largest chunk";
    step(three_hours, 680.0, own);
    for (what, each, most) in &rows {
        eprintln!("{each:6.0} of at most {most:4.0} bytes a series: {what}");
        assert!(
            each <= most,
            "{what}: {each:.0} bytes a series, at most {most}"
        );
    }
    eprintln!("{total:6.0} bytes a series in all");
    assert!(total < 1400.0, "{total:.0} bytes a series in all");
}
