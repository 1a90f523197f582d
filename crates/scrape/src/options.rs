//! What holds for all jobs: the server's flags and features.

use std::time::Duration;

/// Settings that no job has of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScrapeOptions {
    /// Start timestamps become zero samples.
    pub start_zeros: bool,
    /// What is known of families goes to storage, too.
    pub store_metadata: bool,
    /// Type and unit of a family become labels.
    pub type_and_unit_labels: bool,
    /// Timestamps that are off by this much are put onto the schedule, milliseconds; 0 leaves all as they are.
    pub timestamp_tolerance_ms: i64,
    /// The longest that news of targets wait for others that were taken up just before.
    pub sync_interval: Duration,
}

impl Default for ScrapeOptions {
    fn default() -> ScrapeOptions {
        ScrapeOptions {
            start_zeros: false,
            store_metadata: false,
            type_and_unit_labels: false,
            timestamp_tolerance_ms: 2,
            sync_interval: Duration::from_secs(5),
        }
    }
}
