//! The functions of rule templates, and the data they see.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use model::{FloatHistogram, Labels};
use regex::Regex;

use crate::duration::Duration;
use crate::escape;
use crate::humanize;
use crate::template::{Functions, Parameter, Signature};
use crate::value::{Object, Value};

use Parameter::{Any, Text};

/// Compiled patterns a thread keeps.
const PATTERNS_KEPT: usize = 200;

/// A sample that `query` yields.
#[derive(Clone, Debug)]
pub struct QuerySample {
    /// Its series.
    pub labels: Labels,
    /// Its value.
    pub value: SampleValue,
}

/// A float or a histogram.
#[derive(Clone, Debug)]
pub enum SampleValue {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

impl SampleValue {
    /// The value templates see.
    pub fn value(&self) -> Value {
        match self {
            SampleValue::Float(v) => Value::Float(*v),
            SampleValue::Histogram(h) => Value::Object(Arc::new(HistogramObject(h.clone()))),
        }
    }
}

struct HistogramObject(Arc<FloatHistogram>);

impl Object for HistogramObject {
    fn type_name(&self) -> &str {
        "*histogram.FloatHistogram"
    }

    fn print(&self) -> String {
        self.0.to_string()
    }

    fn member(&self, name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        Some(Ok(match name {
            "Count" => Value::Float(self.0.count),
            "Sum" => Value::Float(self.0.sum),
            "ZeroCount" => Value::Float(self.0.zero_count),
            "Schema" => Value::Int(i64::from(self.0.schema)),
            "String" => Value::text(self.print()),
            _ => return None,
        }))
    }
}

/// Labels as a map.
pub struct LabelMap(pub Labels);

impl LabelMap {
    /// The value templates see.
    pub fn value(labels: Labels) -> Value {
        Value::Object(Arc::new(LabelMap(labels)))
    }
}

impl Object for LabelMap {
    fn type_name(&self) -> &str {
        "map[string]string"
    }

    fn print(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(n, v)| format!("{n}:{v}")).collect();
        format!("map[{}]", pairs.join(" "))
    }

    fn member(&self, _name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        None
    }

    fn key(&self, key: &str) -> Option<Value> {
        Some(Value::text(self.0.get(key).unwrap_or("")))
    }

    fn entries(&self) -> Option<Vec<(Value, Value)>> {
        let pairs = self.0.iter();
        Some(pairs.map(|(n, v)| (n.into(), v.into())).collect())
    }
}

/// A sample with `.Labels` and `.Value`.
struct SampleObject(QuerySample);

impl Object for SampleObject {
    fn type_name(&self) -> &str {
        "*template.sample"
    }

    fn print(&self) -> String {
        let labels = LabelMap(self.0.labels.clone()).print();
        format!("&{{{labels} {}}}", self.0.value.value().print())
    }

    fn member(&self, name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        Some(Ok(match name {
            "Labels" => LabelMap::value(self.0.labels.clone()),
            "Value" => self.0.value.value(),
            _ => return None,
        }))
    }

    fn truth(&self) -> bool {
        true
    }
}

/// Answers the queries of a template at its evaluation's time.
pub type Query<'a> = &'a dyn Fn(&str) -> Result<Vec<QuerySample>, String>;

/// The functions of rule templates.
pub struct RuleFunctions<'a> {
    /// Answers `query`.
    pub query: Query<'a>,
    /// What `now` tells, unix milliseconds.
    pub now_ms: i64,
    /// What links start with; without a slash at the end.
    pub external_url: &'a str,
}

/// `.Labels`, `.Value`, ... of one alert.
pub struct AlertData {
    /// The element's labels.
    pub labels: Labels,
    /// The server's external labels.
    pub external_labels: Labels,
    /// The server's external URL.
    pub external_url: Arc<str>,
    /// The element's value.
    pub value: Value,
}

/// What rule templates start with, so that `$labels` and the like are there.
pub const ALERT_PRELUDE: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}";

impl AlertData {
    /// The value templates see.
    pub fn value(self) -> Value {
        Value::Object(Arc::new(self))
    }
}

impl Object for AlertData {
    fn type_name(&self) -> &str {
        "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }"
    }

    fn print(&self) -> String {
        let labels = |labels: &Labels| LabelMap(labels.clone()).print();
        format!(
            "{{{} {} {} {}}}",
            labels(&self.labels),
            labels(&self.external_labels),
            self.external_url,
            self.value.print()
        )
    }

    fn member(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let value = match name {
            "Labels" => LabelMap::value(self.labels.clone()),
            "ExternalLabels" => LabelMap::value(self.external_labels.clone()),
            "ExternalURL" => Value::Text(self.external_url.clone()),
            "Value" => self.value.clone(),
            _ => return None,
        };
        Some(if args.is_empty() {
            Ok(value)
        } else {
            Err(format!(
                "{name} has arguments but cannot be invoked as function"
            ))
        })
    }
}

struct HtmlText(Arc<str>);

impl Object for HtmlText {
    fn type_name(&self) -> &str {
        crate::html::HTML_TYPE
    }

    fn print(&self) -> String {
        self.0.to_string()
    }

    fn member(&self, _name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        None
    }

    fn truth(&self) -> bool {
        !self.0.is_empty()
    }
}

/// A text that is HTML already.
pub fn html_text(text: impl Into<Arc<str>>) -> Value {
    Value::Object(Arc::new(HtmlText(text.into())))
}

/// Functions that need the server: known to the parser of rule files, which has none.
pub struct KnownFunctions;

impl Functions for KnownFunctions {
    fn signature(&self, name: &str) -> Option<Signature> {
        signature(name)
    }

    fn call(&self, name: &str, _args: &[Value]) -> Result<Value, String> {
        Err(format!("{name} cannot be called here"))
    }
}

/// The names of all functions of rule templates.
pub const FUNCTIONS: [&str; 30] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "tmpl",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "value",
];

fn signature(name: &str) -> Option<Signature> {
    Some(match name {
        "query" | "title" | "toUpper" | "toLower" | "stripPort" | "stripDomain" | "graphLink"
        | "tableLink" | "urlQueryEscape" | "parseDuration" | "safeHtml" => Signature::of(&[Text]),
        "first" | "value" | "strvalue" | "humanize" | "humanize1024" | "humanizeDuration"
        | "humanizePercentage" | "humanizeTimestamp" | "toTime" | "toDuration" => {
            Signature::of(&[Any])
        }
        "label" | "sortByLabel" => Signature::of(&[Text, Any]),
        "match" => Signature::of(&[Text, Text]),
        "reReplaceAll" => Signature::of(&[Text, Text, Text]),
        "args" => Signature {
            fixed: &[],
            rest: Some(Any),
        },
        "now" | "pathPrefix" | "externalURL" => Signature::of(&[]),
        "tmpl" => Signature::of(&[Text, Any]),
        _ => return None,
    })
}

impl Functions for RuleFunctions<'_> {
    fn signature(&self, name: &str) -> Option<Signature> {
        signature(name)
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, String> {
        let text = |i: usize| args.get(i).and_then(Value::as_text).unwrap_or("");
        let number = || number_of(args.first().unwrap_or(&Value::Nil));
        Ok(match name {
            "query" => Value::list(
                (self.query)(text(0))?
                    .into_iter()
                    .map(|sample| Value::Object(Arc::new(SampleObject(sample))))
                    .collect(),
            ),
            "first" => match list_of(&args[0])?.first() {
                Some(first) => first.clone(),
                None => return Err("first() called on vector with no elements".into()),
            },
            "label" => label_of(text(0), &args[1])?,
            "value" => member_of(&args[0], "Value")?,
            "strvalue" => label_of("__value__", &args[0])?,
            "sortByLabel" => sorted(text(0), &args[1])?,
            "args" => Value::map(
                args.iter()
                    .enumerate()
                    .map(|(i, arg)| (format!("arg{i}"), arg.clone())),
            ),
            "humanize" => Value::text(humanize::humanize(number()?)),
            "humanize1024" => Value::text(humanize::humanize1024(number()?)),
            "humanizeDuration" => Value::text(humanize::humanize_duration(number()?)),
            "humanizePercentage" => Value::text(humanize::humanize_percentage(number()?)),
            "humanizeTimestamp" => Value::text(humanize::humanize_timestamp(number()?)?),
            "toTime" => humanize::to_time(number()?)?.value(),
            "toDuration" => {
                let seconds = number()?;
                if !seconds.is_finite() || seconds.abs() > 9.2e9 {
                    return Err(format!(
                        "{} cannot be converted to a duration",
                        model::number::format_float_g(seconds)
                    ));
                }
                Duration((seconds * 1e9) as i64).value()
            }
            "now" => Value::Float(self.now_ms as f64 / 1000.0),
            "parseDuration" => {
                let ms =
                    model::duration::parse_signed_duration(text(0)).map_err(|e| e.to_string())?;
                Value::Float(ms as f64 / 1000.0)
            }
            "title" => Value::text(title(text(0))),
            "toUpper" => Value::text(text(0).to_uppercase()),
            "toLower" => Value::text(text(0).to_lowercase()),
            "match" => Value::Bool(pattern(text(0))?.is_match(text(1))),
            "reReplaceAll" => {
                let replaced = pattern(text(0))?.replace_all(text(2), text(1)).into_owned();
                Value::text(replaced)
            }
            "stripPort" => Value::text(strip_port(text(0))),
            "stripDomain" => Value::text(strip_domain(text(0))),
            "graphLink" => Value::text(link(text(0), 0)),
            "tableLink" => Value::text(link(text(0), 1)),
            "pathPrefix" => Value::text(path_of(self.external_url)),
            "externalURL" => Value::text(self.external_url),
            "urlQueryEscape" => Value::text(escape::query(text(0))),
            "safeHtml" => args[0].clone(),
            "tmpl" => return Err("tmpl is known to console templates only".into()),
            other => return Err(format!("{other} is not a function")),
        })
    }
}

/// Any kind of number: float, whole, text, duration (in seconds).
fn number_of(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(v) => Ok(*v),
        Value::Int(n) => Ok(*n as f64),
        Value::Text(text) => model::number::parse_float(text).ok_or_else(|| {
            format!(
                "strconv.ParseFloat: parsing {}: invalid syntax",
                model::labels::go_quote(text)
            )
        }),
        Value::Object(object) => object
            .number()
            .ok_or_else(|| format!("can't convert {} to float", object.type_name())),
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

fn list_of(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::List(items) => Ok(items),
        Value::Nil => Ok(&[]),
        other => Err(format!(
            "wrong type for value; expected template.queryResult; got {}",
            other.type_name()
        )),
    }
}

fn member_of(sample: &Value, name: &str) -> Result<Value, String> {
    match sample {
        Value::Object(object) => object.member(name, &[]).unwrap_or_else(|| {
            Err(format!(
                "wrong type for value; expected *template.sample; got {}",
                object.type_name()
            ))
        }),
        other => Err(format!(
            "wrong type for value; expected *template.sample; got {}",
            other.type_name()
        )),
    }
}

fn label_of(name: &str, sample: &Value) -> Result<Value, String> {
    match member_of(sample, "Labels")? {
        Value::Object(labels) => Ok(labels.key(name).unwrap_or_else(|| Value::text(""))),
        _ => Ok(Value::text("")),
    }
}

fn sorted(name: &str, list: &Value) -> Result<Value, String> {
    let mut keyed = Vec::new();
    for item in list_of(list)? {
        keyed.push((label_of(name, item)?.print(), item.clone()));
    }
    keyed.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Value::list(
        keyed.into_iter().map(|(_, item)| item).collect(),
    ))
}

/// The first letter of each word large, the rest as it is.
fn title(text: &str) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let starts = !(before.is_alphanumeric() || before == '_' || before == '\'');
            before = c;
            if starts {
                c.to_uppercase().next().unwrap_or(c)
            } else {
                c
            }
        })
        .collect()
}

thread_local! {
    static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::new(HashMap::new());
}

/// Unanchored, and a dot does not match a new line.
fn pattern(text: &str) -> Result<Regex, String> {
    PATTERNS.with_borrow_mut(|known| {
        if let Some(regex) = known.get(text) {
            return Ok(regex.clone());
        }
        let syntax = model::regex::FastRegex::new(text)
            .map_err(|e| e.to_string())?
            .library_syntax();
        let regex = regex::RegexBuilder::new(&syntax)
            .size_limit(10 << 20)
            .build()
            .map_err(|e| e.to_string())?;
        if known.len() >= PATTERNS_KEPT {
            known.clear();
        }
        known.insert(text.to_string(), regex.clone());
        Ok(regex)
    })
}

fn strip_port(text: &str) -> String {
    split_host_port(text)
        .map_or(text, |(host, _)| host)
        .to_string()
}

fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inner) => Some((inner.strip_suffix(']')?, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}

/// `a.b.c:1` to `a:1`; addresses stay.
fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).map_or((text, None), |(h, p)| (h, Some(p)));
    // The zone of an address may have dots, too.
    let address = host.split('%').next().unwrap_or(host);
    if address.parse::<std::net::IpAddr>().is_ok() {
        return text.to_string();
    }
    let first = host.split('.').next().unwrap_or(host);
    match port {
        Some(port) => format!("{first}:{port}"),
        None => first.to_string(),
    }
}

fn path_of(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    after.find('/').map_or("", |slash| &after[slash..])
}

/// The expression browser with a query; `tab` 0 is the graph, 1 the table.
pub fn link(expr: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", escape::query(expr))
}
