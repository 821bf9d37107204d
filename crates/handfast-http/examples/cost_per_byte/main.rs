//! Measures the cost of a received byte in nanoseconds: 16 KiB of each kind of frame, header block instruction, chunk and
//! header line, passed to either end. `cargo run --release -p handfast-http --example cost_per_byte`

mod client;
mod http1;
mod server;

use std::hint::black_box;
use std::time::{Duration, Instant};

use handfast_http::h2::frame::{self, flag, kind};
use handfast_http::h2::{Connection, Event, Role};

/// What one run receives.
const BYTES: usize = 16 * 1024;

/// How long each row is measured; the fastest run is reported, because others were disturbed.
const FOR: Duration = Duration::from_millis(200);

const STREAMS: u32 = 128;

/// A number of the middle of them: their numbers are odd.
fn id(number: u32) -> u32 {
    2 * (number % STREAMS) + 1
}

fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put_header(&mut bytes, payload.len(), kind, flags, stream);
    bytes.extend_from_slice(payload);
    bytes
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

/// What an end does with received bytes: as its driver, without bodies and responses.
fn receive<R: Role>(end: &mut Connection<R, ()>, bytes: &[u8], now: Instant) {
    let mut rest = bytes;
    while let Some(event) = end.receive(&mut rest, now) {
        if let Event::Data { stream, body, .. } = event {
            end.release(stream, u32::try_from(body.len()).unwrap_or(u32::MAX));
        }
    }
}

/// The row of bytes that an end gets, which `made` prepares.
fn row<R: Role>(what: &str, made: impl Fn() -> Connection<R, ()>, bytes: &[u8]) {
    let now = Instant::now();
    let cut = 4096;
    let whole = measure(bytes.len(), &made, |end| {
        for piece in bytes.chunks(cut) {
            receive(end, piece, now);
            while end.turn().is_some() {}
            let count = end.output().len();
            end.output().sent(count);
        }
    });
    let mut end = made();
    receive(&mut end, bytes, now);
    let ends = if end.has_failed() { " yes" } else { "" };
    println!("| {what} | {whole:.1} |{ends} |");
}

fn table(title: &str) {
    println!("\n{title}\n");
    println!("| 16 KiB of | ns a byte | ends the connection |");
    println!("|---|---|---|");
}

fn main() {
    table("HTTP/2, the server's end:");
    server::frames();
    server::header_blocks();
    table("HTTP/2, the client's end:");
    client::frames();
    client::header_blocks();
    table("HTTP/1, requests:");
    http1::requests();
    table("HTTP/1, responses:");
    http1::responses();
    table("HTTP/1, bodies of both:");
    http1::bodies();
}
