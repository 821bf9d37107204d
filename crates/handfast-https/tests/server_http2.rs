//! HTTP/2 as a client that minds no rule sees it: frames by hand over TLS (RFC 9113).

mod server_common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use handfast::{Ending, Stream};
use handfast_https::server::{
    Body, CloseReason, ConnectionInfo, Limits, Request, Response, TransferEnd,
};
use handfast_testbed::launch::Program;
use proptest::prelude::*;

use self::server_common::{Fixture, PATIENCE, Setup};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, name.len() as u8];
    field.extend(name.as_bytes());
    field.push(value.len() as u8);
    field.extend(value.as_bytes());
    field
}

/// A header block for `GET` or `POST`.
fn block(method: u8, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![method, 0x87];
    block.extend([0x04, path.len() as u8]);
    block.extend(path.as_bytes());
    block.extend(b"\x01\x09localhost");
    for (name, value) in more {
        block.extend(literal(name, value));
    }
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        stream,
        &block(GET, path, &[]),
    )
}

fn post(stream: u32, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(POST, path, more))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn u32_at(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

struct Client(Stream<TcpStream>);

impl Client {
    /// Preface and SETTINGS are said; the server's are left to be read.
    fn new(server: &Fixture) -> Self {
        let mut client = Self::silent(server);
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
        client
    }

    fn silent(server: &Fixture) -> Self {
        let context = server.client_builder().alpn(["h2"]).build().unwrap();
        let socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(context.secure("localhost", socket).unwrap())
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// The next frame; `None` at the orderly end.
    fn next(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        if self.0.read(&mut header[..1]).unwrap() == 0 {
            return None;
        }
        self.0.read_exact(&mut header[1..]).unwrap();
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        Some(Frame {
            kind: header[3],
            flags: header[4],
            stream: u32::from_be_bytes(header[5..9].try_into().unwrap()),
            payload,
        })
    }

    fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self
                .next()
                .unwrap_or_else(|| panic!("no frame of kind {kind}"));
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Status octet and body of a stream; `Err` with the code of its reset.
    fn reply(&mut self, stream: u32) -> Result<(u8, Vec<u8>), u32> {
        let mut status = 0;
        let mut body = Vec::new();
        loop {
            let frame = self.next().expect("the connection ended before the reply");
            assert_ne!(frame.kind, GOAWAY, "{frame:?}");
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                HEADERS => {
                    let block = frame
                        .payload
                        .strip_prefix(b"\x20")
                        .unwrap_or(&frame.payload);
                    status = block[0];
                }
                DATA => body.extend_from_slice(&frame.payload),
                RST_STREAM => return Err(frame.u32_at(0)),
                _ => continue,
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                return Ok((status, body));
            }
        }
    }
}

/// Echoes bodies; `/large` is a MiB, `/ignore` reads nothing.
fn echo(setup: Setup) -> Fixture {
    Fixture::start(setup, |_| {
        |mut request: Request, _: Arc<ConnectionInfo>| async move {
            match request.uri().path() {
                "/large" => Response::new(Body::from(vec![b'x'; 1 << 20])),
                "/ignore" => Response::new(Body::from("ignored")),
                "/cookie" => {
                    let cookie = request.headers().get("cookie").cloned();
                    let cookie = cookie.map(|value| value.as_bytes().to_vec());
                    Response::new(Body::from(cookie.unwrap_or_default()))
                }
                _ => match request.body_mut().read_to_end(1 << 20).await {
                    Ok(body) => Response::new(Body::from(body)),
                    Err(error) => {
                        let mut response = Response::new(Body::from(error.to_string()));
                        *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
                        response
                    }
                },
            }
        }
    })
}

const OK: u8 = 0x88;

#[test]
fn b1_many_requests_and_bodies_on_one_connection() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&get(1, "/"));
    assert_eq!(client.reply(1), Ok((OK, vec![])));
    // A body in pieces, padded, with trailer fields behind it, beside another request.
    client.send(&post(3, "/", &[("content-length", "6")]));
    client.send(&frame(DATA, 0, 3, b"abc"));
    client.send(&get(5, "/ignore"));
    assert_eq!(client.reply(5), Ok((OK, b"ignored".to_vec())));
    client.send(&frame(DATA, 8, 3, b"\x05def\0\0\0\0\0"));
    client.send(&frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        3,
        &literal("x-sum", "1"),
    ));
    assert_eq!(client.reply(3), Ok((OK, b"abcdef".to_vec())));
    // A head in pieces, with a priority that nobody minds.
    let whole = [
        b"\x00\x00\x00\x00\x10".to_vec(),
        block(GET, "/cookie", &[("cookie", "a=b"), ("cookie", "c=d")]),
    ]
    .concat();
    let (front, back) = whole.split_at(9);
    client.send(&frame(HEADERS, END_STREAM | 0x20, 7, front));
    client.send(&frame(CONTINUATION, END_HEADERS, 7, back));
    assert_eq!(client.reply(7), Ok((OK, b"a=b; c=d".to_vec())));
    client.send(&frame(PING, 0, 0, b"12345678"));
    let answer = client.next_of(PING);
    assert_eq!((answer.flags, &answer.payload[..]), (ACK, &b"12345678"[..]));
}

#[test]
fn b1_a_reply_keeps_within_the_clients_window() {
    let server = echo(Setup::default());
    let mut client = Client::silent(&server);
    // Windows of 10,000 for streams; the connection's stays at 65,535.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0x27, 0x10]);
    client.send(&[PREFACE, &settings, &get(1, "/large")].concat());
    let mut received = 0;
    while received < 10_000 {
        let data = client.next_of(DATA);
        received += data.payload.len();
        assert_eq!(data.flags & END_STREAM, 0);
    }
    assert_eq!(received, 10_000);
    // Only what answers the PING may come now.
    client.send(&frame(PING, 0, 0, b"anymore?"));
    assert_eq!(client.next().unwrap().kind, PING);
    // A larger window for the stream: then the connection's is the limit.
    client.send(&frame(WINDOW_UPDATE, 0, 1, &(1u32 << 21).to_be_bytes()));
    while received < 65_535 {
        received += client.next_of(DATA).payload.len();
    }
    assert_eq!(received, 65_535);
    client.send(&frame(PING, 0, 0, b"anymore?"));
    assert_eq!(client.next().unwrap().kind, PING);
    client.send(&frame(WINDOW_UPDATE, 0, 0, &(1u32 << 21).to_be_bytes()));
    let (_, rest) = client.reply(1).unwrap();
    assert_eq!(received + rest.len(), 1 << 20);
}

#[test]
fn b1_streams_take_turns() {
    let server = echo(Setup::default());
    let mut client = Client::silent(&server);
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let window = frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes());
    client.send(
        &[
            PREFACE,
            &settings,
            &window,
            &get(1, "/large"),
            &get(3, "/large"),
        ]
        .concat(),
    );
    // Neither has to wait for the other's end.
    let mut order = Vec::new();
    while order.len() < 20 {
        order.push(client.next_of(DATA).stream);
    }
    let of_second = order.iter().filter(|stream| **stream == 3).count();
    assert!((8..=12).contains(&of_second), "{order:?}");
}

/// What breaks the connection, and the code that says why.
#[test]
fn a20_violations_end_the_connection_with_their_code() {
    let server = echo(Setup::default());
    let valid = get(1, "/");
    let half = frame(HEADERS, END_STREAM, 1, &block(GET, "/", &[]));
    let settings = |id: u8, value: u32| {
        let mut payload = vec![0, id];
        payload.extend(value.to_be_bytes());
        frame(SETTINGS, 0, 0, &payload)
    };
    let window =
        |stream: u32, increment: u32| frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
    let cases: Vec<(&str, Vec<u8>, u32)> = vec![
        ("HEADERS on 0", get(0, "/"), PROTOCOL_ERROR),
        ("HEADERS on an even stream", get(2, "/"), PROTOCOL_ERROR),
        ("DATA on 0", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        (
            "DATA on an idle stream",
            frame(DATA, 0, 1, b"x"),
            PROTOCOL_ERROR,
        ),
        (
            "RST_STREAM on an idle stream",
            frame(RST_STREAM, 0, 1, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "RST_STREAM on 0",
            frame(RST_STREAM, 0, 0, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "WINDOW_UPDATE on an idle stream",
            window(1, 1),
            PROTOCOL_ERROR,
        ),
        ("WINDOW_UPDATE by nothing", window(0, 0), PROTOCOL_ERROR),
        (
            "a window that overflows",
            [window(0, 0x7fff_ffff), window(0, 1)].concat(),
            FLOW_CONTROL_ERROR,
        ),
        (
            "PUSH_PROMISE",
            frame(PUSH_PROMISE, 4, 1, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "CONTINUATION of nothing",
            frame(CONTINUATION, 4, 1, &[]),
            PROTOCOL_ERROR,
        ),
        (
            "a frame within a block",
            [half.clone(), frame(PING, 0, 0, &[0; 8])].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "DATA within a block",
            [half.clone(), frame(DATA, 0, 1, &[])].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "CONTINUATION of another",
            [half, frame(CONTINUATION, 4, 3, &[])].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "PING of a stream",
            frame(PING, 0, 1, &[0; 8]),
            PROTOCOL_ERROR,
        ),
        ("a short PING", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        (
            "SETTINGS of a stream",
            frame(SETTINGS, 0, 1, &[]),
            PROTOCOL_ERROR,
        ),
        (
            "odd SETTINGS",
            frame(SETTINGS, 0, 0, &[0; 5]),
            FRAME_SIZE_ERROR,
        ),
        (
            "an answer with SETTINGS",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            FRAME_SIZE_ERROR,
        ),
        ("ENABLE_PUSH 2", settings(2, 2), PROTOCOL_ERROR),
        (
            "INITIAL_WINDOW_SIZE",
            settings(4, 0x8000_0000),
            FLOW_CONTROL_ERROR,
        ),
        ("MAX_FRAME_SIZE", settings(5, 16_383), PROTOCOL_ERROR),
        (
            "a short WINDOW_UPDATE",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            FRAME_SIZE_ERROR,
        ),
        (
            "a short RST_STREAM",
            [valid, frame(RST_STREAM, 0, 1, &[0; 3])].concat(),
            FRAME_SIZE_ERROR,
        ),
        (
            "a short PRIORITY",
            frame(PRIORITY, 0, 1, &[0; 4]),
            FRAME_SIZE_ERROR,
        ),
        (
            "too large a frame",
            frame(DATA, 0, 1, &[0; 16_385]),
            FRAME_SIZE_ERROR,
        ),
        (
            "padding longer than its frame",
            frame(HEADERS, 0xd, 1, &[9, 0x82]),
            PROTOCOL_ERROR,
        ),
        (
            "a stream that depends on itself",
            frame(HEADERS, 0x25, 1, &[0, 0, 0, 1, 0, 0x82]),
            PROTOCOL_ERROR,
        ),
        (
            "what is no HPACK",
            frame(HEADERS, 5, 1, &[0x80]),
            COMPRESSION_ERROR,
        ),
        (
            "a table larger than ours",
            frame(HEADERS, 5, 1, &[0x3f, 0xe2, 0x1f]),
            COMPRESSION_ERROR,
        ),
        (
            "a stream again",
            [get(3, "/"), get(3, "/")].concat(),
            STREAM_CLOSED,
        ),
        (
            "an earlier stream",
            [get(3, "/"), get(1, "/")].concat(),
            STREAM_CLOSED,
        ),
        (
            "a GOAWAY of a stream",
            frame(GOAWAY, 0, 1, &[0; 8]),
            PROTOCOL_ERROR,
        ),
    ];
    let count = cases.len();
    for (what, bytes, code) in cases {
        let mut client = Client::new(&server);
        client.send(&bytes);
        let goaway = client.next_of(GOAWAY);
        assert_eq!(
            goaway.u32_at(4),
            code,
            "{what}: {}",
            String::from_utf8_lossy(&goaway.payload[8..])
        );
        assert_eq!(client.next(), None, "{what}");
    }
    let events = server
        .witness
        .wait("the ends", |events| events.closes.len() == count);
    for close in events.closes {
        assert!(
            matches!(close.reason, CloseReason::BadRequest(_)),
            "{close:?}"
        );
    }
}

#[test]
fn a20_what_is_no_preface_is_told_so() {
    let server = echo(Setup::default());
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
        &[PREFACE, &get(1, "/")].concat(),
    ] {
        let mut client = Client::silent(&server);
        client.send(bytes);
        assert_eq!(client.next_of(GOAWAY).u32_at(4), PROTOCOL_ERROR);
        assert_eq!(client.next(), None);
    }
}

/// What breaks one stream, while the others go on.
#[test]
fn a20_malformed_requests_end_their_stream_alone() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    let head = |fields: &[(&str, &str)]| {
        let block: Vec<u8> = fields
            .iter()
            .flat_map(|(name, value)| literal(name, value))
            .collect();
        block
    };
    let good = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", "localhost"),
    ];
    let with = |more: &[(&str, &str)]| head(&[&good[..], more].concat());
    let mut stream = 1;
    for (what, block) in [
        ("no method", head(&good[1..])),
        ("no path", head(&[good[0], good[1], good[3]])),
        ("two paths", with(&[(":path", "/")])),
        (
            "a late pseudo-header field",
            with(&[("a", "b"), (":x", "y")]),
        ),
        ("upper case", with(&[("Aa", "b")])),
        ("connection", with(&[("connection", "close")])),
        (
            "transfer-encoding",
            with(&[("transfer-encoding", "chunked")]),
        ),
        ("te", with(&[("te", "gzip")])),
        ("another host", with(&[("host", "elsewhere")])),
        ("a length without a body", with(&[("content-length", "1")])),
    ] {
        client.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &block));
        assert_eq!(client.reply(stream), Err(PROTOCOL_ERROR), "{what}");
        stream += 2;
    }
    for (what, length, body, code) in [
        ("longer than announced", "2", &b"abc"[..], PROTOCOL_ERROR),
        ("shorter than announced", "4", b"abc", PROTOCOL_ERROR),
    ] {
        client.send(&post(stream, "/", &[("content-length", length)]));
        client.send(&frame(DATA, END_STREAM, stream, body));
        assert_eq!(client.reply(stream), Err(code), "{what}");
        stream += 2;
    }
    // Too large a head is a request all the same: it gets its answer.
    let long = "x".repeat(120);
    let many: Vec<_> = std::iter::repeat_n(("x-long", &long[..]), 110).collect();
    client.send(&frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        stream,
        &with(&many),
    ));
    let (status, text) = client.reply(stream).unwrap();
    assert_eq!(status, 8, "a literal status: 431");
    assert!(
        String::from_utf8(text)
            .unwrap()
            .contains("too many or too long")
    );
    client.send(&get(stream + 2, "/"));
    assert_eq!(client.reply(stream + 2), Ok((OK, vec![])));
}

#[test]
fn a18_more_streams_than_allowed_are_refused() {
    let limits = {
        let mut limits = Limits::default();
        limits.streams_max = 2;
        limits
    };
    let server = echo(Setup {
        limits,
        ..Setup::default()
    });
    let mut client = Client::new(&server);
    client.send(&[post(1, "/", &[]), post(3, "/", &[]), get(5, "/")].concat());
    assert_eq!(client.reply(5), Err(REFUSED_STREAM));
    client.send(&frame(DATA, END_STREAM, 1, b"a"));
    assert_eq!(client.reply(1), Ok((OK, b"a".to_vec())));
    client.send(&get(7, "/"));
    assert_eq!(client.reply(7), Ok((OK, vec![])));
}

/// Floods that cost the server more than the client (CVE-2019-9511 to 9518, CVE-2023-44487,
/// CVE-2024-27316, CVE-2025-8671).
#[test]
fn a18_floods_end_the_connection() {
    let server = echo(Setup::default());
    let many = |one: &[u8], count: usize| one.repeat(count);
    let rapid_reset: Vec<u8> = (0..600)
        .flat_map(|n| {
            let id = 1 + 2 * n;
            [post(id, "/", &[]), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
        })
        .collect();
    let made_to_reset: Vec<u8> = (0..600)
        .flat_map(|n| {
            let id = 1 + 2 * n;
            [post(id, "/", &[]), frame(WINDOW_UPDATE, 0, id, &[0; 4])].concat()
        })
        .collect();
    let endless_block = [
        frame(HEADERS, END_STREAM, 1, &block(GET, "/", &[])),
        many(&frame(CONTINUATION, 0, 1, &[]), 100),
    ]
    .concat();
    for (what, bytes) in [
        ("PING", many(&frame(PING, 0, 0, &[0; 8]), 3000)),
        ("SETTINGS", many(&frame(SETTINGS, 0, 0, &[]), 3000)),
        (
            "PRIORITY",
            many(&frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), 3000),
        ),
        (
            "empty DATA",
            [post(1, "/", &[]), many(&frame(DATA, 0, 1, &[]), 3000)].concat(),
        ),
        ("unknown frames", many(&frame(0xee, 0, 0, b"x"), 3000)),
        (
            "WINDOW_UPDATE",
            many(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), 3000),
        ),
        ("rapid reset", rapid_reset),
        ("made to reset", made_to_reset),
        ("CONTINUATION", endless_block),
    ] {
        let mut client = Client::new(&server);
        client.send(&bytes);
        assert_eq!(
            client.next_of(GOAWAY).u32_at(4),
            ENHANCE_YOUR_CALM,
            "{what}"
        );
    }
}

#[test]
fn a20_leave_to_send_is_given_when_the_body_is_read() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&post(
        1,
        "/",
        &[("expect", "100-continue"), ("content-length", "3")],
    ));
    let interim = client.next_of(HEADERS);
    assert!(interim.payload.ends_with(b"\x08\x03100"), "{interim:?}");
    assert_eq!(interim.flags & END_STREAM, 0);
    client.send(&frame(DATA, END_STREAM, 1, b"abc"));
    assert_eq!(client.reply(1), Ok((OK, b"abc".to_vec())));
    // Whoever does not read it gives none, and expects none.
    client.send(&post(
        3,
        "/ignore",
        &[("expect", "100-continue"), ("content-length", "3")],
    ));
    assert_eq!(client.reply(3), Ok((OK, b"ignored".to_vec())));
    assert_eq!(client.next_of(RST_STREAM).u32_at(0), 0);
}

#[test]
fn a22_a_body_that_nobody_reads_takes_nothing_from_the_reply() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&post(1, "/ignore", &[]));
    client.send(&frame(DATA, 0, 1, &[b'x'; 16_000]));
    assert_eq!(client.reply(1), Ok((OK, b"ignored".to_vec())));
    // It is read for a while, then the stream is ended without an error.
    assert_eq!(client.next_of(RST_STREAM).u32_at(0), 0);
    client.send(&get(3, "/"));
    assert_eq!(client.reply(3), Ok((OK, vec![])));
    // The window of the connection has not shrunk by it: more than all of it can be sent.
    let mut left = 5 << 20;
    let mut stream = 5;
    while left > 0 {
        let piece = [b'y'; 16_384];
        client.send(&post(stream, "/", &[]));
        for last in [false, false, true] {
            client.send(&frame(DATA, u8::from(last), stream, &piece));
            left -= piece.len().min(left);
        }
        let (status, body) = client.reply(stream).unwrap();
        assert_eq!((status, body.len()), (OK, 49_152));
        stream += 2;
        // Our own window for the replies.
        client.send(&frame(WINDOW_UPDATE, 0, 0, &49_152u32.to_be_bytes()));
    }
}

#[test]
fn b1_a_stop_announces_itself_and_lets_replies_finish() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&post(1, "/", &[]));
    client.send(&frame(PING, 0, 0, &[7; 8]));
    client.next_of(PING);
    server.running().shutdown(Duration::from_secs(20));
    assert_eq!(client.next_of(GOAWAY).u32_at(0), 0x7fff_ffff);
    let ping = client.next_of(PING);
    // A request that crossed the announcement is answered.
    client.send(&get(3, "/"));
    assert_eq!(client.reply(3), Ok((OK, vec![])));
    client.send(&frame(PING, ACK, 0, &ping.payload));
    assert_eq!(client.next_of(GOAWAY).u32_at(0), 3);
    client.send(&frame(DATA, END_STREAM, 1, b"last"));
    assert_eq!(client.reply(1), Ok((OK, b"last".to_vec())));
    assert_eq!(client.next(), None);
}

#[test]
fn c1_a_reply_is_complete_only_when_it_was_sent() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&get(1, "/large"));
    client.next_of(DATA);
    // Gone in the middle of it.
    client.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    client.send(&get(3, "/"));
    assert_eq!(client.reply(3), Ok((OK, vec![])));
    let events = server
        .witness
        .wait("both", |events| events.requests.len() == 2);
    assert_eq!(events.requests[0].end, TransferEnd::Aborted);
    assert_eq!(events.requests[1].end, TransferEnd::Complete);
}

#[test]
fn a16_a_body_that_is_cut_is_told_to_its_handler() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&post(1, "/", &[]));
    client.send(&frame(DATA, 0, 1, b"abc"));
    client.0.finish().unwrap();
    let (status, text) = client.reply(1).unwrap();
    assert_eq!(status, 0x8c, "400");
    assert!(
        String::from_utf8(text)
            .unwrap()
            .contains("ended the connection")
    );
}

#[test]
fn b1_curl_is_served_forty_streams_at_once() {
    let server = Fixture::files();
    server.put("a", vec![b'a'; 100_000]);
    let Some(curl) = Program::new("curl") else {
        return;
    };
    // curl speaks it by nghttp2: many at once on one connection.
    let urls: Vec<String> = (0..40).map(|n| server.url(&format!("/a?{n}"))).collect();
    let finished = curl
        .args(["-sS", "--http2", "--parallel", "--parallel-max", "40"])
        .args(["--cacert", &server.ca_file.display().to_string()])
        .args(["-w", "%{http_version} %{size_download}\n"])
        .args(
            urls.iter()
                .flat_map(|url| ["-o", "/dev/null", url.as_str()]),
        )
        .run();
    assert!(finished.succeeded(), "{finished}");
    let told = String::from_utf8_lossy(&finished.stdout);
    assert_eq!(
        told.lines().filter(|line| *line == "2 100000").count(),
        40,
        "{told}"
    );
}

/// Frames of any kind and content, most of them nonsense, some of them nearly right.
fn any_frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(block(GET, "/", &[])),
        Just(block(POST, "/large", &[("content-length", "5")])),
        Just(vec![0, 0, 0, 5]),
        Just(vec![0, 4, 0, 0, 0, 9]),
    ];
    let one = (0u8..11, any::<u8>(), 0u32..8, payload)
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
    proptest::collection::vec(one, 1..30).prop_map(|frames| frames.concat())
}

/// Whatever a client sends, its connection ends in order and nobody else's is harmed.
#[test]
fn a18_no_sequence_of_frames_hangs_or_harms_the_server() {
    let server = echo(Setup::default());
    let runner = &mut proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(150));
    runner
        .run(&any_frames(), |frames| {
            let mut client = Client::new(&server);
            // It may have been told to go away before all was sent.
            let _ = client.0.write_all(&frames);
            let _ = client.0.finish();
            let (_, ending) = client.0.read_to_ending().unwrap();
            prop_assert_eq!(ending, Ending::CloseNotify);
            Ok(())
        })
        .unwrap();
    let mut client = Client::new(&server);
    client.send(&get(1, "/"));
    assert_eq!(client.reply(1), Ok((OK, vec![])));
    drop(client);
    server.wait_idle();
}
