//! A lane from one thread to another, bounded by the bytes that wait in it and not by their number: whoever has found
//! little to hand over may go far ahead.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

struct State<T> {
    waiting: VecDeque<(usize, T)>,
    bytes: usize,
    /// One of both ends is gone.
    closed: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Bytes that may wait; a single thing may be larger.
    bound: usize,
}

/// The end that hands over.
pub(super) struct Giver<T>(Arc<Shared<T>>);

/// The end that takes.
pub(super) struct Taker<T>(Arc<Shared<T>>);

/// A lane in which about `bound` bytes may wait.
pub(super) fn lane<T>(bound: usize) -> (Giver<T>, Taker<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: VecDeque::new(),
            bytes: 0,
            closed: false,
        }),
        changed: Condvar::new(),
        bound,
    });
    (Giver(shared.clone()), Taker(shared))
}

impl<T> Giver<T> {
    /// Hands `thing` of that many bytes over; waits until there is room. `false` when nobody takes any more.
    pub(super) fn give(&self, bytes: usize, thing: T) -> bool {
        let Shared {
            state,
            changed,
            bound,
        } = &*self.0;
        let mut state = state.lock();
        while !state.closed && state.bytes > 0 && state.bytes + bytes > *bound {
            changed.wait(&mut state);
        }
        if state.closed {
            return false;
        }
        state.bytes += bytes;
        state.waiting.push_back((bytes, thing));
        changed.notify_one();
        true
    }
}

impl<T> Taker<T> {
    /// What was handed over first; none when there is nothing and nobody gives any more.
    pub(super) fn take(&self) -> Option<T> {
        let Shared { state, changed, .. } = &*self.0;
        let mut state = state.lock();
        loop {
            if let Some((bytes, thing)) = state.waiting.pop_front() {
                state.bytes -= bytes;
                changed.notify_one();
                return Some(thing);
            }
            if state.closed {
                return None;
            }
            changed.wait(&mut state);
        }
    }
}

impl<T> Shared<T> {
    fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_one();
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Drop for Taker<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_arrives_in_order_and_little_of_it_waits() {
        let (giver, taker) = lane(100);
        let gives = std::thread::spawn(move || {
            for i in 0..1000usize {
                // Some are larger than all that may wait.
                assert!(giver.give(i % 130, i));
            }
        });
        for i in 0..1000 {
            assert_eq!(taker.take(), Some(i));
            let bytes = taker.0.state.lock().bytes;
            assert!(bytes <= 130, "{bytes} bytes wait");
        }
        assert_eq!(taker.take(), None);
        gives.join().expect("no panic");
    }

    #[test]
    fn whoever_is_left_alone_is_told() {
        let (giver, taker) = lane(10);
        assert!(giver.give(10, 1));
        let gives = std::thread::spawn(move || giver.give(10, 2));
        drop(taker);
        assert!(!gives.join().expect("no panic"));
    }
}
