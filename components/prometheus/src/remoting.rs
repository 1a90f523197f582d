//! Samples to and from other servers, as the server's configuration asks for them.

use std::sync::Arc;

use configfile::Config;
use env::Registry;
use model::Metadata;
use remote::PreparedWrite;
use remote::read::{ReadMetrics, ReadThrough, Remote};
use remote::{MetadataSource, RemoteWrite, WriteContext};
use scrape::Manager as Scraping;

use crate::flags::ServerConfig;
use crate::server::Context;
use crate::store::Store;

/// Remote write and remote read.
pub struct Remoting {
    write: RemoteWrite,
    read: Arc<ReadThrough>,
    read_metrics: ReadMetrics,
}

/// Servers that can be taken up without fail.
pub struct Prepared {
    write: PreparedWrite,
    read: Vec<Arc<Remote>>,
}

impl Remoting {
    /// Sends nowhere and asks nobody yet.
    pub fn new(
        config: &ServerConfig,
        context: &Context,
        store: &Store,
        scraping: Scraping,
        read: Arc<ReadThrough>,
        registry: &Registry,
    ) -> Remoting {
        count_what_comes_in(store, registry);
        Remoting {
            write: RemoteWrite::new(WriteContext {
                disk: context.disk.clone(),
                log: store.log().to_path_buf(),
                positions: store.dir().join("remote_write.json"),
                clock: context.clock.clone(),
                registry: registry.clone(),
                user_agent: crate::build::user_agent(),
                metadata: Arc::new(Scraped(scraping)),
                flush_deadline: config.flush_deadline,
            }),
            read,
            read_metrics: ReadMetrics::new(registry),
        }
    }

    /// Builds clients; nothing changes yet.
    pub fn prepare(&self, config: &Config) -> Result<Prepared, String> {
        let external = &config.global.external_labels;
        let agent = crate::build::user_agent();
        Ok(Prepared {
            write: self.write.prepare(&config.remote_write, external)?,
            read: remote::read::prepare(&config.remote_read, external, &agent, &self.read_metrics)?,
        })
    }

    /// Takes up what was prepared.
    pub async fn take_up(&self, prepared: Prepared) {
        self.read.set(prepared.read);
        self.write.apply(prepared.write).await;
    }

    /// The newest time that every server has acknowledged, unix milliseconds; `None` without servers.
    pub async fn lowest_sent(&self) -> Option<i64> {
        self.write.lowest_sent().await
    }

    /// Sends what was read, for as long as the flush deadline allows.
    pub async fn stop(&self) {
        self.write.stop().await;
    }
}

/// Whatever is stored comes by here on its way to remote servers, whether there are any or not.
fn count_what_comes_in(store: &Store, registry: &Registry) {
    let appended = store.appended();
    for (what, counter) in [
        ("samples", appended.floats),
        ("histograms", appended.histograms),
        ("exemplars", appended.exemplars),
    ] {
        registry.counter_fn(
            &format!("prometheus_remote_storage_{what}_in_total"),
            &format!("{what} that remote servers are to get, before relabelling."),
            move || counter.get(),
        );
    }
}

/// What scraped targets say of their families.
struct Scraped(Scraping);

impl MetadataSource for Scraped {
    fn families(&self) -> Vec<(Arc<str>, Arc<Metadata>)> {
        let mut all: Vec<(Arc<str>, Arc<Metadata>)> = self
            .0
            .metadata(None)
            .into_iter()
            .map(|(_, family, metadata)| (family, metadata))
            .collect();
        all.sort_by(|(a, x), (b, y)| (a, &x.help, &x.unit).cmp(&(b, &y.help, &y.unit)));
        all.dedup();
        all
    }
}
