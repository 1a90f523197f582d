//! Discovery sections.

use model::duration::format_duration;

use super::Writer;
use super::http_client::print_http_client;
use crate::sd::SdConfig;
use crate::sd_kubernetes::{AttachMetadata, KubernetesSdConfig};
use crate::secret::redact_url;

pub(super) fn print_discovery(out: &mut Writer, configs: &[SdConfig]) {
    let mut last = "";
    for config in configs {
        let section = match config {
            SdConfig::Static(_) => "static_configs",
            SdConfig::File(_) => "file_sd_configs",
            SdConfig::Http(_) => "http_sd_configs",
            SdConfig::Dns(_) => "dns_sd_configs",
            SdConfig::Kubernetes(_) => "kubernetes_sd_configs",
            SdConfig::Lacking(_) => continue,
        };
        if section != last {
            out.line(&format!("{section}:"));
            last = section;
        }
        out.depth += 1;
        out.item();
        match config {
            SdConfig::Static(group) => {
                out.strings("targets", &group.targets);
                if group.targets.is_empty() {
                    out.line("targets: []");
                }
                out.labels("labels", &group.labels);
            }
            SdConfig::File(file) => {
                out.strings("files", &file.files);
                out.field("refresh_interval", format_duration(file.refresh_interval));
            }
            SdConfig::Http(http) => {
                print_http_client(out, &http.http);
                out.field("refresh_interval", format_duration(http.refresh_interval));
                out.text_field("url", &redact_url(&http.url));
            }
            SdConfig::Dns(dns) => {
                out.strings("names", &dns.names);
                out.field("refresh_interval", format_duration(dns.refresh_interval));
                out.field("type", dns.record.as_str());
                if dns.port != 0 {
                    out.field("port", dns.port);
                }
            }
            SdConfig::Kubernetes(kubernetes) => print_kubernetes(out, kubernetes),
            SdConfig::Lacking(_) => {}
        }
        out.depth -= 1;
    }
}

fn print_kubernetes(out: &mut Writer, config: &KubernetesSdConfig) {
    out.filled("api_server", &redact_url(&config.api_server));
    out.field("role", config.role.as_str());
    out.text_field("kubeconfig_file", &config.kubeconfig_file);
    print_http_client(out, &config.http);
    if config.own_namespace || !config.namespaces.is_empty() {
        out.section("namespaces");
        out.field("own_namespace", config.own_namespace);
        out.strings("names", &config.namespaces);
        out.end();
    }
    if !config.selectors.is_empty() {
        out.section("selectors");
        for selector in &config.selectors {
            out.item();
            out.field("role", selector.role.as_str());
            out.filled("label", &selector.label);
            out.filled("field", &selector.field);
        }
        out.end();
    }
    let attach = config.attach;
    if attach != AttachMetadata::default() {
        out.section("attach_metadata");
        for (name, wanted) in [
            ("node", attach.node),
            ("namespace", attach.namespace),
            ("deployment", attach.deployment),
            ("job", attach.job),
            ("cronjob", attach.cronjob),
        ] {
            if wanted {
                out.field(name, true);
            }
        }
        out.end();
    }
}
