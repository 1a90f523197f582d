//! The outside world as arguments: clock, randomness, disk, instruments.
//!
//! Nothing above asks the machine for the time, a random number or a file on its own: it takes one of these traits.
//! [`system`] has the real ones, [`sim`] those that let a test run a day in a second and crash the disk at any write.

pub mod clock;
pub mod disk;
pub mod instruments;
mod native_buckets;
pub mod random;
pub mod sim;
pub mod system;

pub use clock::Clock;
pub use disk::{Disk, DiskEntry, DiskFile, DiskLock};
pub use instruments::Registry;
pub use random::Random;
