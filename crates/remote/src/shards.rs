//! Senders that work side by side; each series always goes through the same one, so its samples stay in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use env::instruments::Counter;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::batch::{Batch, Counts, Read, Request, Unreadable};
use crate::known_series::Known;
use crate::metrics::TOO_OLD;
use crate::packing::{Packing, Press, version};
use crate::position::Position;
use crate::send::{Outcome, Sender};

/// What senders did, for resharding.
#[derive(Debug, Default)]
pub struct Work {
    /// Items acknowledged.
    pub sent: AtomicU64,
    /// Nanoseconds that senders were busy.
    pub busy: AtomicU64,
    /// Newest time acknowledged, unix milliseconds.
    pub highest_sent: AtomicI64,
    /// Monotonic milliseconds of the last acknowledgement.
    pub last_sent: AtomicI64,
    /// Monotonic milliseconds until which the number of senders stays.
    pub hold_until: AtomicI64,
}

/// The senders of a queue.
pub struct Shards {
    sender: Arc<Sender>,
    lanes: Vec<Lane>,
    /// Items of a request.
    per_request: usize,
    press: Press,
}

struct Lane {
    /// What fills up to a batch.
    packing: Packing,
    first: Position,
    again: bool,
    /// Monotonic time of the first item.
    since: Duration,
    batches: mpsc::Sender<Batch>,
    unacknowledged: Arc<Mutex<VecDeque<Position>>>,
    task: Ends,
}

impl Shards {
    /// Starts `count` senders. Must be called within the runtime.
    pub fn start(sender: Arc<Sender>, work: Arc<Work>, count: usize) -> Shards {
        let queue = &sender.config.queue;
        let mut per_request = queue.max_samples_per_send as usize;
        if sender.config.send_exemplars {
            per_request += per_request / 10;
        }
        let waiting = (queue.capacity / queue.max_samples_per_send).max(1) as usize;
        let lanes = (0..count.max(1))
            .map(|_| {
                let (batches, arriving) = mpsc::channel(waiting);
                let unacknowledged = Arc::new(Mutex::new(VecDeque::new()));
                let lane = run(
                    sender.clone(),
                    work.clone(),
                    arriving,
                    unacknowledged.clone(),
                );
                Lane {
                    packing: Packing::new(version(sender.config.message)),
                    first: Position::default(),
                    again: false,
                    since: Duration::ZERO,
                    batches,
                    unacknowledged,
                    task: Ends(tokio::spawn(lane)),
                }
            })
            .collect();
        sender.metrics.shards.set(count as f64);
        Shards {
            sender,
            lanes,
            per_request,
            press: Press::default(),
        }
    }

    /// The number of senders.
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Takes what was read of a series. Gives the sender that has a whole request then, which is to be [handed
    /// over](Shards::hand_over) before more is taken.
    #[inline]
    pub fn take(&mut self, read: &Read, series: Known<'_>) -> Option<usize> {
        let at = (read.reference % self.lanes.len() as u64) as usize;
        let lane = &mut self.lanes[at];
        if lane.packing.len() == 0 {
            (lane.first, lane.again) = (read.at, read.again);
            lane.since = self.sender.clock.monotonic();
        }
        lane.packing.push(series, read);
        (lane.packing.len() >= self.per_request).then_some(at)
    }

    /// Hands a request over to a sender; waits while it has too much. `false` when the senders are gone.
    pub async fn hand_over(&mut self, at: usize) -> bool {
        self.lanes[at]
            .hand_over(&self.sender, &mut self.press)
            .await
    }

    /// Hands over what has waited for as long as it may. `false` when the senders are gone.
    pub async fn flush_due(&mut self) -> bool {
        let now = self.sender.clock.monotonic();
        let wait = u64::try_from(self.sender.config.queue.batch_send_deadline).unwrap_or(0);
        let wait = Duration::from_millis(wait);
        for lane in &mut self.lanes {
            let due = lane.packing.len() > 0 && now.saturating_sub(lane.since) >= wait;
            if due && !lane.hand_over(&self.sender, &mut self.press).await {
                return false;
            }
        }
        true
    }

    /// Up to where everything is acknowledged, if `read` is how far the log was read.
    pub fn acknowledged(&self, read: Position) -> Position {
        self.lanes
            .iter()
            .filter_map(|lane| {
                let oldest = lane.unacknowledged.lock().front().copied();
                oldest.or((lane.packing.len() > 0).then_some(lane.first))
            })
            .fold(read, Position::min)
    }

    /// Sends what is there and ends the senders; gives up after `patience`. Gives the place of the oldest item that is
    /// not acknowledged then.
    pub async fn finish(self, patience: Duration) -> Option<Position> {
        let clock = self.sender.clock.clone();
        let deadline = clock.monotonic() + patience;
        let (mut handing, mut waiting) = (Vec::new(), Vec::new());
        for lane in self.lanes {
            waiting.push(lane.unacknowledged.clone());
            handing.push(tokio::spawn(lane.finish(self.sender.clone())));
        }
        for task in handing {
            let mut task = task;
            let left = deadline.saturating_sub(clock.monotonic());
            tokio::select! {
                biased;
                _ = &mut task => {}
                () = clock.sleep(left) => task.abort(),
            }
        }
        waiting
            .iter()
            .filter_map(|places| places.lock().front().copied())
            .min()
    }
}

/// Ends a task with its owner.
struct Ends(JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lane {
    /// Sends what is there and ends.
    async fn finish(mut self, sender: Arc<Sender>) {
        if self.packing.len() > 0 {
            self.hand_over(&sender, &mut Press::default()).await;
        }
        drop(self.batches);
        let _ = (&mut self.task.0).await;
    }

    async fn hand_over(&mut self, sender: &Sender, press: &mut Press) -> bool {
        let counts = self.packing.counts();
        let request = match self.packing.finish(press) {
            Ok(request) => request,
            Err(error) => {
                give_up(sender, counts, &error.to_string());
                pending(sender, counts, -1.0);
                return true;
            }
        };
        let batch = Batch {
            request,
            first: self.first,
            again: self.again,
        };
        self.unacknowledged.lock().push_back(batch.first);
        match self.batches.try_send(batch) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(batch)) => {
                sender.metrics.enqueue_retries.inc();
                self.batches.send(batch).await.is_ok()
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

async fn run(
    sender: Arc<Sender>,
    work: Arc<Work>,
    mut batches: mpsc::Receiver<Batch>,
    unacknowledged: Arc<Mutex<VecDeque<Position>>>,
) {
    while let Some(batch) = batches.recv().await {
        let counts = batch.request.contents.counts;
        deliver(&sender, &work, batch).await;
        pending(&sender, counts, -1.0);
        unacknowledged.lock().pop_front();
    }
}

/// Moves the gauges of what waits.
pub fn pending(sender: &Sender, counts: Counts, sign: f64) {
    let gauges = &sender.metrics.pending;
    for (gauge, count) in gauges
        .iter()
        .zip([counts.samples, counts.histograms, counts.exemplars])
    {
        if count > 0 {
            gauge.add(sign * count as f64);
        }
    }
}

/// Sends a batch until it is through or given up. A batch that an earlier process may have sent in part is halved when the
/// server finds fault with it: what it has already is refused piece by piece, and what it lacks gets through.
async fn deliver(sender: &Sender, work: &Work, batch: Batch) {
    let mut parts = vec![batch.request];
    let mut known = 0;
    while let Some(mut request) = parts.pop() {
        if let Err((samples, error)) = deliver_once(sender, work, &mut request).await {
            let counts = request.contents.counts;
            if batch.again && samples && counts.all() > 1 {
                match request.halves(version(sender.config.message)) {
                    Ok([earlier, later]) => parts.extend([later, earlier]),
                    Err(error) => give_up(sender, counts, &error.to_string()),
                }
            } else if batch.again && samples {
                // The server has it already, or newer samples of the series.
                known += 1;
            } else {
                give_up(sender, counts, &error);
            }
        }
    }
    if known > 0 {
        tracing::info!(component = "remote", remote_name = %sender.name, url = %sender.shown_url, count = known, "Samples that may have been sent before the restart were refused; the rest was taken");
    }
}

/// Counts items that will never be sent, and says why.
fn give_up(sender: &Sender, counts: Counts, error: &str) {
    tracing::error!(component = "remote", remote_name = %sender.name, url = %sender.shown_url, count = counts.all(), err = %error, "non-recoverable error");
    add(&sender.metrics.failed, counts);
}

fn add(counters: &[Counter; 4], counts: Counts) {
    counters[0].add(counts.samples);
    counters[1].add(counts.histograms);
    counters[2].add(counts.exemplars);
}

/// `Err` when the server refused: whether for the samples themselves, and why.
async fn deliver_once(
    sender: &Sender,
    work: &Work,
    request: &mut Request,
) -> Result<(), (bool, String)> {
    let metrics = &sender.metrics;
    let mut backoff = sender.backoff();
    let mut attempt = 0;
    loop {
        let aged = drop_old(sender, request);
        aged.map_err(|error| (false, error.to_string()))?;
        let counts = request.contents.counts;
        if counts.all() == 0 {
            return Ok(());
        }
        add(&metrics.total, counts);
        let began = sender.clock.monotonic();
        let outcome = sender.post(&request.body, &metrics.bytes, attempt).await;
        let took = sender.clock.monotonic().saturating_sub(began);
        metrics.batch_seconds.observe(took.as_secs_f64());
        work.busy.fetch_add(took.as_nanos() as u64, Relaxed);
        match outcome {
            Outcome::Done => {
                work.sent.fetch_add(counts.all(), Relaxed);
                work.highest_sent
                    .fetch_max(request.contents.newest, Relaxed);
                let now = sender.clock.monotonic().as_millis() as i64;
                work.last_sent.fetch_max(now, Relaxed);
                metrics
                    .highest_sent
                    .set(work.highest_sent.load(Relaxed) as f64 / 1000.0);
                return Ok(());
            }
            Outcome::Retry { after, error } => {
                add(&metrics.retried, counts);
                let wait = after.unwrap_or_else(|| backoff.next());
                tracing::warn!(component = "remote", remote_name = %sender.name, url = %sender.shown_url, err = %error, wait = ?wait, "Failed to send batch, retrying");
                let now = sender.clock.monotonic();
                work.hold_until
                    .fetch_max((now + 2 * wait).as_millis() as i64, Relaxed);
                sender.clock.sleep(wait).await;
                attempt += 1;
            }
            Outcome::Refused { samples, error } => return Err((samples, error)),
        }
    }
}

/// Takes out what is older than the configuration wants sent, and counts it.
fn drop_old(sender: &Sender, request: &mut Request) -> Result<(), Unreadable> {
    let limit = sender.config.queue.sample_age_limit;
    let oldest = sender.clock.now() - limit;
    if limit == 0 || request.contents.oldest >= oldest {
        return Ok(());
    }
    let before = request.contents.counts;
    *request = request.without_older(version(sender.config.message), oldest)?;
    let after = request.contents.counts;
    for (kind, before, after) in [
        (0, before.samples, after.samples),
        (1, before.histograms, after.histograms),
        (2, before.exemplars, after.exemplars),
    ] {
        if before > after {
            sender.metrics.dropped(kind, TOO_OLD).add(before - after);
        }
    }
    Ok(())
}
