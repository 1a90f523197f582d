use super::*;
use crate::Config;

fn exporter(max_requests: usize) -> NodeExporter {
    let collectors = ["loadavg", "uname"].into_iter().collect();
    let config = Config {
        collectors,
        max_requests,
        ..Config::default()
    };
    NodeExporter::new(
        config,
        Arc::new(env::system::SystemClock::new(|_| {
            Box::pin(std::future::ready(()))
        })),
    )
    .unwrap()
}

#[test]
fn a_page_has_the_collectors_asked_for() {
    let exporter = exporter(40);
    let get = |query: &str| metrics_page(&exporter, query, "", "");
    let page = get("");
    let text = String::from_utf8(page.body).unwrap();
    assert_eq!(
        page.content_type,
        "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    );
    for line in [
        "# TYPE node_load1 gauge",
        "node_uname_info{",
        "node_exporter_build_info{",
        "process_open_fds ",
    ] {
        assert!(text.contains(line), "{line}");
    }
    assert!(text.contains("promhttp_metric_handler_requests_in_flight 1\n"));
    let text = String::from_utf8(get("collect%5B%5D=loadavg").body).unwrap();
    assert!(text.contains("node_load1 ") && !text.contains("node_uname_info"));
    assert!(text.contains("promhttp_metric_handler_requests_total{code=\"200\"} 1\n"));
    let text = String::from_utf8(get("exclude[]=loadavg").body).unwrap();
    assert!(!text.contains("node_load1 ") && text.contains("node_uname_info"));
    let all = get("exclude[]=loadavg&exclude[]=uname&exclude[]=other");
    assert!(String::from_utf8(all.body).unwrap().contains("node_load1 "));
}

#[test]
fn refusals_read_as_upstreams() {
    let exporter = exporter(40);
    for (query, text) in [
        (
            "collect[]=loadavg&exclude[]=uname",
            "Combined collect and exclude queries are not allowed.",
        ),
        (
            "collect[]=nope",
            "Couldn't create filtered metrics handler: couldn't create collector: missing collector: nope",
        ),
        (
            "collect[]=cpu",
            "Couldn't create filtered metrics handler: couldn't create collector: disabled collector: cpu",
        ),
    ] {
        let page = metrics_page(&exporter, query, "", "");
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert_eq!(String::from_utf8(page.body).unwrap(), text);
    }
}

#[test]
fn too_many_scrapes_are_turned_away() {
    let exporter = exporter(1);
    exporter.counts.in_flight.fetch_add(1, Ordering::Relaxed);
    let page = metrics_page(&exporter, "", "", "");
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        page.body,
        b"Limit of concurrent requests reached (1), try again later.\n"
    );
    exporter.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
    assert_eq!(metrics_page(&exporter, "", "", "").status, StatusCode::OK);
}

#[test]
fn pages_are_compressed_on_request() {
    let page = metrics_page(&exporter(0), "", "", "gzip");
    assert!(page.gzip);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&page.body[..]), &mut text)
        .unwrap();
    assert!(text.contains("node_load1 "));
}

#[test]
fn query_escapes() {
    assert_eq!(unescape("a%5b%5D+b%zz%"), "a[] b%zz%");
}
