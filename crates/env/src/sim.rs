//! The simulated world: virtual time, and a disk that fails where the test wants.

pub mod clock;
pub mod disk;

pub use clock::SimClock;
pub use disk::SimDisk;
