//! HTTP/1.1 and HTTP/1.0 on the wire (RFC 9112): framing, pipelining, leave to send, persistence.

#![cfg(feature = "server")]

mod server_common;

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use handfast::{Ending, Stream};
use handfast_https::server::{
    Body, CloseReason, ConnectionInfo, Request, Response, TransferEnd, User,
};
use http_body::Frame;
use proptest::prelude::*;

use self::server_common::{Fixture, PATIENCE, Setup};

/// The last byte of a request arrives together with a record that holds none: the reply waits for nothing.
#[test]
fn a_reply_does_not_wait_behind_a_record_without_data() {
    let server = echo();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(server.pki.root.der.clone()).unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // What is left over when the server's own buffer is full, and none.
    for head_filler in [0, 50, 200] {
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config.clone()), name).unwrap();
        let mut socket = TcpStream::connect(server.address).unwrap();
        // Less than the server's own patience, at the end of which everything is sent.
        socket.set_read_timeout(Some(PATIENCE / 2)).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut socket).unwrap();
        }
        let body = vec![b'x'; 16 * 1024];
        let filler = "y".repeat(head_filler);
        write!(
            client.writer(),
            "POST / HTTP/1.1\r\nHost: h\r\nX: {filler}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        client.writer().write_all(&body).unwrap();
        client.refresh_traffic_keys().unwrap();
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        socket.write_all(&flight).unwrap();
        let mut reply = Vec::new();
        while reply.len() < body.len() {
            assert!(client.read_tls(&mut socket).unwrap() > 0, "the server left");
            client.process_new_packets().unwrap();
            let mut room = vec![0; 64 * 1024];
            match client.reader().read(&mut room) {
                Ok(count) => reply.extend_from_slice(&room[..count]),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        assert!(reply.starts_with(b"HTTP/1.1 200 "));
    }
}

/// A body of unknown length.
struct Pieces(Vec<&'static str>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(
            self.0
                .pop()
                .map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))),
        )
    }
}

/// Echoes bodies, but for a few paths.
fn echo() -> Fixture {
    Fixture::start(Setup::default(), |_| {
        |mut request: Request, _: Arc<ConnectionInfo>| async move {
            match request.uri().path() {
                "/ignore" => Response::new(Body::from("ignored")),
                "/pieces" => Response::new(Body::new(Pieces(vec!["ghi", "", "def", "abc"]))),
                "/short" => {
                    let mut response = Response::new(Body::new(Pieces(vec!["abc"])));
                    response.headers_mut().insert("content-length", 5.into());
                    response
                }
                "/long" => {
                    let mut response = Response::new(Body::new(Pieces(vec!["def", "abc"])));
                    response.headers_mut().insert("content-length", 5.into());
                    response
                }
                "/empty" => {
                    let mut response = Response::new(Body::empty());
                    *response.status_mut() = http::StatusCode::NO_CONTENT;
                    response
                }
                "/bye" => {
                    let mut response = Response::new(Body::from("bye"));
                    let close = http::header::HeaderValue::from_static("close");
                    response.headers_mut().insert("connection", close);
                    response
                }
                _ => match request.body_mut().read_to_end(1 << 20).await {
                    Ok(body) => Response::new(Body::from(body)),
                    Err(error) => {
                        let mut response = Response::new(Body::from(error.to_string()));
                        *response.status_mut() = http::StatusCode::BAD_REQUEST;
                        response
                    }
                },
            }
        }
    })
}

fn send(stream: &mut Stream<TcpStream>, bytes: &str) {
    stream.write_all(bytes.as_bytes()).unwrap();
    stream.flush().unwrap();
}

/// Reads up to and including `end`.
fn read_to(stream: &mut Stream<TcpStream>, end: &str) -> String {
    stream.channel().set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut byte = [0];
        let count = stream.read(&mut byte).unwrap();
        assert_eq!(
            count,
            1,
            "{:?} and no {end:?}",
            String::from_utf8_lossy(&text)
        );
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

/// Everything up to the end of the connection, without the fields that are always there.
fn rest(stream: &mut Stream<TcpStream>) -> (String, Ending) {
    let (bytes, ending) = stream.read_to_ending().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let beside_framing = [
        "date: ",
        "content-type: ",
        "x-content-type-options: ",
        "content-security-policy: ",
    ];
    let kept: Vec<&str> = text
        .split_inclusive("\r\n")
        .filter(|line| !beside_framing.iter().any(|name| line.starts_with(name)))
        .collect();
    (kept.concat(), ending)
}

/// Requests on one connection, and all that comes back.
#[test]
fn replies_are_framed_as_the_request_asks() {
    const GET: &str = "Host: a\r\nConnection: close\r\n\r\n";
    let server = echo();
    let cases: &[(&str, &str)] = &[
        (
            "GET /pieces HTTP/1.1\r\n@",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n3\r\nghi\r\n0\r\n\r\n",
        ),
        // By the connection's end, and told so, where chunks are not understood.
        (
            "GET /pieces HTTP/1.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabcdefghi",
        ),
        (
            "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabcdefghi",
        ),
        (
            "GET /ignore HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /ignore HTTP/1.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: keep-alive\r\n\r\nignoredHTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nignored",
        ),
        (
            "GET /empty HTTP/1.1\r\n@",
            "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
        ),
        (
            "HEAD /ignore HTTP/1.1\r\n@",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\n",
        ),
        (
            "GET /bye HTTP/1.1\r\nHost: a\r\n\r\nGET /ignore HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbye",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nX: y\r\n\r\nGET /ignore HTTP/1.1\r\n@",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nignored",
        ),
        // An unread body is not taken for the next request.
        (
            "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n12345GET /bye HTTP/1.1\r\n@",
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nignoredHTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbye",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET /smuggled HTTP/1.1\r\n@",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 27\r\nconnection: close\r\n\r\na chunk's size is malformed",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 42\r\nconnection: close\r\n\r\nboth Transfer-Encoding and Content-Length\n",
        ),
    ];
    for (request, expected) in cases {
        let mut stream = server.connect();
        send(&mut stream, &request.replace('@', GET));
        let (got, ending) = rest(&mut stream);
        assert_eq!(got, *expected, "{request}");
        assert_eq!(ending, Ending::CloseNotify, "{request}");
    }
}

#[test]
fn what_is_no_request_for_this_server_is_answered_as_that() {
    let server = echo();
    let long = "x".repeat(40_000);
    let cases = [
        (
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_owned(),
            "405",
        ),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(), "400"),
        (
            "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "400",
        ),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), "414"),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"),
            "431",
        ),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), "505"),
    ];
    for (head, status) in cases {
        let reply = server.ask(&head);
        assert_eq!(reply.status.to_string(), status, "{}", reply.head);
        assert_eq!(reply.field("connection"), Some("close"), "{}", reply.head);
        assert_eq!(reply.field("allow").is_some(), status == "405");
        assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
        let policy = reply.field("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert_eq!(reply.ending, Ending::CloseNotify);
    }
    // A later minor version is HTTP/1.1, and its connection goes on.
    let mut stream = server.connect();
    for version in ["1.2", "1.9", "1.1"] {
        send(
            &mut stream,
            &format!("POST / HTTP/{version}\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
        );
        let reply = read_to(&mut stream, "abc");
        assert!(reply.starts_with("HTTP/1.1 200 "), "{version}: {reply}");
        assert!(!reply.contains("connection:"), "{version}: {reply}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_and_together() {
    let server = echo();
    let mut stream = server.connect();
    let one = "GET /ignore HTTP/1.1\r\nHost: a\r\n\r\n";
    let before = stream.traffic().records_received;
    send(
        &mut stream,
        &format!(
            "{}{}",
            one.repeat(30),
            "GET /bye HTTP/1.1\r\nHost: a\r\n\r\n"
        ),
    );
    let (got, _) = rest(&mut stream);
    assert_eq!(got.matches("ignored").count(), 30);
    assert!(got.ends_with("bye"));
    // Thirty-one replies of about 100 bytes.
    let records = stream.traffic().records_received - before;
    assert!(records <= 5, "{records} records");
}

#[test]
fn the_interim_response_100_is_sent_when_the_body_is_read() {
    let server = echo();
    let mut stream = server.connect();
    send(
        &mut stream,
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    );
    assert_eq!(
        read_to(&mut stream, "\r\n\r\n"),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    send(&mut stream, "abc");
    assert!(read_to(&mut stream, "abc").contains(" 200 "));
    // It is not read: no 100, and what follows is not parsed.
    send(
        &mut stream,
        "POST /ignore HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    );
    let (got, ending) = rest(&mut stream);
    assert_eq!(
        got,
        "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nignored"
    );
    assert_eq!(ending, Ending::CloseNotify);
}

#[test]
fn a_body_that_is_not_what_was_announced_breaks_off() {
    let server = echo();
    for path in ["/short", "/long"] {
        let mut stream = server.connect();
        send(
            &mut stream,
            &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        let (got, ending) = rest(&mut stream);
        assert_ne!(ending, Ending::CloseNotify, "{path}: {got}");
    }
    let events = server
        .witness
        .wait("both", |events| events.closes.len() == 2);
    for (request, close) in events.requests.iter().zip(&events.closes) {
        assert_eq!(request.end, TransferEnd::Aborted);
        assert!(
            matches!(&close.reason, CloseReason::BrokenOff(what) if what.contains("announced")),
            "{close:?}"
        );
    }
}

#[test]
fn the_observer_gets_the_client_its_connection_and_header_fields() {
    let server = Fixture::start(Setup::default(), |_| {
        |request: Request, _: Arc<ConnectionInfo>| async move {
            let mut response = Response::new(Body::empty());
            if request.uri().path() == "/private" {
                response.extensions_mut().insert(User::new("alice"));
            }
            response
        }
    });
    let fields = "Referer: https://a/\r\nUser-Agent: test\r\n";
    assert_eq!(server.get_with("/private", fields).status, 200);
    assert_eq!(server.get("/").status, 200);
    let events = server
        .witness
        .wait("both", |events| events.requests.len() == 2);
    let [private, other] = &events.requests[..] else {
        panic!("{events:#?}");
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        (private.user.as_deref(), private.abort),
        (Some("alice"), None)
    );
    assert_eq!(
        private.fields,
        [text("localhost"), text("https://a/"), text("test")]
    );
    assert_eq!((other.user.as_deref(), other.abort), (None, None));
    assert_eq!(other.fields, [text("localhost"), None, None]);
    assert_eq!(events.opened, [private.connection, other.connection]);
    assert_ne!(private.connection, other.connection);
}

#[test]
fn a_body_that_is_cut_is_told_to_its_handler() {
    let server = echo();
    let mut stream = server.connect();
    send(
        &mut stream,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
    );
    stream.finish().unwrap();
    let (got, _) = rest(&mut stream);
    assert!(
        got.starts_with("HTTP/1.1 400 ") && got.contains("within a request's body"),
        "{got}"
    );
}

#[test]
fn a_request_in_single_bytes_is_one_request() {
    let server = echo();
    let mut stream = server.connect();
    let request = "\r\nPOST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for byte in request.split_inclusive(|_| true) {
        send(&mut stream, byte);
    }
    let (got, _) = rest(&mut stream);
    assert_eq!(
        got,
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc"
    );
}

/// Whatever a client sends, its connection ends and no other is harmed.
#[test]
fn no_bytes_hang_or_harm_the_server() {
    let server = echo();
    let part = prop_oneof![
        Just("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        Just("POST / HTTP/1.1\r\nHost: a\r\n".to_owned()),
        Just("Content-Length: 5\r\n".to_owned()),
        Just("Transfer-Encoding: chunked\r\n".to_owned()),
        Just("Expect: 100-continue\r\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("3\r\nabc\r\n".to_owned()),
        "[ -~\r\n]{0,30}",
    ];
    let parts = proptest::collection::vec(part, 1..20);
    let runner = &mut proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    runner
        .run(&parts, |parts| {
            let mut stream = server.connect();
            let _ = stream.write_all(parts.concat().as_bytes());
            let _ = stream.finish();
            let (_, ending) = stream.read_to_ending().unwrap();
            prop_assert_eq!(ending, Ending::CloseNotify);
            Ok(())
        })
        .unwrap();
    assert_eq!(server.get("/ignore").text(), "ignored");
    server.wait_idle();
}
