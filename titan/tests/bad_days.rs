//! Bad days of the built binary: targets that do everything wrong, clients that hold it up, strangers at the door, and
//! secrets that must not get out. Each leaves the metric, the error and the log line that tell of it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use configfile::Secret;
use configfile::http_client::{BasicAuth, HttpClientConfig, TlsConfig};
use net::http_client::HttpClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use testkit::child::Running;
use testkit::free_port;
use testkit::http::{escape, get, request, wait_for};

const TITAN: &str = env!("CARGO_BIN_EXE_titan");

fn command(folder: &Path, port: u16, config: &str) -> Command {
    std::fs::write(folder.join("prometheus.yml"), config).expect("written");
    let mut command = Command::new(TITAN);
    command.args([
        "prometheus".to_string(),
        format!("--config.file={}", folder.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--web.enable-lifecycle".into(),
        "--log.level=debug".into(),
        "--storage.remote.flush-deadline=1s".into(),
    ]);
    command
}

fn start(folder: &Path, port: u16, config: &str) -> Running {
    let running = Running::start(&mut command(folder, port, config));
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    running
}

fn json(port: u16, path: &str) -> Value {
    let answer = get(port, path);
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{path}: {e}: {}", answer.body))
}

/// Times (ms) and values of the one series that a range selector finds.
fn samples(port: u16, selector: &str) -> Vec<(i64, String)> {
    let reply = json(port, &format!("/api/v1/query?query={}", escape(selector)));
    let values = reply["data"]["result"][0]["values"].as_array().cloned();
    let pair = |v: &Value| {
        let t = (v[0].as_f64().unwrap_or(0.0) * 1000.0).round() as i64;
        (t, v[1].as_str().unwrap_or("").to_string())
    };
    values.unwrap_or_default().iter().map(pair).collect()
}

/// The sum of a metric of the server itself.
fn metric(port: u16, name: &str) -> f64 {
    let page = get(port, "/metrics").body;
    let of_name = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    };
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    page.lines().filter(of_name).filter_map(value).sum()
}

/// A target that treats every connection as told; gives its address. The request has been read; the number counts them.
fn target(behave: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    let (behave, count) = (Arc::new(behave), AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (behave, nth) = (behave.clone(), count.fetch_add(1, Ordering::Relaxed));
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                behave(stream, nth);
            });
        }
    });
    address
}

/// Says a page and closes.
fn say(mut stream: TcpStream, status: &str, page: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        page.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), page].concat());
}

/// Holds the connection until the other side lets go of it.
fn hold(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 64]);
}

/// Sends a body without an end, `pause` between its parts, until the other side has had enough.
fn pour(mut stream: TcpStream, part: &str, pause: Duration) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{part}\r\n", part.len());
    let mut fine = stream.write_all(head.as_bytes()).is_ok();
    while fine {
        fine = stream.write_all(chunk.as_bytes()).is_ok();
        std::thread::sleep(pause);
    }
}

/// `ca.crt` with `NAME.crt` and `NAME.key` that it vouches for.
fn certificates(folder: &Path, name: &str) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = CertifiedIssuer::self_signed(params, key).expect("signed");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_string()]).expect("parameters");
    let certificate = params.signed_by(&key, &ca).expect("signed");
    let write = |file: String, text: String| {
        std::fs::write(folder.join(file), text).expect("written");
    };
    write("ca.crt".into(), ca.pem());
    write(format!("{name}.crt"), certificate.pem());
    write(format!("{name}.key"), key.serialize_pem());
}

#[test]
fn a_bad_target_costs_its_own_scrape_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path(), "server.test");
    std::fs::write(
        folder.path().join("web.yml"),
        "tls_server_config: {cert_file: server.test.crt, key_file: server.test.key}\n",
    )
    .expect("written");
    let secure = free_port();
    let _secure = Running::start(Command::new(TITAN).args([
        "node-exporter".to_string(),
        format!("--web.listen-address=127.0.0.1:{secure}"),
        format!(
            "--web.config.file={}",
            folder.path().join("web.yml").display()
        ),
    ]));

    let good = target(|stream, nth| say(stream, "200 OK", format!("n {nth}\n").as_bytes()));
    let flips = target(|stream, nth| {
        let kind = ["counter", "gauge", "histogram", "summary"][nth % 4];
        let page = format!("# TYPE flip {kind}\nflip_total {nth}\nflip {nth}\n");
        say(stream, "200 OK", page.as_bytes());
    });
    let bad: [(&str, String, &str, &str); 9] = [
        (
            "hang",
            target(|stream, _| hold(stream)),
            "",
            "context deadline exceeded",
        ),
        (
            "endless",
            target(|stream, _| pour(stream, "a_metric 1\n", Duration::from_millis(5))),
            "",
            "context deadline exceeded",
        ),
        (
            "huge",
            target(|stream, _| pour(stream, &"a_metric 1\n".repeat(5000), Duration::ZERO)),
            "body_size_limit: 1MB",
            "body size limit exceeded",
        ),
        (
            "garbage",
            target(|stream, _| say(stream, "200 OK", b"\x00\xff\x1b{{{ 1 2 3\n")),
            "",
            "(line 1)",
        ),
        (
            "torn",
            target(|mut stream, _| {
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\na 1\n",
                );
            }),
            "",
            "Get \"http://",
        ),
        (
            "nohttp",
            target(|mut stream, _| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"))),
            "",
            "Get \"http://",
        ),
        (
            "failing",
            target(|stream, _| say(stream, "500 Internal Server Error", b"oops")),
            "",
            "server returned HTTP status 500 Internal Server Error",
        ),
        (
            "explodes",
            target(|stream, nth| {
                let page: String = (0..2000)
                    .map(|i| format!("x{{n=\"{nth}-{i}\"}} 1\n"))
                    .collect();
                say(stream, "200 OK", page.as_bytes());
            }),
            "sample_limit: 1000",
            "sample limit exceeded",
        ),
        (
            "stranger",
            format!("127.0.0.1:{secure}"),
            "scheme: https",
            "certificate",
        ),
    ];
    let mut config =
        String::from("global: {scrape_interval: 1s, scrape_timeout: 800ms}\nscrape_configs:\n");
    let mut job = |name: &str, address: &str, more: &str| {
        config.push_str(&format!(
            "- job_name: {name}\n  static_configs: [{{targets: ['{address}']}}]\n  {more}\n"
        ));
    };
    job("good", &good, "");
    job("flips", &flips, "");
    for (name, address, more, _) in &bad {
        job(name, address, more);
    }
    let port = free_port();
    let running = start(folder.path(), port, &config);
    let path = format!("/api/v1/query?query={}", escape("up{job=\"good\"}[1m]"));
    wait_for(port, &path, |_| {
        samples(port, "up{job=\"good\"}[1m]").len() >= 8
    });

    for (fine, name) in [("good", "n"), ("flips", "flip_total")] {
        let ups = samples(port, &format!("up{{job=\"{fine}\"}}[1m]"));
        assert!(ups.iter().all(|(_, v)| v == "1"), "{fine}: {ups:?}");
        let even = |w: &[(i64, String)]| (900..=1100).contains(&(w[1].0 - w[0].0));
        assert!(ups.windows(2).all(even), "{fine} keeps its pace: {ups:?}");
        assert!(samples(port, &format!("{name}[1m]")).len() >= 6, "{fine}");
    }
    let targets = json(port, "/api/v1/targets?state=active");
    let targets = targets["data"]["activeTargets"].as_array().expect("a list");
    for (name, _, _, error) in &bad {
        let ups = samples(port, &format!("up{{job=\"{name}\"}}[1m]"));
        assert!(ups.len() >= 5, "{name} is asked on: {ups:?}");
        assert!(ups.iter().all(|(_, v)| v == "0"), "{name}: {ups:?}");
        let one = targets
            .iter()
            .find(|t| t["scrapePool"] == **name)
            .unwrap_or_else(|| panic!("{name} among {targets:?}"));
        let told = one["lastError"].as_str().unwrap_or("");
        assert!(told.contains(error), "{name}: {told:?}");
        assert_eq!(one["health"], "down", "{name}");
    }
    for counted in [
        "prometheus_target_scrapes_exceeded_body_size_limit_total",
        "prometheus_target_scrapes_exceeded_sample_limit_total",
    ] {
        assert!(metric(port, counted) >= 5.0, "{counted}");
    }
    for nothing in ["a_metric", "x"] {
        assert!(
            samples(port, &format!("{nothing}[1m]")).is_empty(),
            "half a page"
        );
    }
    assert!(
        metric(port, "process_resident_memory_bytes") < 300e6,
        "endless bodies are not kept"
    );
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
    for (name, _, _, error) in &bad {
        let told = log.lines().any(|line| {
            line.contains("msg=\"Scrape failed\"")
                && line.contains(&format!("scrape_pool={name} "))
                && line.replace("\\\"", "\"").contains(error)
        });
        assert!(told, "{name} in the log: {log}");
    }
}

#[test]
fn clients_that_dawdle_or_send_too_much_are_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let mut command = command(folder.path(), port, "");
    command.args([
        "--web.read-timeout=1s",
        "--web.enable-remote-write-receiver",
    ]);
    let running = Running::start(&mut command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);

    let dial = || {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("its option");
        stream
    };
    let end_of = |mut stream: TcpStream| {
        let mut said = Vec::new();
        match stream.read_to_end(&mut said) {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("it is held for ever"),
            _ => String::from_utf8_lossy(&said).into_owned(),
        }
    };
    // Nothing at all, half a header, and a header that comes drop by drop.
    let started = Instant::now();
    let mut half = dial();
    half.write_all(b"GET /metrics HTTP/1.1\r\nhost: ")
        .expect("sent");
    let mut drops = dial();
    drops.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
    let silent = dial();
    for nth in 0..30 {
        if drops
            .write_all(format!("a{nth}: b\r\n").as_bytes())
            .is_err()
        {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    for stream in [half, drops, silent] {
        let said = end_of(stream);
        assert!(!said.contains("200 OK"), "{said}");
    }
    assert!(started.elapsed() < Duration::from_secs(15));
    // A body that is promised and does not come.
    let mut body = dial();
    body.write_all(b"POST /api/v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 100\r\n\r\nquery=")
        .expect("sent");
    let said = end_of(body);
    assert!(!said.contains("200 OK"), "{said}");
    // A header without an end.
    let mut long = dial();
    let line = format!("a: {}\r\n", "b".repeat(8000));
    let sent = long.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n").is_ok()
        && (0..500).all(|_| long.write_all(line.as_bytes()).is_ok());
    let said = end_of(long);
    assert!(!sent || !said.contains("200 OK"), "{said}");
    // A body that is announced as larger than any that is taken, a form and a write request.
    for (path, kind, encoding) in [
        (
            "/api/v1/query",
            "application/x-www-form-urlencoded",
            "identity",
        ),
        ("/api/v1/write", "application/x-protobuf", "snappy"),
    ] {
        let mut large = dial();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-encoding: {encoding}\r\ncontent-length: 4000000000\r\n\r\n"
        );
        large.write_all(head.as_bytes()).expect("sent");
        let part = vec![b'a'; 1 << 20];
        let _ = (0..400).all(|_| large.write_all(&part).is_ok());
        let said = end_of(large);
        assert!(!said.contains("200 OK"), "{path}: {said}");
        assert!(
            metric(port, "process_resident_memory_bytes") < 300e6,
            "{path}: it is not collected"
        );
    }
    assert_eq!(get(port, "/-/healthy").status, 200);
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
}

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

#[test]
fn secrets_stay_in_their_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    std::fs::write(folder.path().join("token"), "s3cr3t-of-file").expect("written");
    let job = |name: &str, auth: &str| {
        format!("- job_name: {name}\n  static_configs: [{{targets: ['127.0.0.1:1']}}]\n  {auth}\n")
    };
    let http = [
        ("basic", "basic_auth: {username: u, password: s3cr3t-basic}"),
        ("bearer", "authorization: {credentials: s3cr3t-bearer}"),
        ("file", "authorization: {credentials_file: token}"),
        (
            "oauth",
            "oauth2: {client_id: c, client_secret: s3cr3t-oauth, token_url: 'http://u:s3cr3t-tokenurl@127.0.0.1:1/token'}",
        ),
        (
            "headers",
            "http_headers: {X-Key: {secrets: [s3cr3t-header]}}",
        ),
        ("proxy", "proxy_url: 'http://u:s3cr3t-proxy@127.0.0.1:1'"),
        (
            "proxyheader",
            "proxy_url: 'http://127.0.0.1:1'\n  proxy_connect_header: {X: [s3cr3t-connect]}",
        ),
    ];
    let mut scrapes = String::new();
    for (name, auth) in http {
        scrapes.push_str(&job(name, auth));
        let indented = auth.replace("\n  ", "\n    ");
        scrapes.push_str(&format!(
            "- job_name: sd-{name}\n  http_sd_configs:\n  - url: 'http://u:s3cr3t-sdurl@127.0.0.1:1/{name}'\n    refresh_interval: 1s\n    {indented}\n"
        ));
    }
    let each = |list: &mut String, url: &str, more: &str| {
        for (name, auth) in http {
            let indented = auth.replace('\n', "\n  ");
            let indented = indented.replace("\n    ", "\n  ");
            list.push_str(&format!(
                "- url: 'http://u:s3cr3t-url@127.0.0.1:1/{url}-{name}'\n{more}  {indented}\n"
            ));
        }
    };
    let (mut writes, mut reads) = (String::new(), String::new());
    each(
        &mut writes,
        "write",
        "  queue_config: {batch_send_deadline: 100ms}\n",
    );
    each(&mut reads, "read", "  read_recent: true\n");
    writes.push_str("- url: 'http://127.0.0.1:1/sigv4'\n  sigv4: {region: r, access_key: a, secret_key: s3cr3t-sigv4}\n");
    let mut managers = String::new();
    for (_, auth) in http {
        let indented = auth.replace("\n  ", "\n    ");
        managers.push_str(&format!(
            "  - static_configs: [{{targets: ['127.0.0.1:1']}}]\n    {indented}\n  - http_sd_configs: [{{url: 'http://u:s3cr3t-amsd@127.0.0.1:1/'}}]\n"
        ));
    }
    std::fs::write(
        folder.path().join("rules.yml"),
        "groups:\n- {name: g, interval: 1s, rules: [{alert: A, expr: vector(1)}]}\n",
    )
    .expect("written");
    let whole = |writes: &str| {
        format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n{scrapes}remote_write:\n{writes}remote_read:\n{reads}alerting:\n  alertmanagers:\n{managers}"
        )
    };
    // A section that this build lacks is refused, without its secret, and left out.
    let mut refused = command(folder.path(), port, &whole(&writes));
    let (code, said) = Running::start(&mut refused).end(Duration::from_secs(20));
    if code.is_some_and(|code| code != 0) {
        assert!(said.contains("sigv4"), "{said}");
        assert!(!said.contains("s3cr3t"), "{said}");
        writes.truncate(
            writes
                .find("- url: 'http://127.0.0.1:1/sigv4'")
                .expect("it is there"),
        );
    }
    let running = start(folder.path(), port, &whole(&writes));
    // Everything has failed at least once.
    wait_for(port, "/metrics", |_| {
        metric(port, "prometheus_notifications_errors_total") > 0.0
            && metric(port, "prometheus_remote_storage_samples_retried_total") > 0.0
            && metric(port, "prometheus_sd_refresh_failures_total") > 0.0
    });
    wait_for(port, "/api/v1/targets", |answer| {
        answer.body.matches("\"health\":\"down\"").count() == http.len()
    });
    let mut pages = Vec::new();
    for path in [
        "/metrics",
        "/",
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/api/v1/status/runtimeinfo",
        "/api/v1/targets",
        "/api/v1/scrape_pools",
        "/api/v1/alertmanagers",
        "/api/v1/rules",
        "/api/v1/notifications",
        "/api/v1/query?query=up",
        "/api/v1/series?match[]=up",
        "/api/v1/labels",
        "/federate?match[]=up",
    ] {
        pages.push((path.to_string(), get(port, path).body));
    }
    let config = &pages[2].1;
    assert!(config.contains("<secret>"), "{config}");
    assert!(config.contains("u:xxxxx@127.0.0.1:1"), "{config}");
    // Wrong configurations are quoted in their errors, but not their secrets.
    for wrong in [
        "scrape_configs: [{job_name: a, basic_auth: {password: s3cr3t-a, password_file: f}}]",
        "scrape_configs: [{job_name: a, basic_auth: {password: [s3cr3t-b]}}]",
        "scrape_configs: [{job_name: a, authorization: {type: basic, credentials: s3cr3t-c}}]",
        "remote_write: [{url: 'http://u:s3cr3t-d@127.0.0.1:bad/'}]",
        "remote_write: [{url: 'ftp://u:s3cr3t-e@127.0.0.1/'}, {url: 'ftp://u:s3cr3t-e@127.0.0.1/'}]",
        "scrape_configs: [{job_name: a, http_sd_configs: [{url: 'ftp://u:s3cr3t-f@127.0.0.1/'}]}]",
        "scrape_configs: [{job_name: a, proxy_url: 'http://u:s3cr3t-g@:x/'}]",
        "scrape_configs: [{job_name: a, tls_config: {cert: c, key: s3cr3t-h}}]",
    ] {
        std::fs::write(folder.path().join("prometheus.yml"), wrong).expect("written");
        let answer =
            request(port, "POST", "/-/reload").unwrap_or_else(|| panic!("no answer to {wrong}"));
        assert_eq!(answer.status, 500, "{wrong}: it loads");
        pages.push((wrong.to_string(), answer.body));
    }
    pages.push((
        "/api/v1/notifications, now".into(),
        get(port, "/api/v1/notifications").body,
    ));
    let (_, log) = running.stop();
    pages.push(("the log".into(), log));
    let mut found_all = Vec::new();
    for (name, page) in &pages {
        let found = page.match_indices("s3cr3t").map(|(at, _)| {
            let from = page[..at].char_indices().nth_back(80).map_or(0, |(i, _)| i);
            page[from..].chars().take(120).collect::<String>()
        });
        found_all.extend(found.map(|text| format!("{name}: {text}")));
    }
    assert!(found_all.is_empty(), "{found_all:#?}");
}
