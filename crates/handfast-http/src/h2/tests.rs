//! Two ends of a connection; the tests control the wire and the clock.

mod priorities;
mod trailers;
mod windows;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode};
use proptest::prelude::*;

use super::connection::{CannotOpen, Connection, NewRequest};
use super::frame::{self, code, flag, kind, setting};
use super::hpack::encode;
use super::request::Requests;
use super::response::Responses;
use super::{Cut, Event, Limits, Turn};

type Server = Connection<Requests, Exchange>;
type Client = Connection<Responses, Exchange>;

/// The tests' data for each stream.
#[derive(Debug, Default)]
struct Exchange {
    to_send: usize,
    received: usize,
    ended: bool,
}

/// How a stream ended at one end.
#[derive(Debug, PartialEq, Eq, Clone)]
enum Outcome {
    Whole(usize),
    Lost(Cut),
}

const CLOCK: Duration = Duration::from_millis(1);

fn limits() -> Limits {
    Limits {
        streams_max: 100,
        stream_window: 65_535,
        connection_window: 65_535,
        ..Limits::default()
    }
}

fn get(fields: &HeaderMap) -> NewRequest<'_> {
    NewRequest {
        method: &Method::GET,
        authority: b"a",
        path: b"/",
        fields,
        length: None,
        end: true,
    }
}

fn post(fields: &HeaderMap, length: u64) -> NewRequest<'_> {
    NewRequest {
        method: &Method::POST,
        length: Some(length),
        end: false,
        ..get(fields)
    }
}

/// Sends the pending data of one end's streams.
fn pump<R: super::Role>(end: &mut Connection<R, Exchange>, now: Instant) {
    while let Some(turn) = end.turn() {
        let Some(own) = end.own(turn.stream) else {
            continue;
        };
        let count = own.to_send.min(turn.room);
        own.to_send -= count;
        let left = own.to_send;
        end.put_data(turn, &vec![7; count], left == 0);
        if left > 0 {
            end.want(turn.stream, now);
        }
    }
}

/// A server that responds to every complete request with a body of `size` bytes.
#[derive(Debug)]
struct Pair {
    server: Server,
    client: Client,
    size: usize,
    now: Instant,
    at_client: HashMap<u32, Outcome>,
    at_server: HashMap<u32, Outcome>,
    failed: Option<&'static str>,
    /// Bytes in flight in each direction.
    wire: [Vec<u8>; 2],
}

impl Pair {
    fn new(size: usize) -> Self {
        let now = Instant::now();
        Self {
            server: Server::new(limits(), now),
            client: Client::new(limits(), now),
            size,
            now,
            at_client: HashMap::new(),
            at_server: HashMap::new(),
            failed: None,
            wire: [Vec::new(), Vec::new()],
        }
    }

    fn serve(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(event) = self.server.receive(&mut rest, self.now) {
            match event {
                Event::Head { stream, end, .. } => {
                    if end {
                        self.answer(stream);
                    }
                }
                Event::TooLarge { stream, .. } => {
                    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                    let none = HeaderMap::new();
                    self.server
                        .put_head(stream, status, &none, None, None, true);
                }
                Event::Data { stream, body, end } => {
                    let count = body.len() as u32;
                    if let Some(own) = self.server.own(stream) {
                        own.received += body.len();
                        own.ended |= end;
                    }
                    self.server.release(stream, count);
                    if end {
                        self.answer(stream);
                    }
                }
                Event::Trailers { stream, .. } => self.answer(stream),
                Event::Lost { stream, cut, .. } => {
                    self.at_server.insert(stream, Outcome::Lost(cut));
                }
                Event::BodyCut { stream } => {
                    self.server.reset(stream, code::CANCEL);
                }
                Event::Going { .. } => {}
                Event::Failed(violation) => self.failed = Some(violation.what),
            }
        }
        pump(&mut self.server, self.now);
    }

    fn answer(&mut self, stream: u32) {
        let (size, now) = (self.size, self.now);
        let Some(own) = self.server.own(stream) else {
            return;
        };
        let received = own.received;
        own.to_send = size;
        self.at_server.insert(stream, Outcome::Whole(received));
        let none = HeaderMap::new();
        let length = Some(size as u64);
        self.server
            .put_head(stream, StatusCode::OK, &none, length, None, size == 0);
        if size > 0 {
            self.server.want(stream, now);
        }
    }

    fn fetch(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(event) = self.client.receive(&mut rest, self.now) {
            match event {
                Event::Head { stream, end, .. } if end => {
                    self.at_client.insert(stream, Outcome::Whole(0));
                }
                Event::Data { stream, body, end } => {
                    let mut received = 0;
                    if let Some(own) = self.client.own(stream) {
                        own.received += body.len();
                        received = own.received;
                    }
                    let count = body.len() as u32;
                    self.client.release(stream, count);
                    if end {
                        self.at_client.insert(stream, Outcome::Whole(received));
                    }
                }
                Event::Lost { stream, cut, .. } => {
                    self.at_client.entry(stream).or_insert(Outcome::Lost(cut));
                }
                Event::Failed(violation) => self.failed = Some(violation.what),
                _ => {}
            }
        }
        pump(&mut self.client, self.now);
    }

    /// Both ends send at most `count` bytes, and receive them.
    fn step(&mut self, count: usize) {
        self.now += CLOCK;
        pump(&mut self.client, self.now);
        for (out, wire) in [(self.client.output(), 0), (self.server.output(), 1)] {
            let some = count.min(out.len());
            self.wire[wire].extend_from_slice(&out.as_slice()[..some]);
            out.sent(some);
        }
        let to_server = std::mem::take(&mut self.wire[0]);
        self.serve(&to_server);
        let to_client = std::mem::take(&mut self.wire[1]);
        self.fetch(&to_client);
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.step(1 << 20);
            if self.client.output().is_empty() && self.server.output().is_empty() {
                break;
            }
        }
    }

    fn open(&mut self, to_send: usize) -> u32 {
        let fields = HeaderMap::new();
        let own = Exchange {
            to_send,
            ..Exchange::default()
        };
        let id = match to_send {
            0 => self.client.open(&get(&fields), own, self.now),
            length => {
                let id = self
                    .client
                    .open(&post(&fields, length as u64), own, self.now);
                self.client.want(id.unwrap(), self.now);
                id
            }
        };
        id.unwrap()
    }
}

/// A server; the test writes the client's bytes.
struct Wire {
    server: Server,
    now: Instant,
    heads: Vec<u32>,
    lost: Vec<(u32, Cut)>,
    failed: Option<super::Violation>,
}

impl Wire {
    fn new() -> Self {
        let now = Instant::now();
        let mut wire = Self {
            server: Server::new(limits(), now),
            now,
            heads: Vec::new(),
            lost: Vec::new(),
            failed: None,
        };
        let mut bytes = frame::PREFACE.to_vec();
        frame::put_settings(&mut bytes, &[]);
        wire.send(&bytes);
        wire
    }

    fn send(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(event) = self.server.receive(&mut rest, self.now) {
            match event {
                Event::Head { stream, .. } | Event::TooLarge { stream, .. } => {
                    self.heads.push(stream);
                }
                Event::Lost { stream, cut, .. } => self.lost.push((stream, cut)),
                Event::Failed(violation) => self.failed = Some(violation),
                _ => {}
            }
        }
    }

    fn request(&mut self, stream: u32, flags: u8) {
        self.request_with(stream, flags, &HeaderMap::new());
    }

    fn request_with(&mut self, stream: u32, flags: u8, fields: &HeaderMap) {
        let mut block = Vec::new();
        encode::put_request_line(&mut block, &Method::GET, b"a", b"/");
        encode::put_fields(&mut block, fields);
        let mut bytes = Vec::new();
        frame::put_header(
            &mut bytes,
            block.len(),
            kind::HEADERS,
            flags | flag::END_HEADERS,
            stream,
        );
        bytes.extend_from_slice(&block);
        self.send(&bytes);
    }

    /// Frames in the output: kind, stream, payload.
    fn frames(&mut self) -> Vec<(u8, u32, Vec<u8>)> {
        let mut frames = Vec::new();
        let out = self.server.output();
        let mut rest = out.as_slice();
        while let [l0, l1, l2, kind, _, s0, s1, s2, s3, after @ ..] = rest {
            let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
            let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
            frames.push((*kind, stream, after[..length].to_vec()));
            rest = &after[length..];
        }
        let count = out.len();
        out.sent(count);
        frames
    }

    fn windows(&mut self, size: u32) {
        let mut bytes = Vec::new();
        frame::put_settings(&mut bytes, &[(setting::INITIAL_WINDOW_SIZE, size)]);
        self.send(&bytes);
    }

    fn reply(&mut self, stream: u32, size: usize) {
        self.server.own(stream).unwrap().to_send = size;
        let none = HeaderMap::new();
        self.server
            .put_head(stream, StatusCode::OK, &none, None, None, false);
        self.server.want(stream, self.now);
        pump(&mut self.server, self.now);
    }

    /// Sends all output, and the data that can follow it.
    fn flush(&mut self) {
        while !self.frames().is_empty() {
            pump(&mut self.server, self.now);
        }
    }

    fn events(&mut self) {
        self.send(&[]);
    }
}

#[test]
fn requests_and_replies_arrive_complete() {
    for (request, reply) in [
        (0, 0),
        (0, 1),
        (1, 0),
        (0, 500_000),
        (500_000, 0),
        (300_000, 300_000),
    ] {
        let mut pair = Pair::new(reply);
        let ids: Vec<u32> = (0..5).map(|_| pair.open(request)).collect();
        pair.settle();
        assert_eq!(pair.failed, None);
        for id in ids {
            assert_eq!(pair.at_server[&id], Outcome::Whole(request));
            assert_eq!(pair.at_client[&id], Outcome::Whole(reply));
        }
        pair.client.receive(&mut &[][..], pair.now);
        pair.server.receive(&mut &[][..], pair.now);
        assert_eq!((pair.client.streams(), pair.server.streams()), (0, 0));
    }
}

#[test]
fn frames_of_streams_after_the_goaway_are_ignored() {
    let mut wire = Wire::new();
    wire.request(1, flag::END_STREAM);
    wire.server.wind_up();
    wire.request(3, flag::END_STREAM);
    let mut bytes = Vec::new();
    frame::put_header(&mut bytes, 8, kind::PING, flag::ACK, 0);
    bytes.extend_from_slice(&super::connection::LAST_CALL);
    wire.send(&bytes);
    wire.request(5, 0);
    let mut data = Vec::new();
    frame::put_data(&mut data, 5, b"body", true);
    frame::put_window_update(&mut data, 5, 100);
    frame::put_rst_stream(&mut data, 5, code::CANCEL);
    wire.send(&data);
    assert_eq!(wire.failed, None);
    assert_eq!(wire.heads, [1, 3]);
    for stream in [1, 3] {
        wire.reply(stream, 3);
    }
    wire.events();
    assert!(wire.server.is_done());
}

#[test]
fn a_request_after_the_clients_goaway_is_served() {
    let mut wire = Wire::new();
    wire.request(1, flag::END_STREAM);
    let mut bytes = Vec::new();
    frame::put_goaway(&mut bytes, 0, code::NO_ERROR, b"");
    wire.send(&bytes);
    wire.request(3, flag::END_STREAM);
    assert_eq!(wire.failed, None);
    assert_eq!(wire.heads, [1, 3]);
    wire.reply(1, 3);
    wire.reply(3, 3);
    wire.events();
    assert!(wire.server.is_done());
}

#[test]
fn a_rapid_reset_ends_the_connection_and_cancelled_replies_do_not() {
    let mut wire = Wire::new();
    let reset = |wire: &mut Wire, replies: bool| {
        for stream in (1..4000).step_by(2) {
            let stream = wire.server.last + stream - stream + 2 - u32::from(wire.server.last == 0);
            wire.request(stream, flag::END_STREAM);
            if wire.failed.is_some() {
                return;
            }
            if replies {
                wire.reply(stream, 100_000);
                wire.frames();
                let mut update = Vec::new();
                frame::put_window_update(&mut update, 0, 65_535);
                wire.send(&update);
            }
            let mut bytes = Vec::new();
            frame::put_rst_stream(&mut bytes, stream, code::CANCEL);
            wire.send(&bytes);
        }
    };
    reset(&mut wire, true);
    assert_eq!(wire.failed, None);
    reset(&mut wire, false);
    assert_eq!(wire.failed.unwrap().code, code::ENHANCE_YOUR_CALM);
}

#[test]
fn a_reset_after_the_head_alone_counts_as_cancelled() {
    let mut wire = Wire::new();
    for stream in (1..4000).step_by(2) {
        wire.request(stream, flag::END_STREAM);
        if wire.failed.is_some() {
            break;
        }
        let none = HeaderMap::new();
        wire.server
            .put_head(stream, StatusCode::OK, &none, Some(9), None, false);
        wire.frames();
        let mut bytes = Vec::new();
        frame::put_rst_stream(&mut bytes, stream, code::CANCEL);
        wire.send(&bytes);
    }
    assert_eq!(wire.failed.unwrap().code, code::ENHANCE_YOUR_CALM);
}

#[test]
fn lost_requests_are_marked_if_safe_to_send_again() {
    let mut pair = Pair::new(100_000);
    let ids: Vec<u32> = (0..4).map(|_| pair.open(0)).collect();
    pair.settle();
    let more: Vec<u32> = (0..4).map(|_| pair.open(0)).collect();
    let mut bytes = Vec::new();
    frame::put_goaway(&mut bytes, more[1], code::NO_ERROR, b"bye");
    frame::put_rst_stream(&mut bytes, more[0], code::REFUSED_STREAM);
    frame::put_rst_stream(&mut bytes, more[1], code::INTERNAL_ERROR);
    pair.fetch(&bytes);
    assert_eq!(pair.failed, None);
    for id in ids {
        assert_eq!(pair.at_client[&id], Outcome::Whole(100_000));
    }
    let safe: Vec<bool> = more
        .iter()
        .map(|id| match pair.at_client[id] {
            Outcome::Lost(cut) => cut.is_unprocessed(),
            Outcome::Whole(_) => panic!("{id}"),
        })
        .collect();
    assert_eq!(safe, [true, false, true, true]);
    let fields = HeaderMap::new();
    let again = pair
        .client
        .open(&get(&fields), Exchange::default(), pair.now);
    assert_eq!(again, Err(CannotOpen::Going));
}

/// As many as the flood limit allows at a time.
#[test]
fn a_closed_window_does_not_make_the_queue_grow() {
    let mut wire = Wire::new();
    wire.request(1, flag::END_STREAM);
    wire.reply(1, 100_000);
    for stream in (3..1000).step_by(2) {
        wire.request(stream, flag::END_STREAM);
        wire.reply(stream, 10);
        wire.frames();
        let mut bytes = Vec::new();
        frame::put_rst_stream(&mut bytes, stream, code::CANCEL);
        wire.send(&bytes);
    }
    assert_eq!(wire.failed, None);
    assert!(wire.server.queue.len() <= 1, "{}", wire.server.queue.len());
    assert!(wire.server.memory_held() < 8 * 1024);
}

#[test]
fn a_server_may_send_on_any_number_of_streams_that_were_reset() {
    let mut pair = Pair::new(0);
    pair.settle();
    let mut late = Vec::new();
    for round in 0..5 {
        let ids: Vec<u32> = (0..100).map(|_| pair.open(0)).collect();
        for id in ids {
            frame::put_header(&mut late, 1, kind::HEADERS, flag::END_HEADERS, id);
            late.push(0x88);
            frame::put_data(&mut late, id, b"late", true);
            pair.client.reset(id, code::CANCEL);
        }
        assert_eq!(pair.failed, None, "{round}");
    }
    pair.fetch(&late);
    assert_eq!(pair.failed, None);
}

#[test]
fn limits_below_the_protocols_windows_are_raised() {
    let none = Limits {
        stream_window: 0,
        connection_window: 0,
        ..limits()
    };
    let mut wire = Wire::new();
    wire.server = Server::new(none, wire.now);
    wire.frames();
    let mut bytes = frame::PREFACE.to_vec();
    frame::put_settings(&mut bytes, &[]);
    wire.send(&bytes);
    wire.request(1, 0);
    let mut bytes = Vec::new();
    for _ in 0..4 {
        frame::put_data(&mut bytes, 1, &[0; 16_000], false);
    }
    wire.send(&bytes);
    wire.server.release(1, 0);
    assert_eq!(wire.failed, None);
    // No WINDOW_UPDATE of zero.
    let empty = 0u32.to_be_bytes().to_vec();
    assert!(
        wire.frames()
            .iter()
            .all(|(_, _, payload)| *payload != empty)
    );
}

#[test]
fn a_client_opens_no_more_streams_than_the_server_allows() {
    let mut pair = Pair::new(10);
    pair.settle();
    let fields = HeaderMap::new();
    for _ in 0..100 {
        pair.open(0);
    }
    let beyond = pair
        .client
        .open(&get(&fields), Exchange::default(), pair.now);
    assert_eq!(beyond, Err(CannotOpen::Full));
    pair.settle();
    assert_eq!(pair.at_client.len(), 100);
    pair.open(0);
}

#[test]
fn padding_counts_for_windows_and_is_given_back() {
    let mut wire = Wire::new();
    wire.request(1, 0);
    let mut bytes = Vec::new();
    for _ in 0..800 {
        frame::put_header(&mut bytes, 256, kind::DATA, flag::PADDED, 1);
        bytes.push(255);
        bytes.extend_from_slice(&[0; 255]);
    }
    for part in bytes.chunks(1000) {
        wire.send(part);
    }
    // 200 KiB of padding went through windows of 64 KiB.
    assert_eq!(wire.failed, None);
    frame::put_header(&mut bytes, 1, kind::DATA, flag::PADDED, 1);
    bytes.push(1);
    wire.send(&bytes[bytes.len() - 10..]);
    assert_eq!(wire.failed.unwrap().code, code::PROTOCOL_ERROR);
}

#[test]
fn a_turn_never_has_more_room_than_the_windows() {
    let mut wire = Wire::new();
    wire.windows(7);
    wire.request(1, flag::END_STREAM);
    wire.server.own(1).unwrap().to_send = 100;
    let none = HeaderMap::new();
    wire.server
        .put_head(1, StatusCode::OK, &none, None, None, false);
    wire.server.want(1, wire.now);
    assert_eq!(wire.server.turn(), Some(Turn { stream: 1, room: 7 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_arrive_complete_however_input_is_split(
        sizes in proptest::collection::vec(0usize..100_000, 1..8),
        reply in 0usize..150_000,
        cuts in proptest::collection::vec(1usize..40_000, 1..20),
    ) {
        let mut pair = Pair::new(reply);
        let ids: Vec<u32> = sizes.iter().map(|size| pair.open(*size)).collect();
        for cut in cuts.iter().cycle().take(4000) {
            pair.step(*cut);
            if pair.at_client.len() == ids.len() {
                break;
            }
        }
        pair.settle();
        prop_assert_eq!(pair.failed, None);
        for (id, size) in ids.iter().zip(&sizes) {
            prop_assert_eq!(&pair.at_server[id], &Outcome::Whole(*size));
            prop_assert_eq!(&pair.at_client[id], &Outcome::Whole(reply));
        }
    }

    /// The output stays within bounds, too.
    #[test]
    fn arbitrary_frames_never_panic(
        frames in proptest::collection::vec(
            (0u8..11, any::<u8>(), 0u32..12, proptest::collection::vec(any::<u8>(), 0..40)),
            0..60,
        ),
        cut in 1usize..50,
    ) {
        let mut wire = Wire::new();
        let mut bytes = Vec::new();
        for (kind, flags, stream, payload) in &frames {
            frame::put_header(&mut bytes, payload.len(), *kind, *flags, *stream);
            bytes.extend_from_slice(payload);
        }
        for part in bytes.chunks(cut) {
            wire.send(part);
            for stream in wire.heads.drain(..).collect::<Vec<_>>() {
                if wire.server.own(stream).is_some() {
                    wire.reply(stream, 100);
                }
            }
        }
        wire.server.end_of_input(wire.now);
        wire.events();
        prop_assert!(wire.server.output().len() < 256 * 1024);

        let now = Instant::now();
        let mut client = Client::new(limits(), now);
        let fields = HeaderMap::new();
        for _ in 0..4 {
            let _ = client.open(&get(&fields), Exchange::default(), now);
        }
        let mut all = Vec::new();
        frame::put_settings(&mut all, &[]);
        all.extend_from_slice(&bytes);
        for part in all.chunks(cut) {
            let mut rest = part;
            while client.receive(&mut rest, now).is_some() {}
        }
        client.end_of_input(now);
        while client.receive(&mut &[][..], now).is_some() {}
        prop_assert_eq!(client.streams(), 0);
    }
}
