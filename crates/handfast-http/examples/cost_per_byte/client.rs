//! What a server sends over HTTP/2.

use std::time::Instant;

use handfast_http::h2::frame::{self, flag, kind, setting};
use handfast_http::h2::{Connection, Limits, NewRequest, Responses};
use http::{HeaderMap, Method};

use crate::{BYTES, STREAMS, filled, framed, headers, id, receive};

/// `:status: 200`, of the static table.
const OK: &[u8] = b"\x88";

/// `:status: 103`.
const EARLY_HINTS: &[u8] = b"\x08\x03103";

/// A client's end with this many requests that wait for a response, each with a body that waits for a window.
fn client(streams: u32) -> Connection<Responses, ()> {
    let now = Instant::now();
    let mut client = Connection::new(Limits::default(), now);
    let mut bytes = Vec::new();
    let settings = [
        (setting::INITIAL_WINDOW_SIZE, 0),
        (setting::MAX_CONCURRENT_STREAMS, STREAMS),
    ];
    frame::put_settings(&mut bytes, &settings);
    receive(&mut client, &bytes, now);
    let none = HeaderMap::new();
    let request = NewRequest {
        method: &Method::POST,
        authority: b"a",
        path: b"/",
        fields: &none,
        length: None,
        end: false,
    };
    for _ in 0..streams {
        if let Ok(stream) = client.open(&request, (), now) {
            client.want(stream, now);
        }
    }
    let count = client.output().len();
    client.output().sent(count);
    client
}

fn row(what: &str, streams: u32, bytes: &[u8]) {
    crate::row(what, || client(streams), bytes);
}

/// After a response's head on the first stream.
fn row_of_body(what: &str, bytes: &[u8]) {
    row(what, 1, &[&headers(1, OK), bytes].concat());
}

pub(crate) fn frames() {
    let data = |flags: u8, payload: &[u8]| framed(kind::DATA, flags, 1, payload);
    row_of_body("DATA, one frame", &data(0, &[b'x'; BYTES - 20]));
    row_of_body("DATA of 1 byte", &filled(|_| data(0, b"x")));
    row_of_body("DATA without any", &filled(|_| data(0, b"")));
    let padded = [&[255][..], &[0; 255]].concat();
    row_of_body("DATA of padding", &filled(|_| data(flag::PADDED, &padded)));
    row("HEADERS, responses of 128 streams", STREAMS, &{
        let end = flag::END_HEADERS | flag::END_STREAM;
        let all = (0..STREAMS).flat_map(|number| framed(kind::HEADERS, end, id(number), OK));
        all.collect::<Vec<_>>()
    });
    row(
        "HEADERS, interim responses",
        1,
        &filled(|_| headers(1, EARLY_HINTS)),
    );
    row("trailers of 128 streams", STREAMS, &{
        let end = flag::END_HEADERS | flag::END_STREAM;
        let both = |number| {
            let trailers = framed(kind::HEADERS, end, id(number), b"\x00\x01a\x00");
            [headers(id(number), OK), trailers].concat()
        };
        (0..STREAMS).flat_map(both).collect::<Vec<_>>()
    });
    row(
        "HEADERS of streams that were never opened",
        1,
        &filled(|number| headers(id(number) + 2, OK)),
    );
    row(
        "PUSH_PROMISE",
        1,
        &filled(|_| {
            framed(
                kind::PUSH_PROMISE,
                flag::END_HEADERS,
                1,
                &[0, 0, 0, 2, 0x88],
            )
        }),
    );
    row("CONTINUATION of 1 KiB", 1, &{
        let mut bytes = framed(kind::HEADERS, 0, 1, OK);
        for _ in 0..14 {
            bytes.extend(framed(kind::CONTINUATION, 0, 1, &[0x90; 1024]));
        }
        bytes
    });
    row("CONTINUATION without any", 1, &{
        let mut bytes = framed(kind::HEADERS, 0, 1, OK);
        bytes.extend(filled(|_| framed(kind::CONTINUATION, 0, 1, b"")));
        bytes
    });
    row(
        "PRIORITY",
        1,
        &filled(|_| framed(kind::PRIORITY, 0, 3, &[0; 5])),
    );
    row("RST_STREAM of closed streams", 1, &{
        filled(|_| framed(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]))
    });
    row(
        "SETTINGS without any",
        1,
        &filled(|_| framed(kind::SETTINGS, 0, 0, &[])),
    );
    let change = |value: u32| {
        let mut change = setting::INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        change.extend(value.to_be_bytes());
        change
    };
    let many: Vec<u8> = (0..2730).flat_map(|at| change(at % 2)).collect();
    row(
        "SETTINGS, 2,730 window changes, 128 streams",
        STREAMS,
        &framed(kind::SETTINGS, 0, 0, &many),
    );
    row(
        "SETTINGS of one window change, 128 streams",
        STREAMS,
        &filled(|number| framed(kind::SETTINGS, 0, 0, &change(number % 2))),
    );
    row("PING", 1, &filled(|_| framed(kind::PING, 0, 0, &[7; 8])));
    row("GOAWAY, 128 streams", STREAMS, &{
        filled(|number| {
            let last = 1000 - number.min(300);
            let payload = [&last.to_be_bytes()[..], &[0; 4]].concat();
            framed(kind::GOAWAY, 0, 0, &payload)
        })
    });
    row(
        "WINDOW_UPDATE of the connection, 128 streams",
        STREAMS,
        &filled(|_| framed(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
    );
    row(
        "WINDOW_UPDATE of 128 streams",
        STREAMS,
        &filled(|number| framed(kind::WINDOW_UPDATE, 0, id(number), &[0, 0, 0, 1])),
    );
    row(
        "PRIORITY_UPDATE",
        1,
        &filled(|_| framed(kind::PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1")),
    );
    row(
        "frames of an unknown kind",
        1,
        &filled(|_| framed(77, 0, 1, b"")),
    );
}

fn block_row(what: &str, front: &[u8], each: &[u8]) {
    let mut block = [OK, front].concat();
    while block.len() + each.len() <= BYTES {
        block.extend_from_slice(each);
    }
    row(what, 1, &headers(1, &block));
}

pub(crate) fn header_blocks() {
    block_row("indexed fields, static", b"", b"\x90");
    let large = [&b"\x40\x01x\x7f\xa8\x1e"[..], &[b'v'; 4007]].concat();
    block_row("indexed fields of 4 KiB each", &large, b"\xbe");
    block_row("literals of 4 bytes", b"", b"\x00\x01a\x00");
    block_row("literals that enter the table", b"", b"\x40\x01a\x00");
    block_row("literals, name indexed", b"", b"\x0f\x04\x01v");
    // `set-cookie`, of the static table: never joined.
    block_row("Set-Cookie fields of 1 byte", b"", b"\x0f\x28\x01c");
}
