use super::*;
use crate::metadata::Interner;
use crate::options::ScrapeOptions;
use model::sample::is_stale_nan;
use storage::Appendable as _;
use storage::memory::{MemoryStorage, StoredValue};

struct Bench {
    storage: MemoryStorage,
    cache: SeriesCache,
    metadata: TargetMetadata,
    rules: IngestRules,
    histograms: HistogramChoices,
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
            rules: crate::pool::rules_of(&config.scrape_configs[0], &ScrapeOptions::default()),
            histograms: config.scrape_configs[0].histograms,
            target: Labels::from_pairs([("job", "j"), ("instance", "i")]),
        }
    }

    fn scrape(&mut self, now: i64, body: &str) -> Ingested {
        self.scrape_as(now, body, Format::Text)
    }

    fn scrape_as(&mut self, now: i64, body: &str, format: Format) -> Ingested {
        self.scrape_bytes(now, body.as_bytes(), format)
    }

    fn scrape_bytes(&mut self, now: i64, body: &[u8], format: Format) -> Ingested {
        let mut batch = self.storage.appender();
        self.cache.begin();
        let ingested = ingest(
            body,
            format,
            &self.target,
            &self.rules,
            self.histograms,
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
                        StoredValue::Histogram(h) => format!(
                            "{t}=h(schema {}, count {}, sum {}, {:?})",
                            h.schema, h.count, h.sum, h.positive_buckets
                        ),
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
    // What cannot be stored ends the scrape, other than limits on how much there may be.
    assert_eq!((over.counts.scraped, over.counts.post_relabel), (1, 0));
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
fn an_exemplar_that_is_shown_again_is_stored_once() {
    let mut bench = Bench::new("");
    let mut page = |time: i64, exemplar: &str| {
        let body = format!("# TYPE c counter\nc_total 1 # {exemplar}\n# EOF\n");
        let done = bench.scrape_as(time, &body, Format::OpenMetrics);
        assert_eq!(done.result, Ok(()));
        let series = &bench.storage.dump()[0].0;
        let exemplars = bench.storage.exemplars(series);
        exemplars.iter().map(|e| e.timestamp).collect::<Vec<_>>()
    };
    assert_eq!(page(1000, "{t=\"x\"} 0.5"), [Some(1000)]);
    assert_eq!(page(2000, "{t=\"x\"} 0.5"), [Some(1000)]);
    assert_eq!(page(3000, "{t=\"x\"} 0.6"), [Some(1000), Some(3000)]);
    let last = [Some(1000), Some(3000), Some(4000)];
    assert_eq!(page(4000, "{t=\"y\"} 0.6"), last);
    assert_eq!(page(5000, "{t=\"y\"} 0.6"), last);
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
        for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
            let _ = ingest(
                &body,
                format,
                &bench.target,
                &bench.rules,
                bench.histograms,
                round * 1000,
                &mut bench.cache,
                &mut bench.metadata,
                &mut *batch,
            );
        }
        batch.rollback();
    }
}

const CLASSIC: &str = "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 5\nh_sum 7.5\nh_count 5\n# TYPE other counter\nother 1\n";

#[test]
fn classic_histograms_become_native_ones_where_asked_for() {
    let mut bench = Bench::new("  convert_classic_histograms_to_nhcb: true\n");
    let ingested = bench.scrape(1000, CLASSIC);
    assert_eq!((&ingested.result, ingested.counts.scraped), (&Ok(()), 2));
    bench.scrape(2000, &CLASSIC.replace(" 5\n", " 6\n"));
    bench.scrape(3000, "other 1\n");
    let first =
        "1000=h(schema -53, count 5, sum 7.5, [2, 1]) 2000=h(schema -53, count 6, sum 7.5, [2, 2])";
    assert_eq!(
        bench.dump(),
        [
            format!("h{{}} {first} 3000=stale"),
            "other{} 1000=1 2000=1 3000=1".into()
        ]
    );
    let mut both = Bench::new(
        "  convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true\n",
    );
    both.scrape(1000, CLASSIC);
    assert_eq!(both.dump().len(), 6, "{:?}", both.dump());
    // What makes no histogram is left out, and so are its lines.
    let mut broken = Bench::new("  convert_classic_histograms_to_nhcb: true\n");
    let ingested = broken.scrape(1000, &CLASSIC.replace("h_count 5", "h_count 4"));
    assert_eq!(ingested.result, Ok(()));
    assert_eq!(broken.dump(), ["other{} 1000=1"]);
}

/// A page with one native histogram, which has classic buckets, too.
fn native_page() -> Vec<u8> {
    use wire::{put_bytes, put_double, put_uint};
    let mut span = Vec::new();
    put_uint(&mut span, 1, 2);
    put_uint(&mut span, 2, 2);
    let mut bucket = Vec::new();
    put_uint(&mut bucket, 1, 3);
    put_double(&mut bucket, 2, 1.0);
    let mut histogram = Vec::new();
    put_uint(&mut histogram, 1, 3);
    put_double(&mut histogram, 2, 4.5);
    put_bytes(&mut histogram, 3, &bucket);
    put_uint(&mut histogram, 5, 2 << 1);
    put_bytes(&mut histogram, 12, &span);
    put_bytes(&mut histogram, 13, &[2, 2]);
    let mut metric = Vec::new();
    put_bytes(&mut metric, 7, &histogram);
    let mut family = Vec::new();
    put_bytes(&mut family, 1, b"n");
    put_uint(&mut family, 3, 4);
    put_bytes(&mut family, 4, &metric);
    let mut page = Vec::new();
    wire::put_varint(&mut page, family.len() as u64);
    page.extend_from_slice(&family);
    page
}

#[test]
fn native_histograms_are_taken_where_asked_for() {
    let page = native_page();
    let dump = |job: &str| {
        let mut bench = Bench::new(job);
        let ingested = bench.scrape_bytes(1000, &page, Format::Protobuf);
        assert_eq!(ingested.result, Ok(()));
        bench.dump()
    };
    let native = "n{} 1000=h(schema 2, count 3, sum 4.5, [1, 1])";
    assert_eq!(dump("  scrape_native_histograms: true\n"), [native]);
    let classic = dump("");
    assert!(
        classic.len() == 4 && classic.iter().all(|line| !line.starts_with("n{}")),
        "{classic:?}"
    );
    let both = dump("  scrape_native_histograms: true\n  always_scrape_classic_histograms: true\n");
    assert!(
        both.len() == 5 && both.contains(&native.to_string()),
        "{both:?}"
    );
    // Too many buckets are merged, or refused where they cannot be.
    let few = dump("  scrape_native_histograms: true\n  native_histogram_bucket_limit: 1\n");
    assert_eq!(few, ["n{} 1000=h(schema 1, count 3, sum 4.5, [3])"]);
    let coarse =
        dump("  scrape_native_histograms: true\n  native_histogram_min_bucket_factor: 2\n");
    assert!(coarse[0].contains("schema 0"), "{coarse:?}");
    let mut limited = Bench::new(
        "  convert_classic_histograms_to_nhcb: true\n  native_histogram_bucket_limit: 1\n",
    );
    let ingested = limited.scrape(1000, CLASSIC);
    assert_eq!(ingested.result, Err(IngestError::BucketLimit));
}

#[test]
fn start_timestamps_become_zeros_and_types_labels_where_asked_for() {
    let page = "# TYPE c counter\n# UNIT c \nc_total 5\nc_created 0.5\n# EOF\n";
    let mut bench = Bench::new("");
    bench.rules.start_zeros = true;
    bench.scrape_as(1000, page, Format::OpenMetrics);
    assert_eq!(bench.dump(), ["c_total{} 500=0 1000=5"]);
    let mut typed = Bench::new("");
    typed.rules.type_and_unit_labels = true;
    typed.scrape_as(
        1000,
        "# TYPE d_seconds gauge\n# UNIT d_seconds seconds\nd_seconds 1\n# EOF\n",
        Format::OpenMetrics,
    );
    assert_eq!(
        typed.dump(),
        [r#"d_seconds{__type__="gauge", __unit__="seconds"} 1000=1"#]
    );
    let mut stored = Bench::new("");
    stored.rules.store_metadata = true;
    stored.scrape(1000, "# HELP e Help.\n# TYPE e gauge\ne 1\n");
    let labels = stored.storage.dump()[0].0.clone();
    assert_eq!(
        stored.storage.metadata(&labels).map(|m| m.help),
        Some("Help.".into())
    );
    stored.scrape(2000, "# HELP e Other.\n# TYPE e gauge\ne 1\n");
    assert_eq!(
        stored.storage.metadata(&labels).map(|m| m.help),
        Some("Other.".into())
    );
}
