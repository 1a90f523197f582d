//! The series that the server itself writes about each scrape: `up` and the others.

use model::{Labels, sample::stale_nan};
use storage::{AppendError, Appender, SeriesRef};

use crate::labels::of_report;

/// What is known about a scrape when it is over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Whether it succeeded.
    pub up: bool,
    /// How long it took.
    pub duration_seconds: f64,
    /// Samples in the body.
    pub scraped: u64,
    /// Samples that relabelling left.
    pub post_relabel: u64,
    /// New series.
    pub added: u64,
    /// The further ones, where the job asks for them.
    pub extra: Option<ExtraReport>,
}

/// The series of `extra_scrape_metrics`.
#[derive(Clone, Copy, Debug)]
pub struct ExtraReport {
    /// The target's timeout.
    pub timeout_seconds: f64,
    /// The job's limit.
    pub sample_limit: u64,
    /// Bytes after decompression; -1 when the limit was hit, 0 after other failures.
    pub body_size: i64,
}

const NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];
const EXTRA_NAMES: [&str; 3] = [
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// The references of one target's report series.
#[derive(Default)]
pub struct ReportSeries {
    series: [Option<SeriesRef>; NAMES.len() + EXTRA_NAMES.len()],
}

impl ReportSeries {
    /// Writes a report at `now`.
    pub fn write(
        &mut self,
        report: &Report,
        target: &Labels,
        now: i64,
        appender: &mut dyn Appender,
    ) -> Result<(), AppendError> {
        let values = [
            f64::from(u8::from(report.up)),
            report.duration_seconds,
            report.scraped as f64,
            report.post_relabel as f64,
            report.added as f64,
        ];
        for (at, value) in values.into_iter().enumerate() {
            self.put(at, NAMES[at], value, target, now, appender)?;
        }
        if let Some(extra) = report.extra {
            let values = [
                extra.timeout_seconds,
                extra.sample_limit as f64,
                extra.body_size as f64,
            ];
            for (i, value) in values.into_iter().enumerate() {
                self.put(
                    NAMES.len() + i,
                    EXTRA_NAMES[i],
                    value,
                    target,
                    now,
                    appender,
                )?;
            }
        }
        Ok(())
    }

    /// Marks the end of them all.
    pub fn end(&self, now: i64, appender: &mut dyn Appender) {
        for series in self.series.iter().flatten() {
            // A target that came back in the meantime has newer samples: then no marker is needed.
            drop(appender.append(*series, now, stale_nan()));
        }
    }

    fn put(
        &mut self,
        at: usize,
        name: &str,
        value: f64,
        target: &Labels,
        now: i64,
        appender: &mut dyn Appender,
    ) -> Result<(), AppendError> {
        if let Some(series) = self.series[at] {
            match appender.append(series, now, value) {
                Err(AppendError::UnknownSeries) => {}
                result => return tolerate(result),
            }
        }
        let series = appender.series(&of_report(name, target))?;
        self.series[at] = Some(series);
        tolerate(appender.append(series, now, value))
    }
}

/// Two targets may collide after relabelling; that must not fail the scrape.
fn tolerate(result: Result<(), AppendError>) -> Result<(), AppendError> {
    match result {
        Err(error) if error.is_sample_fault() => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Appendable as _;
    use storage::memory::MemoryStorage;

    #[test]
    fn writes_and_ends() {
        let storage = MemoryStorage::new();
        let target = Labels::from_pairs([("job", "j"), ("__name__", "odd")]);
        let mut series = ReportSeries::default();
        for now in [1000, 2000] {
            let mut batch = storage.appender();
            let report = Report {
                up: true,
                scraped: 3,
                ..Report::default()
            };
            series
                .write(&report, &target, now, &mut *batch)
                .expect("written");
            batch.commit().expect("commit");
        }
        let mut batch = storage.appender();
        series.end(3000, &mut *batch);
        batch.commit().expect("commit");
        let dump = storage.dump();
        let names: Vec<&str> = dump
            .iter()
            .map(|(labels, _)| labels.metric_name())
            .collect();
        assert_eq!(names.len(), 5);
        assert!(names.contains(&"up") && names.contains(&"scrape_series_added"));
        assert!(dump.iter().all(|(_, samples)| samples.len() == 3));
    }
}
