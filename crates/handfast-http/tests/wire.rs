//! Both ends of HTTP/2, with a wire that splits and delays, and that may change one bit or repeat one piece. Messages arrive
//! unchanged, or one of the ends reports an error.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use handfast_http::h2::frame::code;
use handfast_http::h2::{Connection, Event, Limits, NewRequest, Requests, Responses, Role};
use http::{HeaderMap, Method, StatusCode};
use proptest::prelude::*;

/// What was sent and received on one stream, at one end.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Exchange {
    to_send: usize,
    sent: usize,
    received: usize,
    whole: bool,
}

/// One end and its events.
struct End<R: Role> {
    core: Connection<R, ()>,
    exchanges: BTreeMap<u32, Exchange>,
    /// It reported an error.
    failed: bool,
}

/// A fault of the wire.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// Changes a bit of the byte at this position.
    Flip {
        to_server: bool,
        at: usize,
        bit: u8,
    },
    /// Repeats a piece.
    Twice {
        to_server: bool,
        at: usize,
        length: usize,
    },
}

fn limits() -> Limits {
    Limits {
        streams_max: 100,
        stream_window: 65_535,
        connection_window: 100_000,
        ..Limits::default()
    }
}

/// Replies differ in length, so that mixing them up is detected.
fn reply_size(stream: u32, most: usize) -> usize {
    most.saturating_sub(stream as usize * 7)
}

impl<R: Role> End<R> {
    fn new(now: Instant) -> Self {
        Self {
            core: Connection::new(limits(), now),
            exchanges: BTreeMap::new(),
            failed: false,
        }
    }

    /// Receives bytes; returns the streams whose messages are complete.
    fn receive(&mut self, bytes: &[u8], now: Instant) -> Vec<u32> {
        let mut rest = bytes;
        let mut complete = Vec::new();
        while let Some(event) = self.core.receive(&mut rest, now) {
            let (stream, end) = match event {
                Event::Head { stream, end, .. } | Event::TooLarge { stream, end } => (stream, end),
                Event::Data { stream, body, end } => {
                    self.exchanges.entry(stream).or_default().received += body.len();
                    self.core.release(stream, body.len() as u32);
                    (stream, end)
                }
                Event::Trailers { stream, .. } => (stream, true),
                Event::Lost { .. }
                | Event::BodyCut { .. }
                | Event::Failed(_)
                | Event::Going { .. } => {
                    self.failed = true;
                    continue;
                }
            };
            if end {
                self.exchanges.entry(stream).or_default().whole = true;
                complete.push(stream);
            }
        }
        complete
    }

    fn send(&mut self, now: Instant) {
        while let Some(turn) = self.core.turn() {
            let exchange = self.exchanges.entry(turn.stream).or_default();
            let count = exchange.to_send.min(turn.room);
            exchange.to_send -= count;
            let left = exchange.to_send;
            exchange.sent += self.core.put_data(turn, &vec![7; count], left == 0);
            if left > 0 {
                self.core.want(turn.stream, now);
            }
        }
    }
}

struct Wire {
    client: End<Responses>,
    server: End<Requests>,
    now: Instant,
    reply_max: usize,
    fault: Fault,
    /// Bytes in flight, and how many were sent before: to the server, to the client.
    ways: [VecDeque<u8>; 2],
    put: [usize; 2],
}

impl Wire {
    fn new(uploads: &[usize], reply_max: usize, fault: Fault) -> Self {
        let now = Instant::now();
        let mut wire = Self {
            client: End::new(now),
            server: End::new(now),
            now,
            reply_max,
            fault,
            ways: Default::default(),
            put: [0; 2],
        };
        for size in uploads {
            wire.open(*size);
        }
        wire
    }

    fn open(&mut self, size: usize) {
        let fields = HeaderMap::new();
        let request = NewRequest {
            method: if size > 0 {
                &Method::POST
            } else {
                &Method::GET
            },
            authority: b"a",
            path: b"/",
            fields: &fields,
            length: (size > 0).then_some(size as u64),
            end: size == 0,
        };
        let id = self.client.core.open(&request, (), self.now).unwrap();
        let exchange = self.client.exchanges.entry(id).or_default();
        exchange.to_send = size;
        if size > 0 {
            self.client.core.want(id, self.now);
        }
    }

    /// Moves the output of both ends to the wire.
    fn collect(&mut self) {
        self.client.send(self.now);
        self.server.send(self.now);
        for (at, out) in [self.client.core.output(), self.server.core.output()]
            .into_iter()
            .enumerate()
        {
            let mut bytes = out.as_slice().to_vec();
            out.sent(bytes.len());
            let before = self.put[at];
            self.put[at] += bytes.len();
            let here = |to_server: bool, place: usize| {
                let here = place.checked_sub(before)?;
                (to_server == (at == 0) && here < bytes.len()).then_some(here)
            };
            match self.fault {
                Fault::None => {}
                Fault::Flip { to_server, at, bit } => {
                    if let Some(here) = here(to_server, at) {
                        bytes[here] ^= 1 << bit;
                    }
                }
                Fault::Twice {
                    to_server,
                    at,
                    length,
                } => {
                    if let Some(here) = here(to_server, at) {
                        let end = (here + length).min(bytes.len());
                        let again = bytes[here..end].to_vec();
                        bytes.splice(end..end, again);
                    }
                }
            }
            self.ways[at].extend(bytes);
        }
    }

    /// Delivers some bytes to one end.
    fn deliver(&mut self, to_server: bool, count: usize) {
        self.now += Duration::from_millis(1);
        let way = &mut self.ways[usize::from(!to_server)];
        let count = count.min(way.len());
        let bytes: Vec<u8> = way.drain(..count).collect();
        if to_server {
            for stream in self.server.receive(&bytes, self.now) {
                self.answer(stream);
            }
        } else {
            self.client.receive(&bytes, self.now);
        }
    }

    fn answer(&mut self, stream: u32) {
        let size = reply_size(stream, self.reply_max);
        let exchange = self.server.exchanges.entry(stream).or_default();
        exchange.to_send = size;
        let core = &mut self.server.core;
        let none = HeaderMap::new();
        let length = Some(size as u64);
        core.put_head(stream, StatusCode::OK, &none, length, None, size == 0);
        if size > 0 {
            core.want(stream, self.now);
        }
    }

    /// Delivers by the schedule, then all remaining bytes.
    fn run(&mut self, schedule: &[(bool, usize)]) {
        for (to_server, count) in schedule {
            self.collect();
            self.deliver(*to_server, *count);
        }
        for _ in 0..10_000 {
            self.collect();
            if self.ways.iter().all(VecDeque::is_empty) {
                break;
            }
            self.deliver(true, usize::MAX);
            self.deliver(false, usize::MAX);
        }
        // Time limits expire.
        self.now += Duration::from_secs(3600);
        self.client.core.expire(self.now);
        self.server.core.expire(self.now);
        self.client.core.end_of_input(self.now);
        self.server.core.end_of_input(self.now);
        self.client.receive(&[], self.now);
        self.server.receive(&[], self.now);
    }

    fn agree(&self, requests: usize) -> Result<(), String> {
        if self.client.exchanges.len() != requests || self.server.exchanges.len() != requests {
            return Err("streams that are missing at one end".to_owned());
        }
        for (id, here) in &self.client.exchanges {
            let there = &self.server.exchanges[id];
            let whole = here.whole && there.whole;
            if !whole || here.received != there.sent || there.received != here.sent {
                return Err(format!("{id}: {here:?} {there:?}"));
            }
        }
        Ok(())
    }
}

fn schedule() -> impl Strategy<Value = Vec<(bool, usize)>> {
    let count = prop_oneof![1usize..30, 1usize..5000, 10_000usize..100_000];
    proptest::collection::vec((any::<bool>(), count), 0..120)
}

fn fault() -> impl Strategy<Value = Fault> {
    let place = prop_oneof![0usize..200, 0usize..3000, 0usize..150_000];
    prop_oneof![
        (any::<bool>(), place.clone(), 0u8..8).prop_map(|(to_server, at, bit)| Fault::Flip {
            to_server,
            at,
            bit
        }),
        (any::<bool>(), place, 1usize..200).prop_map(|(to_server, at, length)| Fault::Twice {
            to_server,
            at,
            length
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn messages_arrive_unchanged_however_the_wire_splits_and_delays(
        uploads in proptest::collection::vec(prop_oneof![Just(0usize), 1usize..100_000], 1..6),
        reply_max in prop_oneof![Just(0usize), 1usize..120_000],
        schedule in schedule(),
    ) {
        let mut wire = Wire::new(&uploads, reply_max, Fault::None);
        wire.run(&schedule);
        prop_assert!(!wire.client.failed && !wire.server.failed);
        prop_assert_eq!(wire.agree(uploads.len()), Ok(()));
        prop_assert_eq!((wire.client.core.streams(), wire.server.core.streams()), (0, 0));
    }

    /// Without TLS, the bytes of a body or a path are not protected; lengths, and which bytes belong to which stream,
    /// are protected by the protocol.
    #[test]
    fn a_changed_bit_or_repeated_piece_is_detected_or_harmless(
        uploads in proptest::collection::vec(prop_oneof![Just(0usize), 1usize..20_000], 1..6),
        reply_max in prop_oneof![Just(0usize), 1usize..50_000],
        schedule in schedule(),
        fault in fault(),
    ) {
        let mut wire = Wire::new(&uploads, reply_max, fault);
        wire.run(&schedule);
        if !wire.client.failed && !wire.server.failed {
            prop_assert_eq!(wire.agree(uploads.len()), Ok(()));
        }
        // No streams are left in any case.
        let left: Vec<u32> = wire.server.core.each().map(|(id, ())| id).collect();
        for id in left {
            wire.server.core.reset(id, code::CANCEL);
        }
        prop_assert!(wire.server.core.is_done() && wire.client.core.is_done());
    }
}
