//! Time as an argument.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// A wait that ends by itself.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// The wall clock, unix milliseconds. May jump.
    fn now(&self) -> i64;

    /// Time since some start; never goes back.
    fn monotonic(&self) -> Duration;

    /// Waits, in the monotonic clock's time.
    fn sleep(&self, duration: Duration) -> Sleep;
}
