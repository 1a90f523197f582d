//! `google_iam`: key files, a user's login, the metadata server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use signing::rsa_key::RsaKey;

use crate::stand_in::{Machine, START, StandIn, fails, ok, post};

const KEY: &str = include_str!("../../../signing/tests/certificates/key.pem");
const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";

fn service_account(token_uri: &str) -> String {
    json!({
        "type": "service_account",
        "client_email": "me@project.iam.gserviceaccount.com",
        "private_key_id": "key-id",
        "private_key": KEY,
        "token_uri": token_uri,
    })
    .to_string()
}

#[tokio::test]
async fn service_accounts_sign_and_renew() {
    let machine = Machine::new();
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    let tokens = StandIn::start(move |seen| match counted.fetch_add(1, Ordering::SeqCst) {
        n if n < 1000 => ok(json!({"access_token": format!("token-{n}"), "expires_in": 3599, "token_type": "Bearer"}).to_string()),
        _ => fails(400, json!({"error": "invalid_grant", "error_description": seen.form()["assertion"]}).to_string()),
    })
    .await;
    let url = format!("{}/token", tokens.url);
    let file = machine.write("key.json", service_account(&url));
    let server = StandIn::start(|_| ok("")).await;
    let client = machine
        .client(&format!("google_iam: {{credentials_file: '{file}'}}"))
        .expect("built");
    let sent_with = async || {
        post(&client, &server.url).await.expect("sent");
        server.seen().remove(0).header("authorization").to_string()
    };
    assert_eq!(sent_with().await, "Bearer token-0");
    let seen = tokens.seen().remove(0);
    assert_eq!(seen.path(), "/token");
    let form = seen.form();
    assert_eq!(
        form["grant_type"],
        "urn:ietf:params:oauth:grant-type:jwt-bearer"
    );
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
    let (signed, signature) = form["assertion"].rsplit_once('.').expect("three parts");
    let key = RsaKey::from_pem(KEY.as_bytes()).expect("a key");
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public())
        .verify(signed.as_bytes(), &decode(signature))
        .expect("the signature holds");
    let (header, claims) = signed.split_once('.').expect("two parts");
    let parse = |text: &str| serde_json::from_slice::<Value>(&decode(text)).expect("JSON");
    assert_eq!(
        parse(header),
        json!({"alg": "RS256", "typ": "JWT", "kid": "key-id"})
    );
    assert_eq!(
        parse(claims),
        json!({
            "iss": "me@project.iam.gserviceaccount.com",
            "scope": SCOPE,
            "aud": url,
            "iat": START / 1000,
            "exp": START / 1000 + 3600,
        })
    );
    machine.advance_seconds(3599 - 226);
    assert_eq!(sent_with().await, "Bearer token-0");
    machine.advance_seconds(1);
    assert_eq!(sent_with().await, "Bearer token-1");
    count.store(1000, Ordering::SeqCst);
    machine.advance_seconds(3598);
    assert_eq!(sent_with().await, "Bearer token-1");
    machine.advance_seconds(5);
    let error = post(&client, &server.url).await.expect_err("it ended");
    assert_eq!(
        error,
        format!("google_iam: {url}: 400 Bad Request: invalid_grant: <secret>")
    );
}

#[tokio::test]
async fn users_who_logged_in() {
    let machine = Machine::new();
    let tokens = StandIn::start(|_| ok(r#"{"access_token": "t", "expires_in": 3599}"#)).await;
    let file = json!({
        "type": "authorized_user", "client_id": "id", "client_secret": "s3cr3t",
        "refresh_token": "r", "quota_project_id": "payer", "token_uri": tokens.url,
    });
    machine.write(
        ".config/gcloud/application_default_credentials.json",
        file.to_string(),
    );
    let server = StandIn::start(|_| ok("")).await;
    let client = machine.client("google_iam: {}").expect("built");
    post(&client, &server.url).await.expect("sent");
    let form = tokens.seen().remove(0).form();
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["client_id"], "id");
    assert_eq!(form["client_secret"], "s3cr3t");
    assert_eq!(form["refresh_token"], "r");
    let seen = server.seen().remove(0);
    assert_eq!(seen.header("authorization"), "Bearer t");
    assert_eq!(seen.header("x-goog-user-project"), "payer");
    // The environment goes before the user's file, and may name who pays.
    let named = machine.write(
        "key.json",
        service_account(&format!("{}/named", tokens.url)),
    );
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", &named);
    machine.set("GOOGLE_CLOUD_QUOTA_PROJECT", "other");
    let client = machine.client("google_iam: {}").expect("built");
    post(&client, &server.url).await.expect("sent");
    assert_eq!(tokens.seen()[0].path(), "/named");
    assert_eq!(server.seen()[0].header("x-goog-user-project"), "other");
}

#[tokio::test]
async fn machines_ask_their_metadata_server() {
    let machine = Machine::new();
    let metadata = StandIn::start(|_| ok(r#"{"access_token": "t", "expires_in": 3599}"#)).await;
    machine.set(
        "GCE_METADATA_HOST",
        metadata.url.trim_start_matches("http://"),
    );
    let server = StandIn::start(|_| ok("")).await;
    let client = machine.client("google_iam: {}").expect("built");
    post(&client, &server.url).await.expect("sent");
    let seen = metadata.seen().remove(0);
    assert_eq!(
        seen.path(),
        "/computeMetadata/v1/instance/service-accounts/default/token"
    );
    assert_eq!(seen.header("metadata-flavor"), "Google");
    assert_eq!(seen.query()["scopes"], SCOPE);
    assert_eq!(server.seen()[0].header("authorization"), "Bearer t");
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_sent() {
    let machine = Machine::new();
    for (content, expected) in [
        (
            json!([]),
            "google_iam: credentials_file FILE is no JSON object",
        ),
        (
            json!({}),
            "google_iam: FILE: credentials_file is of type \"\", expected \"service_account\"",
        ),
        (
            json!({"type": "authorized_user"}),
            "google_iam: FILE: credentials_file is of type \"authorized_user\", expected \"service_account\"",
        ),
        (
            json!({"type": "service_account"}),
            "google_iam: FILE: client_email is missing",
        ),
        (
            json!({"type": "service_account", "client_email": "a", "private_key": "s3cr3t"}),
            "google_iam: FILE: private_key: no RSA key in PEM form",
        ),
        (
            json!({"type": "service_account", "client_email": "a", "private_key": KEY, "token_uri": "http://h/?s3cr3t"}),
            "google_iam: FILE: http://h/: credentials are asked for by https only",
        ),
    ] {
        let file = machine.write("key.json", content.to_string());
        let client = machine.client(&format!("google_iam: {{credentials_file: '{file}'}}"));
        assert_eq!(
            client.err().expect(expected),
            expected.replace("FILE", &file)
        );
    }
    for (content, expected) in [
        (
            json!({"type": "external_account"}),
            "google_iam: FILE: this build lacks credentials of type \"external_account\": use service_account or authorized_user",
        ),
        (
            json!({"type": "authorized_user", "client_id": "a"}),
            "google_iam: FILE: client_secret is missing",
        ),
    ] {
        let file = machine.write("adc.json", content.to_string());
        machine.set("GOOGLE_APPLICATION_CREDENTIALS", &file);
        let client = machine.client("google_iam: {}");
        assert_eq!(
            client.err().expect(expected),
            expected.replace("FILE", &file)
        );
    }
    machine.set("GOOGLE_APPLICATION_CREDENTIALS", "/gone");
    let error = machine.client("google_iam: {}").err().expect("no file");
    assert!(error.starts_with("google_iam: error finding default Google credentials: unable to read GOOGLE_APPLICATION_CREDENTIALS /gone: "), "{error}");
}
