//! `kubernetes_sd_configs`

use model::labels::go_quote;

use crate::decode::{ConfigError, Faults, Fields};
use crate::http_client::HttpClientConfig;
use crate::yaml::Node;

/// What is looked for in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum KubernetesRole {
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Node,
    Ingress,
}

impl KubernetesRole {
    const ALL: [(&'static str, KubernetesRole); 6] = [
        ("pod", KubernetesRole::Pod),
        ("service", KubernetesRole::Service),
        ("endpoints", KubernetesRole::Endpoints),
        ("endpointslice", KubernetesRole::EndpointSlice),
        ("node", KubernetesRole::Node),
        ("ingress", KubernetesRole::Ingress),
    ];

    /// Its name in configurations.
    pub fn as_str(self) -> &'static str {
        KubernetesRole::ALL
            .iter()
            .find(|(_, role)| *role == self)
            .map_or("", |(name, _)| name)
    }

    fn parse(word: &str) -> Option<KubernetesRole> {
        KubernetesRole::ALL
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, role)| *role)
    }

    /// The kinds of objects that the role reads and that a selector can narrow.
    pub fn selectable(self) -> &'static [KubernetesRole] {
        use KubernetesRole::{EndpointSlice, Endpoints, Ingress, Node, Pod, Service};
        match self {
            Pod => &[Pod, Node],
            Service => &[Service],
            EndpointSlice => &[Pod, Service, EndpointSlice],
            Endpoints => &[Pod, Service, Endpoints],
            Node => &[Node],
            Ingress => &[Ingress],
        }
    }
}

/// `kubernetes_sd_configs[]`
#[derive(Clone, Debug, PartialEq)]
pub struct KubernetesSdConfig {
    /// What is looked for.
    pub role: KubernetesRole,
    /// The API server; empty for that of the own cluster.
    pub api_server: String,
    /// Where to find and how to ask the API server, in kubectl's form.
    pub kubeconfig_file: String,
    /// Whether the own namespace is looked at.
    pub own_namespace: bool,
    /// The namespaces to look at; all, where there are none and not the own one.
    pub namespaces: Vec<String>,
    /// What the API server narrows.
    pub selectors: Vec<KubernetesSelector>,
    /// What is added of objects that belong to a target.
    pub attach: AttachMetadata,
    /// How to ask.
    pub http: HttpClientConfig,
}

/// `selectors[]`
#[derive(Clone, Debug, PartialEq)]
pub struct KubernetesSelector {
    /// The kind of objects.
    pub role: KubernetesRole,
    /// On labels.
    pub label: String,
    /// On fields.
    pub field: String,
}

/// `attach_metadata`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachMetadata {
    /// The node that runs the pod.
    pub node: bool,
    /// The namespace.
    pub namespace: bool,
    /// The deployment behind the pod's replica set.
    pub deployment: bool,
    /// The pod's job.
    pub job: bool,
    /// The cron job behind the pod's job.
    pub cronjob: bool,
}

pub(crate) fn read(node: &Node, faults: &mut Faults) -> Result<KubernetesSdConfig, ConfigError> {
    let refuse = |message: String| Err(ConfigError::at(node.line, message));
    let mut fields = Fields::open(node, "kubernetes.plain", faults);
    let word = fields.string("role", faults).unwrap_or_default();
    let http = HttpClientConfig::take(&mut fields, faults);
    let api_server = fields.string("api_server", faults).unwrap_or_default();
    let kubeconfig_file = fields.string("kubeconfig_file", faults).unwrap_or_default();
    let mut own_namespace = false;
    let mut namespaces = Vec::new();
    if let Some(inner) = fields.take("namespaces") {
        let mut inner = Fields::open(inner, "kubernetes.plain", faults);
        own_namespace = inner.bool("own_namespace", faults).unwrap_or(false);
        namespaces = inner.strings("names", faults).unwrap_or_default();
        inner.close(faults);
    }
    let attach = match fields.take("attach_metadata") {
        Some(node) => read_attach(node, faults),
        None => AttachMetadata::default(),
    };
    let selector_nodes = fields.list("selectors", "[]kubernetes.SelectorConfig", faults);
    let selectors = read_selectors(&selector_nodes, faults)?;
    crate::url::check(&api_server).map_err(|e| ConfigError::at(node.line, e))?;
    fields.close_sound(faults)?;
    if word.is_empty() {
        return refuse(
            "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)".into(),
        );
    }
    let Some(role) = KubernetesRole::parse(&word) else {
        return refuse(format!("unknown Kubernetes SD role {}", go_quote(&word)));
    };
    let http = http?;
    let custom_http = http != HttpClientConfig::default();
    if !kubeconfig_file.is_empty() && !api_server.is_empty() {
        return refuse("cannot use 'kubeconfig_file' and 'api_server' simultaneously".into());
    }
    if !kubeconfig_file.is_empty() && custom_http {
        return refuse(
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file'".into(),
        );
    }
    if api_server.is_empty() && custom_http {
        return refuse(
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly"
                .into(),
        );
    }
    if !api_server.is_empty() && own_namespace {
        return refuse(
            "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously".into(),
        );
    }
    if !kubeconfig_file.is_empty() && own_namespace {
        return refuse(
            "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously".into(),
        );
    }
    check_selectors(&selectors, role).map_err(|e| ConfigError::at(node.line, e))?;
    Ok(KubernetesSdConfig {
        selectors: selectors
            .into_iter()
            .filter_map(|(kind, label, field)| {
                let role = kind?;
                Some(KubernetesSelector { role, label, field })
            })
            .collect(),
        role,
        api_server,
        kubeconfig_file,
        own_namespace,
        namespaces,
        attach,
        http,
    })
}

fn read_attach(node: &Node, faults: &mut Faults) -> AttachMetadata {
    let mut fields = Fields::open(node, "kubernetes.AttachMetadataConfig", faults);
    let mut flag = |name| fields.bool(name, faults).unwrap_or(false);
    let attach = AttachMetadata {
        node: flag("node"),
        namespace: flag("namespace"),
        deployment: flag("deployment"),
        job: flag("job"),
        cronjob: flag("cronjob"),
    };
    fields.close(faults);
    attach
}

/// A selector as it is written: of which role, if it says so, and on what labels and fields.
type Selector = (Option<KubernetesRole>, String, String);

fn read_selectors(nodes: &[&Node], faults: &mut Faults) -> Result<Vec<Selector>, ConfigError> {
    let mut selectors = Vec::new();
    for node in nodes {
        let mut fields = Fields::open(node, "kubernetes.SelectorConfig", faults);
        let word = fields
            .string("role", faults)
            .filter(|word| !word.is_empty());
        let label = fields.string("label", faults).unwrap_or_default();
        let field = fields.string("field", faults).unwrap_or_default();
        fields.close(faults);
        let kind = match word {
            None => None,
            Some(word) => Some(KubernetesRole::parse(&word).ok_or_else(|| {
                let message = format!("unknown Kubernetes SD role {}", go_quote(&word));
                ConfigError::at(node.line, message)
            })?),
        };
        selectors.push((kind, label, field));
    }
    Ok(selectors)
}

fn check_selectors(selectors: &[Selector], role: KubernetesRole) -> Result<(), String> {
    for (at, (kind, label, field)) in selectors.iter().enumerate() {
        if selectors[..at].iter().any(|(known, ..)| known == kind) {
            let shown = kind.map_or("", KubernetesRole::as_str);
            return Err(format!("duplicated selector role: {shown}"));
        }
        if !kind.is_some_and(|kind| role.selectable().contains(&kind)) {
            let allowed: Vec<&str> = role.selectable().iter().map(|r| r.as_str()).collect();
            return Err(format!(
                "{} role supports only {} selectors",
                role.as_str(),
                allowed.join(", ")
            ));
        }
        check_field_selector(field)?;
        check_label_selector(label)?;
    }
    Ok(())
}

/// `key`, `!key`, `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, separated by commas.
fn check_label_selector(text: &str) -> Result<(), String> {
    let wrong = |part: &str| {
        Err(format!(
            "unable to parse label selector: {part:?} in {text:?}"
        ))
    };
    for part in split_outside_braces(text) {
        let part = part.trim();
        let (key, value) = match part.find(['=', '!', '<', '>', ' ', '(']) {
            Some(0) if part.starts_with('!') => (part[1..].trim(), ""),
            Some(at) => (&part[..at], part[at..].trim()),
            None => (part, ""),
        };
        if !is_label_key(key) {
            return wrong(part);
        }
        let values = match value {
            "" => continue,
            v if v.starts_with("==") => &v[2..],
            v if v.starts_with("!=") => &v[2..],
            v if v.starts_with(['=', '<', '>']) => &v[1..],
            v => match v
                .strip_prefix("notin")
                .or_else(|| v.strip_prefix("in"))
                .map(str::trim)
                .and_then(|set| set.strip_prefix('(')?.strip_suffix(')'))
            {
                Some(set) => set,
                None => return wrong(part),
            },
        };
        if !values.split(',').all(|v| is_label_value(v.trim())) {
            return wrong(part);
        }
    }
    Ok(())
}

/// `field=value`, `field==value`, `field!=value`, separated by commas.
fn check_field_selector(text: &str) -> Result<(), String> {
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let Some((key, _)) = part.split_once('=') else {
            return Err(format!(
                "invalid selector: '{text}'; can't understand '{part}'"
            ));
        };
        if key.trim_end_matches(['!', '=']).trim().is_empty() {
            return Err(format!(
                "invalid selector: '{text}'; can't understand '{part}'"
            ));
        }
    }
    Ok(())
}

fn split_outside_braces(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !text[from..].trim().is_empty() {
        parts.push(&text[from..]);
    }
    parts
}

/// `name` or `domain/name`, the name of at most 63 characters.
fn is_label_key(key: &str) -> bool {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    !name.is_empty() && name.len() <= 63 && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && value.chars().all(inner)
        && edge(value.chars().next())
        && edge(value.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_as_the_api_server_reads_them() {
        for good in [
            "",
            "a",
            "!a",
            "a=b",
            "a==b,c!=d",
            "app.kubernetes.io/name in (x, y),tier notin (z)",
            "a=",
        ] {
            assert_eq!(check_label_selector(good), Ok(()), "{good}");
        }
        for bad in ["a=b=c", "=x", "a in x", "-a=b", "a=b c"] {
            assert!(check_label_selector(bad).is_err(), "{bad}");
        }
        assert_eq!(check_field_selector("spec.nodeName=x,a!=b"), Ok(()));
        assert!(check_field_selector("metadata.status-Running").is_err());
        assert!(check_field_selector("=x").is_err());
    }
}
