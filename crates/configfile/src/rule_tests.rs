//! Unit tests of rules, as `promtool test rules` reads them.

use model::Labels;

use crate::decode::{ConfigError, Faults, Fields};
use crate::yaml::{self, Node};

/// A file of tests.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTestFile {
    /// Patterns of rule files, relative to the file.
    pub rule_files: Vec<String>,
    /// Milliseconds between evaluations.
    pub evaluation_interval: i64,
    /// Groups in the order they are evaluated in; others come first.
    pub group_eval_order: Vec<String>,
    /// Values may differ in the last bit.
    pub fuzzy_compare: bool,
    /// In order.
    pub tests: Vec<RuleTest>,
}

/// `tests[]`
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTest {
    /// For messages and for `--run`.
    pub name: String,
    /// Milliseconds between the values of a series.
    pub interval: i64,
    /// When it starts: RFC 3339 or unix seconds, as written.
    pub start_timestamp: Option<String>,
    /// Each as its series and values.
    pub input_series: Vec<(String, String)>,
    /// What templates see as external labels.
    pub external_labels: Labels,
    /// What templates see as external URL.
    pub external_url: String,
    /// Alerts that have to fire.
    pub alerts: Vec<AlertCase>,
    /// Queries with their answers.
    pub queries: Vec<QueryCase>,
}

/// `alert_rule_test[]`
#[derive(Clone, Debug, PartialEq)]
pub struct AlertCase {
    /// Milliseconds from the start.
    pub eval_time: i64,
    /// The rule.
    pub alertname: String,
    /// Labels and annotations of all that fire.
    pub expected: Vec<(Vec<(String, String)>, Vec<(String, String)>)>,
}

/// `promql_expr_test[]`
#[derive(Clone, Debug, PartialEq)]
pub struct QueryCase {
    /// PromQL.
    pub expr: String,
    /// Milliseconds from the start.
    pub eval_time: i64,
    /// All samples of the answer.
    pub expected: Vec<ExpectedSample>,
}

/// `exp_samples[]`
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedSample {
    /// As a series is written.
    pub labels: String,
    /// Its value.
    pub value: f64,
    /// A histogram instead of the value, as series notation has it.
    pub histogram: String,
}

impl RuleTestFile {
    /// Reads a file; unknown fields are faults.
    pub fn parse(text: &str) -> Result<RuleTestFile, ConfigError> {
        let node = yaml::parse(text)?;
        let mut faults = Faults::default();
        let result = read(&node, &mut faults);
        faults.finish(result)
    }
}

fn read(node: &Node, faults: &mut Faults) -> Result<RuleTestFile, ConfigError> {
    let mut fields = Fields::open(node, "main.unitTestFile", faults);
    let mut file = RuleTestFile {
        rule_files: fields.strings("rule_files", faults).unwrap_or_default(),
        evaluation_interval: fields
            .duration("evaluation_interval", faults)?
            .filter(|ms| *ms > 0)
            .unwrap_or(60_000),
        group_eval_order: fields
            .strings("group_eval_order", faults)
            .unwrap_or_default(),
        fuzzy_compare: fields.bool("fuzzy_compare", faults).unwrap_or(false),
        tests: Vec::new(),
    };
    let tests = fields.list("tests", "[]main.testGroup", faults);
    fields.close(faults);
    for test in tests {
        file.tests
            .push(read_test(test, file.evaluation_interval, faults)?);
    }
    Ok(file)
}

fn read_test(
    node: &Node,
    default_interval: i64,
    faults: &mut Faults,
) -> Result<RuleTest, ConfigError> {
    let mut fields = Fields::open(node, "main.testGroup", faults);
    let mut test = RuleTest {
        name: fields.string("name", faults).unwrap_or_default(),
        interval: fields
            .duration("interval", faults)?
            .filter(|ms| *ms > 0)
            .unwrap_or(default_interval),
        start_timestamp: fields.string("start_timestamp", faults),
        input_series: Vec::new(),
        external_labels: Labels::from_pairs(
            fields
                .string_map("external_labels", faults)
                .into_iter()
                .map(|(name, value, _)| (name, value)),
        ),
        external_url: fields.string("external_url", faults).unwrap_or_default(),
        alerts: Vec::new(),
        queries: Vec::new(),
    };
    let series = fields.list("input_series", "[]main.series", faults);
    let alerts = fields.list("alert_rule_test", "[]main.alertTestCase", faults);
    let queries = fields.list("promql_expr_test", "[]main.promqlTestCase", faults);
    fields.close(faults);
    for node in series {
        let mut fields = Fields::open(node, "main.series", faults);
        let series = fields.string("series", faults).unwrap_or_default();
        let values = fields.string("values", faults).unwrap_or_default();
        fields.close(faults);
        test.input_series.push((series, values));
    }
    for node in alerts {
        test.alerts.push(read_alerts(node, faults)?);
    }
    for node in queries {
        test.queries.push(read_query(node, faults)?);
    }
    Ok(test)
}

fn read_alerts(node: &Node, faults: &mut Faults) -> Result<AlertCase, ConfigError> {
    let mut fields = Fields::open(node, "main.alertTestCase", faults);
    let mut case = AlertCase {
        eval_time: fields.duration("eval_time", faults)?.unwrap_or(0),
        alertname: fields.string("alertname", faults).unwrap_or_default(),
        expected: Vec::new(),
    };
    let expected = fields.list("exp_alerts", "[]main.alert", faults);
    fields.close(faults);
    for node in expected {
        let mut fields = Fields::open(node, "main.alert", faults);
        let mut pairs = |name: &str, faults: &mut Faults| {
            fields
                .string_map(name, faults)
                .into_iter()
                .map(|(name, value, _)| (name, value))
                .collect::<Vec<_>>()
        };
        let labels = pairs("exp_labels", faults);
        let annotations = pairs("exp_annotations", faults);
        fields.close(faults);
        case.expected.push((labels, annotations));
    }
    Ok(case)
}

fn read_query(node: &Node, faults: &mut Faults) -> Result<QueryCase, ConfigError> {
    let mut fields = Fields::open(node, "main.promqlTestCase", faults);
    let mut case = QueryCase {
        expr: fields.string("expr", faults).unwrap_or_default(),
        eval_time: fields.duration("eval_time", faults)?.unwrap_or(0),
        expected: Vec::new(),
    };
    let expected = fields.list("exp_samples", "[]main.sample", faults);
    fields.close(faults);
    for node in expected {
        let mut fields = Fields::open(node, "main.sample", faults);
        let sample = ExpectedSample {
            labels: fields.string("labels", faults).unwrap_or_default(),
            value: number(&mut fields, faults),
            histogram: fields.string("histogram", faults).unwrap_or_default(),
        };
        fields.close(faults);
        case.expected.push(sample);
    }
    Ok(case)
}

/// A float, `.nan` and `.inf` too.
fn number(fields: &mut Fields<'_>, faults: &mut Faults) -> f64 {
    fields.float("value", faults).unwrap_or(0.0)
}
