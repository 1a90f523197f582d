//! Answers to requests that go straight: connections are kept while they live, every shape of body is read whole, and
//! what needs more than a connection gets it.

use std::sync::Arc;
use std::time::Duration;

use configfile::http_client::{HttpClientConfig, TlsConfig};
use http::HeaderMap;
use net::http_client::{Fetched, HttpClient};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What a stand-in does with the requests of one connection, one after the other; then it closes.
type Answers = &'static [&'static str];

/// Serves `script`, one connection after the other; tells each request with the number of its connection.
async fn stand_in(script: &'static [Answers]) -> (String, UnboundedReceiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let (tell, told) = unbounded_channel();
    tokio::spawn(async move {
        for (number, answers) in script.iter().enumerate() {
            let (mut stream, _) = listener.accept().await.expect("a client");
            for answer in *answers {
                let mut request = vec![0; 4096];
                let n = stream.read(&mut request).await.expect("a request");
                let text = String::from_utf8_lossy(&request[..n]).into_owned();
                let _ = tell.send((number, text));
                stream.write_all(answer.as_bytes()).await.expect("written");
            }
        }
    });
    (address, told)
}

async fn body(answer: &mut Fetched) -> String {
    let mut all = Vec::new();
    while let Some(part) = answer.chunk().await.expect("a whole body") {
        all.extend_from_slice(&part);
    }
    String::from_utf8(all).expect("text")
}

async fn fetch(client: &HttpClient, url: &str) -> (u16, String) {
    let more = HeaderMap::from_iter([(http::header::ACCEPT, "text/plain".parse().expect("value"))]);
    let asked = tokio::time::timeout(Duration::from_secs(10), client.fetch(url, more));
    let mut answer = asked.await.expect("in time").expect("an answer");
    (answer.status().as_u16(), body(&mut answer).await)
}

fn client(config: HttpClientConfig) -> HttpClient {
    HttpClient::new(&config, "titan/test").expect("builds")
}

#[tokio::test]
async fn a_connection_is_kept_until_the_server_closes_it() {
    let (address, mut told) = stand_in(&[
        &[
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nt\r\n2\r\nwo\r\n0\r\n\r\n",
        ],
        &["HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\nconnection: close\r\n\r\nthree"],
        &["HTTP/1.0 200 OK\r\n\r\nuntil the end"],
    ])
    .await;
    let client = client(HttpClientConfig::default());
    let url = format!("http://{address}/metrics?a=b");
    assert_eq!(fetch(&client, &url).await, (200, "one".into()));
    assert_eq!(fetch(&client, &url).await, (200, "two".into()));
    assert_eq!(fetch(&client, &url).await, (503, "three".into()));
    assert_eq!(fetch(&client, &url).await, (200, "until the end".into()));
    for connection in [0, 0, 1, 2] {
        let (number, request) = told.recv().await.expect("a request");
        assert_eq!(number, connection, "{request}");
        let request = request.to_lowercase();
        for line in [
            "get /metrics?a=b http/1.1\r\n".to_string(),
            format!("host: {address}\r\n"),
            "user-agent: titan/test\r\n".to_string(),
            "accept: text/plain\r\n".to_string(),
        ] {
            assert!(request.contains(&line), "{line:?} in {request:?}");
        }
    }
}

#[tokio::test]
async fn redirects_are_followed_if_they_should_be() {
    const THERE: &str =
        "HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    const SCRIPT: &[Answers] = &[
        &[THERE],
        &[THERE],
        &["HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nthere"],
        &[THERE],
    ];
    let (address, _told) = stand_in(SCRIPT).await;
    let url = format!("http://{address}/");
    let follows = client(HttpClientConfig::default());
    assert_eq!(fetch(&follows, &url).await, (200, "there".into()));
    let stays = client(HttpClientConfig {
        follow_redirects: false,
        ..HttpClientConfig::default()
    });
    assert_eq!(fetch(&stays, &url).await, (302, String::new()));
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error() {
    for torn in [
        "HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\na 1\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\na 1\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "nonsense\r\n\r\n",
        "",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(torn.as_bytes()).await;
        });
        let client = client(HttpClientConfig::default());
        let all = async {
            let mut answer = client.fetch(&url, HeaderMap::new()).await?;
            while answer.chunk().await?.is_some() {}
            Ok::<(), net::http_client::FetchError>(())
        };
        let end = tokio::time::timeout(Duration::from_secs(10), all).await;
        assert!(end.expect("no waiting").is_err(), "{torn:?}");
    }
}

#[tokio::test]
async fn the_configured_server_name_is_what_the_server_is_asked_for() {
    let signed = rcgen::generate_simple_self_signed(vec!["inner.test".into()]).expect("signed");
    let chain = vec![CertificateDer::from(signed.cert.der().to_vec())];
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a server");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("https://{}/", listener.local_addr().expect("an address"));
    let asked_for = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        let hello = tokio_rustls::LazyConfigAcceptor::new(Acceptor::default(), stream);
        let start = hello.await.expect("a client's hello");
        let name = start.client_hello().server_name().map(str::to_string);
        let mut stream = start.into_stream(Arc::new(server)).await.expect("TLS");
        let mut request = vec![0; 4096];
        let _ = stream.read(&mut request).await;
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(reply).await.expect("written");
        stream.flush().await.expect("written");
        name
    });
    let client = client(HttpClientConfig {
        tls: TlsConfig {
            ca: signed.cert.pem(),
            server_name: "inner.test".into(),
            ..TlsConfig::default()
        },
        ..HttpClientConfig::default()
    });
    assert_eq!(fetch(&client, &url).await, (200, "ok".into()));
    let name = asked_for.await.expect("served");
    assert_eq!(name.as_deref(), Some("inner.test"));
}
