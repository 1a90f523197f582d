//! The machine's clock. Sleeping needs a timer, which belongs to the runtime, so it is handed in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::{Clock, Sleep};

/// Wall clock and monotonic clock of the machine.
pub struct SystemClock {
    start: Instant,
    sleep: fn(Duration) -> Sleep,
}

impl SystemClock {
    /// `sleep` is the runtime's timer.
    pub fn new(sleep: fn(Duration) -> Sleep) -> SystemClock {
        SystemClock {
            start: Instant::now(),
            sleep,
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        }
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        (self.sleep)(duration)
    }
}
