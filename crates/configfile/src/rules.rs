//! Rule files: groups of recording and alerting rules.

use std::collections::HashSet;

use gotemplate::Template;
use gotemplate::alerting::{ALERT_PRELUDE, KnownFunctions};
use model::labels::{go_quote, is_valid_label_name_legacy, is_valid_metric_name_legacy};
use model::relabel::NameValidation;
use promql_syntax::ParserOptions;

use crate::decode::{ConfigError, Faults, Fields};
use crate::yaml::{self, Dialect, Node};

/// Groups that one file may have, and rules of one group: far more than anybody has, far less than memory.
const MANY: usize = 100_000;

/// How a rule file is read.
#[derive(Clone, Debug)]
pub struct RuleFileOptions {
    /// Fields nobody knows are passed over.
    pub ignore_unknown_fields: bool,
    /// Which names metrics and labels may have.
    pub names: NameValidation,
    /// What of PromQL is enabled.
    pub parser: ParserOptions,
}

impl Default for RuleFileOptions {
    fn default() -> RuleFileOptions {
        RuleFileOptions {
            ignore_unknown_fields: false,
            names: NameValidation::Utf8,
            parser: ParserOptions::stable(),
        }
    }
}

/// A rule file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleFile {
    /// In the order of the file.
    pub groups: Vec<RuleGroup>,
}

/// `groups[]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleGroup {
    /// Unique within the file.
    pub name: String,
    /// Milliseconds; `None` for `global.evaluation_interval`.
    pub interval: Option<i64>,
    /// Milliseconds; `None` for `global.rule_query_offset`.
    pub query_offset: Option<i64>,
    /// Alerts or series a rule may yield; 0 for any number.
    pub limit: i64,
    /// Added to every rule; a rule's own label wins.
    pub labels: Vec<(String, String)>,
    /// In order of evaluation.
    pub rules: Vec<Rule>,
}

/// What a rule makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// `record`: a metric.
    Record(String),
    /// `alert`
    Alert(String),
}

impl RuleKind {
    /// The metric's or the alert's name.
    pub fn name(&self) -> &str {
        match self {
            RuleKind::Record(name) | RuleKind::Alert(name) => name,
        }
    }
}

/// `groups[].rules[]`
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// `record` or `alert`
    pub kind: RuleKind,
    /// PromQL, as written.
    pub expr: String,
    /// Milliseconds an alert stays pending.
    pub hold_for: i64,
    /// Milliseconds an alert goes on firing after its expression is gone.
    pub keep_firing_for: i64,
    /// The rule's own labels.
    pub labels: Vec<(String, String)>,
    /// Of alerts only.
    pub annotations: Vec<(String, String)>,
}

impl RuleFile {
    /// Reads and checks a file; all faults at once, each with line and column where it has one.
    pub fn parse(text: &str, options: &RuleFileOptions) -> Result<RuleFile, Vec<String>> {
        let node = yaml::parse_as(text, Dialect::V3).map_err(told_twice)?;
        RuleFile::from_node(&node, options)
    }

    /// Reads the groups of a document that is already YAML, such as a `PrometheusRule` object's `spec`.
    pub fn from_node(node: &Node, options: &RuleFileOptions) -> Result<RuleFile, Vec<String>> {
        let mut reader = Reader {
            options,
            faults: Faults::of(Dialect::V3, options.ignore_unknown_fields),
            errors: Vec::new(),
            names: HashSet::new(),
        };
        let result = reader.file(node);
        let file = reader.faults.finish(result).map_err(told_twice)?;
        if reader.errors.is_empty() {
            Ok(file)
        } else {
            Err(reader.errors)
        }
    }
}

/// Upstream reads a file twice, the second time for the places of its values, and tells the faults of both.
fn told_twice(error: ConfigError) -> Vec<String> {
    const NODES: [(&str, &str); 4] = [
        ("rulefmt.RuleGroups", "rulefmt.ruleGroups"),
        ("rulefmt.RuleGroup", "rulefmt.RuleGroupNode"),
        ("rulefmt.Rule", "rulefmt.RuleNode"),
        ("map[string]string", "map[string]string"),
    ];
    let again = error.told_again(&NODES);
    let both = std::iter::once(error).chain(again);
    both.map(|error| error.to_string()).collect()
}

struct Reader<'a> {
    options: &'a RuleFileOptions,
    faults: Faults,
    errors: Vec<String>,
    /// Of the groups so far.
    names: HashSet<String>,
}

/// Where a scalar starts; 0:0 where there is none, as upstream has it.
#[derive(Clone, Copy, Default)]
struct Place(usize, usize);

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

impl Reader<'_> {
    fn file(&mut self, node: &Node) -> Result<RuleFile, ConfigError> {
        let mut fields = Fields::open(node, "rulefmt.RuleGroups", &mut self.faults);
        let nodes = fields.list("groups", "[]rulefmt.RuleGroup", &mut self.faults);
        fields.close(&mut self.faults);
        let mut file = RuleFile::default();
        for node in nodes.into_iter().filter(|node| !node.is_null()).take(MANY) {
            file.groups.push(self.group(node)?);
        }
        Ok(file)
    }

    fn group(&mut self, node: &Node) -> Result<RuleGroup, ConfigError> {
        let faults = &mut self.faults;
        let mut fields = Fields::open(node, "rulefmt.RuleGroup", faults);
        let mut group = RuleGroup {
            name: fields.string("name", faults).unwrap_or_default(),
            interval: fields.duration("interval", faults)?.filter(|ms| *ms > 0),
            query_offset: fields.duration("query_offset", faults)?,
            limit: fields.int("limit", faults).unwrap_or(0),
            labels: plain(fields.string_map("labels", faults)),
            rules: Vec::new(),
        };
        let rules = fields.list("rules", "[]rulefmt.Rule", faults);
        fields.close(faults);
        let place = Place(node.line, node.column);
        if group.name.is_empty() {
            self.errors
                .push(format!("{place}: Groupname must not be empty"));
        }
        if !self.names.insert(group.name.clone()) {
            self.errors.push(format!(
                "{place}: groupname: \"{}\" is repeated in the same file",
                group.name
            ));
        }
        for (name, _) in &group.labels {
            if !self.options.names.allows_label(name) || name == "__name__" {
                self.errors.push(format!("invalid label name: {name}"));
            }
        }
        let rules = rules.into_iter().filter(|node| !node.is_null());
        for (i, node) in rules.take(MANY).enumerate() {
            if let Some(rule) = self.rule(node, &group.name, i + 1)? {
                group.rules.push(rule);
            }
        }
        Ok(group)
    }

    /// A rule; `None` where its faults were noted.
    fn rule(
        &mut self,
        node: &Node,
        group: &str,
        number: usize,
    ) -> Result<Option<Rule>, ConfigError> {
        let place = |name: &str| {
            node.get(name)
                .map_or(Place::default(), |found| Place(found.line, found.column))
        };
        let faults = &mut self.faults;
        let mut fields = Fields::open(node, "rulefmt.Rule", faults);
        let record = fields.string("record", faults).unwrap_or_default();
        let alert = fields.string("alert", faults).unwrap_or_default();
        let expr = fields.string("expr", faults).unwrap_or_default();
        let hold_for = fields.duration("for", faults)?.unwrap_or(0);
        let keep_firing_for = fields.duration("keep_firing_for", faults)?.unwrap_or(0);
        let labels = plain(fields.string_map("labels", faults));
        let annotations = plain(fields.string_map("annotations", faults));
        fields.close(faults);

        let shown = if alert.is_empty() { &record } else { &alert };
        let shown = format!(
            "group {}, rule {number}, {}",
            go_quote(group),
            go_quote(shown)
        );
        let before = self.errors.len();
        let mut fault = |place: Option<String>, message: String| {
            let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
            self.errors.push(format!("{place}{shown}: {message}"));
        };
        let at = |name: &str| Some(place(name).to_string());
        if !record.is_empty() && !alert.is_empty() {
            fault(
                Some(format!("{}: {}", place("record"), place("alert"))),
                "only one of 'record' and 'alert' must be set".into(),
            );
        }
        if record.is_empty() && alert.is_empty() {
            fault(
                Some(format!("{}: {}", place("record"), place("alert"))),
                "one of 'record' or 'alert' must be set".into(),
            );
        }
        if expr.is_empty() {
            fault(at("expr"), "field 'expr' must be set in rule".into());
        } else if let Err(e) = promql_syntax::parse(&expr, &self.options.parser) {
            fault(at("expr"), format!("could not parse expression: {e}"));
        }
        if !record.is_empty() {
            let wrong = [
                ("annotations", !annotations.is_empty()),
                ("for", hold_for != 0),
                ("keep_firing_for", keep_firing_for != 0),
            ];
            for (field, _) in wrong.iter().filter(|(_, wrong)| *wrong) {
                fault(
                    at("record"),
                    format!("invalid field '{field}' in recording rule"),
                );
            }
            if self.options.names == NameValidation::Legacy && !is_valid_metric_name_legacy(&record)
            {
                fault(
                    at("record"),
                    format!("invalid recording rule name: {record}"),
                );
            }
            if record.contains(['{', '}']) {
                fault(
                    at("record"),
                    format!(
                        "braces present in the recording rule name; should it be in expr?: {record}"
                    ),
                );
            }
        }
        for (name, _) in &labels {
            if !self.options.names.allows_label(name) || name == "__name__" {
                fault(None, format!("invalid label name: {name}"));
            }
        }
        for (name, _) in &annotations {
            let valid = match self.options.names {
                NameValidation::Utf8 => !name.is_empty(),
                NameValidation::Legacy => is_valid_label_name_legacy(name),
            };
            if !valid {
                fault(None, format!("invalid annotation name: {name}"));
            }
        }
        if !alert.is_empty() {
            let name = format!("__alert_{alert}");
            for (what, pairs) in [("label", &labels), ("annotation", &annotations)] {
                for (key, text) in pairs.iter().filter(|(_, text)| text.contains("{{")) {
                    let text = format!("{ALERT_PRELUDE}{text}");
                    if let Err(e) = Template::parse(&name, &text, &KnownFunctions) {
                        fault(None, format!("{what} {}: {e}", go_quote(key)));
                    }
                }
            }
        }
        let kind = if record.is_empty() {
            RuleKind::Alert(alert)
        } else {
            RuleKind::Record(record)
        };
        Ok((self.errors.len() == before).then_some(Rule {
            kind,
            expr,
            hold_for,
            keep_firing_for,
            labels,
            annotations,
        }))
    }
}

/// Pairs in order of their names; positions are of no use any more.
fn plain(pairs: Vec<(String, String, usize)>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs.into_iter().map(|(n, v, _)| (n, v)).collect();
    pairs.sort();
    pairs
}
