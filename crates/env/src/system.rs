//! The real world: the machine's clock, disk and chance.

pub mod clock;
pub mod disk;

pub use clock::SystemClock;
pub use disk::SystemDisk;

/// A seed from the operating system.
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
