//! What another process costs, as the kernel counts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A reading of `/proc/PID`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// User and system time, seconds.
    pub cpu: f64,
    /// Memory in RAM, bytes.
    pub resident: u64,
    /// The most that it ever was.
    pub peak: u64,
    /// Memory in RAM that is not pages of files (which the kernel may take back at any time).
    pub anonymous: u64,
}

/// Reads the cost of a process so far.
pub fn cost(pid: u32) -> Result<Cost, String> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))
    };
    let stat = read("stat")?;
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    let ticks = |nth: usize| {
        fields
            .get(nth - 3)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let status = read("status")?;
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .unwrap_or(0)
    };
    Ok(Cost {
        // The kernel counts in hundredths of a second on every Linux this runs on.
        cpu: (ticks(14) + ticks(15)) / 100.0,
        resident: kilobytes("VmRSS:") * 1024,
        peak: kilobytes("VmHWM:") * 1024,
        anonymous: kilobytes("RssAnon:") * 1024,
    })
}

/// The most memory a process had while it was watched, bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peaks {
    /// In RAM.
    pub resident: u64,
    /// In RAM, without pages of files.
    pub anonymous: u64,
}

/// Watches the memory of a process: the kernel's high-water mark, set back at the start, and anonymous memory as seen
/// every few milliseconds.
pub struct PeakWatch {
    pid: u32,
    done: Arc<AtomicBool>,
    looker: std::thread::JoinHandle<u64>,
}

impl PeakWatch {
    /// Starts watching.
    pub fn start(pid: u32) -> PeakWatch {
        // 5: set the high-water mark back to what is resident now.
        let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
        let done = Arc::new(AtomicBool::new(false));
        let seen = done.clone();
        let looker = std::thread::spawn(move || {
            let mut most = 0;
            loop {
                most = most.max(cost(pid).map_or(0, |cost| cost.anonymous));
                if seen.load(Ordering::Relaxed) {
                    return most;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        PeakWatch { pid, done, looker }
    }

    /// Ends it.
    pub fn stop(self) -> Peaks {
        self.done.store(true, Ordering::Relaxed);
        Peaks {
            anonymous: self.looker.join().unwrap_or(0),
            resident: cost(self.pid).map_or(0, |cost| cost.peak),
        }
    }
}

/// Bytes of all files below a folder.
pub fn bytes_below(folder: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
            Ok(meta) => {
                use std::os::unix::fs::MetadataExt as _;
                // Preallocated space that was never written does not count.
                meta.len().min(meta.blocks() * 512)
            }
            Err(_) => 0,
        })
        .sum()
}
