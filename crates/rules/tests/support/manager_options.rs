//! A manager of rules over a storage in memory, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use env::sim::SimClock;
use env::{Clock, Registry};
use promql::{Engine, EngineOptions};
use rules::{Alert, EngineQuery, ManagerOptions, RuleMetrics};
use storage::memory::MemoryStorage;

const MINUTE: i64 = 60_000;

/// Settings of a manager whose alerts go to `send`.
pub fn manager_options(
    clock: &SimClock,
    storage: &MemoryStorage,
    registry: &Registry,
    send: impl Fn(&str, Vec<Alert>) + Send + Sync + 'static,
) -> ManagerOptions {
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    ManagerOptions {
        query: Arc::new(EngineQuery {
            engine: Arc::new(Engine::new(EngineOptions::default())),
            queryable: Arc::new(storage.clone()),
            clock: clock.clone(),
            timeout: Duration::from_secs(120),
        }),
        appendable: Arc::new(storage.clone()),
        queryable: Arc::new(storage.clone()),
        clock,
        metrics: RuleMetrics::new(registry),
        external_url: "http://x".into(),
        resend_delay: MINUTE,
        outage_tolerance: 60 * MINUTE,
        grace_period: 10 * MINUTE,
        send: Arc::new(send),
        concurrency: None,
    }
}
