//! The client's connections: what shares them, how many there may be, how long they are kept, and how they are closed.

#![cfg(all(feature = "client", feature = "server"))]

mod client_common;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use client_common::{Fixture, PATIENCE, VERSIONS, context, text};
use handfast_https::client::{Client, Error, Event, PoolLimits, Request, Response, Upload};
use handfast_testbed::misbehaving::{Misbehaving, Step, http2};
use handfast_testbed::pki::Pki;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::JoinHandle;

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

/// Requests that wait for a connection, with a pool of so many of them that never grow too old.
struct Crowd {
    fixture: Fixture,
    client: Client,
}

impl Crowd {
    fn new(alpn: &str, connections_max: usize) -> Self {
        let fixture = Fixture::new();
        let mut limits = PoolLimits::default();
        limits.connections_max = connections_max;
        limits.idle_time_max = Duration::from_secs(3600);
        let client = fixture.client(alpn).pool_limits(limits).build();
        Self { fixture, client }
    }

    fn request(&self, host: &str, path: &str) -> Request {
        Request::get(&format!("https://{host}:{}{path}", self.fixture.port)).unwrap()
    }

    async fn begin(&self, path: &str) -> Response {
        let request = self.request("localhost", path);
        self.client.send(request).await.unwrap()
    }

    /// Begins a request, until it waits.
    async fn queue(&self, host: &str, path: &str) -> JoinHandle<Result<String, Error>> {
        let (client, request) = (self.client.clone(), self.request(host, path));
        let waiting = tokio::spawn(async move { text(&client, request).await });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        waiting
    }
}

async fn is_served(waiting: JoinHandle<Result<String, Error>>) {
    let told = tokio::time::timeout(PATIENCE, waiting).await;
    assert_eq!(told.unwrap().unwrap().unwrap(), "0 0 none");
}

#[tokio::test]
async fn a_connection_that_becomes_idle_makes_room_for_a_waiting_exchange() {
    for alpn in VERSIONS {
        for is_finished in [true, false] {
            let crowd = Crowd::new(alpn, 1);
            let mut response = crowd.begin("/").await;
            let other = crowd.queue("127.0.0.1", "/").await;
            response.bytes(100).await.unwrap();
            match is_finished {
                true => drop(response.finish().await.unwrap()),
                false => drop(response),
            }
            is_served(other).await;
        }
    }
}

#[tokio::test]
async fn an_unused_place_is_for_the_next() {
    let crowd = Crowd::new("http/1.1", 2);
    let large = crowd.begin("/large").await;
    let mut small = crowd.begin("/").await;
    small.bytes(100).await.unwrap();
    let same = crowd.queue("localhost", "/slow").await;
    let other = crowd.queue("127.0.0.1", "/").await;
    // A place is free, and before the first could take it, there is a connection that serves it as well.
    drop(large);
    small.finish().await.unwrap();
    is_served(other).await;
    crowd.fixture.seen.gate.add_permits(1);
    is_served(same).await;
}

#[tokio::test]
async fn a_connection_for_an_exchange_that_was_dropped_makes_room() {
    let crowd = Crowd::new("http/1.1", 1);
    let mut small = crowd.begin("/").await;
    small.bytes(100).await.unwrap();
    let same = crowd.queue("localhost", "/").await;
    let other = crowd.queue("127.0.0.1", "/").await;
    small.finish().await.unwrap();
    same.abort();
    assert!(same.await.unwrap_err().is_cancelled());
    is_served(other).await;
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
async fn a_client_that_is_closed_cuts_off_what_goes_over_its_connections() {
    let fixture = Fixture::new();
    let client = fixture.client("h2").silence_max(None).build();
    let get = |path: &str| Request::get(&fixture.url(path)).unwrap();
    text(&client, get("/")).await.unwrap();
    let mut response = client.send(get("/large")).await.unwrap();
    let (_sender, upload) = Upload::channel();
    let running = [get("/slow"), fixture.put(upload)].map(|request| {
        let client = client.clone();
        tokio::spawn(async move { text(&client, request).await })
    });
    while fixture.seen.now.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    let closed = tokio::time::timeout(PATIENCE, client.close()).await;
    assert_eq!(closed.unwrap().len(), 1);
    for exchange in running {
        let ended = tokio::time::timeout(PATIENCE, exchange).await.unwrap();
        let error = ended.unwrap().unwrap_err();
        assert_eq!(error.explain().id, "client-closed", "{error:?}");
    }
    let read = async {
        loop {
            if let Err(error) = response.chunk().await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(PATIENCE, read).await.unwrap();
    assert_eq!(error.explain().id, "truncated", "{error:?}");
    assert!(
        error
            .explain()
            .to_string()
            .contains("the client was closed")
    );
}

#[tokio::test]
async fn two_closes_of_a_connection_both_end() {
    let pki = Pki::new();
    let frames = [http2::headers(1, &[], false), http2::data(1, b"ok", true)];
    let server = Misbehaving::new(&pki.server(&["localhost"]), &[]);
    let server = server.alpn(&["h2"]).serve([
        Step::send(http2::settings()),
        Step::ReadHttp2Request,
        Step::send(frames.concat()),
        Step::Pause(PATIENCE),
    ]);
    let client = Client::builder(context(&pki, "h2")).close_wait(Duration::from_millis(300));
    let client = client.build();
    let request = Request::get(&server.url("/")).unwrap();
    let mut response = client.send(request).await.unwrap();
    assert_eq!(response.bytes(10).await.unwrap(), b"ok");
    let closing = tokio::spawn(async move { client.close().await });
    // The task that closes it has begun.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let both = async { (response.finish().await.unwrap(), closing.await.unwrap()) };
    let (finished, closed) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert!(finished.close.is_some());
    assert_eq!(closed.len(), 1);
}

#[test]
fn a_client_outlives_the_runtime_of_its_connections() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let fixture = Fixture::new();
    let mut limits = PoolLimits::default();
    limits.idle_time_max = Duration::from_millis(200);
    for alpn in VERSIONS {
        let client = fixture.client(alpn).pool_limits(limits).build();
        let get = || text(&client, Request::get(&fixture.url("/")).unwrap());
        assert_eq!(runtime().block_on(get()).unwrap(), "0 0 none", "{alpn}");
        runtime().block_on(async {
            let told = tokio::time::timeout(PATIENCE, get()).await.unwrap();
            assert_eq!(told.unwrap(), "0 0 none", "{alpn}");
            // Here, too, idle connections are closed after their time.
            tokio::time::timeout(PATIENCE, async {
                while fixture.running.connections() > 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await
            .unwrap();
        });
        assert_eq!(runtime().block_on(get()).unwrap(), "0 0 none", "{alpn}");
        runtime().block_on(async {
            let closed = tokio::time::timeout(PATIENCE, client.close()).await;
            assert!(closed.unwrap().len() <= 1, "{alpn}");
        });
    }
}

#[tokio::test]
async fn a_reader_that_panics_holds_up_no_exchange() {
    struct Panics;
    impl AsyncRead for Panics {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            panic!("the caller's reader")
        }
    }
    let fixture = Fixture::new();
    let client = fixture.client("h2").silence_max(None).build();
    let sending = text(&client, fixture.put(Upload::from_reader(Panics)));
    let sent = tokio::time::timeout(PATIENCE, sending).await.unwrap();
    assert!(sent.is_err());
    let again = text(&client, Request::get(&fixture.url("/")).unwrap());
    let told = tokio::time::timeout(PATIENCE, again).await.unwrap();
    assert_eq!(told.unwrap(), "0 0 none");
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
            let report = connection.report.as_ref().unwrap();
            assert_eq!(report.alpn.as_deref(), Some(alpn.as_bytes()));
            assert!(report.peer.is_some() && !report.peer_chain.is_empty());
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
