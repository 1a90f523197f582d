//! Discovery through clouds and vendors: this build names the mechanisms, checks what upstream refuses, and carries none
//! of them out.

use crate::decode::{ConfigError, Faults, Fields};
use crate::http_client::HttpClientConfig;
use crate::yaml::Node;

/// Every mechanism that is known by name only.
pub const MECHANISMS: [&str; 32] = [
    "aws",
    "azure",
    "consul",
    "digitalocean",
    "docker",
    "dockerswarm",
    "ec2",
    "ecs",
    "elasticache",
    "eureka",
    "gce",
    "hetzner",
    "ionos",
    "kuma",
    "lightsail",
    "linode",
    "marathon",
    "msk",
    "nerve",
    "nomad",
    "oci",
    "openstack",
    "outscale",
    "ovhcloud",
    "puppetdb",
    "rds",
    "scaleway",
    "serverset",
    "stackit",
    "triton",
    "uyuni",
    "vultr",
];

/// One section's fields with their line.
struct Section<'a, 'f> {
    fields: Fields<'a>,
    faults: &'f mut Faults,
    line: usize,
}

impl Section<'_, '_> {
    fn text(&mut self, name: &str) -> String {
        self.fields.string(name, self.faults).unwrap_or_default()
    }

    fn refuse(&self, message: impl Into<String>) -> Result<(), ConfigError> {
        Err(ConfigError::at(self.line, message.into()))
    }

    fn need(&mut self, name: &str, message: &str) -> Result<(), ConfigError> {
        if self.text(name).is_empty() {
            return self.refuse(message);
        }
        Ok(())
    }

    /// One of the words, or nothing.
    fn one_of(&mut self, name: &str, words: &[&str], message: &str) -> Result<(), ConfigError> {
        let word = self.text(name);
        if !word.is_empty() && !words.contains(&word.as_str()) {
            return self.refuse(message.replace("{}", &word));
        }
        Ok(())
    }

    fn one_secret(&mut self, none: &str, two: &str) -> Result<(), ConfigError> {
        match (
            self.text("secret_key").is_empty(),
            self.text("secret_key_file").is_empty(),
        ) {
            (true, true) => self.refuse(none),
            (false, false) => self.refuse(two),
            _ => Ok(()),
        }
    }

    fn http_url(&mut self, name: &str, missing: &str) -> Result<(), ConfigError> {
        let url = self.text(name);
        if url.is_empty() {
            return self.refuse(missing);
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return self.refuse("URL scheme must be 'http' or 'https'");
        };
        if !["http", "https"].contains(&scheme) {
            return self.refuse("URL scheme must be 'http' or 'https'");
        }
        if rest.is_empty() || rest.starts_with('/') {
            return self.refuse("host is missing in URL");
        }
        Ok(())
    }
}

/// Checks a section of one of [`MECHANISMS`].
pub(crate) fn check(mechanism: &str, node: &Node, faults: &mut Faults) -> Result<(), ConfigError> {
    let mut fields = Fields::open(node, "plain", faults);
    let http = HttpClientConfig::take(&mut fields, faults)?;
    let mut section = Section {
        fields,
        faults,
        line: node.line,
    };
    match mechanism {
        "azure" => check_azure(&mut section),
        "ec2" => check_ec2(&mut section),
        "eureka" => check_eureka(&mut section),
        "hetzner" => section.one_of("role", &["robot", "hcloud"], "unknown role {}"),
        "ionos" => section.need("datacenter_id", "datacenter id can't be empty"),
        "marathon" => check_marathon(&mut section, &http),
        "oci" => section.one_of(
            "auth",
            &["api_key", "instance_principal"],
            "oci: unsupported auth {}, must be api_key or instance_principal",
        ),
        "openstack" => check_openstack(&mut section),
        "outscale" => {
            if section.fields.line > 0 && section.text("region").is_empty() {
                return section.refuse("outscale_sd requires a region");
            }
            section.one_secret(
                "one of secret_key & secret_key_file must be configured",
                "at most one of secret_key & secret_key_file must be configured",
            )
        }
        "ovhcloud" => {
            section.need("endpoint", "endpoint can not be empty")?;
            section.need("application_key", "application key can not be empty")?;
            section.need("application_secret", "application secret can not be empty")?;
            section.need("consumer_key", "consumer key can not be empty")?;
            let service = section.text("service");
            match service.as_str() {
                "vps" | "dedicated_server" => Ok(()),
                other => section.refuse(format!("unknown service: {other}")),
            }
        }
        "puppetdb" => {
            section.http_url("url", "URL is missing")?;
            section.need("query", "query missing")
        }
        "scaleway" => {
            section.one_of("role", &["instance", "baremetal"], "unknown role {}")?;
            section.one_secret(
                "one of secret_key & secret_key_file must be configured",
                "at most one of secret_key & secret_key_file must be configured",
            )
        }
        "stackit" => {
            let endpoint = section.text("endpoint");
            if endpoint.starts_with(':') {
                return section.refuse(format!("stackit: invalid endpoint {endpoint:?}"));
            }
            Ok(())
        }
        "uyuni" => {
            section.need("server", "Uyuni SD configuration requires server host")?;
            section.need("username", "Uyuni SD configuration requires a username")?;
            section.need("password", "Uyuni SD configuration requires a password")
        }
        _ => Ok(()),
    }
}

fn check_azure(section: &mut Section<'_, '_>) -> Result<(), ConfigError> {
    section.need(
        "subscription_id",
        "azure SD configuration requires a subscription_id",
    )?;
    let method = section.text("authentication_method");
    match method.as_str() {
        "" | "OAuth" => {
            for name in ["tenant_id", "client_id", "client_secret"] {
                section.need(name, &format!("azure SD configuration requires a {name}"))?;
            }
            Ok(())
        }
        "ManagedIdentity" | "SDK" | "WorkloadIdentity" => Ok(()),
        other => section.refuse(format!(
            "unknown authentication_type {other:?}. Supported types are \"OAuth\", \"ManagedIdentity\", \"SDK\" or \"WorkloadIdentity\""
        )),
    }
}

fn check_ec2(section: &mut Section<'_, '_>) -> Result<(), ConfigError> {
    for filter in section
        .fields
        .list("filters", "[]*ec2.Filter", section.faults)
    {
        let mut fields = Fields::open(filter, "ec2.Filter", section.faults);
        if fields
            .strings("values", section.faults)
            .is_none_or(|values| values.is_empty())
        {
            return section.refuse("EC2 SD configuration filter values cannot be empty");
        }
    }
    Ok(())
}

fn check_eureka(section: &mut Section<'_, '_>) -> Result<(), ConfigError> {
    let server = section.text("server");
    if server.is_empty() {
        return section.refuse("eureka_sd: empty or null eureka server");
    }
    match server.split_once("://") {
        Some((_, host)) if !host.is_empty() => Ok(()),
        _ => section.refuse("invalid eureka server URL"),
    }
}

fn check_marathon(
    section: &mut Section<'_, '_>,
    http: &HttpClientConfig,
) -> Result<(), ConfigError> {
    let servers = section.fields.strings("servers", section.faults);
    if servers.is_none_or(|servers| servers.is_empty()) {
        return section.refuse("marathon_sd: must contain at least one Marathon server");
    }
    let tokens = [
        section.text("auth_token").is_empty(),
        section.text("auth_token_file").is_empty(),
    ];
    if tokens == [false, false] {
        return section
            .refuse("marathon_sd: at most one of auth_token & auth_token_file must be configured");
    }
    if tokens != [true, true] && (http.basic_auth.is_some() || http.authorization.is_some()) {
        return section.refuse(
            "marathon_sd: at most one of basic_auth, auth_token, auth_token_file, bearer_token & bearer_token_file must be configured",
        );
    }
    Ok(())
}

fn check_openstack(section: &mut Section<'_, '_>) -> Result<(), ConfigError> {
    section.one_of(
        "availability",
        &["public", "internal", "admin"],
        "unknown availability {}, must be one of admin, internal or public",
    )?;
    let role = section.text("role");
    if role.is_empty() {
        return section.refuse("role missing (one of: instance, hypervisor, loadbalancer)");
    }
    if !["instance", "hypervisor", "loadbalancer"].contains(&role.as_str()) {
        return section.refuse(format!("unknown OpenStack SD role {role:?}"));
    }
    section.need("region", "openstack SD configuration requires a region")
}
