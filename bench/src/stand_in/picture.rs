//! What a server shows at one moment, as a flat list of facts, and how two such lists differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use testkit::http::{escape, get};

use super::stage::PAGE;

/// One thing that a server shows.
#[derive(Clone, Debug)]
pub enum Fact {
    /// Has to be the same.
    Text(String),
    /// Numbers in it are of a moment that the other server need not have seen.
    Words(String),
    /// May be this far apart.
    Number(f64, f64),
    /// Unix seconds, which may be this far apart.
    Time(f64, f64),
}

impl Fact {
    fn agrees(&self, other: &Fact) -> bool {
        match (self, other) {
            (Fact::Text(a), Fact::Text(b)) => a == b,
            (Fact::Words(a), Fact::Words(b)) => without_numbers(a) == without_numbers(b),
            (Fact::Number(a, tolerance), Fact::Number(b, _)) => {
                a == b
                    || a.is_nan() && b.is_nan()
                    || (a - b).abs() <= tolerance * a.abs().max(b.abs())
            }
            (Fact::Time(a, tolerance), Fact::Time(b, _)) => (a - b).abs() <= *tolerance,
            _ => false,
        }
    }
}

/// Everything compared, by where it is shown.
pub type Picture = BTreeMap<String, Fact>;

/// Where two pictures differ, with what ours and theirs show.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What differs.
    pub place: String,
    /// What ours shows.
    pub ours: String,
    /// What theirs shows.
    pub theirs: String,
}

/// All differences of two pictures.
pub fn differences(ours: &Picture, theirs: &Picture) -> Vec<Difference> {
    let places: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let shown = |fact: Option<&Fact>| match fact {
        Some(Fact::Text(text) | Fact::Words(text)) => text.clone(),
        Some(Fact::Number(value, _) | Fact::Time(value, _)) => value.to_string(),
        None => "nothing".to_string(),
    };
    let differing = |place: &&String| match (ours.get(*place), theirs.get(*place)) {
        (Some(a), Some(b)) => !a.agrees(b),
        _ => true,
    };
    let different = places.into_iter().filter(differing);
    different
        .map(|place| Difference {
            place: place.clone(),
            ours: shown(ours.get(place)),
            theirs: shown(theirs.get(place)),
        })
        .collect()
}

/// How many facts of a kind there are, by the first word of their places.
pub fn kinds(picture: &Picture) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for place in picture.keys() {
        let kind = place.split(' ').next().unwrap_or_default();
        *kinds.entry(kind.to_string()).or_default() += 1;
    }
    kinds
}

/// A server with the Alertmanager that it sends to.
#[derive(Clone, Copy)]
pub struct Side {
    /// The server's port.
    pub server: u16,
    /// Its Alertmanager's.
    pub alertmanager: u16,
}

/// Labels of discovered targets that there are since 3.0, and those that 2.42 shows as relabelling left them.
const UNLIKE_LABELS: [&str; 5] = [
    "__convert_classic_histograms_to_nhcb__",
    "__always_scrape_classic_histograms__",
    "__scrape_native_histograms__",
    "__tmp_prometheus_job_name",
    "job",
];
/// States move on at the next evaluation of the next sample.
const STATE_SECONDS: f64 = 75.0;
/// An alert's value may be of the page before.
const VALUE_TOLERANCE: f64 = 0.25;

/// Looks at both at the same time.
pub fn both(sides: [Side; 2]) -> Result<[Picture; 2], String> {
    let mut pictures = [Picture::new(), Picture::new()];
    for (side, picture) in sides.iter().zip(&mut pictures) {
        let whole = |path: &str| data(side.server, path);
        targets(&whole("/api/v1/targets")?, picture);
        rules(&whole("/api/v1/rules")?, picture);
        for alert in list(&whole("/api/v1/alerts")?, "alerts") {
            alert_facts("alert", alert, picture);
        }
        received(side.alertmanager, picture)?;
    }
    questions(sides, &mut pictures)?;
    Ok(pictures)
}

fn parsed(port: u16, path: &str) -> Result<Value, String> {
    let answer = get(port, path);
    serde_json::from_str(&answer.body).map_err(|e| format!("{path}: {e}: {:.200}", answer.body))
}

fn data(port: u16, path: &str) -> Result<Value, String> {
    let mut reply = parsed(port, path)?;
    match reply["status"].as_str() {
        Some("success") => Ok(reply["data"].take()),
        _ => Err(format!("{path}: {reply}")),
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// What is left out where it is empty is the same as empty: versions differ in what they leave out.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(map) if map.is_empty() => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn targets(shown: &Value, picture: &mut Picture) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0.0, |now| now.as_secs_f64());
    for target in list(shown, "activeTargets") {
        let mut discovered = target["discoveredLabels"].clone();
        if let Some(labels) = discovered.as_object_mut() {
            labels.retain(|name, _| !UNLIKE_LABELS.contains(&name.as_str()));
        }
        let place = format!(
            "target {} {}",
            text(&target["scrapePool"]),
            target["labels"]
        );
        let mut put = |what: &str, fact: Fact| picture.insert(format!("{place} {what}"), fact);
        put("discoveredLabels", Fact::Text(discovered.to_string()));
        for name in [
            "scrapeUrl",
            "health",
            "lastError",
            "scrapeInterval",
            "scrapeTimeout",
        ] {
            put(name, Fact::Text(text(&target[name])));
        }
        let age = now - time(&target["lastScrape"]);
        put("is scraped", Fact::Text((age < 35.0).to_string()));
    }
    let dropped = list(shown, "droppedTargets").len();
    picture.insert("target dropped".into(), Fact::Text(dropped.to_string()));
}

fn rules(shown: &Value, picture: &mut Picture) {
    for group in list(shown, "groups") {
        let file = text(&group["file"]);
        let file = file.rsplit('/').next().unwrap_or_default();
        let place = format!("group {file} {}", text(&group["name"]));
        picture.insert(place, Fact::Text(text(&group["interval"])));
        for (nth, rule) in list(group, "rules").iter().enumerate() {
            let place = format!(
                "rule {file} {} {nth} {}",
                text(&group["name"]),
                text(&rule["name"])
            );
            let mut put = |what: &str, fact: Fact| picture.insert(format!("{place} {what}"), fact);
            for name in [
                "query",
                "duration",
                "labels",
                "annotations",
                "type",
                "health",
                "lastError",
                "state",
            ] {
                put(name, Fact::Text(text(&rule[name])));
            }
            for alert in list(rule, "alerts") {
                alert_facts(&format!("rule-alert {file} {nth}"), alert, picture);
            }
        }
    }
}

fn alert_facts(kind: &str, alert: &Value, picture: &mut Picture) {
    let place = format!("{kind} {}", alert["labels"]);
    picture.insert(format!("{place} state"), Fact::Text(text(&alert["state"])));
    picture.insert(
        format!("{place} annotations"),
        Fact::Words(alert["annotations"].to_string()),
    );
    let value = text(&alert["value"]).parse().unwrap_or(f64::NAN);
    picture.insert(
        format!("{place} value"),
        Fact::Number(value, VALUE_TOLERANCE),
    );
    picture.insert(
        format!("{place} activeAt"),
        Fact::Time(time(&alert["activeAt"]), STATE_SECONDS),
    );
}

/// What the Alertmanager holds.
fn received(port: u16, picture: &mut Picture) -> Result<(), String> {
    let alerts = parsed(port, "/api/v2/alerts")?;
    for alert in alerts.as_array().into_iter().flatten() {
        let place = format!("received {}", alert["labels"]);
        let mut put = |what: &str, fact: Fact| picture.insert(format!("{place} {what}"), fact);
        put("annotations", Fact::Words(alert["annotations"].to_string()));
        put("state", Fact::Text(text(&alert["status"]["state"])));
        put("receivers", Fact::Text(alert["receivers"].to_string()));
        put(
            "startsAt",
            Fact::Time(time(&alert["startsAt"]), STATE_SECONDS),
        );
        let link = text(&alert["generatorURL"]);
        let link = link.find("/graph").map_or("", |at| &link[at..]);
        put("generatorURL", Fact::Text(link.to_string()));
    }
    Ok(())
}

/// A question about the targets of one job, and how far answers may be apart, as a share.
struct Question {
    job: &'static str,
    query: &'static str,
    tolerance: f64,
}

const fn exact(job: &'static str, query: &'static str) -> Question {
    Question {
        job,
        query,
        tolerance: 1e-9,
    }
}

/// What people ask. Counters of the cluster grow evenly, so that even rates are the same; those of the machine do not, and
/// windows of the two servers begin a scrape apart.
const QUESTIONS: [Question; 22] = [
    exact("node-exporter", "up{job='node-exporter'}"),
    exact(
        "node-exporter",
        "count by (__name__) ({job='node-exporter',__name__!~'scrape_.*|instance.*|ALERTS.*|node:.*|cluster:.*'})",
    ),
    exact(
        "node-exporter",
        "sum(scrape_samples_scraped{job='node-exporter'})",
    ),
    exact(
        "node-exporter",
        "node_uname_info * on(instance) group_left(version) node_exporter_build_info",
    ),
    exact(
        "node-exporter",
        "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes",
    ),
    exact(
        "node-exporter",
        "sort_desc(node_filesystem_avail_bytes / node_filesystem_size_bytes)",
    ),
    exact("node-exporter", "sum by (mode) (node_cpu_seconds_total)"),
    exact("node-exporter", "topk(3, node_network_receive_bytes_total)"),
    exact(
        "node-exporter",
        "label_replace(node_load1, 'host', '$1', 'instance', '(.*)') / 2",
    ),
    exact("node-exporter", "time() - node_boot_time_seconds"),
    exact(
        "kube-state-metrics",
        "kube_pod_info * on(namespace, pod) group_left(owner_name) kube_pod_owner",
    ),
    exact(
        "kube-state-metrics",
        "kube_pod_container_status_waiting_reason",
    ),
    exact(
        "kube-state-metrics",
        "sum by (node) (kube_pod_container_resource_requests{resource='cpu'} * on(namespace, pod) group_left() (kube_pod_status_phase{phase='Running'} == 1))",
    ),
    exact(
        "kube-state-metrics",
        "kube_deployment_spec_replicas != kube_deployment_status_replicas_available",
    ),
    exact(
        "kube-state-metrics",
        "absent(kube_node_status_condition{condition='Ready',status='false'} == 1)",
    ),
    exact(
        "apiserver",
        "histogram_quantile(0.9, sum by (verb, le) (apiserver_request_sli_duration_seconds_bucket))",
    ),
    exact(
        "apiserver",
        "sum by (code) (apiserver_request_total) / ignoring(code) group_left sum(apiserver_request_total)",
    ),
    exact("metrics-server", "up{job='metrics-server'}"),
    exact("kubelet", "sum by (metrics_path) (up{job='kubelet'})"),
    Question {
        job: "apiserver",
        query: "sum by (verb) (rate(apiserver_request_total{code='200'}[4m]))",
        tolerance: 0.15,
    },
    Question {
        job: "kubelet",
        query: "max by (pod) (max_over_time(container_memory_rss[4m]))",
        tolerance: 1e-9,
    },
    Question {
        job: "metrics-server",
        query: "sum_over_time(up{job=~'prometheus-k8s|alertmanager-main'}[4m])",
        tolerance: 0.15,
    },
];
/// Results of rules and which alerts there are: the same series, at this moment.
const RECORDED: [&str; 2] = ["{__name__=~'.+:.*'}", "ALERTS"];

fn questions(sides: [Side; 2], pictures: &mut [Picture; 2]) -> Result<(), String> {
    let moments = same_pages(sides)?;
    for (side, picture) in sides.iter().zip(pictures.iter_mut()) {
        for Question {
            job,
            query,
            tolerance,
        } in &QUESTIONS
        {
            let Some(at) = moments.get(*job) else {
                // Which the other side says as well: the target is down.
                continue;
            };
            let path = format!("/api/v1/query?query={}&time={at}", escape(query));
            let answer = data(side.server, &path)?;
            picture.insert(
                format!("query {query} type"),
                Fact::Text(text(&answer["resultType"])),
            );
            for series in list(&answer, "result") {
                let value = text(&series["value"][1]).parse().unwrap_or(f64::NAN);
                picture.insert(
                    format!("query {query} {}", series["metric"]),
                    Fact::Number(value, *tolerance),
                );
            }
        }
        for query in RECORDED {
            let path = format!("/api/v1/query?query={}", escape(query));
            for series in list(&data(side.server, &path)?, "result") {
                picture.insert(
                    format!("recorded {}", series["metric"]),
                    Fact::Text("is there".into()),
                );
            }
        }
    }
    Ok(())
}

/// Which alerts fire.
pub fn firing(picture: &Picture) -> BTreeSet<String> {
    let alerts = picture.iter().filter_map(|(place, fact)| {
        let labels = place.strip_prefix("alert ")?.strip_suffix(" state")?;
        matches!(fact, Fact::Text(state) if state == "firing").then(|| labels.to_string())
    });
    alerts.collect()
}

/// The average of each series that recording rules wrote in the last `seconds`.
pub fn recorded_averages(port: u16, seconds: u64) -> Result<BTreeMap<String, f64>, String> {
    // Not `avg_over_time`, which takes the names off.
    let query = format!("{}[{seconds}s]", RECORDED[0]);
    let answer = data(port, &format!("/api/v1/query?query={}", escape(&query)))?;
    let average = |series: &Value| {
        let values = list(series, "values");
        let numbers = values
            .iter()
            .filter_map(|pair| text(&pair[1]).parse::<f64>().ok());
        let average = numbers.sum::<f64>() / values.len().max(1) as f64;
        (series["metric"].to_string(), average)
    };
    Ok(list(&answer, "result").iter().map(average).collect())
}

/// By job, the last moment at which both servers had the same page of its target (and no other since).
fn same_pages(sides: [Side; 2]) -> Result<BTreeMap<String, i64>, String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs() as i64) - 1;
    let mut pages: [BTreeMap<(String, i64), String>; 2] = Default::default();
    for (side, pages) in sides.iter().zip(&mut pages) {
        let path = format!(
            "/api/v1/query_range?query={PAGE}&start={}&end={now}&step=1",
            now - 90
        );
        for series in list(&data(side.server, &path)?, "result") {
            for pair in list(series, "values") {
                let at = pair[0].as_f64().unwrap_or(0.0) as i64;
                pages.insert((text(&series["metric"]["job"]), at), text(&pair[1]));
            }
        }
    }
    let [ours, theirs] = pages;
    // In order of time: the last one stays.
    let same = ours
        .into_iter()
        .filter(|(key, page)| theirs.get(key) == Some(page));
    Ok(same.map(|((job, at), _)| (job, at)).collect())
}

/// Unix seconds of a time such as `2026-01-02T03:04:05.678Z`.
fn time(value: &Value) -> f64 {
    let text = text(value);
    let number = |range: std::ops::Range<usize>| {
        text.get(range)
            .and_then(|digits| digits.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let (year, month, day) = (
        number(0..4) as i64,
        number(5..7) as i64,
        number(8..10) as i64,
    );
    // Days since 1970 of the civil calendar, March first.
    let shifted = year - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = shifted * 365 + shifted / 4 - shifted / 100 + shifted / 400 + of_year - 719_468;
    let fraction: f64 = text
        .get(19..)
        .and_then(|rest| rest.trim_end_matches('Z').parse().ok())
        .unwrap_or(0.0);
    days as f64 * 86_400.0
        + number(11..13) * 3600.0
        + number(14..16) * 60.0
        + number(17..19)
        + fraction
}

/// A text with `#` for each of its numbers.
pub fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let of_number = c.is_ascii_digit() || c == '.' && out.ends_with('#');
        if !of_number {
            out.push(c);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}
