//! What programs that embed the client build on: bodies that are made while they are sent, a pool with limits, and what
//! is known of each connection.

#![cfg(all(feature = "client", feature = "server"))]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use handfast::{ClientContext, Identity, Passphrase, ServerContext, TrustAnchors};
use handfast_https::client::{Client, ClientBuilder, Error, Event, PoolLimits, Request, Upload};
use handfast_https::server::{self, Body, ConnectionInfo, Response, Running, Server, ServerConfig};
use handfast_testbed::misbehaving::{Misbehaving, Step};
use handfast_testbed::pki::Pki;
use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode};
use tokio::sync::Semaphore;

const VERSIONS: [&str; 2] = ["http/1.1", "h2"];

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server does with requests, and what it saw of them.
struct Seen {
    /// A request's body is read when there is a permit.
    gate: Semaphore,
    now: AtomicUsize,
    most: AtomicUsize,
    /// Bodies that came to their end.
    whole: AtomicU64,
}

struct Fixture {
    pki: Pki,
    running: Running,
    port: u16,
    seen: Arc<Seen>,
}

impl Fixture {
    fn new() -> Self {
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

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn client(&self, alpn: &str) -> ClientBuilder {
        Client::builder(context(&self.pki, alpn))
    }

    fn put(&self, upload: Upload) -> Request {
        let request = Request::new(Method::PUT, &self.url("/count")).unwrap();
        request.with_upload(upload)
    }
}

fn context(pki: &Pki, alpn: &str) -> ClientContext {
    let trust = TrustAnchors::empty()
        .with_certificate_der(pki.root.der.clone())
        .unwrap();
    let context = ClientContext::builder().trust(trust).alpn([alpn]);
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

/// `/count` tells the length and the sum of the body, once there is a permit to read it; `/slow` waits for one; anything
/// else is answered at once.
async fn answer(request: server::Request, seen: Arc<Seen>) -> Response {
    let path = request.uri().path().to_owned();
    let length = request.headers().get(CONTENT_LENGTH).cloned();
    let _answering = Answering::begin(&seen);
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

async fn text(client: &Client, request: Request) -> Result<String, Error> {
    let mut response = client.send(request).await?;
    let text = String::from_utf8(response.bytes(1000).await?).unwrap();
    response.finish().await?;
    Ok(text)
}

/// As many bytes as no socket and no window holds.
const PIECES: usize = 1024;
const PIECE: usize = 64 * 1024;

#[tokio::test]
async fn a_server_that_does_not_read_holds_back_who_makes_the_body() {
    for alpn in VERSIONS {
        let fixture = Fixture::new();
        let client = fixture.client(alpn).build();
        let (mut sender, upload) = Upload::channel();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let making = tokio::spawn(async move {
            for _ in 0..PIECES {
                sender.send(Bytes::from(vec![1; PIECE])).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
            sender.finish();
        });
        let request = fixture.put(upload);
        let sending = tokio::spawn(async move { text(&client, request).await });
        // Until nothing more is taken.
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = taken.load(Ordering::SeqCst);
            if now == last && now > 0 {
                break;
            }
            last = now;
        }
        assert!(!making.is_finished(), "{alpn}: all of it was taken");
        assert!(last < PIECES / 2, "{alpn}: {last} pieces are in memory");
        fixture.seen.gate.add_permits(1);
        let told = sending.await.unwrap().unwrap();
        making.await.unwrap();
        let bytes = PIECES * PIECE;
        assert_eq!(told, format!("{bytes} {bytes} none"), "{alpn}");
    }
}

#[tokio::test]
async fn a_body_is_read_from_a_reader_and_has_the_length_that_is_announced() {
    for alpn in VERSIONS {
        let fixture = Fixture::new();
        fixture.seen.gate.add_permits(100);
        let client = fixture.client(alpn).build();
        let content = vec![7_u8; 300_001];
        let reader = std::io::Cursor::new(content.clone());
        let upload = Upload::from_reader(reader).with_length(300_001);
        let told = text(&client, fixture.put(upload)).await.unwrap();
        assert_eq!(told, format!("300001 {} 300001", 7 * 300_001), "{alpn}");

        let empty = Upload::from_reader(tokio::io::empty());
        let told = text(&client, fixture.put(empty)).await.unwrap();
        assert_eq!(told, "0 0 none", "{alpn}");

        // With chunks that its caller asks for, and a length besides.
        let upload = Upload::from_reader(std::io::Cursor::new(content)).with_length(300_001);
        let chunked = HeaderValue::from_static("chunked");
        let request = fixture.put(upload).with_header(TRANSFER_ENCODING, chunked);
        let told = text(&client, request).await.unwrap();
        assert!(told.starts_with("300001 "), "{alpn}: {told}");
    }
}

#[tokio::test]
async fn a_body_that_fails_is_never_taken_for_a_whole_one() {
    for alpn in VERSIONS {
        for (what, length) in [("short", Some(20)), ("long", Some(5)), ("dropped", None)] {
            let fixture = Fixture::new();
            fixture.seen.gate.add_permits(100);
            let client = fixture.client(alpn).build();
            let upload = match length {
                Some(length) => {
                    let reader = std::io::Cursor::new(b"ten bytes!");
                    Upload::from_reader(reader).with_length(length)
                }
                None => {
                    let (mut sender, upload) = Upload::channel();
                    sender.send("some").await.unwrap();
                    upload
                }
            };
            let error = text(&client, fixture.put(upload)).await.unwrap_err();
            assert!(
                matches!(error, Error::Upload { .. }),
                "{alpn} {what}: {error:?}"
            );
            assert_eq!(error.explain().id, "upload-failed");
            client.close().await;
            let ended = tokio::time::timeout(PATIENCE, async {
                while fixture.seen.now.load(Ordering::SeqCst) > 0 {
                    tokio::task::yield_now().await;
                }
            });
            let _ = ended.await;
            assert_eq!(fixture.seen.now.load(Ordering::SeqCst), 0, "{alpn} {what}");
            assert_eq!(
                fixture.seen.whole.load(Ordering::SeqCst),
                0,
                "{alpn} {what}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_was_sent_is_not_sent_again() {
    let fixture = Fixture::new();
    fixture.seen.gate.add_permits(100);
    let client = fixture.client("h2").build();
    let request = fixture.put(Upload::from_reader(std::io::Cursor::new(b"once")));
    assert_eq!(text(&client, request.clone()).await.unwrap(), "4 421 none");
    let error = text(&client, request).await.unwrap_err();
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error:?}");

    let server = Misbehaving::new(&fixture.pki.server(&["localhost"]), &[]).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 307 Elsewhere\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let client = fixture.client("http/1.1").follow_redirects(true).build();
    let request = Request::new(Method::PUT, &server.url("/")).unwrap();
    let request = request.with_upload(Upload::from_reader(std::io::Cursor::new(b"once")));
    let error = text(&client, request).await.unwrap_err();
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error:?}");
}

#[tokio::test]
async fn a_refusal_comes_before_the_body_was_sent_and_ends_it() {
    let pki = Pki::new();
    let server = Misbehaving::new(&pki.server(&["localhost"]), &[]).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let client = Client::new(context(&pki, "http/1.1"));
    let (mut sender, upload) = Upload::channel();
    let request = Request::new(Method::PUT, &server.url("/")).unwrap();
    let response = client.send(request.with_upload(upload)).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let finished = response.finish().await.unwrap();
    assert!(finished.request_cut_short);
    assert!(sender.send("more").await.is_err());
}

#[tokio::test]
async fn a_caller_that_takes_its_time_is_no_silence_of_the_server() {
    for alpn in VERSIONS {
        let fixture = Fixture::new();
        fixture.seen.gate.add_permits(100);
        let silence = Duration::from_millis(200);
        let client = fixture.client(alpn).silence_max(Some(silence)).build();
        let (mut sender, upload) = Upload::channel();
        let making = tokio::spawn(async move {
            sender.send("a").await.unwrap();
            tokio::time::sleep(silence * 4).await;
            sender.send("b").await.unwrap();
            sender.finish();
        });
        let told = text(&client, fixture.put(upload)).await.unwrap();
        making.await.unwrap();
        assert_eq!(told, "2 195 none", "{alpn}");
    }
}

#[tokio::test]
async fn small_fetches_share_one_connection_of_http2() {
    let fixture = Fixture::new();
    let client = fixture.client("h2").build();
    for number in 0..1000 {
        let response = client.send(Request::get(&fixture.url("/")).unwrap());
        let response = response.await.unwrap();
        let connection = response.connection();
        assert_eq!(
            (connection.number, connection.exchanges_before),
            (1, number)
        );
        response.finish().await.unwrap();
    }
    let mut at_once = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let (client, request) = (client.clone(), Request::get(&fixture.url("/")).unwrap());
        at_once.spawn(async move {
            let response = client.send(request).await.unwrap();
            let number = response.connection().number;
            response.finish().await.unwrap();
            number
        });
    }
    while let Some(number) = at_once.join_next().await {
        assert_eq!(number.unwrap(), 1);
    }
    assert_eq!(client.close().await.len(), 1);
}

#[tokio::test]
async fn the_pool_keeps_to_its_limits() {
    for (in_all, per_origin) in [(usize::MAX, 3), (3, usize::MAX)] {
        let fixture = Fixture::new();
        let mut limits = PoolLimits::default();
        (limits.connections_max, limits.per_origin_max) = (in_all, per_origin);
        let client = fixture.client("http/1.1").pool_limits(limits).build();
        let begin = || {
            let mut at_once = tokio::task::JoinSet::new();
            for _ in 0..20 {
                let client = client.clone();
                let request = Request::get(&fixture.url("/slow")).unwrap();
                at_once.spawn(async move { text(&client, request).await });
            }
            at_once
        };
        let three_are_there = async || {
            while fixture.seen.now.load(Ordering::SeqCst) < 3 {
                tokio::task::yield_now().await;
            }
        };
        let all = async |mut at_once: tokio::task::JoinSet<Result<String, Error>>| {
            while let Some(done) = at_once.join_next().await {
                assert_eq!(done.unwrap().unwrap(), "0 0 none");
            }
        };
        let at_once = begin();
        three_are_there().await;
        fixture.seen.gate.add_permits(20);
        tokio::time::timeout(PATIENCE, all(at_once)).await.unwrap();
        assert_eq!(fixture.seen.most.load(Ordering::SeqCst), 3);
        // One that does not wait any longer leaves its turn to the next.
        let mut given_up = begin();
        three_are_there().await;
        given_up.abort_all();
        while given_up.join_next().await.is_some() {}
        let at_once = begin();
        fixture.seen.gate.add_permits(100);
        tokio::time::timeout(PATIENCE, all(at_once)).await.unwrap();
        assert!(client.close().await.len() <= 3);
    }
}

#[tokio::test]
async fn an_idle_connection_to_one_server_makes_room_for_another() {
    let fixture = Fixture::new();
    let mut limits = PoolLimits::default();
    limits.connections_max = 1;
    let client = fixture.client("http/1.1").pool_limits(limits).build();
    for host in ["localhost", "127.0.0.1", "localhost"] {
        let url = format!("https://{host}:{}/", fixture.port);
        let told = tokio::time::timeout(PATIENCE, text(&client, Request::get(&url).unwrap()));
        assert_eq!(told.await.unwrap().unwrap(), "0 0 none", "{host}");
    }
    assert_eq!(client.close().await.len(), 1);
}

#[tokio::test]
async fn a_connection_of_http2_is_never_too_many_while_it_is_used() {
    for (in_all, per_origin) in [(0, 8), (8, 0), (1, 1)] {
        let fixture = Fixture::new();
        let mut limits = PoolLimits::default();
        (limits.idle_max, limits.idle_per_origin_max) = (in_all, per_origin);
        let retries = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&retries);
        let client = fixture.client("h2").pool_limits(limits);
        let client = client.observer(move |event| {
            if matches!(event, Event::Retrying { .. }) {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let client = client.build();
        let get = |host: &str, path: &str| {
            let url = format!("https://{host}:{}{path}", fixture.port);
            let (client, request) = (client.clone(), Request::get(&url).unwrap());
            async move { text(&client, request).await }
        };
        for _ in 0..3 {
            assert_eq!(get("localhost", "/").await.unwrap(), "0 0 none");
        }
        let mut at_once = tokio::task::JoinSet::new();
        for number in 0..20 {
            at_once.spawn(get(["localhost", "127.0.0.1"][number % 2], "/slow"));
        }
        while fixture.seen.now.load(Ordering::SeqCst) < 20 {
            tokio::task::yield_now().await;
        }
        fixture.seen.gate.add_permits(20);
        while let Some(done) = at_once.join_next().await {
            assert_eq!(done.unwrap().unwrap(), "0 0 none");
        }
        assert_eq!(retries.load(Ordering::SeqCst), 0);
        // Afterwards the limits hold.
        let idle = in_all.min(per_origin);
        tokio::time::timeout(PATIENCE, async {
            while fixture.running.connections() > idle {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        assert_eq!(client.close().await.len(), idle);
    }
}

#[tokio::test]
async fn idle_connections_are_closed_after_their_time() {
    let fixture = Fixture::new();
    let mut limits = PoolLimits::default();
    limits.idle_time_max = Duration::from_millis(50);
    for alpn in VERSIONS {
        let client = fixture.client(alpn).pool_limits(limits).build();
        text(&client, Request::get(&fixture.url("/")).unwrap())
            .await
            .unwrap();
        tokio::time::timeout(PATIENCE, async {
            while fixture.running.connections() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        assert!(client.close().await.is_empty());
    }
}

#[tokio::test]
async fn each_response_knows_its_connection() {
    let fixture = Fixture::new();
    for alpn in VERSIONS {
        let context = context(&fixture.pki, alpn);
        let client = Client::new(context.clone());
        for before in 0..2 {
            let response = client.send(Request::get(&fixture.url("/")).unwrap());
            let response = response.await.unwrap();
            let connection = response.connection().clone();
            assert_eq!(
                (connection.number, connection.exchanges_before),
                (1, before)
            );
            assert_eq!(connection.is_reused(), before > 0);
            assert!(!connection.is_resumed());
            assert_eq!(connection.peer_address.port(), fixture.port);
            assert!(connection.local_address.unwrap().ip().is_loopback());
            assert_eq!(connection.proxy, None);
            assert_eq!(connection.report.alpn.as_deref(), Some(alpn.as_bytes()));
            assert!(connection.report.peer.is_some() && !connection.report.peer_chain.is_empty());
            assert!(connection.setup.handshake > Duration::ZERO);
            let times = response.times();
            assert!(times.connection <= times.head);
            response.finish().await.unwrap();
        }
        client.close().await;
        // Another connection takes up the session.
        let again = Client::new(context);
        let response = again
            .send(Request::get(&fixture.url("/")).unwrap())
            .await
            .unwrap();
        let connection = response.connection();
        assert!(connection.is_resumed() && !connection.is_reused(), "{alpn}");
        response.finish().await.unwrap();
        again.close().await;
    }
}
