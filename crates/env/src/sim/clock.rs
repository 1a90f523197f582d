//! Virtual time: it stands until the test moves it, and sleepers wake in order.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Clock, Sleep};

/// A clock that a test moves by hand. Clones share the time.
#[derive(Clone)]
pub struct SimClock(Arc<Mutex<State>>);

struct State {
    /// Unix milliseconds of the wall clock at monotonic zero; changed by jumps.
    wall_offset: i64,
    now: Duration,
    /// Sleepers by wake-up time, then by arrival.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    arrivals: u64,
}

impl SimClock {
    /// A clock whose wall time starts at `start` (unix milliseconds).
    pub fn starting_at(start: i64) -> SimClock {
        SimClock(Arc::new(Mutex::new(State {
            wall_offset: start,
            now: Duration::ZERO,
            sleepers: BTreeMap::new(),
            arrivals: 0,
        })))
    }

    /// Moves time on by `step`, waking whoever is due by then.
    pub fn advance(&self, step: Duration) {
        let due = {
            let mut state = self.0.lock();
            state.now += step;
            state.take_due()
        };
        due.into_iter().for_each(Waker::wake);
    }

    /// Moves time on to the first sleeper's wake-up, if any sleeps; gives how far that was.
    pub fn advance_to_next(&self) -> Option<Duration> {
        let (step, due) = {
            let mut state = self.0.lock();
            let wake = state.sleepers.keys().next()?.0;
            let step = wake.saturating_sub(state.now);
            state.now = state.now.max(wake);
            (step, state.take_due())
        };
        due.into_iter().for_each(Waker::wake);
        Some(step)
    }

    /// Sets the wall clock back or forth without touching sleepers, as an administrator would.
    pub fn jump_wall(&self, by_ms: i64) {
        self.0.lock().wall_offset += by_ms;
    }
}

impl State {
    fn take_due(&mut self) -> Vec<Waker> {
        let later = self
            .sleepers
            .split_off(&(self.now + Duration::from_nanos(1), 0));
        std::mem::replace(&mut self.sleepers, later)
            .into_values()
            .collect()
    }
}

impl Clock for SimClock {
    fn now(&self) -> i64 {
        let state = self.0.lock();
        state.wall_offset + state.now.as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().now
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let until = self.0.lock().now + duration;
        Box::pin(Sleeper {
            clock: self.clone(),
            until,
            key: None,
        })
    }
}

struct Sleeper {
    clock: SimClock,
    until: Duration,
    key: Option<(Duration, u64)>,
}

impl Future for Sleeper {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut state = clock.0.lock();
        if let Some(key) = self.key.take() {
            state.sleepers.remove(&key);
        }
        if state.now >= self.until {
            return Poll::Ready(());
        }
        state.arrivals += 1;
        let key = (self.until, state.arrivals);
        state.sleepers.insert(key, context.waker().clone());
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.clock.0.lock().sleepers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleepers_wake_when_time_has_come() {
        let clock = SimClock::starting_at(1000);
        let mut context = Context::from_waker(Waker::noop());
        let mut first = clock.sleep(Duration::from_secs(5));
        let mut second = clock.sleep(Duration::from_secs(9));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(clock.advance_to_next(), Some(Duration::from_secs(5)));
        assert_eq!(clock.now(), 6000);
        assert!(first.as_mut().poll(&mut context).is_ready());
        assert!(second.as_mut().poll(&mut context).is_pending());
        clock.jump_wall(-100_000);
        assert_eq!(clock.now(), -94_000);
        drop(second);
        assert_eq!(clock.advance_to_next(), None);
    }
}
