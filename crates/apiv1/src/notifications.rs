//! `/notifications`: what the user should know of now, as a list and as it changes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use env::Registry;
use env::instruments::Counter;
use http::{HeaderValue, Response, StatusCode, header};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Semaphore, broadcast, mpsc};

use crate::respond::{Handled, Reply};
use crate::router::Api;
use crate::stream::{Pieces, Rest};
use crate::time::format_rfc3339;

/// Something the user should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notification {
    /// What.
    pub text: String,
    /// Since when, RFC 3339.
    pub date: String,
    /// Whether it still holds.
    pub active: bool,
}

/// What holds now, and who listens. Clones are the same.
#[derive(Clone)]
pub struct Notifications(Arc<Shared>);

struct Shared {
    active: Mutex<Vec<Notification>>,
    changes: broadcast::Sender<Notification>,
    listeners: Arc<Semaphore>,
    sent: Counter,
    dropped: Counter,
}

/// The last reload failed.
pub const RELOAD_FAILED: &str = "Configuration reload has failed.";
/// The log is being read.
pub const STARTING: &str = "Prometheus is starting and replaying the write-ahead log (WAL).";
/// The end is near.
pub const STOPPING: &str = "Prometheus is shutting down and gracefully stopping all operations.";

impl Notifications {
    /// Nothing holds; at most `listeners` may listen at one time.
    pub fn new(listeners: usize, registry: &Registry) -> Notifications {
        let changes = broadcast::Sender::new(16);
        let subscribed: broadcast::Sender<Notification> = changes.clone();
        registry.gauge_fn(
            "prometheus_api_notification_active_subscribers",
            "The current number of active notification subscribers.",
            move || subscribed.receiver_count() as f64,
        );
        Notifications(Arc::new(Shared {
            active: Mutex::default(),
            changes,
            listeners: Arc::new(Semaphore::new(listeners)),
            sent: registry.counter(
                "prometheus_api_notification_updates_sent_total",
                "Total number of notification updates sent.",
            ),
            dropped: registry.counter(
                "prometheus_api_notification_updates_dropped_total",
                "Total number of notification updates dropped.",
            ),
        }))
    }

    /// From `now` (unix milliseconds) on, `text` holds or does not.
    pub fn set(&self, text: &str, holds: bool, now: i64) {
        let mut active = self.0.active.lock();
        let known = active.iter().position(|n| n.text == text);
        let changed = match (known, holds) {
            (Some(at), false) => {
                let mut gone = active.remove(at);
                gone.active = false;
                gone
            }
            (None, true) => {
                let new = Notification {
                    text: text.to_string(),
                    date: format_rfc3339(Some(now)),
                    active: true,
                };
                active.push(new.clone());
                new
            }
            _ => return,
        };
        // Nobody has to listen.
        let listeners = self.0.changes.send(changed).unwrap_or(0);
        self.0.sent.add(listeners as u64);
    }

    /// What holds now.
    pub fn active(&self) -> Vec<Notification> {
        self.0.active.lock().clone()
    }
}

/// `/notifications`
pub async fn list(api: Arc<Api>) -> Handled {
    Reply::of(&api.status.notifications().active())
}

fn event(notification: &Notification) -> Bytes {
    let text = serde_json::to_string(notification).unwrap_or_default();
    format!("data: {text}\n\n").into()
}

/// `/notifications/live`: what holds, and every change, for as long as the client stays.
pub async fn live(State(api): State<Arc<Api>>) -> Response<Body> {
    let notifications = api.status.notifications();
    let Ok(place) = notifications.0.listeners.clone().try_acquire_owned() else {
        let mut full = Response::new(Body::empty());
        *full.status_mut() = StatusCode::NO_CONTENT;
        return full;
    };
    let mut changes = notifications.0.changes.subscribe();
    let (sender, receiver) = mpsc::channel(16);
    let dropped = notifications.0.dropped.clone();
    let now = notifications.active();
    tokio::spawn(async move {
        let _place = place;
        for notification in &now {
            if sender.send(event(notification)).await.is_err() {
                return;
            }
        }
        loop {
            let change = tokio::select! {
                () = sender.closed() => return,
                change = changes.recv() => change,
            };
            match change {
                Ok(change) if sender.send(event(&change)).await.is_ok() => {}
                // What was missed was told since, or will be asked for anew.
                Err(broadcast::error::RecvError::Lagged(missed)) => dropped.add(missed),
                _ => return,
            }
        }
    });
    let body = Pieces::new(Bytes::new(), Some(Rest::Sent(receiver)), Bytes::new());
    let mut response = Response::new(Body::new(body));
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holds_once() {
        let notifications = Notifications::new(1, &Registry::new());
        notifications.set("a", true, 0);
        notifications.set("a", true, 5);
        notifications.set("b", false, 5);
        let active = notifications.active();
        assert_eq!(active.len(), 1);
        assert_eq!(active[0].date, "1970-01-01T00:00:00Z");
        notifications.set("a", false, 6);
        assert!(notifications.active().is_empty());
    }
}
