//! The built binary, what can be asked of it, and targets that behave as told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;
use testkit::child::Running;
use testkit::http::{escape, get};
use testkit::server;

pub const TITAN: &str = env!("CARGO_BIN_EXE_titan");

pub fn command(folder: &Path, port: u16, config: &str) -> Command {
    std::fs::write(folder.join("prometheus.yml"), config).expect("written");
    let mut command = server::command(TITAN, folder, port);
    command.args([
        "--web.enable-lifecycle",
        "--log.level=debug",
        "--storage.remote.flush-deadline=1s",
    ]);
    command
}

pub fn start(folder: &Path, port: u16, config: &str) -> Running {
    server::start(&mut command(folder, port, config), port)
}

pub fn json(port: u16, path: &str) -> Value {
    let answer = get(port, path);
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{path}: {e}: {}", answer.body))
}

/// Times (ms) and values of the one series that a range selector finds.
pub fn samples(port: u16, selector: &str) -> Vec<(i64, String)> {
    let reply = json(port, &format!("/api/v1/query?query={}", escape(selector)));
    let values = reply["data"]["result"][0]["values"].as_array().cloned();
    let pair = |v: &Value| {
        let t = (v[0].as_f64().unwrap_or(0.0) * 1000.0).round() as i64;
        (t, v[1].as_str().unwrap_or("").to_string())
    };
    values.unwrap_or_default().iter().map(pair).collect()
}

/// The sum of a metric of the server itself.
pub fn metric(port: u16, name: &str) -> f64 {
    let page = get(port, "/metrics").body;
    let of_name = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    };
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    page.lines().filter(of_name).filter_map(value).sum()
}

/// A target that treats every connection as told; gives its address. The request has been read; the number counts them.
pub fn target(behave: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> String {
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
pub fn say(mut stream: TcpStream, status: &str, page: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        page.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), page].concat());
}

/// Holds the connection until the other side lets go of it.
pub fn hold(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 64]);
}

/// Sends a body without an end, `pause` between its parts, until the other side has had enough.
pub fn pour(mut stream: TcpStream, part: &str, pause: Duration) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{part}\r\n", part.len());
    let mut fine = stream.write_all(head.as_bytes()).is_ok();
    while fine {
        fine = stream.write_all(chunk.as_bytes()).is_ok();
        std::thread::sleep(pause);
    }
}

/// `ca.crt` with `NAME.crt` and `NAME.key` that it vouches for.
pub fn certificates(folder: &Path, name: &str) {
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
