use super::*;
use crate::metadata::Interner;
use model::sample::is_stale_nan;
use storage::Appendable as _;
use storage::memory::{MemoryStorage, StoredValue};

struct Bench {
    storage: MemoryStorage,
    cache: SeriesCache,
    metadata: TargetMetadata,
    rules: IngestRules,
    target: Labels,
}

impl Bench {
    fn new(job: &str) -> Bench {
        let text = format!("scrape_configs:\n- job_name: j\n{job}");
        let config = configfile::Config::parse(&text, &|_| None).expect("loads");
        Bench {
            storage: MemoryStorage::new(),
            cache: SeriesCache::new(1),
            metadata: TargetMetadata::new(Interner::default()),
            rules: crate::pool::rules_of(&config.scrape_configs[0]),
            target: Labels::from_pairs([("job", "j"), ("instance", "i")]),
        }
    }

    fn scrape(&mut self, now: i64, body: &str) -> Ingested {
        self.scrape_as(now, body, Format::Text)
    }

    fn scrape_as(&mut self, now: i64, body: &str, format: Format) -> Ingested {
        let mut batch = self.storage.appender();
        self.cache.begin();
        let ingested = ingest(
            body.as_bytes(),
            format,
            &self.target,
            &self.rules,
            now,
            &mut self.cache,
            &mut self.metadata,
            &mut *batch,
        );
        if ingested.result.is_ok() {
            batch.commit().expect("commits");
            self.cache.finish();
        } else {
            batch.rollback();
            let mut batch = self.storage.appender();
            end_all(&mut self.cache, now, &mut *batch);
            batch.commit().expect("commits");
        }
        ingested
    }

    /// `name{labels} t=v ...` a line, stale markers as `stale`.
    fn dump(&self) -> Vec<String> {
        self.storage
            .dump()
            .into_iter()
            .filter(|(_, samples)| !samples.is_empty())
            .map(|(labels, samples)| {
                let samples: Vec<String> = samples
                    .iter()
                    .map(|(t, v)| match v {
                        StoredValue::Float(v) if is_stale_nan(*v) => format!("{t}=stale"),
                        StoredValue::Float(v) => format!("{t}={v}"),
                        other => format!("{t}={other:?}"),
                    })
                    .collect();
                let name = labels.metric_name().to_string();
                let rest = labels.without(&["__name__", "job", "instance"]);
                format!("{name}{rest} {}", samples.join(" "))
            })
            .collect()
    }
}

#[test]
fn samples_and_markers() {
    let mut bench = Bench::new("");
    let first = bench.scrape(1000, "a 1\nb{x=\"y\"} 2\n");
    assert_eq!(
        first.counts,
        Counts {
            scraped: 2,
            post_relabel: 2,
            added: 2
        }
    );
    let second = bench.scrape(2000, "a 3\n");
    assert_eq!(
        second.counts,
        Counts {
            scraped: 1,
            post_relabel: 1,
            added: 0
        }
    );
    bench.scrape(3000, "a 4\nb{x=\"y\"} 5\n");
    assert_eq!(
        bench.dump(),
        [
            "a{} 1000=1 2000=3 3000=4",
            "b{x=\"y\"} 1000=2 2000=stale 3000=5"
        ]
    );
    bench.scrape(4000, "");
    assert_eq!(bench.dump()[0], "a{} 1000=1 2000=3 3000=4 4000=stale");
}

#[test]
fn a_bad_body_fails_as_a_whole_and_ends_what_was_there() {
    let mut bench = Bench::new("");
    bench.scrape(1000, "a 1\n");
    let failed = bench.scrape(2000, "a 2\nb 3\nc{ 4\n");
    let Err(IngestError::Parse { line, .. }) = failed.result else {
        panic!("a parse error")
    };
    assert_eq!(line, 3);
    assert_eq!(failed.counts.scraped, 2);
    assert_eq!(bench.dump(), ["a{} 1000=1 2000=stale"]);
}

#[test]
fn duplicates_and_times() {
    let mut bench = Bench::new("");
    let twice = bench.scrape(1000, "a 1\na 2\n");
    assert_eq!(twice.left_out.duplicate, 1);
    let timed = bench.scrape(2000, "t 1 500\nt 2 600\nt 3 550\nfuture 1 700000000\n");
    assert_eq!(
        (timed.left_out.out_of_order, timed.left_out.out_of_bounds),
        (1, 1)
    );
    bench.scrape(3000, "");
    assert_eq!(
        bench.dump(),
        ["a{} 1000=1 2000=stale", "t{} 500=1 600=2"],
        "series with their own times do not end with a marker"
    );
    let mut bench = Bench::new("  honor_timestamps: false\n");
    bench.scrape(1000, "t 1 500\n");
    bench.scrape(2000, "");
    assert_eq!(bench.dump(), ["t{} 1000=1 2000=stale"]);
    let mut bench = Bench::new("  track_timestamps_staleness: true\n");
    bench.scrape(1000, "t 1 500\n");
    bench.scrape(2000, "");
    assert_eq!(bench.dump(), ["t{} 500=1 2000=stale"]);
}

#[test]
fn relabelling_and_limits() {
    let mut bench = Bench::new(
        "  metric_relabel_configs: [{source_labels: [__name__], regex: drop_.*, action: drop}]\n  sample_limit: 2\n",
    );
    let kept = bench.scrape(1000, "a 1\ndrop_me 1\nb 2\n");
    assert_eq!(
        kept.counts,
        Counts {
            scraped: 3,
            post_relabel: 2,
            added: 2
        }
    );
    assert_eq!(kept.result, Ok(()));
    let over = bench.scrape(2000, "a 1\ndrop_me 1\nb 2\nc 3\nd 4\n");
    assert_eq!(over.result, Err(IngestError::SampleLimit));
    assert_eq!((over.counts.scraped, over.counts.post_relabel), (5, 4));
    assert_eq!(
        bench.dump(),
        ["a{} 1000=1 2000=stale", "b{} 1000=2 2000=stale"]
    );
    let mut bench = Bench::new("  label_limit: 3\n");
    let over = bench.scrape(1000, "a{x=\"1\"} 1\nb 2\n");
    assert!(matches!(over.result, Err(IngestError::LabelLimit(_))));
    assert_eq!(over.counts.scraped, 2);
}

#[test]
fn series_that_cannot_be() {
    let mut bench =
        Bench::new("  metric_relabel_configs: [{regex: __name__, action: labeldrop}]\n");
    let fault = bench
        .scrape(1000, "a 1\n")
        .result
        .expect_err("refused")
        .to_string();
    assert_eq!(fault, "missing metric name (__name__ label)");
    let mut bench = Bench::new("  metric_name_validation_scheme: legacy\n");
    let fault = bench
        .scrape(1000, "{\"a.b\"} 1\n")
        .result
        .expect_err("refused")
        .to_string();
    assert!(
        fault.starts_with("invalid metric name or label names: {__name__=\"a.b\""),
        "{fault}"
    );
    let mut bench = Bench::new("");
    let fault = bench
        .scrape(1000, "a{x=\"1\",x=\"2\"} 1\n")
        .result
        .expect_err("refused")
        .to_string();
    assert_eq!(fault, "label name \"x\" is not unique: invalid sample");
}

#[test]
fn exemplars_and_metadata() {
    let mut bench = Bench::new("");
    let body = "# HELP c Counts.\n# TYPE c counter\n# UNIT c \nc_total 1 # {t=\"x\"} 0.5\n# EOF\n";
    let done = bench.scrape_as(1000, body, Format::OpenMetrics);
    assert_eq!(done.result, Ok(()));
    let series = &bench.storage.dump()[0].0;
    assert_eq!(bench.storage.exemplars(series)[0].timestamp, Some(1000));
    let known = bench.metadata.all();
    assert_eq!(known.len(), 1);
    assert_eq!(
        (&*known[0].0, known[0].1.kind.as_str(), &*known[0].1.help),
        ("c", "counter", "Counts.")
    );
}

#[test]
fn any_bytes_end_in_a_result() {
    let mut random = env::Random::from_seed(11);
    let seed =
        b"# TYPE a counter\na{b=\"c\",d=\"e\"} 1 2\n\"q.r\" NaN\n{\"x\",y=\"z\"} +Inf\n# EOF\n";
    let mut bench = Bench::new("");
    for round in 0..3000i64 {
        let mut body = seed.to_vec();
        for _ in 0..=random.below(6) {
            let at = random.below(body.len() as u64) as usize;
            match random.below(3) {
                0 => body[at] = random.next_u64() as u8,
                1 => drop(body.remove(at)),
                _ => body.insert(at, b"{}\"\\\n,=# "[random.below(9) as usize]),
            }
        }
        let mut batch = bench.storage.appender();
        for format in [Format::Text, Format::OpenMetrics] {
            let _ = ingest(
                &body,
                format,
                &bench.target,
                &bench.rules,
                round * 1000,
                &mut bench.cache,
                &mut bench.metadata,
                &mut *batch,
            );
        }
        batch.rollback();
    }
}
