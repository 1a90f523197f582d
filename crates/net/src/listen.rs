//! Addresses to listen on, as flags give them: `:9090`, `0.0.0.0:9090`, `[::1]:9090`, `localhost:9090`.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use thiserror::Error;
use tokio::net::TcpListener;

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("listen tcp {address}: {source}")]
pub struct ListenError {
    address: String,
    source: io::Error,
}

/// Binds every address, or none.
pub async fn bind_all(addresses: &[String]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let bound = bind(address).await;
        listeners.push(bound.map_err(|source| ListenError {
            address: address.clone(),
            source,
        })?);
    }
    Ok(listeners)
}

async fn bind(address: &str) -> io::Result<TcpListener> {
    // No host means every address of both families, as in Go.
    if let Some(port) = address.strip_prefix(':') {
        let port: u16 = port.parse().map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("invalid port {port:?}"),
            )
        })?;
        return match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
            Ok(listener) => Ok(listener),
            // A machine without IPv6.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind(("0.0.0.0", port)).await
            }
            Err(error) => Err(error),
        };
    }
    if !address.contains(':') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "missing port in address",
        ));
    }
    TcpListener::bind(address).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn binds_what_flags_say() {
        let bound = bind_all(&["127.0.0.1:0".into(), ":0".into(), "localhost:0".into()]).await;
        let listeners = bound.expect("free ports");
        let taken = listeners[0].local_addr().expect("address").to_string();
        let error = bind_all(std::slice::from_ref(&taken))
            .await
            .expect_err("in use")
            .to_string();
        assert!(
            error.starts_with(&format!("listen tcp {taken}: ")),
            "{error}"
        );
        assert!(bind_all(&["nonsense".into()]).await.is_err());
        assert!(bind_all(&[":x".into()]).await.is_err());
    }
}
