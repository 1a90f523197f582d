//! Servers and clients over TLS, with certificates, passwords and tokens: each lets in whom it should and nobody else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use configfile::Secret;
use configfile::http_client::{BasicAuth, HttpClientConfig, Oauth2, TlsConfig};
use net::http_client::HttpClient;
use net::http_server::{ServerLimits, serve};
use net::shutdown::ShutdownTrigger;
use net::web_gate::WebGate;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("key")).expect("signed")
}

/// Writes `NAME.crt` and `NAME.key`.
fn issue(dir: &Path, by: &Authority, name: &str) {
    let key = KeyPair::generate().expect("key");
    let params = CertificateParams::new(vec![name.to_string()]).expect("parameters");
    let certificate = params.signed_by(&key, by).expect("signed");
    std::fs::write(dir.join(format!("{name}.crt")), certificate.pem()).expect("write");
    std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).expect("write");
}

async fn start(router: Router, web_yml: Option<&Path>) -> (u16, ShutdownTrigger) {
    let path = web_yml.map_or(String::new(), |path| path.display().to_string());
    let gate = WebGate::load(&path).expect("a good file");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("address").port();
    let (trigger, shutdown) = net::shutdown::channel();
    let limits = ServerLimits::default();
    tokio::spawn(serve(
        vec![listener],
        router,
        limits,
        gate,
        Default::default(),
        shutdown,
    ));
    (port, trigger)
}

async fn ask(config: &HttpClientConfig, url: &str) -> Result<(u16, String), String> {
    let client = HttpClient::new(config, "test").map_err(|e| e.to_string())?;
    ask_with(&client, url).await
}

/// Both ways to ask have to end alike.
async fn ask_with(client: &HttpClient, url: &str) -> Result<(u16, String), String> {
    let general = ask_in_general(client, url).await;
    let straight = ask_straight(client, url).await;
    match (&general, &straight) {
        (Err(_), Err(_)) => {}
        _ => assert_eq!(general, straight, "{url}"),
    }
    general
}

async fn ask_in_general(client: &HttpClient, url: &str) -> Result<(u16, String), String> {
    let request = client.get(url).await.map_err(|e| e.to_string())?;
    let response = request.send().await.map_err(|e| format!("{e:?}"))?;
    let status = response.status().as_u16();
    Ok((status, response.text().await.map_err(|e| e.to_string())?))
}

async fn ask_straight(client: &HttpClient, url: &str) -> Result<(u16, String), String> {
    let answer = client.fetch(url, HeaderMap::new()).await;
    let mut answer = answer.map_err(|e| format!("{e:?}"))?;
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|e| e.to_string())? {
        body.extend_from_slice(&part);
    }
    let status = answer.status().as_u16();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

#[tokio::test]
async fn certificates_are_verified_on_both_sides_and_may_rotate() {
    let dir = tempfile::tempdir().expect("a folder");
    let (ca, strangers) = (authority(), authority());
    let file = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(file("ca.crt"), ca.pem()).expect("write");
    std::fs::write(file("strangers.crt"), strangers.pem()).expect("write");
    issue(dir.path(), &ca, "server.test");
    issue(dir.path(), &ca, "friend.test");
    issue(dir.path(), &ca, "other.test");
    issue(dir.path(), &strangers, "stranger.test");
    let web = dir.path().join("web.yml");
    std::fs::write(
        &web,
        "tls_server_config:\n  cert_file: server.test.crt\n  key_file: server.test.key\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: [friend.test]\n",
    )
    .expect("write");
    let (port, _stop) = start(hello(), Some(&web)).await;
    let url = format!("https://127.0.0.1:{port}/");
    let as_client = |who: &str| HttpClientConfig {
        tls: TlsConfig {
            ca_file: file("ca.crt"),
            cert_file: file(&format!("{who}.crt")),
            key_file: file(&format!("{who}.key")),
            server_name: "server.test".into(),
            ..TlsConfig::default()
        },
        ..HttpClientConfig::default()
    };
    let friend = HttpClient::new(&as_client("friend.test"), "test").expect("builds");
    assert_eq!(ask_with(&friend, &url).await, Ok((200, "hello".into())));
    assert!(
        ask(&as_client("other.test"), &url).await.is_err(),
        "another name"
    );
    assert!(
        ask(&as_client("stranger.test"), &url).await.is_err(),
        "another CA"
    );
    let mut nobody = as_client("friend.test");
    (nobody.tls.cert_file, nobody.tls.key_file) = (String::new(), String::new());
    assert!(ask(&nobody, &url).await.is_err(), "no certificate");
    let mut wrong_name = as_client("friend.test");
    wrong_name.tls.server_name = "else.test".into();
    assert!(ask(&wrong_name, &url).await.is_err(), "the server's name");
    let mut credulous = wrong_name.clone();
    credulous.tls.insecure_skip_verify = true;
    assert_eq!(ask(&credulous, &url).await, Ok((200, "hello".into())));
    let mut other_ca = as_client("friend.test");
    other_ca.tls.ca_file = file("strangers.crt");
    assert!(ask(&other_ca, &url).await.is_err(), "the server's CA");
    // Plain text is not spoken.
    let plain = HttpClientConfig::default();
    assert!(
        ask(&plain, &format!("http://127.0.0.1:{port}/"))
            .await
            .is_err()
    );
    // All of them rotate, without a new client or server.
    issue(dir.path(), &strangers, "server.test");
    issue(dir.path(), &strangers, "friend.test");
    std::fs::write(file("ca.crt"), strangers.pem()).expect("write");
    assert_eq!(ask_with(&friend, &url).await, Ok((200, "hello".into())));
}

#[tokio::test]
async fn passwords_headers_and_rates_are_kept_and_followed() {
    let dir = tempfile::tempdir().expect("a folder");
    let web = dir.path().join("web.yml");
    let hash = bcrypt::hash_with_salt("secret", 4, [7; 16])
        .expect("hash")
        .to_string();
    std::fs::write(&web, format!("basic_auth_users: {{u: '{hash}'}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n")).expect("write");
    let (port, _stop) = start(hello(), Some(&web)).await;
    let url = format!("http://127.0.0.1:{port}/");
    let as_user = |user: &str, password: &str| HttpClientConfig {
        basic_auth: Some(BasicAuth {
            username: user.into(),
            password: Secret::new(password),
            ..BasicAuth::default()
        }),
        ..HttpClientConfig::default()
    };
    for _ in 0..2 {
        // The second time the comparison is remembered.
        assert_eq!(
            ask(&as_user("u", "secret"), &url).await,
            Ok((200, "hello".into()))
        );
        for (user, password) in [("u", "wrong"), ("x", "secret"), ("", "")] {
            let answer = ask(&as_user(user, password), &url)
                .await
                .expect("an answer");
            assert_eq!(answer.0, 401, "{user}:{password}");
        }
    }
    let anonymous = HttpClient::new(&HttpClientConfig::default(), "test").expect("builds");
    let request = anonymous.get(&url).await.expect("prepared");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Basic");
    assert_eq!(response.headers()["x-frame-options"], "deny");
    // A file that is wrong lets nobody in; a good one takes effect at once.
    std::fs::write(&web, "basic_auth_users: {u: plain}\n").expect("write");
    assert_eq!(
        ask(&as_user("u", "secret"), &url).await.map(|a| a.0),
        Ok(500)
    );
    std::fs::write(&web, "rate_limit: {interval: 1h, burst: 2}\n").expect("write");
    let mut codes = Vec::new();
    for _ in 0..3 {
        let answer = ask_in_general(&anonymous, &url).await;
        codes.push(answer.expect("an answer").0);
    }
    assert_eq!(codes, [200, 200, 429]);
}

#[test]
fn a_wrong_file_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let web = dir.path().join("web.yml");
    let refusal = |text: &str| {
        std::fs::write(&web, text).expect("write");
        let error = WebGate::load(&web.display().to_string()).err();
        error.expect("refused").to_string()
    };
    let missing = refusal("tls_server_config: {cert_file: no.crt, key_file: no.key}\n");
    assert!(
        missing.contains("web.yml: ") && missing.contains("no.crt"),
        "{missing}"
    );
    assert!(refusal("basic_auth_users: {u: plain}\n").contains("bcrypt"));
    assert!(WebGate::load("no/such/web.yml").is_err());
}

#[tokio::test]
async fn tokens_are_fetched_once_and_anew_when_the_secret_changes() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let token = move |headers: axum::http::HeaderMap, body: String| {
        let n = count.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            assert!(body.contains("grant_type=client_credentials"), "{body}");
            assert!(
                body.contains("scope=a+b") && body.contains("extra=1"),
                "{body}"
            );
            assert!(
                headers["authorization"]
                    .to_str()
                    .expect("text")
                    .starts_with("Basic ")
            );
            let answer =
                format!(r#"{{"access_token":"t{n}","token_type":"bearer","expires_in":3600}}"#);
            ([("content-type", "application/json")], answer)
        }
    };
    let echo = |headers: axum::http::HeaderMap| async move {
        headers["authorization"].to_str().expect("text").to_string()
    };
    let router = Router::new()
        .route("/token", post(token))
        .route("/", get(echo));
    let (port, _stop) = start(router, None).await;
    let dir = tempfile::tempdir().expect("a folder");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "one\n").expect("write");
    let config = HttpClientConfig {
        oauth2: Some(Oauth2 {
            client_id: "me".into(),
            client_secret_file: secret.display().to_string(),
            scopes: vec!["a".into(), "b".into()],
            token_url: format!("http://127.0.0.1:{port}/token"),
            endpoint_params: vec![("extra".into(), "1".into())],
            ..Oauth2::default()
        }),
        ..HttpClientConfig::default()
    };
    let client = HttpClient::new(&config, "test").expect("builds");
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(ask_with(&client, &url).await, Ok((200, "Bearer t1".into())));
    assert_eq!(ask_with(&client, &url).await, Ok((200, "Bearer t1".into())));
    std::fs::write(&secret, "two\n").expect("write");
    assert_eq!(ask_with(&client, &url).await, Ok((200, "Bearer t2".into())));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}
