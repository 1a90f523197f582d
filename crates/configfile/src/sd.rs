//! Service discovery sections: where targets come from.

use std::path::Path;

use model::Labels;
use model::labels::{go_quote, is_valid_label_name_legacy};
use serde_json::Value;

use crate::decode::{self, ConfigError, Faults, Fields, sound};
use crate::http_client::HttpClientConfig;
use crate::prometheus::resolve;
use crate::sd_dns::{self, DnsSdConfig};
use crate::sd_kubernetes::{self, KubernetesSdConfig};
use crate::sd_vendor;
use crate::yaml::Node;

/// One section of `*_sd_configs` or of `static_configs`.
#[derive(Clone, Debug, PartialEq)]
pub enum SdConfig {
    /// Targets written down.
    Static(StaticConfig),
    /// Targets in files.
    File(FileSdConfig),
    /// Targets from an HTTP server.
    Http(Box<HttpSdConfig>),
    /// Targets from DNS.
    Dns(DnsSdConfig),
    /// Objects of a Kubernetes cluster.
    Kubernetes(Box<KubernetesSdConfig>),
    /// A mechanism that upstream has and this build has not; carries its name (`consul`, ...).
    Lacking(&'static str),
}

impl SdConfig {
    /// Makes relative paths count from `dir`.
    pub(crate) fn resolve_paths(&mut self, dir: &Path) {
        match self {
            SdConfig::File(file) => file.files.iter_mut().for_each(|path| resolve(dir, path)),
            SdConfig::Http(http) => http.http.resolve_paths(dir),
            SdConfig::Kubernetes(kubernetes) => {
                resolve(dir, &mut kubernetes.kubeconfig_file);
                kubernetes.http.resolve_paths(dir);
            }
            SdConfig::Static(_) | SdConfig::Dns(_) | SdConfig::Lacking(_) => {}
        }
    }
}

/// A group of targets that share labels.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticConfig {
    /// Addresses, as written.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Labels,
}

/// `file_sd_configs[]`
#[derive(Clone, Debug, PartialEq)]
pub struct FileSdConfig {
    /// Paths, the last element may hold one `*`.
    pub files: Vec<String>,
    /// Milliseconds between full readings.
    pub refresh_interval: i64,
}

/// `http_sd_configs[]`
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSdConfig {
    /// Where the list is.
    pub url: String,
    /// Milliseconds between requests.
    pub refresh_interval: i64,
    /// How to ask.
    pub http: HttpClientConfig,
}

/// Takes every discovery section out of a section's fields, in order of the file.
pub fn take_sd_configs(
    fields: &mut Fields<'_>,
    faults: &mut Faults,
) -> Result<Vec<SdConfig>, ConfigError> {
    let mut configs = Vec::new();
    for node in sections(fields, "static", "[]*targetgroup.Group", faults)? {
        configs.extend(sound(read_static(node, faults))?.map(SdConfig::Static));
    }
    for node in sections(fields, "file", "[]*file.SDConfig", faults)? {
        configs.extend(sound(read_file(node, faults))?.map(SdConfig::File));
    }
    for node in sections(fields, "http", "[]*http.SDConfig", faults)? {
        let config = sound(read_http(node, faults))?;
        configs.extend(config.map(|config| SdConfig::Http(Box::new(config))));
    }
    for node in sections(fields, "dns", "[]*dns.SDConfig", faults)? {
        configs.extend(sound(sd_dns::read(node, faults))?.map(SdConfig::Dns));
    }
    for node in sections(fields, "kubernetes", "[]*kubernetes.SDConfig", faults)? {
        let config = sound(sd_kubernetes::read(node, faults))?;
        configs.extend(config.map(|config| SdConfig::Kubernetes(Box::new(config))));
    }
    for name in sd_vendor::MECHANISMS {
        for node in sections(fields, name, "[]*SDConfig", faults)? {
            sound(sd_vendor::check(name, node, faults))?;
            configs.push(SdConfig::Lacking(name));
        }
    }
    Ok(configs)
}

/// The sections of one mechanism; an empty one is refused.
fn sections<'a>(
    fields: &mut Fields<'a>,
    mechanism: &str,
    go_type: &str,
    faults: &mut Faults,
) -> Result<Vec<&'a Node>, ConfigError> {
    let name = match mechanism {
        "static" => "static_configs".to_string(),
        mechanism => format!("{mechanism}_sd_configs"),
    };
    let nodes = fields.list(&name, go_type, faults);
    match nodes.iter().find(|node| node.is_null()) {
        Some(node) => Err(ConfigError::at(
            node.line,
            format!("empty or null section in {name}"),
        )),
        None => Ok(nodes),
    }
}

/// A target group, in a configuration or in a file of targets.
pub fn read_static(node: &Node, faults: &mut Faults) -> Result<StaticConfig, ConfigError> {
    let mut fields = Fields::open(
        node,
        "struct { Targets []string \"yaml:\\\"targets\\\"\"; Labels model.LabelSet \"yaml:\\\"labels\\\"\" }",
        faults,
    );
    let targets = fields.strings("targets", faults).unwrap_or_default();
    let labels = read_labels(&mut fields, "labels", faults)?;
    fields.close_sound(faults)?;
    Ok(StaticConfig { targets, labels })
}

/// A mapping of label names to values.
pub fn read_labels(
    fields: &mut Fields<'_>,
    name: &str,
    faults: &mut Faults,
) -> Result<Labels, ConfigError> {
    let pairs = fields.string_map_of(name, "model.LabelSet", "model.LabelValue", faults);
    if let Some((name, _, line)) = pairs.iter().find(|(name, ..)| name.is_empty()) {
        return Err(ConfigError::at(
            *line,
            format!("{} is not a valid label name", go_quote(name)),
        ));
    }
    Ok(Labels::from_pairs(
        pairs.iter().map(|(name, value, _)| (name, value)),
    ))
}

fn read_file(node: &Node, faults: &mut Faults) -> Result<FileSdConfig, ConfigError> {
    let mut fields = Fields::open(node, "file.plain", faults);
    let files = fields.strings("files", faults).unwrap_or_default();
    let refresh_interval = fields
        .duration("refresh_interval", faults)?
        .unwrap_or(300_000);
    fields.close_sound(faults)?;
    if files.is_empty() {
        return Err(ConfigError::at(
            node.line,
            "file service discovery config must contain at least one path name",
        ));
    }
    for path in &files {
        let known_ending = ["json", "yml", "yaml", "JSON", "YML", "YAML"]
            .iter()
            .any(|ending| {
                path.strip_suffix(ending)
                    .is_some_and(|rest| rest.ends_with('.'))
            });
        if !known_ending || !star_only_in_last_element(path) {
            return Err(ConfigError::at(
                node.line,
                format!(
                    "path name {} is not valid for file discovery",
                    go_quote(path)
                ),
            ));
        }
    }
    Ok(FileSdConfig {
        files,
        refresh_interval,
    })
}

/// `^[^*]*(\*[^/]*)?$`: one star at most where a folder could still follow.
pub fn star_only_in_last_element(path: &str) -> bool {
    path.find('*').is_none_or(|at| !path[at..].contains('/'))
}

fn read_http(node: &Node, faults: &mut Faults) -> Result<HttpSdConfig, ConfigError> {
    let mut fields = Fields::open(node, "http.plain", faults);
    let url = fields.string("url", faults).unwrap_or_default();
    let refresh_interval = fields
        .duration("refresh_interval", faults)?
        .unwrap_or(60_000);
    let http = HttpClientConfig::take(&mut fields, faults);
    fields.close_sound(faults)?;
    let refuse = |message: &str| Err(ConfigError::at(node.line, message));
    if url.is_empty() {
        return refuse("URL is missing");
    }
    crate::url::check(&url).map_err(|e| ConfigError::at(node.line, e))?;
    let Some(rest) = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
    else {
        return refuse("URL scheme must be 'http' or 'https'");
    };
    if rest.is_empty() || rest.starts_with('/') {
        return refuse("host is missing in URL");
    }
    Ok(HttpSdConfig {
        url,
        refresh_interval,
        http: http?,
    })
}

/// The groups of a file of targets; the name's ending tells which language it is in.
pub fn read_target_file(path: &Path, content: &[u8]) -> Result<Vec<StaticConfig>, ConfigError> {
    let is_json = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    match is_json {
        true => parse_json_target_file(&String::from_utf8_lossy(content)),
        false => parse_target_file(&crate::yaml::text_of(content)?),
    }
}

/// The groups of a YAML file of targets.
pub fn parse_target_file(text: &str) -> Result<Vec<StaticConfig>, ConfigError> {
    let node = crate::yaml::parse(text)?;
    let mut faults = Faults::default();
    let mut groups = Vec::new();
    for (at, item) in decode::list(&node, "[]*targetgroup.Group", &mut faults)
        .into_iter()
        .enumerate()
    {
        let read = if item.is_null() {
            Err(no_group(at))
        } else {
            sound(read_static(item, &mut faults))
        };
        match read {
            Ok(group) => groups.extend(group),
            Err(error) => return faults.finish(Err(error)),
        }
    }
    faults.finish(Ok(groups))
}

/// The groups of a file of targets in JSON, or of a server's answer.
pub fn parse_json_target_file(text: &str) -> Result<Vec<StaticConfig>, ConfigError> {
    let told = |message: String| ConfigError::plain(message);
    let items = match serde_json::from_str(text).map_err(|e| told(broken_json(&e)))? {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        other => return Err(told(mismatch(&other, "value", "[]*targetgroup.Group"))),
    };
    let mut groups = Vec::with_capacity(items.len());
    for item in &items {
        groups.push(match item {
            Value::Null => None,
            item => Some(group_of_json(item).map_err(told)?),
        });
    }
    let whole = groups.into_iter().enumerate();
    whole
        .map(|(at, group)| group.ok_or_else(|| no_group(at)))
        .collect()
}

fn broken_json(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Eof => "unexpected end of JSON input".into(),
        _ => error.to_string(),
    }
}

/// A JSON value that Go cannot put where it belongs, in its words.
fn mismatch(found: &Value, place: &str, go_type: &str) -> String {
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {kind} into Go {place} of type {go_type}")
}

fn no_group(at: usize) -> ConfigError {
    ConfigError::plain(format!("nil target group item found (index {at})"))
}

fn group_of_json(item: &Value) -> Result<StaticConfig, String> {
    const GROUP: &str = "struct { Targets []string \"json:\\\"targets\\\"\"; Labels model.LabelSet \"json:\\\"labels\\\"\" }";
    let into_field = |value: &Value, field: &str, go_type: &str| {
        mismatch(value, &format!("struct field .{field}"), go_type)
    };
    let Value::Object(fields) = item else {
        return Err(mismatch(item, "value", GROUP));
    };
    let (mut targets, mut labels) = (Vec::new(), Vec::new());
    for (name, value) in fields {
        // As Go does it, upper and lower case are the same in names of fields.
        match (name.to_lowercase().as_str(), value) {
            ("targets" | "labels", Value::Null) => {}
            ("targets", Value::Array(items)) => {
                for item in items {
                    match item {
                        Value::String(target) => targets.push(target.clone()),
                        Value::Null => targets.push(String::new()),
                        other => return Err(into_field(other, "targets", "string")),
                    }
                }
            }
            ("targets", other) => return Err(into_field(other, "targets", "[]string")),
            ("labels", Value::Object(pairs)) => {
                for (name, value) in pairs {
                    if name.is_empty() {
                        return Err("\"\" is not a valid label name".into());
                    }
                    match value {
                        Value::String(value) => labels.push((name.clone(), value.clone())),
                        Value::Null => labels.push((name.clone(), String::new())),
                        other => return Err(into_field(other, "labels", "model.LabelValue")),
                    }
                }
            }
            ("labels", other) => {
                return Err(into_field(
                    other,
                    "labels",
                    "map[model.LabelName]model.LabelValue",
                ));
            }
            _ => return Err(format!("json: unknown field {}", go_quote(name))),
        }
    }
    Ok(StaticConfig {
        targets,
        labels: Labels::from_pairs(labels),
    })
}

/// Replaces every character that may not stand in a legacy label name.
pub fn sanitize_label_name(name: &str) -> String {
    if is_valid_label_name_legacy(name) {
        return name.to_string();
    }
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}
