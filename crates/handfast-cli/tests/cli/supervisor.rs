//! What `handfast serve` tells a service manager, and when.

use std::io::{self, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use handfast_testbed::launch::Program;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use crate::serving::{HANDFAST, PATIENCE, Place, signal};

/// The next message other than `WATCHDOG=1`.
fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    loop {
        let count = socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        if text != "WATCHDOG=1" {
            return text;
        }
    }
}

#[test]
fn a_service_manager_is_notified_of_start_reloads_and_stop() {
    let place = Place::new();
    let public = place.path("public");
    let path = place.path("notify");
    let name = format!("handfast-test-{}", std::process::id());
    let named = SocketAddr::from_abstract_name(&name).unwrap();
    for (socket, address) in [
        (
            UnixDatagram::bind(&path).unwrap(),
            path.display().to_string(),
        ),
        (UnixDatagram::bind_addr(&named).unwrap(), format!("@{name}")),
    ] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut running = place
            .program("serve")
            .env("NOTIFY_SOCKET", address)
            .env("WATCHDOG_USEC", "200000")
            .args(["--listen", "127.0.0.1:0"])
            .arg(&public)
            .start();
        assert_eq!(next(&socket), "READY=1\nSTATUS=serving at 1 addresses");
        // Written before, and collected by another thread of this test.
        running.expect_output("listening on", PATIENCE);
        // `WATCHDOG=1` comes on its own.
        let mut buffer = [0; 64];
        for _ in 0..3 {
            let count = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"WATCHDOG=1");
        }
        signal(&running, "-HUP");
        let reloading = next(&socket);
        assert!(
            reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reloading}"
        );
        assert!(next(&socket).starts_with("READY=1\n"));
        signal(&running, "-TERM");
        assert_eq!(
            next(&socket),
            "STOPPING=1\nSTATUS=waiting for 0 connections"
        );
        assert!(
            running.wait(PATIENCE).unwrap().success(),
            "{}",
            running.output()
        );
    }
}

/// A pipe that nothing reads, and that takes nothing more.
struct Stalled {
    writer: io::PipeWriter,
    reader: io::PipeReader,
}

impl Stalled {
    fn new() -> Self {
        let (reader, writer) = io::pipe().unwrap();
        Self { writer, reader }
    }

    /// Writes until it is full; the writing thread ends with the pipe.
    fn fill(&self) {
        let mut writer = self.writer.try_clone().unwrap();
        thread::spawn(move || {
            let _ = writer.write_all(&[b'x'; 8 << 20]);
        });
        let deadline = Instant::now() + PATIENCE;
        let no_wait = Timespec::default();
        while poll(
            &mut [PollFd::new(&self.writer, PollFlags::OUT)],
            Some(&no_wait),
        )
        .unwrap()
            > 0
        {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }
}

#[test]
fn a_server_whose_output_is_not_read_starts_reloads_and_stops() {
    let place = Place::new();
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let (out, err) = (Stalled::new(), Stalled::new());
    out.fill();
    let mut server = Command::new(HANDFAST)
        .args(["serve", "--listen", "127.0.0.1:0", "--log", "off"])
        .arg(place.path("public"))
        .env("HANDFAST_CA_DIR", place.path("ca"))
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::null())
        .stdout(out.writer.try_clone().unwrap())
        .stderr(err.writer.try_clone().unwrap())
        .spawn()
        .unwrap();
    assert!(next(&socket).starts_with("READY=1\n"));
    err.fill();
    let pid = Pid::from_child(&server);
    for _ in 0..2 {
        kill_process(pid, Signal::HUP).unwrap();
        assert!(next(&socket).starts_with("RELOADING=1\n"));
        assert!(next(&socket).starts_with("READY=1\n"));
    }
    kill_process(pid, Signal::TERM).unwrap();
    assert!(next(&socket).starts_with("STOPPING=1\n"));
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match server.try_wait().unwrap() {
            Some(status) => break status,
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            None => {
                server.kill().unwrap();
                panic!("it does not end");
            }
        }
    };
    assert!(status.success(), "{status}");
    drop((out.reader, err.reader));
}

/// As systemd does it: the sockets stay open in the process that made them, and clients that connect while no server runs wait.
#[test]
fn sockets_that_were_handed_over_are_served_by_one_process_after_another() {
    let place = Place::new();
    let public = place.path("public");
    let Some(python) = Program::new("python3") else {
        return;
    };
    // The service manager: it binds, and starts the server twice with its sockets from descriptor 3 on.
    let manager = r#"
import os, socket, ssl, subprocess, sys, tempfile
handfast, public, ca, unix = sys.argv[1:]
tcp = socket.create_server(("127.0.0.1", 0))
local = socket.socket(socket.AF_UNIX); local.bind(unix); local.listen()
port = tcp.getsockname()[1]
def start():
    def hand_over():
        os.dup2(tcp.fileno(), 60); os.dup2(local.fileno(), 61)
        os.dup2(60, 3); os.dup2(61, 4)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="web:local")
        os.execv(handfast, [handfast, "serve", "--listen", "systemd:local", "--listen", "systemd", public])
    pid = os.fork()
    if pid == 0:
        os.environ["HANDFAST_CA_DIR"] = ca
        hand_over()
    return pid
def ask(connect):
    context = ssl.create_default_context(cafile=os.path.join(ca, "ca.pem"))
    with context.wrap_socket(connect(), server_hostname="localhost") as stream:
        stream.sendall(b"GET /f HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        reply = b""
        while piece := stream.recv(65536):
            reply += piece
    return reply.endswith(b"content")
def over_unix():
    one = socket.socket(socket.AF_UNIX); one.connect(unix); return one
for turn in range(2):
    # No server runs yet: the connection waits.
    early = socket.create_connection(("127.0.0.1", port))
    pid = start()
    import time
    until = time.monotonic() + 30
    while not os.path.exists(os.path.join(ca, "ca.pem")) and time.monotonic() < until:
        time.sleep(0.01)
    print("tcp", ask(lambda: early), "unix", ask(over_unix), flush=True)
    os.kill(pid, 15)
    print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "socket", os.path.exists(unix), flush=True)
"#;
    let finished = python
        .args(["-c", manager, HANDFAST])
        .arg(&public)
        .arg(place.path("ca"))
        .arg(place.path("unix"))
        .limit(PATIENCE * 2)
        .run();
    let turn = "tcp True unix True\nexit 0 socket True\n";
    let lines: String = finished
        .out()
        .lines()
        .filter(|line| line.starts_with("tcp") || line.starts_with("exit"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(lines, turn.repeat(2), "{finished}");
}

#[test]
fn a_socket_that_was_not_handed_over_is_told() {
    let place = Place::new();
    let finished = place
        .program("serve")
        .args(["--listen", "systemd:web"])
        .arg(place.path("public"))
        .run();
    assert_eq!(finished.code, Some(1), "{finished}");
    let told = finished.err();
    assert!(
        told.contains("no socket of the name \"web\" was handed over [inherited-socket-missing]"),
        "{finished}"
    );
    assert!(
        told.contains("fix: start the unit that has the sockets"),
        "{finished}"
    );
}

#[test]
fn a_unix_socket_is_served_and_removed_at_the_end() {
    let place = Place::new();
    let public = place.path("public");
    let path = place.path("s/socket");
    std::fs::create_dir(place.path("s")).unwrap();
    let listen = format!("unix:{}", path.display());
    let mut running = place
        .program("serve")
        .args(["--listen", &listen])
        .arg(&public)
        .start();
    running.expect_output(&format!("listening on {listen}\n"), PATIENCE);
    if let Some(curl) = Program::new("curl") {
        let fetched = curl
            .args(["-sS", "--cacert"])
            .arg(place.path("ca/ca.pem"))
            .arg("--unix-socket")
            .arg(&path)
            .arg("https://localhost/f")
            .run();
        assert_eq!(fetched.out(), "content", "{fetched}");
    }
    signal(&running, "-TERM");
    assert!(
        running.wait(PATIENCE).unwrap().success(),
        "{}",
        running.output()
    );
    assert!(!path.exists());
}
