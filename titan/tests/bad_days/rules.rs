//! Rules that are slow, explode or fail.

use serde_json::Value;
use testkit::child::Running;
use testkit::free_port;
use testkit::http::wait_for;

use crate::world::{command, json, metric, samples, say, target};

/// The rule named so.
fn rule(groups: &Value, name: &str) -> Value {
    let groups = groups["data"]["groups"].as_array().expect("groups");
    let mut rules = groups
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten();
    rules
        .find(|rule| rule["name"] == name)
        .unwrap_or_else(|| panic!("{name} in {groups:?}"))
        .clone()
}

#[test]
fn a_bad_rule_costs_itself_and_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let many: String = (0..500).map(|n| format!("many{{n=\"{n}\"}} 1\n")).collect();
    let address = target(move |stream, _| say(stream, "200 OK", many.as_bytes()));
    // Half a million points a series, 500 series: seconds of work, and more samples than a query may hold.
    let slow = "sum(sum_over_time((many * 2)[500000s:1s]))";
    let bad: [(&str, &str, &str); 5] = [
        ("slow", slow, "query timed out"),
        (
            "explodes",
            "many * on() group_left() vector(1)",
            "exceeded limit of 10 with 500 series",
        ),
        (
            "doubles",
            "many",
            "vector contains metrics with the same labelset",
        ),
        (
            "cross",
            "many * on() many",
            "many-to-many matching not allowed",
        ),
        ("text", "'a'", "rule result is not a vector or scalar"),
    ];
    let mut rules = String::from(
        "groups:\n- {name: good, interval: 500ms, rules: [{record: good, expr: 'count(many)'}]}\n",
    );
    for (name, expr, _) in &bad {
        // Series that differ in nothing but `n` become the same.
        let (labels, limit) = if *name == "doubles" {
            ("n: same", 0)
        } else {
            ("", 10)
        };
        rules.push_str(&format!(
            "- name: {name}\n  interval: 500ms\n  limit: {limit}\n  rules:\n  - {{record: {name}, expr: \"{expr}\", labels: {{{labels}}}}}\n  - {{record: after_{name}, expr: 'vector(1)'}}\n"
        ));
    }
    std::fs::write(folder.path().join("rules.yml"), rules).expect("written");
    let port = free_port();
    let config = format!(
        "rule_files: [rules.yml]\nscrape_configs:\n- {{job_name: j, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{{targets: ['{address}']}}]}}\n"
    );
    let mut command = command(folder.path(), port, &config);
    command.arg("--query.timeout=1s");
    let running = Running::start(&mut command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    let failed = |name: &str| {
        let rule = rule(&json(port, "/api/v1/rules"), name);
        rule["health"] == "err"
    };
    wait_for(port, "/-/ready", |_| {
        bad.iter().all(|(name, _, _)| failed(name))
    });
    let fine = |name: &str| samples(port, &format!("{name}[1m]")).len();
    wait_for(port, "/-/ready", |_| fine("good") >= 6);

    let groups = json(port, "/api/v1/rules");
    for (name, _, error) in &bad {
        let told = rule(&groups, name)["lastError"].to_string();
        assert!(told.contains(error), "{name}: {told}");
        assert_eq!(fine(name), 0, "{name} writes nothing");
        assert!(
            fine(&format!("after_{name}")) > 0,
            "the rule after {name} goes on"
        );
        let failures = metric(
            port,
            &format!(
                "prometheus_rule_evaluation_failures_total{{rule_group=\"{}/rules.yml;{name}\"}}",
                folder.path().display()
            ),
        );
        assert!(failures >= 1.0, "{name}: {failures}");
    }
    let good = samples(port, "good[1m]");
    let even = |w: &[(i64, String)]| w[1].0 - w[0].0 <= 2600;
    assert!(
        good.windows(2).all(even),
        "the good group keeps its pace: {good:?}"
    );
    assert!(
        metric(port, "prometheus_rule_group_iterations_missed_total") >= 1.0,
        "the slow group misses slots"
    );
    assert!(metric(port, "process_resident_memory_bytes") < 500e6);
    let (code, log) = running.stop();
    assert_eq!(code, Some(0), "{log}");
    for (name, _, error) in &bad {
        let told = log.lines().any(|line| {
            line.contains("Evaluating rule failed")
                && line.contains(&format!("name={name} "))
                && line.replace("\\\"", "\"").contains(error)
        });
        assert!(told, "{name} in the log: {log}");
    }
}
