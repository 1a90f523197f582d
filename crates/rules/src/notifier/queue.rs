//! What waits for one Alertmanager, and the loop that sends it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloud::CloudClient;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::metrics::NotifierMetrics;
use super::{NotifierOptions, payload};

/// The queue of one Alertmanager with its loop.
pub(super) struct SendLoop {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    url: String,
    client: Mutex<CloudClient>,
    timeout: Duration,
    options: NotifierOptions,
    metrics: NotifierMetrics,
    queue: Mutex<VecDeque<Arc<str>>>,
    wake: Notify,
    stopping: AtomicBool,
}

impl SendLoop {
    pub fn start(
        url: &str,
        client: &CloudClient,
        timeout: Duration,
        options: &NotifierOptions,
        metrics: &NotifierMetrics,
    ) -> SendLoop {
        metrics.begin(url);
        let shared = Arc::new(Shared {
            url: url.to_string(),
            client: Mutex::new(client.clone()),
            timeout,
            options: options.clone(),
            metrics: metrics.clone(),
            queue: Mutex::default(),
            wake: Notify::new(),
            stopping: AtomicBool::new(false),
        });
        SendLoop {
            task: tokio::spawn(run(shared.clone())),
            shared,
        }
    }

    /// Uses another client from the next request on.
    pub fn use_client(&self, client: &CloudClient) {
        *self.shared.client.lock() = client.clone();
    }

    /// Queues alerts; the oldest go where there is no room.
    pub fn add(&self, alerts: &[Arc<str>]) {
        let shared = &self.shared;
        let capacity = shared.options.queue_capacity;
        let too_many = alerts.len().saturating_sub(capacity);
        let mut queue = shared.queue.lock();
        let kept = &alerts[too_many..];
        let displaced = (queue.len() + kept.len()).saturating_sub(capacity);
        let oldest = displaced.min(queue.len());
        queue.drain(..oldest);
        queue.extend(kept.iter().cloned());
        let waiting = queue.len();
        drop(queue);
        if too_many > 0 {
            tracing::warn!(component = "notifier", alertmanager = %shared.url, count = too_many, "Alert batch larger than queue capacity, dropping alerts");
        }
        if displaced > 0 {
            tracing::warn!(component = "notifier", alertmanager = %shared.url, count = displaced, "Alert notification queue full, dropping alerts");
        }
        let url = [shared.url.as_str()];
        shared
            .metrics
            .dropped
            .with(&url)
            .add((too_many + displaced) as u64);
        shared.metrics.queue_length.with(&url).set(waiting as f64);
        shared.wake.notify_one();
    }

    /// Ends the loop; with `drain` what waits is sent first, else it is gone when this returns.
    pub fn stop(self, drain: bool) -> impl Future<Output = ()> + Send + 'static {
        if !drain {
            let left = self.shared.queue.lock().drain(..).count();
            if left > 0 {
                tracing::warn!(component = "notifier", alertmanager = %self.shared.url, count = left, "Alert notification queue not drained, dropping alerts");
                let url = [self.shared.url.as_str()];
                self.shared.metrics.dropped.with(&url).add(left as u64);
            }
        }
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.wake.notify_one();
        async move {
            let _ = self.task.await;
        }
    }
}

async fn run(shared: Arc<Shared>) {
    loop {
        let (batch, waiting) = {
            let mut queue = shared.queue.lock();
            let n = queue.len().min(shared.options.batch_size.max(1));
            let batch: Vec<Arc<str>> = queue.drain(..n).collect();
            (batch, queue.len())
        };
        if batch.is_empty() {
            if shared.stopping.load(Ordering::Acquire) {
                return;
            }
            shared.wake.notified().await;
            continue;
        }
        let gauge = shared.metrics.queue_length.with(&[shared.url.as_str()]);
        gauge.set(waiting as f64);
        shared.send(&batch).await;
    }
}

impl Shared {
    async fn send(&self, batch: &[Arc<str>]) {
        let started = self.options.clock.monotonic();
        let result = self.post(payload::body(batch)).await;
        let took = self.options.clock.monotonic().saturating_sub(started);
        let url = [self.url.as_str()];
        self.metrics.latency.with(&url).observe(took.as_secs_f64());
        self.metrics
            .latency_histogram
            .with(&url)
            .observe(took.as_secs_f64());
        let count = batch.len() as u64;
        match result {
            Ok(()) => self.metrics.sent.with(&url).add(count),
            Err(error) => {
                self.metrics.errors.with(&url).add(count);
                self.metrics.dropped.with(&url).add(count);
                tracing::error!(component = "notifier", alertmanager = %self.url, count, err = %error, "Error sending alerts");
            }
        }
    }

    async fn post(&self, body: String) -> Result<(), String> {
        let client = self.client.lock().clone();
        let request = client
            .post(&self.url)
            .await
            .map_err(|e| e.to_string())?
            .header("Content-Type", "application/json")
            .timeout(self.timeout)
            .body(body);
        let sent = client.send(request).await;
        let response = sent.map_err(|e| describe(&e))?;
        let status = response.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("bad response status {status}"))
        }
    }
}

/// The error with its causes: the outermost says little.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
