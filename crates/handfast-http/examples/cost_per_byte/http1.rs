//! Heads and bodies of HTTP/1.

use std::hint::black_box;

use handfast_http::h1::{Body, Found, Framing, request, response};
use http::Method;

use crate::{BYTES, measure};

pub(crate) fn requests() {
    let bounds = request::Bounds {
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
                    if black_box(request::find(&bytes[..length], seen, bounds)).is_some() {
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
    heads(
        "blank lines, byte by byte (refused)",
        &b"\r\n".repeat(BYTES / 2),
        1,
    );
    let target = format!(
        "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
        "x".repeat(BYTES - 50)
    );
    heads("HTTP/1 request line", target.as_bytes(), 4096);
}

pub(crate) fn responses() {
    let bounds = response::Bounds {
        bytes_max: 32 * 1024,
        fields_max: 100,
    };
    let heads = |what: &str, bytes: &[u8], cut: usize| {
        let cost = measure(
            bytes.len(),
            || (),
            |()| {
                let (mut rest, mut seen, mut length) = (bytes, 0, 0);
                loop {
                    match black_box(response::find(&rest[..length], seen, bounds, &Method::GET)) {
                        // Another one follows, as after interim responses.
                        Some(Ok((_, used))) => {
                            (rest, seen, length) = (&rest[used..], 0, length - used);
                        }
                        None if length < rest.len() => {
                            seen = length;
                            length = (length + cut).min(rest.len());
                        }
                        _ => break,
                    }
                }
            },
        );
        println!("| {what} | {cost:.1} | |");
    };
    let start = "HTTP/1.1 200 OK\r\n";
    let long = format!("{start}X: {}\r\n\r\n", "y".repeat(BYTES - 40));
    heads("a head, one long line", long.as_bytes(), 4096);
    heads("the same, byte by byte", long.as_bytes(), 1);
    let few = format!("{start}{}\r\n", "a:b\r\n".repeat(100));
    heads("a head, 100 tiny lines", few.as_bytes(), 4096);
    let tiny = format!("{start}{}\r\n", "a:b\r\n".repeat((BYTES - 40) / 5));
    heads(
        "a head, tiny lines (refused: too many)",
        tiny.as_bytes(),
        4096,
    );
    heads("the same, byte by byte", tiny.as_bytes(), 1);
    let folded = format!("{start}a: b\r\n{}\r\n", " c\r\n".repeat((BYTES - 40) / 4));
    heads("a field in folded lines of 1 byte", folded.as_bytes(), 4096);
    let reason = format!("HTTP/1.1 200 {}\r\n\r\n", "r".repeat(BYTES - 40));
    heads("a reason phrase", reason.as_bytes(), 4096);
    heads(
        "blank lines, byte by byte (refused)",
        &b"\r\n".repeat(BYTES / 2),
        1,
    );
    let interim = "HTTP/1.1 100 \r\n\r\n".repeat(BYTES / 17);
    heads("interim responses", interim.as_bytes(), 4096);
}

pub(crate) fn bodies() {
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
    let trailers = |count: usize| [&b"0\r\n"[..], &b"a:b\r\n".repeat(count), b"\r\n"].concat();
    bodies("99 trailer lines", &trailers(99));
    bodies("trailer lines (refused: too many)", &trailers(3200));
}
