//! GET requests over connections kept here: no layers, no task beside the one that asks. Whoever waits for an answer
//! drives the connection, and puts it back when the body is through.
//!
//! A scraper asks the same thousands of addresses again and again, and for pages of some kilobytes the way through a
//! general client costs as much as taking the samples in. HTTP/1.1 only, which every server of metrics speaks.

use std::collections::HashMap;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper_rustls::{
    FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream,
};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower::{Layer as _, Service as _};

use crate::dials::{CountedDials, Dials};

/// An idle connection is closed after this long, as Go's transport does for scrapes.
const KEPT_IDLE: Duration = Duration::from_secs(300);

/// How often connection and work are polled before other tasks get their turn, which is also when the runtime lets
/// this one read on after it has read a lot.
const ROUNDS: usize = 4;

type Failure = Box<dyn Error + Send + Sync>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Where a connection leads to: whether it is encrypted, and host with port.
type Place = (bool, Authority);

#[derive(Default)]
struct Idle {
    connections: HashMap<Place, Vec<(Instant, Box<Connection>)>>,
    /// When those that nobody wanted were closed last.
    swept: Option<Instant>,
}

/// Makes and keeps connections.
pub(crate) struct Direct {
    connector: CountedDials<HttpsConnector<HttpConnector>>,
    idle: Mutex<Idle>,
}

struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    driver: Driver,
}

/// What moves the bytes of a connection while somebody waits for them.
struct Driver {
    /// None once it has ended: whoever waits for it learns that from its being dropped.
    connection: Option<http1::Connection<Stream, Empty<Bytes>>>,
    bell: Arc<Bell>,
}

/// An answer whose body is still to be read.
pub(crate) struct DirectAnswer {
    response: Response<Incoming>,
    connection: Option<Box<Connection>>,
    home: Arc<Direct>,
    place: Place,
}

impl Direct {
    /// `tls` without protocols offered; `server_name`, if any, takes the place of the URL's host in TLS.
    pub(crate) fn new(
        tls: rustls::ClientConfig,
        server_name: Option<ServerName<'static>>,
        dials: &Dials,
    ) -> Direct {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let builder = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http();
        let builder = match server_name {
            Some(name) => builder.with_server_name_resolver(FixedServerNameResolver::new(name)),
            None => builder,
        };
        Direct {
            connector: dials.layer(builder.enable_http1().wrap_connector(tcp)),
            idle: Mutex::default(),
        }
    }

    /// Whether `uri` can be asked for here: an address with a host that needs no decoding, and without
    /// credentials.
    pub(crate) fn takes(uri: &Uri) -> bool {
        let known = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
        known
            && uri
                .authority()
                .is_some_and(|a| !a.as_str().contains(['@', '%']))
    }

    /// Asks for `uri`, which it [takes](Direct::takes), over a kept connection or a new one.
    pub(crate) async fn get(
        self: &Arc<Self>,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<DirectAnswer, Failure> {
        let authority = uri.authority().ok_or("no host in the URL")?;
        let place = (uri.scheme() == Some(&Scheme::HTTPS), authority.clone());
        let host = HeaderValue::from_str(authority.as_str())?;
        let request = || -> Result<_, Failure> {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            let mut request = Request::get(path).body(Empty::new())?;
            *request.headers_mut() = headers.clone();
            request.headers_mut().insert(HOST, host.clone());
            Ok(request)
        };
        while let Some(mut connection) = self.take(&place) {
            // The server may have closed it meanwhile, or does so while the request is on its way: then the next one.
            if let Ok(response) = connection.ask(request()?).await {
                return Ok(self.answer(response, connection, place));
            }
        }
        let mut connection = self.connect(uri).await?;
        let response = connection.ask(request()?).await?;
        Ok(self.answer(response, connection, place))
    }

    fn answer(
        self: &Arc<Self>,
        response: Response<Incoming>,
        connection: Box<Connection>,
        place: Place,
    ) -> DirectAnswer {
        DirectAnswer {
            response,
            connection: Some(connection),
            home: self.clone(),
            place,
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<Box<Connection>, Failure> {
        let mut connector = self.connector.clone();
        poll_fn(|context| connector.poll_ready(context)).await?;
        let stream = connector.call(uri.clone()).await?;
        // Header names as Go's client writes them, for servers that forget that case does not matter.
        let mut protocol = http1::Builder::new();
        protocol.title_case_headers(true);
        let (sender, connection) = protocol.handshake(stream).await?;
        let driver = Driver {
            connection: Some(connection),
            bell: Arc::default(),
        };
        Ok(Box::new(Connection { sender, driver }))
    }

    fn take(&self, place: &Place) -> Option<Box<Connection>> {
        let mut idle = self.idle.lock();
        let (_, connection) = idle.connections.get_mut(place)?.pop()?;
        Some(connection)
    }

    fn keep(&self, place: Place, connection: Box<Connection>) {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        let swept = *idle.swept.get_or_insert(now);
        if now.duration_since(swept) > KEPT_IDLE / 10 {
            idle.swept = Some(now);
            idle.connections.retain(|_, list| {
                list.retain(|(since, _)| now.duration_since(*since) < KEPT_IDLE);
                !list.is_empty()
            });
        }
        let list = idle.connections.entry(place).or_default();
        list.push((now, connection));
    }
}

impl Connection {
    /// Sends a request and waits for the head of its answer.
    async fn ask(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let Connection { sender, driver } = self;
        driver
            .drive(async {
                sender.ready().await?;
                sender.send_request(request).await
            })
            .await
    }
}

impl Driver {
    /// Does `work` and what the connection has to do for it.
    async fn drive<W: Future>(&mut self, work: W) -> W::Output {
        let mut work = pin!(work);
        let waker = Waker::from(self.bell.clone());
        poll_fn(|context| {
            self.bell.outside.register(context.waker());
            let mut inner = Context::from_waker(&waker);
            for _ in 0..ROUNDS {
                self.bell.inside.store(true, Ordering::SeqCst);
                self.bell.rung.store(false, Ordering::SeqCst);
                if let Some(connection) = &mut self.connection
                    && Pin::new(connection).poll(&mut inner).is_ready()
                {
                    self.connection = None;
                }
                let result = work.as_mut().poll(&mut inner);
                self.bell.inside.store(false, Ordering::SeqCst);
                if result.is_ready() || !self.bell.rung.load(Ordering::SeqCst) {
                    return result;
                }
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

/// Connection and work wake each other while both are polled by the same task; this is seen right there. Were the task
/// told, the runtime would wake another thread to run it a second time.
#[derive(Default)]
struct Bell {
    inside: AtomicBool,
    rung: AtomicBool,
    outside: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.inside.load(Ordering::SeqCst) {
            self.outside.wake();
        }
    }
}

impl DirectAnswer {
    pub(crate) fn head(&self) -> (http::StatusCode, &HeaderMap) {
        (self.response.status(), self.response.headers())
    }

    /// The words after the status, where they are not the usual ones.
    pub(crate) fn said(&self) -> Option<&ReasonPhrase> {
        self.response.extensions().get()
    }

    /// The next part of the body; none at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        let body = self.response.body_mut();
        while let Some(connection) = &mut self.connection {
            match connection.driver.drive(body.frame()).await {
                Some(frame) => {
                    // Trailers are no part of the body.
                    if let Ok(data) = frame?.into_data() {
                        return Ok(Some(data));
                    }
                }
                None => {
                    if let Some(connection) = self.connection.take()
                        && !connection.sender.is_closed()
                    {
                        self.home.keep(self.place.clone(), connection);
                    }
                }
            }
        }
        Ok(None)
    }
}
