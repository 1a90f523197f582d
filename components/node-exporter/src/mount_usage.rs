//! Asking file systems how full they are, without ever waiting long for one that does not answer.
//!
//! A question to a dead network share may hang for hours, in the kernel, where nothing can end it. So questions are
//! put to a worker thread. When its answer does not come in time, the worker is left to wait, the mount counts as stuck
//! and is not asked again, until the kernel lets the worker go.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;

/// What the kernel says about one file system: blocks and nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Bytes of a block.
    pub block_bytes: f64,
    /// Blocks there are.
    pub blocks: f64,
    /// Blocks free.
    pub free: f64,
    /// Blocks free for others than root.
    pub available: f64,
    /// Nodes there are.
    pub files: f64,
    /// Nodes free.
    pub files_free: f64,
}

/// The kernel's answer, or its error in words.
pub type Answer = Result<Usage, String>;

type Ask = Arc<dyn Fn(&Path) -> Answer + Send + Sync>;

/// Puts questions, each with a time limit.
pub struct MountUsage {
    ask: Ask,
    timeout: Duration,
    /// A worker that has nothing to do, kept between scrapes.
    idle: Mutex<Option<Worker>>,
    /// Mount points whose answer is overdue.
    stuck: Arc<Mutex<HashSet<PathBuf>>>,
}

/// A thread that asks file systems, one after the other.
struct Worker {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
}

struct Question {
    path: PathBuf,
    /// Set by whoever comes first: the worker with its answer, or the asker with its patience at an end. The second
    /// one then knows what the first has done.
    settled: Arc<AtomicBool>,
}

impl MountUsage {
    /// Asks the kernel, and waits for `timeout` at most.
    pub fn new(timeout: Duration) -> MountUsage {
        MountUsage::with(Arc::new(kernel_usage), timeout)
    }

    fn with(ask: Ask, timeout: Duration) -> MountUsage {
        MountUsage {
            ask,
            timeout,
            idle: Mutex::new(None),
            stuck: Arc::default(),
        }
    }

    /// The usage of the file system mounted at `path`; `None` when it does not answer, now or since an earlier time.
    pub fn of(&self, path: &Path) -> Option<Answer> {
        if self.stuck.lock().contains(path) {
            return None;
        }
        let gone = || Some(Err("worker ended".to_string()));
        let worker = self
            .idle
            .lock()
            .take()
            .unwrap_or_else(|| self.start_worker());
        let settled = Arc::new(AtomicBool::new(false));
        let question = Question {
            path: path.to_path_buf(),
            settled: settled.clone(),
        };
        if worker.questions.send(question).is_err() {
            return gone();
        }
        let answer = match worker.answers.recv_timeout(self.timeout) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => return gone(),
            Err(RecvTimeoutError::Timeout) => {
                self.stuck.lock().insert(path.to_path_buf());
                if !settled.swap(true, Ordering::AcqRel) {
                    return None; // the worker takes the mark away when it comes back, and ends
                }
                // The answer came at the last moment.
                self.stuck.lock().remove(path);
                match worker.answers.recv() {
                    Ok(answer) => answer,
                    Err(_) => return gone(),
                }
            }
        };
        *self.idle.lock() = Some(worker);
        Some(answer)
    }

    fn start_worker(&self) -> Worker {
        let (questions, inbox) = channel::<Question>();
        let (outbox, answers) = channel();
        let (ask, stuck) = (self.ask.clone(), self.stuck.clone());
        let run = move || {
            while let Ok(question) = inbox.recv() {
                let answer = ask(&question.path);
                if question.settled.swap(true, Ordering::AcqRel) {
                    stuck.lock().remove(&question.path);
                    return;
                }
                if outbox.send(answer).is_err() {
                    return;
                }
            }
        };
        // Should no thread start, the asker sees a closed channel.
        let _ = std::thread::Builder::new()
            .name("mount-usage".into())
            .spawn(run);
        Worker { questions, answers }
    }
}

fn kernel_usage(path: &Path) -> Answer {
    match rustix::fs::statfs(path) {
        Ok(found) => Ok(Usage {
            block_bytes: found.f_bsize as f64,
            blocks: found.f_blocks as f64,
            free: found.f_bfree as f64,
            available: found.f_bavail as f64,
            files: found.f_files as f64,
            files_free: found.f_ffree as f64,
        }),
        Err(errno) => {
            let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
            // "Permission denied (os error 13)" is known to users as "permission denied".
            Err(text.split(" (os error").next().unwrap_or("").to_lowercase())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_carry_the_kernels_words() {
        assert_eq!(
            kernel_usage(Path::new("/does/not/exist")).unwrap_err(),
            "no such file or directory"
        );
        assert!(kernel_usage(Path::new("/")).unwrap().blocks > 0.0);
    }

    #[test]
    fn a_mount_that_hangs_is_left_alone_until_it_comes_back() {
        let (release, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let ask = move |path: &Path| -> Answer {
            if path == Path::new("/hangs") {
                let _ = gate.lock().recv();
            }
            Err(path.display().to_string())
        };
        let mounts = MountUsage::with(Arc::new(ask), Duration::from_millis(20));
        assert_eq!(mounts.of(Path::new("/fine")), Some(Err("/fine".into())));
        assert_eq!(mounts.of(Path::new("/hangs")), None);
        assert_eq!(mounts.of(Path::new("/hangs")), None); // at once
        assert_eq!(mounts.of(Path::new("/fine")), Some(Err("/fine".into())));
        release.send(()).unwrap();
        while mounts.stuck.lock().contains(Path::new("/hangs")) {
            std::thread::yield_now();
        }
        drop(release); // the gate stays open
        assert_eq!(mounts.of(Path::new("/hangs")), Some(Err("/hangs".into())));
    }
}
