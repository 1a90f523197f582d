//! The database as the server's parts see it: there from the first moment, answering once its log is read.

use std::sync::{Arc, OnceLock};

use storage::{Querier, Queryable, StorageError, TimeRange};
use tsdb::Db;

/// A database to come.
#[derive(Clone, Default)]
pub struct LateDb(Arc<OnceLock<Arc<Db>>>);

impl LateDb {
    /// Hands the open database in; only the first counts.
    pub fn open(&self, db: Arc<Db>) {
        let _ = self.0.set(db);
    }

    /// The database, once it is open.
    pub fn get(&self) -> Option<&Arc<Db>> {
        self.0.get()
    }
}

impl Queryable for LateDb {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, StorageError> {
        match self.get() {
            Some(db) => db.querier(range),
            None => Err(StorageError::NotReady),
        }
    }
}
