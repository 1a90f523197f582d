//! Growing waits between tries.

use std::time::Duration;

/// Doubles from a least to a most.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
    most: Duration,
}

impl Backoff {
    /// Starts with `least`.
    pub fn new(least: Duration, most: Duration) -> Backoff {
        Backoff { next: least, most }
    }

    /// The next wait.
    pub fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.most);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_most() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(30), ms(100));
        let waits = [
            backoff.next(),
            backoff.next(),
            backoff.next(),
            backoff.next(),
        ];
        assert_eq!(waits, [ms(30), ms(60), ms(100), ms(100)]);
    }
}
