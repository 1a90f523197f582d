//! Strangers at the door.

use std::time::{Duration, Instant};

use configfile::Secret;
use configfile::http_client::{BasicAuth, HttpClientConfig, TlsConfig};
use net::http_client::HttpClient;
use testkit::child::Running;
use testkit::free_port;
use testkit::http::request;

use crate::world::{certificates, command};

/// One request over TLS: status and body.
fn ask(runtime: &tokio::runtime::Runtime, client: &HttpClient, url: &str) -> Result<u16, String> {
    runtime.block_on(async {
        let request = client.get(url).await.map_err(|e| e.to_string())?;
        let response = request.send().await.map_err(|e| format!("{e:?}"))?;
        Ok(response.status().as_u16())
    })
}

#[test]
fn every_endpoint_asks_for_the_password_over_tls_only() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path(), "server.test");
    let hash = bcrypt::hash_with_salt("opensesame", 4, [7; 16])
        .expect("a hash")
        .to_string();
    std::fs::write(
        folder.path().join("web.yml"),
        format!("tls_server_config: {{cert_file: server.test.crt, key_file: server.test.key}}\nbasic_auth_users: {{ali: '{hash}'}}\n"),
    )
    .expect("written");
    let port = free_port();
    let mut command = command(folder.path(), port, "");
    command.args([
        format!(
            "--web.config.file={}",
            folder.path().join("web.yml").display()
        ),
        "--web.enable-remote-write-receiver".into(),
        "--web.enable-admin-api".into(),
    ]);
    let running = Running::start(&mut command);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let client = |password: Option<&str>| {
        let config = HttpClientConfig {
            tls: TlsConfig {
                ca_file: folder.path().join("ca.crt").display().to_string(),
                server_name: "server.test".into(),
                ..TlsConfig::default()
            },
            basic_auth: password.map(|password| BasicAuth {
                username: "ali".into(),
                password: Secret::new(password),
                ..BasicAuth::default()
            }),
            ..HttpClientConfig::default()
        };
        HttpClient::new(&config, "test").expect("builds")
    };
    let (right, wrong, none) = (
        client(Some("opensesame")),
        client(Some("opensesam")),
        client(None),
    );
    let base = format!("https://127.0.0.1:{port}");
    let until = Instant::now() + Duration::from_secs(60);
    while ask(&runtime, &right, &format!("{base}/-/ready")) != Ok(200) {
        assert!(Instant::now() < until, "it does not get ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    for path in [
        "/",
        "/metrics",
        "/federate?match[]=up",
        "/version",
        "/-/healthy",
        "/-/ready",
        "/-/reload",
        "/-/quit",
        "/nowhere",
        "/api/v1/query?query=1",
        "/api/v1/labels",
        "/api/v1/targets",
        "/api/v1/rules",
        "/api/v1/read",
        "/api/v1/write",
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/api/v1/admin/tsdb/snapshot",
        "/api/v1/notifications/live",
    ] {
        let url = format!("{base}{path}");
        assert_eq!(ask(&runtime, &none, &url), Ok(401), "{path}, nobody");
        assert_eq!(ask(&runtime, &wrong, &url), Ok(401), "{path}, a liar");
        if !path.ends_with("/live") {
            let status = ask(&runtime, &right, &url).expect("an answer");
            assert_ne!(status, 401, "{path}");
        }
        let plain = request(port, "GET", path);
        assert!(
            plain.is_none_or(|a| a.status == 400),
            "{path} in plain text"
        );
    }
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("opensesam"), "{log}");
}
