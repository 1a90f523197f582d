//! Secrets that must not get out.

use testkit::free_port;
use testkit::http::{get, request, wait_for};

use crate::world::{command, metric};

#[test]
fn secrets_stay_in_their_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    std::fs::write(folder.path().join("token"), "s3cr3t-of-file").expect("written");
    let job = |name: &str, auth: &str| {
        format!("- job_name: {name}\n  static_configs: [{{targets: ['127.0.0.1:1']}}]\n  {auth}\n")
    };
    let http = [
        ("basic", "basic_auth: {username: u, password: s3cr3t-basic}"),
        ("bearer", "authorization: {credentials: s3cr3t-bearer}"),
        ("file", "authorization: {credentials_file: token}"),
        (
            "oauth",
            "oauth2: {client_id: c, client_secret: s3cr3t-oauth, token_url: 'http://u:s3cr3t-tokenurl@127.0.0.1:1/token'}",
        ),
        (
            "headers",
            "http_headers: {X-Key: {secrets: [s3cr3t-header]}}",
        ),
        ("proxy", "proxy_url: 'http://u:s3cr3t-proxy@127.0.0.1:1'"),
        (
            "proxyheader",
            "proxy_url: 'http://127.0.0.1:1'\n  proxy_connect_header: {X: [s3cr3t-connect]}",
        ),
    ];
    let mut scrapes = String::new();
    for (name, auth) in http {
        scrapes.push_str(&job(name, auth));
        let indented = auth.replace("\n  ", "\n    ");
        scrapes.push_str(&format!(
            "- job_name: sd-{name}\n  http_sd_configs:\n  - url: 'http://u:s3cr3t-sdurl@127.0.0.1:1/{name}'\n    refresh_interval: 1s\n    {indented}\n"
        ));
    }
    let each = |list: &mut String, url: &str, more: &str| {
        for (name, auth) in http {
            let indented = auth.replace('\n', "\n  ");
            let indented = indented.replace("\n    ", "\n  ");
            list.push_str(&format!(
                "- url: 'http://u:s3cr3t-url@127.0.0.1:1/{url}-{name}'\n{more}  {indented}\n"
            ));
        }
    };
    let (mut writes, mut reads) = (String::new(), String::new());
    each(
        &mut writes,
        "write",
        "  queue_config: {batch_send_deadline: 100ms}\n",
    );
    each(&mut reads, "read", "  read_recent: true\n");
    let id = "00000000-0000-0000-0000-000000000000";
    let more = "  queue_config: {batch_send_deadline: 100ms}\n";
    writes.push_str(&format!("- url: 'http://127.0.0.1:1/sigv4'\n{more}  sigv4: {{region: r, access_key: a, secret_key: s3cr3t-sigv4}}\n"));
    writes.push_str(&format!("- url: 'http://127.0.0.1:1/azuread'\n{more}  azuread: {{oauth: {{client_id: {id}, client_secret: s3cr3t-azure, tenant_id: t}}}}\n"));
    let mut managers = String::new();
    for (_, auth) in http {
        let indented = auth.replace("\n  ", "\n    ");
        managers.push_str(&format!(
            "  - static_configs: [{{targets: ['127.0.0.1:1']}}]\n    {indented}\n  - http_sd_configs: [{{url: 'http://u:s3cr3t-amsd@127.0.0.1:1/'}}]\n"
        ));
    }
    std::fs::write(
        folder.path().join("rules.yml"),
        "groups:\n- {name: g, interval: 1s, rules: [{alert: A, expr: vector(1)}]}\n",
    )
    .expect("written");
    let whole = |writes: &str| {
        format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\nscrape_configs:\n{scrapes}remote_write:\n{writes}remote_read:\n{reads}alerting:\n  alertmanagers:\n{managers}"
        )
    };
    let mut server = command(folder.path(), port, &whole(&writes));
    server.env("AZURE_AUTHORITY_HOST", "http://127.0.0.1:1");
    let running = testkit::server::start(&mut server, port);
    // Everything has failed at least once.
    wait_for(port, "/metrics", |_| {
        metric(port, "prometheus_notifications_errors_total") > 0.0
            && metric(port, "prometheus_remote_storage_samples_retried_total") > 0.0
            && metric(port, "prometheus_sd_refresh_failures_total") > 0.0
    });
    wait_for(port, "/api/v1/targets", |answer| {
        answer.body.matches("\"health\":\"down\"").count() == http.len()
    });
    let mut pages = Vec::new();
    for path in [
        "/metrics",
        "/",
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/api/v1/status/runtimeinfo",
        "/api/v1/targets",
        "/api/v1/scrape_pools",
        "/api/v1/alertmanagers",
        "/api/v1/rules",
        "/api/v1/notifications",
        "/api/v1/query?query=up",
        "/api/v1/series?match[]=up",
        "/api/v1/labels",
        "/federate?match[]=up",
    ] {
        pages.push((path.to_string(), get(port, path).body));
    }
    let config = &pages[2].1;
    assert!(config.contains("<secret>"), "{config}");
    assert!(config.contains("u:xxxxx@127.0.0.1:1"), "{config}");
    // Wrong configurations are quoted in their errors, but not their secrets.
    for wrong in [
        "scrape_configs: [{job_name: a, basic_auth: {password: s3cr3t-a, password_file: f}}]",
        "scrape_configs: [{job_name: a, basic_auth: {password: [s3cr3t-b]}}]",
        "scrape_configs: [{job_name: a, authorization: {type: basic, credentials: s3cr3t-c}}]",
        "remote_write: [{url: 'http://u:s3cr3t-d@127.0.0.1:bad/'}]",
        "remote_write: [{url: 'ftp://u:s3cr3t-e@127.0.0.1/'}, {url: 'ftp://u:s3cr3t-e@127.0.0.1/'}]",
        "scrape_configs: [{job_name: a, http_sd_configs: [{url: 'ftp://u:s3cr3t-f@127.0.0.1/'}]}]",
        "scrape_configs: [{job_name: a, proxy_url: 'http://u:s3cr3t-g@:x/'}]",
        "scrape_configs: [{job_name: a, tls_config: {cert: c, key: s3cr3t-h}}]",
        "remote_write: [{url: 'http://h/', sigv4: {secret_key: s3cr3t-i}}]",
        "remote_write: [{url: 'http://h/', azuread: {oauth: {client_secret: s3cr3t-j}}}]",
        "remote_write: [{url: 'http://h/', azuread: {certificate: {client_id: 00000000-0000-0000-0000-000000000000, tenant_id: t, certificate_path: token, certificate_password: s3cr3t-k}}}]",
        "remote_write: [{url: 'http://h/', google_iam: {credentials_file: token}}]",
    ] {
        std::fs::write(folder.path().join("prometheus.yml"), wrong).expect("written");
        let answer =
            request(port, "POST", "/-/reload").unwrap_or_else(|| panic!("no answer to {wrong}"));
        assert_eq!(answer.status, 500, "{wrong}: it loads");
        pages.push((wrong.to_string(), answer.body));
    }
    pages.push((
        "/api/v1/notifications, now".into(),
        get(port, "/api/v1/notifications").body,
    ));
    let (_, log) = running.stop();
    pages.push(("the log".into(), log));
    let mut found_all = Vec::new();
    for (name, page) in &pages {
        let found = page.match_indices("s3cr3t").map(|(at, _)| {
            let from = page[..at].char_indices().nth_back(80).map_or(0, |(i, _)| i);
            page[from..].chars().take(120).collect::<String>()
        });
        found_all.extend(found.map(|text| format!("{name}: {text}")));
    }
    assert!(found_all.is_empty(), "{found_all:#?}");
}
