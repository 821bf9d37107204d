//! One end of an HTTP/2 connection, driven by a script: what its peer sends, what its driver does, when time
//! passes. A model of RFC 9113's windows and streams stands beside it and is asked about everything that the
//! end says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use handfast_http::h2::frame::{code, flag, kind, setting};
use handfast_http::h2::hpack::{Decoder, Fields, encode};
use handfast_http::h2::{Connection, Cut, Event, Limits, NewRequest, Role};
use http::{HeaderMap, Method, StatusCode};

use crate::frames::{Seen, frame, seen};
use crate::pieces::Pieces;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The most that a script does: more would only make a run slower.
const STEPS_MAX: usize = 400;

/// With so much waiting to be sent a driver does not listen.
const OUT_STOP: usize = 128 * 1024;

/// What a connection may hold besides its output: half a frame, half a header block, two tables, its streams.
const MEMORY_MAX: usize = 256 * 1024;

/// What one end is asked to do; read off the front of the input.
pub type Script<'b> = Unstructured<'b>;

/// What the driver keeps with a stream.
#[derive(Debug, Default)]
struct Own {
    to_send: usize,
}

/// What is known of a stream from outside.
#[derive(Debug, Default)]
struct Stream {
    /// Our window towards the peer: what it has granted less what was sent.
    window: i64,
    we_ended: bool,
    they_ended: bool,
    /// Bytes of DATA that the peer may send and that came.
    granted: u64,
    received: u64,
    /// Bytes of bodies that were not released.
    held: u32,
    /// An event has told of its end before time, or the driver has ended it.
    lost: bool,
}

/// A connection, the model, and the peer's side of the wire.
pub struct Driver<R: Role, P: Fields> {
    core: Connection<R, Own>,
    limits: Limits,
    now: Instant,
    streams: BTreeMap<u32, Stream>,
    window: i64,
    initial: i64,
    granted: u64,
    received: u64,
    /// What was received and makes no whole frame yet, and the same of what was sent.
    fed: Vec<u8>,
    sent: Vec<u8>,
    fed_bytes: usize,
    /// Bytes of output that receiving has made.
    answers: usize,
    /// Bytes of the output that were looked at.
    known: usize,
    resets: BTreeSet<u32>,
    goaways: usize,
    decoder: Decoder<P>,
    cuts: Vec<u8>,
    next: u32,
    ended: bool,
    failed: bool,
}

impl<R: Role, P: Fields> Driver<R, P> {
    /// A connection with limits that the script chooses. `P` reads what the end says.
    fn new(script: &mut Script<'_>) -> arbitrary::Result<Self> {
        let limits = Limits {
            streams_max: 1 + u32::from(script.arbitrary::<u8>()? % 12),
            head_bytes_max: 8 * 1024,
            fields_max: 12,
            stream_window: 65_535 + 97 * u32::from(script.arbitrary::<u8>()?),
            connection_window: 65_535 + 389 * u32::from(script.arbitrary::<u8>()?),
            span: Duration::from_secs(10),
            rate_min: 100,
        };
        let now = Instant::now() + Duration::from_secs(100_000);
        let mut driver = Self {
            core: Connection::new(limits, now),
            limits,
            now,
            streams: BTreeMap::new(),
            window: 65_535,
            initial: 65_535,
            granted: 65_535,
            received: 0,
            fed: Vec::new(),
            sent: Vec::new(),
            fed_bytes: 0,
            answers: 0,
            known: 0,
            resets: BTreeSet::new(),
            goaways: 0,
            decoder: Decoder::default(),
            cuts: vec![0],
            next: 1,
            ended: false,
            failed: false,
        };
        if !R::IS_SERVER {
            assert!(driver.core.output().as_slice().starts_with(PREFACE));
            driver.core.output().sent(PREFACE.len());
        }
        driver.look();
        Ok(driver)
    }

    /// Runs a script to its end, and the connection to its.
    pub fn run(script: &mut Script<'_>) -> arbitrary::Result<()> {
        let mut driver = Self::new(script)?;
        // Most scripts are to come beyond the preface.
        if script.arbitrary::<u8>()? != 255 {
            if R::IS_SERVER {
                driver.take(PREFACE, false);
            }
            driver.receive(&frame(kind::SETTINGS, 0, 0, &[]));
        }
        for _ in 0..STEPS_MAX {
            if script.is_empty() {
                break;
            }
            driver.step(script)?;
            driver.check();
        }
        driver.finish();
        Ok(())
    }

    fn step(&mut self, script: &mut Script<'_>) -> arbitrary::Result<()> {
        let op: u8 = script.arbitrary()?;
        let a: u8 = script.arbitrary()?;
        let b: u16 = script.arbitrary()?;
        let id = self.choose(a);
        let flags = (b >> 8) as u8;
        let large = match b & 0x8000 {
            0 => u32::from(b),
            _ => u32::from(b & 0x7fff) << 16 | u32::from(a),
        };
        match op % 26 {
            0 | 1 => {
                let id = if R::IS_SERVER && a < 200 {
                    self.next
                } else {
                    id
                };
                let end = flags & 1;
                self.receive(&frame(
                    kind::HEADERS,
                    end | flag::END_HEADERS,
                    id,
                    &head::<R>(b as u8),
                ));
            }
            2 | 3 => {
                let size = usize::from(b & 0x0fff);
                let end = u8::from(a >= 128);
                self.receive(&frame(kind::DATA, end, id, &vec![b'x'; size]));
            }
            4 => self.receive(&frame(kind::WINDOW_UPDATE, 0, id, &large.to_be_bytes())),
            5 => self.receive(&frame(kind::WINDOW_UPDATE, 0, 0, &large.to_be_bytes())),
            6 => {
                let mut payload = setting::INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
                payload.extend(large.to_be_bytes());
                self.receive(&frame(kind::SETTINGS, 0, 0, &payload));
            }
            7 => {
                let mut payload = u16::from(a % 10).to_be_bytes().to_vec();
                payload.extend(large.to_be_bytes());
                let payload = payload.repeat(1 + usize::from(a >> 4));
                self.receive(&frame(kind::SETTINGS, flags & 1, 0, &payload));
            }
            8 => self.receive(&frame(kind::PING, flags & 1, 0, &ping(a))),
            9 => self.receive(&frame(kind::RST_STREAM, 0, id, &u32::from(b).to_be_bytes())),
            10 => {
                let mut payload = id.to_be_bytes().to_vec();
                payload.extend(u32::from(b).to_be_bytes());
                self.receive(&frame(kind::GOAWAY, 0, 0, &payload));
            }
            11 => {
                let mut payload = u32::from(b).to_be_bytes().to_vec();
                payload.push(a);
                self.receive(&frame(kind::PRIORITY, 0, id, &payload));
            }
            12 | 13 => {
                let payload = script.bytes(usize::from(b & 0x3f).min(script.len()))?;
                let stream = if a < 128 { id } else { u32::from(a & 7) };
                // Up to PRIORITY_UPDATE.
                self.receive(&frame((b >> 6) as u8 % 17, flags, stream, payload));
            }
            14 => {
                let bytes = script.bytes(usize::from(a).min(script.len()))?;
                self.receive(bytes);
            }
            15 => {
                // A head in two frames, or two frames that are none.
                let block = head::<R>(b as u8);
                let (front, back) = block.split_at(usize::from(a) % (block.len() + 1));
                let mut bytes = frame(kind::HEADERS, flags & 1, self.next, front);
                bytes.extend(frame(
                    kind::CONTINUATION,
                    flag::END_HEADERS,
                    self.next,
                    back,
                ));
                self.receive(&bytes);
            }
            16 => {
                let mut block = Vec::new();
                encode::put_field(
                    &mut block,
                    "x-trailer",
                    &[b'y'; 10][..usize::from(b) % 11],
                    false,
                );
                self.receive(&frame(kind::HEADERS, 5, id, &block));
            }
            17 => {
                self.now += Duration::from_millis(u64::from(a) * u64::from(b % 256));
                self.core.expire(self.now);
                self.receive_now(&[]);
            }
            18 if R::IS_SERVER => self.answer(id, usize::from(b) * 4, a >= 128),
            18 => self.open(b, a),
            19 | 20 => self.pump(usize::from(a)),
            21 => {
                let count = (usize::from(b) * 8).min(self.core.output().len());
                self.core.output().sent(count);
                self.known -= count;
            }
            22 if a < 32 => {
                if self.core.reset(id, code::CANCEL).is_some() {
                    self.streams.entry(id).or_default().lost = true;
                }
            }
            22 => self.release(id, u32::from(b)),
            23 => self.cuts = vec![a, flags],
            24 if a < 16 => self.core.wind_up(),
            24 => self.core.rest(),
            _ if a < 8 => {
                self.ended = true;
                self.core.end_of_input(self.now);
                self.receive_now(&[]);
            }
            _ => self.core.want(id, self.now),
        }
        self.look();
        Ok(())
    }

    /// A stream that was opened, counted from the last one.
    fn choose(&self, a: u8) -> u32 {
        self.core.last_opened().saturating_sub(2 * u32::from(a % 8))
    }

    fn answer(&mut self, id: u32, size: usize, interim: bool) {
        let none = HeaderMap::new();
        let Some(own) = self.core.own(id) else {
            return;
        };
        if interim {
            self.core
                .put_head(id, StatusCode::CONTINUE, &none, None, None, false);
            return;
        }
        own.to_send = size;
        let length = Some(size as u64);
        self.core
            .put_head(id, StatusCode::OK, &none, length, None, size == 0);
        if size > 0 {
            self.core.want(id, self.now);
        }
    }

    fn open(&mut self, size: u16, a: u8) {
        let fields = HeaderMap::new();
        let method = match a % 3 {
            0 => Method::GET,
            1 => Method::HEAD,
            _ => Method::POST,
        };
        let size = if method == Method::POST {
            usize::from(size)
        } else {
            0
        };
        let request = NewRequest {
            method: &method,
            authority: b"a",
            path: b"/",
            fields: &fields,
            length: (size > 0).then_some(size as u64),
            end: size == 0,
        };
        if let Ok(id) = self.core.open(&request, Own { to_send: size }, self.now) {
            let stream = Stream {
                window: self.initial,
                granted: u64::from(self.limits.stream_window),
                ..Stream::default()
            };
            assert!(self.streams.insert(id, stream).is_none());
            self.core.want(id, self.now);
        }
    }

    fn pump(&mut self, turns: usize) {
        for _ in 0..turns {
            let Some(turn) = self.core.turn() else {
                return;
            };
            assert!((1..=16_384).contains(&turn.room));
            let Some(own) = self.core.own(turn.stream) else {
                panic!("a turn of a stream that is over");
            };
            let count = own.to_send.min(turn.room);
            own.to_send -= count;
            let left = own.to_send;
            self.core.put_data(turn, &vec![7; count], left == 0);
            if left > 0 {
                self.core.want(turn.stream, self.now);
            }
            self.look();
        }
    }

    fn release(&mut self, id: u32, count: u32) {
        if let Some(stream) = self.streams.get_mut(&id) {
            let count = count.min(stream.held);
            stream.held -= count;
            self.core.release(id, count);
        }
    }

    /// The peer sends these bytes, cut as the script wants it.
    fn receive(&mut self, bytes: &[u8]) {
        if self.ended || self.core.output().len() >= OUT_STOP {
            return;
        }
        let cuts = self.cuts.clone();
        for piece in Pieces::new(bytes, &cuts) {
            self.take(piece, true);
        }
    }

    fn take(&mut self, piece: &[u8], framed: bool) {
        if !self.failed {
            self.fed_bytes += piece.len();
            if framed {
                self.fed.extend_from_slice(piece);
            }
            for frame in seen(&mut self.fed) {
                self.note(&frame);
            }
        }
        let before = self.core.output().len();
        self.receive_now(piece);
        self.answers += self.core.output().len() - before;
        self.look();
    }

    /// What a frame of the peer's means for the model. What breaks the protocol ends the connection anyway.
    fn note(&mut self, frame: &Seen) {
        let id = frame.stream & 0x7fff_ffff;
        let number = || frame.payload[..].try_into().map(u32::from_be_bytes);
        match frame.kind {
            kind::DATA => self.received += frame.payload.len() as u64,
            kind::HEADERS if R::IS_SERVER && id >= self.next && id % 2 == 1 => {
                let stream = Stream {
                    window: self.initial,
                    granted: u64::from(self.limits.stream_window),
                    ..Stream::default()
                };
                self.streams.insert(id, stream);
                self.next = id.saturating_add(2);
            }
            kind::WINDOW_UPDATE => {
                let increment = i64::from(number().unwrap_or_default() & 0x7fff_ffff);
                match self.streams.get_mut(&id) {
                    Some(stream) => stream.window += increment,
                    None if id == 0 => self.window += increment,
                    None => {}
                }
            }
            kind::SETTINGS => {
                let of = |change: &[u8]| {
                    let id = u16::from_be_bytes([change[0], change[1]]);
                    let value = [change[2], change[3], change[4], change[5]];
                    (id, i64::from(u32::from_be_bytes(value)))
                };
                let changes = frame.payload.chunks_exact(6).map(of);
                let last = changes
                    .filter(|(id, _)| *id == setting::INITIAL_WINDOW_SIZE)
                    .last();
                if let Some((_, size)) = last
                    && size <= 0x7fff_ffff
                {
                    let difference = size - self.initial;
                    self.initial = size;
                    for stream in self.streams.values_mut() {
                        stream.window += difference;
                    }
                }
            }
            _ => {}
        }
    }

    fn receive_now(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(event) = self.core.receive(&mut rest, self.now) {
            self.event(event);
        }
        assert!(rest.is_empty(), "what was received is used");
    }

    fn event(&mut self, event: Event<'_, R, Own>) {
        assert!(!self.failed, "an event after the failure");
        match event {
            Event::Head { stream, end, .. } => {
                let it = self.live(stream);
                it.they_ended |= end;
            }
            Event::TooLarge { stream, end } => {
                assert!(R::IS_SERVER);
                self.live(stream).they_ended |= end;
            }
            Event::Data { stream, body, end } => {
                let it = self.live(stream);
                it.they_ended |= end;
                it.held += body.len() as u32;
                it.received += body.len() as u64;
                assert!(
                    it.received <= it.granted,
                    "more than the window of a stream"
                );
                assert!(end || !body.is_empty());
            }
            Event::Trailers { stream, fields } => {
                assert!(fields.len() <= self.limits.fields_max);
                self.live(stream).they_ended = true;
            }
            Event::BodyCut { stream } => {
                assert!(R::IS_SERVER && self.ended);
                self.live(stream).they_ended = true;
            }
            Event::Lost { stream, cut, .. } => {
                let it = self
                    .streams
                    .get_mut(&stream)
                    .expect("a stream that was opened");
                assert!(!it.lost, "lost twice");
                assert!(
                    !(it.we_ended && it.they_ended),
                    "lost after its end: {cut:?}"
                );
                it.lost = true;
                assert!(cut != Cut::Ended || self.ended);
            }
            Event::Going { debug, .. } => assert!(debug.len() <= 256),
            Event::Failed(violation) => {
                assert!(!violation.what.is_empty());
                self.look();
                self.failed = true;
                assert!(self.core.has_failed());
                assert!(self.sent.is_empty());
                assert_eq!(self.core.streams(), 0);
            }
        }
    }

    /// A stream that may still get events.
    fn live(&mut self, id: u32) -> &mut Stream {
        let stream = self.streams.get_mut(&id).expect("a stream that was opened");
        assert!(!stream.lost, "an event after the end of {id}");
        assert!(!stream.they_ended, "an event after the message of {id}");
        stream
    }

    /// Looks at what the end has said since.
    fn look(&mut self) {
        let new = self.core.output().as_slice()[self.known..].to_vec();
        assert!(!self.failed || new.is_empty(), "words after the GOAWAY");
        self.known += new.len();
        self.sent.extend_from_slice(&new);
        let frames = seen(&mut self.sent);
        assert!(self.sent.is_empty(), "half a frame");
        for frame in &frames {
            self.said(frame);
        }
    }

    fn said(&mut self, frame: &Seen) {
        let id = frame.stream;
        let size = frame.payload.len() as i64;
        assert!(size <= 16_384);
        match frame.kind {
            kind::DATA => {
                let stream = self.streams.get_mut(&id).expect("a stream");
                assert!(!stream.we_ended && !self.resets.contains(&id));
                stream.we_ended = frame.flags & 1 != 0;
                stream.window -= size;
                self.window -= size;
                let over = size > 0 && (stream.window < 0 || self.window < 0);
                assert!(!over, "more DATA than the windows allow");
                assert!(size > 0 || stream.we_ended);
            }
            kind::HEADERS => {
                assert!(frame.flags & flag::END_HEADERS != 0);
                assert!(self.decoder.decode(&frame.payload, |_, _| {}).is_some());
                if let Some(stream) = self.streams.get_mut(&id) {
                    assert!(!stream.we_ended && !self.resets.contains(&id));
                    stream.we_ended = frame.flags & 1 != 0;
                } else {
                    // A request of ours, which the model is told of next.
                    assert!(!R::IS_SERVER && id == self.core.last_opened());
                }
            }
            kind::WINDOW_UPDATE => {
                let increment = u32::from_be_bytes(frame.payload[..].try_into().expect("a number"));
                assert!((1..=0x7fff_ffff).contains(&increment));
                match self.streams.get_mut(&id) {
                    Some(stream) => stream.granted += u64::from(increment),
                    None => {
                        assert_eq!(id, 0);
                        self.granted += u64::from(increment);
                    }
                }
            }
            kind::RST_STREAM => {
                assert!(id > 0 && id <= self.core.last_opened());
                assert!(self.resets.insert(id), "reset twice");
            }
            kind::GOAWAY => {
                self.goaways += 1;
                assert!(self.goaways <= 3);
            }
            kind::SETTINGS | kind::PING => assert_eq!(id, 0),
            other => panic!("a frame of kind {other}"),
        }
    }

    fn check(&mut self) {
        assert_eq!(self.failed, self.core.has_failed());
        if !self.failed {
            assert!(
                self.received <= self.granted,
                "more than the connection's window"
            );
        }
        // How many a client has is the server's to say.
        assert!(!R::IS_SERVER || self.core.streams() <= self.limits.streams_max as usize);
        // What the peer makes us say is no more than what it says.
        assert!(self.answers <= 3 * self.fed_bytes + 1024);
        let held = self.core.memory_held();
        assert!(held <= MEMORY_MAX, "{held} bytes of memory");
    }

    /// The peer goes, the driver does what it does then, and all streams are over.
    fn finish(&mut self) {
        self.core.end_of_input(self.now);
        self.ended = true;
        self.receive_now(&[]);
        self.look();
        let ids: Vec<u32> = self.core.each().map(|(id, _)| id).collect();
        for (at, id) in ids.into_iter().enumerate() {
            if at % 2 == 0 {
                self.answer(id, 100, false);
            } else if self.core.reset(id, code::CANCEL).is_some() {
                self.streams.entry(id).or_default().lost = true;
            }
            self.look();
        }
        let count = self.core.output().len();
        self.core.output().sent(count);
        self.known = 0;
        self.pump(1000);
        self.receive_now(&[]);
        // A client's requests cannot be answered any more; a server's replies were sent or dropped.
        let left: Vec<u32> = self.core.each().map(|(id, _)| id).collect();
        for id in left {
            self.core.reset(id, code::CANCEL);
        }
        assert!(self.core.is_done());
        self.core.wind_up();
        self.core.expire(self.now + Duration::from_secs(100));
        self.receive_now(&[]);
        assert_eq!(self.core.streams(), 0);
        if self.failed {
            self.look();
        }
    }
}

fn ping(a: u8) -> [u8; 8] {
    match a {
        0..128 => *b"lastcall",
        _ => [a; 8],
    }
}

/// A header block of the peer's.
fn head<R: Role>(choice: u8) -> Vec<u8> {
    let mut block = Vec::new();
    if R::IS_SERVER {
        let method = match choice % 4 {
            0 => Method::POST,
            1 => Method::CONNECT,
            _ => Method::GET,
        };
        if method == Method::CONNECT {
            block.extend(b"\x02\x07CONNECT\x01\x01a");
        } else {
            encode::put_request_line(&mut block, &method, b"a", b"/x");
        }
    } else {
        let status = match choice % 6 {
            0 => StatusCode::CONTINUE,
            1 => StatusCode::NOT_MODIFIED,
            2 => StatusCode::NO_CONTENT,
            _ => StatusCode::OK,
        };
        encode::put_status(&mut block, status);
    }
    if choice & 0x10 != 0 {
        encode::put_number(&mut block, "content-length", u64::from(choice >> 5) * 100);
    }
    match choice {
        // More than is taken, and what is malformed.
        250.. => encode::put_field(&mut block, "x", &[b'y'; 9000], false),
        240..250 => encode::put_field(&mut block, "connection", b"close", false),
        _ => {}
    }
    block
}
