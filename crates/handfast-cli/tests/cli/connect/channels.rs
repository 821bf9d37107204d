//! Every channel that is not TCP, from both sides.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::thread;

use handfast::{ClosePolicy, Device, Ending};
use handfast_testbed::peers;
use rustix::termios::{LocalModes, tcgetattr};

use super::support::{PATIENCE, Talk, run, serve};
use crate::common::Fixture;
use crate::terminal::terminal;

/// Copies between its standard input and output and a socket, as `nc` would.
const RELAY: &str = r"
import os, select, socket, sys
kind, where = sys.argv[1:3]
if kind == 'unix':
    s = socket.socket(socket.AF_UNIX); s.connect(where)
else:
    host, port = where.rsplit(':', 1); s = socket.create_connection((host, int(port)))
open_ends = {0, s}
while open_ends:
    for end in select.select(list(open_ends), [], [])[0]:
        data = os.read(0, 65536) if end == 0 else s.recv(65536)
        if not data:
            open_ends.discard(end)
            if end == 0: s.shutdown(socket.SHUT_WR)
            else: os.close(1)
        elif end == 0: s.sendall(data)
        else:
            while data: data = data[os.write(1, data):]
";

/// The command that relays to there, for `exec:`.
fn relay(fixture: &Fixture, kind: &str, target: &str) -> Option<String> {
    let python = peers::require("python3")?;
    let script = fixture.path("relay.py");
    std::fs::write(&script, RELAY).unwrap();
    let (python, script) = (python.display(), script.display());
    Some(format!("exec:exec {python} {script} {kind} {target}"))
}

#[test]
fn both_sides_meet_over_a_unix_socket_whose_name_is_gone_afterwards() {
    let fixture = Fixture::new();
    let path = fixture.path("socket");
    let target = format!("unix:{}", path.display());
    let mut server = Talk::start(&mut fixture.listen(&target, [""; 0]));
    server.told("listening on unix:");
    let args = ["--servername", "localhost", &target];
    let mut client = Talk::start(&mut fixture.connect(args));
    client.write("from the client\n");
    server.heard("from the client");
    server.write("from the server\n");
    client.heard("from the server");
    assert!(!path.exists(), "the socket's file is removed");
    client.end_input();
    server.finish().expect(0, &["close: complete"]);
    client
        .wait()
        .expect(0, &["verified for localhost", "close: complete"]);
}

#[test]
fn a_command_is_the_channel_and_is_reaped() {
    let fixture = Fixture::new();
    let context = fixture.server_context();
    let (address, server) = serve(move |socket| {
        let mut stream = context.accept(socket).unwrap();
        stream.write_all(b"answer").unwrap();
        let (bytes, ending) = stream.read_to_ending().unwrap();
        stream.close(ClosePolicy::default());
        (bytes, ending)
    });
    let Some(command) = relay(&fixture, "tcp", &address.to_string()) else {
        return;
    };
    let mut command = fixture.connect(["--servername", "localhost", &command]);
    let finished = run(&mut command, b"question").expect(0, &["exec:exec", "close: complete"]);
    assert_eq!(finished.out(), "answer");
    let came = server.join().unwrap();
    assert_eq!(came, (b"question".to_vec(), Ending::CloseNotify));
}

#[test]
fn a_server_runs_over_a_command_too() {
    let fixture = Fixture::new();
    let path = fixture.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let context = fixture.client_context();
    let client = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = context.secure("localhost", socket).unwrap();
        stream.write_all(b"question").unwrap();
        stream.finish().unwrap();
        stream.read_to_ending().unwrap()
    });
    let Some(command) = relay(&fixture, "unix", &path.display().to_string()) else {
        return;
    };
    let finished = run(&mut fixture.listen(&command, [""; 0]), b"answer");
    let finished = finished.expect(0, &["server name localhost", "close: complete"]);
    assert_eq!(finished.out(), "question");
    let came = client.join().unwrap();
    assert_eq!(came, (b"answer".to_vec(), Ending::CloseNotify));
}

#[test]
fn a_command_that_fails_is_told_and_one_that_stays_is_killed() {
    let fixture = Fixture::new();
    let connect = |command: &str| fixture.connect(["--servername", "localhost", command]);
    run(&mut connect("exec:exit 3"), b"").expect(
        35,
        &[
            "closed-without-a-byte",
            "exit status: 3",
            "fix: run the command by itself",
        ],
    );
    run(&mut connect("exec:echo 'no such host'"), b"").expect(35, &["not-tls", "no such host"]);
    let stays = "exec:exec >&-; exec sleep 1000";
    run(&mut connect(stays), b"").expect(35, &["did not end and was killed"]);
}

#[test]
fn a_serial_line_is_raw_during_the_session_and_as_before_afterwards() {
    let fixture = Fixture::new();
    let (ours, theirs, name) = terminal();
    let before = tcgetattr(&theirs).unwrap();
    assert!(before.local_modes.contains(LocalModes::ICANON));
    let context = fixture.server_context();
    // Every byte there is, the ones that a terminal would swallow or change included.
    let all: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    let expected = all.clone();
    let server = thread::spawn(move || {
        let mut stream = context.accept(Device::new(ours)).unwrap();
        // A line has no FIN: close_notify alone tells.
        let (bytes, ending) = stream.read_to_ending().unwrap();
        stream.write_all(&bytes).unwrap();
        stream.flush().unwrap();
        stream.close(ClosePolicy::Send);
        // The other end of a terminal must not go before everything was read.
        (ending, stream)
    });
    let target = format!("serial:{name},115200");
    let mut command = fixture.connect(["--servername", "localhost", &target]);
    let finished = run(&mut command, &all).expect(0, &["at 115200 bit/s", "close: complete"]);
    assert!(finished.stdout == expected);
    let (ending, _line) = server.join().unwrap();
    assert_eq!(ending, Ending::CloseNotify);
    let after = tcgetattr(&theirs).unwrap();
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
}

#[test]
fn a_server_on_a_serial_line() {
    let fixture = Fixture::new();
    let (ours, theirs, name) = terminal();
    let before = tcgetattr(&theirs).unwrap();
    let mut server = Talk::start(&mut fixture.listen(&format!("serial:{name}"), [""; 0]));
    // From here on the line is raw.
    server.told("listening on serial:");
    let context = fixture.client_context();
    let mut stream = context.secure("localhost", Device::new(ours)).unwrap();
    stream.write_all(b"question\n").unwrap();
    stream.flush().unwrap();
    server.heard("question");
    server.write("answer");
    server.end_input();
    let (bytes, ending) = stream.read_to_ending().unwrap();
    assert_eq!((&bytes[..], ending), (&b"answer"[..], Ending::CloseNotify));
    stream.close(ClosePolicy::Send);
    server.wait().expect(0, &["close: complete"]);
    assert_eq!(
        format!("{:?}", tcgetattr(&theirs).unwrap()),
        format!("{before:?}")
    );
}

#[test]
fn what_is_no_serial_line_is_refused() {
    let fixture = Fixture::new();
    let mut command = fixture.connect(["--servername", "x", "serial:/dev/null"]);
    run(&mut command, b"").expect(7, &["channel-unusable", "serial line"]);
}
