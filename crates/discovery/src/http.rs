//! `http_sd_configs`: targets as a JSON list from a server.

use std::sync::Arc;
use std::time::Duration;

use configfile::sd::HttpSdConfig;
use env::instruments::Counter;
use env::{Clock, Registry};
use net::dials::Dials;
use net::http_client::{HttpClient, TransportError};
use net::transport_error::describe;

use crate::asker::Asker;
use crate::group::TargetGroup;
use crate::refresh::RefreshMetrics;

/// The label with the address that a target comes from.
const URL: &str = "__meta_url";
/// No list of targets is as long as this.
const MAX_BODY: usize = 256 << 20;

/// Publishes the server's groups for as long as it is polled. A failed request keeps what was there.
pub async fn run(
    config: HttpSdConfig,
    asker: Asker,
    user_agent: String,
    clock: Arc<dyn Clock>,
    registry: Registry,
    refreshes: RefreshMetrics,
    publish: impl Fn(Vec<TargetGroup>) + Send,
) {
    let failures = failures(&registry);
    let dials = Dials::of(&registry, "http");
    let interval = Duration::from_millis(config.refresh_interval.max(1) as u64);
    let mut client: Option<HttpClient> = None;
    loop {
        let began = clock.monotonic();
        let fetched = fetch(&config, &user_agent, &dials, interval, &mut client).await;
        refreshes.note(clock.monotonic().saturating_sub(began), fetched.is_err());
        match fetched {
            Ok(groups) => publish(groups),
            Err(error) => {
                failures.inc();
                tracing::error!(component = %asker.component, discovery = "http", config = %asker.config, err = %error, "Unable to refresh target groups");
            }
        }
        clock.sleep(interval).await;
    }
}

/// Refreshes that failed, of all jobs.
pub(crate) fn failures(registry: &Registry) -> Counter {
    registry.counter(
        "prometheus_sd_http_failures_total",
        "Number of HTTP service discovery refresh failures.",
    )
}

async fn fetch(
    config: &HttpSdConfig,
    user_agent: &str,
    dials: &Dials,
    interval: Duration,
    client: &mut Option<HttpClient>,
) -> Result<Vec<TargetGroup>, String> {
    // Kept for its connections and tokens; what its files lack now may be there next time.
    let client = match client {
        Some(client) => client,
        None => {
            let new = HttpClient::counted(&config.http, user_agent, dials);
            client.insert(new.map_err(|e| e.to_string())?)
        }
    };
    let request = client
        .get(&config.url)
        .await
        .map_err(|e| e.to_string())?
        .header("Accept", "application/json")
        .header(
            "X-Prometheus-Refresh-Interval-Seconds",
            model::number::format_float(interval.as_secs_f64()),
        )
        .timeout(interval);
    let shown = configfile::secret::redact_url(&config.url);
    let broken =
        |e: TransportError| describe("Get", &shown, &e.without_url(), config.http.proxy.is_none());
    let mut response = request.send().await.map_err(broken)?;
    if response.status() != 200 {
        return Err(format!("server returned HTTP status {}", response.status()));
    }
    let content_type = response
        .headers()
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("")
        .to_string();
    if !is_json(&content_type) {
        return Err(format!("unsupported content type {content_type:?}"));
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(broken)? {
        if body.len() + part.len() > MAX_BODY {
            return Err(format!(
                "the list of targets is longer than {MAX_BODY} bytes"
            ));
        }
        body.extend_from_slice(&part);
    }
    parse(&body, &shown)
}

/// JSON, perhaps with the one character set that JSON has.
fn is_json(content_type: &str) -> bool {
    let content_type = content_type.to_ascii_lowercase();
    match content_type.split_once(';') {
        None => content_type == "application/json",
        Some((kind, charset)) => {
            kind == "application/json"
                && matches!(charset.trim_start(), "charset=utf-8" | "charset=\"utf-8\"")
        }
    }
}

fn parse(body: &[u8], url: &str) -> Result<Vec<TargetGroup>, String> {
    let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
    let groups = configfile::sd::parse_json_target_file(text).map_err(|e| e.to_string())?;
    Ok(groups
        .iter()
        .enumerate()
        .map(|(i, group)| {
            TargetGroup::from_static(format!("{url}:{i}"), group).with_label(URL, url)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_recorded_answers() {
        let body = br#"[{"targets": ["a:1"], "labels": {"__meta_x": "y"}}, {"targets": []}]"#;
        let groups = parse(body, "http://h/sd").expect("parses");
        assert_eq!(groups[0].source, "http://h/sd:0");
        assert_eq!(groups[0].labels.get("__meta_url"), Some("http://h/sd"));
        assert_eq!(groups.len(), 2);
        assert!(parse(b"[null]", "u").is_err());
        assert!(parse(b"{}", "u").is_err());
        assert!(parse(br#"[{"target": []}]"#, "u").is_err());
        assert!(is_json("application/json; charset=utf-8") && is_json("application/json"));
        assert!(is_json("Application/JSON;charset=\"UTF-8\""));
        for other in [
            "",
            "text/plain",
            "application/json; charset=latin1",
            "application/json; version=1",
            "application/json; charset=utf-8; charset=utf-8",
        ] {
            assert!(!is_json(other), "{other}");
        }
    }
}
