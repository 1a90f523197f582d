//! An HTTP server that is hard to hold up: at most so many connections, slow headers and handshakes are cut off, a stop
//! lets running requests finish. Who may come in is the gate's to say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

use crate::listener_counts::ListenerCounts;
use crate::raw_query::RawQuery;
use crate::shutdown::Shutdown;
use crate::timed_body::TimedBody;
use crate::web_gate::WebGate;

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How a server treats its clients.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at one time, over all listeners.
    pub max_connections: usize,
    /// How long a request's header may take, its body after that, and a connection be idle.
    pub read_timeout: Duration,
    /// How long requests may go on after the stop.
    pub shutdown_grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        ServerLimits {
            max_connections: 512,
            read_timeout: Duration::from_secs(300),
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// Serves `router` on all listeners until the stop, then waits for running requests, `shutdown_grace` at most.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    limits: ServerLimits,
    gate: Arc<WebGate>,
    counts: ListenerCounts,
    shutdown: Shutdown,
) {
    let connections = Arc::new(Semaphore::new(limits.max_connections.max(1)));
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let work = accept(
                listener,
                router.clone(),
                limits,
                gate.clone(),
                counts.clone(),
                connections.clone(),
                shutdown.clone(),
            );
            tokio::spawn(work)
        })
        .collect();
    for task in accepting {
        // A panicking accept loop ends its listener only; the others go on.
        let _ = task.await;
    }
    let all = limits.max_connections.max(1) as u32;
    // Every permit back means that every connection has ended.
    let _ = tokio::time::timeout(limits.shutdown_grace, connections.acquire_many(all)).await;
}

async fn accept(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    gate: Arc<WebGate>,
    counts: ListenerCounts,
    connections: Arc<Semaphore>,
    shutdown: Shutdown,
) {
    loop {
        let Some(Ok(permit)) = shutdown.or(connections.clone().acquire_owned()).await else {
            return;
        };
        let Some(accepted) = shutdown.or(listener.accept()).await else {
            return;
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                // Out of file descriptors, mostly: others need time to close.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (router, gate, shutdown) = (router.clone(), gate.clone(), shutdown.clone());
        let taken = counts.take();
        tokio::spawn(async move {
            serve_connection(stream, router, limits, gate, shutdown).await;
            drop(taken);
            drop(permit);
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    router: Router,
    limits: ServerLimits,
    gate: Arc<WebGate>,
    shutdown: Shutdown,
) {
    // Answers are small and waited for.
    let _ = stream.set_nodelay(true);
    let remote = stream.peer_addr().ok();
    let tls = match gate.tls() {
        Ok(tls) => tls,
        Err(error) => {
            tracing::error!(component = "web", err = %error, "TLS handshake not possible");
            return;
        }
    };
    let Some(tls) = tls else {
        return speak(stream, false, remote, router, limits, gate, shutdown).await;
    };
    let accepted = tokio_rustls::TlsAcceptor::from(tls).accept(stream);
    match tokio::time::timeout(HANDSHAKE, accepted).await {
        Ok(Ok(stream)) => {
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            speak(stream, http2, remote, router, limits, gate, shutdown).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(component = "web", err = %error, remote = ?remote, "TLS handshake error");
        }
        Err(_) => {
            tracing::debug!(component = "web", remote = ?remote, "TLS handshake timed out");
        }
    }
}

async fn speak<S>(
    stream: S,
    http2: bool,
    remote: Option<SocketAddr>,
    router: Router,
    limits: ServerLimits,
    gate: Arc<WebGate>,
    shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(remote) = remote {
            request
                .extensions_mut()
                .insert(axum::extract::ConnectInfo(remote));
        }
        let (router, gate) = (router.clone(), gate.clone());
        async move {
            let headers = match gate.admit(request.headers()).await {
                Ok(headers) => headers,
                Err(refused) => return Ok(*refused),
            };
            let request = request.map(|body| match body.is_end_stream() {
                true => axum::body::Body::empty(),
                false => axum::body::Body::new(TimedBody::new(body, limits.read_timeout)),
            });
            let mut response = router.oneshot(request).await?;
            response.headers_mut().extend(headers);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    // Errors are the client's: it went away or spoke nonsense.
    if http2 {
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.read_timeout)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            () = shutdown.wait() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
        return;
    }
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.read_timeout)
        .max_buf_size(1 << 20)
        .serve_connection(TokioIo::new(RawQuery::new(stream)), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = shutdown.wait() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    async fn start(
        limits: ServerLimits,
    ) -> (
        String,
        crate::shutdown::ShutdownTrigger,
        tokio::task::JoinHandle<()>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("address").to_string();
        let router = Router::new().route("/", get(|| async { "hello" }));
        let (trigger, shutdown) = crate::shutdown::channel();
        let task = tokio::spawn(serve(
            vec![listener],
            router,
            limits,
            WebGate::open(),
            ListenerCounts::default(),
            shutdown,
        ));
        (address, trigger, task)
    }

    #[tokio::test]
    async fn answers_and_stops() {
        let (address, trigger, task) = start(ServerLimits::default()).await;
        let mut stream = TcpStream::connect(&address).await.expect("connect");
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .expect("write");
        let mut buffer = vec![0; 1024];
        let n = stream.read(&mut buffer).await.expect("read");
        assert!(String::from_utf8_lossy(&buffer[..n]).ends_with("hello"));
        trigger.stop();
        task.await.expect("ends");
        assert!(TcpStream::connect(&address).await.is_err());
    }

    #[tokio::test]
    async fn slow_headers_are_cut_off() {
        let limits = ServerLimits {
            read_timeout: Duration::from_millis(100),
            ..ServerLimits::default()
        };
        let (address, _trigger, _task) = start(limits).await;
        let mut stream = TcpStream::connect(&address).await.expect("connect");
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: ")
            .await
            .expect("write");
        let mut rest = Vec::new();
        // The server closes, with or without a word.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
}
