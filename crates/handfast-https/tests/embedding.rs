//! The server in programs of others: axum applications, hyper services, runtimes, listeners and channels of the caller's.
//! What stands in `examples` runs here.

#![allow(missing_docs)]

#[allow(dead_code, unreachable_pub)]
#[path = "../examples/axum_application.rs"]
mod axum_application;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/hyper_service.rs"]
mod hyper_service;
mod server_common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use handfast::{
    AsyncStream, ClientAuth, ClientContext, ClientContextBuilder, ClosePolicy, Ending,
    ServerContext, TrustAnchors,
};
use handfast_https::client::{Client, Request as ClientRequest};
use handfast_https::server::{
    ALPN, Addresses, Body, CloseReason, ConnectionInfo, Connections, Limits, Request, Response,
    ServerConfig,
};
use handfast_testbed::pki::Pki;
use server_common::{PATIENCE, Reply, Witness, identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

fn anchors(pki: &Pki) -> TrustAnchors {
    TrustAnchors::empty()
        .with_pem(pki.root.cert_pem().as_bytes())
        .unwrap()
}

fn client(pki: &Pki) -> ClientContextBuilder {
    ClientContext::builder().trust(anchors(pki))
}

/// One request over HTTP/1.1 on a connection of its own.
fn ask(client: &ClientContext, address: SocketAddr, request: &str) -> Reply {
    let socket = TcpStream::connect(address).unwrap();
    let mut stream = client.secure("localhost", socket).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.flush().unwrap();
    let (bytes, ending) = stream.read_to_ending().unwrap();
    stream.close(ClosePolicy::Send);
    Reply::parse(&bytes, ending)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

#[test]
fn an_axum_application_gets_the_clients_identity() {
    let pki = Pki::new();
    let context = ServerContext::builder()
        .identity(identity(&pki.server(&["localhost"])))
        .alpn(ALPN)
        .client_auth(ClientAuth::Optional(anchors(&pki)));
    let listen = "127.0.0.1:0".parse().unwrap();
    let running = axum_application::serve(context.build().unwrap(), listen).unwrap();
    let address = running.local_addrs()[0];

    let stranger = client(&pki).build().unwrap();
    let reply = ask(&stranger, address, &get("/whoami"));
    assert_eq!(
        (reply.status, reply.text().as_str(), reply.ending),
        (200, "you showed no certificate\n", Ending::CloseNotify)
    );
    let alice = client(&pki).identity(identity(&pki.client("alice")));
    let reply = ask(&alice.build().unwrap(), address, &get("/whoami"));
    assert!(reply.text().contains("alice"), "{}", reply.text());
    assert_eq!(ask(&stranger, address, &get("/nowhere")).status, 404);

    let echo = "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(ask(&stranger, address, echo).text(), "abcde");
}

#[tokio::test]
async fn an_axum_application_is_served_over_http_2() {
    let pki = Pki::new();
    let context = ServerContext::builder()
        .identity(identity(&pki.server(&["localhost"])))
        .alpn(ALPN);
    let listen = "127.0.0.1:0".parse().unwrap();
    let running = axum_application::serve(context.build().unwrap(), listen).unwrap();
    let url = format!(
        "https://localhost:{}/whoami",
        running.local_addrs()[0].port()
    );
    let client = Client::new(client(&pki).alpn(ALPN).build().unwrap());
    let mut response = client
        .send(ClientRequest::get(&url).unwrap())
        .await
        .unwrap();
    assert_eq!(
        response.bytes(100).await.unwrap(),
        b"you showed no certificate\n"
    );
    response.finish().await.unwrap();
    client.close().await;
}

#[test]
fn a_hyper_service_runs_beside_another_protocol_on_the_callers_runtime() {
    let pki = Pki::new();
    let own = identity(&pki.server(&["localhost"]));
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            hyper_service::serve(listener, own).await.unwrap();
        });
    });
    let address = told.recv_timeout(PATIENCE).unwrap();
    let reply = ask(&client(&pki).build().unwrap(), address, &get("/there"));
    assert!(
        reply.text().starts_with("hello, 127.0.0.1:") && reply.text().ends_with(" of /there\n"),
        "{}",
        reply.text()
    );
    assert_eq!(reply.ending, Ending::CloseNotify);

    let client = client(&pki).alpn(["echo"]).build().unwrap();
    let socket = TcpStream::connect(address).unwrap();
    let mut stream = client.secure("localhost", socket).unwrap();
    stream.write_all(b"said").unwrap();
    stream.finish().unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "said");
}

/// Connections of a server that says hello, over pipes in memory.
struct Pipes {
    connections: Connections<Hello>,
    client: ClientContext,
    witness: Witness,
}

type Hello = fn(Request, Arc<ConnectionInfo>) -> std::future::Ready<Response>;

impl Pipes {
    fn new(limits: Limits) -> Self {
        let pki = Pki::new();
        let context = ServerContext::builder()
            .identity(identity(&pki.server(&["localhost"])))
            .alpn(ALPN);
        let witness = Witness::default();
        let config = ServerConfig::new(context.build().unwrap())
            .limits(limits)
            .observer(witness.clone());
        let hello: Hello = |_, _| std::future::ready(Response::new(Body::from("hello\n")));
        Self {
            connections: Connections::new(config, hello),
            client: client(&pki).build().unwrap(),
            witness,
        }
    }

    /// A client's end of a pipe that is served.
    async fn open(&self) -> DuplexStream {
        let (ours, theirs) = duplex(4096);
        let permit = self.connections.acquire().await;
        let connections = self.connections.clone();
        spawn_local(async move { connections.accept(permit, theirs, Addresses::NONE).await });
        ours
    }

    /// A client's stream, its handshake done.
    async fn connect(&self) -> AsyncStream<DuplexStream> {
        let ours = self.open().await;
        self.client.secure_async("localhost", ours).await.unwrap()
    }
}

async fn until_idle(connections: &Connections<Hello>) {
    let gone = async {
        while connections.count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn connections_of_any_channel_are_served_and_their_events_told() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let pipes = Pipes::new(Limits::default());
            let mut stream = pipes.connect().await;
            stream.write_all(get("/").as_bytes()).await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            let reply = Reply::parse(&bytes, stream.ending().unwrap());
            assert_eq!((reply.status, reply.text().as_str()), (200, "hello\n"));
            stream.close(ClosePolicy::default()).await;
            until_idle(&pipes.connections).await;

            // What is no TLS.
            let mut ours = pipes.open().await;
            ours.write_all(b"EHLO there\r\n").await.unwrap();
            drop(ours);
            until_idle(&pipes.connections).await;

            // A pipe has no port to which plain HTTP could be redirected.
            let mut ours = pipes.open().await;
            ours.write_all(get("/").as_bytes()).await.unwrap();
            let mut reply = String::new();
            ours.read_to_string(&mut reply).await.unwrap();
            assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
            drop(ours);
            until_idle(&pipes.connections).await;

            let events = pipes.witness.events();
            assert_eq!(events.requests[0].line, "GET / HTTP/1.1");
            assert_eq!(events.closes[0].reason, CloseReason::Finished);
            assert_eq!(events.handshakes.len(), 2);
        })
        .await;
}

#[tokio::test]
async fn a_shutdown_waits_for_replies_and_cuts_what_does_not_end() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let pipes = Pipes::new(Limits::default());
            let mut idle = pipes.connect().await;
            idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            idle.flush().await.unwrap();
            let mut first = [0; 10];
            idle.read_exact(&mut first).await.unwrap();
            let connections = pipes.connections.clone();
            let stopping = spawn_local(async move { connections.shutdown(PATIENCE).await });
            let mut rest = Vec::new();
            idle.read_to_end(&mut rest).await.unwrap();
            assert_eq!(idle.ending(), Some(Ending::CloseNotify));
            idle.close(ClosePolicy::default()).await;
            timeout(PATIENCE, stopping).await.unwrap().unwrap();
            assert_eq!(pipes.connections.count(), 0);

            // One that has sent half a head takes no notice, and is cut.
            let pipes = Pipes::new(Limits::default());
            let mut half = pipes.connect().await;
            half.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
            half.flush().await.unwrap();
            tokio::task::yield_now().await;
            let stopping = pipes.connections.shutdown(Duration::from_millis(50));
            timeout(PATIENCE, stopping).await.unwrap();
            assert_eq!(pipes.connections.count(), 0);
        })
        .await;
}

/// A connection within a request's head, which ends only when it is cut.
async fn begin_request(pipes: &Pipes) -> AsyncStream<DuplexStream> {
    let mut stream = pipes.connect().await;
    let one_and_a_half = b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n";
    stream.write_all(one_and_a_half).await.unwrap();
    stream.flush().await.unwrap();
    // With the reply to the first, the server has the half, too.
    stream.read_exact(&mut [0; 10]).await.unwrap();
    stream
}

#[tokio::test]
async fn a_shutdown_waits_also_when_earlier_connections_have_ended() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let pipes = Pipes::new(Limits::default());
            pipes.connect().await.close(ClosePolicy::default()).await;
            until_idle(&pipes.connections).await;
            let _half = begin_request(&pipes).await;
            let stopping = pipes.connections.shutdown(Duration::from_millis(50));
            timeout(PATIENCE, stopping).await.unwrap();
            assert_eq!(pipes.connections.count(), 0);
        })
        .await;
}

#[tokio::test]
async fn two_shutdowns_at_the_same_time_both_end() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let pipes = Pipes::new(Limits::default());
            let _half = begin_request(&pipes).await;
            let short = pipes.connections.shutdown(Duration::from_millis(50));
            let long = pipes.connections.shutdown(PATIENCE);
            let both = async { tokio::join!(long, short) };
            timeout(PATIENCE / 2, both).await.unwrap();
            assert_eq!(pipes.connections.count(), 0);
        })
        .await;
}

/// Asks on a connection, and gives the reply, which has a length of 6.
async fn ask_over(stream: &mut AsyncStream<DuplexStream>) -> String {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    stream.write_all(head).await.unwrap();
    stream.flush().await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"hello\n") {
        reply.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(reply).unwrap()
}

fn places(count: usize) -> Pipes {
    let mut limits = Limits::default();
    limits.connections_max = count;
    Pipes::new(limits)
}

#[tokio::test]
async fn a_connection_waits_for_room_and_a_reply_makes_it() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let pipes = places(1);
            let mut first = pipes.connect().await;
            let mut second = Box::pin(pipes.connect());
            assert!(
                timeout(Duration::from_millis(100), &mut second)
                    .await
                    .is_err(),
                "there is no room"
            );
            assert_eq!(pipes.connections.count(), 1, "the second is not begun");
            let full = Instant::now();
            // With its reply the first connection ends.
            assert!(ask_over(&mut first).await.contains("connection: close"));
            first.close(ClosePolicy::default()).await;
            let mut second = timeout(PATIENCE, second).await.unwrap();
            assert_eq!(pipes.witness.events().full, [1]);
            second.close(ClosePolicy::default()).await;
            until_idle(&pipes.connections).await;
            // Waiting does not count: the limits on a connection's time begin when there is room for it.
            let since_full = full.elapsed();
            let closes = pipes.witness.events().closes;
            assert!(
                closes[1].duration <= since_full,
                "{closes:?} {since_full:?}"
            );
        })
        .await;
}

#[tokio::test]
async fn there_are_as_many_permits_as_connections_and_a_dropped_one_is_given_back() {
    let pipes = places(2);
    let (first, second) = (
        pipes.connections.acquire().await,
        pipes.connections.acquire().await,
    );
    let mut third = Box::pin(pipes.connections.acquire());
    let mut fourth = Box::pin(pipes.connections.acquire());
    let waits = Duration::from_millis(20);
    assert!(timeout(waits, &mut third).await.is_err());
    assert!(timeout(waits, &mut fourth).await.is_err());
    drop(first);
    assert!(timeout(waits, &mut fourth).await.is_err(), "it came later");
    let third = timeout(PATIENCE, third).await.unwrap();
    drop((second, third));
    timeout(PATIENCE, fourth).await.unwrap();
}

/// Connections that are kept, each after one reply.
async fn keep(pipes: &Pipes, count: usize) -> Vec<AsyncStream<DuplexStream>> {
    let mut kept = Vec::new();
    for _ in 0..count {
        let mut stream = pipes.connect().await;
        assert!(!ask_over(&mut stream).await.contains("connection: close"));
        kept.push(stream);
    }
    kept
}

/// How many of them were closed by the server: the longest idle first.
async fn closed(kept: &mut [AsyncStream<DuplexStream>]) -> usize {
    for (number, stream) in kept.iter_mut().enumerate() {
        let end = timeout(Duration::from_millis(10), stream.read_u8()).await;
        if end.is_err() {
            return number;
        }
    }
    kept.len()
}

#[tokio::test]
async fn idle_connections_make_room_for_waiting_ones() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let pipes = places(40);
            // Two of the places are for one request each.
            let mut kept = keep(&pipes, 38).await;
            let acquire = || {
                let connections = pipes.connections.clone();
                spawn_local(async move { connections.acquire().await })
            };
            let mut held = Vec::new();
            for task in [(); 6].map(|()| acquire()) {
                held.push(timeout(2 * PATIENCE, task).await.unwrap().unwrap());
            }
            // Four got the place of one that idled; two more make up for the places for one request each.
            let closed = closed(&mut kept).await;
            assert!((4..=6).contains(&closed), "{closed}");
        })
        .await;
}

#[tokio::test]
async fn idle_connections_replace_the_places_for_one_request_each() {
    let local = LocalSet::new();
    local
        .run_until(async {
            let pipes = places(16);
            let mut kept = keep(&pipes, 15).await;
            let one_closed = async {
                while closed(&mut kept).await == 0 {
                    drop(pipes.connections.acquire().await);
                }
            };
            timeout(2 * PATIENCE, one_closed).await.unwrap();
            assert_eq!(pipes.witness.events().full, [], "none had to wait");
        })
        .await;
}
