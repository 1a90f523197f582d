//! `bench query` and `bench select`: what dashboards and rules ask, of both servers over the same folder.

use std::path::Path;
use std::time::Instant;

use testkit::http::{escape, get};

use crate::dataset::{self, Plan, copy};
use crate::flags::numbers;
use crate::process::cost;
use crate::subject::{Subject, both};

/// A query as a panel or a rule asks it.
struct Question {
    expr: &'static str,
    /// Hours looked at; 0 for an instant query.
    hours: i64,
    /// Seconds.
    step: i64,
}

const fn range(expr: &'static str, hours: i64, step: i64) -> Question {
    Question { expr, hours, step }
}

const fn instant(expr: &'static str) -> Question {
    Question {
        expr,
        hours: 0,
        step: 0,
    }
}

const QUESTIONS: [Question; 32] = [
    range(
        "sum by (namespace) (rate(bench_requests_1_total[5m]))",
        6,
        60,
    ),
    range(
        "sum by (namespace) (rate(bench_requests_1_total[5m]))",
        24,
        300,
    ),
    range("sum(rate(bench_requests_2_total[1h]))", 24, 300),
    range(
        "sum by (code) (increase(bench_requests_3_total[5m]))",
        3,
        30,
    ),
    range(
        "sum by (instance) (irate(bench_requests_4_total[5m]))",
        1,
        15,
    ),
    range(
        "histogram_quantile(0.99, sum by (le) (rate(bench_latency_1_seconds_bucket[5m])))",
        6,
        60,
    ),
    range(
        "histogram_quantile(0.9, sum by (le, namespace) (rate(bench_latency_2_seconds_bucket[5m])))",
        3,
        60,
    ),
    range(
        "topk(5, sum by (pod) (rate(bench_requests_5_total[5m])))",
        3,
        60,
    ),
    range("bottomk(3, bench_gauge_1{namespace=\"ns-3\"})", 6, 60),
    range("bench_gauge_2{instance=\"host-7\"}", 24, 300),
    range("bench_gauge_3", 1, 60),
    range("avg by (namespace) (bench_gauge_4)", 24, 300),
    range(
        "max by (instance) (max_over_time(bench_gauge_5[10m]))",
        3,
        60,
    ),
    range("quantile by (namespace) (0.95, bench_gauge_6)", 3, 60),
    range("stddev by (namespace) (bench_gauge_6)", 3, 60),
    range("count by (namespace) (bench_gauge_7 > 500)", 6, 60),
    range(
        "sum by (namespace) (bench_gauge_1) / on (namespace) sum by (namespace) (bench_gauge_2)",
        6,
        60,
    ),
    range(
        "bench_gauge_1{code=\"200\"} * on (instance, pod) group_left () sum by (instance, pod) (bench_gauge_2)",
        1,
        60,
    ),
    range(
        "bench_gauge_1{namespace=\"ns-1\"} and bench_gauge_1{code=~\"20[01]\"}",
        3,
        60,
    ),
    range(
        "sum(rate(bench_requests_1_total{namespace=~\"ns-1.*\",pod!=\"\"}[5m]))",
        6,
        60,
    ),
    range("absent(bench_gauge_1{namespace=\"nowhere\"})", 6, 60),
    range("sum(bench_gauge_8) - sum(bench_gauge_8 offset 1h)", 6, 60),
    range(
        "max_over_time(sum(rate(bench_requests_6_total[5m]))[30m:1m])",
        3,
        120,
    ),
    range(
        "label_replace(sum by (instance) (bench_gauge_9), \"host\", \"$1\", \"instance\", \"host-(.*)\")",
        3,
        60,
    ),
    range(
        "avg_over_time(bench_gauge_1{namespace=\"ns-5\"}[1h])",
        24,
        600,
    ),
    range(
        "sum by (namespace) (rate(bench_requests_7_total{code=~\"20[234]\"}[5m])) > 10",
        6,
        60,
    ),
    range("deriv(bench_gauge_2{namespace=\"ns-2\"}[15m])", 3, 60),
    instant("sum by (namespace) (rate(bench_requests_1_total[5m]))"),
    instant("bench_gauge_1"),
    instant("bench_gauge_1{instance=\"host-1\",code=\"203\"}"),
    instant("count({job=\"bench\"})"),
    instant("histogram_quantile(0.99, sum by (le) (rate(bench_latency_3_seconds_bucket[5m])))"),
];

/// All questions over the last day.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [series, hours, interval, times] = numbers(
        arguments,
        [
            ("--series", 200_000),
            ("--hours", 24),
            ("--interval", 60),
            ("--times", 3),
        ],
    )?;
    let plan = Plan {
        series: series as usize,
        span: hours as i64 * 3_600_000,
        interval: interval as i64 * 1000,
        blocks: true,
        compact: true,
    };
    println!("{series} series, {hours} h, a sample every {interval} s; best of {times} times\n");
    ask_both(plan, &QUESTIONS, times)
}

/// Ten thousand series by a regex, two hours of them decoded.
pub fn select(arguments: &[String]) -> Result<(), String> {
    const SELECT: [Question; 1] = [instant(
        "sum(last_over_time({namespace=~\"ns-1.*\",pod!=\"\",code=\"203\"}[2h]))",
    )];
    let [series, times] = numbers(arguments, [("--series", 200_000), ("--times", 5)])?;
    let plan = Plan {
        series: series as usize,
        span: 4 * 3_600_000,
        interval: 15_000,
        blocks: true,
        compact: true,
    };
    println!("{series} series, 4 h, a sample every 15 s; best of {times} times\n");
    ask_both(plan, &SELECT, times)
}

struct Answers {
    name: String,
    seconds: Vec<f64>,
    bodies: Vec<String>,
    peak: u64,
}

fn ask_both(plan: Plan, questions: &[Question], times: u64) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let source = folder.path().join("source");
    dataset::write(&source, plan)?;
    // Off the samples' grid: windows of 2.x hold their left border, those of 3.x do not, and answers would differ.
    let end = env::Clock::now(&*net::clock::system_clock()) / 60_000 * 60 - 53;
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").map_err(|e| e.to_string())?;
    let mut columns = Vec::new();
    for subject in &both()? {
        let data = folder.path().join("data");
        copy(&source, &data)?;
        columns.push(ask(subject, &config, &data, questions, end, times)?);
        std::fs::remove_dir_all(&data).map_err(|e| e.to_string())?;
    }
    print(questions, &columns);
    Ok(())
}

fn ask(
    subject: &Subject,
    config: &Path,
    data: &Path,
    questions: &[Question],
    end: i64,
    times: u64,
) -> Result<Answers, String> {
    let port = testkit::free_port();
    let running = subject.start(config, data, port);
    let mut answers = Answers {
        name: subject.name.clone(),
        seconds: Vec::new(),
        bodies: Vec::new(),
        peak: 0,
    };
    for question in questions {
        let path = path_of(question, end);
        let mut best = f64::INFINITY;
        let mut body = String::new();
        for _ in 0..times {
            let started = Instant::now();
            let answer = get(port, &path);
            best = best.min(started.elapsed().as_secs_f64());
            if answer.status != 200 {
                return Err(format!(
                    "{}: {}: {}",
                    subject.name, question.expr, answer.body
                ));
            }
            body = answer.body;
        }
        eprintln!(
            "{}: {:.1} ms {}",
            subject.name,
            best * 1000.0,
            question.expr
        );
        answers.seconds.push(best);
        answers.bodies.push(body);
    }
    answers.peak = cost(running.pid())?.peak;
    running.stop();
    Ok(answers)
}

fn path_of(question: &Question, end: i64) -> String {
    let expr = escape(question.expr);
    if question.hours == 0 {
        return format!("/api/v1/query?query={expr}&time={end}");
    }
    let (start, step) = (end - question.hours * 3600, question.step);
    format!("/api/v1/query_range?query={expr}&start={start}&end={end}&step={step}")
}

fn print(questions: &[Question], columns: &[Answers]) {
    let [ours, theirs] = columns else { return };
    println!(
        "| query | range, step | {} | {} | times faster | series |",
        ours.name, theirs.name
    );
    println!("|---|---|---|---|---|---|");
    let (mut logarithms, mut slower) = (0.0, 0);
    for (i, question) in questions.iter().enumerate() {
        let (a, b) = (ours.seconds[i], theirs.seconds[i]);
        logarithms += (b / a).ln();
        slower += usize::from(a > b);
        let series = |body: &str| body.matches("\"metric\"").count();
        let (x, y) = (series(&ours.bodies[i]), series(&theirs.bodies[i]));
        let same = if x == y {
            x.to_string()
        } else {
            format!("{x} and {y}!")
        };
        let range = match question.hours {
            0 => "instant".to_string(),
            hours => format!("{hours} h, {} s", question.step),
        };
        println!(
            "| `{}` | {range} | {:.1} ms | {:.1} ms | {:.1} | {same} |",
            question.expr.replace('|', "\\|"),
            a * 1000.0,
            b * 1000.0,
            b / a
        );
    }
    let mean = (logarithms / questions.len() as f64).exp();
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    println!(
        "\ngeometric mean: {mean:.1} times faster; slower in {slower} of {}",
        questions.len()
    );
    println!(
        "peak resident memory: {:.0} MiB and {:.0} MiB ({:.2})",
        mib(ours.peak),
        mib(theirs.peak),
        ours.peak as f64 / theirs.peak as f64
    );
}
