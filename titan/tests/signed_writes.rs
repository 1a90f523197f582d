//! The built binary writes and alerts in the name of identities: every request is signed or carries a token, through
//! renewals and through a token server that is away for a while.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use testkit::aws_signature::{self, Request};
use testkit::http::get;
use testkit::{free_port, server};

const TITAN: &str = env!("CARGO_BIN_EXE_titan");
const KEY: &str = include_str!("../../crates/signing/tests/certificates/key.pem");
const ID: &str = "00000000-0000-0000-0000-000000000000";

#[derive(Clone)]
struct Seen {
    method: String,
    target: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> String {
        self.headers.get(name).cloned().unwrap_or_default()
    }

    fn check(&self, access_key: &str, secret_key: &str) -> (Vec<String>, String) {
        let request = Request {
            method: &self.method,
            target: &self.target,
            header: &|name| self.header(name),
            body: &self.body,
        };
        aws_signature::check(&request, access_key, secret_key)
    }
}

/// Plays every cloud at once, and the servers that are written to.
#[derive(Clone)]
struct Clouds {
    address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Clouds {
    fn start() -> Clouds {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let clouds = Clouds {
            address: listener.local_addr().expect("an address").to_string(),
            seen: Arc::default(),
        };
        let shared = clouds.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let clouds = shared.clone();
                std::thread::spawn(move || clouds.serve(stream));
            }
        });
        clouds
    }

    /// Requests of one connection until it ends.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
            let mut words = line.split_whitespace();
            let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
            let mut headers = HashMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok()?;
                let Some((name, value)) = line.trim().split_once(':') else {
                    break;
                };
                headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
            }
            let length = headers.get("content-length").and_then(|n| n.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).ok()?;
            let seen = Seen {
                method,
                target,
                headers,
                body,
            };
            let (status, answer) = self.answer(&seen);
            self.seen.lock().ok()?.push(seen);
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + &answer).as_bytes()).ok()?;
        }
    }

    fn answer(&self, seen: &Seen) -> (u16, String) {
        let path = seen.target.split('?').next().unwrap_or("");
        let before = self.of(path).len();
        match path {
            "/sts" => (
                200,
                "<r><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>role-s3cr3t</SecretAccessKey><SessionToken>role-t0ken</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></r>".into(),
            ),
            // Away at first, and what it gives out does not last.
            "/google" if before < 2 => (503, "s3cr3t".into()),
            "/google" => (
                200,
                format!("{{\"access_token\": \"g-s3cr3t-{before}\", \"expires_in\": 2}}"),
            ),
            "/azure/t/oauth2/v2.0/token" => (
                200,
                "{\"access_token\": \"a-s3cr3t\", \"expires_in\": 3600}".into(),
            ),
            _ => (200, String::new()),
        }
    }

    /// Requests to a path.
    fn of(&self, path: &str) -> Vec<Seen> {
        let seen = self.seen.lock().expect("no panic");
        let of = seen.iter().filter(|one| one.target == path);
        of.cloned().collect()
    }

    fn wait(&self, path: &str, enough: impl Fn(&[Seen]) -> bool) -> Vec<Seen> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let seen = self.of(path);
            if enough(&seen) {
                return seen;
            }
            assert!(Instant::now() < until, "{path}: waited a minute in vain");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn every_request_says_who_sends_it() {
    let clouds = Clouds::start();
    let (port, address) = (free_port(), &clouds.address);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let write = |name: &str, text: String| std::fs::write(path.join(name), text).expect("written");
    let account = serde_json::json!({
        "type": "service_account", "client_email": "me", "private_key": KEY,
        "token_uri": format!("http://{address}/google"),
    });
    write("account.json", account.to_string());
    write(
        "rules.yml",
        "groups:\n- {name: g, interval: 1s, rules: [{alert: A, expr: vector(1)}]}\n".into(),
    );
    let account = path.join("account.json");
    let account = account.display();
    let queue = "queue_config: {batch_send_deadline: 100ms, max_backoff: 200ms}";
    write(
        "prometheus.yml",
        format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n- job_name: own\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\nremote_write:\n- url: http://{address}/workspaces/w%201/api//v1/remote_write?x=y\n  name: aws\n  {queue}\n  sigv4: {{region: eu-west-1, access_key: AKID, secret_key: key-s3cr3t, role_arn: 'arn:r'}}\n- url: http://{address}/dcr/write\n  name: azure\n  protobuf_message: io.prometheus.write.v2.Request\n  {queue}\n  azuread: {{oauth: {{client_id: {ID}, client_secret: client-s3cr3t, tenant_id: t}}}}\n- url: http://{address}/v1/projects/p/write\n  name: google\n  {queue}\n  google_iam: {{credentials_file: {account}}}\nalerting:\n  alertmanagers:\n  - path_prefix: /am\n    static_configs: [{{targets: ['{address}']}}]\n    sigv4: {{}}\n"
        ),
    );
    // The tool accepts what the server takes.
    let checked = Command::new(TITAN)
        .args(["promtool", "check", "config"])
        .arg(path.join("prometheus.yml"))
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    let mut command = server::command(TITAN, path, port);
    command
        .env_clear()
        .env("HOME", path)
        .env("AWS_ENDPOINT_URL_STS", format!("http://{address}/sts"))
        .env("AWS_REGION", "us-east-2")
        .env("AWS_ACCESS_KEY_ID", "ENV")
        .env("AWS_SECRET_ACCESS_KEY", "env-s3cr3t")
        .env("AZURE_AUTHORITY_HOST", format!("http://{address}/azure"));
    let running = server::start(&mut command, port);

    let target = "/workspaces/w%201/api/v1/remote_write?x=y";
    for one in clouds.wait(target, |seen| seen.len() >= 3) {
        let (names, scope) = one.check("ROLE", "role-s3cr3t");
        assert_eq!(scope, "eu-west-1/aps");
        assert_eq!(one.header("x-amz-security-token"), "role-t0ken");
        for name in [
            "content-encoding",
            "content-type",
            "x-prometheus-remote-write-version",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
        let message = snap_length(&one.body);
        assert!(message > 0);
    }
    let asked = clouds.of("/sts");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].check("AKID", "key-s3cr3t").1, "eu-west-1/sts");
    for one in clouds.wait("/am/api/v2/alerts", |seen| !seen.is_empty()) {
        assert_eq!(one.check("ENV", "env-s3cr3t").1, "us-east-2/aps");
    }
    for one in clouds.wait("/dcr/write", |seen| !seen.is_empty()) {
        assert_eq!(one.header("authorization"), "Bearer a-s3cr3t");
    }
    // Tokens of two seconds are renewed after one; nothing was sent without.
    let google = clouds.wait("/v1/projects/p/write", |seen| {
        seen.iter()
            .any(|one| one.header("authorization") == "Bearer g-s3cr3t-4")
    });
    assert_eq!(google[0].header("authorization"), "Bearer g-s3cr3t-2");

    let config = get(port, "/api/v1/status/config").body;
    let metrics = get(port, "/metrics").body;
    let failed = "prometheus_remote_storage_samples_failed_total{remote_name=\"google\"";
    let failed = metrics.lines().find(|line| line.starts_with(failed));
    assert!(
        failed.is_some_and(|line| line.ends_with(" 0")),
        "{failed:?}"
    );
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("google_iam: "), "{log}");
    assert!(config.contains("secret_key: <secret>"), "{config}");
    for (name, text) in [
        ("configuration", config),
        ("metrics", metrics),
        ("log", log),
    ] {
        assert!(!text.contains("s3cr3t"), "{name}: {text}");
        assert!(!text.contains("PRIVATE KEY"), "{name}: {text}");
    }
}

/// The length that a snappy block says its content has.
fn snap_length(block: &[u8]) -> usize {
    let mut length = 0;
    for (i, byte) in block.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            break;
        }
    }
    length
}
