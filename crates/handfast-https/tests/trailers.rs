//! Trailer fields (RFC 9110, section 6.5): those of requests reach handlers, those of responses reach clients, over both versions.

#![cfg(all(feature = "client", feature = "server"))]

mod client_common;
mod server_common;

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use client_common::{VERSIONS, context};
use handfast_https::client::{Client, Event, Finished, Request};
use handfast_https::server::{self, Body, BodyError, ConnectionInfo, Pull, Response, TransferEnd};
use handfast_testbed::launch::{Finished as Ended, Program};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TE, TRAILER};
use http::{HeaderMap, Method, StatusCode};
use http_body::{Frame, SizeHint};
use server_common::{Fixture, PATIENCE, Setup};
use tokio::time::{Sleep, sleep};

/// Pieces, and then fields, as any library's body gives them.
struct Frames {
    pieces: Vec<Bytes>,
    fields: Option<HeaderMap>,
    /// Says how long it is.
    sized: bool,
    /// The fields come later than the last piece.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Frames {
    fn new(pieces: &[&[u8]], fields: HeaderMap) -> Self {
        Self {
            pieces: pieces
                .iter()
                .rev()
                .map(|piece| Bytes::copy_from_slice(piece))
                .collect(),
            fields: Some(fields),
            sized: false,
            pause: None,
        }
    }
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(piece) = self.pieces.pop() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(self.fields.take().map(|it| Ok(Frame::trailers(it))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.sized {
            true => SizeHint::with_exact(self.pieces.iter().map(|it| it.len() as u64).sum()),
            false => SizeHint::default(),
        }
    }
}

/// Five bytes, pulled.
struct Pulled(usize);

impl Pull for Pulled {
    fn poll_piece(
        &mut self,
        _: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let count = self.0.min(max);
        self.0 -= count;
        Poll::Ready((count > 0).then(|| Ok(Bytes::from(vec![b'p'; count]))))
    }

    fn is_end(&self) -> bool {
        self.0 == 0
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.0 as u64)
    }
}

fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    };
    list.iter().copied().map(field).collect()
}

fn sum() -> HeaderMap {
    fields(&[("x-sum", "12")])
}

async fn answer(request: server::Request) -> Response {
    let announced = |body| {
        let mut response = Response::new(body);
        let names = HeaderValue::from_static("X-Sum");
        response.headers_mut().insert(TRAILER, names);
        response
    };
    match request.uri().path() {
        "/frames" => Response::new(Body::new(Frames::new(&[b"abc", b"", b"de"], sum()))),
        "/alone" => Response::new(Body::new(Frames::new(&[], sum()))),
        "/late" => {
            let mut frames = Frames::new(&[b"abcde"], sum());
            frames.pause = Some(Box::pin(sleep(Duration::from_millis(20))));
            Response::new(Body::new(frames))
        }
        // All that the windows let through at first.
        "/window" => {
            let piece = [b'w'; 5 * 1024];
            let mut pieces = vec![&piece[..]; 12];
            pieces.push(&piece[..4095]);
            announced(Body::new(Frames::new(&pieces, sum())))
        }
        "/known" => {
            let mut frames = Frames::new(&[b"abc", b"de"], sum());
            frames.sized = true;
            announced(Body::new(frames))
        }
        "/unannounced" => Response::new(Body::from("abcde").with_trailers(sum)),
        "/whole" => announced(Body::from("abcde").with_trailers(sum)),
        "/empty" => announced(Body::empty().with_trailers(sum)),
        "/pulled" => {
            let mut response = announced(Body::pulled(Pulled(5)).with_trailers(sum));
            response.headers_mut().insert(CONTENT_LENGTH, 5.into());
            response
        }
        "/forbidden" => {
            let mixed = fields(&[
                ("content-length", "7"),
                ("set-cookie", "a=b"),
                ("x-sum", "12"),
                ("transfer-encoding", "chunked"),
                ("host", "b"),
                ("connection", "close"),
            ]);
            Response::new(Body::new(Frames::new(&[b"abcde"], mixed)))
        }
        "/only-forbidden" => {
            let none = fields(&[("content-type", "text/html")]);
            Response::new(Body::new(Frames::new(&[b"abcde"], none)))
        }
        "/broken" => {
            let mut response = announced(Body::from("abc").with_trailers(sum));
            response.headers_mut().insert(CONTENT_LENGTH, 5.into());
            response
        }
        // Tells what came behind the request.
        _ => {
            let mut body = request.into_body();
            let mut text = body.read_to_end(1 << 20).await.unwrap().to_vec();
            let fields = body.take_trailers().unwrap_or_default();
            for (name, value) in &fields {
                write!(text, " {name}={}", value.to_str().unwrap()).unwrap();
            }
            Response::new(Body::from(text))
        }
    }
}

fn start() -> Fixture {
    Fixture::start(Setup::default(), |_| {
        |request: server::Request, _: Arc<ConnectionInfo>| answer(request)
    })
}

/// Everything after the head of a reply of HTTP/1.1, and what of the head is about trailer fields and framing.
fn over_http1(server: &Fixture, path: &str, more: &str) -> (Vec<String>, String) {
    let mut stream = server.connect();
    stream.channel().set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n"
    )
    .unwrap();
    stream.flush().unwrap();
    let (bytes, _) = stream.read_to_ending().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let is_shown = |line: &&str| {
        ["trailer:", "transfer-encoding:", "content-length:"]
            .iter()
            .any(|name| line.starts_with(name))
    };
    let shown = head.lines().filter(is_shown).map(str::to_owned).collect();
    (shown, body.to_owned())
}

#[test]
fn over_http1_they_are_sent_in_chunks_to_clients_that_accept_them() {
    const ASKS: &str = "TE: deflate, Trailers\r\n";
    let server = start();
    let chunked = "transfer-encoding: chunked";
    let announced = "trailer: X-Sum";
    for (path, more, head, body) in [
        (
            "/frames",
            ASKS,
            &[chunked][..],
            "3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 12\r\n\r\n",
        ),
        (
            "/frames",
            "",
            &[chunked],
            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ),
        (
            "/frames",
            "TE: trailersx, gzip\r\n",
            &[chunked],
            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ),
        ("/alone", ASKS, &[chunked], "0\r\nx-sum: 12\r\n\r\n"),
        (
            "/late",
            ASKS,
            &[chunked],
            "5\r\nabcde\r\n0\r\nx-sum: 12\r\n\r\n",
        ),
        (
            "/known",
            ASKS,
            &[announced, chunked],
            "3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 12\r\n\r\n",
        ),
        ("/known", "", &["content-length: 5"], "abcde"),
        ("/unannounced", ASKS, &["content-length: 5"], "abcde"),
        (
            "/whole",
            ASKS,
            &[announced, chunked],
            "5\r\nabcde\r\n0\r\nx-sum: 12\r\n\r\n",
        ),
        ("/whole", "", &["content-length: 5"], "abcde"),
        (
            "/empty",
            ASKS,
            &[announced, chunked],
            "0\r\nx-sum: 12\r\n\r\n",
        ),
        ("/empty", "", &["content-length: 0"], ""),
        (
            "/pulled",
            ASKS,
            &[announced, chunked],
            "5\r\nppppp\r\n0\r\nx-sum: 12\r\n\r\n",
        ),
        ("/pulled", "", &["content-length: 5"], "ppppp"),
        (
            "/forbidden",
            ASKS,
            &[chunked],
            "5\r\nabcde\r\n0\r\nx-sum: 12\r\n\r\n",
        ),
        (
            "/only-forbidden",
            ASKS,
            &[chunked],
            "5\r\nabcde\r\n0\r\n\r\n",
        ),
    ] {
        let (shown, rest) = over_http1(&server, path, more);
        assert_eq!(
            (shown.as_slice(), rest.as_str()),
            (
                head.iter()
                    .map(|line| (*line).to_owned())
                    .collect::<Vec<_>>()
                    .as_slice(),
                body.trim_start_matches("\r\n")
            ),
            "{path} {more:?}"
        );
    }
    // Each is complete for the log, also where fields were left out.
    let events = server
        .witness
        .wait("all requests", |events| events.requests.len() == 16);
    for request in &events.requests {
        assert_eq!(request.end, TransferEnd::Complete, "{request:?}");
    }
    // HTTP/1.0 has no chunks.
    let mut stream = server.connect();
    write!(stream, "GET /whole HTTP/1.0\r\n{ASKS}\r\n").unwrap();
    stream.flush().unwrap();
    let (bytes, _) = stream.read_to_ending().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with("\r\n\r\nabcde"), "{text}");
    assert!(!text.contains("trailer"), "{text}");
}

/// What our client receives, and what it tells its observer of trailer fields.
async fn fetch(server: &Fixture, alpn: &str, path: &str) -> (Vec<u8>, Finished, Option<HeaderMap>) {
    let told = Arc::new(Mutex::new(None));
    let note = Arc::clone(&told);
    let client = Client::builder(context(&server.pki, alpn))
        .observer(move |event| {
            if let Event::Completed { trailers, .. } = event {
                *note.lock().unwrap() = trailers.cloned();
            }
        })
        .build();
    let url = format!("https://localhost:{}{path}", server.address.port());
    let request = Request::get(&url).unwrap();
    let request = request.with_header(TE, HeaderValue::from_static("trailers"));
    let mut response = client.send(request).await.unwrap();
    let body = response.bytes(1 << 20).await.unwrap();
    let finished = response.finish().await.unwrap();
    client.close().await;
    let told = told.lock().unwrap().take();
    (body, finished, told)
}

#[tokio::test]
async fn the_client_shows_what_handlers_send_behind_their_bodies() {
    let server = start();
    for alpn in VERSIONS {
        let is_http2 = alpn == "h2";
        for (path, expected, has_fields) in [
            ("/frames", &b"abcde"[..], true),
            ("/alone", b"", true),
            ("/late", b"abcde", true),
            ("/window", &[b'w'; 65_535], true),
            ("/known", b"abcde", true),
            ("/unannounced", b"abcde", is_http2),
            ("/whole", b"abcde", true),
            ("/empty", b"", true),
            ("/pulled", b"ppppp", true),
            ("/forbidden", b"abcde", true),
            ("/only-forbidden", b"abcde", false),
            ("/", b"", false),
        ] {
            let (body, finished, told) = fetch(&server, alpn, path).await;
            assert_eq!(body, expected, "{alpn} {path}");
            let fields = has_fields.then(sum);
            assert_eq!(finished.trailers, fields, "{alpn} {path}");
            assert_eq!(told, fields, "{alpn} {path}");
        }
        // A response to HEAD has none.
        let client = Client::builder(context(&server.pki, alpn)).build();
        let url = format!("https://localhost:{}/whole", server.address.port());
        let head = Request::new(Method::HEAD, &url).unwrap();
        let head = head.with_header(TE, HeaderValue::from_static("trailers"));
        let response = client.send(head).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.finish().await.unwrap().trailers, None, "{alpn}");
        client.close().await;
    }
    let events = server
        .witness
        .wait("all requests", |events| events.requests.len() == 26);
    for request in &events.requests {
        assert_eq!(request.end, TransferEnd::Complete, "{request:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_short_is_cut_in_spite_of_trailer_fields() {
    let server = start();
    let client = Client::builder(context(&server.pki, "h2")).build();
    let url = format!("https://localhost:{}/broken", server.address.port());
    let mut response = client.send(Request::get(&url).unwrap()).await.unwrap();
    response.bytes(100).await.unwrap_err();
    let events = server
        .witness
        .wait("the request", |events| !events.requests.is_empty());
    assert_eq!(events.requests[0].end, TransferEnd::Aborted);
}

#[test]
fn those_of_a_request_over_http1_reach_the_handler() {
    let server = start();
    let mut stream = server.connect();
    stream.channel().set_read_timeout(Some(PATIENCE)).unwrap();
    let chunked = "Host: localhost\r\nTransfer-Encoding: chunked\r\n";
    // The next request is where it should be.
    write!(
        stream,
        "POST / HTTP/1.1\r\n{chunked}\r\n3\r\nabc\r\n0\r\nX-Sum: 12\r\nx-b:\r\nContent-Length: 9\r\n\r\n\
         POST / HTTP/1.1\r\n{chunked}Connection: close\r\n\r\n2\r\nde\r\n0\r\n\r\n"
    )
    .unwrap();
    stream.flush().unwrap();
    let (bytes, _) = stream.read_to_ending().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(
        text.contains("\r\n\r\nabc x-sum=12 x-b= content-length=9HTTP/1.1 200"),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\nde"), "{text}");
}

/// A program that speaks to the server; `None` if it is not installed.
fn peer(name: &str, args: &[&str]) -> Option<Ended> {
    let ended = Program::new(name)?.args(args).run();
    assert!(
        ended.succeeded(),
        "{name}: {}\n{}",
        ended.out(),
        ended.err()
    );
    Some(ended)
}

#[test]
fn curl_sees_them_over_both_versions() {
    let server = start();
    let root = server.ca_file.to_str().unwrap();
    let either = ["/frames", "/window"].as_slice();
    // Over HTTP/2 curl 7.88 looks at nothing behind a body whose length is announced.
    let chunked = ["/whole", "/pulled"].as_slice();
    for (version, paths) in [
        ("--http1.1", [either, chunked].concat()),
        ("--http2", either.to_vec()),
    ] {
        for path in paths {
            let url = format!("https://localhost:{}{path}", server.address.port());
            let args = [
                "-sSi",
                version,
                "--cacert",
                root,
                "-H",
                "TE: trailers",
                &url,
            ];
            let Some(ended) = peer("curl", &args) else {
                return;
            };
            // With the head it shows what came behind the body.
            let out = ended.out();
            assert!(out.ends_with("x-sum: 12\r\n"), "{version} {path}: {out}");
        }
    }
}

#[test]
fn nghttp_sends_and_receives_them() {
    let server = start();
    let base = format!("https://localhost:{}", server.address.port());
    let url = format!("{base}/frames");
    let Some(ended) = peer("nghttp", &["-nv", "--no-verify-peer", &url]) else {
        return;
    };
    assert!(ended.out().contains("x-sum: 12"), "{}", ended.out());
    let body = server.directory.path().join("body");
    std::fs::write(&body, "abc").unwrap();
    let body = body.to_str().unwrap();
    let args = [
        "--no-verify-peer",
        "-d",
        body,
        "--trailer",
        "x-sum: 12",
        &base,
    ];
    let ended = peer("nghttp", &args).unwrap();
    assert!(ended.out().contains("abc x-sum=12"), "{}", ended.out());
}

#[test]
fn python_sends_them_and_passes_over_them_over_http1() {
    const SCRIPT: &str = r#"
import http.client, ssl, sys
root, port = sys.argv[1:]
connection = http.client.HTTPSConnection('localhost', int(port), context=ssl.create_default_context(cafile=root))
connection.putrequest('POST', '/')
connection.putheader('Transfer-Encoding', 'chunked')
connection.putheader('Trailer', 'X-Sum')
connection.endheaders()
connection.send(b'3\r\nabc\r\n')
connection.send(b'0\r\nX-Sum: 12\r\n\r\n')
print(connection.getresponse().read().decode())
# It takes no trailer fields, and what it is sent it discards: the next response is where it should be.
for headers in {}, {'TE': 'trailers'}:
    connection.request('GET', '/whole', headers=headers)
    print(connection.getresponse().read().decode())
"#;
    let server = start();
    let port = server.address.port().to_string();
    let root = server.ca_file.to_str().unwrap();
    let Some(ended) = peer("python3", &["-c", SCRIPT, root, &port]) else {
        return;
    };
    assert_eq!(ended.out(), "abc x-sum=12\nabcde\nabcde\n");
}
