//! On whose behalf a mechanism runs: what its log lines say beside what happened.

/// A manager and a job of its configuration; of several jobs that share a mechanism, the first.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The manager.
    pub component: String,
    /// The job.
    pub config: String,
}
