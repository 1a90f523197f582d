//! `bench concurrent`: many clients that replay a dashboard at the same time.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use testkit::connection::Connection;

use crate::dataset::Plan;
use crate::flags::numbers;
use crate::kept;
use crate::process::{PeakWatch, cost};
use crate::questions::DASHBOARD;
use crate::subject::both;

/// No answer may take longer.
const GIVE_UP: Duration = Duration::from_secs(120);

/// What one server did.
struct Served {
    /// How long each answer took, ascending.
    seconds: Vec<f64>,
    elapsed: f64,
    cpu: f64,
    resident: u64,
    anonymous: u64,
}

impl Served {
    fn quantile(&self, q: f64) -> f64 {
        let at = (self.seconds.len() as f64 * q) as usize;
        let at = at.min(self.seconds.len().saturating_sub(1));
        self.seconds.get(at).copied().unwrap_or(f64::NAN)
    }

    fn per_second(&self) -> f64 {
        self.seconds.len() as f64 / self.elapsed
    }
}

/// Runs the clients against one server after the other and prints the table.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [series, hours, interval, clients, seconds, fresh] = numbers(
        arguments,
        [
            ("--series", 200_000),
            ("--hours", 24),
            ("--interval", 60),
            ("--clients", 16),
            ("--seconds", 60),
            ("--fresh", 0),
        ],
    )?;
    let plan = Plan {
        series: series as usize,
        span: hours as i64 * 3_600_000,
        interval: interval as i64 * 1000,
        blocks: true,
        compact: true,
    };
    let kept = kept::dataset(plan, fresh > 0)?;
    println!(
        "{clients} clients replay a dashboard of {} panels for {seconds} s; {series} series, {hours} h, a sample every {interval} s\n",
        DASHBOARD.len()
    );
    let folder = tempfile::tempdir_in(testkit::project_root().join("target/bench"))
        .map_err(|e| e.to_string())?;
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").map_err(|e| e.to_string())?;
    let mut columns = Vec::new();
    for subject in &both()? {
        let data = folder.path().join("data");
        kept::linked(&kept.folder, &data)?;
        let port = testkit::free_port();
        let running = subject.start(&config, &data, port);
        let length = Duration::from_secs(seconds);
        let served = serve(running.pid(), port, kept.end - 53, clients as usize, length)
            .map_err(|e| format!("{}: {e}", subject.name))?;
        eprintln!("{}: {:.0} a second", subject.name, served.per_second());
        columns.push((subject.name.clone(), served));
        running.stop();
        std::fs::remove_dir_all(&data).map_err(|e| e.to_string())?;
    }
    print(&columns);
    Ok(())
}

fn serve(
    pid: u32,
    port: u16,
    end: i64,
    clients: usize,
    length: Duration,
) -> Result<Served, String> {
    let watch = PeakWatch::start(pid);
    let before = cost(pid)?.cpu;
    let together = Barrier::new(clients + 1);
    let (answers, elapsed) = std::thread::scope(|scope| {
        let all: Vec<_> = (0..clients)
            .map(|client| {
                let together = &together;
                scope.spawn(move || replay(client, port, end, length, together))
            })
            .collect();
        together.wait();
        let started = Instant::now();
        let answers: Vec<_> = all
            .into_iter()
            .map(|client| client.join().map_err(|_| "a client failed".to_string())?)
            .collect();
        (answers, started.elapsed().as_secs_f64())
    });
    let mut seconds = Vec::new();
    for answer in answers {
        seconds.append(&mut answer?);
    }
    seconds.sort_by(f64::total_cmp);
    let cpu = cost(pid)?.cpu - before;
    let peaks = watch.stop();
    Ok(Served {
        seconds,
        elapsed,
        cpu,
        resident: peaks.resident,
        anonymous: peaks.anonymous,
    })
}

/// One client: panel after panel, each at the end of the data less a few minutes of its own.
fn replay(
    client: usize,
    port: u16,
    end: i64,
    length: Duration,
    together: &Barrier,
) -> Result<Vec<f64>, String> {
    let mut connection = Connection::patient(port, GIVE_UP);
    let mut took = Vec::new();
    together.wait();
    let started = Instant::now();
    for asked in client.. {
        if started.elapsed() >= length {
            break;
        }
        let end = end - (client + asked / DASHBOARD.len()) as i64 % 30 * 60;
        let path = DASHBOARD[asked % DASHBOARD.len()].path(end);
        let sent = Instant::now();
        let (status, body) = connection.get_bytes(&path);
        took.push(sent.elapsed().as_secs_f64());
        if status != 200 {
            return Err(String::from_utf8_lossy(&body).into_owned());
        }
    }
    Ok(took)
}

fn print(columns: &[(String, Served)]) {
    let [(our_name, ours), (their_name, theirs)] = columns else {
        return;
    };
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let row = |what: &str, unit: &str, a: f64, b: f64| {
        println!("| {what} | {a:.1} {unit} | {b:.1} {unit} | {:.2} |", a / b);
    };
    println!("| | {our_name} | {their_name} | ratio |\n|---|---|---|---|");
    row("answers", "/s", ours.per_second(), theirs.per_second());
    for (what, q) in [("median", 0.5), ("99th percentile", 0.99)] {
        let (a, b) = (ours.quantile(q), theirs.quantile(q));
        row(what, "ms", a * 1000.0, b * 1000.0);
    }
    row(
        "CPU an answer",
        "ms",
        ours.cpu / ours.seconds.len() as f64 * 1000.0,
        theirs.cpu / theirs.seconds.len() as f64 * 1000.0,
    );
    row(
        "peak memory",
        "MiB",
        mib(ours.resident),
        mib(theirs.resident),
    );
    row(
        "of it anonymous",
        "MiB",
        mib(ours.anonymous),
        mib(theirs.anonymous),
    );
}
