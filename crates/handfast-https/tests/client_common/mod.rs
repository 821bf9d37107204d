//! A server and its clients, for the tests of the client library.

#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use handfast::{ClientContext, Identity, Passphrase, ServerContext, TrustAnchors};
use handfast_https::client::{Client, ClientBuilder, Error, Request, Upload};
use handfast_https::server::{self, Body, ConnectionInfo, Response, Running, Server, ServerConfig};
use handfast_testbed::pki::Pki;
use http::Method;
use http::header::CONTENT_LENGTH;
use tokio::sync::Semaphore;

pub const VERSIONS: [&str; 2] = ["http/1.1", "h2"];

/// Longer than anything takes here.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the server does with requests, and what it saw of them.
pub struct Seen {
    /// A request's body is read when there is a permit.
    pub gate: Semaphore,
    pub now: AtomicUsize,
    pub most: AtomicUsize,
    /// Bodies that came to their end.
    pub whole: AtomicU64,
}

pub struct Fixture {
    pub pki: Pki,
    pub running: Running,
    pub port: u16,
    pub seen: Arc<Seen>,
}

impl Fixture {
    pub fn new() -> Self {
        let pki = Pki::new();
        let issued = pki.server(&["localhost", "127.0.0.1"]);
        let identity = Identity::from_bytes(
            issued.cert_pem().as_bytes(),
            issued.key_pem().as_bytes(),
            Passphrase::none(),
        );
        let context = ServerContext::builder()
            .identity(identity.unwrap())
            .alpn(server::ALPN);
        let config = ServerConfig::new(context.build().unwrap())
            .listen("127.0.0.1:0".parse().unwrap())
            .threads(1.try_into().unwrap());
        let seen = Arc::new(Seen {
            gate: Semaphore::new(0),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            whole: AtomicU64::new(0),
        });
        let shared = Arc::clone(&seen);
        let handler = move |request, _: Arc<ConnectionInfo>| answer(request, Arc::clone(&shared));
        let server = Server::bind(config, handler).unwrap();
        let port = server.local_addrs()[0].port();
        Self {
            pki,
            running: server.start().unwrap(),
            port,
            seen,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    pub fn client(&self, alpn: &str) -> ClientBuilder {
        Client::builder(context(&self.pki, alpn))
    }

    pub fn put(&self, upload: Upload) -> Request {
        let request = Request::new(Method::PUT, &self.url("/count")).unwrap();
        request.with_upload(upload)
    }
}

pub fn anchors(pki: &Pki) -> TrustAnchors {
    TrustAnchors::empty()
        .with_certificate_der(pki.root.der.clone())
        .unwrap()
}

pub fn context(pki: &Pki, alpn: &str) -> ClientContext {
    let context = ClientContext::builder().trust(anchors(pki)).alpn([alpn]);
    context.build().unwrap()
}

/// A request that is being answered: also one whose client goes away is over at some time.
struct Answering(Arc<Seen>);

impl Answering {
    fn begin(seen: &Arc<Seen>) -> Self {
        let now = seen.now.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(seen))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `/count` tells the length and the sum of the body, once there is a permit to read it; `/slow` waits for one; `/large` gives more than a
/// window holds; anything else is answered at once.
async fn answer(request: server::Request, seen: Arc<Seen>) -> Response {
    let path = request.uri().path().to_owned();
    let length = request.headers().get(CONTENT_LENGTH).cloned();
    let _answering = Answering::begin(&seen);
    if path == "/large" {
        return Response::new(Body::from(vec![0; 32 << 20]));
    }
    if path != "/" {
        seen.gate.acquire().await.unwrap().forget();
    }
    let (mut count, mut sum) = (0, 0);
    let mut body = request.into_body();
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else {
            return Response::new(Body::from(b"cut off".to_vec()));
        };
        count += piece.len();
        sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    seen.whole.fetch_add(1, Ordering::SeqCst);
    let length = length.map_or_else(|| "none".to_owned(), |it| it.to_str().unwrap().to_owned());
    Response::new(Body::from(format!("{count} {sum} {length}").into_bytes()))
}

pub async fn text(client: &Client, request: Request) -> Result<String, Error> {
    let mut response = client.send(request).await?;
    let text = String::from_utf8(response.bytes(1000).await?).unwrap();
    response.finish().await?;
    Ok(text)
}
