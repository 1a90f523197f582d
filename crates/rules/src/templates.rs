//! Labels and annotations of alerts: parsed once, expanded for each alert.

use std::borrow::Cow;
use std::sync::Arc;

use gotemplate::alerting::{
    ALERT_PRELUDE, AlertData, KnownFunctions, QuerySample, RuleFunctions, SampleValue,
};
use gotemplate::{Limits, Template, Value};
use model::Labels;

use crate::group::Evaluation;
use crate::query::RuleQuery;

/// A label's or annotation's text.
#[derive(Debug)]
enum Text {
    /// It is its own outcome.
    Plain(String),
    Template(Box<Template>),
    /// It does not parse; rule files are checked, so this is rare.
    Wrong(String),
}

/// Named texts of an alerting rule.
#[derive(Debug)]
pub(crate) struct Templates {
    /// `__alert_<name>`
    name: String,
    texts: Vec<(String, Text)>,
}

/// What templates are expanded for.
pub(crate) struct Element<'a> {
    pub labels: &'a Labels,
    pub value: &'a promql::SampleValue,
    pub external_labels: &'a Labels,
    /// When queries of templates are asked.
    pub query_time: i64,
    /// What `now` tells.
    pub ts: i64,
}

impl Templates {
    pub fn new(alert: &str, pairs: &[(String, String)]) -> Templates {
        let name = format!("__alert_{alert}");
        let texts = pairs
            .iter()
            .map(|(key, text)| {
                let parsed = if text.contains("{{") {
                    let full = format!("{ALERT_PRELUDE}{text}");
                    match Template::parse(&name, &full, &KnownFunctions) {
                        Ok(template) => Text::Template(Box::new(template)),
                        Err(e) => Text::Wrong(format!("error parsing template {name}: {e}")),
                    }
                } else {
                    Text::Plain(text.clone())
                };
                (key.clone(), parsed)
            })
            .collect();
        Templates { name, texts }
    }

    fn all_plain(&self) -> bool {
        self.texts
            .iter()
            .all(|(_, text)| matches!(text, Text::Plain(_)))
    }

    /// All texts with their outcomes.
    pub fn expand<'t>(
        &'t self,
        element: &Element<'_>,
        cx: &Evaluation<'_>,
    ) -> Vec<(&'t str, Cow<'t, str>)> {
        if let Some(metrics) = cx.metrics {
            metrics.expansions.add(self.texts.len() as u64);
        }
        if self.all_plain() {
            return self
                .texts
                .iter()
                .filter_map(|(key, text)| match text {
                    Text::Plain(text) => Some((key.as_str(), Cow::Borrowed(text.as_str()))),
                    _ => None,
                })
                .collect();
        }
        let query = |text: &str| ask(text, element.query_time, cx);
        let functions = RuleFunctions {
            query: &query,
            now_ms: element.ts,
            external_url: cx.external_url,
        };
        let data = data_of(element, cx.external_url);
        self.texts
            .iter()
            .map(|(key, text)| {
                let outcome = match text {
                    Text::Plain(text) => return (key.as_str(), Cow::Borrowed(text.as_str())),
                    Text::Template(template) => template
                        .execute(&data, &functions, Limits::default())
                        .map_err(|e| format!("error executing template {}: {e}", self.name)),
                    Text::Wrong(message) => Err(message.clone()),
                };
                let expanded = outcome.unwrap_or_else(|error| {
                    if let Some(metrics) = cx.metrics {
                        metrics.expansion_failures.inc();
                    }
                    tracing::warn!(component = "rule manager", alert = %self.name, err = %error, "Expanding alert template failed");
                    format!("<error expanding template: {error}>")
                });
                (key.as_str(), Cow::Owned(expanded))
            })
            .collect()
    }
}

fn data_of(element: &Element<'_>, external_url: &str) -> Value {
    AlertData {
        labels: element.labels.clone(),
        external_labels: element.external_labels.clone(),
        external_url: external_url.into(),
        value: value_of(element.value).value(),
    }
    .value()
}

fn value_of(value: &promql::SampleValue) -> SampleValue {
    match value {
        promql::SampleValue::Float(v) => SampleValue::Float(*v),
        promql::SampleValue::Histogram(h) => SampleValue::Histogram(Arc::clone(h)),
    }
}

fn ask(text: &str, time: i64, cx: &Evaluation<'_>) -> Result<Vec<QuerySample>, String> {
    samples(cx.query, text, time)
}

/// What the function `query` of templates yields.
pub fn samples(asked: &dyn RuleQuery, text: &str, time: i64) -> Result<Vec<QuerySample>, String> {
    let query = asked.parse(text)?;
    match asked.query(&query, time)? {
        promql::Value::Vector(samples) => Ok(samples
            .into_iter()
            .map(|sample| QuerySample {
                value: value_of(&sample.value),
                labels: sample.labels,
            })
            .collect()),
        promql::Value::Scalar(_, v) => Ok(vec![QuerySample {
            labels: Labels::empty(),
            value: SampleValue::Float(v),
        }]),
        _ => Err("query result is not a vector or scalar".into()),
    }
}
