//! A client of HTTP/2 that breaks no rule and keeps no habit, against the server, over real sockets: windows that open and shut,
//! resets, pings, settings, reading now and then, going away at any moment. Every reply is whole or reset, the server holds no
//! more than a connection may have it hold, and nothing is left behind.

#![cfg(feature = "server")]

#[allow(dead_code)]
#[path = "server_http2/client.rs"]
mod client;
mod server_common;

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use handfast::ClosePolicy;
use proptest::prelude::*;

use client::{
    ACK, Client, DATA, END_STREAM, Frame, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, echo, frame, get, post,
};
use server_common::{Fixture, PATIENCE, Setup};

/// What one connection may have the server hold, in bytes: its part of the budget.
const HELD_MAX: usize = 256 * 1024;

/// What `/large` is, in bytes.
const LARGE: usize = 1 << 20;

#[derive(Debug, Clone)]
enum Step {
    /// `GET` of a MiB.
    Large,
    /// `POST` that comes back, with so much of its body now; more follows.
    Post(u16),
    /// More of the body of some stream that is not complete; with `true` it is complete then.
    More(u8, u16, bool),
    /// The window of new streams, and of all others by the difference.
    Window(u32),
    /// More window: of a stream or of the connection.
    Update(Option<u8>, u32),
    Reset(u8),
    /// Reads everything that the server says to what was sent so far.
    Read,
    /// A PING whose answer is read with something later.
    Ping,
    /// Settings that change nothing.
    Settings,
}

/// How the client leaves.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    /// Everything is read first.
    Whole,
    /// GOAWAY, close_notify, and reading up to the end.
    Orderly,
    /// Without a word.
    Abrupt,
}

fn step() -> impl Strategy<Value = Step> {
    let window = prop_oneof![Just(0u32), 1u32..2000, 65_535u32..400_000];
    prop_oneof![
        3 => Just(Step::Large),
        3 => (0u16..5000).prop_map(Step::Post),
        4 => (any::<u8>(), 0u16..5000, any::<bool>()).prop_map(|(which, size, end)| Step::More(which, size, end)),
        2 => window.prop_map(Step::Window),
        4 => (proptest::option::of(any::<u8>()), 1u32..100_000).prop_map(|(which, size)| Step::Update(which, size)),
        2 => any::<u8>().prop_map(Step::Reset),
        5 => Just(Step::Read),
        1 => Just(Step::Ping),
        1 => Just(Step::Settings),
    ]
}

fn leaving() -> impl Strategy<Value = Leaving> {
    prop_oneof![
        2 => Just(Leaving::Whole),
        1 => Just(Leaving::Orderly),
        1 => Just(Leaving::Abrupt),
    ]
}

#[derive(Debug, Default)]
struct Stream {
    /// What the reply must be; of an echo, what was sent.
    expected: usize,
    /// Our direction is open.
    sending: bool,
    head: bool,
    received: usize,
    updates: u64,
    whole: bool,
    reset: bool,
}

struct Random<'f> {
    server: &'f Fixture,
    client: Client,
    next: u32,
    streams: BTreeMap<u32, Stream>,
    /// Windows of new streams that the server knows of, and those that it may know of.
    known: u32,
    told: Vec<u32>,
    connection: u64,
    received: u64,
    pings: u64,
}

impl<'f> Random<'f> {
    fn new(server: &'f Fixture) -> Self {
        Self {
            server,
            client: Client::new(server),
            next: 1,
            streams: BTreeMap::new(),
            known: 65_535,
            // The empty SETTINGS of the beginning.
            told: vec![65_535],
            connection: 65_535,
            received: 0,
            pings: 0,
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.client.send(bytes);
    }

    /// Some stream for which `good` holds.
    fn some(&self, which: u8, good: impl Fn(&Stream) -> bool) -> Option<u32> {
        let ids: Vec<u32> = self
            .streams
            .iter()
            .filter(|(_, stream)| good(stream))
            .map(|(id, _)| *id)
            .collect();
        let at = usize::from(which) % ids.len().max(1);
        ids.get(at).copied()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Large => {
                self.send(&get(self.next, "/large"));
                let stream = Stream {
                    expected: LARGE,
                    ..Stream::default()
                };
                self.streams.insert(self.next, stream);
                self.next += 2;
            }
            Step::Post(size) => {
                let mut bytes = post(self.next, "/echo", &[]);
                bytes.extend(frame(DATA, 0, self.next, &vec![b'x'; size.into()]));
                self.send(&bytes);
                let stream = Stream {
                    expected: size.into(),
                    sending: true,
                    ..Stream::default()
                };
                self.streams.insert(self.next, stream);
                self.next += 2;
            }
            Step::More(which, size, end) => {
                let Some(id) = self.some(which, |it| it.sending && !it.reset) else {
                    return;
                };
                let flags = if end { END_STREAM } else { 0 };
                self.send(&frame(DATA, flags, id, &vec![b'x'; size.into()]));
                let stream = self.streams.get_mut(&id).unwrap();
                stream.expected += usize::from(size);
                stream.sending = !end;
            }
            Step::Window(size) => {
                let mut payload = vec![0, 4];
                payload.extend(size.to_be_bytes());
                self.send(&frame(SETTINGS, 0, 0, &payload));
                self.told.push(size);
            }
            Step::Update(which, size) => {
                let id = match which {
                    None => 0,
                    Some(which) => match self.some(which, |it| !it.whole && !it.reset) {
                        Some(id) => id,
                        None => return,
                    },
                };
                self.send(&frame(WINDOW_UPDATE, 0, id, &size.to_be_bytes()));
                match self.streams.get_mut(&id) {
                    Some(stream) => stream.updates += u64::from(size),
                    None => self.connection += u64::from(size),
                }
            }
            Step::Reset(which) => {
                if let Some(id) = self.some(which, |it| !it.whole && !it.reset) {
                    self.send(&frame(RST_STREAM, 0, id, &8u32.to_be_bytes()));
                    self.streams.get_mut(&id).unwrap().reset = true;
                }
            }
            Step::Read => self.read(),
            Step::Ping => self.send(&frame(PING, 0, 0, b"whatever")),
            Step::Settings => {
                self.send(&frame(SETTINGS, 0, 0, &[0, 6, 0, 1, 0, 0]));
                let last = self.told.last().copied().unwrap_or(self.known);
                self.told.push(last);
            }
        }
    }

    /// Everything up to the answer of a PING, before which all else was said that could be.
    fn read(&mut self) {
        self.pings += 1;
        let mark = self.pings.to_be_bytes();
        self.send(&frame(PING, 0, 0, &mark));
        loop {
            let frame = self.client.next().expect("the connection goes on");
            if frame.kind == PING && frame.flags & ACK != 0 && frame.payload == mark {
                break;
            }
            self.take(&frame);
        }
        let held = self.server.running().held_bytes();
        assert!(held <= HELD_MAX, "{held} bytes are held for one connection");
    }

    fn take(&mut self, frame: &Frame) {
        assert_ne!(frame.kind, GOAWAY, "{frame:?}");
        if frame.kind == SETTINGS && frame.flags & ACK != 0 {
            self.known = self.told.remove(0);
        }
        if frame.kind == DATA {
            self.received += frame.payload.len() as u64;
            assert!(
                self.received <= self.connection,
                "beyond the connection's window"
            );
        }
        let Some(stream) = self.streams.get_mut(&frame.stream) else {
            return;
        };
        match frame.kind {
            HEADERS | DATA => {
                if frame.kind == DATA {
                    assert!(stream.head && !stream.whole);
                    stream.received += frame.payload.len();
                    let most = self
                        .told
                        .iter()
                        .fold(self.known, |most, told| most.max(*told));
                    let allowed = stream.updates + u64::from(most);
                    let shrunk = stream.received as u64 > allowed && frame.payload.is_empty();
                    assert!(
                        shrunk || stream.received as u64 <= allowed,
                        "beyond the stream's window"
                    );
                    assert!(frame.payload.iter().all(|byte| *byte == b'x'));
                }
                stream.head = true;
                if frame.flags & END_STREAM != 0 {
                    stream.whole = true;
                    // An echo ends when its body has.
                    assert!(!stream.sending || stream.reset);
                    assert_eq!(stream.received, stream.expected, "{stream:?}");
                }
            }
            RST_STREAM => stream.reset = true,
            _ => {}
        }
    }

    /// All windows open, all bodies complete; every reply arrives whole that was not reset.
    fn finish(&mut self) {
        self.step(&Step::Window(LARGE as u32));
        let mut more = frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes());
        self.connection += 1 << 30;
        for (id, stream) in &mut self.streams {
            if stream.sending && !stream.reset {
                more.extend(frame(DATA, END_STREAM, *id, b""));
                stream.sending = false;
            }
        }
        self.send(&more);
        while self.streams.values().any(|it| !it.whole && !it.reset) {
            self.read();
        }
    }
}

fn descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// One server for all cases, one case at a time.
static SERVER: LazyLock<Mutex<Fixture>> = LazyLock::new(|| Mutex::new(echo(Setup::default())));

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn every_reply_is_whole_or_reset_and_nothing_is_left(
        steps in proptest::collection::vec(step(), 1..40),
        leaving in leaving(),
    ) {
        let server = SERVER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        server.wait_idle();
        let before = descriptors();
        let mut random = Random::new(&server);
        for step in &steps {
            random.step(step);
        }
        match leaving {
            Leaving::Whole => {
                random.finish();
                random.client.0.close(ClosePolicy::Send);
            }
            Leaving::Orderly => {
                random.send(&frame(GOAWAY, 0, 0, &[0; 8]));
                random.client.0.close(ClosePolicy::default());
            }
            Leaving::Abrupt => {}
        }
        drop(random);
        server.wait_idle();
        prop_assert_eq!(server.running().held_bytes(), 0);
        // A connection gives its place away before its socket.
        let deadline = Instant::now() + PATIENCE;
        while descriptors() > before {
            prop_assert!(Instant::now() < deadline, "{:?} of {before:?} descriptors", descriptors());
            std::thread::yield_now();
        }
    }
}
