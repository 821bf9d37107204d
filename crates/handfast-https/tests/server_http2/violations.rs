//! What RFC 9113 forbids, and more than anyone should ask for: each with its code, and no harm done.

use std::io::Write as _;

use handfast::Ending;
use handfast_https::server::{CloseReason, Limits};
use proptest::prelude::*;

use super::client::*;
use super::server_common::Setup;

/// What breaks the connection, and the code that says why.
#[test]
fn violations_end_the_connection_with_their_code() {
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

/// While its reply is under way the stream ends; afterwards there is no such stream (RFC 9113, section 5.1).
#[test]
fn a_stream_is_not_opened_again() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&[get(1, "/"), get(1, "/"), get(3, "/")].concat());
    assert_eq!(client.reply(1), Err(STREAM_CLOSED));
    assert_eq!(client.reply(3), Ok((OK, vec![])));
    client.send(&get(3, "/"));
    assert_eq!(client.next_of(GOAWAY).u32_at(4), STREAM_CLOSED);
}

#[test]
fn what_is_no_preface_is_told_so() {
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
fn malformed_requests_end_their_stream_alone() {
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

/// A reply that no handler made waits for the client's windows as any other.
#[test]
fn the_answer_to_too_large_a_head_keeps_within_the_clients_window() {
    let server = echo(Setup::default());
    let mut client = Client::silent(&server);
    // Streams begin with a window of nothing.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let long = "x".repeat(120);
    let many: Vec<_> = std::iter::repeat_n(("x-long", &long[..]), 110).collect();
    let head = block(GET, "/", &many);
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head);
    client.send(&[PREFACE, &settings, &request].concat());
    let head = client.next_of(HEADERS);
    assert!(head.payload.windows(3).any(|part| part == b"431"));
    assert_eq!(head.flags & END_STREAM, 0, "a body is to come");
    let mut text = Vec::new();
    for window in [5u32, 1, 100_000] {
        // Nothing but the answer to the PING may come.
        client.send(&frame(PING, 0, 0, b"anymore?"));
        assert_eq!(client.next().unwrap().kind, PING);
        client.send(&frame(WINDOW_UPDATE, 0, 1, &window.to_be_bytes()));
        let data = client.next().unwrap();
        assert_eq!((data.kind, data.stream), (DATA, 1));
        assert!(data.payload.len() <= window as usize);
        assert_eq!(data.flags & END_STREAM != 0, window > 5);
        text.extend(data.payload);
    }
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text, "the header fields are too many or too long\n");
}

/// A tunnel is refused on its stream alone, whether or not bytes for it follow.
#[test]
fn a_tunnel_is_refused_and_the_other_streams_go_on() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    let head = [
        literal(":method", "CONNECT"),
        literal(":authority", "localhost:443"),
    ]
    .concat();
    client.send(&post(1, "/", &[]));
    for (stream, flags) in [(3, END_HEADERS | END_STREAM), (5, END_HEADERS)] {
        client.send(&frame(HEADERS, flags, stream, &head));
        let reply = client.next_of(HEADERS);
        assert_eq!(reply.stream, stream);
        let has = |text: &str| {
            let mut parts = reply.payload.windows(text.len());
            parts.any(|part| part == text.as_bytes())
        };
        assert!(has("405"), "{}", reply.payload.escape_ascii());
        let body = client.next_of(DATA);
        assert_eq!((body.stream, body.flags), (stream, END_STREAM));
        assert_eq!(body.payload, b"this server is not a proxy\n");
        if flags & END_STREAM == 0 {
            // No more is wanted of what should have gone through.
            let reset = client.next_of(RST_STREAM);
            assert_eq!((reset.stream, reset.u32_at(0)), (stream, 0));
            client.send(&frame(DATA, END_STREAM, stream, b"for the tunnel"));
        }
    }
    client.send(&frame(DATA, END_STREAM, 1, b"goes on"));
    assert_eq!(client.reply(1), Ok((OK, b"goes on".to_vec())));
    client.send(&get(7, "/"));
    assert_eq!(client.reply(7), Ok((OK, vec![])));
}

#[test]
fn more_streams_than_allowed_are_refused() {
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
fn floods_end_the_connection() {
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

/// Whatever a client sends, its connection ends in order and no other is harmed.
#[test]
fn no_sequence_of_frames_hangs_or_harms_the_server() {
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
