//! The database as the server's parts see it: there from the first moment, answering once its log is read.

use std::sync::{Arc, OnceLock};

use apiv1::admin::Admin;
use apiv1::exemplars::ExemplarSource;
use env::{Clock, Random};
use model::{Exemplar, Labels, Matcher, Metadata};
use parking_lot::Mutex;
use storage::{
    AppendError, Appendable, Appender, HistogramSample, Querier, Queryable, SeriesRef,
    StorageError, TimeRange,
};
use tsdb::{Db, DbError};

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

    fn at_most(&self, range: TimeRange, matchers: &[Matcher]) -> Option<u64> {
        self.get()?.at_most(range, matchers)
    }
}

/// What takes samples, once it is open.
pub struct LateSamples(pub Arc<OnceLock<Arc<dyn Appendable>>>);

impl Appendable for LateSamples {
    fn appender(&self) -> Box<dyn Appender + '_> {
        match self.0.get() {
            Some(open) => open.appender(),
            None => Box::new(NotYet),
        }
    }
}

/// Takes nothing: storage is not open.
struct NotYet;

fn not_yet<T>() -> Result<T, AppendError> {
    Err(AppendError::Other(StorageError::NotReady.to_string()))
}

impl Appender for NotYet {
    fn series(&mut self, _: &Labels) -> Result<SeriesRef, AppendError> {
        not_yet()
    }

    fn append(&mut self, _: SeriesRef, _: i64, _: f64) -> Result<(), AppendError> {
        not_yet()
    }

    fn append_histogram(
        &mut self,
        _: SeriesRef,
        _: i64,
        _: HistogramSample<'_>,
    ) -> Result<(), AppendError> {
        not_yet()
    }

    fn append_exemplar(&mut self, _: SeriesRef, _: &Exemplar) -> Result<(), AppendError> {
        not_yet()
    }

    fn append_start(
        &mut self,
        _: SeriesRef,
        _: i64,
        _: i64,
        _: Option<HistogramSample<'_>>,
    ) -> Result<(), AppendError> {
        not_yet()
    }

    fn update_metadata(&mut self, _: SeriesRef, _: &Metadata) -> Result<(), AppendError> {
        not_yet()
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        not_yet()
    }

    fn rollback(self: Box<Self>) {}
}

impl ExemplarSource for LateDb {
    fn exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
    ) -> Result<Vec<(Labels, Vec<Exemplar>)>, StorageError> {
        let db = self.get().ok_or(StorageError::NotReady)?;
        Ok(db.exemplars(range, sets))
    }
}

/// Changes of the database, for those who may.
pub struct DbAdmin {
    /// What is changed.
    pub db: LateDb,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for the names of snapshots.
    pub random: Mutex<Random>,
}

impl DbAdmin {
    fn db(&self) -> Result<&Arc<Db>, StorageError> {
        self.db.get().ok_or(StorageError::NotReady)
    }
}

fn failed(error: DbError) -> StorageError {
    StorageError::Other(error.to_string())
}

impl Admin for DbAdmin {
    fn delete_series(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), StorageError> {
        self.db()?.delete_series(matchers, range).map_err(failed)
    }

    fn clean_tombstones(&self) -> Result<(), StorageError> {
        self.db()?.clean_tombstones().map_err(failed)
    }

    fn snapshot(&self, with_head: bool) -> Result<String, StorageError> {
        let db = self.db()?;
        let time = apiv1::time::format_rfc3339(Some(self.clock.now() / 1000 * 1000));
        let time: String = time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let name = format!("{time}-{:016x}", self.random.lock().next_u64());
        let dir = db.dir().join("snapshots").join(&name);
        db.snapshot(&dir, with_head)
            .map_err(|e| StorageError::Other(format!("create snapshot: {e}")))?;
        Ok(name)
    }
}
