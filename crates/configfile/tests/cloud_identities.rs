//! `sigv4`, `azuread` and `google_iam`: what is taken, refused and printed.

use std::path::Path;

use configfile::Config;
use configfile::print::print;

const ID: &str = "00000000-0000-0000-0000-000000000000";
const TENANT: &str = "00000000-a12b-3cd4-e56f-000000000000";

fn filled(text: &str) -> String {
    text.replace("ID", ID).replace("TENANT", TENANT)
}

fn load(remote: &str) -> Result<Config, String> {
    let text = format!("remote_write:\n- url: http://h/\n  {}\n", filled(remote));
    Config::parse(&text, &|_| None).map_err(|e| e.to_string())
}

/// What `/api/v1/status/config` shows of the entry, from its identity on.
fn printed(config: &Config) -> String {
    let text = print(config);
    let (_, after) = text
        .split_once("  metadata_config:\n")
        .expect("metadata settings");
    let lines = after.lines().skip(3);
    lines
        .map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line)))
        .collect()
}

#[test]
fn good_ones_are_printed_as_upstream_does() {
    for (given, expected) in [
        ("sigv4: {}", "sigv4: {}\n"),
        ("sigv4:", ""),
        ("google_iam: {}", "google_iam: {}\n"),
        ("google_iam:", ""),
        (
            "google_iam: {credentials_file: /f.json}",
            "google_iam:\n  credentials_file: /f.json\n",
        ),
        (
            "sigv4: {service_name: s, use_fips_sts_endpoint: true, external_id: e, role_arn: 'arn:aws:iam::1:role/r', profile: p, secret_key: s3cr3t, access_key: a, region: r}",
            "sigv4:\n  region: r\n  access_key: a\n  secret_key: <secret>\n  profile: p\n  role_arn: arn:aws:iam::1:role/r\n  external_id: e\n  use_fips_sts_endpoint: true\n  service_name: s\n",
        ),
        (
            "azuread: {managed_identity: {client_id: ID}}",
            "azuread:\n  managed_identity:\n    client_id: ID\n  cloud: AzurePublic\n",
        ),
        (
            "azuread: {cloud: AzureChina, managed_identity: {client_id: }}",
            "azuread:\n  managed_identity: {}\n  cloud: AzureChina\n",
        ),
        (
            "azuread: {scope: 'https://a b/.default', oauth: {client_id: ID, client_secret: s3cr3t, tenant_id: TENANT}}",
            "azuread:\n  oauth:\n    client_id: ID\n    client_secret: <secret>\n    tenant_id: TENANT\n  cloud: AzurePublic\n  scope: https://a b/.default\n",
        ),
        (
            "azuread: {cloud: AzureGovernment, sdk: {tenant_id: TENANT}}",
            "azuread:\n  sdk:\n    tenant_id: TENANT\n  cloud: AzureGovernment\n",
        ),
        (
            "azuread: {sdk: {}}",
            "azuread:\n  sdk: {}\n  cloud: AzurePublic\n",
        ),
        (
            "azuread: {workload_identity: {client_id: ID, tenant_id: TENANT}}",
            "azuread:\n  workload_identity:\n    client_id: ID\n    tenant_id: TENANT\n    token_file_path: /var/run/secrets/azure/tokens/azure-identity-token\n  cloud: AzurePublic\n",
        ),
        (
            "azuread: {certificate: {client_id: '{ID}', tenant_id: example.com, certificate_path: /c.pfx, certificate_key_path: /k.pem, certificate_password: s3cr3t, send_certificate_chain: true}}",
            "azuread:\n  certificate:\n    client_id: \"{ID}\"\n    tenant_id: example.com\n    certificate_path: /c.pfx\n    certificate_key_path: /k.pem\n    certificate_password: <secret>\n    send_certificate_chain: true\n  cloud: AzurePublic\n",
        ),
    ] {
        let config = load(given).unwrap_or_else(|e| panic!("{given}: {e}"));
        assert_eq!(printed(&config), filled(expected), "{given}");
        assert!(!format!("{config:?}").contains("s3cr3t"), "{given}");
    }
}

#[test]
fn bad_ones_are_refused_in_upstream_s_words() {
    let at_most = "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: ";
    for (given, expected) in [
        (
            "sigv4: {access_key: a}",
            "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config",
        ),
        (
            "sigv4: {secret_key: s3cr3t}",
            "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config",
        ),
        (
            "sigv4: {external_id: e}",
            "external_id can only be used with role_arn",
        ),
        (
            "sigv4: {zone: z}",
            "field zone not found in type sigv4.plain",
        ),
        (
            "sigv4: {use_fips_sts_endpoint: maybe}",
            "cannot unmarshal !!str `maybe` into bool",
        ),
        (
            "google_iam: {key: z}",
            "field key not found in type googleiam.Config",
        ),
        (
            "google_iam: {}\n  basic_auth: {username: u}",
            &format!("{at_most}[basic_auth google_iam]"),
        ),
        (
            "sigv4: {}\n  azuread: {sdk: {}}\n  google_iam: {}\n  bearer_token: s3cr3t",
            &format!("{at_most}[authorization sigv4 azuread google_iam]"),
        ),
        (
            "sigv4: {}\n  oauth2: {client_id: c, token_url: 'http://t/'}",
            &format!("{at_most}[oauth2 sigv4]"),
        ),
        (
            "azuread: {}",
            "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure Certificate or Azure SDK in the Azure AD config",
        ),
        (
            "azuread: {cloud: AzureMars, sdk: {}}",
            "must provide a cloud in the Azure AD config",
        ),
        (
            "azuread: {cloud: azurepublic, sdk: {}}",
            "must provide a cloud in the Azure AD config",
        ),
        (
            "azuread: {managed_identity: {}, sdk: {}}",
            "cannot provide multiple authentication methods in the Azure AD config",
        ),
        (
            "azuread: {managed_identity: {client_id: foo-foobar-bar-foo-00000000}}",
            "the provided Azure Managed Identity client_id is invalid",
        ),
        (
            "azuread: {workload_identity: {tenant_id: TENANT}}",
            "must provide an Azure Workload Identity client_id in the Azure AD config",
        ),
        (
            "azuread: {workload_identity: {client_id: ID}}",
            "must provide an Azure Workload Identity tenant_id in the Azure AD config",
        ),
        (
            "azuread: {workload_identity: {client_id: nobody, tenant_id: TENANT}}",
            "the provided Azure Workload Identity client_id is invalid",
        ),
        (
            "azuread: {workload_identity: {client_id: ID, tenant_id: invalid-tenant-id-!}}",
            "the provided Azure Workload Identity tenant_id is invalid",
        ),
        (
            "azuread: {oauth: {client_secret: s3cr3t, tenant_id: TENANT}}",
            "must provide an Azure OAuth client_id in the Azure AD config",
        ),
        (
            "azuread: {oauth: {client_id: ID, tenant_id: TENANT}}",
            "must provide an Azure OAuth client_secret in the Azure AD config",
        ),
        (
            "azuread: {oauth: {client_id: ID, client_secret: s3cr3t}}",
            "must provide an Azure OAuth tenant_id in the Azure AD config",
        ),
        (
            "azuread: {oauth: {client_id: nobody, client_secret: s3cr3t, tenant_id: TENANT}}",
            "the provided Azure OAuth client_id is invalid",
        ),
        (
            "azuread: {oauth: {client_id: ID, client_secret: s3cr3t, tenant_id: '../x'}}",
            "the provided Azure OAuth tenant_id is invalid",
        ),
        (
            "azuread: {sdk: {tenant_id: 'a b'}}",
            "the provided Azure SDK tenant_id is invalid",
        ),
        (
            "azuread: {certificate: {tenant_id: TENANT, certificate_path: /c}}",
            "must provide an Azure Certificate client_id in the Azure AD config",
        ),
        (
            "azuread: {certificate: {client_id: ID, certificate_path: /c}}",
            "must provide an Azure Certificate tenant_id in the Azure AD config",
        ),
        (
            "azuread: {certificate: {client_id: ID, tenant_id: TENANT, certificate_password: s3cr3t}}",
            "must provide an Azure Certificate certificate_path in the Azure AD config",
        ),
        (
            "azuread: {certificate: {client_id: nobody, tenant_id: TENANT, certificate_path: /c}}",
            "the provided Azure Certificate client_id is invalid",
        ),
        (
            "azuread: {certificate: {client_id: ID, tenant_id: a/b, certificate_path: /c}}",
            "the provided Azure Certificate tenant_id is invalid",
        ),
        (
            "azuread: {sdk: {}, scope: 'invalid<>scope*chars'}",
            "the provided scope contains invalid characters",
        ),
        (
            "azuread: {oauth: {secret: s3cr3t}}",
            "field secret not found in type azuread.OAuthConfig",
        ),
    ] {
        let error = load(given).expect_err(given);
        assert!(error.contains(expected), "{given}: {error}");
        assert!(
            error.contains("line 3") || error.contains("line 2"),
            "{error}"
        );
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}

#[test]
fn alertmanagers_may_have_a_signature() {
    let load = |more: &str| {
        let text = format!("alerting:\n  alertmanagers:\n  - {more}\n");
        Config::parse(&text, &|_| None).map_err(|e| e.to_string())
    };
    let config = load("sigv4: {region: r}").expect("loads");
    let text = print(&config);
    assert!(
        text.contains("    enable_http2: true\n    sigv4:\n      region: r\n    scheme: http\n"),
        "{text}"
    );
    for other in [
        "basic_auth: {username: u}",
        "authorization: {credentials: c}",
        "oauth2: {client_id: c, token_url: 'http://t/'}",
    ] {
        let error = load(&format!("{other}\n    sigv4: {{}}")).expect_err(other);
        assert!(
            error.contains(
                "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured"
            ),
            "{error}"
        );
    }
    for name in ["azuread", "google_iam"] {
        let error = load(&format!("{name}: {{}}")).expect_err(name);
        assert!(
            error.contains(&format!("field {name} not found")),
            "{error}"
        );
    }
    let error = load("sigv4: {external_id: e}").expect_err("no role");
    assert!(error.contains("external_id can only be used with role_arn"));
}

#[test]
fn remote_read_has_none() {
    for name in ["sigv4", "azuread", "google_iam"] {
        let text = format!("remote_read:\n- url: http://h/\n  {name}: {{}}\n");
        let error = Config::parse(&text, &|_| None).expect_err(name).to_string();
        let expected = format!("line 3: field {name} not found in type config.plain");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn paths_stay_as_written() {
    let text = filled(
        "remote_write:\n- url: http://h/1\n  google_iam: {credentials_file: a.json}\n- url: http://h/2\n  azuread: {certificate: {client_id: ID, tenant_id: t, certificate_path: c.pem, certificate_key_path: sub/k.pem}}\n- url: http://h/3\n  azuread: {workload_identity: {client_id: ID, tenant_id: TENANT, token_file_path: token}}\n- url: http://h/4\n  azuread: {workload_identity: {client_id: ID, tenant_id: TENANT}}\n",
    );
    let environment =
        |name: &str| (name == "AZURE_FEDERATED_TOKEN_FILE").then(|| "/pod/token".to_string());
    let mut config = Config::parse(&text, &environment).expect("loads");
    config.resolve_paths(Path::new("/etc/p"));
    let text = print(&config);
    for line in [
        "credentials_file: a.json",
        "certificate_path: c.pem",
        "certificate_key_path: sub/k.pem",
        "token_file_path: token",
        "token_file_path: /pod/token",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}
