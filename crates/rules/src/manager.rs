//! Runs groups: a task each, on its slots; takes up new rules whole or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use env::Clock;
use net::shutdown::{Shutdown, ShutdownTrigger};
use parking_lot::Mutex;
use storage::{Appendable, Queryable};
use tokio::task::JoinHandle;

use crate::alert::Alert;
use crate::definition::GroupDefinition;
use crate::group::{Evaluation, Group, GroupView};
use crate::metrics::RuleMetrics;
use crate::query::RuleQuery;
use crate::restore::RestoreOptions;
use crate::schedule::Slots;

/// What groups run with.
#[derive(Clone)]
pub struct ManagerOptions {
    /// Answers queries.
    pub query: Arc<dyn RuleQuery>,
    /// Takes results.
    pub appendable: Arc<dyn Appendable>,
    /// Where state from before a restart is looked for.
    pub queryable: Arc<dyn Queryable>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where figures go.
    pub metrics: RuleMetrics,
    /// The server's URL, without a slash at its end.
    pub external_url: Arc<str>,
    /// Milliseconds until an alert is sent again.
    pub resend_delay: i64,
    /// Milliseconds that state from before a restart is looked back for.
    pub outage_tolerance: i64,
    /// Milliseconds an alert has to be there after a restart before it may fire.
    pub grace_period: i64,
    /// Takes alerts to be sent with the link to their expression.
    pub send: Arc<dyn Fn(&str, Vec<Alert>) + Send + Sync>,
    /// Rules that may run beside others; `None` where the rules of a group run in order.
    pub concurrency: Option<usize>,
}

/// Runs groups. Clones share them.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    options: ManagerOptions,
    permits: AtomicUsize,
    /// In order of file and name.
    running: Mutex<Vec<Running>>,
    /// Rules were loaded before: new ones have no state to look for.
    loaded: AtomicBool,
    /// The server stops: nothing is marked stale any more.
    ended: AtomicBool,
}

struct Running {
    group: Arc<Group>,
    stopping: Arc<AtomicBool>,
    stop: ShutdownTrigger,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) -> Arc<Group> {
        self.stopping.store(true, Ordering::Relaxed);
        self.stop.stop();
        let _ = self.task.await;
        self.group
    }
}

/// Groups that are parsed and planned, to be taken up.
pub struct Prepared {
    definitions: Vec<GroupDefinition>,
    /// Those that do not run yet.
    new: Vec<Group>,
}

impl Manager {
    /// No groups as yet.
    pub fn new(options: ManagerOptions) -> Manager {
        Manager(Arc::new(Inner {
            permits: AtomicUsize::new(options.concurrency.unwrap_or(0)),
            options,
            running: Mutex::default(),
            loaded: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }))
    }

    /// Plans groups; nothing changes yet.
    pub fn prepare(&self, definitions: Vec<GroupDefinition>) -> Result<Prepared, String> {
        let running = self.0.running.lock();
        let restored = self.0.loaded.load(Ordering::Acquire);
        let runs =
            |wanted: &GroupDefinition| running.iter().any(|r| r.group.definition() == wanted);
        let new = definitions
            .iter()
            .filter(|definition| !runs(definition))
            .map(|definition| Group::new(definition.clone(), &*self.0.options.query, restored))
            .collect::<Result<_, _>>()?;
        drop(running);
        Ok(Prepared { definitions, new })
    }

    /// Runs what was prepared. Groups that stay as they are are not touched, changed ones carry their state over, those
    /// that are gone end. Must be called within the runtime, one call at a time.
    pub async fn take_up(&self, prepared: Prepared) {
        let inner = &self.0;
        let restore = !inner.loaded.swap(true, Ordering::AcqRel);
        let (mut kept, mut old): (Vec<Running>, Vec<Running>) = (Vec::new(), Vec::new());
        for running in std::mem::take(&mut *inner.running.lock()) {
            if prepared.definitions.contains(running.group.definition()) {
                kept.push(running);
            } else {
                old.push(running);
            }
        }
        // The groups that stay can be seen meanwhile.
        *inner.running.lock() = kept;
        let mut ended = Vec::new();
        for running in old {
            ended.push(running.stop().await);
        }
        let mut started = Vec::new();
        for group in prepared.new {
            if let Some(at) = ended.iter().position(|old| old.key() == group.key()) {
                group.take_over(&ended.swap_remove(at));
            }
            started.push(self.start(Arc::new(group), restore));
        }
        for gone in ended {
            inner.options.metrics.end(gone.key());
            self.end_later(gone);
        }
        let mut running = inner.running.lock();
        running.extend(started);
        running.sort_by(|a, b| {
            let order = |r: &Running| {
                let definition = r.group.definition();
                (definition.file.clone(), definition.name.clone())
            };
            order(a).cmp(&order(b))
        });
    }

    /// Ends all groups after the rules they are at; nothing is marked stale.
    pub async fn stop(&self) {
        self.0.ended.store(true, Ordering::Release);
        let all = std::mem::take(&mut *self.0.running.lock());
        for running in &all {
            running.stopping.store(true, Ordering::Relaxed);
        }
        for running in all {
            running.stop().await;
        }
    }

    /// All groups, by file and name.
    pub fn view(&self, with_alerts: bool) -> Vec<GroupView> {
        let groups: Vec<Arc<Group>> = self
            .0
            .running
            .lock()
            .iter()
            .map(|r| r.group.clone())
            .collect();
        groups.iter().map(|group| group.view(with_alerts)).collect()
    }

    fn start(&self, group: Arc<Group>, restore: bool) -> Running {
        let (stop, stopped) = net::shutdown::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let definition = group.definition();
        self.0
            .options
            .metrics
            .begin(group.key(), definition.interval, definition.rules.len());
        let life = GroupLife {
            inner: self.0.clone(),
            group: group.clone(),
            stopping: stopping.clone(),
            stopped,
        };
        Running {
            group,
            stopping,
            stop,
            task: tokio::spawn(life.run(restore)),
        }
    }

    /// Marks the series of a group that is gone stale, when nobody can have meant a short absence.
    fn end_later(&self, group: Arc<Group>) {
        let inner = self.0.clone();
        tokio::spawn(async move {
            let wait = Duration::from_millis(group.definition().interval.max(0) as u64 * 2);
            inner.options.clock.sleep(wait).await;
            if inner.ended.load(Ordering::Acquire) {
                return;
            }
            let end = move || group.end(inner.options.clock.now(), &*inner.options.appendable);
            let _ = tokio::task::spawn_blocking(end).await;
        });
    }
}

struct GroupLife {
    inner: Arc<Inner>,
    group: Arc<Group>,
    stopping: Arc<AtomicBool>,
    stopped: Shutdown,
}

impl GroupLife {
    async fn run(self, mut restore: bool) {
        let definition = self.group.definition();
        let interval = definition.interval.max(1);
        let slots = Slots::new(&definition.file, &definition.name, interval);
        let clock = self.inner.options.clock.clone();
        let mut ts = slots.after(clock.now());
        let mut evaluations = 0u64;
        loop {
            loop {
                let now = clock.now();
                if now >= ts {
                    break;
                }
                if ts - now > interval {
                    // The clock went back while this waited.
                    ts = slots.after(now);
                }
                let wait = Duration::from_millis((ts - now).clamp(1, interval) as u64);
                if self.stopped.or(clock.sleep(wait)).await.is_none() {
                    return;
                }
            }
            if self.stopping.load(Ordering::Relaxed) {
                return;
            }
            self.evaluate(ts).await;
            evaluations += 1;
            if restore && evaluations == 2 {
                restore = false;
                self.restore().await;
            }
            let (next, missed) = slots.next(ts, clock.now());
            if missed > 0 {
                let metrics = &self.inner.options.metrics;
                metrics.missed.with(&[self.group.key()]).add(missed as u64);
                metrics
                    .iterations
                    .with(&[self.group.key()])
                    .add(missed as u64);
                tracing::warn!(component = "rule manager", file = %definition.file, group = %definition.name, missed, "Rule group took longer than its interval; evaluations were missed");
            }
            if next < ts {
                tracing::warn!(component = "rule manager", file = %definition.file, group = %definition.name, "The clock went back; rules are evaluated at the time it shows now");
            }
            ts = next;
        }
    }

    async fn evaluate(&self, ts: i64) {
        let (inner, group) = (self.inner.clone(), self.group.clone());
        let stopping = self.stopping.clone();
        inner.options.metrics.iterations.with(&[group.key()]).inc();
        let work = move || {
            let options = &inner.options;
            let cx = Evaluation {
                query: &*options.query,
                appendable: &*options.appendable,
                clock: &*options.clock,
                metrics: Some(&options.metrics),
                external_url: &options.external_url,
                resend_delay: options.resend_delay,
                send: &*options.send,
                stopping: &stopping,
                permits: options.concurrency.map(|_| &inner.permits),
            };
            group.evaluate(ts, &cx);
        };
        if tokio::task::spawn_blocking(work).await.is_err() {
            tracing::error!(component = "rule manager", group = %self.group.key(), "evaluation ended unexpectedly");
        }
    }

    async fn restore(&self) {
        let (inner, group) = (self.inner.clone(), self.group.clone());
        let clock = inner.options.clock.clone();
        let started = clock.monotonic();
        let work = move || {
            let options = &inner.options;
            group.restore(
                options.clock.now(),
                &*options.queryable,
                RestoreOptions {
                    outage_tolerance: options.outage_tolerance,
                    grace_period: options.grace_period,
                },
            );
        };
        let _ = tokio::task::spawn_blocking(work).await;
        let took = clock.monotonic().saturating_sub(started);
        self.inner
            .options
            .metrics
            .last_restore
            .with(&[self.group.key()])
            .set(took.as_secs_f64());
    }
}
