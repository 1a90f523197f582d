//! A disk whose changes stay in memory: a folder that belongs to a running server can be opened without touching it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use env::{Disk, DiskEntry, DiskFile, DiskLock};
use parking_lot::Mutex;

/// What became of a path: `None` is removed.
type Change = Option<Node>;

#[derive(Clone)]
enum Node {
    File(Arc<Mutex<Vec<u8>>>),
    Dir,
}

type Changes = Arc<Mutex<BTreeMap<PathBuf, Change>>>;

/// Reads go through, writes do not.
pub struct Overlay {
    below: Arc<dyn Disk>,
    changes: Changes,
}

struct OverlayFile {
    bytes: Arc<Mutex<Vec<u8>>>,
}

struct OverlayLock;

impl DiskLock for OverlayLock {}

impl Overlay {
    /// An untouched view of `below`.
    pub fn new(below: Arc<dyn Disk>) -> Overlay {
        Overlay {
            below,
            changes: Changes::default(),
        }
    }

    /// What is known of a path here; `Err` when it was removed, `Ok(None)` when it was not changed.
    fn change(&self, path: &Path) -> io::Result<Option<Node>> {
        let changes = self.changes.lock();
        // A removed folder takes all below with it, unless something was put there later.
        for ancestor in path.ancestors() {
            match changes.get(ancestor) {
                Some(Some(node)) if ancestor == path => return Ok(Some(node.clone())),
                Some(None) => return Err(io::ErrorKind::NotFound.into()),
                _ => {}
            }
        }
        Ok(None)
    }

    fn set(&self, path: &Path, node: Change) {
        self.changes.lock().insert(path.to_owned(), node);
    }

    fn new_file(&self, path: &Path, bytes: Vec<u8>) -> Box<dyn DiskFile> {
        let bytes = Arc::new(Mutex::new(bytes));
        self.set(path, Some(Node::File(bytes.clone())));
        Box::new(OverlayFile { bytes })
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        if let Ok(entries) = self.list(from) {
            self.set(to, Some(Node::Dir));
            for entry in entries {
                self.copy(&from.join(&entry.name), &to.join(&entry.name))?;
            }
            return Ok(());
        }
        let bytes = self.read(from)?;
        self.new_file(to, bytes);
        Ok(())
    }
}

impl Disk for Overlay {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.new_file(path, Vec::new()))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let bytes = self.read(path).unwrap_or_default();
        Ok(self.new_file(path, bytes))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.change(path)? {
            Some(Node::File(bytes)) => Ok(bytes.lock().clone()),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => self.below.read(path),
        }
    }

    fn read_at(&self, path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        match self.change(path)? {
            None => self.below.read_at(path, offset, len),
            Some(_) => {
                let bytes = self.read(path)?;
                let start = bytes.len().min(offset as usize);
                let end = bytes.len().min(start.saturating_add(len));
                Ok(bytes[start..end].to_vec())
            }
        }
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        match self.change(path)? {
            None => self.below.map(path),
            Some(_) => self.read(path).map(Bytes::from),
        }
    }

    fn release(&self, part: &[u8]) {
        self.below.release(part);
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        let own = self.change(dir)?;
        let below = match own {
            Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            _ => self.below.list(dir),
        };
        let mut entries = match (below, own) {
            (Ok(entries), _) => entries,
            (Err(_), Some(Node::Dir)) => Vec::new(),
            (Err(err), _) => return Err(err),
        };
        let changes = self.changes.lock();
        entries.retain(|e| !changes.contains_key(&dir.join(&e.name)));
        for (path, change) in changes.iter() {
            let (Some(node), Some(parent), Some(name)) = (change, path.parent(), path.file_name())
            else {
                continue;
            };
            if parent == dir {
                let (is_dir, len) = match node {
                    Node::Dir => (true, 0),
                    Node::File(bytes) => (false, bytes.lock().len() as u64),
                };
                entries.push(DiskEntry {
                    name: name.to_string_lossy().into_owned(),
                    is_dir,
                    len,
                });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        match self.change(path)? {
            Some(Node::File(bytes)) => Ok(bytes.lock().len() as u64),
            Some(Node::Dir) => Ok(0),
            None => self.below.len(path),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        match self.change(path) {
            Err(_) => false,
            Ok(Some(_)) => true,
            Ok(None) => self.below.exists(path),
        }
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        for ancestor in dir.ancestors() {
            if !self.exists(ancestor) {
                self.set(ancestor, Some(Node::Dir));
            }
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if !self.exists(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.set(path, None);
        Ok(())
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut changes = self.changes.lock();
        changes.retain(|path, _| !path.starts_with(dir));
        changes.insert(dir.to_owned(), None);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy(from, to)?;
        let mut changes = self.changes.lock();
        changes.retain(|path, _| !path.starts_with(from));
        changes.insert(from.to_owned(), None);
        Ok(())
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut bytes = self.read(path)?;
        bytes.resize(len as usize, 0);
        self.new_file(path, bytes);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy(from, to)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Always given: nothing is written that another could see.
    fn lock(&self, _: &Path) -> io::Result<Box<dyn DiskLock>> {
        Ok(Box::new(OverlayLock))
    }
}

impl DiskFile for OverlayFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.lock().extend_from_slice(bytes);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut all = self.bytes.lock();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if all.len() < end {
            all.resize(end, 0);
        }
        all[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.bytes.lock().resize(len as usize, 0);
        Ok(())
    }

    fn position(&self) -> u64 {
        self.bytes.lock().len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::sim::SimDisk;

    #[test]
    fn changes_stay_here() {
        let disk = SimDisk::new();
        disk.create_dir_all(Path::new("/d/sub")).unwrap();
        disk.create(Path::new("/d/a"))
            .unwrap()
            .write_all(b"one")
            .unwrap();
        disk.create(Path::new("/d/sub/b"))
            .unwrap()
            .write_all(b"two")
            .unwrap();
        let before = (disk.operations(), disk.files());
        let over = Overlay::new(Arc::new(disk.clone()));
        over.rename(Path::new("/d/sub"), Path::new("/d/moved"))
            .unwrap();
        assert_eq!(over.read(Path::new("/d/moved/b")).unwrap(), b"two");
        assert!(over.read(Path::new("/d/sub/b")).is_err());
        over.open_append(Path::new("/d/a"))
            .unwrap()
            .write_all(b"!")
            .unwrap();
        assert_eq!(over.map(Path::new("/d/a")).unwrap(), &b"one!"[..]);
        over.create_dir_all(Path::new("/d/new/deep")).unwrap();
        let names: Vec<String> = over
            .list(Path::new("/d"))
            .unwrap()
            .into_iter()
            .map(|e| e.name)
            .collect();
        assert_eq!(names, ["a", "moved", "new"]);
        over.remove_file(Path::new("/d/a")).unwrap();
        assert!(!over.exists(Path::new("/d/a")));
        assert_eq!((disk.operations(), disk.files()), before);
    }
}
