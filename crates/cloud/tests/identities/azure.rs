//! `azuread`: every way to be somebody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use signing::certificate::Certificate;

use crate::stand_in::{Machine, START, Seen, StandIn, fails, ok, post};

const ID: &str = "00000000-0000-0000-0000-000000000000";
const CERTIFICATES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../signing/tests/certificates");

fn token(n: u64) -> String {
    json!({"token_type": "Bearer", "expires_in": 3600, "access_token": format!("token-{n}")})
        .to_string()
}

/// Sends a request and returns what the token server was asked for it.
async fn asked(machine: &Machine, tokens: &StandIn, section: &str) -> Seen {
    let server = StandIn::start(|_| ok("")).await;
    let client = machine.client(section).expect("built");
    assert_eq!(post(&client, &server.url).await, Ok(200), "{section}");
    let seen = server.seen().remove(0);
    assert_eq!(seen.header("authorization"), "Bearer token-0");
    let mut asked = tokens.seen();
    assert_eq!(asked.len(), 1);
    asked.remove(0)
}

#[tokio::test]
async fn applications_with_a_secret_renew_at_half_time() {
    let machine = Machine::new();
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let tokens = StandIn::start(move |seen| match counted.fetch_add(1, Ordering::SeqCst) {
        n if n < 1000 => ok(token(n)),
        _ => fails(
            401,
            json!({"error": "invalid_client", "error_description": format!("not {}", seen.form()["client_secret"])}).to_string(),
        ),
    })
    .await;
    machine.set("AZURE_AUTHORITY_HOST", format!("{}/", tokens.url));
    let server = StandIn::start(|_| ok("")).await;
    let section = format!(
        "azuread: {{oauth: {{client_id: {ID}, client_secret: s3cr3t, tenant_id: a-tenant}}}}"
    );
    let client = machine.client(&section).expect("built");
    let sent_with = async || {
        post(&client, &server.url).await.expect("sent");
        server.seen().remove(0).header("authorization").to_string()
    };
    assert_eq!(sent_with().await, "Bearer token-0");
    assert_eq!(sent_with().await, "Bearer token-0");
    let seen = tokens.seen().remove(0);
    assert_eq!(seen.path(), "/a-tenant/oauth2/v2.0/token");
    let form = seen.form();
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["client_id"], ID);
    assert_eq!(form["client_secret"], "s3cr3t");
    assert_eq!(form["scope"], "https://monitor.azure.com//.default");
    machine.advance_seconds(1799);
    assert_eq!(sent_with().await, "Bearer token-0");
    machine.advance_seconds(1);
    assert_eq!(sent_with().await, "Bearer token-1");
    count.store(1000, Ordering::SeqCst);
    machine.advance_seconds(3599);
    assert_eq!(sent_with().await, "Bearer token-1");
    machine.advance_seconds(1);
    let error = post(&client, &server.url).await.expect_err("it ended");
    assert_eq!(
        error,
        format!(
            "azuread: Failed to get access token: {}/a-tenant/oauth2/v2.0/token: 401 Unauthorized: invalid_client: not <secret>",
            tokens.url
        )
    );
}

#[tokio::test]
async fn pods_exchange_their_token() {
    let machine = Machine::new();
    let tokens = StandIn::start(|_| ok(token(0))).await;
    machine.set("AZURE_AUTHORITY_HOST", &tokens.url);
    let file = machine.write("federated", "a-jwt\n");
    let section = format!(
        "azuread: {{scope: 'https://x/.default', workload_identity: {{client_id: {ID}, tenant_id: {ID}, token_file_path: '{file}'}}}}"
    );
    let seen = asked(&machine, &tokens, &section).await;
    assert_eq!(seen.path(), format!("/{ID}/oauth2/v2.0/token"));
    let form = seen.form();
    assert_eq!(form["client_assertion"], "a-jwt");
    assert_eq!(
        form["client_assertion_type"],
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    assert_eq!(form["scope"], "https://x/.default");
    // A token that is not there yet is no reason not to start.
    std::fs::remove_file(&file).expect("removed");
    let client = machine.client(&section).expect("built");
    let error = post(&client, &tokens.url).await.expect_err("no file");
    assert!(
        error.starts_with(&format!(
            "azuread: Failed to get access token: unable to read federated token file {file}: "
        )),
        "{error}"
    );
}

#[tokio::test]
async fn applications_with_a_certificate_sign() {
    for (files, more, chain) in [
        (
            "certificate_path: 'DIR/cert.pem', certificate_key_path: 'DIR/key.pem'",
            "",
            false,
        ),
        (
            "certificate_path: 'DIR/modern.pfx'",
            ", certificate_password: open-sesame, send_certificate_chain: true",
            true,
        ),
    ] {
        let machine = Machine::new();
        let tokens = StandIn::start(|_| ok(token(0))).await;
        machine.set("AZURE_AUTHORITY_HOST", &tokens.url);
        let files = files.replace("DIR", CERTIFICATES);
        let section =
            format!("azuread: {{certificate: {{client_id: {ID}, tenant_id: t, {files}{more}}}}}");
        let seen = asked(&machine, &tokens, &section).await;
        let assertion = seen.form()["client_assertion"].clone();
        let read = |name: &str| std::fs::read(format!("{CERTIFICATES}/{name}")).expect("a file");
        let pem = [read("cert.pem"), read("key.pem")].concat();
        let certificate = Certificate::read(&pem, "").expect("reads");
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
        let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, certificate.key.public())
            .verify(signed.as_bytes(), &decode(signature))
            .expect("the signature holds");
        let (header, claims) = signed.split_once('.').expect("two parts");
        let parse = |text: &str| serde_json::from_slice::<Value>(&decode(text)).expect("JSON");
        let (header, claims) = (parse(header), parse(claims));
        assert_eq!(header["alg"], "PS256");
        assert_eq!(
            header["x5t#S256"],
            URL_SAFE_NO_PAD.encode(certificate.thumbprint())
        );
        assert_eq!(
            header["x5c"][0].as_str(),
            chain
                .then(|| STANDARD.encode(&certificate.chain[0]))
                .as_deref()
        );
        assert_eq!(claims["aud"], format!("{}/t/oauth2/v2.0/token", tokens.url));
        assert_eq!(claims["iss"], ID);
        assert_eq!(claims["sub"], ID);
        assert_eq!(claims["nbf"], START / 1000);
        assert_eq!(claims["exp"], START / 1000 + 600);
    }
}

#[tokio::test]
async fn platforms_have_identities() {
    let machine = Machine::new();
    let at = machine.now() / 1000 + 3600;
    let service = StandIn::start(move |_| {
        ok(json!({"access_token": "token-0", "expires_on": at.to_string()}).to_string())
    })
    .await;
    // A virtual machine, its address as tests and older pods have it.
    machine.set("AZURE_POD_IDENTITY_AUTHORITY_HOST", &service.url);
    let own = "azuread: {managed_identity: {}}";
    let other = format!("azuread: {{cloud: AzureChina, managed_identity: {{client_id: {ID}}}}}");
    let seen = asked(&machine, &service, own).await;
    assert_eq!(seen.path(), "/metadata/identity/oauth2/token");
    assert_eq!(seen.header("metadata"), "true");
    assert_eq!(seen.query()["resource"], "https://monitor.azure.com/");
    assert_eq!(seen.query()["api-version"], "2018-02-01");
    assert_eq!(seen.query().get("client_id"), None);
    let seen = asked(&machine, &service, &other).await;
    assert_eq!(seen.query()["client_id"], ID);
    assert_eq!(seen.query()["resource"], "https://monitor.azure.cn/");
    // Cloud Shell and machine learning.
    machine.set("MSI_ENDPOINT", format!("{}/msi", service.url));
    let seen = asked(&machine, &service, own).await;
    assert_eq!((seen.method.as_str(), seen.path()), ("POST", "/msi"));
    assert_eq!(seen.form()["resource"], "https://monitor.azure.com/");
    machine.set("MSI_SECRET", "m");
    let seen = asked(&machine, &service, &other).await;
    assert_eq!(seen.header("secret"), "m");
    assert_eq!(seen.query()["clientid"], ID);
    // App Service.
    machine.set("IDENTITY_ENDPOINT", format!("{}/app?x=y", service.url));
    machine.set("IDENTITY_HEADER", "h");
    let seen = asked(&machine, &service, &other).await;
    assert_eq!(seen.path(), "/app");
    assert_eq!(seen.header("x-identity-header"), "h");
    assert_eq!(seen.query()["x"], "y");
    assert_eq!(seen.query()["api-version"], "2019-08-01");
    assert_eq!(seen.query()["client_id"], ID);
    machine.set("IDENTITY_SERVER_THUMBPRINT", "t");
    let client = machine.client(own).expect("built");
    let error = post(&client, &service.url).await.expect_err("lacking");
    assert!(
        error.contains("this build lacks managed identities of Service Fabric"),
        "{error}"
    );
}

#[tokio::test]
async fn joined_machines_read_a_key_only_where_the_agent_writes() {
    let machine = Machine::new();
    let elsewhere = machine.write("x.key", "s3cr3t");
    let agent = StandIn::start(move |_| {
        (
            401,
            vec![("www-authenticate", format!("Basic realm={elsewhere}"))],
            String::new(),
        )
    })
    .await;
    machine.set("IDENTITY_ENDPOINT", &agent.url);
    machine.set("IMDS_ENDPOINT", &agent.url);
    let client = machine
        .client("azuread: {managed_identity: {}}")
        .expect("built");
    let error = post(&client, &agent.url).await.expect_err("a wrong place");
    assert!(
        error.contains("the key is at an unexpected place"),
        "{error}"
    );
    let seen = agent.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].query()["api-version"], "2020-06-01");
}

#[tokio::test]
async fn environments_offer_identities() {
    let machine = Machine::new();
    let tokens = StandIn::start(|_| ok(token(0))).await;
    machine.set("AZURE_AUTHORITY_HOST", &tokens.url);
    let section = "azuread: {sdk: {tenant_id: of-config}}";
    // The platform's identity comes last of those that servers give out.
    machine.set(
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        format!("{}/platform", tokens.url),
    );
    let seen = asked(&machine, &tokens, section).await;
    assert_eq!(seen.path(), "/platform/metadata/identity/oauth2/token");
    machine.set("AZURE_CLIENT_ID", ID);
    let file = machine.write("federated", "a-jwt");
    machine.set("AZURE_FEDERATED_TOKEN_FILE", &file);
    let seen = asked(&machine, &tokens, section).await;
    assert_eq!(seen.path(), "/of-config/oauth2/v2.0/token");
    assert_eq!(seen.form()["client_assertion"], "a-jwt");
    machine.set("AZURE_TENANT_ID", "of-env");
    machine.set(
        "AZURE_CLIENT_CERTIFICATE_PATH",
        format!("{CERTIFICATES}/modern.pfx"),
    );
    machine.set("AZURE_CLIENT_CERTIFICATE_PASSWORD", "open-sesame");
    let seen = asked(&machine, &tokens, section).await;
    assert_eq!(seen.path(), "/of-env/oauth2/v2.0/token");
    assert!(seen.form()["client_assertion"].len() > 100);
    machine.set("AZURE_CLIENT_SECRET", "of-env");
    let seen = asked(&machine, &tokens, section).await;
    assert_eq!(seen.form()["client_secret"], "of-env");
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_sent() {
    for (host, section, expected) in [
        (
            "http://login.example.com",
            "oauth: {client_id: ID, client_secret: s3cr3t, tenant_id: t}",
            "azuread: http://login.example.com: credentials are asked for by https only",
        ),
        (
            "https://h",
            "certificate: {client_id: ID, tenant_id: t, certificate_path: /gone}",
            "azuread: unable to read certificate file /gone: ",
        ),
        (
            "https://h",
            "certificate: {client_id: ID, tenant_id: t, certificate_path: 'DIR/modern.pfx', certificate_password: s3cr3t}",
            "azuread: failed to parse certificate data: DIR/modern.pfx: neither PEM certificates nor a PFX file that opens with this password",
        ),
        (
            "https://h",
            "certificate: {client_id: ID, tenant_id: t, certificate_path: 'DIR/other.pem', certificate_key_path: 'DIR/key.pem'}",
            "azuread: failed to parse certificate data: DIR/other.pem: found no certificate matching the private key",
        ),
    ] {
        let machine = Machine::new();
        machine.set("AZURE_AUTHORITY_HOST", host);
        let section = section.replace("ID", ID).replace("DIR", CERTIFICATES);
        let error = machine.client(&format!("azuread: {{{section}}}"));
        let error = error.err().expect(expected);
        assert!(
            error.starts_with(&expected.replace("DIR", CERTIFICATES)),
            "{error}"
        );
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors() {
    for (body, expected) in [
        ("<html>", "the answer is no JSON object"),
        ("{}", "access token is empty"),
        (
            r#"{"access_token": "s3cr3t"}"#,
            "the answer does not say when the token ends",
        ),
        (
            r#"{"access_token": "s3cr3t", "expires_in": 0}"#,
            "access token expiry is less than the current time",
        ),
        (
            r#"{"access_token": "s3cr3t\n", "expires_in": 9}"#,
            "what was given out has characters that authorization may not have",
        ),
    ] {
        let machine = Machine::new();
        let tokens = StandIn::start(move |_| ok(body)).await;
        machine.set("AZURE_POD_IDENTITY_AUTHORITY_HOST", &tokens.url);
        let client = machine
            .client("azuread: {managed_identity: {}}")
            .expect("built");
        let error = post(&client, &tokens.url).await.expect_err(expected);
        assert!(
            error.starts_with("azuread: ") && error.ends_with(expected),
            "{error}"
        );
        assert!(!error.contains("s3cr3t"), "{error}");
    }
}
