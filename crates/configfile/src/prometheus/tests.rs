use super::*;
use crate::scrape::ScrapeProtocol;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, &|name| (name == "HOST").then(|| "web-1".to_string()))
}

fn refusal(text: &str) -> String {
    parse(text).expect_err("refused").to_string()
}

#[test]
fn defaults_flow_from_global_to_jobs() {
    let config = parse(
        "global:\n  scrape_interval: 5s\n  sample_limit: 7\n  external_labels: {host: '$HOST', dollar: $$, gone: '${NOPE}x'}\n\
         scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: ['x:1']\n    labels: {env: p}\n- job_name: b\n  scrape_interval: 1m\n  sample_limit: 9\n",
    )
    .expect("loads");
    assert_eq!(
        config.global.scrape_timeout, 5000,
        "the default timeout shrinks to the interval"
    );
    assert_eq!(
        config.global.external_labels.to_string(),
        r#"{dollar="$", gone="x", host="web-1"}"#
    );
    assert_eq!(config.warnings.len(), 1);
    let [a, b] = &config.scrape_configs[..] else {
        panic!("two jobs")
    };
    assert_eq!(
        (a.scrape_interval, a.scrape_timeout, a.limits.samples),
        (5000, 5000, 7)
    );
    assert_eq!(
        (b.scrape_interval, b.scrape_timeout, b.limits.samples),
        (60_000, 5000, 9)
    );
    assert_eq!(a.metrics_path, "/metrics");
    assert!(a.http.follow_redirects && a.enable_compression && a.honor_timestamps);
}

#[test]
fn what_is_printed_loads_again_and_hides_secrets() {
    let text = "global:\n  external_labels: {a: 'true', b: 'x: y'}\nscrape_configs:\n- job_name: 'n: o'\n  params: {m: [a, b]}\n  basic_auth: {username: u, password: hunter2}\n  tls_config: {insecure_skip_verify: true}\n  relabel_configs:\n  - {source_labels: [a, b], regex: '(.*);-', target_label: c, replacement: ''}\n  file_sd_configs:\n  - files: [x/*.yml]\n  static_configs:\n  - targets: ['h:1', 'i:2']\n    labels: {l: v}\n  - targets: []\n- job_name: second\n  relabel_configs: [{target_label: x}, {target_label: y}]\nstorage: {tsdb: {retention: {time: 1d, size: 1GB}}, exemplars: {max_exemplars: 5}}\n";
    let config = parse(text).expect("loads");
    let printed = crate::print::print(&config);
    assert!(!printed.contains("hunter2"), "{printed}");
    let again =
        parse(&printed.replace("<secret>", "hunter2")).unwrap_or_else(|e| panic!("{e}\n{printed}"));
    assert_eq!(crate::print::print(&again), printed);
    assert_eq!(again.global.external_labels, config.global.external_labels);
    assert_eq!(again.storage, config.storage);
    assert_eq!(again.scrape_configs[0].sd_configs.len(), 3);
    assert_eq!(again.scrape_configs[1].relabel_configs.len(), 2);
}

#[test]
fn refusals_name_line_and_field() {
    assert_eq!(
        refusal("global:\n  scrape_intervall: 1s\nfoo: 1\n"),
        "yaml: unmarshal errors:\n  line 2: field scrape_intervall not found in type config.plain\n  line 3: field foo not found in type config.plain"
    );
    assert_eq!(
        refusal("scrape_configs:\n- job_name: a\n- job_name: a\n"),
        "found multiple scrape configs with job name \"a\" (line 3)"
    );
    assert_eq!(
        refusal("scrape_configs:\n- job_name: a\n  scrape_interval: 5\n"),
        "not a valid duration string: \"5\" (line 3: scrape_interval)"
    );
    assert_eq!(
        refusal("global: {scrape_interval: 1s, scrape_timeout: 2s}"),
        "global scrape timeout greater than scrape interval (line 1)"
    );
    assert_eq!(
        refusal("scrape_configs: [{job_name: a, static_configs: [{targets: ['http://x/']}]}]"),
        "\"http://x/\" is not a valid hostname (line 1)"
    );
    assert_eq!(
        refusal("rule_files: ['a*/b.yml']"),
        "invalid rule file path \"a*/b.yml\" (line 1)"
    );
}

#[test]
fn included_files_bring_jobs_and_know_their_folder() {
    let mut config = parse("scrape_config_files: ['jobs/*.yml']\nscrape_configs: [{job_name: a}]")
        .expect("loads");
    config.resolve_paths(Path::new("/etc/p"));
    assert_eq!(config.scrape_config_files, ["/etc/p/jobs/*.yml"]);
    let path = Path::new("/etc/p/jobs/x.yml");
    config
        .add_scrape_config_file(
            "scrape_configs: [{job_name: b, bearer_token_file: token}]",
            path,
            "/etc/p/jobs/x.yml",
        )
        .expect("loads");
    let authorization = config.scrape_configs[1]
        .http
        .authorization
        .as_ref()
        .expect("token");
    assert_eq!(authorization.credentials_file, "/etc/p/jobs/token");
    let error = config
        .add_scrape_config_file("scrape_configs: [{job_name: a}]", path, "/x.yml")
        .expect_err("twice");
    assert_eq!(
        error.to_string(),
        "found multiple scrape configs with job name \"a\", first found in main config file (line 1)"
    );
}

#[test]
fn alerting_and_remote_sections_are_printed_and_read_back() {
    let text = "alerting:\n  alert_relabel_configs: [{action: labeldrop, regex: replica}]\n  alertmanagers:\n  - path_prefix: /am\n    basic_auth: {username: u, password: hunter2}\n    static_configs: [{targets: ['a:9093']}]\n\
remote_write:\n- url: http://u:hunter2@h/push\n  name: far\n  headers: {X-Scope: t}\n  protobuf_message: io.prometheus.write.v2.Request\n  queue_config: {capacity: 7, sample_age_limit: 1h}\n  metadata_config: {send: false}\n  oauth2: {client_id: c, token_url: 'http://t', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key: hunter2, claims: {a: b}}\n\
remote_read:\n- url: http://r/read\n  required_matchers: {job: x}\n\
scrape_configs:\n- job_name: k\n  kubernetes_sd_configs:\n  - role: pod\n    namespaces: {names: [a]}\n    selectors: [{role: pod, label: 'a=b'}]\n    attach_metadata: {node: true}\n  dns_sd_configs: [{names: [x], type: A, port: 80}]\n";
    let config = parse(text).expect("loads");
    let [remote] = &config.remote_write[..] else {
        panic!("one remote write")
    };
    assert!(!remote.http.enable_http2 && config.remote_read[0].http.enable_http2);
    assert_eq!((remote.queue.capacity, remote.queue.max_shards), (7, 50));
    let printed = crate::print::print(&config);
    assert!(!printed.contains("hunter2"), "{printed}");
    let again = parse(&printed).unwrap_or_else(|e| panic!("{e}\n{printed}"));
    assert_eq!(crate::print::print(&again), printed);
    assert_eq!(again.remote_read, config.remote_read);
    assert_eq!(
        again.scrape_configs[0].sd_configs,
        config.scrape_configs[0].sd_configs
    );
}

#[test]
fn defaults_hold_where_the_text_says_nothing() {
    let defaults = || Global {
        extra_scrape_metrics: true,
        scrape_protocols: Some(ScrapeProtocol::PROTOBUF_FIRST.to_vec()),
        ..Global::default()
    };
    for (text, extra, first) in [
        (
            "scrape_configs: [{job_name: a}]",
            true,
            ScrapeProtocol::PrometheusProto,
        ),
        (
            "global: {scrape_interval: 1m}\nscrape_configs: [{job_name: a}]",
            true,
            ScrapeProtocol::PrometheusProto,
        ),
        (
            "global: {extra_scrape_metrics: false, scrape_protocols: [PrometheusText0.0.4]}\nscrape_configs: [{job_name: a}]",
            false,
            ScrapeProtocol::PrometheusText004,
        ),
        (
            "scrape_configs: [{job_name: a, extra_scrape_metrics: false, scrape_protocols: [OpenMetricsText0.0.1]}]",
            false,
            ScrapeProtocol::OpenMetricsText001,
        ),
    ] {
        let config = Config::parse_with(text, &|_: &str| None, defaults()).expect(text);
        let job = &config.scrape_configs[0];
        assert_eq!(
            (job.extra_scrape_metrics, job.scrape_protocols[0]),
            (extra, first),
            "{text}"
        );
    }
}

#[test]
fn names_of_a_secret_manager_are_read_and_shown() {
    let with = |section: &str| {
        let text = format!("scrape_configs: [{{job_name: a, {section}}}]");
        Config::parse(&text, &|_: &str| None)
    };
    for (section, what) in [
        ("basic_auth: {username: u, password_ref: r}", "password"),
        ("basic_auth: {username_ref: r}", "username"),
        ("authorization: {credentials_ref: r}", "credentials"),
        (
            "oauth2: {client_id: c, token_url: 'http://t', client_secret_ref: r}",
            "client secret",
        ),
        ("tls_config: {ca_ref: r}", "CA certificate"),
    ] {
        let config = with(section).expect(section);
        assert_eq!(
            config.scrape_configs[0].http.referred_secret(),
            Some(what),
            "{section}"
        );
        let printed = crate::print::print(&config);
        assert!(printed.contains("_ref: r\n"), "{printed}");
    }
    for (section, message) in [
        (
            "basic_auth: {password: p, password_ref: r}",
            "at most one of basic_auth password, password_file & password_ref must be configured",
        ),
        (
            "tls_config: {cert_ref: r}",
            "exactly one of key or key_file must be configured when a client certificate is configured",
        ),
    ] {
        let error = with(section).expect_err(section).to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn faults_of_form_read_like_upstream() {
    for (text, faults) in [
        (
            "global: {sample_limit: '5'}",
            "line 1: cannot unmarshal !!str `5` into uint",
        ),
        (
            "global: {sample_limit: -1}",
            "line 1: cannot unmarshal !!int `-1` into uint",
        ),
        (
            "global: {external_labels: [a]}",
            "line 1: cannot unmarshal !!seq into map[string]string",
        ),
        (
            "global: {external_labels: {a: b, a: c}}",
            "line 1: key \"a\" already set in map",
        ),
        (
            "global: {body_size_limit: [1]}",
            "line 1: cannot unmarshal !!seq into units.Base2Bytes",
        ),
        (
            "global: {scrape_protocols: a}",
            "line 1: cannot unmarshal !!str `a` into []config.ScrapeProtocol",
        ),
        (
            "scrape_configs: {a: b}",
            "line 1: cannot unmarshal !!map into []*config.ScrapeConfig",
        ),
        (
            "scrape_configs: [a]",
            "line 1: cannot unmarshal !!str `a` into config.ScrapeConfig",
        ),
        // A job without a name, but its form is wrong already.
        (
            "scrape_configs: [{foo: 1}]",
            "line 1: field foo not found in type config.ScrapeConfig",
        ),
        (
            "scrape_configs: [{job_name: a, honor_labels: 1}]",
            "line 1: cannot unmarshal !!int `1` into bool",
        ),
        (
            "scrape_configs: [{job_name: a, params: {a: b}}]",
            "line 1: cannot unmarshal !!str `b` into []string",
        ),
        (
            "scrape_configs: [{job_name: a, basic_auth: {a: b}}]",
            "line 1: field a not found in type config.plain",
        ),
        (
            "scrape_configs: [{job_name: a, bearer_token: [b]}]",
            "line 1: cannot unmarshal !!seq into config.plain",
        ),
        (
            "scrape_configs: [{job_name: a, relabel_configs: [{modulus: x}]}]",
            "line 1: cannot unmarshal !!str `x` into uint64",
        ),
        (
            "scrape_configs: [{job_name: a, file_sd_configs: [{files: a}]}]",
            "line 1: cannot unmarshal !!str `a` into []string",
        ),
        (
            "remote_write: [{url: 'http://a', queue_config: {capacity: true}}]",
            "line 1: cannot unmarshal !!bool `true` into int",
        ),
        (
            "storage: {exemplars: {max_exemplars: x}}",
            "line 1: cannot unmarshal !!str `x` into int64",
        ),
        (
            "rule_files: a-long-name.yml",
            "line 1: cannot unmarshal !!str `a-long-...` into []string",
        ),
        ("[a]: b", "line 1: cannot unmarshal !!seq into string"),
        (
            "a: 1\nglobal:\n  b: 2\nc: 3\n",
            "line 1: field a not found in type config.plain\n  line 3: field b not found in type config.plain\n  line 4: field c not found in type config.plain",
        ),
        // What is merged is read where it was written, too.
        (
            "scrape_configs:\n- &j\n  job_name: a\n  foo: 1\n- <<: *j\n  job_name: b\n",
            "line 4: field foo not found in type config.ScrapeConfig\n  line 4: field foo not found in type config.ScrapeConfig",
        ),
    ] {
        let wanted = format!("yaml: unmarshal errors:\n  {faults}");
        assert_eq!(parse(text).expect_err(text).to_string(), wanted, "{text}");
    }
}

#[test]
fn faults_of_meaning_read_like_upstream() {
    let job = |section: &str| format!("scrape_configs: [{{job_name: a, {section}}}]");
    for (text, message) in [
        (
            job("scrape_interval: 1.5m"),
            "unknown unit \".\" in duration \"1.5m\"",
        ),
        (
            job("scrape_protocols: []"),
            "scrape_protocols cannot be empty for scrape config with job name \"a\"",
        ),
        (
            job("scrape_protocols: [PrometheusProto, prometheusproto]"),
            "duplicated protocol in scrape_protocols, got [PrometheusProto prometheusproto] for scrape config with job name \"a\"",
        ),
        (
            job("scrape_protocols: [OpenMetricsText2.0.0]"),
            "scrape_protocols: OpenMetricsText2.0.0: this build lacks OpenMetrics 2.0; use OpenMetricsText1.0.0 for scrape config with job name \"a\"",
        ),
        (
            job("metric_name_escaping_scheme: x"),
            "unknown scrape config name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got \"x\"",
        ),
        (
            job("http_headers: {host: {values: [a]}}"),
            "setting header \"Host\" is not allowed",
        ),
        (
            job("file_sd_configs: [~]"),
            "empty or null section in file_sd_configs",
        ),
        (
            job("static_configs: [{targets: [a], labels: {'': b}}]"),
            "\"\" is not a valid label name",
        ),
        (
            job("relabel_configs: [{regex: '('}]"),
            "error parsing regexp: missing closing ): `^(?s:()$`",
        ),
        (
            job("relabel_configs: [{action: ''}]"),
            "unknown relabel action \"\"",
        ),
        (
            job("relabel_configs: [{action: ~, target_label: x}]"),
            "relabel action cannot be empty",
        ),
        (
            job("kubernetes_sd_configs: [{role: pod, api_server: 'http://a:b'}]"),
            "parse \"http://a:b\": invalid port \":b\" after host",
        ),
        (
            job("kubernetes_sd_configs: [{role: pod, selectors: [{}]}]"),
            "pod role supports only pod, node selectors",
        ),
        (
            "global: {external_labels: {~: a}}".into(),
            "\"\" is not a valid label name",
        ),
        (
            "global: {metric_name_validation_scheme: legacy, external_labels: {a-b: c}}".into(),
            "\"a-b\" is not a valid label name",
        ),
        (
            format!(
                "global: {{metric_name_escaping_scheme: x}}\n{}",
                job("scheme: http")
            ),
            "unknown global name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got \"x\"",
        ),
        (
            "global: {body_size_limit: 99999EB}".into(),
            "units: overflow parsing unit",
        ),
        (
            "remote_write: [{url: 'http://a', queue_config: }]".into(),
            "remote write queue max_shards must be positive",
        ),
        (
            "remote_write: [{url: 'http://a', protobuf_message: ''}]".into(),
            "invalid protobuf_message value: unknown type for remote write protobuf message , supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
        ),
        (
            "alerting: {alertmanagers: [{api_version: ''}]}".into(),
            "expected Alertmanager api version to be one of [v2] but got ",
        ),
        (
            "storage: {tsdb: {retention: {size: -1MB}}}".into(),
            "'storage.tsdb.retention.size' must be greater than or equal to 0, got -1MiB",
        ),
        (
            "storage: {tsdb: {retention: {percentage: 101}}}".into(),
            "'storage.tsdb.retention.percentage' must be in the range [0, 100], got 101",
        ),
        (
            "storage: {tsdb: {chunk_encoding: {floats: XOR}}}".into(),
            "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got \"XOR\"",
        ),
        (
            "otlp: {promote_resource_attributes: [a, a, ' ']}".into(),
            "invalid 'promote_resource_attributes': duplicated promoted OTel resource attribute \"a\"\nempty promoted OTel resource attribute",
        ),
        ("tracing: {}".into(), "tracing endpoint must be set"),
    ] {
        let told = parse(&text).expect_err(&text).to_string();
        let (told, place) = told.rsplit_once(" (").unwrap_or((&told, ""));
        assert_eq!(told, message, "{text}");
        assert!(place.starts_with("line "), "{text}: {place}");
    }
}

#[test]
fn what_upstream_takes_is_taken() {
    for text in [
        "global: {sample_limit: 1.5, target_limit: 0x10}",
        "global: {body_size_limit: -1MB}",
        "global: {metric_name_escaping_scheme: nobody-uses-it}",
        "global:\n  scrape_interval:\t5s\n",
        "global: {}#comment\n",
        "\u{feff}global: {}\n",
        "global: !!null ''\n",
        "scrape_configs: [{job_name: a, relabel_configs: [{source_labels: [~], target_label: b}]}]",
        "global: {metric_name_validation_scheme: legacy}\nscrape_configs: [{job_name: a, relabel_configs: [{source_labels: [a-b], target_label: b}]}]",
        "storage: {tsdb: {stale_series_compaction_threshold: 2}}",
        "global: {query_max_series: 5, query_max_samples_read: 6, query_max_duration: 1m}",
    ] {
        parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    }
}

#[test]
fn yaml_is_refused_like_upstream_refuses_it() {
    for (text, message) in [
        (
            "global:\n\tscrape_interval: 5s\n",
            "yaml: line 2: found character that cannot start any token",
        ),
        (
            "global: a: b\n",
            "yaml: mapping values are not allowed in this context",
        ),
        (
            "global: {a: b\n",
            "yaml: line 1: did not find expected ',' or '}'",
        ),
        (
            "rule_files: [a, b\n",
            "yaml: line 1: did not find expected ',' or ']'",
        ),
        ("a: *b\n", "yaml: unknown anchor 'b' referenced"),
        ("a: &b [*b]\n", "yaml: anchor 'b' value contains itself"),
        ("a: \"\\q\"\n", "yaml: found unknown escape character"),
        ("a: \"\u{1}\"\n", "yaml: control characters are not allowed"),
        (
            "%YAML 1.2\n---\n{}\n",
            "yaml: found incompatible YAML document",
        ),
        (
            "scrape_configs:\n- <<: [5]\n",
            "yaml: map merge requires map or sequence of maps as the value",
        ),
    ] {
        assert_eq!(parse(text).expect_err(text).to_string(), message, "{text}");
    }
}
