//! `/consoles/*`: pages that are templates, in a folder of the user's.

use std::cell::Cell;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use apiv1::params::Params;
use axum::body::Body;
use axum::extract::{self, RawQuery, State};
use axum::response::IntoResponse as _;
use gotemplate::alerting::{KnownFunctions, LabelMap, RuleFunctions, html_text};
use gotemplate::{Functions, Limits, Object, Signature, Template, Value};
use http::{Response, StatusCode, header};
use model::Labels;
use rules::RuleQuery;

use crate::os_error::os_text;
use crate::web::Web;

/// What a page starts with, so that `$params` and the like are there.
const PRELUDE: &str = "{{$rawParams := .RawParams }}{{$params := .Params}}{{$path := .Path}}{{$externalLabels := .ExternalLabels}}";
/// Pages are longer than annotations, and made of many templates.
const LIMITS: Limits = Limits {
    depth: 50,
    output: 16 << 20,
    steps: 10_000_000,
};
/// Calls of `tmpl` that one page may make, and how deep.
const CALLS_MAX: (u32, u32) = (10_000, 50);

/// Where consoles are and what they work with.
pub struct Consoles {
    /// `--web.console.templates`
    pub templates: PathBuf,
    /// `--web.console.libraries`
    pub libraries: PathBuf,
    /// What links start with.
    pub external_url: String,
    /// Answers `query`; `None` where there is nothing to ask.
    pub query: Option<Arc<dyn RuleQuery>>,
}

/// `/consoles/*filepath`
pub async fn console(
    State(web): State<Arc<Web>>,
    path: Option<extract::Path<String>>,
    RawQuery(query): RawQuery,
) -> Response<Body> {
    use apiv1::status::StatusSource as _;
    if !web.state.is_ready() {
        return apiv1::router::unavailable(web.state.is_stopping());
    }
    let path = path.map(|path| path.0).unwrap_or_default();
    let query = query.unwrap_or_default();
    let made = tokio::task::spawn_blocking(move || {
        let labels = web
            .state
            .config
            .read()
            .config
            .global
            .external_labels
            .clone();
        let now = web.state.clock.now();
        web.consoles.page(&path, &query, labels, now)
    });
    let ended = "the page ended unexpectedly; see the log".to_string();
    match made
        .await
        .unwrap_or(Err((StatusCode::INTERNAL_SERVER_ERROR, ended)))
    {
        Ok(page) => {
            let kind = if looks_like_html(&page) {
                "text/html; charset=utf-8"
            } else {
                "text/plain; charset=utf-8"
            };
            ([(header::CONTENT_TYPE, kind)], page).into_response()
        }
        Err((status, message)) => {
            let headers = [
                (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (status, headers, format!("{message}\n")).into_response()
        }
    }
}

type Fault = (StatusCode, String);

fn fault(error: String) -> Fault {
    (StatusCode::INTERNAL_SERVER_ERROR, error)
}

impl Consoles {
    fn page(&self, path: &str, query: &str, labels: Labels, now: i64) -> Result<String, Fault> {
        let mut file = self.templates.clone();
        file.extend(&within(path));
        let shown = file.display();
        if let Err(error) = std::fs::metadata(&file) {
            let error = os_text(&error);
            return Err((StatusCode::NOT_FOUND, format!("open {shown}: {error}")));
        }
        let text = std::fs::read_to_string(&file)
            .map_err(|e| fault(format!("read {shown}: {}", os_text(&e))))?;
        let name = format!("__console_/{path}");
        let text = format!("{PRELUDE}{text}");
        let mut template = Template::parse(&name, &text, &KnownFunctions)
            .map_err(|e| fault(format!("error parsing template {name}: {e}")))?;
        for library in self.library_files() {
            let in_files =
                |e: String| fault(format!("error parsing template files for {name}: {e}"));
            let text = std::fs::read_to_string(&library).map_err(|e| {
                let error = os_text(&e);
                in_files(format!("open {}: {error}", library.display()))
            })?;
            let file = library.file_name().unwrap_or_default().to_string_lossy();
            template
                .add(&file, &text, &KnownFunctions)
                .map_err(|e| in_files(e.to_string()))?;
        }
        let ask = |text: &str| match &self.query {
            Some(query) => rules::samples(&**query, text, now),
            None => Err("unavailable with Prometheus Agent".into()),
        };
        let functions = ConsoleFunctions {
            rules: RuleFunctions {
                query: &ask,
                now_ms: now,
                external_url: &self.external_url,
            },
            template: &template,
            calls: Cell::new(CALLS_MAX.0),
            depth: Cell::new(0),
        };
        let data = Value::Object(Arc::new(PageData {
            path: path.trim_start_matches('/').to_string(),
            parameters: parameters_of(query),
            external_labels: labels,
        }));
        template
            .execute_html(template.name(), &data, &functions, LIMITS)
            .map_err(|e| fault(format!("error executing template {name}: {e}")))
    }

    fn library_files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.libraries) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|ending| ending == "lib"))
            .collect();
        files.sort();
        files
    }
}

/// The path below the folder: whatever it says, it does not lead out.
fn within(path: &str) -> PathBuf {
    let mut inside = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::ParentDir => drop(inside.pop()),
            _ => {}
        }
    }
    inside
}

/// Parameters with all their values, by name.
type Parameters = std::collections::BTreeMap<String, Vec<String>>;

fn parameters_of(query: &str) -> Parameters {
    let mut parameters = Parameters::new();
    for (name, value) in Params::of_query(query).pairs() {
        parameters
            .entry(name.clone())
            .or_default()
            .push(value.clone());
    }
    parameters
}

/// What a page sees.
struct PageData {
    path: String,
    parameters: Parameters,
    external_labels: Labels,
}

impl Object for PageData {
    fn type_name(&self) -> &str {
        "struct { RawParams url.Values; Params map[string]string; Path string; ExternalLabels map[string]string }"
    }

    fn print(&self) -> String {
        let field = |name: &str| match self.member(name, &[]) {
            Some(Ok(value)) => value.print(),
            _ => String::new(),
        };
        let fields = ["RawParams", "Params", "Path", "ExternalLabels"].map(field);
        format!("{{{}}}", fields.join(" "))
    }

    fn member(&self, name: &str, _args: &[Value]) -> Option<Result<Value, String>> {
        let first = |(name, values): (&String, &Vec<String>)| {
            let value = values.first().cloned().unwrap_or_default();
            (name.clone(), value)
        };
        Some(Ok(match name {
            "RawParams" => Value::Object(Arc::new(RawParameters(self.parameters.clone()))),
            "Params" => Value::texts(self.parameters.iter().map(first)),
            "Path" => Value::text(self.path.clone()),
            "ExternalLabels" => LabelMap::value(self.external_labels.clone()),
            _ => return None,
        }))
    }
}

/// Parameters with all their values.
struct RawParameters(Parameters);

fn list(values: &[String]) -> Value {
    Value::list(
        values
            .iter()
            .map(|value| Value::text(value.clone()))
            .collect(),
    )
}

impl Object for RawParameters {
    fn type_name(&self) -> &str {
        "url.Values"
    }

    fn print(&self) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(name, values)| format!("{name}:[{}]", values.join(" ")))
            .collect();
        format!("map[{}]", pairs.join(" "))
    }

    fn member(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let values = args.first().and_then(Value::as_text);
        let values = values.and_then(|name| self.0.get(name));
        Some(Ok(match name {
            "Get" => {
                let first = values.and_then(|values| values.first());
                Value::text(first.cloned().unwrap_or_default())
            }
            "Has" => Value::Bool(values.is_some()),
            _ => return None,
        }))
    }

    fn key(&self, key: &str) -> Option<Value> {
        Some(
            self.0
                .get(key)
                .map_or_else(|| list(&[]), |values| list(values)),
        )
    }

    fn entries(&self) -> Option<Vec<(Value, Value)>> {
        let pairs = self.0.iter();
        Some(
            pairs
                .map(|(name, values)| (Value::text(name.clone()), list(values)))
                .collect(),
        )
    }
}

/// The functions of rules, and what pages have besides.
struct ConsoleFunctions<'a> {
    rules: RuleFunctions<'a>,
    template: &'a Template,
    calls: Cell<u32>,
    depth: Cell<u32>,
}

impl Functions for ConsoleFunctions<'_> {
    fn signature(&self, name: &str) -> Option<Signature> {
        self.rules.signature(name)
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, String> {
        let text = args.first().and_then(Value::as_text).unwrap_or("");
        match name {
            "safeHtml" => Ok(html_text(text)),
            "tmpl" => self.part(text, args.get(1).unwrap_or(&Value::Nil)),
            _ => self.rules.call(name, args),
        }
    }
}

impl ConsoleFunctions<'_> {
    /// A template of the page, by a name that is computed.
    fn part(&self, name: &str, data: &Value) -> Result<Value, String> {
        let (left, depth) = (self.calls.get(), self.depth.get());
        if left == 0 || depth == CALLS_MAX.1 {
            return Err(format!(
                "tmpl is called more than {} times, or more than {} deep",
                CALLS_MAX.0, CALLS_MAX.1
            ));
        }
        self.calls.set(left - 1);
        self.depth.set(depth + 1);
        let made = self.template.execute_html(name, data, self, LIMITS);
        self.depth.set(depth);
        made.map(html_text).map_err(|e| e.to_string())
    }
}

/// As browsers, and Go's server, tell pages from other texts.
fn looks_like_html(page: &str) -> bool {
    const STARTS: [&str; 17] = [
        "<!DOCTYPE HTML",
        "<HTML",
        "<HEAD",
        "<SCRIPT",
        "<IFRAME",
        "<H1",
        "<DIV",
        "<FONT",
        "<TABLE",
        "<A",
        "<STYLE",
        "<TITLE",
        "<B",
        "<BODY",
        "<BR",
        "<P",
        "<!--",
    ];
    let page = page.trim_start();
    STARTS.iter().any(|start| {
        let same = page
            .get(..start.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(start));
        same && (*start == "<!--" || matches!(page.as_bytes().get(start.len()), Some(b' ' | b'>')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_the_folder() {
        for (path, wanted) in [
            ("a/b.html", "a/b.html"),
            ("../../etc/passwd", "etc/passwd"),
            ("/etc/passwd", "etc/passwd"),
            ("a/../../b", "b"),
            ("", ""),
        ] {
            assert_eq!(within(path), Path::new(wanted));
        }
    }

    #[test]
    fn pages_are_told_from_texts() {
        assert!(looks_like_html("\n<!doctype html><p>"));
        assert!(looks_like_html("<p>x"));
        assert!(!looks_like_html("<pre>x") && !looks_like_html("x") && !looks_like_html("<p"));
    }
}
