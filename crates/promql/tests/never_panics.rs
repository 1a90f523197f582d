//! Whatever a query asks of whatever data, the engine answers or refuses.

use promql::testscript::run_script_with;
use promql::{Engine, EngineOptions, QueryOptions};
use promql_syntax::ast::ValueType;
use promql_syntax::{FUNCTIONS, ParserOptions};

/// Data of all kinds, mixed within series and between them.
const LOAD: &str = r#"load 30s
  f{a="1"} 0+3x5 2 NaN Inf _ stale 1 -Inf 7
  f{a="2"} 9 8 7 6 5 4 3 2 1 0 -1
  h{a="1"} {{schema:0 count:4 sum:3 z_bucket:1 z_bucket_w:0.1 buckets:[1 2] n_buckets:[1]}}x4 {{schema:2 count:1 sum:NaN buckets:[1]}}x3
  h{a="2"} {{schema:-53 count:3 sum:4 custom_values:[1 2] buckets:[1 1 1]}}x3 {{schema:-53 count:3 sum:4 custom_values:[1 3] buckets:[1 1 1]}}x3
  h{a="3"} {{schema:0 count:2 sum:1 counter_reset_hint:gauge buckets:[2]}}x6 1 2 3
  c_bucket{le="1"} 1+1x9
  c_bucket{le="x"} 1+2x9
  c_bucket{le="+Inf"} 1+3x9
  c_bucket{le="+Inf",a="1"} {{count:1 sum:1 buckets:[1]}}x9
"#;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn of(&mut self, kind: ValueType, depth: usize) -> String {
        match kind {
            ValueType::Scalar => self
                .pick(&[
                    "0",
                    "1",
                    "-1",
                    "0.5",
                    "NaN",
                    "Inf",
                    "-Inf",
                    "1e300",
                    "time()",
                    "5m",
                    "scalar(f{a=\"2\"})",
                ])
                .to_string(),
            ValueType::String => self
                .pick(&[
                    "\"a\"",
                    "\"\"",
                    "\"(.*)\"",
                    "\"$1\"",
                    "\"__name__\"",
                    "\"\\xff\"",
                    "\"(\"",
                ])
                .to_string(),
            ValueType::Matrix => {
                let range = self.pick(&[
                    "[2m]",
                    "[1m:20s]",
                    "[5m:]",
                    "[31s]",
                    "[2m] anchored",
                    "[2m] smoothed",
                    "[1m] @ 100",
                    "[1m] offset -1m",
                ]);
                if range.contains(':') {
                    format!("({}){range}", self.of(ValueType::Vector, depth / 2))
                } else {
                    format!(
                        "{}{range}",
                        self.pick(&["f", "h", "c_bucket", "{a=~\".+\"}"])
                    )
                }
            }
            ValueType::Vector if depth == 0 => self
                .pick(&[
                    "f",
                    "h",
                    "c_bucket",
                    "{a=\"1\"}",
                    "h smoothed",
                    "f offset 1m",
                    "h @ end()",
                    "{__name__=~\".+\"}",
                ])
                .to_string(),
            ValueType::Vector => self.vector(depth - 1),
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        let vector = |r: &mut Random| r.of(ValueType::Vector, depth);
        match self.below(6) {
            0 => {
                let op = self.pick(&[
                    "+", "-", "*", "/", "%", "^", "atan2", "</", ">/", "==", "!=", "> bool", "and",
                    "or", "unless",
                ]);
                let m = match op {
                    "and" | "or" | "unless" => self.pick(&["", " on (a)", " ignoring (a)"]),
                    _ => self.pick(&[
                        "",
                        " on (a)",
                        " on () group_left ()",
                        " ignoring (le) group_right (a)",
                        " fill (1)",
                        " on (a) fill_left (0) fill_right (2)",
                    ]),
                };
                let (l, r) = (vector(self), vector(self));
                format!("({l}) {op}{m} ({r})")
            }
            1 => {
                let op = self.pick(&["+", "-", "*", "/", "%", "^", "</", ">/", "==", "< bool"]);
                let (v, s) = (vector(self), self.of(ValueType::Scalar, depth));
                if self.below(2) == 0 {
                    format!("({v}) {op} {s}")
                } else {
                    format!("{s} {op} ({v})")
                }
            }
            2 => {
                let op = self.pick(&[
                    "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
                ]);
                let by = self.pick(&["", " by (a)", " without (a)", " by (__name__)"]);
                format!("{op}{by} ({})", vector(self))
            }
            3 => {
                let op = self.pick(&[
                    "topk",
                    "bottomk",
                    "quantile",
                    "limitk",
                    "limit_ratio",
                    "count_values",
                ]);
                let kind = if op == "count_values" {
                    ValueType::String
                } else {
                    ValueType::Scalar
                };
                let (p, v) = (self.of(kind, depth), vector(self));
                format!("{op} by (a) ({p}, {v})")
            }
            _ => loop {
                let f = &FUNCTIONS[self.below(FUNCTIONS.len())];
                if f.return_type != ValueType::Vector {
                    continue;
                }
                if f.name == "info" {
                    break format!("info({})", vector(self));
                }
                let args: Vec<String> = f.args.iter().map(|a| self.of(*a, depth)).collect();
                break format!("{}({})", f.name, args.join(", "));
            },
        }
    }
}

#[test]
fn random_queries_over_all_kinds_of_data() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for round in 0..40 {
        let mut script = LOAD.to_string();
        for _ in 0..25 {
            let query = random.of(ValueType::Vector, 3);
            script.push_str(&format!("\neval instant at 4m {query}\n"));
            script.push_str(&format!("\neval range from 0 to 6m step 47s {query}\n"));
        }
        let options = EngineOptions {
            parser: ParserOptions::all(),
            delayed_name_removal: round % 2 == 0,
            use_start_timestamps: round % 3 == 0,
            optimize: round % 5 != 0,
            ..EngineOptions::default()
        };
        // Expectations are empty, so most fail; the point is that all come back.
        let report = run_script_with("random", &script, options);
        assert_eq!(report.passed + report.failed.len(), 50);
    }
}

#[test]
fn long_chains_fit_on_the_stack() {
    let engine = Engine::new(EngineOptions::default());
    let storage = promql::testscript::ScriptStorage::default();
    let labels = model::Labels::from_pairs([("__name__", "x")]);
    storage.insert_float(&labels, 0, 1.0);
    for query in [
        format!("x{}", " or x".repeat(280)),
        format!("x{}", " + x".repeat(280)),
        format!("{}x{}", "abs(".repeat(60), ")".repeat(60)),
        format!("1{}", " + 1".repeat(280)),
    ] {
        assert!(
            engine
                .instant(&storage, &query, 0, &QueryOptions::default())
                .is_ok()
        );
    }
}

#[test]
fn extreme_times() {
    let engine = Engine::new(EngineOptions {
        parser: ParserOptions::all(),
        ..EngineOptions::default()
    });
    let storage = promql::testscript::ScriptStorage::default();
    let labels = model::Labels::from_pairs([("__name__", "x")]);
    for t in [i64::MIN / 2, -5, 0, i64::MAX / 2] {
        storage.insert_float(&labels, t, 1.0);
    }
    for query in [
        "x",
        "rate(x[100y])",
        "x offset 290y",
        "x offset -290y",
        "sum_over_time(x[1h:1m] @ 9e15)",
        "max_over_time(x[200y:1ms])",
        "x @ -9e15",
        "timestamp(x)",
        "year(vector(1e300))",
        "predict_linear(x[250y], 1e18)",
        "x smoothed",
        "rate(x[1y] smoothed)",
        "increase(x[1y] anchored offset -290y)",
    ] {
        for t in [i64::MIN, i64::MIN / 2, -1, 0, i64::MAX / 2, i64::MAX] {
            let _ = engine.instant(&storage, query, t, &QueryOptions::default());
            let end = t.saturating_add(100);
            let _ = engine.range(&storage, query, t, end, 10, &QueryOptions::default());
        }
    }
}
