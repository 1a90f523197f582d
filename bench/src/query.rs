//! `bench query` and `bench select`: what dashboards and rules ask, of both servers over the same folder.
//!
//! Both run at once and are asked in turn, so that whatever else the machine does meets both.

use std::time::{Duration, Instant};

use testkit::connection::Connection;

use crate::dataset::Plan;
use crate::flags::numbers;
use crate::kept;
use crate::process::{PeakWatch, Peaks};
use crate::questions::{QUESTIONS, Question, instant};
use crate::subject::both;

/// A question is asked again only as long as its answers took no longer than this in all.
const PATIENCE: Duration = Duration::from_secs(3);
/// No single answer may take longer.
const GIVE_UP: Duration = Duration::from_secs(120);

/// All questions over the last day.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [series, hours, interval, times, fresh] = numbers(
        arguments,
        [
            ("--series", 200_000),
            ("--hours", 24),
            ("--interval", 60),
            ("--times", 3),
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
    println!(
        "{series} series, {hours} h, a sample every {interval} s; best of at most {times} times\n"
    );
    ask_both(plan, &QUESTIONS, times, fresh > 0)
}

/// Ten thousand series by a regex, two hours of them decoded.
pub fn select(arguments: &[String]) -> Result<(), String> {
    const SELECT: [Question; 1] = [instant(
        "sum(last_over_time({namespace=~\"ns-1.*\",pod!=\"\",code=\"203\"}[2h]))",
    )];
    let [series, times, fresh] = numbers(
        arguments,
        [("--series", 200_000), ("--times", 5), ("--fresh", 0)],
    )?;
    let plan = Plan {
        series: series as usize,
        span: 4 * 3_600_000,
        interval: 15_000,
        blocks: true,
        compact: true,
    };
    println!("{series} series, 4 h, a sample every 15 s; best of at most {times} times\n");
    ask_both(plan, &SELECT, times, fresh > 0)
}

/// What one server said to one question.
struct Asked {
    seconds: f64,
    /// CPU of the server for one answer, seconds.
    cpu: f64,
    series: usize,
    peaks: Peaks,
}

fn ask_both(plan: Plan, questions: &[Question], times: u64, fresh: bool) -> Result<(), String> {
    let kept = kept::dataset(plan, fresh)?;
    // Off the samples' grid: windows of 2.x hold their left border, those of 3.x do not, and answers would differ.
    let end = kept.end - 53;
    let folder = tempfile::tempdir_in(testkit::project_root().join("target/bench"))
        .map_err(|e| e.to_string())?;
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").map_err(|e| e.to_string())?;
    let subjects = both()?;
    let mut servers = Vec::new();
    for (i, subject) in subjects.iter().enumerate() {
        let data = folder.path().join(i.to_string());
        kept::linked(&kept.folder, &data)?;
        let port = testkit::free_port();
        let running = subject.start(&config, &data, port);
        servers.push((running, Connection::patient(port, GIVE_UP)));
    }
    let mut rows = Vec::new();
    for question in questions {
        let path = question.path(end);
        let mut row = Vec::new();
        for (subject, (running, connection)) in subjects.iter().zip(&mut servers) {
            let asked = ask(running.pid(), connection, &path, times)
                .map_err(|e| format!("{}: {}: {e}", subject.name, question.expr))?;
            eprintln!(
                "{}: {:.1} ms {}",
                subject.name,
                asked.seconds * 1000.0,
                question.expr
            );
            row.push(asked);
        }
        rows.push(row);
    }
    for (running, connection) in servers {
        drop(connection);
        running.stop();
    }
    print(
        questions,
        &rows,
        [subjects[0].name.as_str(), subjects[1].name.as_str()],
    );
    Ok(())
}

fn ask(pid: u32, connection: &mut Connection, path: &str, times: u64) -> Result<Asked, String> {
    let watch = PeakWatch::start(pid);
    let mut spent = Duration::ZERO;
    let (mut best, mut best_cpu) = (f64::INFINITY, f64::INFINITY);
    let mut series = 0;
    for _ in 0..times.max(1) {
        let before = crate::process::cost(pid)?.cpu;
        let started = Instant::now();
        let (status, body) = connection.get_bytes(path);
        let took = started.elapsed();
        best_cpu = best_cpu.min(crate::process::cost(pid)?.cpu - before);
        if status != 200 {
            return Err(String::from_utf8_lossy(&body).into_owned());
        }
        best = best.min(took.as_secs_f64());
        series = body
            .windows(9)
            .filter(|window| window == b"\"metric\":")
            .count();
        spent += took;
        if spent > PATIENCE {
            break;
        }
    }
    Ok(Asked {
        seconds: best,
        cpu: best_cpu,
        series,
        peaks: watch.stop(),
    })
}

fn print(questions: &[Question], rows: &[Vec<Asked>], names: [&str; 2]) {
    let [ours, theirs] = names;
    println!(
        "| query | range, step | {ours} | {theirs} | times faster | CPU | peak memory | of it anonymous | series |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let (mut logarithms, mut slower) = (0.0, 0);
    for (question, row) in questions.iter().zip(rows) {
        let [a, b] = &row[..] else { continue };
        logarithms += (b.seconds / a.seconds).ln();
        slower += usize::from(a.seconds > b.seconds);
        let same = if a.series == b.series {
            a.series.to_string()
        } else {
            format!("{} and {}!", a.series, b.series)
        };
        println!(
            "| `{}` | {} | {:.1} ms | {:.1} ms | {:.1} | {:.2} and {:.2} s | {:.0} and {:.0} MiB | {:.0} and {:.0} MiB | {same} |",
            question.expr.replace('|', "\\|"),
            question.when(),
            a.seconds * 1000.0,
            b.seconds * 1000.0,
            b.seconds / a.seconds,
            a.cpu,
            b.cpu,
            mib(a.peaks.resident),
            mib(b.peaks.resident),
            mib(a.peaks.anonymous),
            mib(b.peaks.anonymous),
        );
    }
    let mean = (logarithms / rows.len() as f64).exp();
    println!(
        "\ngeometric mean: {mean:.1} times faster; slower in {slower} of {}",
        rows.len()
    );
    let heaviest = rows
        .iter()
        .zip(questions)
        .max_by_key(|(row, _)| row[1].peaks.anonymous);
    if let Some((row, question)) = heaviest {
        let [a, b] = [row[0].peaks, row[1].peaks];
        println!(
            "peak memory during the heaviest query, `{}`: resident {:.0} and {:.0} MiB ({:.2}); without pages of files, which the kernel may take back, {:.0} and {:.0} MiB ({:.2})",
            question.expr,
            mib(a.resident),
            mib(b.resident),
            a.resident as f64 / b.resident as f64,
            mib(a.anonymous),
            mib(b.anonymous),
            a.anonymous as f64 / b.anonymous as f64,
        );
    }
}
