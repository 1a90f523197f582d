//! One remote server's queue: a thread that reads the log and keeps the senders busy.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use cloud::CloudClient;
use configfile::remote::{RemoteWriteConfig, WriteMessage};
use env::{Clock, Disk};
use model::Labels;
use net::shutdown::{Shutdown, ShutdownTrigger};
use tokio::task::JoinHandle;

use crate::batch::{Contents, Read};
use crate::log_reader::{Found, LogReader, Wishes};
use crate::metadata::{self, MetadataSource};
use crate::metrics::QueueMetrics;
use crate::position::{Position, Positions};
use crate::reshard::{self, Period, Resharding, decide};
use crate::send::Sender;
use crate::shards::{Shards, Work, pending};

/// How long an idle reader waits before it looks at the log again.
const IDLE: Duration = Duration::from_millis(100);
/// How often acknowledged places are noted, and old series looked for.
const NOTE: Duration = Duration::from_secs(1);
const FORGET: Duration = Duration::from_secs(5);
/// How long after a fault of the log it is read anew.
const AFTER_FAULT: Duration = Duration::from_secs(5);
/// Records read before senders and clocks are looked at.
const RECORDS: usize = 64;
/// Items read before they are handed out.
const ITEMS: usize = 4096;

/// What all queues share.
#[derive(Clone)]
pub struct Surroundings {
    /// Where the log is.
    pub disk: Arc<dyn Disk>,
    /// Its folder.
    pub log: PathBuf,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Acknowledged places.
    pub positions: Arc<Positions>,
    /// Metadata for 1.0.
    pub metadata: Arc<dyn MetadataSource>,
    /// How long a queue may send on when it is stopped.
    pub flush_deadline: Duration,
    /// Newest time read by any queue, unix milliseconds.
    pub highest: Arc<AtomicI64>,
}

/// A running queue.
pub struct Queue {
    /// Its settings.
    pub config: RemoteWriteConfig,
    /// Labels added to series.
    pub external: Labels,
    sender: Arc<Sender>,
    work: Arc<Work>,
    stop: ShutdownTrigger,
    reader: JoinHandle<()>,
    metadata: Option<JoinHandle<()>>,
}

impl Queue {
    /// Starts a queue. Must be called within the runtime.
    pub fn start(
        name: String,
        config: RemoteWriteConfig,
        external: Labels,
        client: CloudClient,
        metrics: QueueMetrics,
        around: Surroundings,
    ) -> Queue {
        let settings = &config.queue;
        metrics.capacity.set(settings.capacity as f64);
        metrics.shards_max.set(settings.max_shards as f64);
        metrics.shards_min.set(settings.min_shards as f64);
        metrics.shards_desired.set(settings.min_shards as f64);
        metrics
            .max_per_send
            .set(settings.max_samples_per_send as f64);
        let sender = Arc::new(Sender::new(
            name.clone(),
            config.clone(),
            client,
            around.clock.clone(),
            metrics,
        ));
        let work = Arc::new(Work::default());
        let (stop, stopped) = net::shutdown::channel();
        let metadata = (config.message == WriteMessage::V1 && config.metadata.send).then(|| {
            let (sender, source) = (sender.clone(), around.metadata.clone());
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let every = u64::try_from(sender.config.metadata.send_interval).unwrap_or(0);
                let every = Duration::from_millis(every.max(1));
                let per_request = sender.config.metadata.max_samples_per_send as usize;
                while stopped.or(sender.clock.sleep(every)).await.is_some() {
                    let sending = metadata::send_all(&sender, &source, per_request);
                    if stopped.or(sending).await.is_none() {
                        return;
                    }
                }
            })
        });
        let reading = Reading {
            name,
            sender: sender.clone(),
            work: work.clone(),
            external: external.clone(),
            start: around.clock.now(),
            around,
            stopped,
            highest_read: 0,
            period: Period::default(),
            rates: Resharding::default(),
        };
        let runtime = tokio::runtime::Handle::current();
        // Reading and decoding the log is work for a thread of its own.
        let reader = tokio::task::spawn_blocking(move || runtime.block_on(reading.run()));
        Queue {
            config,
            external,
            sender,
            work,
            stop,
            reader,
            metadata,
        }
    }

    /// Uses other connections and another identity from the next request on, those of `config`.
    pub fn change_access(&mut self, config: &RemoteWriteConfig, client: CloudClient) {
        self.config.http = config.http.clone();
        self.config.identity = config.identity.clone();
        self.sender.set_client(client);
    }

    /// Newest time that the server acknowledged, unix milliseconds; 0 before the first.
    pub fn highest_sent(&self) -> i64 {
        self.work.highest_sent.load(Relaxed)
    }

    /// Reads no further, sends what was read for as long as the flush deadline allows, and ends.
    pub async fn stop(self) {
        self.stop.stop();
        let _ = self.reader.await;
        if let Some(metadata) = self.metadata {
            metadata.abort();
        }
        self.sender.metrics.remove();
    }
}

struct Reading {
    name: String,
    sender: Arc<Sender>,
    work: Arc<Work>,
    external: Labels,
    start: i64,
    around: Surroundings,
    stopped: Shutdown,
    highest_read: i64,
    period: Period,
    rates: Resharding,
}

/// How following the log ended.
enum Ended {
    /// The queue is stopped.
    Stopped,
    /// Some of what was read has to be read again.
    Rewound,
}

impl Reading {
    async fn run(mut self) {
        let mut shards = Some(self.shards(self.sender.config.queue.min_shards as usize));
        loop {
            match self.follow(&mut shards).await {
                Ok(Ended::Stopped) => break,
                Ok(Ended::Rewound) => {}
                Err(error) => {
                    tracing::error!(component = "remote", remote_name = %self.name, err = %error, "Error reading the log; it is read anew");
                    let wait = self.around.clock.sleep(AFTER_FAULT);
                    if self.stopped.or(wait).await.is_none() {
                        break;
                    }
                }
            }
        }
        if let Some(lanes) = shards {
            // Stopped after a fault: the place noted last stands.
            lanes.finish(self.around.flush_deadline).await;
        }
    }

    fn shards(&self, count: usize) -> Shards {
        Shards::start(self.sender.clone(), self.work.clone(), count)
    }

    fn wishes(&self) -> Wishes {
        let config = &self.sender.config;
        Wishes {
            message: config.message,
            exemplars: config.send_exemplars,
            histograms: config.send_native_histograms,
            external: self.external.clone(),
            relabel: config.relabel_configs.clone(),
            start: self.start,
            resume: self.around.positions.get(&self.name),
        }
    }

    /// Follows the log until the stop, or a fault.
    async fn follow(&mut self, shards: &mut Option<Shards>) -> Result<Ended, tsdb::DbError> {
        let (disk, metrics) = (self.around.disk.clone(), self.sender.metrics.clone());
        let mut reader = LogReader::open(disk, &self.around.log, self.wishes(), metrics)?;
        let clock = self.around.clock.clone();
        let start = clock.monotonic();
        let (mut noted, mut forgot, mut thought) = (start, start, start);
        let mut items: Vec<Read> = Vec::new();
        loop {
            let Some(lanes) = shards.as_mut() else {
                return Ok(Ended::Stopped);
            };
            let mut idle = false;
            for _ in 0..RECORDS {
                if reader.step(|read| items.push(read))? == Found::Nothing {
                    idle = true;
                    break;
                }
                // What waits here is in nobody's limit, so it must not be much more than a request.
                if items.len() >= ITEMS {
                    break;
                }
            }
            let left = self.hand_out(&mut items, &reader, lanes).await;
            if left.is_some() || !lanes.flush_due().await || self.stopped.is_stopped() {
                let read = left.unwrap_or(reader.position());
                self.finish(read, shards).await;
                return Ok(Ended::Stopped);
            }
            let now = clock.monotonic();
            if now.saturating_sub(noted) >= NOTE {
                noted = now;
                let acknowledged = lanes.acknowledged(reader.position());
                self.around.positions.set(&self.name, acknowledged);
            }
            if now.saturating_sub(forgot) >= FORGET {
                forgot = now;
                reader.forget_old_series()?;
            }
            if now.saturating_sub(thought) >= reshard::PERIOD {
                thought = now;
                if let Some(count) = self.wanted_shards(lanes.len())
                    && self.reshard(count, reader.position(), shards).await
                {
                    return Ok(Ended::Rewound);
                }
            }
            if idle {
                // A stop is seen after the next look at the log.
                let _ = self.stopped.or(clock.sleep(IDLE)).await;
            }
        }
    }

    /// When the stop comes while senders are full: where the first item stands that was not handed out.
    async fn hand_out(
        &mut self,
        items: &mut Vec<Read>,
        reader: &LogReader,
        lanes: &mut Shards,
    ) -> Option<Position> {
        self.period.taken += items.len() as f64;
        let mut contents = Contents::default();
        for read in items.iter() {
            contents.see(read.payload.kind(), read.t);
        }
        let newest = contents.newest;
        if newest > self.highest_read {
            self.highest_read = newest;
            self.sender.metrics.highest.set(newest as f64 / 1000.0);
            self.around.highest.fetch_max(newest, Relaxed);
        }
        pending(&self.sender, contents.counts, 1.0);
        for read in items.drain(..) {
            let Some(series) = reader.known(read.series) else {
                continue;
            };
            if let Some(full) = lanes.take(&read, series)
                && self.stopped.or(lanes.hand_over(full)).await != Some(true)
            {
                return Some(read.at);
            }
        }
        None
    }

    /// Sends what was handed out, then notes how far that is.
    async fn finish(&self, read: Position, shards: &mut Option<Shards>) {
        let Some(lanes) = shards.take() else { return };
        let unacknowledged = lanes.finish(self.around.flush_deadline).await;
        let position = unacknowledged.map_or(read, |oldest| oldest.min(read));
        self.around.positions.set(&self.name, position);
        if unacknowledged.is_some() {
            tracing::warn!(component = "remote", remote_name = %self.name, "Not everything could be sent before the flush deadline; it stays in the log and is sent after the next start");
        }
    }

    /// The number of senders to have, if it is another one.
    fn wanted_shards(&mut self, current: usize) -> Option<usize> {
        let mut period = std::mem::take(&mut self.period);
        period.sent = self.work.sent.swap(0, Relaxed) as f64;
        period.busy = self.work.busy.swap(0, Relaxed) as f64 / 1e9;
        let highest_sent = self.work.highest_sent.load(Relaxed);
        let behind = (self.highest_read - highest_sent).max(0) as f64 / 1000.0;
        let desired = self.rates.desired(period, behind)?;
        self.sender.metrics.shards_desired.set(desired);
        let now = self.around.clock.monotonic().as_millis() as i64;
        let idle = now - self.work.last_sent.load(Relaxed) > reshard::PERIOD.as_millis() as i64;
        if idle || self.work.hold_until.load(Relaxed) > now {
            return None;
        }
        let queue = &self.sender.config.queue;
        let (least, most) = (queue.min_shards as usize, queue.max_shards as usize);
        let wanted = decide(desired, current, behind, least, most);
        (wanted != current).then_some(wanted)
    }

    /// Changes the number of senders; whether the log has to be read again from the place noted.
    async fn reshard(&self, count: usize, read: Position, shards: &mut Option<Shards>) -> bool {
        tracing::info!(component = "remote", remote_name = %self.name, to = count, "Remote storage resharding");
        let Some(lanes) = shards.take() else {
            return false;
        };
        // Series change senders: the old ones must be through before the new ones begin.
        let unacknowledged = lanes.finish(self.around.flush_deadline).await;
        let position = unacknowledged.map_or(read, |oldest| oldest.min(read));
        self.around.positions.set(&self.name, position);
        *shards = Some(self.shards(count));
        unacknowledged.is_some()
    }
}
