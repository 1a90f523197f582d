//! Where samples go: a database, or in agent mode a log alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Registry};
use net::shutdown::Shutdown;
use storage::Appendable;
use tsdb::agent::{Agent, truncation_time};
use tsdb::wal::WalOptions;
use tsdb::{Appended, Db, DbError, Durability};

use crate::flags::AgentFlags;
use crate::remoting::Remoting;
use crate::server::Context;

/// An open storage.
#[derive(Clone)]
pub enum Store {
    /// Blocks, head and log.
    Database(Arc<Db>),
    /// A log.
    Agent(Arc<Agent>),
}

impl Store {
    /// Opens an agent's folder; blocks while the log is read.
    pub fn open_agent(
        flags: &AgentFlags,
        context: &Context,
        registry: &Registry,
    ) -> Result<Store, DbError> {
        let options = WalOptions {
            segment_bytes: flags.wal_segment_size,
            compression: flags.wal_compression,
            durability: Durability::Write,
        };
        let agent = Agent::open(
            &flags.path,
            options,
            0,
            !flags.no_lockfile,
            context.disk.clone(),
            context.clock.clone(),
            registry,
        )?;
        Ok(Store::Agent(agent))
    }

    /// What takes samples.
    pub fn appendable(&self) -> Arc<dyn Appendable> {
        match self {
            Store::Database(db) => db.clone(),
            Store::Agent(agent) => agent.clone(),
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        match self {
            Store::Database(db) => db.dir(),
            Store::Agent(agent) => agent.dir(),
        }
    }

    /// The log's folder.
    pub fn log(&self) -> &Path {
        match self {
            Store::Database(db) => db.wal_dir(),
            Store::Agent(agent) => agent.wal_dir(),
        }
    }

    /// Counts of what is appended.
    pub fn appended(&self) -> Appended {
        match self {
            Store::Database(db) => db.appended(),
            Store::Agent(agent) => agent.appended(),
        }
    }

    /// The database, if it is one.
    pub fn database(&self) -> Option<&Arc<Db>> {
        match self {
            Store::Database(db) => Some(db),
            Store::Agent(_) => None,
        }
    }

    /// Writes everything out and gives the folder free.
    pub fn close(&self) -> Result<(), DbError> {
        match self {
            Store::Database(db) => db.close(),
            Store::Agent(agent) => agent.close(),
        }
    }

    /// Compaction, retention and truncation, until the stop.
    pub async fn maintain(
        self,
        clock: Arc<dyn Clock>,
        interval: Duration,
        agent_flags: AgentFlags,
        remoting: Arc<Remoting>,
        stopped: Shutdown,
    ) {
        let mut truncated = clock.monotonic();
        while stopped.or(clock.sleep(interval)).await.is_some() {
            let mut min = None;
            if matches!(self, Store::Agent(_))
                && clock.monotonic().saturating_sub(truncated) >= agent_flags.truncate_frequency
            {
                truncated = clock.monotonic();
                let lowest = remoting.lowest_sent().await.unwrap_or(0);
                let (least, most) = (agent_flags.min_time, agent_flags.max_time);
                min = Some(truncation_time(lowest, clock.now(), least, most));
            }
            let store = self.clone();
            let work = move || match store {
                Store::Database(db) => db.maintain().map(|_| ()),
                Store::Agent(agent) => match min {
                    Some(min) => agent.truncate(min),
                    None => agent.maintain(),
                },
            };
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(component = "tsdb", err = %error, "compaction failed")
                }
                Err(_) => tracing::error!(component = "tsdb", "compaction ended unexpectedly"),
            }
        }
    }
}
