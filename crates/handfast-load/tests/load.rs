//! The load tester against real servers: nginx, our own, and some that misbehave.

#![allow(missing_docs)]

#[path = "../../handfast-https/tests/server_common/mod.rs"]
mod server_common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use handfast::{
    ClientContext, ClientContextBuilder, ClosePolicy, Identity, Passphrase, ServerContext, Stream,
    TrustAnchors,
};
use handfast_load::{
    Handshake, Measurements, Monitor, Pacing, Plan, Protocol, Second, Stop, Target, run,
};
use handfast_testbed::launch::{Nginx, free_address};
use handfast_testbed::pki::Pki;
use http::Method;
use server_common::Fixture;

fn trusting(pki: &Pki) -> ClientContextBuilder {
    let anchors = TrustAnchors::empty()
        .with_pem(pki.root.cert_pem().as_bytes())
        .unwrap();
    ClientContext::builder().trust(anchors)
}

fn plan(address: SocketAddr, path: &str) -> Plan {
    let url = format!("https://localhost:{}{path}", address.port());
    let mut plan = Plan::new(Target::parse(&url).unwrap());
    plan.connections = 4;
    plan.threads = 2;
    plan
}

fn measure(plan: &Plan, tls: ClientContextBuilder) -> Measurements {
    run(plan, tls, &Stop::new(), &mut ()).unwrap()
}

/// Everything asked for was answered in whole.
fn assert_whole(measured: &Measurements, requests: u64, body: u64, what: &str) {
    assert_eq!(
        measured.requests.complete, requests,
        "{what}: {measured:#?}"
    );
    assert_eq!(measured.requests.started, requests, "{what}");
    assert_eq!(measured.statuses.get(&200), Some(&requests), "{what}");
    assert_eq!(measured.body_bytes, requests * body, "{what}");
    assert_eq!(measured.latency.count(), requests, "{what}");
    assert!(
        measured.failures.is_empty(),
        "{what}: {:?}",
        measured.failures
    );
}

/// Both protocols, all three handshakes, exact numbers; what each means for the connections.
fn every_way(address: SocketAddr, tls: impl Fn() -> ClientContextBuilder, body: u64) {
    for (protocol, streams) in [
        (Protocol::Http1, 1),
        (Protocol::Http2, 1),
        (Protocol::Http2, 8),
    ] {
        for handshake in [Handshake::KeepAlive, Handshake::Full, Handshake::Resumed] {
            let what = format!("{protocol:?} {streams} {handshake:?}");
            let mut plan = plan(address, "/file");
            (plan.protocol, plan.streams, plan.handshake) = (protocol, streams, handshake);
            plan.requests = Some(97);
            let measured = measure(&plan, tls());
            assert_whole(&measured, 97, body, &what);
            let alpn = if protocol == Protocol::Http1 {
                "http/1.1"
            } else {
                "h2"
            };
            assert!(
                measured
                    .agreed
                    .keys()
                    .all(|agreed| agreed.alpn.as_deref() == Some(alpn))
            );
            let (full, resumed) = measured.handshakes();
            match handshake {
                Handshake::KeepAlive => assert_eq!(full + resumed, 4, "{what}"),
                Handshake::Full => assert_eq!((full, resumed), (97, 0), "{what}"),
                Handshake::Resumed => {
                    assert_eq!(full + resumed, 97, "{what}");
                    assert!(resumed >= 80, "{what}: {resumed} resumed");
                }
                other => unreachable!("{other:?}"),
            }
            let ends = measured.ends;
            let all = ends.close_notify + ends.premature + ends.reset + ends.ours;
            assert_eq!(all, measured.connections, "{what}");
        }
    }
}

#[test]
fn nginx_every_way() {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let files = pki
        .server(&["localhost"])
        .write(directory.path(), "server", &[]);
    fs::write(directory.path().join("file"), vec![b'x'; 5000]).unwrap();
    let nginx = Nginx::launch(directory.path(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; \
             ssl_certificate_key {}; ssl_session_cache shared:a:1m; root {}; }}",
            files.chain_pem.display(),
            files.key_pem.display(),
            directory.path().display(),
        )
    });
    let Some(nginx) = nginx else { return };
    every_way(nginx.address(), || trusting(&pki), 5000);
}

#[test]
fn our_server_every_way_and_it_counts_the_same() {
    let fixture = Fixture::shelf();
    fixture.put("file", vec![b'x'; 70_000]);
    every_way(fixture.address, || fixture.client_builder(), 70_000);
    fixture
        .witness
        .wait("every request", |events| events.requests.len() == 9 * 97);
}

#[test]
fn statuses_and_methods_are_told_apart() {
    let fixture = Fixture::shelf();
    fixture.put("file", "hello");
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let mut missing = plan(fixture.address, "/missing");
        (missing.protocol, missing.requests) = (protocol, Some(10));
        let measured = measure(&missing, fixture.client_builder());
        assert_failed_by_status(&measured, 10, 404);
        let mut head = plan(fixture.address, "/file");
        (head.protocol, head.requests) = (protocol, Some(10));
        head.request.method = Method::HEAD;
        assert_whole(&measure(&head, fixture.client_builder()), 10, 0, "HEAD");
        let mut post = plan(fixture.address, "/file");
        (post.protocol, post.requests) = (protocol, Some(10));
        post.request.method = Method::POST;
        post.request.body = vec![b'x'; 200_000].into();
        let measured = measure(&post, fixture.client_builder());
        assert_failed_by_status(&measured, 10, 405);
    }
}

/// Every request was answered in whole, by a status that says that it failed.
fn assert_failed_by_status(measured: &Measurements, requests: u64, status: u16) {
    let what = format!("{measured:#?}");
    assert_eq!(measured.requests.failed, requests, "{what}");
    assert_eq!(measured.requests.failed_by_status, requests, "{what}");
    assert_eq!(measured.requests.complete, 0, "{what}");
    assert_eq!(measured.statuses.get(&status), Some(&requests), "{what}");
    assert_eq!(measured.failed_latency.count(), requests, "{what}");
    // Refusals are quick: they would flatter the latency of the others.
    assert!(measured.latency.is_empty(), "{what}");
    assert_eq!(measured.failures["http-status"].count, requests, "{what}");
    assert!(measured.any_failed() && !measured.gave_up, "{what}");
}

/// A server of our own making: what `serve` does with a connection that has shaken hands.
struct Misbehaving {
    pki: Pki,
    address: SocketAddr,
}

impl Misbehaving {
    fn new(serve: impl Fn(Stream<TcpStream>) + Send + Sync + 'static) -> Self {
        let pki = Pki::new();
        let issued = pki.server(&["localhost"]);
        let identity = Identity::from_bytes(
            issued.chain_pem(&[]).as_bytes(),
            issued.key_pem().as_bytes(),
            Passphrase::none(),
        );
        let context = ServerContext::builder()
            .identity(identity.unwrap())
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (context, serve) = (context.clone(), Arc::clone(&serve));
                thread::spawn(move || {
                    let _ = socket.set_nodelay(true);
                    if let Ok(stream) = context.accept(socket) {
                        serve(stream);
                    }
                });
            }
        });
        Self { pki, address }
    }

    fn plan(&self) -> Plan {
        let mut plan = plan(self.address, "/");
        plan.protocol = Protocol::Http1;
        plan
    }

    fn measure(&self, plan: &Plan) -> Measurements {
        measure(plan, trusting(&self.pki))
    }
}

/// Reads one request; `None` at the end.
fn request(stream: &mut Stream<TcpStream>) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.extend(byte),
            _ => return None,
        }
    }
    Some(())
}

fn answer(stream: &mut Stream<TcpStream>, text: &str) {
    let _ = stream.write_all(text.as_bytes());
    let _ = stream.flush();
}

#[test]
fn truncated_responses_are_counted_as_such_and_have_no_latency() {
    for (text, complete) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly some of it",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
            false,
        ),
        // Only the close could end it, and the close was not in order.
        ("HTTP/1.1 200 OK\r\n\r\nsome", false),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nsome",
            true,
        ),
    ] {
        let server = Misbehaving::new(move |mut stream| {
            request(&mut stream);
            answer(&mut stream, text);
            // A FIN without close_notify.
            let _ = stream.channel().shutdown(std::net::Shutdown::Write);
            while matches!(stream.channel_mut().read(&mut [0; 1024]), Ok(1..)) {}
        });
        for handshake in [Handshake::Full, Handshake::KeepAlive] {
            let mut plan = server.plan();
            (plan.requests, plan.handshake) = (Some(6), handshake);
            (plan.connections, plan.threads) = (2, 1);
            let measured = server.measure(&plan);
            let truncated = if complete { 0 } else { 6 };
            assert_eq!(
                measured.requests.truncated, truncated,
                "{text} {measured:#?}"
            );
            assert_eq!(measured.requests.complete, 6 - truncated, "{text}");
            assert_eq!(measured.latency.count(), 6 - truncated, "{text}");
            assert_eq!(
                measured.ends.premature,
                measured.connections - measured.ends.ours
            );
            assert!(measured.ends.premature >= 6);
            if !complete {
                assert_eq!(measured.failures.keys().collect::<Vec<_>>(), [&"truncated"]);
            }
        }
    }
}

#[test]
fn other_failures_keep_their_causes() {
    for (text, id) in [
        ("", "empty-reply"),
        ("220 smtp.example ESMTP\r\n", "malformed-response"),
    ] {
        let server = Misbehaving::new(move |mut stream| {
            request(&mut stream);
            answer(&mut stream, text);
            stream.close(ClosePolicy::default());
        });
        let mut plan = server.plan();
        (plan.requests, plan.handshake) = (Some(4), Handshake::Full);
        let measured = server.measure(&plan);
        assert_eq!(measured.requests.failed, 4, "{id} {measured:#?}");
        assert_eq!(measured.failures.keys().collect::<Vec<_>>(), [&id]);
    }
    // No listener; another authority of the same name is trusted.
    let mut unused = plan(free_address(), "/");
    unused.requests = Some(1_000_000);
    let measured = measure(&unused, trusting(&Pki::new()));
    assert!(measured.gave_up && measured.failures.contains_key("connection-refused"));
    assert_eq!(measured.requests.failed, measured.requests.started);
    let fixture = Fixture::shelf();
    let mut stranger = plan(fixture.address, "/");
    stranger.requests = Some(1_000_000);
    let measured = measure(&stranger, trusting(&Pki::new()));
    assert!(
        measured.gave_up && measured.failures.contains_key("unknown-issuer"),
        "{:?}",
        measured.failures
    );
}

#[test]
fn a_silent_server_costs_the_time_allowed_and_no_more() {
    let server = Misbehaving::new(|mut stream| while request(&mut stream).is_some() {});
    let mut plan = server.plan();
    (plan.connections, plan.threads, plan.requests) = (1, 1, Some(2));
    plan.request_limit = Duration::from_millis(200);
    let began = Instant::now();
    let measured = server.measure(&plan);
    assert_eq!(measured.requests.failed, 2, "{measured:#?}");
    assert_eq!(measured.failures.keys().collect::<Vec<_>>(), [&"timed-out"]);
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// Answers at once, except that no request is answered from 400 ms after the first request for 300 ms.
fn stalling() -> Misbehaving {
    let stall: Arc<Mutex<(Option<Instant>, bool)>> = Arc::default();
    Misbehaving::new(move |mut stream| {
        while request(&mut stream).is_some() {
            {
                let mut stall = stall.lock().unwrap();
                let first = *stall.0.get_or_insert_with(Instant::now);
                if !stall.1 && first.elapsed() > Duration::from_millis(400) {
                    stall.1 = true;
                    thread::sleep(Duration::from_millis(300));
                }
            }
            answer(
                &mut stream,
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    })
}

/// 200 requests a second for 1.5 s: about 60 of 300 meet the stall, and wait 150 ms on average. A
/// closed loop sends two requests into it, and thousands outside.
#[test]
fn a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one() {
    let server = stalling();
    let mut open = server.plan();
    (open.connections, open.threads) = (2, 1);
    open.duration = Some(Duration::from_millis(1500));
    open.pacing = Pacing::Open { per_second: 200.0 };
    let measured = server.measure(&open);
    assert_eq!(measured.requests.started, 300, "{measured:#?}");
    assert_eq!(measured.requests.complete, 300);
    let p99 = measured.latency.percentile(99.0);
    let p90 = measured.latency.percentile(90.0);
    assert!(p99 > Duration::from_millis(250), "p99 {p99:?}");
    assert!(p90 > Duration::from_millis(80), "p90 {p90:?}");
    // Counted from the sending, only the two requests that were on the way look slow. Whatever else the machine does
    // slows both.
    let service = measured.service.percentile(90.0);
    assert!(
        service + Duration::from_millis(40) < p90,
        "service {service:?}, p90 {p90:?}"
    );

    let server = stalling();
    let mut closed = server.plan();
    (closed.connections, closed.threads) = (2, 1);
    closed.duration = Some(Duration::from_millis(1500));
    let measured = server.measure(&closed);
    let max = measured.latency.max();
    assert!(max > Duration::from_millis(250), "max {max:?}");
    let p50 = measured.latency.percentile(50.0);
    assert!(2 * p50 < max, "p50 {p50:?}, max {max:?}");
}

#[test]
fn what_a_slow_server_leaves_over_is_told() {
    // One connection, 20 ms each: 50 a second of the 500 asked for.
    let server = Misbehaving::new(|mut stream| {
        while request(&mut stream).is_some() {
            thread::sleep(Duration::from_millis(20));
            answer(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mut plan = server.plan();
    (plan.connections, plan.threads) = (1, 1);
    plan.duration = Some(Duration::from_secs(1));
    plan.grace = Duration::from_millis(500);
    plan.pacing = Pacing::Open { per_second: 500.0 };
    let measured = server.measure(&plan);
    let requests = measured.requests;
    assert_eq!(requests.started + requests.unsent, 500, "{requests:?}");
    assert!(requests.unsent > 300, "{requests:?}");
    assert!(measured.latency.max() > Duration::from_millis(250));
}

/// Pulls the plug after the first second.
struct Impatient(Stop, usize);

impl Monitor for Impatient {
    fn second(&mut self, second: &Second, so_far: &Measurements) {
        assert!(second.complete > 0 && so_far.requests.complete >= second.complete);
        self.1 += 1;
        self.0.stop();
    }
}

#[test]
fn a_test_that_is_stopped_keeps_what_it_measured() {
    let fixture = Fixture::shelf();
    fixture.put("file", "hello");
    let mut plan = plan(fixture.address, "/file");
    plan.duration = Some(Duration::from_secs(60));
    let stop = Stop::new();
    let mut monitor = Impatient(stop.clone(), 0);
    let began = Instant::now();
    let measured = run(&plan, fixture.client_builder(), &stop, &mut monitor).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(monitor.1 >= 1 && measured.requests.complete > 0);
    assert!(measured.seconds.len() >= 2 && !measured.gave_up);
}

#[test]
fn a_server_that_closes_kept_connections_is_met_again() {
    let server = Misbehaving::new(|mut stream| {
        for close in [false, false, true] {
            if request(&mut stream).is_none() {
                return;
            }
            let option = if close { "close" } else { "keep-alive" };
            let text =
                format!("HTTP/1.1 200 OK\r\nConnection: {option}\r\nContent-Length: 1\r\n\r\n1");
            answer(&mut stream, &text);
        }
        stream.close(ClosePolicy::default());
    });
    let mut plan = server.plan();
    (plan.connections, plan.threads, plan.requests) = (2, 1, Some(30));
    let measured = server.measure(&plan);
    assert_eq!(measured.requests.complete, 30, "{measured:#?}");
    assert!(
        (10..=12).contains(&measured.connections),
        "{}",
        measured.connections
    );
    assert!(measured.ends.close_notify >= 8, "{:?}", measured.ends);
}
