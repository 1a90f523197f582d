//! Stopping in order: a part is told to stop, finishes what it does, and ends by itself.

use std::future::Future;

use tokio::sync::watch;

/// Tells everyone who holds its [`Shutdown`] to stop.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

/// Waits for the call to stop. Clones wait for the same call.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A trigger and what waits for it.
pub fn channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger(sender), Shutdown(receiver))
}

impl ShutdownTrigger {
    /// Calls for the stop; once is enough.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Ends when the stop was called for, or nobody is left who could.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        // An error means that the trigger is gone, which is a stop too.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }

    /// Whether the stop was called for.
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Runs `work` until it ends or the stop comes; `None` for the latter.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.wait() => None,
            value = work => Some(value),
        }
    }
}

/// Ends at the first SIGINT or SIGTERM; gives the signal's name.
pub async fn stop_signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "interrupt",
        _ = terminate.recv() => "terminated",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stops_everyone_once() {
        let (trigger, shutdown) = channel();
        assert!(!shutdown.is_stopped());
        assert_eq!(shutdown.or(std::future::ready(1)).await, Some(1));
        trigger.stop();
        assert!(shutdown.is_stopped());
        assert_eq!(
            shutdown.clone().or(std::future::pending::<()>()).await,
            None
        );
    }

    #[tokio::test]
    async fn a_lost_trigger_is_a_stop() {
        let (trigger, shutdown) = channel();
        drop(trigger);
        shutdown.wait().await;
        assert!(shutdown.is_stopped());
    }
}
