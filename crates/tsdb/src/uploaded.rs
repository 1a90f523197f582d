//! Blocks that a sidecar has uploaded: with one at work, only these may be compacted.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use env::Disk;
use ondisk::meta::{Meta, Ulid};
use parking_lot::Mutex;

/// How long a reading of the file holds.
const HOLDS: Duration = Duration::from_secs(60);

/// What the file said.
#[derive(Debug, Default)]
pub(crate) struct List(HashSet<Ulid>);

impl List {
    /// Only fresh blocks wait for their upload: what was merged of uploaded ones is of no interest to the sidecar.
    pub(crate) fn may_compact(&self, meta: &Meta) -> bool {
        meta.compaction.level > 1 || self.0.contains(&meta.ulid)
    }
}

/// The file, read now and then.
pub(crate) struct Uploaded {
    path: Option<PathBuf>,
    read: Mutex<Option<(Duration, Option<Arc<List>>)>>,
}

#[derive(serde::Deserialize)]
struct Shipped {
    #[serde(default)]
    uploaded: Option<Vec<String>>,
}

impl Uploaded {
    pub(crate) fn new(path: Option<PathBuf>) -> Uploaded {
        Uploaded {
            path,
            read: Mutex::default(),
        }
    }

    /// The uploaded blocks as of about a minute ago. `None` when nothing waits for uploads: there is no such file, or it
    /// cannot be read.
    pub(crate) fn list(&self, disk: &dyn Disk, now: Duration) -> Option<Arc<List>> {
        let path = self.path.as_ref()?;
        let mut read = self.read.lock();
        if let Some((at, list)) = &*read
            && now.saturating_sub(*at) < HOLDS
        {
            return list.clone();
        }
        let parse = |bytes: Vec<u8>| serde_json::from_slice::<Shipped>(&bytes);
        let list = match disk.read(path).map(parse) {
            Ok(Ok(shipped)) => {
                let names = shipped.uploaded.unwrap_or_default();
                let ulids = names.iter().filter_map(|name| name.parse().ok());
                Some(Arc::new(List(ulids.collect())))
            }
            Ok(Err(err)) => {
                tracing::warn!(%err, path = %path.display(), "read the list of uploaded blocks; compaction does not wait");
                None
            }
            Err(err) => {
                tracing::warn!(%err, path = %path.display(), "read the list of uploaded blocks; compaction does not wait");
                None
            }
        };
        *read = Some((now, list.clone()));
        list
    }
}
