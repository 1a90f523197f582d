//! Targets that both servers scrape. A page stays as it is for one scrape interval, so that both get each page once,
//! whenever in the interval they come.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::cluster::{self, Moment};

/// How often pages change; those of slow targets every second time.
pub const TICK: Duration = Duration::from_secs(15);

/// The targets, in the order of their ports.
pub const NAMES: [&str; 5] = ["node", "state", "kubelet", "apiserver", "flaky"];
const FAST: &str = "node";
/// A series on every page: which page it is.
pub const PAGE: &str = "stand_in_page";

/// Path and page of a target; none while it is down.
type Pages = Vec<Option<Vec<(&'static str, String)>>>;

/// Targets with pages that change.
pub struct Stage {
    /// One for each of [`NAMES`].
    pub ports: Vec<u16>,
    pages: Arc<Mutex<Pages>>,
    started: Instant,
    length: Duration,
    /// The real exporter, whose page is shown on.
    exporter: u16,
}

impl Stage {
    /// Opens the targets. The middle third of `length` is bad: a target is down, the cluster ails.
    pub fn open(exporter: u16, length: Duration) -> Result<Stage, String> {
        let pages = Arc::new(Mutex::new(vec![None; NAMES.len()]));
        let mut ports = Vec::new();
        for nth in 0..NAMES.len() {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
            ports.push(listener.local_addr().map_err(|e| e.to_string())?.port());
            let pages = pages.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    serve(stream, nth, &pages);
                }
            });
        }
        let stage = Stage {
            ports,
            pages,
            started: Instant::now(),
            length,
            exporter,
        };
        stage.turn(0);
        Ok(stage)
    }

    /// Shows pages until the time is over.
    pub fn play(&self) {
        let mut tick = 0;
        while self.started.elapsed() < self.length {
            tick += 1;
            let due = TICK * tick as u32;
            std::thread::sleep(due.saturating_sub(self.started.elapsed()));
            self.turn(tick);
        }
    }

    /// The port of a target.
    pub fn port(&self, name: &str) -> u16 {
        let at = NAMES.iter().position(|n| *n == name).unwrap_or(0);
        self.ports[at]
    }

    fn turn(&self, tick: u64) {
        let passed = self.started.elapsed();
        let bad = passed > self.length / 3 && passed < self.length * 2 / 3;
        let exported = testkit::http::get(self.exporter, "/metrics").body;
        let slow = tick.is_multiple_of(2);
        let moment = Moment { tick, bad };
        let mut pages = match self.pages.lock() {
            Ok(pages) => pages,
            Err(poisoned) => poisoned.into_inner(),
        };
        let numbered = |page: String| format!("{page}{PAGE} {tick}\n");
        for (name, page) in NAMES.into_iter().zip(pages.iter_mut()) {
            if name != FAST && !slow {
                continue;
            }
            *page = match name {
                FAST => Some(vec![("/metrics", numbered(exported.clone()))]),
                "state" => Some(vec![("/metrics", numbered(cluster::state(moment)))]),
                "kubelet" => Some(vec![
                    ("/metrics", numbered(cluster::kubelet(moment))),
                    ("/metrics/cadvisor", cluster::containers(moment)),
                ]),
                "apiserver" => Some(vec![("/metrics", numbered(cluster::api_server(moment)))]),
                _ => (!bad).then(|| vec![("/metrics", numbered(String::new()))]),
            };
        }
    }
}

fn serve(mut stream: TcpStream, nth: usize, pages: &Mutex<Pages>) {
    let mut request = [0; 4096];
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let Ok(n) = stream.read(&mut request) else {
        return;
    };
    let request = String::from_utf8_lossy(&request[..n]);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let all = match pages.lock() {
        Ok(pages) => pages[nth].clone(),
        Err(_) => None,
    };
    let page = all.and_then(|all| all.into_iter().find(|(at, _)| *at == path));
    let (status, page) = match page {
        Some((_, page)) => ("200 OK", page),
        None => ("503 Service Unavailable", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        page.len()
    );
    // A server that went away comes again.
    let _ = stream.write_all((head + &page).as_bytes());
}
