//! Places in the log, and the file that remembers up to which each server has acknowledged.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use env::Disk;
use parking_lot::Mutex;

/// A place in the log: segment and byte in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Number of the segment.
    pub segment: u32,
    /// Bytes from its start.
    pub offset: u64,
}

/// Acknowledged places by the names of queues, kept in a file.
pub struct Positions {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    known: Mutex<BTreeMap<String, Position>>,
}

impl Positions {
    /// Reads the file; one that is missing or not understood counts as empty.
    pub fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Positions {
        let known = disk
            .read(&path)
            .ok()
            .and_then(|bytes| read(&bytes))
            .unwrap_or_default();
        Positions {
            disk,
            path,
            known: Mutex::new(known),
        }
    }

    /// Where a queue goes on; `None` for a new one.
    pub fn get(&self, queue: &str) -> Option<Position> {
        self.known.lock().get(queue).copied()
    }

    /// Notes how far a queue is, on disk too if that is news.
    pub fn set(&self, queue: &str, position: Position) {
        let mut known = self.known.lock();
        if known.get(queue) == Some(&position) {
            return;
        }
        known.insert(queue.to_string(), position);
        self.write(&known);
    }

    /// Forgets all queues but these.
    pub fn keep(&self, queues: &[&str]) {
        let mut known = self.known.lock();
        let before = known.len();
        known.retain(|name, _| queues.contains(&name.as_str()));
        if known.len() != before {
            self.write(&known);
        }
    }

    fn write(&self, known: &BTreeMap<String, Position>) {
        let fields = known.iter().map(|(name, position)| {
            let value = serde_json::json!({"segment": position.segment, "offset": position.offset});
            (name.clone(), value)
        });
        let text = serde_json::Value::Object(fields.collect()).to_string();
        if let Err(error) = env::disk::write_atomically(&*self.disk, &self.path, text.as_bytes()) {
            tracing::warn!(component = "remote", path = %self.path.display(), err = %error, "Could not note what has been sent; after a restart some samples may be sent again");
        }
    }
}

fn read(bytes: &[u8]) -> Option<BTreeMap<String, Position>> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let position = |value: &serde_json::Value| {
        Some(Position {
            segment: u32::try_from(value.get("segment")?.as_u64()?).ok()?,
            offset: value.get("offset")?.as_u64()?,
        })
    };
    value
        .as_object()?
        .iter()
        .map(|(name, value)| Some((name.clone(), position(value)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::sim::SimDisk;

    #[test]
    fn survive_a_restart() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::default());
        disk.create_dir_all(std::path::Path::new("/d"))
            .expect("folder");
        let path = PathBuf::from("/d/positions.json");
        let positions = Positions::open(disk.clone(), path.clone());
        assert_eq!(positions.get("a"), None);
        let at = Position {
            segment: 3,
            offset: 77,
        };
        positions.set("a", at);
        positions.set("b", Position::default());
        positions.keep(&["a"]);
        let again = Positions::open(disk, path);
        assert_eq!((again.get("a"), again.get("b")), (Some(at), None));
        assert!(read(b"[]").is_none() && read(b"{\"a\":{\"segment\":-1}}").is_none());
    }
}
