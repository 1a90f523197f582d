//! The machine's clock with the runtime's timer.

use std::sync::Arc;
use std::time::Duration;

use env::clock::Sleep;
use env::system::SystemClock;

/// The clock that parts run on outside of tests.
pub fn system_clock() -> Arc<SystemClock> {
    Arc::new(SystemClock::new(sleep))
}

fn sleep(duration: Duration) -> Sleep {
    Box::pin(tokio::time::sleep(duration))
}
