//! Two targets that both servers scrape. Their pages say when their samples are from, and change only when both servers
//! have them: so both know the same, however seldom a busy machine lets them scrape.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use testkit::connection::Connection;

use crate::data::{self, INTERVAL_MS};
use crate::generator::Generator;

/// Pages, one after another. Within the hour before now, which is what a head takes.
const TICKS: i64 = 160;
/// Label `a` of the series tells the target.
const NAMES: [&str; 2] = ["1", "2"];
const PATIENCE: Duration = Duration::from_secs(60);

/// Begin and length of what the pages will tell, in seconds; on a multiple of five.
pub fn recently() -> (i64, i64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs() as i64;
    let span = TICKS * INTERVAL_MS / 1000;
    ((now - span - 60) / 5 * 5, span)
}

#[derive(Default)]
struct Pages {
    /// By the target's name; a target without a page fails.
    pages: HashMap<&'static str, String>,
    /// Paths that failed.
    failures: HashSet<String>,
}

pub struct Targets {
    address: String,
    first: i64,
    shared: Arc<(Mutex<Pages>, Condvar)>,
}

impl Targets {
    /// Targets whose samples begin at `first`, unix seconds. They fail until they are run.
    pub fn start(first: i64) -> Targets {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let shared = Arc::new((Mutex::new(Pages::default()), Condvar::new()));
        let pages = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &pages);
            }
        });
        Targets {
            address,
            first,
            shared,
        }
    }

    /// The configuration for the server named `who`.
    pub fn config(&self, who: &str) -> String {
        let mut text = String::from(
            "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\nscrape_configs:\n",
        );
        for name in NAMES {
            let _ = writeln!(
                text,
                "- job_name: target-{name}\n  metrics_path: /{who}/{name}\n  static_configs: [{{targets: ['{}']}}]\n  \
                 metric_relabel_configs: [{{action: labeldrop, regex: job|instance}}]",
                self.address
            );
        }
        text
    }

    /// Lets time pass at the targets until `servers` have all of it.
    pub fn run(&self, random: &mut Generator, mut servers: [&mut Connection; 2]) {
        let mut all = data::all();
        let mut down = [0; NAMES.len()];
        for tick in 0..TICKS {
            let time = self.first * 1000 + tick * INTERVAL_MS;
            for (name, down) in NAMES.into_iter().zip(&mut down) {
                let page = page(name, tick, time, &mut all, random);
                *down = match *down {
                    0 if tick > 0 && random.below(60) == 0 => 1 + random.below(30),
                    0 => 0,
                    n => n - 1,
                };
                if *down > 0 {
                    self.fail(name);
                    continue;
                }
                self.lock().pages.insert(name, page);
                for server in &mut servers {
                    wait_for_page(server, name, tick, time);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pages> {
        self.shared.0.lock().expect("no panic before")
    }

    /// Lets a target fail until both servers have seen that.
    fn fail(&self, name: &'static str) {
        let paths = ["ours", "theirs"].map(|who| format!("/{who}/{name}"));
        let mut pages = self.lock();
        pages.pages.remove(name);
        pages.failures.clear();
        let seen = |pages: &Pages| paths.iter().all(|path| pages.failures.contains(path));
        let waited = self
            .shared
            .1
            .wait_timeout_while(pages, PATIENCE, |pages| !seen(pages));
        let pages = waited.expect("no panic before").0;
        assert!(seen(&pages), "target {name} is not scraped");
    }
}

/// The page of a target, after a step of all its series.
fn page(
    name: &str,
    tick: i64,
    time: i64,
    all: &mut [data::Made],
    random: &mut Generator,
) -> String {
    let mut page = format!("tick{{a=\"{name}\"}} {tick} {time}\n");
    for made in all {
        if made.labels.get("a") != Some(name) {
            continue;
        }
        made.step(random);
        if made.away > 0 {
            made.away -= 1;
            continue;
        }
        match random.below(400) {
            0..=7 => continue,
            8..=9 => {
                // Longer than queries look back at times.
                made.away = random.below(40);
                continue;
            }
            _ => {}
        }
        let text = match made.value {
            f64::INFINITY => "+Inf".to_string(),
            f64::NEG_INFINITY => "-Inf".to_string(),
            value => value.to_string(),
        };
        // Never on a whole second: no window begins or ends at a sample.
        let at = time + 101 + random.below(700) as i64;
        let label = |name| made.labels.get(name).unwrap_or_default();
        let le = made.labels.get("le").map(|le| format!(",le=\"{le}\""));
        let _ = writeln!(
            page,
            "{}{{a=\"{name}\",b=\"{}\"{}}} {text} {at}",
            label("__name__"),
            label("b"),
            le.unwrap_or_default()
        );
    }
    page
}

fn serve(mut stream: TcpStream, shared: &(Mutex<Pages>, Condvar)) {
    let mut request = [0; 4096];
    let Ok(n) = stream.read(&mut request) else {
        return;
    };
    let request = String::from_utf8_lossy(&request[..n]);
    let Some(path) = request.split(' ').nth(1) else {
        return;
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut pages = shared.0.lock().expect("no panic before");
    let (status, page) = match pages.pages.get(name) {
        Some(page) => ("200 OK", page.clone()),
        None => {
            pages.failures.insert(path.to_string());
            shared.1.notify_all();
            ("503 Service Unavailable", String::new())
        }
    };
    drop(pages);
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        page.len()
    );
    // A server that went away will come again.
    let _ = stream.write_all((head + &page).as_bytes());
}

/// Waits until a server can be asked for the page of a tick.
fn wait_for_page(server: &mut Connection, name: &str, tick: i64, time: i64) {
    let query = testkit::http::escape(&format!("tick{{a=\"{name}\"}} == {tick}"));
    let path = format!("/api/v1/query?query={query}&time={}", time / 1000 + 1);
    let deadline = Instant::now() + PATIENCE;
    while !server.get(&path).body.contains("\"metric\"") {
        assert!(
            Instant::now() < deadline,
            "page {tick} of target {name} is not scraped"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
