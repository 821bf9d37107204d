//! The client's exchanges: what is sent again, what shares a connection, what a server cannot hold up.

#![cfg(feature = "client")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use handfast::{ClientContext, TrustAnchors};
use handfast_https::client::{ALPN, Client, Error, Event, Oddity, Request};
use handfast_testbed::misbehaving::{Misbehaving, Served, Step, http2};
use handfast_testbed::pki::Pki;
use http::{Method, StatusCode, Version};

const HTTP_1_1_REQUIRED: u32 = 13;
const REFUSED_STREAM: u32 = 7;

/// Longer than anything takes here, and shorter than the default limits.
const SOON: Duration = Duration::from_secs(15);

struct Fixture {
    pki: Pki,
    context: ClientContext,
}

impl Fixture {
    fn new() -> Self {
        let pki = Pki::new();
        let trust = TrustAnchors::empty()
            .with_certificate_der(pki.root.der.clone())
            .unwrap();
        let context = ClientContext::builder().trust(trust).alpn(ALPN);
        Self {
            context: context.build().unwrap(),
            pki,
        }
    }

    fn server(&self) -> Misbehaving {
        Misbehaving::new(&self.pki.server(&["localhost"]), &[])
    }

    fn http2(&self) -> Misbehaving {
        self.server().alpn(&["h2", "http/1.1"])
    }

    fn client(&self) -> Client {
        Client::new(self.context.clone())
    }
}

fn get(server: &Served) -> Request {
    Request::get(&server.url("/")).unwrap()
}

fn post(server: &Served, body: impl Into<Vec<u8>>) -> Request {
    Request::new(Method::POST, &server.url("/"))
        .unwrap()
        .with_body(body.into())
}

/// The body of a response that is whole.
async fn fetch(client: &Client, request: Request) -> Result<Vec<u8>, Error> {
    let mut response = client.send(request).await?;
    let body = response.bytes(1 << 20).await?;
    response.finish().await?;
    Ok(body)
}

/// Begins as an HTTP/2 server does, and reads a request.
fn begun(then: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let mut script = vec![Step::send(http2::settings()), Step::ReadHttp2Request];
    script.extend(then);
    script
}

fn answer(stream: u32, body: &[u8]) -> Step {
    let frames = [
        http2::headers(stream, &[], false),
        http2::data(stream, body, true),
    ];
    Step::send(frames.concat())
}

fn whole() -> Step {
    Step::send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

#[tokio::test]
async fn what_a_server_has_not_processed_is_sent_again_whatever_its_method() {
    let fixture = Fixture::new();
    let go_away = || Step::send(http2::go_away(0, 0));
    let refusal = || Step::send(http2::reset(1, REFUSED_STREAM));
    for (what, scripts, connections) in [
        (
            "GOAWAY before it",
            vec![begun([go_away()]), begun([answer(1, b"ok")])],
            2,
        ),
        (
            "GOAWAY before it, and the end",
            vec![
                begun([go_away(), Step::CloseNotify, Step::Fin]),
                begun([answer(1, b"ok")]),
            ],
            2,
        ),
        (
            "GOAWAY twice",
            vec![
                begun([go_away()]),
                begun([go_away()]),
                begun([answer(1, b"ok")]),
            ],
            3,
        ),
        (
            "REFUSED_STREAM",
            vec![begun([refusal(), Step::ReadHttp2Request, answer(3, b"ok")])],
            1,
        ),
        (
            "HTTP_1_1_REQUIRED",
            vec![
                begun([Step::send(http2::reset(1, HTTP_1_1_REQUIRED))]),
                vec![Step::ReadHead, whole()],
            ],
            2,
        ),
        (
            "HTTP_1_1_REQUIRED of the connection",
            vec![
                begun([Step::send(http2::go_away(0, HTTP_1_1_REQUIRED))]),
                vec![Step::ReadHead, whole()],
            ],
            2,
        ),
    ] {
        let server = fixture.http2().serve_each(scripts);
        let body = fetch(&fixture.client(), post(&server, "once")).await;
        assert_eq!(body.unwrap(), b"ok", "{what}");
        assert_eq!(server.connections(), connections, "{what}");
    }
}

#[tokio::test]
async fn an_origin_that_asks_for_http1_is_asked_by_it_from_then_on() {
    let fixture = Fixture::new();
    let server = fixture.http2().serve_each([
        begun([Step::send(http2::reset(1, HTTP_1_1_REQUIRED))]),
        vec![Step::ReadHead, whole(), Step::ReadHead, whole()],
    ]);
    let client = fixture.client();
    for _ in 0..2 {
        let mut response = client.send(get(&server)).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_11);
        assert_eq!(response.bytes(10).await.unwrap(), b"ok");
        response.finish().await.unwrap();
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn what_cannot_be_sent_again_is_told_as_what_it_is() {
    let fixture = Fixture::new();
    let go_away = |last, code| Step::send(http2::go_away(last, code));
    let ends = || [Step::CloseNotify, Step::Fin];
    for (what, script, id, part, connections) in [
        // In vain, four times over.
        (
            "GOAWAY always",
            begun([go_away(0, 0)]),
            "go-away",
            "NO_ERROR",
            4,
        ),
        (
            "refused always",
            begun((0..4).flat_map(|number| {
                let refusal = http2::reset(number * 2 + 1, REFUSED_STREAM);
                [Step::send(refusal), Step::ReadHttp2Request]
            })),
            "stream-reset",
            "REFUSED_STREAM",
            1,
        ),
        // It may have been processed.
        (
            "GOAWAY behind it",
            begun([go_away(1, 2)].into_iter().chain(ends())),
            "go-away",
            "INTERNAL_ERROR",
            1,
        ),
        (
            "reset",
            begun([Step::send(http2::reset(1, 2))]),
            "stream-reset",
            "INTERNAL_ERROR",
            1,
        ),
        ("the end", begun(ends()), "empty-reply", "close_notify", 1),
        (
            "HTTP/1.1",
            begun([])
                .into_iter()
                .skip(1)
                .chain([Step::send("HTTP/1.1 400 Bad Request\r\n\r\n")])
                .collect(),
            "malformed-response",
            "HTTP/1.1 400 Bad Request",
            1,
        ),
        (
            "101",
            begun([Step::send(http2::frame(1, 4, 1, b"\x08\x03101"))]),
            "malformed-response",
            "101",
            1,
        ),
    ] {
        let server = fixture.http2().serve(script);
        let error = fetch(&fixture.client(), get(&server)).await.unwrap_err();
        let explanation = error.explain();
        assert_eq!(explanation.id, id, "{what}: {explanation}");
        assert!(
            explanation.to_string().contains(part),
            "{what}: {explanation}"
        );
        assert_eq!(server.connections(), connections, "{what}");
    }
}

#[tokio::test]
async fn exchanges_over_http2_share_a_connection_and_end_in_any_order() {
    let fixture = Fixture::new();
    let server = fixture.http2().serve(begun([
        Step::ReadHttp2Request,
        Step::ReadHttp2Request,
        answer(5, b"third"),
        answer(1, b"first"),
        answer(3, b"second"),
    ]));
    let client = fixture.client();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let (client, request) = (client.clone(), get(&server));
            tokio::spawn(async move { fetch(&client, request).await.unwrap() })
        })
        .collect();
    let mut bodies = Vec::new();
    for task in tasks {
        bodies.push(task.await.unwrap());
    }
    bodies.sort();
    assert_eq!(bodies, [&b"first"[..], b"second", b"third"]);
    assert_eq!(server.connections(), 1);
    assert_eq!(client.close().await.len(), 1);
}

#[tokio::test]
async fn an_unread_body_holds_up_no_other() {
    let fixture = Fixture::new();
    let piece = http2::data(1, &[b'x'; 16_000], false);
    let server = fixture.http2().serve(begun([
        Step::send(http2::headers(1, &[], false)),
        // Less than the window of the connection, which the server here does not count.
        Step::send(piece.repeat(400)),
        Step::ReadHttp2Request,
        answer(3, b"ok"),
        Step::ReadHttp2Request,
        answer(5, b"ok"),
    ]));
    let client = fixture.client();
    let mut unread = client.send(get(&server)).await.unwrap();
    assert_eq!(fetch(&client, get(&server)).await.unwrap(), b"ok");
    assert!(unread.chunk().await.unwrap().is_some());
    // Given up, it costs its stream, and not the connection.
    drop(unread);
    assert_eq!(fetch(&client, get(&server)).await.unwrap(), b"ok");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_answer_before_the_upload_is_through_is_whole_and_the_close_is_bounded() {
    let fixture = Fixture::new();
    let upload = vec![b'x'; 8_000_000];
    let http1 = |status: &str| {
        let head =
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbig");
        // The server reads no more, and keeps the connection open.
        vec![Step::ReadHead, Step::send(head), Step::Pause(SOON * 2)]
    };
    let frames = [
        http2::frame(1, 4, 1, &[0x08, 3, b'4', b'1', b'3']),
        http2::data(1, b"big", true),
    ];
    let stream = vec![
        Step::send(http2::settings()),
        Step::Read(10_000),
        Step::send(frames.concat()),
        Step::Pause(SOON * 2),
    ];
    for (what, alpn, script) in [
        ("refused", "http/1.1", http1("413 Content Too Large")),
        ("taken", "http/1.1", http1("200 OK")),
        ("refused over HTTP/2", "h2", stream),
    ] {
        let server = fixture.server().alpn(&[alpn]).serve(script);
        let client = Client::builder(fixture.context.clone())
            .close_wait(Duration::from_millis(300))
            .silence_max(None)
            .build();
        let began = Instant::now();
        let mut response = client.send(post(&server, upload.clone())).await.unwrap();
        assert_eq!(response.bytes(10).await.unwrap(), b"big", "{what}");
        let finished = response.finish().await.unwrap();
        assert!(finished.request_cut_short, "{what}");
        assert_eq!(finished.whole.remark(), None, "{what}");
        client.close().await;
        assert!(began.elapsed() < SOON, "{what}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_answers_early_and_reads_on_gets_all_of_the_upload() {
    let fixture = Fixture::new();
    let upload = vec![b'x'; 3_000_000];
    let server = fixture.server().serve([
        Step::ReadHead,
        whole(),
        Step::Pause(Duration::from_millis(100)),
        Step::Read(upload.len()),
        Step::ReadHead,
        whole(),
    ]);
    let client = fixture.client();
    let mut response = client.send(post(&server, upload)).await.unwrap();
    assert_eq!(response.bytes(10).await.unwrap(), b"ok");
    assert!(!response.finish().await.unwrap().request_cut_short);
    // And the connection is as good as new.
    assert_eq!(fetch(&client, get(&server)).await.unwrap(), b"ok");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_redirect_is_not_held_up_by_its_body_nor_by_an_upload() {
    let fixture = Fixture::new();
    let head = "HTTP/1.1 303 See Other\r\nlocation: /other\r\ncontent-length: 100\r\n\r\n";
    let server = fixture.server().serve_each([
        vec![
            Step::ReadHead,
            Step::send(head),
            Step::ByteByByte(vec![b'x'; 100], Duration::from_millis(200)),
        ],
        vec![Step::ReadHead, whole()],
    ]);
    let client = Client::builder(fixture.context.clone())
        .close_wait(Duration::from_millis(300))
        .follow_redirects(true)
        .build();
    let began = Instant::now();
    let body = fetch(&client, post(&server, vec![b'x'; 8_000_000])).await;
    assert_eq!(body.unwrap(), b"ok");
    assert!(began.elapsed() < SOON);
}

#[tokio::test]
async fn limits_hold_whatever_the_server_does() {
    let fixture = Fixture::new();
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 10000000000000\r\n\r\n";
    let early = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let endless = || Step::Forever(vec![b'x'; 64 * 1024]);
    for (what, script, is_whole) in [
        // There is always something to be read at once.
        (
            "fast",
            vec![Step::ReadHead, Step::send(length), endless()],
            false,
        ),
        (
            "drips",
            vec![
                Step::ReadHead,
                Step::send(length),
                Step::ByteByByte(vec![b'x'; 10_000], Duration::from_millis(20)),
            ],
            false,
        ),
        ("silent", vec![Step::ReadHead], false),
        ("reads nothing", vec![Step::Pause(SOON * 2)], false),
        (
            "answers, then nothing",
            vec![Step::ReadHead, Step::send(early), Step::Pause(SOON * 2)],
            true,
        ),
        (
            "interim responses",
            vec![
                Step::ReadHead,
                Step::ByteByByte(
                    b"HTTP/1.1 102 X\r\n\r\n".repeat(1000),
                    Duration::from_millis(2),
                ),
            ],
            false,
        ),
    ] {
        let server = fixture.server().serve(script);
        let client = Client::builder(fixture.context.clone())
            .total_max(Some(Duration::from_millis(500)))
            .close_wait(SOON * 2)
            .build();
        let began = Instant::now();
        let outcome = async {
            let mut response = client.send(post(&server, vec![b'x'; 8_000_000])).await?;
            response
                .lend(|_| std::ops::ControlFlow::<()>::Continue(()))
                .await?;
            response.finish().await
        }
        .await;
        assert!(began.elapsed() < SOON, "{what}: {:?}", began.elapsed());
        match outcome {
            Ok(_) => assert!(is_whole, "{what}"),
            Err(error) => {
                let text = error.explain().to_string();
                assert!(!is_whole && text.contains("timed-out"), "{what}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn no_limit_overflows_a_clock() {
    let fixture = Fixture::new();
    for limit in [
        Duration::MAX,
        Duration::from_secs(u64::MAX / 4),
        Duration::ZERO,
    ] {
        let server = fixture.server().serve([Step::ReadHead, whole()]);
        let context = fixture.context.with_timeouts(match limit.is_zero() {
            true => handfast::Timeouts::NONE,
            false => handfast::Timeouts::all(limit),
        });
        let mut builder = Client::builder(context).close_wait(limit);
        if !limit.is_zero() {
            builder = builder
                .silence_max(Some(limit))
                .total_max(Some(limit))
                .connect_max(Some(limit));
        }
        let client = builder.build();
        assert_eq!(fetch(&client, get(&server)).await.unwrap(), b"ok");
        drop(server);
        client.close_within(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_given_limit_replaces_those_of_the_phases() {
    let fixture = Fixture::new();
    // The listener does not accept: TCP connects, and the handshake waits.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    let short = Duration::from_millis(100);
    let context = fixture
        .context
        .with_timeouts(handfast::Timeouts::all(short));
    let long = Duration::from_millis(900);
    let began = Instant::now();
    let client = Client::builder(context).connect_max(Some(long)).build();
    let error = client.send(Request::get(&url).unwrap()).await.unwrap_err();
    assert!(began.elapsed() >= long, "{:?}", began.elapsed());
    assert!(error.explain().to_string().contains("timed-out"));
}

#[tokio::test]
async fn what_is_no_response_is_refused_and_quoted() {
    let fixture = Fixture::new();
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (sent, part) in [
        (
            "HTTP/1.1 200 OK\r\nnocolonhere\r\n\r\n".to_owned(),
            "nocolonhere",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-Spaced : a\r\n\r\n".to_owned(),
            "X-Spaced : a",
        ),
        ("HTTP/1.1 2x0 OK\r\n\r\n".to_owned(), "HTTP/1.1 2x0 OK"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n".to_owned(),
            "101",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n".to_owned(),
            "transfer coding",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n".to_owned(),
            "transfer coding",
        ),
        (format!("{chunked}<html>hello</html>\n"), "<"),
        (
            format!("{chunked}3\r\nabcd\r\n0\r\n\r\n"),
            "longer than its size",
        ),
        (
            format!("{chunked}3\r\nabc\r\n0\r\nbad trailer\r\n\r\n"),
            "trailer",
        ),
        ("PRI * HTTP/2.0\r\n\r\n".to_owned(), "PRI * HTTP/2.0"),
    ] {
        for end in [vec![], vec![Step::CloseNotify, Step::Fin]] {
            let mut script = vec![Step::ReadHead, Step::send(sent.clone())];
            script.extend(end);
            let server = fixture.server().serve(script);
            let error = fetch(&fixture.client(), get(&server)).await.unwrap_err();
            let explanation = error.explain();
            assert_eq!(
                explanation.id, "malformed-response",
                "{sent:?} {explanation}"
            );
            assert!(explanation.what.contains(part), "{sent:?}: {explanation}");
        }
    }
}

#[tokio::test]
async fn interim_responses_and_folded_fields_are_read() {
    let fixture = Fixture::new();
    let server = fixture.server().serve([
        Step::ReadHead,
        Step::send(
            "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 200 OK\r\nx-long: a\r\n  b\r\ncontent-length: 2\r\n\r\nok",
        ),
    ]);
    let mut response = fixture.client().send(get(&server)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-long"], "a b");
    assert_eq!(response.bytes(10).await.unwrap(), b"ok");
}

#[tokio::test]
async fn a_response_that_comes_byte_by_byte_is_the_same() {
    let fixture = Fixture::new();
    let drip = |bytes: Vec<u8>| Step::ByteByByte(bytes, Duration::ZERO);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nt: u\r\n\r\n";
    let interim = "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    for sent in [chunked, interim] {
        let server =
            fixture
                .server()
                .serve([Step::ReadHead, drip(sent.into()), Step::ReadHead, whole()]);
        let client = fixture.client();
        assert_eq!(fetch(&client, get(&server)).await.unwrap(), b"ok");
        assert_eq!(fetch(&client, get(&server)).await.unwrap(), b"ok");
        assert_eq!(server.connections(), 1, "{sent}");
    }
    let frames = [
        http2::settings(),
        http2::headers(1, &[], false),
        http2::data(1, b"o", false),
        http2::data(1, b"k", true),
    ];
    let server = fixture.http2().serve([
        Step::ReadHttp2Request,
        drip(frames.concat()),
        Step::ReadHttp2Request,
        answer(3, b"ok"),
    ]);
    let client = fixture.client();
    assert_eq!(fetch(&client, get(&server)).await.unwrap(), b"ok");
    assert_eq!(fetch(&client, get(&server)).await.unwrap(), b"ok");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn bytes_beyond_a_response_are_told_and_end_the_connection() {
    let fixture = Fixture::new();
    for head in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let server = fixture.server().serve_each([
            vec![Step::ReadHead, Step::send(format!("{head}beyond"))],
            vec![Step::ReadHead, whole()],
        ]);
        let client = fixture.client();
        let response = client.send(get(&server)).await.unwrap();
        let finished = response.finish().await.unwrap();
        assert_eq!(finished.oddities, [Oddity::LeftOver { bytes: 6 }], "{head}");
        assert!(finished.close.is_some(), "{head}");
        assert_eq!(fetch(&client, get(&server)).await.unwrap(), b"ok");
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_came_before_a_reset_is_whole_whatever_was_being_sent() {
    let fixture = Fixture::new();
    for _ in 0..20 {
        let server = fixture.server().serve([
            Step::Read(1),
            Step::send("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno"),
            Step::Reset,
        ]);
        let request = post(&server, vec![b'x'; 4_000_000]);
        assert_eq!(fetch(&fixture.client(), request).await.unwrap(), b"no");
    }
}

#[tokio::test]
async fn kept_connections_are_bounded_for_an_origin_and_in_all() {
    let fixture = Fixture::new();
    // More at once than are kept of one origin, to as many origins.
    for (origins, kept) in [(1, 8), (9, 64)] {
        let client = fixture.client();
        let mut servers = Vec::new();
        for _ in 0..origins {
            let server = fixture.server().serve([Step::ReadHead, whole()]);
            let mut responses = Vec::new();
            for _ in 0..9 {
                responses.push(client.send(get(&server)).await.unwrap());
            }
            for response in responses {
                response.finish().await.unwrap();
            }
            servers.push(server);
        }
        assert_eq!(client.close_within(Duration::ZERO).await.len(), kept);
    }
}

#[tokio::test]
async fn an_observer_is_told_that_a_request_is_sent_again() {
    let fixture = Fixture::new();
    let server = fixture.http2().serve_each([
        begun([Step::send(http2::go_away(0, 0))]),
        begun([answer(1, b"ok")]),
    ]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&told);
    let client = Client::builder(fixture.context.clone())
        .observer(move |event| {
            if let Event::Retrying { error } = event {
                log.lock().unwrap().push(error.explain().id);
            }
        })
        .build();
    fetch(&client, get(&server)).await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["go-away"]);
}
