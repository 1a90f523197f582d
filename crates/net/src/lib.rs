//! Where the process meets the world: listeners, HTTP servers and clients, logs, signals, the runtime's clock.

pub mod clock;
pub mod http_client;
pub mod http_server;
pub mod listen;
pub mod logging;
pub mod process;
pub mod shutdown;
