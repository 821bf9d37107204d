//! Five hundred clients at once, three hundred of them bad: the others notice nothing, and afterwards
//! nothing is left. Alone in its process, because it counts descriptors.

#![cfg(feature = "server")]

mod server_common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use handfast::{ClosePolicy, Ending, ReadOutcome};
use handfast_https::server::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server_common::{Fixture, Reply, Setup};

const EACH: usize = 100;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[test]
fn two_hundred_are_served_beside_three_hundred_bad_ones() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    let mut limits = Limits::default();
    // Long enough that the bad ones are there all the time, short enough to see them go.
    limits.head = Duration::from_secs(15);
    limits.write = Duration::from_secs(8);
    let server = Fixture::shelf_with(Setup {
        limits,
        ..Setup::default()
    });
    server.put("small", "served\n");
    server.put("large", vec![b'x'; 4 * 1024 * 1024]);
    let client = server.client();
    // Whatever opens descriptors once and for all has done so.
    for _ in 0..8 {
        assert_eq!(server.get("/small").status, 200);
    }
    server.wait_idle();
    let before = descriptors();

    let over = Arc::new(AtomicBool::new(false));
    let address = server.address;
    // A hundred never finish their handshake.
    let unfinished: Vec<TcpStream> = (0..EACH)
        .map(|n| {
            let mut socket = TcpStream::connect(address).unwrap();
            if n % 2 == 0 {
                socket.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
            }
            socket
        })
        .collect();
    // A hundred ask for much and vanish.
    for n in 0..EACH {
        let mut stream = server.connect_with(&client);
        stream
            .write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        stream.flush().unwrap();
        if n % 2 == 0 {
            // With unread bytes: this is a reset.
            let _ = stream.channel().peek(&mut [0; 1]);
        }
        drop(stream);
    }
    // A hundred read a byte a second.
    let mut slow: Vec<_> = (0..EACH)
        .map(|_| {
            let mut stream = server.connect_with(&client);
            stream
                .write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
                .unwrap();
            stream.flush().unwrap();
            stream
        })
        .collect();
    let until = Arc::clone(&over);
    let dripping = thread::spawn(move || {
        while !until.load(Ordering::SeqCst) {
            for stream in &mut slow {
                let _ = stream.read_some(&mut [0; 1]);
            }
            thread::sleep(Duration::from_secs(1));
        }
        drop(slow);
    });
    // Two hundred want to be served, and are, each on a new connection.
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    let groups: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || {
                let mut longest = Duration::ZERO;
                for _ in 0..2 * EACH / 8 {
                    let began = Instant::now();
                    let socket = TcpStream::connect(address).unwrap();
                    let mut stream = client.secure("localhost", socket).unwrap();
                    stream
                        .write_all(b"GET /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
                        .unwrap();
                    let (bytes, ending) = stream.read_to_ending().unwrap();
                    let reply = Reply::parse(&bytes, ending);
                    assert_eq!(
                        (reply.text().as_str(), ending),
                        ("served\n", Ending::CloseNotify)
                    );
                    stream.close(ClosePolicy::Send);
                    longest = longest.max(began.elapsed());
                }
                longest
            })
        })
        .collect();
    for group in groups {
        longest = longest.max(group.join().unwrap());
    }
    let took = began.elapsed();
    // The end of a bad one was not waited for.
    assert!(
        took < limits.write,
        "the slowest took {longest:?}, all {took:?}"
    );
    // The bad ones were there all the time.
    assert!(
        server.running().connections() >= EACH,
        "{}",
        server.running().connections()
    );

    // Clients without progress are cut off at the limit; the others leave.
    for mut socket in unfinished {
        let _ = socket.set_read_timeout(Some(Duration::from_secs(30)));
        let mut left = Vec::new();
        let _ = socket.read_to_end(&mut left);
    }
    over.store(true, Ordering::SeqCst);
    dripping.join().unwrap();
    server.wait_idle();
    let after = descriptors();
    // Each thread keeps one by which the kernel tells what was delivered, since it first asked.
    let asked = Setup::default().threads;
    assert!(
        after <= before + asked,
        "{before} descriptors before, {after} after"
    );
    let events = server.witness.events();
    assert_eq!(
        events.handshakes.len(),
        EACH,
        "one event for each that never finished"
    );
    // Alive and well.
    let mut stream = server.connect_with(&client);
    stream
        .write_all(b"GET /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    assert!(matches!(
        stream.read_some(&mut [0; 100]),
        Ok(ReadOutcome::Data(_))
    ));
}
