//! One test: samples are loaded step by step, rules evaluated, alerts and answers compared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use configfile::rule_tests::{AlertCase, QueryCase, RuleTest, RuleTestFile};
use configfile::rules::RuleFile;
use env::sim::SimClock;
use gotemplate::Object as _;
use gotemplate::duration::Duration as GoDuration;
use model::duration::format_duration;
use model::{Labels, LabelsBuilder};
use promql::{Engine, EngineOptions, QueryOptions, SampleValue, Value};
use promql_syntax::{ParserOptions, SeriesValue, parse_series};
use rules::{AlertState, Defaults, EngineQuery, Evaluation, Group, RuleViewKind, definitions};
use storage::memory::{MemoryStorage, StoredValue};

use super::compare::{self, AlertLine, SampleLine};
use crate::promtool::Outcome;

/// Evaluations one test may ask for.
const STEPS_MAX: i64 = 10_000_000;

/// How tests are run.
pub(super) struct Options {
    pub parser: ParserOptions,
    pub delayed_name_removal: bool,
    pub debug: bool,
    pub diff: bool,
    pub ignore_unknown_fields: bool,
}

struct Suite<'a> {
    file: &'a RuleTestFile,
    test: &'a RuleTest,
    options: &'a Options,
    storage: MemoryStorage,
    engine: Arc<Engine>,
    start: i64,
    failures: Vec<String>,
}

/// Runs a test; gives its failures.
pub(super) fn run_test(
    file: &RuleTestFile,
    test: &RuleTest,
    rules: &[(String, RuleFile)],
    options: &Options,
    outcome: &mut Outcome,
) -> Vec<String> {
    if let Some(case) = test.alerts.iter().find(|case| case.alertname.is_empty()) {
        let named = match test.name.as_str() {
            "" => String::new(),
            name => format!(" (in TestGroup {name})"),
        };
        return vec![format!(
            "an item under alert_rule_test misses required attribute alertname at eval_time {}{named}",
            format_duration(case.eval_time)
        )];
    }
    let start = match &test.start_timestamp {
        None => 0,
        Some(text) => match apiv1::time::parse_time(text) {
            Ok(start) => start,
            Err(error) => return vec![error.to_string()],
        },
    };
    if options.debug {
        let line = format!("DEBUG: Starting test {}\n", test.name);
        outcome.err.push_str(&line);
    }
    let storage = MemoryStorage::new();
    let mut suite = Suite {
        file,
        test,
        options,
        engine: Arc::new(Engine::new(EngineOptions {
            max_samples: 10_000,
            default_step_ms: file.evaluation_interval,
            parser: options.parser,
            delayed_name_removal: options.delayed_name_removal,
            ..EngineOptions::default()
        })),
        storage,
        start,
        failures: Vec::new(),
    };
    suite.run(rules);
    if options.debug {
        suite.dump(outcome);
    }
    suite.failures
}

impl Suite<'_> {
    fn fail(&mut self, message: String) {
        self.failures.push(message);
    }

    fn end(&self) -> i64 {
        let alerts = self.test.alerts.iter().map(|case| case.eval_time);
        let queries = self.test.queries.iter().map(|case| case.eval_time);
        self.start + alerts.chain(queries).max().unwrap_or(0)
    }

    /// All input samples in order of time.
    fn samples(&mut self) -> Option<Vec<(i64, Labels, StoredValue)>> {
        let mut all = Vec::new();
        for (series, values) in &self.test.input_series {
            let parsed = match parse_series(&format!("{series} {values}")) {
                Ok(parsed) => parsed,
                Err(error) => {
                    let message = error.to_string();
                    self.fail(message);
                    return None;
                }
            };
            for (i, value) in parsed.values.into_iter().enumerate() {
                let t = self.start + i as i64 * self.test.interval;
                let value = match value {
                    SeriesValue::Omitted => continue,
                    SeriesValue::Float(v) => StoredValue::Float(v),
                    SeriesValue::Histogram(h, _) => StoredValue::FloatHistogram(*h),
                };
                all.push((t, parsed.labels.clone(), value));
            }
        }
        all.sort_by_key(|(t, ..)| *t);
        Some(all)
    }

    fn groups(&mut self, rules: &[(String, RuleFile)], query: &EngineQuery) -> Option<Vec<Group>> {
        let defaults = Defaults {
            interval: self.file.evaluation_interval,
            query_offset: 0,
            external_labels: self.test.external_labels.clone(),
        };
        let mut groups = Vec::new();
        for definition in rules
            .iter()
            .flat_map(|(name, file)| definitions(name, file.clone(), &defaults))
        {
            match Group::new(definition, query, true) {
                Ok(group) => groups.push(group),
                Err(message) => {
                    self.fail(message);
                    return None;
                }
            }
        }
        let order: BTreeMap<&str, usize> = self
            .file
            .group_eval_order
            .iter()
            .enumerate()
            .map(|(i, name)| (name.as_str(), i))
            .collect();
        groups.sort_by_key(|group| {
            order
                .get(group.definition().name.as_str())
                .copied()
                .unwrap_or(0)
        });
        Some(groups)
    }

    fn run(&mut self, rules: &[(String, RuleFile)]) {
        let clock = Arc::new(SimClock::starting_at(0));
        let query = EngineQuery {
            engine: self.engine.clone(),
            queryable: Arc::new(self.storage.clone()),
            clock: clock.clone(),
            timeout: Duration::from_secs(100),
        };
        let Some(samples) = self.samples() else {
            return;
        };
        let Some(groups) = self.groups(rules, &query) else {
            return;
        };
        let storage = self.storage.clone();
        let stopping = AtomicBool::new(false);
        let send = |_: &str, _: Vec<rules::Alert>| {};
        let external_url = self.test.external_url.clone();
        let cx = Evaluation {
            query: &query,
            appendable: &storage,
            clock: &*clock,
            metrics: None,
            external_url: &external_url,
            resend_delay: 0,
            send: &send,
            stopping: &stopping,
            permits: None,
        };
        let step = self.file.evaluation_interval;
        let (mut ts, end) = (self.start, self.end());
        if (end - ts) / step > STEPS_MAX {
            return self.fail(format!(
                "more than {STEPS_MAX} evaluations: raise evaluation_interval"
            ));
        }
        let mut waiting = samples.into_iter().peekable();
        while ts <= end {
            while let Some((t, labels, value)) = waiting.next_if(|(t, ..)| *t <= ts) {
                self.storage.insert(&labels, t, value);
            }
            for group in &groups {
                group.evaluate(ts, &cx);
                for rule in group.view(false).rules {
                    if let Some(error) = rule.last_error {
                        let since = GoDuration(ts.saturating_mul(1_000_000)).print();
                        self.fail(format!(
                            "    rule: {}, time: {since}, err: {error}",
                            rule.name
                        ));
                    }
                }
            }
            if !self.failures.is_empty() {
                return;
            }
            let test = self.test;
            for case in &test.alerts {
                let at = self.start + case.eval_time;
                if ts <= at && at < ts + step {
                    self.check_alerts(case, &groups);
                }
            }
            ts += step;
        }
        // Rules have seen all they should; queries between two evaluations see the samples up to the end.
        while let Some((t, labels, value)) = waiting.next_if(|(t, ..)| *t <= end) {
            self.storage.insert(&labels, t, value);
        }
        let test = self.test;
        for case in &test.queries {
            self.check_query(case);
        }
    }

    fn check_alerts(&mut self, case: &AlertCase, groups: &[Group]) {
        let mut got: Vec<AlertLine> = groups
            .iter()
            .flat_map(|group| group.view(true).rules)
            .filter(|rule| rule.name == case.alertname)
            .filter_map(|rule| match rule.kind {
                RuleViewKind::Alerting { alerts, .. } => Some(alerts),
                RuleViewKind::Recording => None,
            })
            .flatten()
            .filter(|alert| alert.state == AlertState::Firing)
            .map(|alert| AlertLine {
                labels: alert.labels,
                annotations: alert.annotations,
            })
            .collect();
        let mut expected: Vec<AlertLine> = case
            .expected
            .iter()
            .map(|(labels, annotations)| {
                let base = Labels::from_pairs(labels.iter().map(|(n, v)| (n, v)));
                let mut builder = LabelsBuilder::new(&base);
                builder.set("alertname", case.alertname.as_str());
                AlertLine {
                    labels: builder.build(),
                    annotations: Labels::from_pairs(annotations.iter().map(|(n, v)| (n, v))),
                }
            })
            .collect();
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        expected.sort_by(|a, b| a.labels.cmp(&b.labels));
        if got == expected {
            return;
        }
        let named = match self.test.name.as_str() {
            "" => String::new(),
            name => format!("    name: {name},\n"),
        };
        let head = format!(
            "{named}    alertname: {}, time: {}, \n",
            case.alertname,
            format_duration(case.eval_time)
        );
        let body = if self.options.diff {
            let difference = compare::diff(
                &compare::alerts_json(&expected),
                &compare::alerts_json(&got),
            );
            format!("        diff:\n{difference}")
        } else {
            format!(
                "        exp:{}, \n        got:{}",
                compare::alerts(&expected),
                compare::alerts(&got)
            )
        };
        self.fail(format!("{head}{body}"));
    }

    fn check_query(&mut self, case: &QueryCase) {
        let time = format_duration(case.eval_time);
        let head = format!("    expr: {}, time: {time},", compare::quoted(&case.expr));
        let mut expected = Vec::new();
        for sample in &case.expected {
            match expected_line(&sample.labels, sample.value, &sample.histogram) {
                Ok(line) => expected.push(line),
                Err(error) => return self.fail(format!("{head} err: {error}")),
            }
        }
        // Experimental parts of the language are for rule files only.
        let engine = Engine::new(EngineOptions {
            parser: ParserOptions::stable(),
            ..self.engine.options().clone()
        });
        let result = engine.instant(
            &self.storage,
            &case.expr,
            self.start + case.eval_time,
            &QueryOptions::default(),
        );
        let mut got = match result.map(|r| r.value) {
            Ok(Value::Vector(samples)) => samples
                .into_iter()
                .map(|sample| match sample.value {
                    SampleValue::Float(value) => SampleLine {
                        labels: sample.labels,
                        value,
                        histogram: String::new(),
                    },
                    SampleValue::Histogram(h) => SampleLine {
                        labels: sample.labels,
                        value: 0.0,
                        histogram: compare::histogram(&h),
                    },
                })
                .collect(),
            Ok(Value::Scalar(_, value)) => vec![SampleLine {
                labels: Labels::empty(),
                value,
                histogram: String::new(),
            }],
            Ok(_) => {
                return self.fail(format!("{head} err: rule result is not a vector or scalar"));
            }
            Err(error) => return self.fail(format!("{head} err: {error}")),
        };
        got.sort_by(|a, b| a.labels.cmp(&b.labels));
        expected.sort_by(|a: &SampleLine, b| a.labels.cmp(&b.labels));
        let fits = got.len() == expected.len()
            && expected
                .iter()
                .zip(&got)
                .all(|(e, g)| e.fits(g, self.file.fuzzy_compare));
        if fits {
            return;
        }
        let body = if self.options.diff {
            let difference = compare::diff(
                &compare::samples_json(&expected),
                &compare::samples_json(&got),
            );
            format!("        diff:\n{difference}")
        } else {
            format!(
                "        exp: {}\n        got: {}",
                compare::samples(&expected),
                compare::samples(&got)
            )
        };
        self.fail(format!("{head}\n{body}"));
    }

    fn dump(&self, outcome: &mut Outcome) {
        let until = GoDuration((self.end() - self.start).saturating_mul(1_000_000)).print();
        outcome.err.push_str(&format!(
            "DEBUG: Dump of all data (input_series and rules) at {until}:\n"
        ));
        for (labels, samples) in self.storage.dump() {
            outcome.err.push_str(&format!("{labels} =>\n"));
            for (t, value) in samples {
                let shown = match value {
                    StoredValue::Float(v) => model::number::format_float(v),
                    StoredValue::Histogram(h) => h.to_float().to_string(),
                    StoredValue::FloatHistogram(h) => h.to_string(),
                };
                outcome.err.push_str(&format!("{shown} @[{t}]\n"));
            }
        }
    }
}

fn expected_line(labels: &str, value: f64, histogram: &str) -> Result<SampleLine, String> {
    let quoted = |what: &str, text: &str, e: &dyn std::fmt::Display| {
        format!("{what} {}: {e}", compare::quoted(text))
    };
    let parsed = match labels {
        "" => Labels::empty(),
        text => promql_syntax::parse_metric(text).map_err(|e| quoted("labels", text, &e))?,
    };
    if histogram.is_empty() {
        return Ok(SampleLine {
            labels: parsed,
            value,
            histogram: String::new(),
        });
    }
    let series = parse_series(&format!("{{}} {histogram}"))
        .map_err(|e| quoted("histogram", histogram, &e))?;
    match series.values.as_slice() {
        [SeriesValue::Histogram(h, _)] => Ok(SampleLine {
            labels: parsed,
            value: 0.0,
            histogram: compare::histogram(h),
        }),
        _ => Err(quoted("histogram", histogram, &"expected one histogram")),
    }
}
