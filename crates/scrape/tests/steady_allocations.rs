//! A steady scrape allocates nothing per line: twice the lines, the same allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use exposition::Format;
use model::{Exemplar, Labels, Metadata};
use scrape::cache::SeriesCache;
use scrape::ingest::ingest;
use scrape::metadata::{Interner, TargetMetadata};
use storage::{AppendError, Appender, HistogramSample, SeriesRef};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Sink {
    series: u64,
    samples: u64,
}

impl Appender for Sink {
    fn series(&mut self, _: &Labels) -> Result<SeriesRef, AppendError> {
        self.series += 1;
        Ok(SeriesRef(NonZeroU64::new(self.series).expect("from 1")))
    }

    fn append(&mut self, _: SeriesRef, _: i64, _: f64) -> Result<(), AppendError> {
        self.samples += 1;
        Ok(())
    }

    fn append_histogram(
        &mut self,
        _: SeriesRef,
        _: i64,
        _: HistogramSample<'_>,
    ) -> Result<(), AppendError> {
        Ok(())
    }

    fn append_exemplar(&mut self, _: SeriesRef, _: &Exemplar) -> Result<(), AppendError> {
        Ok(())
    }

    fn append_start(
        &mut self,
        _: SeriesRef,
        _: i64,
        _: i64,
        _: Option<HistogramSample<'_>>,
    ) -> Result<(), AppendError> {
        Ok(())
    }

    fn update_metadata(&mut self, _: SeriesRef, _: &Metadata) -> Result<(), AppendError> {
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        Ok(())
    }

    fn rollback(self: Box<Self>) {}
}

fn body(lines: usize, format: Format) -> String {
    let mut body = String::from("# HELP requests Requests.\n# TYPE requests counter\n");
    for line in 0..lines {
        body.push_str(&format!(
            "requests_total{{path=\"/{line}\",code=\"200\"}} {}.5\n",
            line * 3
        ));
    }
    if format == Format::OpenMetrics {
        body.push_str("# EOF\n");
    }
    body
}

/// Allocations of one scrape of known lines.
fn steady_allocations(lines: usize, format: Format) -> u64 {
    let config = configfile::Config::parse("scrape_configs: [{job_name: j}]", &|_| None);
    let config = config.expect("loads");
    let job = &config.scrape_configs[0];
    let rules = scrape::pool::rules_of(job, &scrape::options::ScrapeOptions::default());
    let target = Labels::from_pairs([("job", "j"), ("instance", "i")]);
    let mut cache = SeriesCache::new(1);
    let mut metadata = TargetMetadata::new(Interner::default());
    let mut sink = Sink::default();
    let text = body(lines, format);
    let mut scrape = |now: i64| {
        cache.begin();
        let done = ingest(
            text.as_bytes(),
            format,
            &target,
            &rules,
            job.histograms,
            now,
            &mut cache,
            &mut metadata,
            &mut sink,
        );
        assert_eq!(done.result, Ok(()));
        cache.finish();
    };
    scrape(1000);
    scrape(2000);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    scrape(3000);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

#[test]
fn twice_the_lines_the_same_allocations() {
    for format in [Format::Text, Format::OpenMetrics] {
        let (some, twice) = (
            steady_allocations(1000, format),
            steady_allocations(2000, format),
        );
        assert_eq!(some, twice, "{format:?}");
        assert!(
            some <= 4,
            "{format:?}: {some} allocations in a steady scrape"
        );
    }
}
