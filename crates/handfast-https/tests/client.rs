//! The client as a library: what can be seen below the command line.

#![cfg(feature = "client")]

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use handfast::{ClientContext, CloseOutcome, Ending, TrustAnchors};
use handfast_https::client::{ALPN, Client, Error, Event, Framing, Request};
use handfast_testbed::misbehaving::{Misbehaving, Served, Step, http2};
use handfast_testbed::pki::Pki;

fn bench() -> (Pki, ClientContext) {
    let pki = Pki::new();
    let trust = TrustAnchors::empty()
        .with_certificate_der(pki.root.der.clone())
        .unwrap();
    let context = ClientContext::builder()
        .trust(trust)
        .alpn(ALPN)
        .build()
        .unwrap();
    (pki, context)
}

fn server(pki: &Pki) -> Misbehaving {
    Misbehaving::new(&pki.server(&["localhost"]), &[])
}

fn get(server: &Served) -> Request {
    Request::get(&server.url("/")).unwrap()
}

/// An early answer: the server says something and resets while we still write.
fn answers_and_resets(pki: &Pki) -> Served {
    server(pki).serve([
        Step::Read(1), // Fits the window that a connection begins with.
        Step::send(vec![b'x'; 30_000]),
        Step::Reset,
    ])
}

#[test]
fn what_came_before_a_reset_can_be_read_after_a_failed_write() {
    let (pki, context) = bench();
    for _ in 0..10 {
        let server = answers_and_resets(&pki);
        let authority = format!("localhost:{}", server.address().port());
        let mut stream = handfast_dial::connect(&context, &authority).unwrap();
        while stream.write_all(&[0; 16 * 1024]).is_ok() {}
        let mut bytes = Vec::new();
        let error = stream.read_to_end(&mut bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(stream.ending(), Some(Ending::Reset));
        assert_eq!(bytes.len(), 30_000);
    }
}

#[tokio::test]
async fn the_same_without_blocking() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (pki, context) = bench();
    for _ in 0..10 {
        let server = answers_and_resets(&pki);
        let authority = format!("localhost:{}", server.address().port());
        let mut stream = handfast_dial::connect_async(&context, &authority)
            .await
            .unwrap();
        stream.set_flush_on_read(false);
        while stream.write_all(&[0; 16 * 1024]).await.is_ok() {}
        let mut bytes = Vec::new();
        let error = stream.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(stream.ending(), Some(Ending::Reset));
        assert_eq!(bytes.len(), 30_000);
    }
}

#[tokio::test]
async fn a_client_closes_in_two_phases_and_says_how_it_went() {
    let (pki, context) = bench();
    for (end, expected) in [
        (vec![Step::CloseNotify, Step::Fin], CloseOutcome::Complete),
        (vec![Step::Fin], CloseOutcome::SentOnly),
        (vec![Step::Reset], CloseOutcome::PeerGone),
        (
            vec![Step::Pause(Duration::from_secs(3))],
            CloseOutcome::SentOnly,
        ),
    ] {
        let mut script = vec![
            Step::ReadHead,
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
            // Ends without error only when our close_notify came.
            Step::ReadToEnd,
        ];
        script.extend(end);
        let server = server(&pki).serve(script);
        let client = Client::builder(context.clone())
            .close_wait(Duration::from_millis(300))
            .build();
        let mut response = client.send(get(&server)).await.unwrap();
        assert_eq!(response.bytes(100).await.unwrap(), b"ok");
        let finished = response.finish().await.unwrap();
        assert_eq!((finished.close, finished.ending), (None, None));
        let outcomes: Vec<_> = client.close().await.into_iter().map(|one| one.1).collect();
        assert_eq!(outcomes, [expected]);
    }
}

#[tokio::test]
async fn a_connection_that_closes_is_judged_by_its_end() {
    let (pki, context) = bench();
    for (end, ending, close) in [
        (
            vec![Step::CloseNotify, Step::Fin],
            Ending::CloseNotify,
            CloseOutcome::Complete,
        ),
        (vec![Step::Fin], Ending::Premature, CloseOutcome::SentOnly),
        (vec![Step::Reset], Ending::Reset, CloseOutcome::PeerGone),
    ] {
        let mut script = vec![
            Step::ReadHead,
            Step::send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"),
        ];
        script.extend(end);
        let server = server(&pki).serve(script);
        let response = Client::new(context.clone())
            .send(get(&server))
            .await
            .unwrap();
        assert_eq!(response.framing(), Framing::Length(2));
        let finished = response.finish().await.unwrap();
        assert_eq!(finished.ending, Some(ending));
        assert_eq!(
            finished.whole.remark().is_some(),
            ending != Ending::CloseNotify
        );
        assert_eq!(finished.close, Some(close));
    }
}

/// Wherever a response is cut, and however, nothing short of it is called whole.
#[tokio::test]
async fn cut_at_every_byte() {
    let (pki, context) = bench();
    let length = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789".to_vec();
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n5;x=y\r\n56789\r\n0\r\nt: u\r\n\r\n"
            .to_vec();
    let until_close = b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n0123456789".to_vec();
    let stream = [
        http2::settings(),
        http2::headers(1, &[("x", "y")], false),
        http2::data(1, b"01234", false),
        http2::data(1, b"56789", true),
    ]
    .concat();
    let ends = [
        vec![Step::CloseNotify, Step::Fin],
        vec![Step::Fin],
        vec![Step::Reset],
    ];
    for (bytes, is_http2) in [
        (length, false),
        (chunked, false),
        (until_close, false),
        (stream, true),
    ] {
        for end in &ends {
            // One server for all the cuts: its clients come one after the other.
            let scripts = (0..=bytes.len()).map(|cut| {
                let read = if is_http2 {
                    Step::ReadHttp2Request
                } else {
                    Step::ReadHead
                };
                let mut script = vec![read, Step::send(&bytes[..cut])];
                script.extend(end.clone());
                script
            });
            let mut peer = server(&pki);
            if is_http2 {
                peer = peer.alpn(&["h2"]);
            }
            let peer = peer.serve_each(scripts);
            for cut in 0..=bytes.len() {
                let client = Client::new(context.clone());
                let fetched = async {
                    let mut response = client.send(get(&peer)).await?;
                    let body = response.bytes(100).await?;
                    response
                        .finish()
                        .await
                        .map(|finished| (body, finished.whole))
                };
                let is_until_close = bytes.starts_with(b"HTTP/1.1 200 OK\r\nx: y");
                let by_close_notify = matches!(end[0], Step::CloseNotify);
                match fetched.await {
                    Ok((body, whole)) if is_until_close => {
                        // That is all there is to know; and the head at least was whole.
                        assert!(by_close_notify, "{cut} {end:?}");
                        assert_eq!(body.len(), cut - (bytes.len() - 10));
                        assert_eq!(whole.remark(), None);
                    }
                    Ok((body, whole)) => {
                        assert_eq!(cut, bytes.len(), "{end:?}");
                        assert_eq!((body.as_slice(), whole.bytes()), (&b"0123456789"[..], 10));
                    }
                    Err(error) => {
                        let fits = cut < bytes.len() || is_until_close && !by_close_notify;
                        assert!(fits, "{cut} {end:?} {error:?}");
                        assert!(
                            matches!(
                                error,
                                Error::Truncated(_)
                                    | Error::EmptyReply { .. }
                                    | Error::Connection(_)
                            ),
                            "{cut} {end:?} {error:?}"
                        );
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn connections_are_kept_and_used_again_over_both_versions() {
    let (pki, context) = bench();
    let first = server(&pki).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        Step::ReadHead,
        Step::send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx: y\r\n\r\n",
        ),
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ]);
    let stream = |id| {
        let frames = [http2::headers(id, &[], false), http2::data(id, b"ok", true)];
        Step::send(frames.concat())
    };
    let second = server(&pki).alpn(&["h2"]).serve([
        Step::send(http2::settings()),
        Step::ReadHttp2Request,
        stream(1),
        Step::ReadHttp2Request,
        stream(3),
        Step::ReadHttp2Request,
        stream(5),
    ]);
    for (server, in_chunks) in [(first, Some(1)), (second, None)] {
        let client = Client::new(context.clone());
        for number in 0..3 {
            let mut response = client.send(get(&server)).await.unwrap();
            assert_eq!(response.bytes(100).await.unwrap(), b"ok");
            let finished = response.finish().await.unwrap();
            assert_eq!(finished.trailers.is_some(), in_chunks == Some(number));
            assert_eq!(finished.close, None);
        }
        assert_eq!(server.connections(), 1);
        client.close().await;
    }
}

#[tokio::test]
async fn unsafe_requests_are_not_sent_twice() {
    let (pki, context) = bench();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let server = server(&pki).serve([
        Step::ReadHead,
        Step::send(answer),
        Step::ReadHead,
        Step::Fin,
    ]);
    let client = Client::new(context);
    client
        .send(get(&server))
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
    let post = Request::new(http::Method::POST, &server.url("/")).unwrap();
    let error = client.send(post).await.unwrap_err();
    assert!(matches!(error, Error::EmptyReply { .. }), "{error:?}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn limits_tell_the_phase_and_count_silence_only() {
    let (pki, context) = bench();
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n";
    let drips = server(&pki).serve([
        Step::ReadHead,
        Step::send(head),
        Step::ByteByByte(b"01234567".to_vec(), Duration::from_millis(200)),
    ]);
    let client = Client::builder(context.clone())
        .silence_max(Some(Duration::from_secs(1)))
        .build();
    let mut response = client.send(get(&drips)).await.unwrap();
    assert_eq!(response.bytes(100).await.unwrap(), b"01234567");

    let stalls = server(&pki).serve([Step::ReadHead, Step::send(head), Step::send("0123")]);
    let began = Instant::now();
    let mut response = client.send(get(&stalls)).await.unwrap();
    let Err(Error::Truncated(truncation)) = response.bytes(100).await else {
        panic!("not truncated");
    };
    assert_eq!((truncation.expected, truncation.received), (Some(8), 4));
    let failure = truncation.failure.unwrap();
    assert_eq!(failure.phase(), handfast::Phase::Response);
    assert_eq!(failure.explain().id, "timed-out");
    assert!(began.elapsed() < Duration::from_secs(15));

    // A listener that does not accept: TCP connects, and then nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    let client = Client::builder(context)
        .connect_max(Some(Duration::from_millis(300)))
        .build();
    let Err(Error::Connection(error)) = client.send(Request::get(&url).unwrap()).await else {
        panic!("connected although none accepts");
    };
    assert_eq!(error.phase(), handfast::Phase::Handshake);
    assert_eq!(error.explain().id, "timed-out");
}

#[tokio::test]
async fn a_dropped_response_breaks_off_and_leaves_no_task() {
    let (pki, context) = bench();
    let endless = server(&pki).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\n\r\n"),
        Step::Forever(vec![b'x'; 16 * 1024]),
    ]);
    let client = Client::new(context);
    let mut response = client.send(get(&endless)).await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    drop(client);
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while tasks() > 0 && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks(), 0);
}

#[tokio::test]
async fn observers_are_told_in_order() {
    let (pki, context) = bench();
    let server = server(&pki).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 302 X\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"),
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nend"),
        Step::CloseNotify,
        Step::Fin,
    ]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let client = Client::builder(context)
        .follow_redirects(true)
        .observer(move |event| {
            let text = format!("{event:?}");
            let name = text.split([' ', '{']).next().unwrap_or_default().to_owned();
            log.lock().unwrap().push(name);
            if let Event::Secured { report } = event {
                assert!(report.peer.is_some());
            }
        })
        .build();
    let response = client.send(get(&server)).await.unwrap();
    assert_eq!(response.url(), server.url("/b"));
    assert_eq!(response.redirects().len(), 1);
    response.finish().await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "Resolved",
            "Connected",
            "Secured",
            "Requesting",
            "Responding",
            "Completed",
            "Redirecting",
            "Reused",
            "Requesting",
            "Responding",
            "Completed",
            "Closed",
        ]
    );
}

#[test]
fn clients_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    fn moved<T: Send>(_: T) {}
    shared::<Client>();
    let (_, context) = bench();
    let client = Client::new(context);
    moved(async move {
        let mut response = client.send(Request::get("https://localhost/")?).await?;
        response.chunk().await?;
        response.finish().await?;
        client.close().await;
        Ok::<_, Error>(())
    });
}

/// A long body, by a way of its own: no end is taken for another, no byte lost or doubled, and the
/// connection is kept or given up as after any other.
#[tokio::test]
async fn a_long_body_is_lent_whole_or_called_cut_off() {
    use std::ops::ControlFlow;
    const LENGTH: usize = 3_000_000;
    let body: Vec<u8> = (0..LENGTH).map(|at| (at / 7) as u8).collect();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n");
    let response = |upto: usize, beyond: &[u8]| {
        let bytes = [head.as_bytes(), &body[..upto], beyond].concat();
        vec![Step::ReadHead, Step::send(bytes)]
    };
    let again = || {
        vec![
            Step::ReadHead,
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nagain"),
            Step::ReadToEnd,
        ]
    };
    let in_order = || vec![Step::CloseNotify, Step::Fin];

    #[derive(Debug, PartialEq)]
    enum Expected {
        /// Whole; so many connections are made for this and another request.
        Whole(usize),
        Cut(Option<Ending>),
    }
    let cases = [
        ("and kept", LENGTH, &b""[..], again(), Expected::Whole(1)),
        (
            "bytes beyond",
            LENGTH,
            b"HTTP/1.1",
            in_order(),
            Expected::Whole(2),
        ),
        (
            "FIN after it",
            LENGTH,
            b"",
            vec![Step::Fin],
            Expected::Whole(2),
        ),
        (
            "closed in order",
            LENGTH - 1,
            b"",
            in_order(),
            Expected::Cut(Some(Ending::CloseNotify)),
        ),
        (
            "FIN",
            LENGTH - 1,
            b"",
            vec![Step::Fin],
            Expected::Cut(Some(Ending::Premature)),
        ),
        (
            "FIN early",
            1_000_000,
            b"",
            vec![Step::Fin],
            Expected::Cut(Some(Ending::Premature)),
        ),
        (
            "reset",
            LENGTH - 1,
            b"",
            vec![Step::Reset],
            Expected::Cut(Some(Ending::Reset)),
        ),
        (
            "no TLS any more",
            2_000_000,
            b"",
            vec![
                Step::Raw(b"\x17\x03\x03\x00\x20 this is not what it says it is!".to_vec()),
                Step::Fin,
            ],
            Expected::Cut(None),
        ),
    ];
    for (what, upto, beyond, end, expected) in cases {
        for by_chunks in [false, true] {
            let (pki, context) = bench();
            let mut script = response(upto, beyond);
            script.extend(end.clone());
            let server = server(&pki).serve_each([script, again()]);
            let client = Client::builder(context).build();
            let mut response = client.send(get(&server)).await.unwrap();
            let mut got = Vec::new();
            let mut turns = 0;
            let outcome = loop {
                // Mixed: some of it lent, then a chunk, and so on.
                turns += 1;
                let lent = response
                    .lend(|piece| {
                        got.extend_from_slice(piece);
                        match by_chunks && got.len() >= turns * 400_000 {
                            true => ControlFlow::Break(()),
                            false => ControlFlow::Continue(()),
                        }
                    })
                    .await;
                match lent {
                    Ok(None) => break Ok(()),
                    Ok(Some(())) => match response.chunk().await {
                        Ok(Some(chunk)) => got.extend_from_slice(&chunk),
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    },
                    Err(error) => break Err(error),
                }
            };
            assert!(
                got == body[..got.len()],
                "{what}: bytes are as they were sent"
            );
            let seen = match outcome {
                Ok(()) => {
                    assert_eq!(got.len(), LENGTH, "{what}");
                    let finished = response.finish().await.unwrap();
                    assert_eq!(finished.whole.bytes(), LENGTH as u64);
                    assert_eq!(finished.oddities.is_empty(), beyond.is_empty(), "{what}");
                    let mut other = client.send(get(&server)).await.unwrap();
                    assert_eq!(other.bytes(10).await.unwrap(), b"again", "{what}");
                    other.finish().await.unwrap();
                    Expected::Whole(server.connections())
                }
                Err(Error::Truncated(truncation)) => {
                    assert!(got.len() <= upto, "{what}");
                    assert_eq!(truncation.received, got.len() as u64, "{what}");
                    assert_eq!(truncation.expected, Some(LENGTH as u64));
                    assert_eq!(truncation.failure.is_some(), truncation.ending.is_none());
                    Expected::Cut(truncation.ending)
                }
                Err(error) => panic!("{what}: {error:?}"),
            };
            assert_eq!(seen, expected, "{what}");
            client.close().await;
        }
    }
}
