//! A connection that is kept: thousands of requests without thousands of connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::http::Answer;

/// One connection to a server on this machine.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects; whatever fails, now or later, ends the test.
    pub fn open(port: u16) -> Connection {
        Connection::patient(port, Duration::from_secs(30))
    }

    /// The same, for answers that may take `patience`.
    pub fn patient(port: u16, patience: Duration) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream
            .set_read_timeout(Some(patience))
            .and_then(|()| stream.set_nodelay(true))
            .expect("its options");
        Connection(BufReader::new(stream))
    }

    /// Asks for a page.
    pub fn get(&mut self, path: &str) -> Answer {
        let (status, headers, body) = self.ask(path);
        Answer {
            status,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// Asks for a page whose text nobody reads: its status and bytes.
    pub fn get_bytes(&mut self, path: &str) -> (u16, Vec<u8>) {
        let (status, _, body) = self.ask(path);
        (status, body)
    }

    fn ask(&mut self, path: &str) -> (u16, String, Vec<u8>) {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0
            .get_mut()
            .write_all(head.as_bytes())
            .expect("a request sent");
        let first = self.line();
        let status = first
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("not an answer: {first:?}"));
        let mut headers = first;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().expect("a length"),
                "transfer-encoding" => chunked = value.trim() == "chunked",
                _ => {}
            }
            headers.push_str("\r\n");
            headers.push_str(&line);
        }
        let body = if chunked {
            self.chunks()
        } else {
            self.bytes(length)
        };
        (status, headers, body)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line of the answer");
        line.truncate(line.trim_end().len());
        line
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.0.read_exact(&mut bytes).expect("the whole answer");
        bytes
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = self.line();
            let n = usize::from_str_radix(&size, 16).expect("a chunk's size");
            let from = body.len();
            body.resize(from + n, 0);
            self.0
                .read_exact(&mut body[from..])
                .expect("the whole answer");
            self.line();
            if n == 0 {
                return body;
            }
        }
    }
}
