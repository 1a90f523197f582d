//! The HTTP client block.

use super::{Writer, quote};
use crate::http_client::{HttpClientConfig, ProxyConfig, TlsConfig};
use crate::secret::{HIDDEN, redact_url};

pub(super) fn print_http_client(out: &mut Writer, http: &HttpClientConfig) {
    if let Some(auth) = &http.basic_auth {
        out.section("basic_auth");
        out.filled("username", &auth.username);
        out.filled("username_file", &auth.username_file);
        out.filled("username_ref", &auth.username_ref);
        if !auth.password.is_empty() {
            out.field("password", HIDDEN);
        }
        out.filled("password_file", &auth.password_file);
        out.filled("password_ref", &auth.password_ref);
        out.end();
    }
    if let Some(authorization) = &http.authorization {
        out.section("authorization");
        out.filled("type", &authorization.kind);
        if !authorization.credentials.is_empty() {
            out.field("credentials", HIDDEN);
        }
        out.filled("credentials_file", &authorization.credentials_file);
        out.filled("credentials_ref", &authorization.credentials_ref);
        out.end();
    }
    if let Some(oauth2) = &http.oauth2 {
        out.section("oauth2");
        out.filled("client_id", &oauth2.client_id);
        if !oauth2.client_secret.is_empty() {
            out.field("client_secret", HIDDEN);
        }
        out.filled("client_secret_file", &oauth2.client_secret_file);
        out.filled("client_secret_ref", &oauth2.client_secret_ref);
        let jwt = &oauth2.jwt;
        if !jwt.key.is_empty() {
            out.field("client_certificate_key", HIDDEN);
        }
        out.filled("client_certificate_key_id", &jwt.key_id);
        out.filled("client_certificate_key_file", &jwt.key_file);
        out.filled("client_certificate_key_ref", &jwt.key_ref);
        out.filled("grant_type", &oauth2.grant_type);
        out.filled("signature_algorithm", &jwt.algorithm);
        out.filled("iss", &jwt.issuer);
        out.filled("audience", &jwt.audience);
        out.pairs("claims", &jwt.claims);
        out.strings("scopes", &oauth2.scopes);
        out.filled("token_url", &redact_url(&oauth2.token_url));
        out.pairs("endpoint_params", &oauth2.endpoint_params);
        print_tls(out, &oauth2.tls);
        print_proxy(out, &oauth2.proxy);
        out.end();
    }
    print_tls(out, &http.tls);
    out.field("follow_redirects", http.follow_redirects);
    out.field("enable_http2", http.enable_http2);
    print_proxy(out, &http.proxy);
    if !http.headers.is_empty() {
        out.section("http_headers");
        for (name, values) in &http.headers {
            out.section(&quote(name));
            out.strings("values", &values.values);
            out.strings("secrets", &vec![HIDDEN.to_string(); values.secrets.len()]);
            out.strings("files", &values.files);
            out.end();
        }
        out.end();
    }
}

fn print_tls(out: &mut Writer, tls: &TlsConfig) {
    if *tls == TlsConfig::default() {
        return;
    }
    out.section("tls_config");
    out.filled("ca", &tls.ca);
    out.filled("cert", &tls.cert);
    if !tls.key.is_empty() {
        out.field("key", HIDDEN);
    }
    out.filled("ca_file", &tls.ca_file);
    out.filled("ca_ref", &tls.ca_ref);
    out.filled("cert_file", &tls.cert_file);
    out.filled("cert_ref", &tls.cert_ref);
    out.filled("key_file", &tls.key_file);
    out.filled("key_ref", &tls.key_ref);
    out.filled("server_name", &tls.server_name);
    out.field("insecure_skip_verify", tls.insecure_skip_verify);
    for (name, version) in [
        ("min_version", tls.min_version),
        ("max_version", tls.max_version),
    ] {
        if let Some(version) = version {
            out.field(name, version.as_str());
        }
    }
    out.end();
}

fn print_proxy(out: &mut Writer, proxy: &ProxyConfig) {
    out.filled("proxy_url", &redact_url(&proxy.url));
    out.filled("no_proxy", &proxy.no_proxy);
    if proxy.from_environment {
        out.field("proxy_from_environment", true);
    }
    if !proxy.connect_headers.is_empty() {
        out.section("proxy_connect_header");
        for (name, values) in &proxy.connect_headers {
            out.strings(&quote(name), &vec![HIDDEN.to_string(); values.len()]);
        }
        out.end();
    }
}
