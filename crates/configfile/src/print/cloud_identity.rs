//! `sigv4`, `azuread`, `google_iam`.

use super::Writer;
use crate::azuread::{AzureAdConfig, AzureMethod};
use crate::cloud_identity::CloudIdentity;
use crate::google_iam::GoogleIamConfig;
use crate::secret::{HIDDEN, Secret};
use crate::sigv4::Sigv4Config;

pub(super) fn print_cloud_identity(out: &mut Writer, identity: &CloudIdentity) {
    match identity {
        CloudIdentity::Sigv4(config) => print_sigv4(out, config),
        CloudIdentity::AzureAd(config) => print_azuread(out, config),
        CloudIdentity::GoogleIam(GoogleIamConfig { credentials_file }) => {
            let fields = [("credentials_file", shown(credentials_file))];
            print_section(out, "google_iam", &fields);
        }
    }
}

pub(super) fn print_sigv4(out: &mut Writer, config: &Sigv4Config) {
    let fields = [
        ("region", shown(&config.region)),
        ("access_key", shown(&config.access_key)),
        ("secret_key", hidden(&config.secret_key)),
        ("profile", shown(&config.profile)),
        ("role_arn", shown(&config.role_arn)),
        ("external_id", shown(&config.external_id)),
        ("use_fips_sts_endpoint", is_on(config.use_fips_sts_endpoint)),
        ("service_name", shown(&config.service_name)),
    ];
    print_section(out, "sigv4", &fields);
}

fn print_azuread(out: &mut Writer, config: &AzureAdConfig) {
    out.section("azuread");
    match &config.method {
        AzureMethod::ManagedIdentity { client_id } => {
            print_section(out, "managed_identity", &[("client_id", shown(client_id))]);
        }
        AzureMethod::WorkloadIdentity {
            client_id,
            tenant_id,
            token_file_path,
        } => {
            let fields = [
                ("client_id", shown(client_id)),
                ("tenant_id", shown(tenant_id)),
                ("token_file_path", shown(token_file_path)),
            ];
            print_section(out, "workload_identity", &fields);
        }
        AzureMethod::OAuth {
            client_id,
            client_secret,
            tenant_id,
        } => {
            let fields = [
                ("client_id", shown(client_id)),
                ("client_secret", hidden(client_secret)),
                ("tenant_id", shown(tenant_id)),
            ];
            print_section(out, "oauth", &fields);
        }
        AzureMethod::Sdk { tenant_id } => {
            print_section(out, "sdk", &[("tenant_id", shown(tenant_id))]);
        }
        AzureMethod::Certificate {
            client_id,
            tenant_id,
            certificate_path,
            certificate_key_path,
            certificate_password,
            send_certificate_chain,
        } => {
            let fields = [
                ("client_id", shown(client_id)),
                ("tenant_id", shown(tenant_id)),
                ("certificate_path", shown(certificate_path)),
                ("certificate_key_path", shown(certificate_key_path)),
                ("certificate_password", hidden(certificate_password)),
                ("send_certificate_chain", is_on(*send_certificate_chain)),
            ];
            print_section(out, "certificate", &fields);
        }
    }
    out.field("cloud", config.cloud.as_str());
    out.filled("scope", &config.scope);
    out.end();
}

/// A section of which empty fields are left out; `{}` where none is left.
fn print_section(out: &mut Writer, name: &str, fields: &[(&str, Option<String>)]) {
    if fields.iter().all(|(_, value)| value.is_none()) {
        out.field(name, "{}");
        return;
    }
    out.section(name);
    for (field, value) in fields {
        if let Some(value) = value {
            out.field(field, value);
        }
    }
    out.end();
}

fn shown(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| super::quote(text))
}

fn hidden(secret: &Secret) -> Option<String> {
    (!secret.is_empty()).then(|| HIDDEN.into())
}

fn is_on(flag: bool) -> Option<String> {
    flag.then(|| "true".into())
}
