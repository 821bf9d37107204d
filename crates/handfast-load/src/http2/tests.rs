use proptest::prelude::*;

use bytes::Bytes;
use handfast_http::h2::frame::{self, FrameReader, Piece, flag, kind};

use super::super::plan::Plan;
use super::*;
use crate::plan::Target;

fn encoded(body: &'static [u8]) -> Encoded {
    let mut plan = Plan::new(Target::parse("https://localhost/x").unwrap());
    plan.request.body = Bytes::from_static(body);
    Encoded::new(&plan)
}

/// The server's frames, written by the functions that write the client's.
#[derive(Default)]
struct Server(Vec<u8>);

impl Server {
    fn settings(mut self, settings: &[(u16, u32)]) -> Self {
        frame::put_settings(&mut self.0, settings);
        self
    }

    fn headers(mut self, stream: u32, block: &[u8], end: bool, frame_max: usize) -> Self {
        frame::put_headers(&mut self.0, stream, [&[], block], end, frame_max);
        self
    }

    fn data(mut self, stream: u32, part: &[u8], end: bool) -> Self {
        frame::put_data(&mut self.0, stream, part, end);
        self
    }

    fn raw(mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        frame::put_header(&mut self.0, payload.len(), kind, flags, stream);
        self.0.extend_from_slice(payload);
        self
    }
}

type Results = Vec<(u32, Result<Response, Broken>)>;

/// Three requests, tagged 1, 2, 3 on streams 1, 3, 5, and what a stream of bytes makes of them.
fn play(pieces: &[&[u8]], body: &'static [u8]) -> (Results, Result<(), Broken>, Vec<u8>) {
    let request = encoded(body);
    let mut session = Session::new(8);
    for tag in 1..=3 {
        session.start(&request, tag);
    }
    sent(&mut session, &request);
    let mut out = Vec::new();
    let mut done = Vec::new();
    let mut result = Ok(());
    for piece in pieces {
        if result.is_ok() {
            result = session.feed(piece, Instant::now(), &mut done);
            out.extend(sent(&mut session, &request));
        }
    }
    session.end(Ending::Premature, &mut done);
    let mut results: Results = done.into_iter().map(|one| (one.tag, one.result)).collect();
    results.sort_by_key(|(tag, _)| *tag);
    (results, result, out)
}

/// Takes the output of a session.
fn sent<T>(session: &mut Session<T>, request: &Encoded) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let output = session.output(request);
        if output.is_empty() {
            return all;
        }
        all.extend_from_slice(output.as_slice());
        output.sent(output.len());
    }
}

const OK: fn(u64) -> Result<Response, Broken> = |body_bytes| {
    Ok(Response {
        status: 200,
        body_bytes,
    })
};

#[test]
fn streams_finish_in_any_order_and_bodies_are_counted_without_padding() {
    let server = Server::default()
        .settings(&[])
        .headers(5, b"\x88\x00\x01a\x01b", false, 2)
        .raw(
            kind::HEADERS,
            flag::END_HEADERS | flag::PADDED | flag::PRIORITY,
            1,
            b"\x02\0\0\0\0\x10\x88zz",
        )
        .data(5, b"hello", true)
        .raw(kind::DATA, flag::PADDED, 1, b"\x03abc\0\0\0")
        .headers(3, b"\x08\x03103", false, 100)
        .headers(3, b"\x8d", true, 100)
        .raw(0xbe, 0xff, 7, b"unknown")
        .raw(kind::PING, 0, 0, b"pingpong")
        .headers(1, b"\x00\x01t\x01u", true, 100);
    let (results, result, out) = play(&[&server.0], b"");
    assert_eq!(result, Ok(()));
    let expected = vec![
        (1, OK(3)),
        (
            2,
            Ok(Response {
                status: 404,
                body_bytes: 0,
            }),
        ),
        (3, OK(5)),
    ];
    assert_eq!(results, expected);
    let mut answers = Vec::new();
    frame::put_settings_ack(&mut answers);
    frame::put_ping_ack(&mut answers, *b"pingpong");
    assert_eq!(out, answers);
}

#[test]
fn a_stream_without_its_end_is_truncated() {
    let server = Server::default()
        .settings(&[])
        .headers(1, b"\x88", false, 100)
        .data(1, b"hel", false)
        .headers(3, b"\x88", false, 100)
        .raw(kind::RST_STREAM, 0, 3, &2u32.to_be_bytes())
        .raw(kind::RST_STREAM, 0, 5, &7u32.to_be_bytes());
    let (results, result, _) = play(&[&server.0], b"");
    assert_eq!(result, Ok(()));
    let expected = vec![
        (1, Err(Broken::Truncated(Ending::Premature))),
        (
            2,
            Err(Broken::StreamReset {
                code: 2,
                begun: true,
            }),
        ),
        (
            3,
            Err(Broken::StreamReset {
                code: 7,
                begun: false,
            }),
        ),
    ];
    assert_eq!(results, expected);
}

#[test]
fn requests_before_a_goaway_are_finished() {
    let mut payload = 1u32.to_be_bytes().to_vec();
    payload.extend_from_slice(&0u32.to_be_bytes());
    let server = Server::default()
        .settings(&[])
        .raw(kind::GOAWAY, 0, 0, &payload)
        .headers(1, b"\x88", true, 100);
    let (results, result, _) = play(&[&server.0], b"");
    assert_eq!(result, Ok(()));
    let gone = || {
        Err(Broken::GoAway {
            code: 0,
            refused: true,
        })
    };
    assert_eq!(results, vec![(1, OK(0)), (2, gone()), (3, gone())]);
}

#[test]
fn protocol_violations_end_the_connection() {
    let begun = || Server::default().settings(&[]);
    for (what, server) in [
        (
            "no settings",
            Server::default().headers(1, b"\x88", true, 100),
        ),
        (
            "stream never opened",
            begun().headers(7, b"\x88", true, 100),
        ),
        ("even stream", begun().data(2, b"x", false)),
        (
            "push",
            begun().raw(kind::PUSH_PROMISE, flag::END_HEADERS, 1, b"\0\0\0\x02\x88"),
        ),
        (
            "interrupted block",
            begun()
                .raw(kind::HEADERS, 0, 1, b"\x88")
                .data(1, b"x", false),
        ),
        (
            "continuation of nothing",
            begun().raw(kind::CONTINUATION, flag::END_HEADERS, 1, b"\x88"),
        ),
        ("bad hpack", begun().headers(1, b"\xbe", true, 100)),
        ("too large", begun().raw(0x42, 0, 0, &[0; 16_385])),
        (
            "padding",
            begun().raw(kind::DATA, flag::PADDED, 1, b"\x05abc"),
        ),
        (
            "no increment",
            begun().raw(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
        ),
        (
            "window",
            begun().raw(kind::WINDOW_UPDATE, 0, 0, &WINDOW_MAX.to_be_bytes()),
        ),
        ("ping", begun().raw(kind::PING, 0, 0, b"short")),
    ] {
        let (_, result, out) = play(&[&server.0], b"");
        let Err(Broken::Malformed(words)) = result else {
            panic!("{what}: {result:?}");
        };
        // The GOAWAY has the same text.
        let length = 17 + words.len();
        let goaway = out.len().checked_sub(length).map(|at| &out[at..]);
        assert_eq!(
            goaway.and_then(|frame| frame.get(3)),
            Some(&kind::GOAWAY),
            "{what}"
        );
    }
}

#[test]
fn stream_errors_end_the_stream() {
    let begun = || Server::default().settings(&[]);
    for (what, server) in [
        ("a body before its head", begun().data(1, b"x", false)),
        (
            "a response without a status",
            begun().headers(1, b"\x00\x01a\x01b", true, 100),
        ),
        (
            "the :status is malformed",
            begun().headers(1, b"\x08\x04+200", true, 100),
        ),
        (
            "a second head, or trailers that do not end their stream",
            begun()
                .headers(1, b"\x88", false, 100)
                .headers(1, b"\x88", false, 100),
        ),
        (
            "a body longer than announced",
            begun()
                .headers(1, b"\x88\x0f\x0d\x011", false, 100)
                .data(1, b"two", false),
        ),
        (
            "a body shorter than announced",
            begun()
                .headers(1, b"\x88\x0f\x0d\x011", false, 100)
                .data(1, b"", true),
        ),
    ] {
        let server = server.headers(3, b"\x88", true, 100);
        let (results, result, _) = play(&[&server.0], b"");
        assert_eq!(result, Ok(()), "{what}");
        assert_eq!(results[0], (1, Err(Broken::malformed(what))));
        assert_eq!(results[1], (2, OK(0)), "{what}");
    }
}

#[test]
fn bodies_keep_to_the_server_s_windows() {
    static BODY: [u8; 40_000] = [b'x'; 40_000];
    let request = encoded(&BODY);
    let mut session = Session::new(8);
    let mut done = Vec::<Finished<u32>>::new();
    sent(&mut session, &request);
    session.start(&request, 1);
    assert_eq!(data_bytes(&sent(&mut session, &request)), 40_000);
    session.start(&request, 2);
    // 65535 bytes for the whole connection: all of the first body, part of the second.
    assert_eq!(data_bytes(&sent(&mut session, &request)), 25_535);
    let server = Server::default()
        .settings(&[(frame::setting::INITIAL_WINDOW_SIZE, 30_000)])
        .raw(kind::WINDOW_UPDATE, 0, 0, &100_000u32.to_be_bytes());
    session.feed(&server.0, Instant::now(), &mut done).unwrap();
    let out = sent(&mut session, &request);
    // The stream's window shrank to 30000, of which 25535 are used.
    assert_eq!(data_bytes(&out), 30_000 - 25_535);
    let server = Server::default().raw(kind::WINDOW_UPDATE, 0, 3, &100_000u32.to_be_bytes());
    session.feed(&server.0, Instant::now(), &mut done).unwrap();
    assert_eq!(data_bytes(&sent(&mut session, &request)), 10_000);
}

#[test]
fn a_server_without_a_table_gets_literals() {
    let request = encoded(b"");
    let mut session = Session::new(8);
    let mut done = Vec::<Finished<u32>>::new();
    session.start(&request, 1);
    let server = Server::default().settings(&[
        (frame::setting::HEADER_TABLE_SIZE, 0),
        (frame::setting::MAX_CONCURRENT_STREAMS, 2),
    ]);
    session.feed(&server.0, Instant::now(), &mut done).unwrap();
    sent(&mut session, &request);
    session.start(&request, 2);
    assert!(!session.has_room());
    let out = sent(&mut session, &request);
    assert_eq!(out.get(9), Some(&0x20));
    assert_eq!(&out[10..], &request.blocks.literal[..]);
}

fn data_bytes(frames: &[u8]) -> u64 {
    let mut bytes = 0;
    let (mut reader, mut rest) = (FrameReader::default(), frames);
    while let Ok(Some(piece)) = reader.next(&mut rest) {
        if let Piece::Data { body, .. } = piece {
            bytes += body.len() as u64;
        }
    }
    bytes
}

proptest! {
    #[test]
    fn fragmentation_does_not_change_the_result(cuts in proptest::collection::vec(1usize..30, 0..60)) {
        let server = Server::default()
            .settings(&[(frame::setting::HEADER_TABLE_SIZE, 100)])
            .headers(3, b"\x88\x40\x01a\x82\x64\x02", false, 3)
            .data(3, &[7; 100], false)
            .raw(kind::DATA, flag::PADDED, 3, b"\x03abc\0\0\0")
            .raw(kind::DATA, flag::PADDED | flag::END_STREAM, 3, b"\x00")
            .raw(kind::PING, 0, 0, b"pingpong")
            .headers(1, b"\x8d\xbe", true, 100)
            .headers(5, b"\x88", false, 100)
            .data(5, b"", true);
        let mut pieces = Vec::new();
        let mut rest = &server.0[..];
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let whole = play(&[&server.0], b"body");
        prop_assert_eq!(&whole.1, &Ok(()));
        prop_assert_eq!(whole.0.len(), 3);
        prop_assert!(whole.0.iter().all(|(_, result)| result.is_ok()));
        prop_assert_eq!(play(&pieces, b"body"), whole);
    }

    #[test]
    fn arbitrary_frames_never_panic(
        frames in proptest::collection::vec((0u8..11, any::<u8>(), 0u32..8, proptest::collection::vec(any::<u8>(), 0..20)), 0..20),
        garbage in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let server = frames.iter().fold(Server::default().settings(&[]), |server, (kind, flags, stream, payload)| {
            server.raw(*kind, *flags, *stream, payload)
        });
        let (results, _, _) = play(&[&server.0, &garbage], b"body");
        prop_assert_eq!(results.len(), 3);
    }
}
