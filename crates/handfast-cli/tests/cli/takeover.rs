//! `handfast serve --takeover`: one process takes over from another, and no client notices.

use std::fs;
use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use handfast::{Channel, ClientContext, ClosePolicy, ReadOutcome, Stream, TrustAnchors};
use handfast_testbed::launch::Running;
use handfast_testbed::skipped;
use rustix::fs::{FlockOperation, flock};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::serving::{PATIENCE, Place, Serving, signal};

/// How many processes follow each other.
const GENERATIONS: usize = 20;

/// What a process that takes over begins with.
const HELLO: &[u8] = b"handfast takeover 1\n";

const LARGE: usize = 20_000_000;

fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    fs::write(place.path("public/large"), vec![b'x'; LARGE]).unwrap();
    place
}

/// A server with the control socket of this place, on a free port unless it takes over another.
fn serve(place: &Place, more: &[&str]) -> Serving {
    let (control, public) = (place.text("run/control"), place.text("public"));
    let listen = ["--listen", "127.0.0.1:0", "--takeover", &control, &public];
    place.serve(&[&listen, more].concat())
}

/// The next one, once it has taken over.
fn successor(place: &Place, before: &Serving, more: &[&str]) -> Serving {
    let next = serve(place, more);
    let pid = before.running.id();
    let expected = format!("from process {pid}, which finishes its open connections");
    next.running.expect_output(&expected, PATIENCE);
    // The other one says it as well, whether it has connections or not.
    let expected = format!("process {} serves now", next.running.id());
    before.running.expect_output(&expected, PATIENCE);
    assert_eq!(next.port, before.port);
    next
}

fn client(place: &Place) -> ClientContext {
    let root = fs::read(place.path("ca/ca.pem")).unwrap();
    let anchors = TrustAnchors::empty().with_pem(&root).unwrap();
    ClientContext::builder().trust(anchors).build().unwrap()
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

/// Asks for `f` on a connection of its own, and says whether the session was resumed.
fn ask<C: Channel>(client: &ClientContext, channel: C) -> Result<bool, String> {
    let text = |error: handfast::Error| format!("{error}: {:?}", error.cause());
    let mut stream = client
        .secure("localhost", channel)
        .map_err(|failure| text(failure.error))?;
    let is_resumed = stream.report().resumed;
    stream
        .write_all(request("/f").as_bytes())
        .map_err(|error| error.to_string())?;
    let (reply, ending) = stream.read_to_ending().map_err(text)?;
    stream.close(ClosePolicy::Send);
    match reply.starts_with(b"HTTP/1.1 200 ") && reply.ends_with(b"content") {
        true => Ok(is_resumed),
        false => Err(format!("{ending:?}: {}", String::from_utf8_lossy(&reply))),
    }
}

fn ask_at(client: &ClientContext, port: u16) -> Result<bool, String> {
    let socket = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(client, socket)
}

/// Asks for `f` on one connection, until the server says that a reply is the last. Returns how many it has answered.
fn ask_on(client: &ClientContext, port: u16, stop: &AtomicBool) -> Result<usize, String> {
    let text = |error: handfast::Error| format!("{error}: {:?}", error.cause());
    let socket = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut stream = client
        .secure("localhost", socket)
        .map_err(|failure| text(failure.error))?;
    let mut answered = 0;
    while !stop.load(Ordering::Relaxed) {
        stream
            .write_all(b"GET /f HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .and_then(|()| stream.flush())
            .map_err(|error| format!("after {answered} requests: {error}"))?;
        let (mut reply, mut buffer) = (Vec::new(), [0; 4096]);
        while !reply.ends_with(b"content") {
            match stream.read_some(&mut buffer).map_err(text)? {
                ReadOutcome::Data(count) => reply.extend_from_slice(&buffer[..count]),
                other => return Err(format!("after {answered} requests: {other:?}")),
            }
        }
        answered += 1;
        if String::from_utf8_lossy(&reply)
            .to_ascii_lowercase()
            .contains("connection: close")
        {
            break;
        }
    }
    stream.close(ClosePolicy::Send);
    Ok(answered)
}

/// Clients that ask for as long as it lives: half of them on a connection for each request, the others on connections that are kept.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    clients: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(place: &Place, port: u16) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let clients = (0..4).map(|number| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let client = client(place);
            thread::spawn(move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answered = match number % 2 {
                        0 => ask_at(&client, port).map(|_| 1),
                        _ => ask_on(&client, port, &stop),
                    };
                    match answered {
                        Ok(count) => _ = AtomicUsize::fetch_add(&served, count, Ordering::Relaxed),
                        Err(failure) => failures.push(failure),
                    }
                }
                failures
            })
        });
        let clients = clients.collect();
        Self {
            stop,
            served,
            clients,
        }
    }

    /// Waits until so many more were served.
    fn wait(&self, count: usize) {
        let enough = self.served.load(Ordering::Relaxed) + count;
        let deadline = Instant::now() + PATIENCE;
        while self.served.load(Ordering::Relaxed) < enough {
            assert!(Instant::now() < deadline, "nothing is served");
            thread::yield_now();
        }
    }

    /// What failed.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        clients.flat_map(|one| one.join().unwrap()).collect()
    }
}

fn ends_well(mut running: Running) {
    let status = running.wait(PATIENCE);
    let output = running.output();
    assert!(status.is_some_and(|status| status.success()), "{output}");
}

/// Reads on, to this size at least.
fn read_to(stream: &mut Stream<TcpStream>, read: &mut Vec<u8>, size: usize) {
    let mut buffer = vec![0; 65536];
    while read.len() < size {
        match stream.read_some(&mut buffer).unwrap() {
            ReadOutcome::Data(count) => read.extend_from_slice(&buffer[..count]),
            other => panic!("{other:?} after {} bytes", read.len()),
        }
    }
}

#[test]
fn twenty_processes_take_over_from_each_other_and_no_client_is_refused_or_reset() {
    let place = place();
    let mut server = serve(&place, &["--log", "off"]);
    let port = server.port;
    let load = Load::on(&place, port);
    load.wait(10);
    // A download that lasts as long as all of them together is answered by the first.
    let client = client(&place);
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut download = client.secure("localhost", socket).unwrap();
    download.write_all(request("/large").as_bytes()).unwrap();
    let mut downloaded = Vec::new();
    let mut first = None;
    for generation in 1..=GENERATIONS {
        let next = successor(&place, &server, &["--log", "off"]);
        let before = std::mem::replace(&mut server, next);
        read_to(
            &mut download,
            &mut downloaded,
            LARGE / 2 * generation / GENERATIONS,
        );
        match generation {
            1 => first = Some(before.running),
            _ => ends_well(before.running),
        }
        load.wait(10);
    }
    assert_eq!(load.end(), [""; 0]);
    let (rest, _) = download.read_to_ending().unwrap();
    downloaded.extend(rest);
    let head = memchr::memmem::find(&downloaded, b"\r\n\r\n").unwrap();
    assert_eq!(downloaded.len() - head - 4, LARGE);
    ends_well(first.unwrap());
    signal(&server.running, "-TERM");
    ends_well(server.running);
    assert!(!place.path("run/control").exists());
}

#[test]
fn sessions_unix_sockets_and_the_status_page_are_taken_over() {
    let place = place();
    let unix = place.path("run/socket");
    let listen = format!("unix:{}", unix.display());
    let more = ["--listen", &listen, "--status", "127.0.0.1:0"];
    let first = serve(&place, &more);
    let client = client(&place);
    assert_eq!(ask_at(&client, first.port), Ok(false));
    assert_eq!(ask_at(&client, first.port), Ok(true));
    let status = |server: &Serving| {
        let output = server.running.output();
        let (_, rest) = output.split_once("/metrics on https://127.0.0.1:").unwrap();
        rest.split_once('/').unwrap().0.parse::<u16>().unwrap()
    };
    let second = successor(&place, &first, &more);
    ends_well(first.running);
    // A session that the first began.
    assert_eq!(ask_at(&client, second.port), Ok(true));
    ask(&client, UnixStream::connect(&unix).unwrap()).unwrap();
    let port = status(&second);
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.secure("localhost", socket).unwrap();
    // What the next one does not listen on is closed, and what waited there is served.
    let third = successor(&place, &second, &["--grace", "0"]);
    ends_well(second.running);
    assert!(!unix.exists());
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(ask_at(&client, third.port), Ok(true));

    // A signal ends one that still answers.
    let socket = TcpStream::connect(("127.0.0.1", third.port)).unwrap();
    let mut download = client.secure("localhost", socket).unwrap();
    download.write_all(request("/large").as_bytes()).unwrap();
    read_to(&mut download, &mut Vec::new(), 1);
    let fourth = successor(&place, &third, &[]);
    let pid = fourth.running.id();
    let expected = format!("process {pid} serves now: one connection is open here");
    third.running.expect_output(&expected, PATIENCE);
    signal(&third.running, "-TERM");
    ends_well(third.running);
}

#[test]
fn a_process_that_does_not_start_changes_nothing() {
    let place = place();
    let unix = place.path("run/socket");
    let listen = format!("unix:{}", unix.display());
    let first = serve(&place, &["--listen", &listen]);
    let client = client(&place);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().unwrap().to_string();
    let finished = place
        .program("serve")
        .args(["--listen", "127.0.0.1:0", "--listen", &listen])
        .args(["--listen", &busy])
        .arg("--takeover")
        .arg(place.path("run/control"))
        .arg(place.path("public"))
        .run();
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.err().contains("[address-in-use]"), "{finished}");
    let expected = "that was to take over has not: it ended before it served; this one goes on";
    first.running.expect_output(expected, PATIENCE);

    // A stranger, and one that says nothing more.
    let mut stranger = UnixStream::connect(place.path("run/control")).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n    ").unwrap();
    assert_eq!(stranger.read(&mut [0; 1]).unwrap_or(0), 0);
    let expected = "has not: it is of another version; this one goes on";
    first.running.expect_output(expected, PATIENCE);

    ask_at(&client, first.port).unwrap();
    ask(&client, UnixStream::connect(&unix).unwrap()).unwrap();
    let second = successor(&place, &first, &["--listen", &listen]);
    ends_well(first.running);
    ask(&client, UnixStream::connect(&unix).unwrap()).unwrap();
    signal(&second.running, "-TERM");
    ends_well(second.running);
    assert!(!unix.exists() && !place.path("run/control").exists());
}

#[test]
fn listeners_that_a_reload_has_added_are_taken_over() {
    let place = place();
    let [one, other] = ["run/one", "run/other"].map(|name| place.path(name));
    let configure = |sockets: &[&Path]| {
        let sockets = sockets.iter().map(|path| {
            let path = path.display();
            format!("[[listener]]\naddress = \"unix:{path}\"\n")
        });
        let text = format!(
            "takeover = \"run/control\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n{}[[site]]\nroot = \"public\"\n",
            sockets.collect::<String>()
        );
        fs::write(place.path("handfast.toml"), text).unwrap();
    };
    configure(&[&one]);
    let config = place.text("handfast.toml");
    let first = place.serve(&["--config", &config]);
    configure(&[&other]);
    signal(&first.running, "-HUP");
    let expected = format!("no longer listening on unix:{}", one.display());
    first.running.expect_output(&expected, PATIENCE);
    let client = client(&place);
    ask(&client, UnixStream::connect(&other).unwrap()).unwrap();
    let second = place.serve(&["--config", &config]);
    let pid = first.running.id();
    let expected = format!("took over 2 listeners from process {pid}");
    second.running.expect_output(&expected, PATIENCE);
    ends_well(first.running);
    assert_eq!(second.port, first.port);
    ask(&client, UnixStream::connect(&other).unwrap()).unwrap();
    ask_at(&client, second.port).unwrap();
    signal(&second.running, "-TERM");
    ends_well(second.running);
    assert!(!other.exists());
}

#[test]
fn an_address_that_overlaps_with_one_of_the_running_process_takes_its_place() {
    let place = place();
    let control = place.text("run/control");
    let public = place.text("public");
    let mut server = serve(&place, &["--log", "off"]);
    let port = server.port;
    ask_at(&client(&place), port).unwrap();
    for address in ["0.0.0.0", "127.0.0.1", "0.0.0.0"] {
        let listen = format!("{address}:{port}");
        let more = [
            "--listen",
            &listen,
            "--takeover",
            &control,
            "--log",
            "off",
            &public,
        ];
        let running = place.program("serve").args(more).start();
        let expected = format!(
            "from process {}, which finishes its open connections",
            server.running.id()
        );
        running.expect_output(&expected, PATIENCE);
        let before = std::mem::replace(&mut server, Serving { running, port });
        ends_well(before.running);
        ask_at(&client(&place), port).unwrap();
    }
    // Both at once exclude each other, as at any start; the running one goes on.
    let both = [format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}")];
    let finished = place
        .program("serve")
        .args(["--listen", &both[0], "--listen", &both[1]])
        .args(["--takeover", &control, &public])
        .run();
    assert!(!finished.succeeded(), "{finished}");
    ask_at(&client(&place), port).unwrap();
}

/// The one was started in the directory of its sockets, the other elsewhere, and names them by way of a link.
#[test]
fn unix_sockets_are_found_by_where_they_are() {
    let place = place();
    let (unix, control) = (place.path("run/socket"), place.path("run/control"));
    std::os::unix::fs::symlink(place.path("run"), place.path("link")).unwrap();
    let start = |directory: &Path, socket: &str, control: &str| {
        place
            .program("serve")
            .current_dir(directory)
            .args(["--listen", socket, "--takeover", control, "--no-sandbox"])
            .arg(place.path("public"))
            .start()
    };
    let first = start(&place.path("run"), "unix:socket", "control");
    first.expect_output("listening on unix:", PATIENCE);
    let socket = format!("unix:{}", place.text("link/socket"));
    let second = start(&place.path("public"), &socket, &place.text("link/control"));
    let expected = format!("took over one listener from process {}", first.id());
    second.expect_output(&expected, PATIENCE);
    ends_well(first);
    ask(&client(&place), UnixStream::connect(&unix).unwrap()).unwrap();
    signal(&second, "-TERM");
    ends_well(second);
    assert!(!unix.exists() && !control.exists());
}

#[test]
fn a_service_manager_is_told_which_process_serves() {
    let place = place();
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let start = |watchdog: Option<u32>| {
        let mut program = place.program("serve").env("NOTIFY_SOCKET", &path);
        if let Some(pid) = watchdog {
            // As it was told the first process.
            program = program
                .env("WATCHDOG_USEC", "200000")
                .env("WATCHDOG_PID", pid.to_string());
        }
        program
            .args([
                "--listen",
                "127.0.0.1:0",
                "--takeover",
                &place.text("run/control"),
            ])
            .arg(place.path("public"))
            .start()
    };
    let next = || {
        let mut buffer = [0; 1024];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let first = start(None);
    assert_eq!(next(), "READY=1\nSTATUS=serving at 1 addresses");
    let second = start(Some(first.id()));
    let pid = second.id();
    let ready = format!("READY=1\nMAINPID={pid}\nSTATUS=serving at 1 addresses");
    let mut expected = vec![format!("MAINPID={pid}"), ready, "WATCHDOG=1".to_owned()];
    while !expected.is_empty() {
        let said = next();
        let at = expected.iter().position(|one| *one == said);
        match at {
            Some(at) => drop(expected.remove(at)),
            None => assert_eq!(said, "WATCHDOG=1"),
        }
    }
    ends_well(first);
    signal(&second, "-TERM");
    while !next().starts_with("STOPPING=1") {}
    ends_well(second);
}

/// How a start with this control socket fails.
fn refused(place: &Place, control: &Path) -> String {
    let finished = place
        .program("serve")
        .args(["--listen", "127.0.0.1:0", "--takeover"])
        .arg(control)
        .arg(place.path("public"))
        .run();
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.err().contains("[takeover-failed]"), "{finished}");
    finished.err()
}

#[test]
fn a_control_socket_of_a_dead_process_is_replaced_and_of_another_program_it_is_told() {
    let place = place();
    let control = place.path("run/control");
    drop(UnixListener::bind(&control).unwrap());
    let server = serve(&place, &[]);
    ask_at(&client(&place), server.port).unwrap();
    drop(server);

    let other = place.path("run/other");
    let listener = UnixListener::bind(&other).unwrap();
    let answers = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-other\r\n").unwrap();
    });
    let told = refused(&place, &other);
    assert!(told.contains("does not hand over its sockets"), "{told}");
    answers.join().unwrap();

    let file = place.path("public/f");
    let told = refused(&place, &file);
    assert!(told.contains("which is not a socket"), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "content");
    refused(&place, &place.path("none/control"));
}

#[test]
fn a_server_that_has_become_another_user_is_taken_over() {
    if fs::read_to_string("/proc/self/status").is_ok_and(|status| !status.contains("\nUid:\t0\t0"))
    {
        skipped::note("only root can become another user");
        return;
    }
    let place = place();
    let first = serve(&place, &["--user", "nobody"]);
    let client = client(&place);
    ask_at(&client, first.port).unwrap();
    let second = successor(&place, &first, &["--user", "nobody"]);
    ends_well(first.running);
    ask_at(&client, second.port).unwrap();
    let third = successor(&place, &second, &["--no-sandbox"]);
    ends_well(second.running);
    ask_at(&client, third.port).unwrap();
}

/// Plays the running process, at these sockets: hands over, says what is given once the new process says that it is ready or before, and
/// ends.
fn hand_over(control: &UnixListener, socket: &UnixListener, key: &str, before: &[u8], then: &[u8]) {
    let (mut stream, _) = control.accept().unwrap();
    stream.read_exact(&mut [0; HELLO.len()]).unwrap();
    let offer =
        format!(r#"{{"pid":7,"listeners":[{{"key":"{key}","sockets":1}}],"ticket_keys":0}}"#);
    let length = u32::try_from(offer.len()).unwrap().to_be_bytes();
    stream
        .write_all(&[&length, offer.as_bytes()].concat())
        .unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    let descriptors = [socket.as_fd(), control.as_fd()];
    assert!(with.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(
        &stream,
        &[IoSlice::new(b"\n")],
        &mut with,
        SendFlags::empty(),
    )
    .unwrap();
    stream.write_all(before).unwrap();
    if before.is_empty() {
        read_ready(&mut stream);
        stream.write_all(then).unwrap();
    }
}

fn read_ready(stream: &mut UnixStream) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut ready = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut ready).unwrap();
}

#[test]
fn a_process_whose_predecessor_has_taken_everything_back_ends_and_leaves_its_files() {
    // Before this process serves, and when it says that it does.
    for (before, then) in [(&b"back"[..], &b""[..]), (b"", b"back")] {
        let place = place();
        let [control, socket] = ["run/control", "run/socket"].map(|name| place.path(name));
        let key = format!("unix:{}", socket.display());
        let [of_control, of_socket] =
            [&control, &socket].map(|path| UnixListener::bind(path).unwrap());
        let finished = thread::scope(|scope| {
            scope.spawn(|| hand_over(&of_control, &of_socket, &key, before, then));
            place
                .program("serve")
                .args(["--listen", "127.0.0.1:0", "--listen", &key, "--takeover"])
                .arg(&control)
                .arg(place.path("public"))
                .run()
        });
        assert_eq!(finished.code, Some(1), "{finished}");
        let expected = "process 7 has taken back its listeners";
        assert!(finished.err().contains(expected), "{finished}");
        assert!(control.exists() && socket.exists());
    }
}

#[test]
fn a_process_whose_predecessor_is_gone_without_a_word_serves_and_has_the_files() {
    let place = place();
    let [control, socket] = ["run/control", "run/socket"].map(|name| place.path(name));
    let key = format!("unix:{}", socket.display());
    let [of_control, of_socket] = [&control, &socket].map(|path| UnixListener::bind(path).unwrap());
    let before = thread::scope(|scope| {
        let before = scope.spawn(|| hand_over(&of_control, &of_socket, &key, b"", b""));
        let server = serve(&place, &["--listen", &key]);
        before.join().unwrap();
        server
    });
    let expected = "process 7, whose listeners this one has taken over, ended before it was told";
    before.running.expect_output(expected, PATIENCE);
    drop((of_control, of_socket));
    ask(&client(&place), UnixStream::connect(&socket).unwrap()).unwrap();
    signal(&before.running, "-TERM");
    ends_well(before.running);
    assert!(!control.exists() && !socket.exists());
}

/// A process that takes over and is not ready yet.
fn begun(place: &Place) -> UnixStream {
    let mut stream = UnixStream::connect(place.path("run/control")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(HELLO).unwrap();
    read_ready(&mut stream);
    stream
}

/// What comes behind the descriptors.
fn answer(stream: &mut UnixStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    rest.split_off(rest.len().saturating_sub(4))
}

#[test]
fn a_process_that_is_stopped_while_another_takes_over_leaves_its_files_only_to_one_that_serves() {
    let ready = [&[0, 0, 0, 13][..], br#"{"unused":[]}"#].concat();
    for case in ["serves", "ends", "waits"] {
        let place = place();
        let unix = place.path("run/socket");
        let listen = format!("unix:{}", unix.display());
        let server = serve(&place, &["--listen", &listen]);
        let mut next = begun(&place);
        signal(&server.running, "-TERM");
        match case {
            "serves" => next.write_all(&ready).unwrap(),
            "ends" => next.shutdown(std::net::Shutdown::Both).unwrap(),
            // The time is over.
            _ => assert_eq!(answer(&mut next), b"back"),
        }
        ends_well(server.running);
        let is_left = case == "serves";
        if is_left {
            assert_eq!(answer(&mut next), b"done");
        }
        let control = place.path("run/control");
        assert_eq!([unix.exists(), control.exists()], [is_left; 2], "{case}");
    }
}

#[test]
fn of_processes_that_find_a_stale_control_socket_together_each_is_taken_over_or_serves() {
    let place = place();
    let control = place.path("run/control");
    drop(UnixListener::bind(&control).unwrap());
    // As another one does that looks, removes and binds.
    let directory = fs::File::open(place.path("run")).unwrap();
    flock(&directory, FlockOperation::LockExclusive).unwrap();
    let listen = [
        "--listen",
        "127.0.0.1:0",
        "--takeover",
        &place.text("run/control"),
    ];
    let next = place
        .program("serve")
        .args(listen)
        .arg(place.path("public"))
        .start();
    // It waits for the lock by now, or will soon; either way it finds this one.
    fs::remove_file(&control).unwrap();
    let first = UnixListener::bind(&control).unwrap();
    let socket = place.path("run/socket");
    let of_socket = UnixListener::bind(&socket).unwrap();
    drop(directory);
    hand_over(&first, &of_socket, "unix:other", b"", b"done");
    next.expect_output("took over 0 listeners from process 7", PATIENCE);
}
