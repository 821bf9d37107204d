//! Whatever a peer sends, at whatever point: no command panics, hangs beyond its limits, or prints
//! control characters of a stranger's.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use handfast_testbed::careless::{Careless, version};
use handfast_testbed::launch::Finished;
use handfast_testbed::misbehaving::{Misbehaving, Served, Step};
use handfast_testbed::pki::{Issued, Spec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::common::{Fixture, localhost};

/// The limits given to the programs, each for one phase.
const LIMIT: &str = "1";
/// All phases together, the questions after a failure included, on a machine under load.
const WITHIN: Duration = Duration::from_secs(20);

/// Longer than every limit; a session of `connect` that is secured waits for its peer as long.
const STALL: Duration = Duration::from_secs(5);

impl Fixture {
    fn run_cleanly(&self, command: &str, args: &[&str]) -> Finished {
        let began = Instant::now();
        let finished = self.run(command, args);
        assert!(began.elapsed() < WITHIN, "{command} takes long: {finished}");
        assert!(
            finished.code.is_some_and(|code| code < 100),
            "{command} crashed: {finished}"
        );
        assert!(!finished.printed("panicked"), "{command}: {finished}");
        assert_clean(command, &finished.err());
        finished
    }

    /// All three, against the same peer.
    fn run_all(&self, address: SocketAddr) {
        let place = localhost(address);
        let url = format!("https://{place}/");
        self.run_cleanly(
            "get",
            &["-v", "-L", "--connect-timeout", LIMIT, "-m", "3", &url],
        );
        self.run_cleanly("connect", &["--connect-timeout", LIMIT, &place]);
        let inspected = self.run_cleanly("inspect", &["--timeout", LIMIT, &place]);
        assert_clean("inspect", &inspected.out());
    }
}

fn assert_clean(command: &str, text: &str) {
    let bad = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.chars().any(bad), "{command}: {text:?}");
}

fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value)) {
    let config = Config {
        cases,
        // Each is a process or three: the first failure says enough.
        max_shrink_iters: 8,
        failure_persistence: None,
        ..Config::default()
    };
    let run = TestRunner::new(config).run(strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(error) = run {
        panic!("{error}");
    }
}

/// What becomes of a server's bytes on their way, from some byte on.
#[derive(Debug, Clone)]
enum Fault {
    Replaced(Vec<u8>),
    Inserted(Vec<u8>),
    Flipped(u8),
    Ended,
    Reset,
    Stalled,
}

fn fault() -> impl Strategy<Value = Fault> {
    let bytes = || {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 1..400),
            // What looks like records.
            (
                20u8..24,
                0u16..300,
                proptest::collection::vec(any::<u8>(), 0..300)
            )
                .prop_map(|(kind, length, rest)| {
                    let mut record = vec![kind, 3, 3];
                    record.extend(length.to_be_bytes());
                    record.extend(rest);
                    record
                }),
            "(HTTP/1.1 200 OK|220 |SSH-2.0-)[\\x00-\\x7f\u{9b}]{0,60}\r\n"
                .prop_map(String::into_bytes),
        ]
    };
    prop_oneof![
        4 => bytes().prop_map(Fault::Replaced),
        4 => bytes().prop_map(Fault::Inserted),
        4 => (1u8..=255).prop_map(Fault::Flipped),
        2 => Just(Fault::Ended),
        2 => Just(Fault::Reset),
        1 => Just(Fault::Stalled),
    ]
}

/// Something between the program and a server, which does that to every connection.
fn between(server: SocketAddr, at: usize, fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let fault = Arc::new(fault);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), fault) = (client, Arc::clone(&fault)) else {
                return;
            };
            thread::spawn(move || pass(client, server, at, &fault));
        }
    });
    address
}

fn pass(client: TcpStream, server: SocketAddr, at: usize, fault: &Fault) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(server)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, upstream.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let mut client = client;
    let mut passed = 0;
    let mut chunk = [0; 4096];
    loop {
        let count = upstream.read(&mut chunk)?;
        let bytes = &mut chunk[..count];
        let here = at
            .checked_sub(passed)
            .filter(|here| *here < count || count == 0);
        passed += count;
        let Some(here) = here else {
            if count == 0 {
                return client.shutdown(Shutdown::Write);
            }
            client.write_all(bytes)?;
            continue;
        };
        let (before, after) = bytes.split_at_mut(here.min(count));
        client.write_all(before)?;
        match fault {
            Fault::Replaced(others) => {
                client.write_all(others)?;
                return client.shutdown(Shutdown::Write);
            }
            Fault::Inserted(others) => {
                client.write_all(others)?;
                client.write_all(after)?;
            }
            Fault::Flipped(bits) => {
                if let Some(first) = after.first_mut() {
                    *first ^= bits;
                }
                client.write_all(after)?;
            }
            Fault::Ended => return client.shutdown(Shutdown::Write),
            // With bytes of the client's unread, that is what a close makes.
            Fault::Reset => return client.shutdown(Shutdown::Both),
            Fault::Stalled => {
                thread::sleep(STALL);
                return client.shutdown(Shutdown::Both);
            }
        }
        if count == 0 {
            return client.shutdown(Shutdown::Write);
        }
    }
}

fn whole(identity: &Issued, tls12: bool, response: Vec<u8>) -> Served {
    let server = Misbehaving::new(identity, &[]);
    let server = if tls12 { server.tls12() } else { server };
    server.serve([
        Step::ReadHead,
        Step::Send(response),
        Step::CloseNotify,
        Step::Fin,
    ])
}

#[test]
fn bytes_of_any_kind_at_any_point_of_a_handshake() {
    let fixture = Fixture::new();
    let identity = fixture.pki.server(&["localhost"]);
    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
    let servers = [false, true].map(|tls12| whole(&identity, tls12, response.clone()));
    let strategy = (0usize..1800, any::<bool>(), fault());
    check(24, &strategy, |(at, tls12, fault)| {
        let server = servers[usize::from(tls12)].address();
        fixture.run_all(between(server, at, fault));
    });
}

#[test]
fn responses_of_any_kind() {
    let fixture = Fixture::new();
    let identity = fixture.pki.server(&["localhost"]);
    let field = "(location|set-cookie|content-length|transfer-encoding|date|x-[a-z]{1,5}|[\\x00-\\x7f]{1,5}): (https://|//|/|)[ -~\\x00-\\x1f\u{9b}\u{202e}é]{0,40}\r\n";
    let strategy = (
        prop_oneof![Just("HTTP/1.1 ".to_owned()), "[ -~\\x00-\\x1f]{0,12}"],
        prop_oneof![Just("200".to_owned()), Just("302".to_owned()), "[0-9]{0,4}"],
        "[ -~\\x00-\\x1f\u{9b}\u{202e}é]{0,30}",
        proptest::collection::vec(field, 0..5),
        proptest::collection::vec(any::<u8>(), 0..100),
    );
    check(24, &strategy, |(start, status, reason, fields, body)| {
        let head = format!("{start}{status} {reason}\r\n{}\r\n", fields.concat());
        let server = whole(&identity, false, [head.as_bytes(), &body].concat());
        let url = server.url("/");
        fixture.run_cleanly("get", &["-v", "-L", "-m", "5", &url]);
        fixture.run_cleanly("get", &["-f", "-o", "/dev/null", "-m", "5", &url]);
    });
}

#[test]
fn certificates_with_fields_of_any_kind() {
    let fixture = Fixture::new();
    let text = "[ -~\\x00-\\x1f\u{7f}\u{9b}\u{202e}\u{2066}éя漢]{1,40}";
    check(
        12,
        &(text, text, any::<bool>()),
        |(name, url, is_trusted)| {
            let spec = Spec::server(&["localhost"])
                .common_name(Some(&name))
                .ca_issuers(&url.replace(|c: char| !c.is_ascii(), "?"));
            let issued = match is_trusted {
                true => fixture.pki.root.issue(spec),
                false => Spec::authority(&name).self_signed().issue(spec),
            };
            for protocol in [&version::TLS12, &version::TLS13] {
                let careless = Careless::new(issued.chain_with(&[]), &issued.key_der());
                fixture.run_all(careless.serve(protocol, 40));
            }
        },
    );
}
