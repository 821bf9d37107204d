//! Bytes held for clients that do not take them: the limit of the whole server, which many connections reach together.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use handfast::Stream;
use handfast_https::server::{
    Body, BodyError, ConnectionInfo, Limits, Pull, Request, Response, TransferEnd,
};

use super::client::*;
use super::server_common::{Fixture, PATIENCE, Setup};

/// More than the system keeps of a connection that is not read.
const REPLY: u64 = 6 * 1024 * 1024;

const CONNECTIONS: usize = 16;

/// A quarter of what they would hold with 256 KiB each.
const HELD_MAX: usize = 1024 * 1024;

/// What each may hold all the same: a record, which takes a little more than it carries.
const RECORD: usize = 20 * 1024;

const THREADS: usize = 2;

/// By how much a thread may go beyond the limit: by what it asked for while there was room.
const PIECE: usize = 160 * 1024;

/// For so long nothing more is held.
const STEADY: Duration = Duration::from_millis(300);

/// As much as is asked for.
struct Long(u64);

impl Pull for Long {
    fn poll_piece(
        &mut self,
        _: &mut Context<'_>,
        max: usize,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let count = self.0.min(max as u64);
        self.0 -= count;
        let piece = vec![b'x'; count as usize];
        Poll::Ready((count > 0).then(|| Ok(piece.into())))
    }

    fn is_end(&self) -> bool {
        self.0 == 0
    }

    fn remaining(&self) -> Option<u64> {
        Some(self.0)
    }
}

/// A client that has asked for a reply and read nothing of it.
enum Waiting {
    Http1(Stream<TcpStream>),
    Http2(Client),
}

impl Waiting {
    fn http1(server: &Fixture) -> Self {
        let mut stream = server.connect();
        let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream.flush().unwrap();
        Self::Http1(stream)
    }

    fn http2(server: &Fixture) -> Self {
        let mut client = Client::silent(server);
        let wide = 0x7fff_0000_u32.to_be_bytes();
        let settings = [&[0, 4][..], &wide].concat();
        let settings = frame(SETTINGS, 0, 0, &settings);
        let window = frame(WINDOW_UPDATE, 0, 0, &wide);
        client.send(&[PREFACE, &settings, &window, &get(1, "/")].concat());
        Self::Http2(client)
    }

    /// Reads its reply, and gives how long the body was.
    fn read(self) -> u64 {
        match self {
            Self::Http1(mut stream) => {
                let mut reply = Vec::new();
                stream.read_to_end(&mut reply).unwrap();
                let head = reply.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
                (reply.len() - head - 4) as u64
            }
            Self::Http2(mut client) => client.reply(1).unwrap().1.len() as u64,
        }
    }
}

#[test]
fn what_is_held_for_all_clients_together_has_a_limit_and_each_gets_its_reply() {
    let mut limits = Limits::default();
    limits.held_bytes_max = HELD_MAX;
    let setup = Setup {
        limits,
        threads: THREADS,
        ..Setup::default()
    };
    let server = Fixture::start(setup, |_| {
        |_: Request, _: Arc<ConnectionInfo>| async { Response::new(Body::pulled(Long(REPLY))) }
    });
    let mut waiting: Vec<_> = (0..CONNECTIONS)
        .map(|n| match n % 2 {
            0 => Waiting::http1(&server),
            _ => Waiting::http2(&server),
        })
        .collect();
    let held = || server.running().held_bytes();
    // Until the server has made for each of them all that it makes ahead.
    let deadline = Instant::now() + PATIENCE;
    let (mut most, mut since) = (0, Instant::now());
    while most < HELD_MAX / 2 || since.elapsed() < STEADY {
        assert!(Instant::now() < deadline, "no more than {most} were held");
        if held() > most {
            (most, since) = (held(), Instant::now());
        }
        std::thread::yield_now();
    }
    // A connection that comes now is served all the same.
    waiting.insert(0, Waiting::http1(&server));
    waiting.insert(0, Waiting::http2(&server));
    for client in waiting {
        assert_eq!(client.read(), REPLY);
        most = most.max(held());
    }
    let max = HELD_MAX + THREADS * PIECE + (CONNECTIONS + 2) * RECORD;
    assert!(most <= max, "{most} bytes were held, {max} may be");
    let events = server.witness.wait("all requests", |events| {
        events.requests.len() == CONNECTIONS + 2
    });
    for request in &events.requests {
        assert_eq!((request.end, request.bytes), (TransferEnd::Complete, REPLY));
    }
    server.wait_idle();
    assert_eq!(held(), 0);
}
