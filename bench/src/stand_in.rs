//! `bench stand-in`: ours in the place of the real server, with the configuration, the rules and the Alertmanager of a
//! real stack, side by side with the real one. Fails where they show something different and nobody knows why.
//!
//! Both scrape the same pages, but not at the same moment; so what differs is looked at again, until it is the same or
//! has had the time that two scrapes, two evaluations and a notification take.

mod cluster;
mod picture;
mod setup;
mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::child::Running;
use testkit::http::{get, wait_for};
use testkit::{free_port, peers};

use crate::flags::numbers;
use crate::process::{Cost, cost};
use crate::subject::both;
use picture::{Difference, Side, differences};
use setup::Places;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(60);
/// Until a look is taken again because something differs.
const AGAIN: Duration = Duration::from_secs(5);
/// What may pass until both show the same of something that has just changed.
const PATIENCE: Duration = Duration::from_secs(150);
/// Until everything has been scraped and evaluated for the first time.
const WARM_UP: Duration = Duration::from_secs(75);
/// The results of a recording rule, on average over all the time: the servers' windows are up to a scrape apart.
const AVERAGE_TOLERANCE: f64 = 0.1;

/// What is not compared, and why.
const LEFT_OUT: [(&str, &str); 5] = [
    (
        "labels __convert_classic_histograms_to_nhcb__, __always_scrape_classic_histograms__ and __scrape_native_histograms__ of discovered targets",
        "there since 3.0",
    ),
    (
        "labels job and __tmp_prometheus_job_name of discovered targets",
        "2.42 shows them as relabelling left them, later versions as they were found",
    ),
    (
        "empty label sets",
        "2.42 leaves them out of recording rules, later versions write {}",
    ),
    ("how long scrapes and evaluations took", "measured"),
    (
        "numbers within annotations, and values of alerts by less than a quarter",
        "of the page before, where a server was not asked yet",
    ),
];

/// What came of all looks.
#[derive(Default)]
struct Findings {
    looks: usize,
    again: usize,
    longest: Duration,
    facts: BTreeMap<String, usize>,
    unexplained: BTreeMap<String, Difference>,
    /// Alerts seen firing, and seen resolved after that.
    fired: BTreeSet<String>,
    resolved: BTreeSet<String>,
}

/// Runs everything and prints the tables.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [minutes] = numbers(arguments, [("--minutes", 60)])?;
    let length = Duration::from_secs(minutes * 60);
    let subjects = both()?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let root = folder.path();
    let promtool = peers::find("promtool").ok_or("the real promtool is lacking")?;
    let tools = [
        vec![
            subjects[0].program().display().to_string(),
            "promtool".into(),
        ],
        vec![promtool.display().to_string()],
    ];
    let (rules, refused) = setup::write_rules(&root.join("rules"), &tools)?;

    let exporter = free_port();
    let program =
        peers::find("prometheus-node-exporter").ok_or("the real node exporter is lacking")?;
    let _exporter = Running::start(
        Command::new(program).arg(format!("--web.listen-address=127.0.0.1:{exporter}")),
    );
    wait_for(exporter, "/metrics", |answer| answer.status == 200);
    let managers = [
        alertmanager(&root.join("am-0"))?,
        alertmanager(&root.join("am-1"))?,
    ];
    let stage = stage::Stage::open(exporter, length)?;
    let places = Places {
        servers: [free_port(), free_port()],
        alertmanagers: [managers[0].1, managers[1].1],
        node: stage.port("node"),
        state: stage.port("state"),
        kubelet: stage.port("kubelet"),
        apiserver: stage.port("apiserver"),
        flaky: stage.port("flaky"),
        nowhere: free_port(),
    };
    let mut servers = Vec::new();
    for (nth, subject) in subjects.iter().enumerate() {
        // The same names of files for both: they decide when a group is evaluated.
        let config = root.join(format!("prometheus-{nth}.yml"));
        write(
            &config,
            &setup::configuration(&places, places.alertmanagers[nth]),
        )?;
        servers.push(subject.start(
            &config,
            &root.join(format!("data-{nth}")),
            places.servers[nth],
        ));
    }
    let sides = [0, 1].map(|nth| Side {
        server: places.servers[nth],
        alertmanager: places.alertmanagers[nth],
    });

    let started = Instant::now();
    let mut findings = Findings::default();
    std::thread::scope(|scope| {
        scope.spawn(|| stage.play());
        std::thread::sleep(WARM_UP.min(length));
        while started.elapsed() < length {
            findings.look(sides)?;
            let next = PAUSE.min(length.saturating_sub(started.elapsed()));
            std::thread::sleep(next);
        }
        findings.look(sides)
    })?;
    let averages = averages(sides, started.elapsed(), &mut findings)?;
    let costs: Vec<Cost> = servers
        .iter()
        .map(|server| cost(server.pid()))
        .collect::<Result<_, _>>()?;
    let pages = sides.map(|side| get(side.server, "/metrics").body);
    let logs: Vec<String> = servers.into_iter().map(|server| server.stop().1).collect();
    for (manager, _) in managers {
        manager.stop();
    }

    println!(
        "{minutes} minutes, {rules} rules, {} looks; left out, because one of the tools refuses them: {refused:?}\n",
        findings.looks
    );
    let names: Vec<&str> = subjects
        .iter()
        .map(|subject| subject.name.as_str())
        .collect();
    costs_table(&names, &costs, &pages, &logs);
    findings.table(averages);
    for (name, log) in names.iter().zip(&logs) {
        println!("\nwarnings and errors in the log of {name}:");
        for (line, times) in complaints(log) {
            println!("- {times} x `{line}`");
        }
    }
    match findings.unexplained.len() {
        0 => Ok(()),
        n => Err(format!("{n} differences that nobody can explain")),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// A real Alertmanager with the stack's configuration, and its port.
fn alertmanager(folder: &Path) -> Result<(Running, u16), String> {
    std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    let mut command = peers::alertmanager(folder).ok_or("the real Alertmanager is lacking")?;
    let config = folder.join("alertmanager.yaml");
    write(&config, &setup::alertmanager_config()?)?;
    let port = free_port();
    command.args([
        format!("--config.file={}", config.display()),
        format!("--storage.path={}", folder.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--cluster.listen-address=".into(),
    ]);
    let running = Running::start(&mut command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    Ok((running, port))
}

impl Findings {
    /// Compares both until they show the same or patience is over.
    fn look(&mut self, sides: [Side; 2]) -> Result<(), String> {
        let began = Instant::now();
        self.looks += 1;
        let mut left: Option<Vec<Difference>> = None;
        loop {
            let [ours, theirs] = picture::both(sides)?;
            let mut different = differences(&ours, &theirs);
            if let Some(before) = &left {
                // What comes anew meanwhile is for the next look.
                let places: BTreeSet<&String> = before.iter().map(|d| &d.place).collect();
                different.retain(|d| places.contains(&d.place));
            } else {
                for (kind, count) in picture::kinds(&ours) {
                    let most = self.facts.entry(kind).or_default();
                    *most = count.max(*most);
                }
                self.again += usize::from(!different.is_empty());
                let firing = picture::firing(&ours);
                self.resolved = self.fired.difference(&firing).cloned().collect();
                self.fired.extend(firing);
            }
            if different.is_empty() {
                self.longest = self.longest.max(began.elapsed());
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                for d in different {
                    eprintln!(
                        "different: {}\n  ours   {}\n  theirs {}",
                        d.place, d.ours, d.theirs
                    );
                    self.unexplained.insert(d.place.clone(), d);
                }
                return Ok(());
            }
            left = Some(different);
            std::thread::sleep(AGAIN);
        }
    }

    fn table(&self, (compared, furthest, which): (usize, f64, String)) {
        println!("\n| compared | at most |\n|---|---|");
        for (kind, count) in &self.facts {
            println!("| facts: {kind} | {count} |");
        }
        println!("| averages of recorded series over all the time | {compared} |");
        println!("| furthest apart: `{which}` | {:.2} % |", furthest * 100.0);
        println!(
            "| looks with a difference that was gone after a while | {} of {} |",
            self.again, self.looks
        );
        println!(
            "| the longest while | {:.0} s |",
            self.longest.as_secs_f64()
        );
        println!(
            "| alerts that fired; of them resolved | {}; {} |",
            self.fired.len(),
            self.resolved.len()
        );
        println!("| unexplained differences | {} |", self.unexplained.len());
        println!("\n| not compared | because |\n|---|---|");
        for (what, why) in LEFT_OUT {
            println!("| {what} | {why} |");
        }
        for (place, d) in &self.unexplained {
            println!(
                "\n- {place}\n  - ours: {}\n  - theirs: {}",
                d.ours, d.theirs
            );
        }
    }
}

/// Compares what recording rules gave on average; gives how many series, how far the furthest are
/// apart, and which those are.
fn averages(
    sides: [Side; 2],
    time: Duration,
    findings: &mut Findings,
) -> Result<(usize, f64, String), String> {
    let of = |side: Side| picture::recorded_averages(side.server, time.as_secs());
    let [ours, theirs] = sides.map(of);
    let (ours, theirs) = (ours?, theirs?);
    let (mut furthest, mut which) = (0.0, String::new());
    for (series, a) in &ours {
        // Which series there are has been compared all along.
        let Some(b) = theirs.get(series) else {
            continue;
        };
        let apart = (a - b).abs() / a.abs().max(b.abs()).max(1e-9);
        if apart > furthest {
            (furthest, which) = (apart, series.clone());
        }
        let same = apart <= AVERAGE_TOLERANCE || a.is_nan() && b.is_nan();
        if !same {
            let place = format!("average {series}");
            let difference = Difference {
                place: place.clone(),
                ours: a.to_string(),
                theirs: b.to_string(),
            };
            findings.unexplained.insert(place, difference);
        }
    }
    Ok((ours.len(), furthest, which))
}

fn costs_table(names: &[&str], costs: &[Cost], pages: &[String; 2], logs: &[String]) {
    println!("| | {} | {} |\n|---|---|---|", names[0], names[1]);
    let row = |name: &str, of: &dyn Fn(usize) -> String| {
        println!("| {name} | {} | {} |", of(0), of(1));
    };
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
    row("resident memory", &|n| mib(costs[n].resident));
    row("peak resident memory", &|n| mib(costs[n].peak));
    row("CPU", &|n| format!("{:.1} s", costs[n].cpu));
    for (name, metric) in [
        (
            "samples appended",
            "prometheus_tsdb_head_samples_appended_total",
        ),
        ("series in the head", "prometheus_tsdb_head_series"),
        ("rule evaluations", "prometheus_rule_evaluations_total"),
        (
            "failed rule evaluations",
            "prometheus_rule_evaluation_failures_total",
        ),
        (
            "missed rule iterations",
            "prometheus_rule_group_iterations_missed_total",
        ),
        ("alerts sent", "prometheus_notifications_sent_total"),
        ("alerts dropped", "prometheus_notifications_dropped_total"),
        ("errors of sending", "prometheus_notifications_errors_total"),
    ] {
        row(name, &|n| format!("{:.0}", sum(&pages[n], metric)));
    }
    row("log lines of level warn or error", &|n| {
        complaints(&logs[n]).values().sum::<usize>().to_string()
    });
}

/// The sum of a metric on a page.
fn sum(page: &str, name: &str) -> f64 {
    let of_name = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    };
    let values = page.lines().filter(of_name);
    values
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Lines of level warn and error without what is different each time, and how often they came.
fn complaints(log: &str) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for line in log.lines() {
        let low = line.to_ascii_lowercase();
        if low.contains("level=warn") || low.contains("level=error") {
            let from = low.find("level=").unwrap_or(0);
            let short: String = line[from..].chars().take(240).collect();
            *all.entry(picture::without_numbers(&short)).or_default() += 1;
        }
    }
    all
}
