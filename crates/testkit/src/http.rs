//! Just enough of an HTTP client for tests: one request, one answer, no dependencies.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header lines.
    pub headers: String,
    /// The body.
    pub body: String,
}

/// One request; `None` when there is no connection or no whole answer.
pub fn request(port: u16, method: &str, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .ok()?;
    // HTTP/1.0: the end of the connection is the end of the body.
    let head = format!("{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (headers, body) = text.split_once("\r\n\r\n")?;
    let status = headers.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        headers: headers.to_string(),
        body: body.to_string(),
    })
}

/// A GET that has to be answered.
pub fn get(port: u16, path: &str) -> Answer {
    request(port, "GET", path).unwrap_or_else(|| panic!("no answer from port {port} for {path}"))
}

/// Asks until `enough` says so, for a minute at most; gives the last answer.
pub fn wait_for(port: u16, path: &str, enough: impl Fn(&Answer) -> bool) -> Answer {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = request(port, "GET", path);
        match answer {
            Some(answer) if enough(&answer) => return answer,
            last if Instant::now() > until => {
                panic!("port {port}, {path}: waited a minute in vain; last answer: {last:?}")
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Escapes a text for a query parameter.
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}
