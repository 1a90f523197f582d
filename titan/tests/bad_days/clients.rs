//! Clients that hold the server up.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::child::Running;
use testkit::free_port;
use testkit::http::{get, wait_for};

use crate::world::{command, metric};

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
