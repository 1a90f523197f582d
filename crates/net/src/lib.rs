//! Where the process meets the world: listeners, HTTP servers and clients, logs, signals, the runtime's clock.

mod client_tls;
pub mod clock;
pub mod counted_body;
pub mod dials;
mod direct;
pub mod http_client;
pub mod http_server;
pub mod listen;
pub mod listener_counts;
pub mod logging;
mod oauth2;
pub mod process;
mod raw_query;
mod server_tls;
pub mod shutdown;
mod timed_body;
mod tls;
pub mod transport_error;
pub mod web_gate;
