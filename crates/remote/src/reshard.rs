//! How many senders a queue needs: so many that what comes in also goes out, and what waits goes down.

use std::time::Duration;

/// How often the number is thought about; also the period of the rates.
pub const PERIOD: Duration = Duration::from_secs(10);
/// The newest period's weight in a rate.
const WEIGHT: f64 = 0.2;
/// How much of what waits should go out each second.
const CATCH_UP: f64 = 0.05;
/// Changes below this share are not worth a restart of the senders.
const TOLERANCE: f64 = 0.3;
/// Seconds behind at which no sender is taken away.
const BEHIND: f64 = 10.0;

/// An exponentially weighted rate a second.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    value: f64,
    begun: bool,
}

impl Rate {
    fn tick(&mut self, events: f64) {
        let instant = events / PERIOD.as_secs_f64();
        self.value = if self.begun {
            self.value + WEIGHT * (instant - self.value)
        } else {
            instant
        };
        self.begun = true;
    }
}

/// What happened in a period.
#[derive(Clone, Copy, Debug, Default)]
pub struct Period {
    /// Samples read from the log.
    pub taken: f64,
    /// Of these, dropped by relabelling.
    pub dropped: f64,
    /// Samples acknowledged.
    pub sent: f64,
    /// Seconds that senders were busy.
    pub busy: f64,
}

/// Rates so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resharding {
    taken: Rate,
    dropped: Rate,
    sent: Rate,
    busy: Rate,
}

impl Resharding {
    /// Takes a period in. `behind` is how many seconds the newest sample sent is behind the newest one read. Gives the
    /// number wanted, before rounding and bounds, if anything was sent at all.
    pub fn desired(&mut self, period: Period, behind: f64) -> Option<f64> {
        self.taken.tick(period.taken);
        self.dropped.tick(period.dropped);
        self.sent.tick(period.sent);
        self.busy.tick(period.busy);
        if self.sent.value <= 0.0 {
            return None;
        }
        let kept = self.sent.value / (self.dropped.value + self.sent.value);
        let incoming = self.taken.value * kept;
        let pending = behind * incoming;
        let seconds_per_sample = self.busy.value / self.sent.value;
        Some(seconds_per_sample * (incoming + CATCH_UP * pending))
    }
}

/// The number to have instead of `current`.
pub fn decide(desired: f64, current: usize, behind: f64, least: usize, most: usize) -> usize {
    let now = current as f64;
    let rounded = desired.ceil();
    if (now * (1.0 - TOLERANCE)..=now * (1.0 + TOLERANCE)).contains(&rounded) {
        return current;
    }
    if rounded < now && behind > BEHIND {
        return current;
    }
    (rounded as usize).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_load() {
        let mut state = Resharding::default();
        // 1000 samples a second, each costs a sender 5 ms: five senders.
        let period = Period {
            taken: 10_000.0,
            dropped: 0.0,
            sent: 10_000.0,
            busy: 50.0,
        };
        assert_eq!(state.desired(period, 0.0), Some(5.0));
        // A minute behind wants four times as many.
        let behind = state.desired(period, 60.0).expect("sent something");
        assert!((behind - 20.0).abs() < 1e-9, "{behind}");
        assert_eq!(Resharding::default().desired(Period::default(), 0.0), None);
    }

    #[test]
    fn small_and_hasty_changes_are_not_made() {
        assert_eq!(decide(5.9, 5, 0.0, 1, 50), 5);
        assert_eq!(decide(8.0, 5, 0.0, 1, 50), 8);
        assert_eq!(decide(80.0, 5, 0.0, 1, 50), 50);
        assert_eq!(decide(0.1, 10, 11.0, 1, 50), 10, "not while behind");
        assert_eq!(decide(0.1, 10, 0.0, 2, 50), 2);
    }
}
