//! Where `get` connects to, whatever a URL names, and from where: beside curl.

use std::net::TcpListener;

use handfast_testbed::launch::{Finished, Program};
use handfast_testbed::misbehaving::{Served, Step};

use super::code;
use crate::common::Fixture;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn server(fixture: &Fixture) -> Served {
    let script = vec![Step::ReadRequest, Step::send(ANSWER)];
    fixture.misbehaving().serve_each(vec![script; 2])
}

/// What curl and `get` come to with these arguments; `get` alone without curl.
fn both(fixture: &Fixture, arguments: &[&str]) -> Vec<Finished> {
    let curl = Program::new("curl").map(|curl| {
        let curl = curl.args(["-q", "-sS", "--cacert"]).arg(&fixture.ca);
        curl.args(arguments).run()
    });
    let ours = fixture.get(arguments);
    curl.into_iter().chain([ours]).collect()
}

fn host(served: &Served) -> Vec<String> {
    let text = served.received_text().to_lowercase();
    let hosts = text.lines().filter_map(|line| line.strip_prefix("host: "));
    hosts.map(str::to_owned).collect()
}

#[test]
fn connections_lead_where_curls_lead() {
    let fixture = Fixture::new();
    // PORT is that of the server; the URL; the exit code; the host that the server is asked for.
    let table: &[(&[&str], &str, i32, &str)] = &[
        (
            &["--resolve", "localhost:PORT:127.0.0.1"],
            "localhost:PORT",
            0,
            "localhost:PORT",
        ),
        (
            &["--resolve", "+localhost:PORT:127.0.0.1"],
            "localhost:PORT",
            0,
            "localhost:PORT",
        ),
        (
            &["--resolve", "*:PORT:127.0.0.1"],
            "localhost:PORT",
            0,
            "localhost:PORT",
        ),
        (
            &[
                "--resolve",
                "localhost:PORT:127.0.0.9",
                "--resolve",
                "localhost:PORT:127.0.0.1",
            ],
            "localhost:PORT",
            0,
            "localhost:PORT",
        ),
        (
            &[
                "--resolve",
                "localhost:PORT:127.0.0.9",
                "--resolve",
                "-localhost:PORT",
                "-4",
            ],
            "localhost:PORT",
            0,
            "localhost:PORT",
        ),
        (
            &["--resolve", "localhost:PORT:127.0.0.9"],
            "localhost:PORT",
            7,
            "",
        ),
        (
            &["--connect-to", "localhost:4:127.0.0.1:PORT"],
            "localhost:4",
            0,
            "localhost:4",
        ),
        (
            &["--connect-to", "::127.0.0.1:PORT"],
            "localhost:4",
            0,
            "localhost:4",
        ),
        (
            &["--connect-to", "localhost:4::PORT", "-4"],
            "localhost:4",
            0,
            "localhost:4",
        ),
        (
            &[
                "--connect-to",
                "other:4:127.0.0.9:4",
                "--connect-to",
                ":4:127.0.0.1:PORT",
            ],
            "localhost:4",
            0,
            "localhost:4",
        ),
        (&["-4"], "localhost:PORT", 0, "localhost:PORT"),
        (&["-4"], "127.0.0.1:PORT", 0, "127.0.0.1:PORT"),
        (&["-4", "-6"], "127.0.0.1:PORT", 7, ""),
        (&["-6", "-4"], "localhost:PORT", 0, "localhost:PORT"),
        (
            &["--interface", "127.0.0.1"],
            "127.0.0.1:PORT",
            0,
            "127.0.0.1:PORT",
        ),
        (
            &["--interface", "host!127.0.0.1"],
            "127.0.0.1:PORT",
            0,
            "127.0.0.1:PORT",
        ),
        (&["--interface", "192.0.2.7"], "127.0.0.1:PORT", 45, ""),
        (
            &["--local-port", "30000-32000"],
            "127.0.0.1:PORT",
            0,
            "127.0.0.1:PORT",
        ),
    ];
    for (arguments, url, expected, asked) in table {
        let server = server(&fixture);
        let port = server.address().port().to_string();
        let url = format!("https://{}/", url.replace("PORT", &port));
        let arguments: Vec<_> = arguments
            .iter()
            .map(|one| one.replace("PORT", &port))
            .collect();
        let mut all: Vec<&str> = arguments.iter().map(String::as_str).collect();
        all.push(&url);
        let runs = both(&fixture, &all);
        for run in &runs {
            assert_eq!(code(run), *expected, "{all:?}: {run}");
        }
        if *expected == 0 {
            let asked = vec![asked.replace("PORT", &port); runs.len()];
            assert_eq!(host(&server), asked, "{all:?}");
        }
    }
}

#[test]
fn a_dot_behind_the_name_is_sent_and_not_part_of_the_verified_name() {
    let fixture = Fixture::new();
    let server = server(&fixture);
    let port = server.address().port();
    let resolve = format!("localhost.:{port}:127.0.0.1");
    let url = format!("https://localhost.:{port}/");
    let runs = both(&fixture, &["--resolve", &resolve, &url]);
    for run in &runs {
        assert_eq!(code(run), 0, "{run}");
    }
    assert_eq!(
        host(&server),
        vec![format!("localhost.:{port}"); runs.len()]
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_of_this_machine_is_connected_through() {
    let fixture = Fixture::new();
    for (device, expected) in [("lo", 0), ("if!lo", 0), ("no-such-device", 45)] {
        let server = server(&fixture);
        let runs = both(&fixture, &["--interface", device, &server.url("/")]);
        for run in runs {
            assert_eq!(code(&run), expected, "{device}: {run}");
        }
    }
}

#[test]
fn a_port_in_use_is_told_as_that() {
    let fixture = Fixture::new();
    let server = server(&fixture);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = [
        "--interface",
        "127.0.0.1",
        "--local-port",
        &port,
        &server.url("/"),
    ];
    for run in both(&fixture, &arguments) {
        assert_eq!(code(&run), 45, "{run}");
    }
    let run = fixture.get(arguments);
    assert!(run.err().contains("local-end-unusable"), "{run}");
}

/// A Unix socket that leads to a TCP server, for two connections.
#[cfg(unix)]
fn lead(listener: std::os::unix::net::UnixListener, to: std::net::SocketAddr) {
    use std::io;
    use std::net::{Shutdown, TcpStream};
    use std::thread;
    thread::spawn(move || {
        for here in listener.incoming().flatten().take(2) {
            let Ok(there) = TcpStream::connect(to) else {
                return;
            };
            let (mut in_here, mut in_there) =
                (here.try_clone().unwrap(), there.try_clone().unwrap());
            let (mut here, mut there) = (here, there);
            thread::spawn(move || {
                let _ = io::copy(&mut in_here, &mut in_there);
                let _ = in_there.shutdown(Shutdown::Write);
            });
            let _ = io::copy(&mut there, &mut here);
            let _ = here.shutdown(Shutdown::Write);
        }
    });
}

#[cfg(unix)]
#[test]
fn a_unix_socket_takes_the_place_of_an_address() {
    use std::os::unix::net::UnixListener;
    let fixture = Fixture::new();
    let path = fixture.path("socket");
    let first = server(&fixture);
    lead(UnixListener::bind(&path).unwrap(), first.address());
    let path = path.display().to_string();
    let run = both(&fixture, &["--unix-socket", &path, "https://localhost/x"]);
    for run in &run {
        assert_eq!((code(run), run.out().as_str()), (0, "ok"), "{run}");
    }
    assert_eq!(host(&first), vec!["localhost"; run.len()]);
    let none = format!("{path}.none");
    for run in both(&fixture, &["--unix-socket", &none, "https://localhost/x"]) {
        assert_eq!(code(&run), 7, "{run}");
    }
    // The name is verified as ever.
    let other = server(&fixture);
    let path = fixture.path("other");
    lead(UnixListener::bind(&path).unwrap(), other.address());
    let path = path.display().to_string();
    for run in both(
        &fixture,
        &["--unix-socket", &path, "https://other.example/"],
    ) {
        assert_eq!(code(&run), 60, "{run}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_of_the_abstract_namespace_does_as_well() {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let fixture = Fixture::new();
    let server = server(&fixture);
    let name = fixture.path("abstract").display().to_string();
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    lead(UnixListener::bind_addr(&address).unwrap(), server.address());
    for run in both(
        &fixture,
        &["--abstract-unix-socket", &name, "https://localhost/"],
    ) {
        assert_eq!((code(&run), run.out().as_str()), (0, "ok"), "{run}");
    }
}
