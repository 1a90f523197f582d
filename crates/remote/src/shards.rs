//! Senders that work side by side; each series always goes through the same one, so its samples stay in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use configfile::remote::WriteMessage;
use env::instruments::Counter;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::remote_write::RequestV2;

use crate::batch::{Batch, Counts, Item, Read, encode_v1, encode_v2};
use crate::metrics::TOO_OLD;
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
}

struct Lane {
    /// What fills up to a batch.
    items: Vec<Item>,
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
                    items: Vec::new(),
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
        }
    }

    /// The number of senders.
    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    /// Takes what was read. Gives the sender that has a whole request then, which is to be [handed
    /// over](Shards::hand_over) before more is taken.
    pub fn take(&mut self, read: Read) -> Option<usize> {
        let at = (read.reference % self.lanes.len() as u64) as usize;
        let lane = &mut self.lanes[at];
        if lane.items.is_empty() {
            lane.items.reserve(self.per_request.min(4096));
            (lane.first, lane.again) = (read.at, read.again);
            lane.since = self.sender.clock.monotonic();
        }
        lane.items.push(read.item);
        (lane.items.len() >= self.per_request).then_some(at)
    }

    /// Hands a request over to a sender; waits while it has too much. `false` when the senders are gone.
    pub async fn hand_over(&mut self, at: usize) -> bool {
        let waits = &self.sender.metrics.enqueue_retries;
        self.lanes[at].hand_over(waits).await
    }

    /// Hands over what has waited for as long as it may. `false` when the senders are gone.
    pub async fn flush_due(&mut self) -> bool {
        let now = self.sender.clock.monotonic();
        let wait = u64::try_from(self.sender.config.queue.batch_send_deadline).unwrap_or(0);
        let wait = Duration::from_millis(wait);
        for lane in &mut self.lanes {
            let due = !lane.items.is_empty() && now.saturating_sub(lane.since) >= wait;
            if due && !lane.hand_over(&self.sender.metrics.enqueue_retries).await {
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
                oldest.or((!lane.items.is_empty()).then_some(lane.first))
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
            let waits = self.sender.metrics.enqueue_retries.clone();
            waiting.push(lane.unacknowledged.clone());
            handing.push(tokio::spawn(lane.finish(waits)));
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
    async fn finish(mut self, waits: Counter) {
        if !self.items.is_empty() {
            self.hand_over(&waits).await;
        }
        drop(self.batches);
        let _ = (&mut self.task.0).await;
    }

    async fn hand_over(&mut self, waits: &Counter) -> bool {
        let batch = Batch {
            items: std::mem::take(&mut self.items),
            first: self.first,
            again: self.again,
        };
        self.unacknowledged.lock().push_back(batch.first);
        match self.batches.try_send(batch) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(batch)) => {
                waits.inc();
                self.batches.send(batch).await.is_ok()
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

/// Buffers of a sender.
#[derive(Default)]
struct Buffers {
    message: Vec<u8>,
    second: RequestV2,
}

async fn run(
    sender: Arc<Sender>,
    work: Arc<Work>,
    mut batches: mpsc::Receiver<Batch>,
    unacknowledged: Arc<Mutex<VecDeque<Position>>>,
) {
    let mut buffers = Buffers::default();
    while let Some(batch) = batches.recv().await {
        let counts = Counts::of(&batch.items);
        deliver(&sender, &work, &mut buffers, batch).await;
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
async fn deliver(sender: &Sender, work: &Work, buffers: &mut Buffers, batch: Batch) {
    let mut parts = vec![batch.items];
    let mut known = 0;
    while let Some(mut items) = parts.pop() {
        if let Err((samples, error)) = deliver_once(sender, work, buffers, &mut items).await {
            let counts = Counts::of(&items);
            if batch.again && samples && items.len() > 1 {
                let later = items.split_off(items.len() / 2);
                parts.push(later);
                parts.push(items);
            } else if batch.again && samples {
                // The server has it already, or newer samples of the series.
                known += 1;
            } else {
                tracing::error!(component = "remote", remote_name = %sender.name, url = %sender.shown_url, count = items.len(), err = %error, "non-recoverable error");
                add(&sender.metrics.failed, counts);
            }
        }
    }
    if known > 0 {
        tracing::info!(component = "remote", remote_name = %sender.name, url = %sender.shown_url, count = known, "Samples that may have been sent before the restart were refused; the rest was taken");
    }
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
    buffers: &mut Buffers,
    items: &mut Vec<Item>,
) -> Result<(), (bool, String)> {
    let metrics = &sender.metrics;
    let mut backoff = sender.backoff();
    let mut attempt = 0;
    let encode = |items: &[Item], buffers: &mut Buffers| match sender.config.message {
        WriteMessage::V1 => encode_v1(items, &mut buffers.message),
        WriteMessage::V2 => encode_v2(items, &mut buffers.second, &mut buffers.message),
    };
    drop_old(sender, items);
    encode(items, buffers);
    loop {
        if items.is_empty() {
            return Ok(());
        }
        let counts = Counts::of(&*items);
        add(&metrics.total, counts);
        let began = sender.clock.monotonic();
        let outcome = sender.post(&buffers.message, &metrics.bytes, attempt).await;
        let took = sender.clock.monotonic().saturating_sub(began);
        metrics.batch_seconds.observe(took.as_secs_f64());
        work.busy.fetch_add(took.as_nanos() as u64, Relaxed);
        match outcome {
            Outcome::Done => {
                work.sent.fetch_add(items.len() as u64, Relaxed);
                let newest = items.iter().map(|item| item.t).max().unwrap_or(0);
                work.highest_sent.fetch_max(newest, Relaxed);
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
                let before = items.len();
                drop_old(sender, items);
                if items.len() != before {
                    encode(items, buffers);
                }
            }
            Outcome::Refused { samples, error } => return Err((samples, error)),
        }
    }
}

fn drop_old(sender: &Sender, items: &mut Vec<Item>) {
    let limit = sender.config.queue.sample_age_limit;
    if limit == 0 {
        return;
    }
    let oldest = sender.clock.now() - limit;
    let is_old = |item: &Item| item.t < oldest;
    let old: Vec<Item> = items.iter().filter(|item| is_old(item)).cloned().collect();
    if old.is_empty() {
        return;
    }
    items.retain(|item| !is_old(item));
    let counts = Counts::of(&old);
    for (kind, count) in [counts.samples, counts.histograms, counts.exemplars]
        .into_iter()
        .enumerate()
    {
        if count > 0 {
            sender.metrics.dropped(kind, TOO_OLD).add(count);
        }
    }
}
