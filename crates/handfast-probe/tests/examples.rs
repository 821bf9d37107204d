//! The example runs, against servers of every kind.
//!
//! `cargo test` builds it beforehand; after `cargo test --test examples` alone it may be missing (and is then asked
//! for) or old.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use handfast::{ClosePolicy, Identity, Passphrase, ServerContext, TlsVersion};
use handfast_testbed::launch::{Finished, Program, free_address};
use handfast_testbed::pki::{Issued, Pki, Spec, now_secs};

const DAY: u64 = 86_400;

/// A server with this certificate, for as long as the test runs.
fn server(issued: &Issued) -> SocketAddr {
    let (chain, key) = (issued.cert_pem(), issued.key_pem());
    let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    let context = ServerContext::builder()
        .identity(identity.unwrap())
        .versions([TlsVersion::Tls13])
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            if let Ok(mut stream) = context.accept(socket.unwrap()) {
                stream.close(ClosePolicy::Wait(Duration::from_secs(5)));
            }
        }
    });
    address
}

/// A server of something else.
fn of_ssh() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.write_all(b"SSH-2.0-x\r\n");
            // Until the client ends, so that no reset takes what was said away.
            let _ = socket.read_to_end(&mut Vec::new());
        }
    });
    address
}

/// Examples lie beside the directory of the tests.
fn example(name: &str) -> Program {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let there = path.is_file();
    assert!(
        there,
        "{} is missing: cargo build --examples",
        path.display()
    );
    Program::at(path)
}

fn expiry(pki: &Pki, servers: &[String]) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    example("expiry")
        .args(servers)
        .arg("--ca")
        .arg(&pki.root.write(directory.path(), "root", &[]).chain_pem)
        .run()
}

#[test]
fn expiry_tells_the_days_left_and_the_reason_of_every_failure() {
    let pki = Pki::new();
    let ends = |days: u64| {
        let spec = Spec::server(&["localhost"]);
        spec.valid_between(now_secs() - DAY, now_secs() + days * DAY + DAY / 2)
    };
    let at = |address: SocketAddr| format!("localhost:{}", address.port());
    let good = at(server(&pki.root.issue(ends(60))));
    let soon = at(server(&pki.root.issue(ends(3))));
    let expired = at(server(
        &pki.root.issue(Spec::server(&["localhost"]).expired()),
    ));
    let other = Spec::server(&["elsewhere.example"])
        .valid_between(now_secs() - DAY, now_secs() + 61 * DAY - DAY / 2);
    let other = at(server(&pki.root.issue(other)));
    let closed = at(free_address());
    let ssh = at(of_ssh());

    let finished = expiry(&pki, std::slice::from_ref(&good));
    assert!(finished.succeeded(), "{finished}");
    assert_eq!(finished.out(), format!("{good}: 60 days left\n"));

    let all = [&soon, &expired, &other, &closed, &ssh].map(Clone::clone);
    let finished = expiry(&pki, &all);
    assert_eq!(finished.code, Some(1), "{finished}");
    let told = finished.out();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], format!("{soon}: 3 days left"));
    for (line, server, days, id) in [
        (lines[1], &expired, ": expired; ", "certificate-expired"),
        (lines[2], &other, "60 days left", "name-mismatch"),
        (lines[3], &closed, "no certificate", "connection-refused"),
        (lines[4], &ssh, "no certificate", "not-tls"),
    ] {
        assert!(line.starts_with(&format!("{server}: ")), "{told}");
        assert!(line.contains(days) && line.contains(id), "{told}");
    }
    assert!(expiry(&pki, &["localhost:x".to_owned()]).printed("[invalid-address]"));
}
