//! Measures the cost of a received byte in nanoseconds: 16 KiB of each kind of frame, header block instruction, chunk and
//! header line, passed to the server's end. `cargo run --release -p handfast-http --example cost_per_byte`

use std::hint::black_box;
use std::time::{Duration, Instant};

use handfast_http::h1::request::{Bounds, find};
use handfast_http::h1::{Body, Found, Framing};
use handfast_http::h2::frame::{self, flag, kind, setting};
use handfast_http::h2::hpack::encode;
use handfast_http::h2::{Connection, Event, Limits, Requests};
use http::{HeaderMap, Method, StatusCode};

/// What one run receives.
const BYTES: usize = 16 * 1024;

/// How long each row is measured; the fastest run is reported, because others were disturbed.
const FOR: Duration = Duration::from_millis(200);

const STREAMS: u32 = 128;

fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put_header(&mut bytes, payload.len(), kind, flags, stream);
    bytes.extend_from_slice(payload);
    bytes
}

fn request_block() -> Vec<u8> {
    let mut block = Vec::new();
    encode::put_request_line(&mut block, &Method::POST, b"a", b"/");
    block
}

fn headers(stream: u32, block: &[u8]) -> Vec<u8> {
    framed(kind::HEADERS, flag::END_HEADERS, stream, block)
}

/// Repeated up to [`BYTES`].
fn filled(mut each: impl FnMut(u32) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0.. {
        let next = each(number);
        if bytes.len() + next.len() > BYTES {
            return bytes;
        }
        bytes.extend_from_slice(&next);
    }
    bytes
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

fn receive(server: &mut Connection<Requests, ()>, bytes: &[u8], now: Instant) {
    let mut rest = bytes;
    while let Some(event) = server.receive(&mut rest, now) {
        if let Event::Data { stream, body, .. } = event {
            server.release(stream, body.len() as u32);
        }
    }
}

/// Nanoseconds per byte that `work` takes; `made` prepares its input, which is not measured.
fn measure<T>(bytes: usize, mut made: impl FnMut() -> T, mut work: impl FnMut(&mut T)) -> f64 {
    let began = Instant::now();
    let mut best = Duration::MAX;
    while began.elapsed() < FOR {
        let mut on = made();
        let start = Instant::now();
        work(&mut on);
        best = best.min(start.elapsed());
        black_box(on);
    }
    best.as_nanos() as f64 / bytes as f64
}

fn row(what: &str, streams: u32, bytes: &[u8]) {
    let now = Instant::now();
    let cut = 4096;
    let whole = measure(
        bytes.len(),
        || server(streams),
        |server| {
            for piece in bytes.chunks(cut) {
                receive(server, piece, now);
                while server.turn().is_some() {}
                let count = server.output().len();
                server.output().sent(count);
            }
        },
    );
    let mut end = server(streams);
    receive(&mut end, bytes, now);
    let ends = if end.has_failed() { "yes" } else { "" };
    println!("| {what} | {whole:.1} | {ends} |");
}

fn block_row(what: &str, front: &[u8], each: &[u8]) {
    let mut block = request_block();
    block.extend_from_slice(front);
    while block.len() + each.len() <= BYTES {
        block.extend_from_slice(each);
    }
    row(what, 0, &headers(1, &block));
}

fn main() {
    println!("| 16 KiB of | ns a byte | ends the connection |");
    println!("|---|---|---|");
    http2();
    header_blocks();
    http1();
}

fn http2() {
    let id = |number: u32| 2 * (number % STREAMS) + 1;
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
    row(
        "frames of an unknown kind",
        0,
        &filled(|_| framed(77, 0, 1, b"")),
    );
}

fn header_blocks() {
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
    let sizes = [[0x20u8; BYTES].as_slice()].concat();
    row("table size updates", 0, &headers(1, &sizes));
}

fn http1() {
    let bounds = Bounds {
        bytes_max: 32 * 1024,
        fields_max: 100,
    };
    let heads = |what: &str, bytes: &[u8], cut: usize| {
        let cost = measure(
            bytes.len(),
            || (),
            |()| {
                let mut seen = 0;
                let mut length = 0;
                while length < bytes.len() {
                    length = (length + cut).min(bytes.len());
                    if black_box(find(&bytes[..length], seen, bounds)).is_some() {
                        break;
                    }
                    seen = length;
                }
            },
        );
        println!("| {what} | {cost:.1} | |");
    };
    let start = "GET / HTTP/1.1\r\nHost: a\r\n";
    let long = format!("{start}X: {}\r\n\r\n", "y".repeat(BYTES - 40));
    heads("HTTP/1 head, one long line", long.as_bytes(), 4096);
    heads("the same, byte by byte", long.as_bytes(), 1);
    let tiny = format!("{start}{}\r\n", "a:b\r\n".repeat((BYTES - 40) / 5));
    heads(
        "HTTP/1 head, tiny lines (refused: too many)",
        tiny.as_bytes(),
        4096,
    );
    heads("the same, byte by byte", tiny.as_bytes(), 1);
    let few = format!("{start}{}\r\n", "a:b\r\n".repeat(98));
    heads("HTTP/1 head, 99 tiny lines", few.as_bytes(), 4096);
    heads("blank lines, byte by byte", &b"\r\n".repeat(BYTES / 2), 1);
    let target = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "x".repeat(BYTES - 50)
    );
    heads("HTTP/1 request line", target.as_bytes(), 4096);

    let bodies = |what: &str, bytes: &[u8]| {
        let cost = measure(
            bytes.len(),
            || Body::new(Framing::Chunked),
            |body| {
                let mut rest = bytes;
                while let Ok(Found::Piece(piece)) = body.read(&mut rest) {
                    black_box(piece);
                }
            },
        );
        println!("| {what} | {cost:.1} | |");
    };
    bodies("chunks of 1 byte", &b"1\r\nx\r\n".repeat(BYTES / 6));
    let chunk = [&b"1;"[..], &[b'e'; 4000], b"\r\nx\r\n"].concat();
    bodies("chunk extensions of 4,000 bytes", &chunk.repeat(4));
    bodies("one chunk", &[&b"4000\r\n"[..], &[b'x'; 0x4000]].concat());
    let trailers = [&b"0\r\n"[..], &b"a:b\r\n".repeat(1600), b"\r\n"].concat();
    bodies("trailer lines", &trailers);
}
