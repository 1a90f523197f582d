//! `alerting`, `remote_write`, `remote_read`.

use model::duration::format_duration;

use super::cloud_identity::{print_cloud_identity, print_sigv4};
use super::discovery::print_discovery;
use super::http_client::print_http_client;
use super::{Writer, print_rules};
use crate::alerting::{AlertingConfig, AlertmanagerConfig};
use crate::remote::{RemoteReadConfig, RemoteWriteConfig};
use crate::secret::redact_url;

pub(super) fn print_alerting(out: &mut Writer, alerting: &AlertingConfig) {
    if *alerting == AlertingConfig::default() {
        return;
    }
    out.section("alerting");
    print_rules(
        out,
        "alert_relabel_configs",
        &alerting.alert_relabel_configs,
    );
    if !alerting.alertmanagers.is_empty() {
        out.section("alertmanagers");
        for set in &alerting.alertmanagers {
            out.item();
            print_alertmanager(out, set);
        }
        out.end();
    }
    out.end();
}

fn print_alertmanager(out: &mut Writer, set: &AlertmanagerConfig) {
    print_http_client(out, &set.http);
    if let Some(sigv4) = &set.sigv4 {
        print_sigv4(out, sigv4);
    }
    out.text_field("scheme", &set.scheme);
    out.filled("path_prefix", &set.path_prefix);
    out.field("timeout", format_duration(set.timeout));
    out.field("api_version", "v2");
    print_rules(out, "relabel_configs", &set.relabel_configs);
    print_rules(out, "alert_relabel_configs", &set.alert_relabel_configs);
    print_discovery(out, &set.sd_configs);
}

/// One entry of `remote_write`.
pub(super) fn print_remote_write(out: &mut Writer, remote: &RemoteWriteConfig) {
    out.text_field("url", &redact_url(&remote.url));
    out.field("remote_timeout", format_duration(remote.timeout));
    out.pairs("headers", &remote.headers);
    print_rules(out, "write_relabel_configs", &remote.relabel_configs);
    out.filled("name", &remote.name);
    for (name, on) in [
        ("send_exemplars", remote.send_exemplars),
        ("send_native_histograms", remote.send_native_histograms),
        ("round_robin_dns", remote.round_robin_dns),
        ("failed_request_logging", remote.failed_request_logging),
    ] {
        if on {
            out.field(name, true);
        }
    }
    out.field("protobuf_message", remote.message.as_str());
    print_http_client(out, &remote.http);
    let queue = &remote.queue;
    out.section("queue_config");
    out.field("capacity", queue.capacity);
    out.field("max_shards", queue.max_shards);
    out.field("min_shards", queue.min_shards);
    out.field("max_samples_per_send", queue.max_samples_per_send);
    out.field(
        "batch_send_deadline",
        format_duration(queue.batch_send_deadline),
    );
    out.field("min_backoff", format_duration(queue.min_backoff));
    out.field("max_backoff", format_duration(queue.max_backoff));
    if queue.retry_on_http_429 {
        out.field("retry_on_http_429", true);
    }
    if queue.sample_age_limit != 0 {
        out.field("sample_age_limit", format_duration(queue.sample_age_limit));
    }
    out.end();
    out.section("metadata_config");
    out.field("send", remote.metadata.send);
    out.field(
        "send_interval",
        format_duration(remote.metadata.send_interval),
    );
    out.field("max_samples_per_send", remote.metadata.max_samples_per_send);
    out.end();
    if let Some(identity) = &remote.identity {
        print_cloud_identity(out, identity);
    }
}

/// One entry of `remote_read`.
pub(super) fn print_remote_read(out: &mut Writer, remote: &RemoteReadConfig) {
    out.text_field("url", &redact_url(&remote.url));
    out.field("remote_timeout", format_duration(remote.timeout));
    out.field("chunked_read_limit", remote.chunked_read_limit);
    out.pairs("headers", &remote.headers);
    out.field("read_recent", remote.read_recent);
    out.filled("name", &remote.name);
    print_http_client(out, &remote.http);
    out.labels("required_matchers", &remote.required_matchers);
    out.field("filter_external_labels", remote.filter_external_labels);
}
