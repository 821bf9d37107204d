//! How connections end: nothing sent is lost, nothing cut off looks whole, and the server knows.

#![cfg(feature = "server")]

mod server_common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use handfast::{CloseOutcome, ClosePolicy, Ending};
use handfast_https::server::{
    AbortReason, Body, CloseReason, ConnectionInfo, Limits, Request, Response, TransferEnd,
};
use handfast_testbed::launch::Program;
use server_common::{Fixture, Reply, Setup, read_plain};

/// Waits for something that no event tells.
fn wait_until(what: &str, good: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !good() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::yield_now();
    }
}

const MIB: usize = 1024 * 1024;

/// Answers everything with 8 MiB and reads no body.
fn large() -> Fixture {
    let body = Bytes::from(
        (0..8 * MIB)
            .map(|n| (n * 31 % 251) as u8)
            .collect::<Vec<_>>(),
    );
    Fixture::start(Setup::default(), move |_| {
        move |_request: Request, _client: Arc<ConnectionInfo>| {
            let body = body.clone();
            async move { Response::new(Body::from(body)) }
        }
    })
}

fn check_large(reply: &Reply) {
    assert_eq!(reply.status, 200);
    assert_eq!(reply.ending, Ending::CloseNotify);
    assert_eq!(reply.body.len(), 8 * MIB);
    assert!(
        reply
            .body
            .iter()
            .enumerate()
            .all(|(n, byte)| *byte == (n * 31 % 251) as u8)
    );
}

/// A slow reader that sends its whole body first, and one that sends it while it reads.
#[test]
fn a_reply_to_an_unread_body_arrives_whole_20_of_20_times() {
    let server = large();
    let head =
        format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {MIB}\r\nConnection: close\r\n\r\n");
    for round in 0..20 {
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).unwrap();
        if round % 2 == 0 {
            stream.write_all(&vec![b'x'; MIB]).unwrap();
        } else {
            // What does not come is not waited for.
            stream.write_all(&vec![b'x'; MIB / 2]).unwrap();
        }
        stream.flush().unwrap();
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 256 * 1024];
        let ending = loop {
            match stream.read_some(&mut buffer).unwrap() {
                handfast::ReadOutcome::Data(count) => bytes.extend_from_slice(&buffer[..count]),
                handfast::ReadOutcome::End(ending) => break ending,
                handfast::ReadOutcome::WouldBlock => {}
            }
            // A reader slower than the server, for the first megabyte.
            if bytes.len() < MIB {
                thread::sleep(Duration::from_millis(2));
            }
        };
        check_large(&Reply::parse(&bytes, ending));
        stream.close(ClosePolicy::Wait(Duration::from_secs(5)));
    }
    let events = server
        .witness
        .wait("all ends", |events| events.closes.len() == 20);
    for seen in &events.requests {
        assert_eq!(seen.end, TransferEnd::Complete);
    }
    for close in &events.closes {
        assert_ne!(close.outcome, Some(CloseOutcome::PeerGone), "{close:?}");
        assert_eq!(close.reason, CloseReason::Finished);
    }
    server.wait_idle();
}

#[test]
fn curl_gets_the_whole_reply_to_an_unread_body() {
    let server = large();
    let upload = server.directory.path().join("upload");
    std::fs::write(&upload, vec![b'x'; MIB]).unwrap();
    for http in ["--http1.1", "--http2"] {
        for _ in 0..5 {
            let Some(curl) = Program::new("curl") else {
                return;
            };
            let finished = curl
                .args(["-sS", http, "--limit-rate", "40M"])
                .args(["--cacert", &server.ca_file.display().to_string()])
                .args(["--data-binary", &format!("@{}", upload.display())])
                .args(["-H", "Expect:", &server.url("/")])
                .run();
            assert!(finished.succeeded(), "{http}: {finished}");
            assert_eq!(finished.stdout.len(), 8 * MIB, "{http}");
        }
    }
}

#[test]
fn both_ends_know_how_it_ended() {
    let server = large();
    let get = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    // Says close_notify in return.
    let mut stream = server.connect();
    stream.write_all(get).unwrap();
    let (_, ending) = stream.read_to_ending().unwrap();
    assert_eq!(ending, Ending::CloseNotify);
    let outcome = stream.close(ClosePolicy::default());
    assert_eq!(outcome, CloseOutcome::Complete);
    let closes = server
        .witness
        .wait("a close", |events| events.closes.len() == 1)
        .closes;
    assert_eq!(closes[0].outcome, Some(CloseOutcome::Complete));
    assert_eq!(closes[0].ending, Some(Ending::CloseNotify));
    // Leaves without a word when it has everything.
    let mut stream = server.connect();
    stream.write_all(get).unwrap();
    stream.read_to_ending().unwrap();
    let (socket, _) = stream.into_parts();
    drop(socket);
    let closes = server
        .witness
        .wait("a close", |events| events.closes.len() == 2)
        .closes;
    assert_eq!(closes[1].outcome, Some(CloseOutcome::SentOnly));
    assert_eq!(closes[1].ending, Some(Ending::Premature));
    // Vanishes in the middle.
    let mut stream = server.connect();
    stream.write_all(get).unwrap();
    stream.flush().unwrap();
    stream.read_some(&mut [0; 1000]).unwrap();
    drop(stream);
    let events = server
        .witness
        .wait("a break", |events| events.closes.len() == 3);
    assert!(
        matches!(events.closes[2].reason, CloseReason::BrokenOff(_)),
        "{:?}",
        events.closes[2]
    );
    assert_eq!(events.closes[2].outcome, None);
    assert_eq!(events.requests[2].end, TransferEnd::Aborted);
}

/// The client ends its direction, in either way, before the reply: it still gets it.
#[test]
fn a_client_that_half_closes_is_answered() {
    let server = Fixture::shelf();
    server.put("f", "content");
    let mut stream = server.connect();
    stream
        .write_all(b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    stream.finish().unwrap();
    let (bytes, ending) = stream.read_to_ending().unwrap();
    let reply = Reply::parse(&bytes, ending);
    assert_eq!(reply.text(), "content");
    assert_eq!(reply.ending, Ending::CloseNotify);

    let mut stream = server.connect();
    stream
        .write_all(b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    stream.flush().unwrap();
    stream.channel().shutdown(Shutdown::Write).unwrap();
    let (bytes, ending) = stream.read_to_ending().unwrap();
    assert_eq!(Reply::parse(&bytes, ending).text(), "content");
}

#[test]
fn plain_http_is_sent_to_https() {
    let server = Fixture::shelf();
    let ask = |text: &str| {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.write_all(text.as_bytes()).unwrap();
        read_plain(socket)
    };
    let reply = ask("GET /a?b HTTP/1.1\r\nHost: localhost:80\r\n\r\n");
    assert!(reply.starts_with("HTTP/1.1 308 "), "{reply}");
    let location = format!("Location: {}\r\n", server.url("/a?b"));
    assert!(reply.contains(&location), "{reply}");
    for field in [
        "x-content-type-options: nosniff\r\n",
        "content-security-policy: default-src 'none'",
    ] {
        assert!(reply.contains(field), "{reply}");
    }
    let reply = ask("GET / HTTP/1.0\r\n\r\n");
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    let events = server
        .witness
        .wait("two refusals", |events| events.handshakes.len() == 2);
    // In any order: the second connection may be another thread's.
    let mut statuses: Vec<_> = events
        .handshakes
        .iter()
        .map(|seen| seen.plain_http)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [Some(308), Some(400)]);
    assert!(events.handshakes.iter().all(|seen| seen.id == "not-tls"));
    // And a real client follows.
    server.put("f", "followed");
    let Some(curl) = Program::new("curl") else {
        return;
    };
    let finished = curl
        .args(["-sS", "-L", "--cacert"])
        .arg(&server.ca_file)
        .arg(format!("http://localhost:{}/f", server.address.port()))
        .run();
    assert_eq!(finished.out(), "followed", "{finished}");
}

/// Takes less in the whole span than the system keeps for it: what counts is what it has acknowledged.
#[cfg(target_os = "linux")]
#[test]
fn slow_and_steady_is_served_and_a_trickle_is_dropped() {
    let mut limits = Limits::default();
    limits.write = Duration::from_secs(3);
    limits.write_rate_min = 200;
    let server = Fixture::shelf_with(Setup {
        limits,
        ..Setup::default()
    });
    let content: Vec<u8> = (0..MIB).map(|n| (n * 31 % 251) as u8).collect();
    server.put("f", &content);
    let client = server.client();
    let ask = || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&server.address.into()).unwrap();
        let mut stream = client.secure("localhost", TcpStream::from(socket)).unwrap();
        let get = b"GET /f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        stream.write_all(get).unwrap();
        stream.flush().unwrap();
        stream
    };
    let mut trickle = ask();
    let mut steady = ask();
    let began = Instant::now();
    let mut got = Vec::new();
    let mut buffer = [0; 2048];
    let ending = loop {
        match steady.read_some(&mut buffer).unwrap() {
            handfast::ReadOutcome::Data(count) => got.extend_from_slice(&buffer[..count]),
            handfast::ReadOutcome::End(ending) => break ending,
            handfast::ReadOutcome::WouldBlock => {}
        }
        // A twentieth of a step in which the system asks for more, then all the rest.
        if began.elapsed() < 3 * limits.write {
            let _ = trickle.read_some(&mut [0; 1]);
            thread::sleep(Duration::from_millis(200));
        }
    };
    let reply = Reply::parse(&got, ending);
    assert!(reply.body == content, "{} bytes", reply.body.len());
    let events = server
        .witness
        .wait("two ends", |events| events.closes.len() == 2);
    for reason in [CloseReason::Stalled, CloseReason::Finished] {
        let count = events.closes.iter().filter(|close| close.reason == reason);
        assert_eq!(count.count(), 1, "{reason:?}: {events:#?}");
    }
}

/// The limit on heads is far longer than the test waits: nothing may wait for it.
#[test]
fn plain_http_is_answered_at_once_however_long_its_head_is() {
    let mut limits = Limits::default();
    limits.head = Duration::from_secs(3600);
    let server = Fixture::shelf_with(Setup {
        limits,
        ..Setup::default()
    });
    let cookie = |length| format!("Cookie: {}\r\n", "a".repeat(length));
    let host = "Host: localhost\r\n";
    let cases = [
        (format!("{host}\r\n"), 308),
        (format!("{host}{}\r\n", cookie(300)), 308),
        (format!("{}{host}\r\n", cookie(300)), 308),
        (format!("{}{host}\r\n", cookie(7000)), 308),
        (format!("{host}{}\r\n", cookie(100_000)), 308),
        // Too far away.
        (format!("{}{host}\r\n", cookie(100_000)), 400),
        // Nothing more is needed.
        (format!("{host}{}", cookie(300)), 308),
        (format!("{}\r\n", cookie(300)), 400),
    ];
    for (fields, status) in cases {
        for cut in [0, 20, 300] {
            let head = format!("GET / HTTP/1.1\r\n{fields}");
            let (first, rest) = head.split_at(cut.min(head.len()));
            let mut socket = TcpStream::connect(server.address).unwrap();
            socket.set_nodelay(true).unwrap();
            socket.write_all(first.as_bytes()).unwrap();
            // What arrives on a connection that is answered already is not missed.
            let _ = socket.write_all(rest.as_bytes());
            let reply = read_plain(socket);
            assert!(
                reply.starts_with(&format!("HTTP/1.1 {status} ")),
                "{cut}, {} bytes: {reply}",
                head.len()
            );
        }
    }
}

#[test]
fn every_failed_handshake_is_one_event() {
    let server = Fixture::shelf();
    let port = |text: &[u8]| {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.write_all(text).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let _ = socket.read_to_end(&mut Vec::new());
    };
    // A port scan, another protocol, garbage, a client that trusts another authority, and half a hello.
    port(b"");
    port(b"SSH-2.0-OpenSSH_9.2\r\n");
    port(&[0x16, 3, 1, 0x40]);
    let stranger = handfast::ClientContext::builder()
        .trust(handfast::TrustAnchors::empty())
        .build()
        .unwrap();
    let socket = TcpStream::connect(server.address).unwrap();
    assert!(stranger.secure("localhost", socket).is_err());
    let events = server
        .witness
        .wait("four events", |events| events.handshakes.len() >= 4);
    assert_eq!(events.handshakes.len(), 4, "{events:#?}");
    let mut ids: Vec<_> = events.handshakes.iter().map(|seen| seen.id).collect();
    ids.sort_unstable();
    let told = events
        .handshakes
        .iter()
        .find(|seen| seen.id == "issuer-distrusted-by-client")
        .unwrap_or_else(|| panic!("{ids:?}"));
    assert_eq!(told.server_name.as_deref(), Some("localhost"));
    assert!(events.closes.is_empty() && events.requests.is_empty());
    server.wait_idle();
}

#[test]
fn bad_requests_are_answered_and_told() {
    let limits = {
        let mut limits = Limits::default();
        limits.head_bytes_max = 8 * 1024;
        limits.fields_max = 20;
        limits
    };
    let server = Fixture::shelf_with(Setup {
        limits,
        ..Setup::default()
    });
    let long = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "x".repeat(9000)
    );
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(40));
    for (head, status) in [
        ("GET / HTTP/9.9\r\n\r\n", 505),
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
            400,
        ),
        (long.as_str(), 431),
        (many.as_str(), 431),
    ] {
        let reply = server.ask(head);
        assert_eq!(reply.status, status, "{:.40}", head);
        assert_eq!(reply.ending, Ending::CloseNotify, "{:.40}", head);
    }
    let events = server
        .witness
        .wait("the ends", |events| events.closes.len() == 6);
    let bad = events
        .closes
        .iter()
        .filter(|close| matches!(close.reason, CloseReason::BadRequest(_)))
        .count();
    assert_eq!(bad, 6, "{events:#?}");
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for_beyond_the_deadline() {
    let mut limits = Limits::default();
    // Handshakes of a loaded machine take less.
    limits.head = Duration::from_secs(1);
    limits.idle = Duration::from_millis(1500);
    let server = Fixture::shelf_with(Setup {
        limits,
        ..Setup::default()
    });
    server.put("f", "x");
    // Never begins its handshake.
    let began = Instant::now();
    let mut silent = TcpStream::connect(server.address).unwrap();
    assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap_or(0), 0);
    assert!(began.elapsed() >= Duration::from_millis(990));
    // Drips its head.
    let mut stream = server.connect();
    let began = Instant::now();
    for byte in b"GET /f HTTP/1.1\r\n".iter().cycle() {
        if stream
            .write_all(&[*byte])
            .and_then(|()| stream.flush())
            .is_err()
            || began.elapsed() > Duration::from_secs(10)
        {
            break;
        }
        thread::sleep(Duration::from_millis(20));
        if server.witness.events().closes.len() == 1 {
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    // Idles after a request.
    let mut stream = server.connect();
    stream
        .write_all(b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let (_, ending) = stream.read_to_ending().unwrap();
    assert_eq!(ending, Ending::CloseNotify);
    let events = server.witness.wait("three ends", |events| {
        events.closes.len() == 2 && events.handshakes.len() == 1
    });
    assert_eq!(events.handshakes[0].id, "timed-out", "{events:#?}");
    assert_eq!(events.closes[0].reason, CloseReason::HeadTimedOut);
    assert_eq!(events.closes[1].reason, CloseReason::Idle);
}

#[test]
fn a_client_that_takes_nothing_is_dropped_and_one_that_takes_little_is_served() {
    let mut limits = Limits::default();
    limits.write = Duration::from_millis(700);
    let body = Bytes::from(vec![7; 24 * MIB]);
    let server = Fixture::start(
        Setup {
            limits,
            ..Setup::default()
        },
        move |_| {
            move |_request: Request, _client: Arc<ConnectionInfo>| {
                let body = body.clone();
                async move { Response::new(Body::from(body)) }
            }
        },
    );
    let get = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let mut stalled = server.connect();
    stalled.write_all(get).unwrap();
    stalled.flush().unwrap();
    // Takes longer in all than the limit, yet makes progress.
    let mut slow = server.connect();
    slow.write_all(get).unwrap();
    slow.flush().unwrap();
    let began = Instant::now();
    let mut buffer = vec![0; 256 * 1024];
    let (mut total, mut ending) = (0, None);
    while ending.is_none() {
        match slow.read_some(&mut buffer).unwrap() {
            handfast::ReadOutcome::Data(count) => total += count,
            handfast::ReadOutcome::End(end) => ending = Some(end),
            handfast::ReadOutcome::WouldBlock => {}
        }
        if began.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(total > 24 * MIB, "{total}");
    assert_eq!(ending, Some(Ending::CloseNotify));
    slow.close(ClosePolicy::Send);
    let events = server
        .witness
        .wait("both ends", |events| events.closes.len() == 2);
    let aborted = events
        .requests
        .iter()
        .filter(|seen| seen.end == TransferEnd::Aborted)
        .map(|seen| seen.abort);
    let aborted: Vec<_> = aborted.collect();
    assert_eq!(aborted, [Some(AbortReason::Stalled)], "{events:#?}");
    drop(stalled);
}

#[test]
fn a_stop_lets_running_replies_finish() {
    let go = Arc::new(AtomicBool::new(false));
    let entered = Arc::new(AtomicUsize::new(0));
    let (gate, counter) = (Arc::clone(&go), Arc::clone(&entered));
    let mut server = Fixture::start(Setup::default(), move |_| {
        move |request: Request, _client: Arc<ConnectionInfo>| {
            let gate = Arc::clone(&gate);
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                while request.uri().path() == "/slow" && !gate.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Response::new(Body::from("done"))
            }
        }
    });
    let mut idle = server.connect();
    idle.write_all(b"GET /quick HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    idle.flush().unwrap();
    idle.read_some(&mut [0; 1000]).unwrap();
    let mut busy = server.connect();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    busy.flush().unwrap();
    let ca = server.ca_file.display().to_string();
    let http2 = Program::new("curl").map(|curl| {
        let url = server.url("/slow");
        curl.args(["-sS", "--http2", "--cacert", &ca, &url]).start()
    });
    let fresh = server.connect();
    wait_until("all requests are in", || {
        entered.load(Ordering::SeqCst) == 2 + usize::from(http2.is_some())
    });
    let address = server.address;
    let running = server.running.take().unwrap();
    // No limit is no hurry.
    running.shutdown(Duration::MAX);
    // Idle and fresh connections end at once, with a proper close.
    let (_, ending) = idle.read_to_ending().unwrap();
    assert_eq!(ending, Ending::CloseNotify);
    drop(idle);
    drop(fresh);
    // No new connections.
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "it still accepts");
    }
    go.store(true, Ordering::SeqCst);
    let (bytes, ending) = busy.read_to_ending().unwrap();
    let reply = Reply::parse(&bytes, ending);
    assert_eq!(reply.text(), "done");
    assert_eq!(reply.ending, Ending::CloseNotify);
    busy.close(ClosePolicy::Send);
    if let Some(mut http2) = http2 {
        let status = http2.wait(Duration::from_secs(20));
        assert!(
            status.is_some_and(|status| status.success()),
            "{}",
            http2.output()
        );
        assert_eq!(http2.stdout(), b"done");
    }
    let began = Instant::now();
    running.join();
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_stop_without_grace_cuts_what_runs() {
    let entered = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&entered);
    let mut server = Fixture::start(Setup::default(), move |_| {
        move |_request: Request, _client: Arc<ConnectionInfo>| {
            counter.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<Response>()
        }
    });
    let mut stream = server.connect();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    stream.flush().unwrap();
    wait_until("the request is in", || entered.load(Ordering::SeqCst) == 1);
    let running = server.running.take().unwrap();
    running.shutdown(Duration::from_millis(50));
    let (_, ending) = stream.read_to_ending().unwrap();
    assert_ne!(ending, Ending::CloseNotify);
    running.join();
    let events = server.witness.events();
    assert_eq!(events.requests[0].end, TransferEnd::Aborted);
    assert_eq!(events.requests[0].status, None);
    assert_eq!(events.requests[0].abort, Some(AbortReason::Stopped));
    assert_eq!(events.closes[0].reason, CloseReason::Stopped);
}
