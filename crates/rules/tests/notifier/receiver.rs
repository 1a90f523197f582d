//! An Alertmanager to send to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Takes alerts, or answers with another status.
#[derive(Default)]
pub struct Receiver {
    /// What it took.
    pub batches: Mutex<Vec<Vec<Value>>>,
    /// How often it was asked.
    pub requests: AtomicUsize,
    /// Answers with an error.
    pub fail: AtomicBool,
    /// Does not answer at all.
    pub hold: AtomicBool,
}

impl Receiver {
    pub async fn start() -> (Arc<Receiver>, u16) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let receiver = Arc::new(Receiver::default());
        let own = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move { own.serve(stream).await });
            }
        });
        (receiver, port)
    }

    async fn serve(&self, mut stream: tokio::net::TcpStream) {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length: usize = head
                    .lines()
                    .find_map(|line| {
                        line.to_ascii_lowercase()
                            .strip_prefix("content-length: ")?
                            .parse()
                            .ok()
                    })
                    .unwrap_or(0);
                if body.len() >= length {
                    self.requests.fetch_add(1, Ordering::SeqCst);
                    if self.hold.load(Ordering::SeqCst) {
                        // Until the other side has had enough.
                        while matches!(stream.read(&mut [0; 64]).await, Ok(n) if n > 0) {}
                        return;
                    }
                    let status = if self.fail.load(Ordering::SeqCst) {
                        "500 Internal Server Error"
                    } else {
                        assert!(head.starts_with("POST /x/api/v2/alerts HTTP/1.1"), "{head}");
                        self.batches
                            .lock()
                            .push(serde_json::from_str(body).expect("JSON"));
                        "200 OK"
                    };
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                    bytes.clear();
                    continue;
                }
            }
            match stream.read_buf(&mut bytes).await {
                Ok(n) if n > 0 => {}
                _ => return,
            }
        }
    }

    pub async fn wait(&self, enough: impl Fn(&Receiver) -> bool) {
        while !enough(self) {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    pub fn names(&self) -> Vec<String> {
        let batches = self.batches.lock();
        let name = |alert: &Value| {
            alert["labels"]["alertname"]
                .as_str()
                .unwrap_or("")
                .to_string()
        };
        batches.iter().flatten().map(name).collect()
    }
}
