//! `handfast serve` while the listeners in its configuration change: confined, and without a sandbox.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use handfast::{Channel, ClientContext, Stream, TrustAnchors};
use handfast_testbed::skipped;

use crate::serving::{PATIENCE, Place, Serving, signal};

/// Both ways to serve: a helper opens what is added, or the server itself.
const WAYS: [&[&str]; 2] = [&[], &["--no-sandbox"]];

/// A configuration of these listeners, for `public`.
fn configure(place: &Place, listeners: &[(&str, &str)]) {
    configure_site(place, listeners, "public");
}

fn configure_site(place: &Place, listeners: &[(&str, &str)], root: &str) {
    let mut text = format!("threads = 2\n[[site]]\nroot = \"{root}\"\n");
    for (address, kind) in listeners {
        text.push_str(&format!(
            "[[listener]]\naddress = \"{address}\"\nkind = \"{kind}\"\n"
        ));
    }
    // As an editor would: whole or not there.
    fs::write(place.path("new"), text).unwrap();
    fs::rename(place.path("new"), place.path("handfast.toml")).unwrap();
}

fn serve(place: &Place, arguments: &[&str]) -> Serving {
    let config = place.text("handfast.toml");
    place.serve(&[&["--config", &config], arguments].concat())
}

/// A port of 127.0.0.1 that nothing listens on.
fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// The port after the last such text.
#[track_caller]
fn port_after(server: &Serving, text: &str) -> u16 {
    let output = server.running.output();
    let (_, rest) = output.rsplit_once(text).unwrap();
    rest.split_once('/').unwrap().0.parse().unwrap()
}

fn client(place: &Place) -> ClientContext {
    let anchors = TrustAnchors::empty().with_file(place.path("ca/ca.pem"));
    let client = ClientContext::builder().trust(anchors.unwrap());
    client.build().unwrap()
}

fn secure<C: Channel + std::fmt::Debug>(place: &Place, socket: C) -> Stream<C> {
    client(place).secure("localhost", socket).unwrap()
}

/// The body of `/f`; the connection stays.
fn ask<C: Channel>(stream: &mut Stream<C>) -> String {
    write!(stream, "GET /f HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream.flush().unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length.lines().find_map(|line| {
                let value = line.strip_prefix("content-length: ")?;
                value.parse::<usize>().ok()
            });
            if length.is_some_and(|length| body.len() >= length) {
                return body.to_owned();
            }
        }
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{text}");
        received.extend_from_slice(&buffer[..count]);
    }
}

fn get(place: &Place, port: u16) -> String {
    let socket = TcpStream::connect(local(port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(&mut secure(place, socket))
}

/// Where plain HTTP is led to.
fn location(port: u16) -> String {
    let mut socket = TcpStream::connect(local(port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
        .write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut reply = String::new();
    socket.read_to_string(&mut reply).unwrap();
    let mut lines = reply.lines();
    let location = lines.find(|line| line.to_ascii_lowercase().starts_with("location:"));
    let location = location.unwrap_or_else(|| panic!("{reply}"));
    location.split_once(": ").unwrap().1.to_owned()
}

#[track_caller]
fn wait_for(server: &Serving, text: &str) {
    server.running.expect_output(text, PATIENCE);
}

#[test]
fn listeners_are_added_and_removed_while_connections_live_on() {
    for way in WAYS {
        let place = Place::new();
        configure(&place, &[("127.0.0.1:0", "https")]);
        let server = serve(&place, way);
        let socket = TcpStream::connect(local(server.port)).unwrap();
        let mut kept = secure(&place, socket);
        assert_eq!(ask(&mut kept), "content");

        let unix = format!("unix:{}", place.text("socket"));
        configure(
            &place,
            &[
                ("127.0.0.1:0", "https"),
                ("127.0.0.1:0", "https"),
                (&unix, "https"),
            ],
        );
        wait_for(&server, "reloaded: the configuration in force has changed");
        let added = port_after(&server, "listening on https://127.0.0.1:");
        assert_ne!(added, server.port);
        assert_eq!(get(&place, added), "content");
        assert_eq!(get(&place, server.port), "content");
        let socket = UnixStream::connect(place.path("socket")).unwrap();
        assert_eq!(ask(&mut secure(&place, socket)), "content");
        assert_eq!(ask(&mut kept), "content");

        let other = free_port();
        configure(&place, &[(&local(other).to_string(), "https")]);
        wait_for(
            &server,
            &format!("no longer listening on 127.0.0.1:{added}"),
        );
        assert_eq!(get(&place, other), "content");
        for gone in [added, server.port] {
            let error = TcpStream::connect(local(gone)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        }
        UnixStream::connect(place.path("socket")).unwrap_err();
        assert_eq!(ask(&mut kept), "content");
        let output = server.running.output();
        assert!(!output.contains("next start"), "{output}");
    }
}

#[test]
fn a_listener_that_redirects_follows_https_and_may_become_one() {
    for way in WAYS {
        let place = Place::new();
        let (first, second, plain) = (free_port(), free_port(), free_port());
        let address = |port| local(port).to_string();
        let (https, other, plain_http) = (address(first), address(second), address(plain));
        configure(&place, &[(&https, "https")]);
        let server = serve(&place, way);
        configure(&place, &[(&https, "https"), (&plain_http, "redirect")]);
        wait_for(
            &server,
            &format!("redirecting http://{plain_http}/ to https from now on"),
        );
        assert_eq!(location(plain), format!("https://localhost:{first}/x"));

        configure(&place, &[(&other, "https"), (&plain_http, "redirect")]);
        wait_for(&server, &format!("no longer listening on {https}"));
        assert_eq!(location(plain), format!("https://localhost:{second}/x"));

        configure(&place, &[(&plain_http, "https"), (&other, "redirect")]);
        wait_for(
            &server,
            &format!("listening on https://{plain_http}/ from now on"),
        );
        assert_eq!(get(&place, plain), "content");
        assert_eq!(location(second), format!("https://localhost:{plain}/x"));
    }
}

#[test]
fn a_listener_that_cannot_be_had_refuses_the_whole_reload() {
    for way in WAYS {
        let place = Place::new();
        fs::create_dir(place.path("second")).unwrap();
        fs::write(place.path("second/f"), "second").unwrap();
        configure(&place, &[("127.0.0.1:0", "https")]);
        let server = serve(&place, way);
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let other = free_port();
        let all = [
            ("127.0.0.1:0", "https"),
            (&local(other).to_string(), "https"),
            (&address.to_string(), "https"),
        ];
        configure_site(&place, &all, "second");
        wait_for(
            &server,
            "not reloaded, what was in force before stays in force",
        );
        wait_for(&server, &format!("cannot listen on {address}"));
        wait_for(&server, "handfast.toml:11:11");
        wait_for(&server, "[address-in-use]");
        // Nothing has changed, and nothing was kept of what could be had.
        assert_eq!(get(&place, server.port), "content");
        let error = TcpStream::connect(local(other)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);

        drop(taken);
        signal(&server.running, "-HUP");
        wait_for(&server, "reloaded: the configuration in force has changed");
        for port in [server.port, other, address.port()] {
            assert_eq!(get(&place, port), "second");
        }
    }
}

#[test]
fn all_addresses_take_the_place_of_one() {
    for way in WAYS {
        let place = Place::new();
        let port = free_port();
        let one = local(port).to_string();
        configure(&place, &[(&one, "https")]);
        let server = serve(&place, way);
        configure(&place, &[(&format!("*:{port}"), "https")]);
        wait_for(
            &server,
            &format!("listening on https://0.0.0.0:{port}/ from now on"),
        );
        wait_for(&server, &format!("no longer listening on {one}"));
        assert_eq!(get(&place, port), "content");
        configure(&place, &[(&one, "https")]);
        wait_for(&server, &format!("no longer listening on 0.0.0.0:{port}"));
        assert_eq!(get(&place, port), "content");
    }
}

/// Ports below 1024 are root's, on most systems.
#[test]
fn a_server_that_is_no_longer_root_gets_a_new_port_of_root() {
    let free = (600..1024).find_map(|port| TcpListener::bind(local(port)).ok());
    let Some(free) = free else {
        skipped::note("only root can listen on ports below 1024");
        return;
    };
    let address = free.local_addr().unwrap();
    drop(free);
    if fs::read_to_string("/proc/self/status").is_ok_and(|status| !status.contains("\nUid:\t0\t0"))
    {
        skipped::note("only root can become another user");
        return;
    }
    let place = Place::new();
    configure(&place, &[("127.0.0.1:0", "https")]);
    let server = serve(&place, &["--user", "nobody"]);
    let all = [("127.0.0.1:0", "https"), (&address.to_string(), "https")];
    configure(&place, &all);
    wait_for(&server, "reloaded: the configuration in force has changed");
    assert_eq!(get(&place, address.port()), "content");
}

#[test]
fn sockets_of_systemd_are_no_matter_of_a_reload() {
    let place = Place::new();
    configure(&place, &[("127.0.0.1:0", "https")]);
    let server = serve(&place, &[]);
    configure(
        &place,
        &[("127.0.0.1:0", "https"), ("systemd:https", "https")],
    );
    wait_for(
        &server,
        "handfast.toml:8:11: systemd:https: sockets from systemd are taken at the start only",
    );
    wait_for(&server, "restart the server");
    assert_eq!(get(&place, server.port), "content");
}

/// A server that was killed leaves its file, at which no process listens any more.
#[test]
fn a_unix_socket_of_a_dead_server_is_replaced_by_the_helper() {
    let place = Place::new();
    configure(&place, &[("127.0.0.1:0", "https")]);
    let server = serve(&place, &[]);
    drop(std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap());
    let unix = format!("unix:{}", place.text("socket"));
    configure(&place, &[("127.0.0.1:0", "https"), (&unix, "https")]);
    wait_for(&server, &format!("listening on {unix} from now on"));
    let socket = UnixStream::connect(place.path("socket")).unwrap();
    assert_eq!(ask(&mut secure(&place, socket)), "content");
}

/// The helper, if there is one.
fn helper_of(process: u32) -> String {
    let listed = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    listed.unwrap_or_default().trim().to_owned()
}

/// The server itself may not: it does not know the directory.
#[test]
fn the_file_of_a_unix_socket_that_a_reload_adds_goes_with_its_listener_and_with_the_server() {
    let place = Place::new();
    for name in ["one", "other"] {
        fs::create_dir(place.path(name)).unwrap();
    }
    let unix = |name: &str| format!("unix:{}", place.text(name));
    let first = ("127.0.0.1:0", "https");
    configure(&place, &[first]);
    for way in WAYS {
        let mut server = serve(&place, way);
        let (one, other) = (unix("one/s"), unix("other/s"));
        configure(&place, &[first, (&one, "https"), (&other, "https")]);
        wait_for(&server, &format!("listening on {other} from now on"));
        assert!(place.path("one/s").exists() && place.path("other/s").exists());
        configure(&place, &[first, (&other, "https")]);
        wait_for(&server, &format!("no longer listening on {one}"));
        let deadline = Instant::now() + PATIENCE;
        while place.path("one/s").exists() {
            assert!(Instant::now() < deadline, "{}", server.running.output());
            std::thread::yield_now();
        }
        // What cannot be had takes what could be with it.
        configure(
            &place,
            &[
                first,
                (&other, "https"),
                (&one, "https"),
                ("unix:public", "https"),
            ],
        );
        wait_for(&server, "not reloaded");
        wait_for(&server, "which is not a socket");
        while place.path("one/s").exists() {
            assert!(Instant::now() < deadline, "{}", server.running.output());
            std::thread::yield_now();
        }
        signal(&server.running, "-TERM");
        assert!(server.running.wait(PATIENCE).unwrap().success());
        while place.path("other/s").exists() {
            assert!(Instant::now() < deadline, "{}", server.running.output());
            std::thread::yield_now();
        }
        configure(&place, &[first]);
    }
}

/// The service manager is told that the server lives, and a signal ends it at once, while a reload waits for the helper.
#[test]
fn a_helper_that_does_not_answer_holds_up_neither_the_watchdog_nor_signals() {
    use std::os::unix::net::UnixDatagram;
    let place = Place::new();
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut buffer = [0; 1024];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    configure(&place, &[("127.0.0.1:0", "https")]);
    let config = place.text("handfast.toml");
    let program = place.program("serve").args(["--config", &config]);
    let mut server = program
        .env("NOTIFY_SOCKET", place.text("notify"))
        .env("WATCHDOG_USEC", "20000")
        .start();
    while !told().starts_with("READY=1") {}
    let helper = helper_of(server.id());
    if helper.is_empty() {
        skipped::note("this system does not list children");
        return;
    }
    let helper = rustix::process::Pid::from_raw(helper.parse().unwrap()).unwrap();
    let send = |signal| rustix::process::kill_process(helper, signal).unwrap();
    send(rustix::process::Signal::STOP);
    let added = local(free_port()).to_string();
    configure(&place, &[("127.0.0.1:0", "https"), (&added, "https")]);
    for way_out in ["an answer", "SIGTERM"] {
        signal(&server, "-HUP");
        while !told().starts_with("RELOADING=1") {}
        for _ in 0..10 {
            assert_eq!(told(), "WATCHDOG=1", "{way_out}");
        }
        match way_out {
            "an answer" => {
                send(rustix::process::Signal::CONT);
                while !told().starts_with("READY=1\nSTATUS=serving at 2 addresses") {}
                send(rustix::process::Signal::STOP);
                let other = local(free_port()).to_string();
                configure(&place, &[("127.0.0.1:0", "https"), (&other, "https")]);
            }
            _ => {
                signal(&server, "-TERM");
                let next = std::iter::repeat_with(told).find(|one| one != "WATCHDOG=1");
                assert!(next.unwrap().starts_with("STOPPING=1"));
                assert!(server.wait(PATIENCE).unwrap().success());
                send(rustix::process::Signal::CONT);
            }
        }
    }
}

#[test]
fn the_helper_of_a_confined_server_is_confined_and_no_other_server_has_one() {
    let place = Place::new();
    configure(&place, &[("127.0.0.1:0", "https")]);
    let children = |server: &Serving| helper_of(server.running.id());
    let server = serve(&place, &[]);
    let helper = children(&server);
    if helper.is_empty() {
        skipped::note("this system does not list children");
        return;
    }
    let deadline = Instant::now() + PATIENCE;
    let status = || fs::read_to_string(format!("/proc/{helper}/status")).unwrap();
    // As the server, as far as the system can.
    let own = fs::read_to_string(format!("/proc/{}/status", server.running.id())).unwrap();
    let seccomp = own
        .lines()
        .find(|line| line.starts_with("Seccomp:"))
        .unwrap();
    while !status().contains(seccomp) {
        assert!(Instant::now() < deadline, "{}", status());
        std::thread::yield_now();
    }
    let public = place.text("public");
    let config = place.text("handfast.toml");
    for arguments in [
        &["-p", "0", &public][..],
        &["--config", &config, "-p", "0"],
        &["--config", &config, "--no-sandbox"],
    ] {
        let server = place.serve(arguments);
        assert_eq!(children(&server), "", "{arguments:?}");
    }
}

/// What a server that is out of control could ask for: nothing but what its operator has written.
#[test]
fn the_helper_opens_what_the_configuration_names_and_ends_with_the_server() {
    use std::process::{Command, Stdio};
    let place = Place::new();
    let port = free_port();
    configure(&place, &[(&local(port).to_string(), "https")]);
    let (ours, its) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut helper = Command::new(crate::serving::HANDFAST)
        .args(["open-listeners", "--"])
        .arg(place.path("handfast.toml"))
        .arg("2")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(its)))
        .spawn()
        .unwrap();
    let reply = |address: &str| {
        let request = format!("{{\"Open\":{{\"address\":\"{address}\",\"beside\":false}}}}\n");
        (&ours).write_all(request.as_bytes()).unwrap();
        let mut reply = Vec::new();
        while !reply.ends_with(b"\n") {
            let mut byte = [0];
            (&ours).read_exact(&mut byte).unwrap();
            reply.push(byte[0]);
        }
        String::from_utf8(reply).unwrap()
    };
    for other in ["127.0.0.1:0", &format!("0.0.0.0:{port}"), "unix:/tmp/s", ""] {
        let refused = reply(other);
        assert!(refused.contains("does not name it"), "{other}: {refused}");
    }
    let opened = reply(&local(port).to_string());
    assert_eq!(opened, "{\"number\":null,\"text\":null}\n");
    drop(ours);
    let deadline = Instant::now() + PATIENCE;
    while helper.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}
