//! Service discovery sections: where targets come from.

use std::path::Path;

use model::{Labels, labels::is_valid_label_name_legacy};

use crate::decode::{self, ConfigError, Faults, Fields};
use crate::http_client::HttpClientConfig;
use crate::prometheus::resolve;
use crate::sd_dns::{self, DnsSdConfig};
use crate::sd_kubernetes::{self, KubernetesSdConfig};
use crate::sd_vendor;
use crate::yaml::{Node, Value};

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
    for node in fields.list("static_configs", faults) {
        if node.is_null() {
            return Err(ConfigError::at(
                node.line,
                "empty or null section in static_configs",
            ));
        }
        configs.push(SdConfig::Static(read_static(node, faults)?));
    }
    for node in fields.list("file_sd_configs", faults) {
        configs.push(SdConfig::File(read_file(node, faults)?));
    }
    for node in fields.list("http_sd_configs", faults) {
        configs.push(SdConfig::Http(Box::new(read_http(node, faults)?)));
    }
    for node in fields.list("dns_sd_configs", faults) {
        configs.push(SdConfig::Dns(sd_dns::read(node, faults)?));
    }
    for node in fields.list("kubernetes_sd_configs", faults) {
        let config = sd_kubernetes::read(node, faults)?;
        configs.push(SdConfig::Kubernetes(Box::new(config)));
    }
    for name in sd_vendor::MECHANISMS {
        for node in fields.list(&format!("{name}_sd_configs"), faults) {
            sd_vendor::check(name, node, faults)?;
            configs.push(SdConfig::Lacking(name));
        }
    }
    Ok(configs)
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
    fields.close(faults);
    Ok(StaticConfig { targets, labels })
}

/// A mapping of label names to values.
pub fn read_labels(
    fields: &mut Fields<'_>,
    name: &str,
    faults: &mut Faults,
) -> Result<Labels, ConfigError> {
    let pairs = fields.string_map(name, faults);
    if let Some((name, _, line)) = pairs.iter().find(|(name, ..)| name.is_empty()) {
        return Err(ConfigError::at(
            *line,
            format!("{name:?} is not a valid label name"),
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
    fields.close(faults);
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
                format!("path name {path:?} is not valid for file discovery"),
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
    let http = HttpClientConfig::take(&mut fields, faults)?;
    fields.close(faults);
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
        http,
    })
}

/// The groups of a YAML file of targets.
pub fn parse_target_file(text: &str) -> Result<Vec<StaticConfig>, ConfigError> {
    let node = crate::yaml::parse(text)?;
    let mut faults = Faults::default();
    let result = decode::list(&node, &mut faults)
        .into_iter()
        .map(|item| match &item.value {
            Value::Null => Err(ConfigError::at(item.line, "nil target group item found")),
            _ => read_static(item, &mut faults),
        })
        .collect();
    faults.finish(result)
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
