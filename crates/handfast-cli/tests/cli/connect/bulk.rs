//! Large transfers in both directions at once, byte for byte.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::thread;

use handfast_testbed::launch::Program;

use super::support::{PATIENCE, Talk};
use crate::common::Fixture;

const BYTES: usize = 64 * 1024 * 1024;

/// Bytes that do not repeat where a buffer ends (xorshift; Marsaglia, 2003).
fn noise(mut seed: u64, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

#[test]
fn both_directions_at_once_arrive_byte_for_byte_through_pipes() {
    let fixture = Fixture::new();
    let (up, down) = (noise(1, BYTES), noise(2, BYTES));
    let mut server = Talk::start(&mut fixture.listen("127.0.0.1:0", [""; 0]));
    let mut client = Talk::start(&mut fixture.connect([server.address().to_string()]));
    let feed = |talk: &mut Talk, bytes: Vec<u8>| {
        let mut stdin = talk.take_stdin();
        thread::spawn(move || stdin.write_all(&bytes).unwrap())
    };
    let feeding = [
        feed(&mut client, up.clone()),
        feed(&mut server, down.clone()),
    ];
    let client = client.wait().expect(0, &["close: complete"]);
    let server = server.wait().expect(0, &["close: complete"]);
    for thread in feeding {
        thread.join().unwrap();
    }
    assert!(
        client.stdout == down,
        "the client has {} bytes",
        client.stdout.len()
    );
    assert!(
        server.stdout == up,
        "the server has {} bytes",
        server.stdout.len()
    );
}

#[test]
fn both_directions_at_once_arrive_byte_for_byte_through_files_and_a_unix_socket() {
    let fixture = Fixture::new();
    let target = format!("unix:{}", fixture.path("socket").display());
    let (up, down) = (noise(3, BYTES / 4), noise(4, BYTES / 4));
    let files = |name: &str, bytes: &[u8]| {
        std::fs::write(fixture.path(name), bytes).unwrap();
        let input = File::open(fixture.path(name)).unwrap();
        let output = File::create(fixture.path(&format!("{name}.got"))).unwrap();
        (input, output)
    };
    let (input, output) = files("down", &down);
    let mut command = fixture.listen(&target, [""; 0]);
    command.stdin(input).stdout(output).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    // It says that it listens before anything else.
    server
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 9])
        .unwrap();
    let (input, output) = files("up", &up);
    let mut command = fixture.connect(["-q", "--servername", "localhost", &target]);
    assert!(
        command
            .stdin(input)
            .stdout(output)
            .status()
            .unwrap()
            .success()
    );
    assert!(server.wait().unwrap().success());
    let got = |name: &str| std::fs::read(fixture.path(name)).unwrap();
    assert!(got("up.got") == down && got("down.got") == up);
}

#[test]
fn openssl_sends_and_gets_much() {
    let fixture = Fixture::new();
    let (up, down) = (noise(5, BYTES / 4), noise(6, BYTES / 4));
    let mut server = Talk::start(&mut fixture.listen("127.0.0.1:0", [""; 0]));
    let address = server.address().to_string();
    let Some(client) = Program::new("openssl") else {
        return;
    };
    let mut stdin = server.take_stdin();
    let down_too = down.clone();
    let feeding = thread::spawn(move || {
        stdin.write_all(&down_too).unwrap();
        stdin
    });
    let mut client = client
        .args(["s_client", "-quiet", "-connect", &address, "-CAfile"])
        .arg(&fixture.ca)
        .stdin(up.clone())
        .start();
    // OpenSSL knows no half-closing: it goes when it sees our end, so that must come last.
    server.heard_bytes(up.len());
    drop(feeding.join().unwrap());
    let finished = server.wait().expect(0, &[]);
    client.wait(PATIENCE);
    assert!(
        client.stdout() == down,
        "OpenSSL has {} bytes",
        client.stdout().len()
    );
    assert!(
        finished.stdout == up,
        "{} bytes came",
        finished.stdout.len()
    );
}
