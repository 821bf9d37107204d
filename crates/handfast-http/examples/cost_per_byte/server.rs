//! What a client sends over HTTP/2.

use std::time::Instant;

use handfast_http::h2::frame::{self, flag, kind, setting};
use handfast_http::h2::hpack::encode;
use handfast_http::h2::{Connection, Limits, Requests};
use http::{HeaderMap, Method, StatusCode};

use crate::{BYTES, STREAMS, filled, framed, headers, id, receive};

fn row(what: &str, streams: u32, bytes: &[u8]) {
    crate::row(what, || server(streams), bytes);
}

fn request_block() -> Vec<u8> {
    let mut block = Vec::new();
    encode::put_request_line(&mut block, &Method::POST, b"a", b"/");
    block
}

/// A server's end with this many requests that wait for a response.
fn server(streams: u32) -> Connection<Requests, ()> {
    let limits = Limits {
        streams_max: STREAMS,
        ..Limits::default()
    };
    let now = Instant::now();
    let mut server = Connection::new(limits, now);
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame::put_settings(&mut bytes, &[(setting::INITIAL_WINDOW_SIZE, 0)]);
    for stream in 0..streams {
        bytes.extend(headers(2 * stream + 1, &request_block()));
    }
    receive(&mut server, &bytes, now);
    let none = HeaderMap::new();
    for stream in 0..streams {
        let id = 2 * stream + 1;
        server.put_head(id, StatusCode::OK, &none, None, None, false);
        server.want(id, now);
    }
    let count = server.output().len();
    server.output().sent(count);
    server
}

fn block_row(what: &str, front: &[u8], each: &[u8]) {
    let mut block = request_block();
    block.extend_from_slice(front);
    while block.len() + each.len() <= BYTES {
        block.extend_from_slice(each);
    }
    row(what, 0, &headers(1, &block));
}

pub(crate) fn frames() {
    row(
        "DATA, one frame",
        1,
        &framed(kind::DATA, 0, 1, &[b'x'; BYTES - 9]),
    );
    row(
        "DATA of 1 byte",
        1,
        &filled(|_| framed(kind::DATA, 0, 1, b"x")),
    );
    row(
        "DATA without any",
        1,
        &filled(|_| framed(kind::DATA, 0, 1, b"")),
    );
    let padded = [&[255][..], &[0; 255]].concat();
    row(
        "DATA of padding",
        1,
        &filled(|_| framed(kind::DATA, flag::PADDED, 1, &padded)),
    );
    let block = request_block();
    row(
        "HEADERS, requests",
        0,
        &filled(|number| headers(2 * number + 1, &block)),
    );
    row(
        "HEADERS and RST_STREAM",
        0,
        &filled(|number| {
            let mut pair = headers(2 * number + 1, &block);
            frame::put_rst_stream(&mut pair, 2 * number + 1, 8);
            pair
        }),
    );
    row(
        "HEADERS that are refused, 128 streams",
        STREAMS,
        &filled(|number| headers(2 * (STREAMS + number) + 1, &block)),
    );
    row("CONTINUATION of 1 KiB", 0, &{
        let mut bytes = framed(kind::HEADERS, 0, 1, &block);
        for _ in 0..14 {
            bytes.extend(framed(kind::CONTINUATION, 0, 1, &[0x82; 1024]));
        }
        bytes
    });
    row(
        "PRIORITY",
        1,
        &filled(|_| framed(kind::PRIORITY, 0, 3, &[0; 5])),
    );
    row("RST_STREAM of closed streams", 0, &{
        let mut bytes = headers(1, &block);
        bytes.extend(filled(|_| framed(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8])));
        bytes
    });
    row(
        "SETTINGS without any",
        0,
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
    row("PING", 0, &filled(|_| framed(kind::PING, 0, 0, &[7; 8])));
    row(
        "GOAWAY",
        0,
        &filled(|_| framed(kind::GOAWAY, 0, 0, &[0; 8])),
    );
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
    row("PING that is an answer", 0, &{
        filled(|_| framed(kind::PING, flag::ACK, 0, &[7; 8]))
    });
    let update = |stream: u32, value: &[u8]| {
        let payload = [&stream.to_be_bytes()[..], value].concat();
        framed(kind::PRIORITY_UPDATE, 0, 0, &payload)
    };
    row(
        "PRIORITY_UPDATE of 128 streams",
        STREAMS,
        &filled(|number| {
            let urgency = [
                b'u',
                b'=',
                b'0' + u8::try_from(number % 8).unwrap_or_default(),
            ];
            update(id(number), &urgency)
        }),
    );
    row(
        "PRIORITY_UPDATE of streams that are not open",
        0,
        &filled(|number| update(id(number), b"u=1")),
    );
    let long = b"u=1,".repeat(1000);
    row("PRIORITY_UPDATE of 4 KB", 1, &filled(|_| update(1, &long)));
    row("trailers", 0, &{
        let mut one = Vec::new();
        encode::put_field(&mut one, "a", b"", false);
        let flags = flag::END_HEADERS | flag::END_STREAM;
        filled(|number| {
            let stream = 2 * number + 1;
            let mut both = headers(stream, &block);
            both.extend(framed(kind::HEADERS, flags, stream, &one));
            both
        })
    });
    row(
        "frames of an unknown kind",
        0,
        &filled(|_| framed(77, 0, 1, b"")),
    );
}

pub(crate) fn header_blocks() {
    block_row("indexed fields, static", b"", b"\x90");
    let large = [&b"\x40\x01x\x7f\xa8\x1e"[..], &[b'v'; 4007]].concat();
    block_row("indexed fields of 4 KiB each", &large, b"\xbe");
    let method = [&b"\x42\x7f\xa0\x1e"[..], &[b'M'; 3999]].concat();
    block_row("indexed methods of 4 KiB each", &method, b"\xbe");
    block_row("literals of 4 bytes", b"", b"\x00\x01a\x00");
    block_row("literals that enter the table", b"", b"\x40\x01a\x00");
    block_row("literals, name indexed", b"", b"\x0f\x04\x01v");
    // 4,095 bytes of `a` in five bits each.
    let coded = b"\x18\xc6\x31\x8c\x63".repeat(819);
    let huffman = [&b"\x00\x01a\xff\x80\x1f"[..], &coded].concat();
    block_row("literals in Huffman code", b"", &huffman);
    // `cookie`, of the static table: pieces that are joined to one field.
    block_row("cookies in pieces of 1 byte", b"", b"\x0f\x11\x01c");
    block_row("the same from the table", b"\x60\x01c", b"\xbe");
    let priority = [&b"\x00\x08priority\x7f\xa1\x1e"[..], &b"u=1,".repeat(1000)].concat();
    block_row("a priority of 4 KB", b"", &priority);
    let sizes = [[0x20u8; BYTES].as_slice()].concat();
    row("table size updates", 0, &headers(1, &sizes));
}
