use super::*;
use configfile::Config;

fn job(extra: &str) -> ScrapeConfig {
    let text = format!("scrape_configs:\n- job_name: j\n{extra}");
    let mut config = Config::parse(&text, &|_| None).expect("loads");
    config.scrape_configs.remove(0)
}

fn one(labels: &[(&str, &str)], extra: &str) -> Outcome {
    let group = TargetGroup {
        source: "s".into(),
        targets: vec![Labels::from_pairs(labels.iter().copied())],
        labels: Labels::from_pairs([("group", "g"), ("own", "lost")]),
    };
    targets_of(&group, &job(extra)).remove(0)
}

fn kept(labels: &[(&str, &str)], extra: &str) -> Target {
    match one(labels, extra) {
        Outcome::Keep(target) => *target,
        other => panic!("kept, not {other:?}"),
    }
}

fn fault(labels: &[(&str, &str)], extra: &str) -> String {
    match one(labels, extra) {
        Outcome::Fault(fault) => fault,
        other => panic!("refused, not {other:?}"),
    }
}

#[test]
fn labels_and_url() {
    let target = kept(
        &[
            ("__address__", "h:1"),
            ("own", "wins"),
            ("__meta_x", "y"),
            ("__param_m", "first"),
        ],
        "  params: {m: [a, b], z: ['x y&']}\n  scheme: https\n  metrics_path: p\n",
    );
    assert_eq!(
        target.labels.to_string(),
        r#"{group="g", instance="h:1", job="j", own="wins"}"#
    );
    assert_eq!(target.url, "https://h:1/p?m=first&m=b&z=x+y%26");
    assert_eq!((target.interval, target.timeout), (60_000, 10_000));
    assert_eq!(target.discovered().get("__meta_x"), Some("y"));
    assert_eq!(target.all.get("__meta_x"), None);
}

#[test]
fn what_a_url_cannot_hold_is_escaped() {
    let url = |labels: &[(&str, &str)]| kept(labels, "").url;
    assert_eq!(
        url(&[("__address__", "h:1"), ("__metrics_path__", "/p?x=y#z")]),
        "http://h:1/p%3Fx=y%23z"
    );
    assert_eq!(
        url(&[("__address__", "é b:1"), ("__metrics_path__", "/é %20")]),
        "http://%C3%A9%20b:1/%C3%A9%20%2520"
    );
    assert_eq!(
        url(&[("__address__", "[::1]:9"), ("__metrics_path__", "/a:b@c")]),
        "http://[::1]:9/a:b@c"
    );
    let words = [
        ("__address__", "h"),
        ("__scrape_native_histograms__", "T"),
        ("__convert_classic_histograms_to_nhcb__", "0"),
    ];
    let histograms = kept(&words, "  convert_classic_histograms_to_nhcb: true\n").histograms;
    assert!(histograms.scrape_native && !histograms.convert_classic);
}

#[test]
fn relabelling_may_drop_and_change() {
    let drop = "  relabel_configs: [{source_labels: [own], regex: x, action: drop}]\n";
    let Outcome::Drop(labels) = one(&[("__address__", "h"), ("own", "x")], drop) else {
        panic!("dropped")
    };
    assert_eq!(labels.get("job"), Some("j"));
    let change = "  relabel_configs:\n  - {target_label: __address__, replacement: 'other:2'}\n  - {target_label: __scrape_interval__, replacement: 20s}\n  - {target_label: __scrape_timeout__, replacement: 3s}\n";
    let target = kept(&[("__address__", "h")], change);
    assert_eq!(target.url, "http://other:2/metrics");
    assert_eq!((target.interval, target.timeout), (20_000, 3000));
}

#[test]
fn faults_read_like_upstream() {
    assert_eq!(fault(&[("x", "y")], ""), "no address");
    let socket = [("__address__", "h:1"), ("__unix_socket__", "/run/x")];
    assert_eq!(
        fault(&socket, ""),
        "__unix_socket__ is not part of this build"
    );
    assert_eq!(
        fault(
            &[("__address__", "http://x/")],
            "  relabel_configs: [{target_label: a}]\n"
        ),
        "\"http://x/\" is not a valid hostname"
    );
    assert_eq!(
        fault(&[("__address__", "h"), ("__scrape_interval__", "nope")], ""),
        "error parsing scrape interval: not a valid duration string: \"nope\""
    );
    assert_eq!(
        fault(&[("__address__", "h"), ("__scrape_timeout__", "2m")], ""),
        "scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")"
    );
    assert_eq!(
        fault(&[("__address__", "h"), ("__scrape_interval__", "0s")], ""),
        "scrape interval cannot be 0"
    );
    assert_eq!(
        fault(
            &[
                ("__address__", "h"),
                ("__scrape_native_histograms__", "maybe")
            ],
            ""
        ),
        "error parsing scrape native histograms: strconv.ParseBool: parsing \"maybe\": invalid syntax"
    );
}

#[test]
fn any_label_makes_another_target() {
    let a = kept(&[("__address__", "h")], "");
    let b = kept(&[("__address__", "h"), ("__internal", "1")], "");
    assert_ne!(a.hash(), b.hash());
    assert_eq!(
        a.hash(),
        kept(&[("__address__", "h"), ("__meta_x", "1")], "").hash()
    );
}
