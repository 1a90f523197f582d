//! Where a cluster's API server is and how it is asked: as configured, as kubectl's file says, or as the cluster tells
//! the pods that run in it.

use std::path::Path;

use base64::Engine as _;
use configfile::Secret;
use configfile::http_client::{Authorization, BasicAuth, HttpClientConfig};
use configfile::sd_kubernetes::KubernetesSdConfig;
use configfile::yaml::{self, Node, Value};
use net::dials::Dials;
use net::http_client::HttpClient;

/// Where a pod finds what lets it ask the API server.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// An API server. Clones share connections.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its URL, without a slash at the end.
    pub url: String,
    /// Asks it.
    pub client: HttpClient,
    /// Whether nothing stands between this program and it.
    pub direct: bool,
    /// The namespace this program runs in; empty unless asked for.
    pub own_namespace: String,
}

/// Finds the API server of a configuration. Nothing is asked yet.
pub fn connect(
    config: &KubernetesSdConfig,
    user_agent: &str,
    dials: &Dials,
) -> Result<Cluster, String> {
    let (url, http) = if !config.api_server.is_empty() {
        (config.api_server.clone(), config.http.clone())
    } else if !config.kubeconfig_file.is_empty() {
        let path = Path::new(&config.kubeconfig_file);
        let text = std::fs::read_to_string(path)
            .map_err(|e| format!("unable to read kubeconfig {}: {e}", path.display()))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        read_kubeconfig(&text, dir).map_err(|e| format!("kubeconfig {}: {e}", path.display()))?
    } else {
        let read = |name: &str| std::env::var(name).unwrap_or_default();
        in_cluster(
            &read("KUBERNETES_SERVICE_HOST"),
            &read("KUBERNETES_SERVICE_PORT"),
            SERVICE_ACCOUNT,
        )?
    };
    let own_namespace = match config.own_namespace {
        true => read_own_namespace(SERVICE_ACCOUNT)?,
        false => String::new(),
    };
    let client = HttpClient::counted(&http, user_agent, dials).map_err(|e| e.to_string())?;
    Ok(Cluster {
        url: url.trim_end_matches('/').to_string(),
        direct: http.proxy.is_none(),
        client,
        own_namespace,
    })
}

fn read_own_namespace(dir: &str) -> Result<String, String> {
    let path = format!("{dir}/namespace");
    let name = std::fs::read_to_string(&path)
        .map_err(|e| format!("could not determine the pod's namespace: {path}: {e}"))?;
    match name.trim() {
        "" => Err("could not read own namespace name (empty file)".into()),
        name => Ok(name.to_string()),
    }
}

/// The token's file is read at every request, for the cluster replaces it every hour.
fn in_cluster(host: &str, port: &str, dir: &str) -> Result<(String, HttpClientConfig), String> {
    if host.is_empty() || port.is_empty() {
        return Err(
            "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
                .into(),
        );
    }
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_string(),
    };
    let mut http = HttpClientConfig {
        authorization: Some(Authorization {
            kind: "Bearer".into(),
            credentials_file: format!("{dir}/token"),
            ..Authorization::default()
        }),
        ..HttpClientConfig::default()
    };
    http.tls.ca_file = format!("{dir}/ca.crt");
    Ok((format!("https://{host}:{port}"), http))
}

/// Reads kubectl's form; relative paths in it count from `dir`.
fn read_kubeconfig(text: &str, dir: &Path) -> Result<(String, HttpClientConfig), String> {
    let root = yaml::parse(text).map_err(|e| e.to_string())?;
    let current = text_of(&root, "current-context");
    let context = entry(&root, "contexts", "context", &current)?;
    let cluster = entry(&root, "clusters", "cluster", &text_of(context, "cluster"))?;
    let url = text_of(cluster, "server");
    if url.is_empty() {
        return Err(format!("line {}: the cluster has no server", cluster.line));
    }
    let path = |node: &Node, name: &str| match text_of(node, name) {
        path if path.is_empty() => path,
        path => dir.join(path).to_string_lossy().into_owned(),
    };
    let mut http = HttpClientConfig::default();
    http.tls.ca = decoded(cluster, "certificate-authority-data")?;
    if http.tls.ca.is_empty() {
        http.tls.ca_file = path(cluster, "certificate-authority");
    }
    http.tls.insecure_skip_verify = text_of(cluster, "insecure-skip-tls-verify") == "true";
    http.tls.server_name = text_of(cluster, "tls-server-name");
    http.proxy.url = text_of(cluster, "proxy-url");
    let user = text_of(context, "user");
    if user.is_empty() {
        return Ok((url, http));
    }
    let user = entry(&root, "users", "user", &user)?;
    for lacking in ["exec", "auth-provider", "as", "as-uid", "as-groups"] {
        if let Some(node) = user.get(lacking).filter(|node| !node.is_null()) {
            return Err(format!(
                "line {}: user: {lacking} is not supported; use a token, a client certificate or a password",
                node.line
            ));
        }
    }
    http.tls.cert = decoded(user, "client-certificate-data")?;
    if http.tls.cert.is_empty() {
        http.tls.cert_file = path(user, "client-certificate");
    }
    let key = decoded(user, "client-key-data")?;
    match key.is_empty() {
        true => http.tls.key_file = path(user, "client-key"),
        false => http.tls.key = Secret::new(key),
    }
    let (token, token_file) = (text_of(user, "token"), path(user, "tokenFile"));
    let (username, password) = (text_of(user, "username"), text_of(user, "password"));
    if !token.is_empty() || !token_file.is_empty() {
        http.authorization = Some(Authorization {
            kind: "Bearer".into(),
            credentials: Secret::new(token),
            credentials_file: token_file,
            ..Authorization::default()
        });
    } else if !username.is_empty() {
        http.basic_auth = Some(BasicAuth {
            username,
            password: Secret::new(password),
            ..BasicAuth::default()
        });
    }
    Ok((url, http))
}

/// The content of the entry called `name` in a list of entries.
fn entry<'n>(root: &'n Node, list: &str, inner: &str, name: &str) -> Result<&'n Node, String> {
    let entries = match root.get(list).map(|node| &node.value) {
        Some(Value::Sequence(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries
        .iter()
        .find(|entry| text_of(entry, "name") == name)
        .and_then(|entry| entry.get(inner))
        .ok_or_else(|| format!("there is no {inner} {name:?} in {list}"))
}

fn text_of(node: &Node, name: &str) -> String {
    match node.get(name).map(|node| &node.value) {
        Some(Value::Scalar { text, .. }) => text.clone(),
        _ => String::new(),
    }
}

fn decoded(node: &Node, name: &str) -> Result<String, String> {
    // The content may be a key: the error does not show it.
    let line = node.get(name).map_or(node.line, |value| value.line);
    let wrong = || format!("line {line}: {name} is not PEM in base64");
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text_of(node, name).trim())
        .map_err(|_| wrong())?;
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
apiVersion: v1
kind: Config
current-context: prod
contexts:
- name: other
  context: {cluster: none, user: none}
- name: prod
  context: {cluster: c, user: u}
clusters:
- name: c
  cluster:
    server: https://10.0.0.1:6443
    certificate-authority: pki/ca.crt
    tls-server-name: kubernetes
users:
- name: u
  user:
    token: abc
    client-certificate-data: Y2VydA==
    client-key-data: a2V5
";

    #[test]
    fn reads_kubectls_file() {
        let (url, http) = read_kubeconfig(FILE, Path::new("/etc/k")).expect("reads");
        assert_eq!(url, "https://10.0.0.1:6443");
        assert_eq!(http.tls.ca_file, "/etc/k/pki/ca.crt");
        assert_eq!(http.tls.server_name, "kubernetes");
        assert_eq!(
            (http.tls.cert.as_str(), http.tls.key.reveal()),
            ("cert", "key")
        );
        let authorization = http.authorization.expect("a token");
        assert_eq!(authorization.credentials.reveal(), "abc");
    }

    #[test]
    fn refuses_what_it_cannot_do() {
        let refused = |from: &str, to: &str| {
            read_kubeconfig(&FILE.replace(from, to), Path::new("")).expect_err("refused")
        };
        assert_eq!(
            refused("current-context: prod", "current-context: x"),
            "there is no context \"x\" in contexts"
        );
        assert_eq!(
            refused("    token: abc", "    exec: {command: x}"),
            "line 18: user: exec is not supported; use a token, a client certificate or a password"
        );
        assert_eq!(
            refused("a2V5", "'?'"),
            "line 20: client-key-data is not PEM in base64"
        );
    }

    #[test]
    fn within_a_cluster() {
        let (url, http) = in_cluster("10.96.0.1", "443", "/sa").expect("there");
        assert_eq!(url, "https://10.96.0.1:443");
        assert_eq!(http.tls.ca_file, "/sa/ca.crt");
        assert_eq!(
            http.authorization.expect("a token").credentials_file,
            "/sa/token"
        );
        assert!(in_cluster("", "", "/sa").is_err());
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().to_string_lossy().into_owned();
        assert!(read_own_namespace(&path).is_err());
        std::fs::write(dir.path().join("namespace"), "monitoring\n").expect("written");
        assert_eq!(read_own_namespace(&path), Ok("monitoring".into()));
    }
}
