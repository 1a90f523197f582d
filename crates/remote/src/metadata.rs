//! Metadata in remote write 1.0: all that scraped targets say, now and then.

use std::sync::Arc;

use model::Metadata;
use wire::remote_write::put_metadata_v1;

use crate::send::{Outcome, Sender, compress};

/// Knows what families the scraped targets have.
pub trait MetadataSource: Send + Sync {
    /// Names with what is known about them, each combination once.
    fn families(&self) -> Vec<(Arc<str>, Arc<Metadata>)>;
}

/// Sends everything once, in requests of at most `per_request` entries.
pub async fn send_all(sender: &Sender, source: &Arc<dyn MetadataSource>, per_request: usize) {
    let families = source.families();
    let metrics = &sender.metrics;
    for part in families.chunks(per_request.max(1)) {
        let mut body = Vec::new();
        for (name, metadata) in part {
            put_metadata_v1(&mut body, name, metadata);
        }
        let count = part.len() as u64;
        let body = match compress(&body) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(component = "remote", remote_name = %sender.name, count, err = %error, "Metadata could not be compressed");
                metrics.failed[3].add(count);
                continue;
            }
        };
        let mut backoff = sender.backoff();
        loop {
            metrics.total[3].add(count);
            match sender.post(&body, &metrics.metadata_bytes, 0).await {
                Outcome::Done => break,
                Outcome::Retry { after, error } => {
                    tracing::warn!(component = "remote", remote_name = %sender.name, url = %sender.shown_url, err = %error, "Failed to send metadata, retrying");
                    metrics.retried[3].add(count);
                    let wait = after.unwrap_or_else(|| backoff.next());
                    sender.clock.sleep(wait).await;
                }
                Outcome::Refused { error, .. } => {
                    tracing::error!(component = "remote", remote_name = %sender.name, url = %sender.shown_url, count, err = %error, "non-recoverable error while sending metadata");
                    metrics.failed[3].add(count);
                    break;
                }
            }
        }
    }
}
