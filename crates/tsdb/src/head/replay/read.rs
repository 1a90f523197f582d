//! Reading a log on several threads: each takes every n-th stretch of it, unpacks and decodes the records there, and hands
//! them over; who applies them takes the stretches in order.

use std::path::PathBuf;
use std::thread::Scope;

use env::Disk;
use ondisk::log::LogReader;
use ondisk::record::{self, RecordKind, RefSample};

use super::lane::{Giver, Taker, lane};
use super::tables::Filed;
use crate::failure::DbError;
use crate::wal::{WalError, segment_path};

/// Bytes of a stretch. A record belongs to the one it begins in.
const STRETCH: u64 = 256 << 10;
/// Bytes of decoded steps that may wait for being applied, a thread.
const WAITING: usize = 2 << 20;
/// Threads that read; more would only wait for the one that applies.
const THREADS_MAX: usize = 4;

/// What is handed over.
pub(super) enum Step {
    /// A segment begins.
    Segment(u32),
    /// Float samples that chunk files do not have.
    Samples(Vec<RefSample>),
    /// Any other record.
    Record(Vec<u8>),
}

/// The records of a stretch, and why nothing comes after them.
#[derive(Default)]
struct Stretch {
    steps: Vec<Step>,
    error: Option<WalError>,
}

impl Stretch {
    fn bytes(&self) -> usize {
        let of = |step: &Step| match step {
            Step::Segment(_) => 0,
            Step::Samples(samples) => samples.len() * size_of::<RefSample>(),
            Step::Record(bytes) => bytes.len(),
        };
        self.steps.iter().map(of).sum()
    }
}

/// Segments being read.
pub(super) struct Reading<'a> {
    disk: &'a dyn Disk,
    sources: &'a [(PathBuf, u32)],
    threads: Vec<Taker<Stretch>>,
}

impl<'a> Reading<'a> {
    /// Begins to read segments. Samples that are `filed` are left out.
    pub(super) fn begin<'scope>(
        scope: &'scope Scope<'scope, '_>,
        disk: &'a dyn Disk,
        sources: &'a [(PathBuf, u32)],
        filed: Option<&'a Filed>,
    ) -> Reading<'a>
    where
        'a: 'scope,
    {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = threads.clamp(1, THREADS_MAX) as u64;
        let begin = |nth: u64| {
            let (giver, stretches) = lane(WAITING);
            let share = Share {
                disk,
                filed,
                nth,
                threads,
                giver,
            };
            scope.spawn(move || share.read(sources));
            stretches
        };
        Reading {
            disk,
            sources,
            threads: (0..threads).map(begin).collect(),
        }
    }

    /// Hands all steps out, in order, up to the first error.
    pub(super) fn each(
        self,
        mut take: impl FnMut(Step) -> Result<(), DbError>,
    ) -> Result<(), WalError> {
        let mut turn = 0;
        for (folder, segment) in self.sources {
            take(Step::Segment(*segment)).map_err(WalError::Other)?;
            for _ in 0..stretches(self.disk, folder, *segment)? {
                let Some(stretch) = self.threads[turn % self.threads.len()].take() else {
                    // It met the end of what can be read before: whose turn it is there tells.
                    return Err(WalError::Other(DbError::Closed));
                };
                turn += 1;
                for step in stretch.steps {
                    take(step).map_err(WalError::Other)?;
                }
                if let Some(error) = stretch.error {
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// How many stretches a segment has.
fn stretches(disk: &dyn Disk, folder: &std::path::Path, segment: u32) -> Result<u64, WalError> {
    let path = segment_path(folder, segment);
    let len = disk.len(&path).map_err(DbError::io("stat", &path));
    Ok(len.map_err(WalError::Other)?.div_ceil(STRETCH))
}

/// What one thread reads: every `threads`-th stretch of all.
struct Share<'a> {
    disk: &'a dyn Disk,
    filed: Option<&'a Filed>,
    nth: u64,
    threads: u64,
    giver: Giver<Stretch>,
}

impl Share<'_> {
    fn read(self, sources: &[(PathBuf, u32)]) {
        let mut first = 0;
        for (folder, segment) in sources {
            match self.segment(folder, *segment, first) {
                Ok(stretches) => first += stretches,
                // Nobody listens any more, or the error is told by whose turn it is.
                Err(()) => return,
            }
        }
    }

    fn is_ours(&self, stretch: u64) -> bool {
        stretch % self.threads == self.nth
    }

    /// Reads our stretches of a segment, the first of which has this number; gives how many there are.
    fn segment(&self, folder: &std::path::Path, segment: u32, first: u64) -> Result<u64, ()> {
        let fail = |error: DbError| {
            let stretch = Stretch {
                steps: Vec::new(),
                error: Some(WalError::Other(error)),
            };
            self.giver.give(0, stretch);
        };
        let path = segment_path(folder, segment);
        let map = match self.disk.map(&path) {
            Ok(map) => map,
            Err(err) => {
                fail(DbError::io("map", &path)(err));
                return Err(());
            }
        };
        let count = (map.len() as u64).div_ceil(STRETCH);
        let mut reader = LogReader::default();
        let mut buffer = Vec::new();
        for stretch in 0..count {
            let end = (stretch + 1) * STRETCH;
            if !self.is_ours(first + stretch) {
                while reader.offset() < end {
                    match reader.skip(&map) {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(_) => return Err(()),
                    }
                }
                continue;
            }
            let mut found = Stretch::default();
            while reader.offset() < end {
                match reader.next(&map) {
                    Ok(Some(bytes)) => self.decode(bytes, &mut buffer, &mut found.steps),
                    Ok(None) => break,
                    Err(err) => {
                        found.error = Some(WalError::Damaged {
                            segment,
                            offset: err.offset,
                            cause: err.cause,
                        });
                        break;
                    }
                }
            }
            let ended = found.error.is_some();
            if !self.giver.give(found.bytes(), found) || ended {
                return Err(());
            }
        }
        Ok(count)
    }

    /// Adds what a record says; samples of records behind one another become one step.
    fn decode(&self, bytes: &[u8], samples: &mut Vec<RefSample>, steps: &mut Vec<Step>) {
        if !matches!(
            RecordKind::of(bytes),
            Some(RecordKind::Samples | RecordKind::SamplesV2)
        ) {
            steps.push(Step::Record(bytes.to_vec()));
            return;
        }
        samples.clear();
        let read = match self.filed {
            Some(filed) => {
                let mut filed = filed.lookup();
                record::samples_that(bytes, |series, t| !filed.has(series, t), samples)
            }
            None => record::samples(bytes, samples),
        };
        match (read, steps.last_mut()) {
            (Ok(()), _) if samples.is_empty() => {}
            (Ok(()), Some(Step::Samples(before))) => before.extend_from_slice(samples),
            (Ok(()), _) => steps.push(Step::Samples(samples.clone())),
            // Who applies it says what is wrong with it.
            (Err(_), _) => steps.push(Step::Record(bytes.to_vec())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::{Durability, Wal, WalOptions, segments, walk_segment};
    use env::sim::SimDisk;
    use ondisk::log::{Compression, LogCause};
    use std::path::Path;
    use std::sync::Arc;

    const DIR: &str = "/wal";

    /// Records as they come, and where and why they end.
    type Outcome = (Vec<Vec<u8>>, Option<(u32, u64, LogCause)>);

    fn at_once(disk: &SimDisk) -> Outcome {
        let mut records = Vec::new();
        for segment in segments(disk, Path::new(DIR)).unwrap() {
            let walked = walk_segment(disk, Path::new(DIR), segment, 0, |bytes| {
                records.push(bytes.to_vec());
                Ok(())
            });
            if let Err(WalError::Damaged {
                segment,
                offset,
                cause,
            }) = walked
            {
                return (records, Some((segment, offset, cause)));
            }
        }
        (records, None)
    }

    fn on_threads(disk: &SimDisk) -> Outcome {
        let numbers = segments(disk, Path::new(DIR)).unwrap();
        let sources: Vec<_> = numbers
            .into_iter()
            .map(|n| (PathBuf::from(DIR), n))
            .collect();
        let mut records = Vec::new();
        let read = std::thread::scope(|scope| {
            Reading::begin(scope, disk, &sources, None).each(|step| {
                if let Step::Record(bytes) = step {
                    records.push(bytes);
                }
                Ok(())
            })
        });
        let end = match read {
            Ok(()) => None,
            Err(WalError::Damaged {
                segment,
                offset,
                cause,
            }) => Some((segment, offset, cause)),
            Err(other) => panic!("{other:?}"),
        };
        (records, end)
    }

    #[test]
    fn threads_read_what_one_reads_and_end_where_it_ends() {
        let mut random = env::Random::from_seed(1);
        for seed in 0..40 {
            let disk = SimDisk::new();
            let options = WalOptions {
                segment_bytes: 1 << 20,
                compression: Compression::None,
                durability: Durability::Write,
            };
            let wal = Wal::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
            for i in 0..60u8 {
                // Of a kind that nobody decodes.
                let len = 1 + random.below(100_000) as usize;
                wal.log(vec![[vec![200], vec![i; len]].concat(), vec![201, i]])
                    .unwrap();
            }
            drop(wal);
            if seed > 0 {
                let all = disk.files();
                let path = &all[random.below(all.len() as u64) as usize];
                let len = env::Disk::len(&disk, path).unwrap();
                if len > 0 {
                    disk.flip_bit(path, random.below(len * 8));
                }
            }
            let (want, got) = (at_once(&disk), on_threads(&disk));
            assert_eq!(
                (want.0.len(), &want.1),
                (got.0.len(), &got.1),
                "seed {seed}"
            );
            assert!(want.0 == got.0, "seed {seed}");
        }
    }
}
