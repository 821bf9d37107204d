//! Servers behind an HTTP proxy: a real one, and ones that refuse, babble, vanish or are not there.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use handfast_testbed::launch::{Finished, Microsocks, Program, Tinyproxy, free_address};
use handfast_testbed::misbehaving::{Served, Step};
use handfast_testbed::pki::{Issued, Pki};

use crate::common::Fixture;

impl Fixture {
    pub(super) fn hello(&self) -> Served {
        self.misbehaving().serve([
            Step::ReadHead,
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"),
            Step::CloseNotify,
            Step::Fin,
        ])
    }

    /// `handfast get` in an environment that names no proxy but these.
    fn get_by<S: AsRef<OsStr>>(
        &self,
        environment: &[(&str, &str)],
        args: impl IntoIterator<Item = S>,
    ) -> Finished {
        let mut program = self.program("get").args(self.trust());
        for name in [
            "https_proxy",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
            "no_proxy",
            "NO_PROXY",
        ] {
            program = program.env(name, "");
        }
        for (name, value) in environment {
            program = program.env(name, value);
        }
        program.args(args).run()
    }
}

#[test]
fn a_real_proxy_leads_to_the_server() {
    let fixture = Fixture::new();
    let server = fixture.hello();
    let url = server.url("/");
    let Some(mut open) = Tinyproxy::launch(fixture.directory(), "") else {
        return;
    };
    let proxy = format!("http://{}", open.address());
    let by_flag = fixture.get_by(&[], ["-v", "-x", &proxy, &url]);
    assert_eq!(
        (by_flag.code, by_flag.out().as_str()),
        (Some(0), "hello"),
        "{by_flag}"
    );
    assert!(by_flag.err().contains("proxy: 127.0.0.1:"), "{by_flag}");
    let target = format!("localhost:{}", server.address().port());
    let log = open
        .process()
        .wait_for(&format!("CONNECT {target} "), Duration::from_secs(5));
    assert!(log.is_some(), "{}", open.process().output());

    let by_environment = fixture.get_by(&[("https_proxy", &proxy)], ["-v", &url]);
    assert!(by_environment.err().contains("proxy: "), "{by_environment}");
    assert_eq!(by_environment.out(), "hello");
    for (environment, args) in [
        (
            &[
                ("https_proxy", proxy.as_str()),
                ("no_proxy", "example.org,localhost"),
            ][..],
            &[][..],
        ),
        (&[("https_proxy", proxy.as_str())], &["--noproxy", "*"]),
        (&[("https_proxy", proxy.as_str())], &["-x", ""]),
    ] {
        let direct = fixture.get_by(
            environment,
            ["-v"].iter().chain(args).chain([&url.as_str()]),
        );
        assert!(!direct.err().contains("proxy: "), "{direct}");
        assert_eq!(direct.out(), "hello", "{direct}");
    }
}

#[test]
fn a_real_proxy_that_wants_a_password() {
    let fixture = Fixture::new();
    let server = fixture.hello();
    let url = server.url("/");
    let Some(locked) = Tinyproxy::launch(fixture.directory(), "BasicAuth alice s3cret") else {
        return;
    };
    let proxy = locked.address().to_string();
    let with_name = format!("http://alice:s3cret@{proxy}");
    for args in [
        &["-x", &proxy, "-U", "alice:s3cret"][..],
        &[
            "-x",
            &proxy,
            "--proxy-user",
            "alice",
            "--proxy-password",
            "pass:s3cret",
        ],
        &["-x", &with_name],
    ] {
        let got = fixture.get_by(&[], ["-v"].iter().chain(args).chain([&url.as_str()]));
        assert_eq!(got.out(), "hello", "{got}");
        assert!(
            !got.printed("s3cret") && !got.printed("YWxpY2U6czNjcmV0"),
            "{got}"
        );
    }
    for (args, says) in [
        (&["-x", &proxy][..], "requires a user name and password"),
        (
            &["-x", &proxy, "-U", "alice:wrong"],
            "did not accept the user name",
        ),
    ] {
        let got = fixture.get_by(&[], args.iter().chain([&url.as_str()]));
        assert_eq!(got.code, Some(56), "{got}");
        assert!(
            got.err().contains("[proxy-authentication-required]"),
            "{got}"
        );
        assert!(got.err().contains(says) && !got.printed("wrong"), "{got}");
        // curl ends with the same code.
        let Some(curl) = Program::new("curl") else {
            continue;
        };
        let theirs = curl
            .env("no_proxy", "")
            .arg("-sk")
            .args(args)
            .arg(&url)
            .run();
        assert_eq!(theirs.code, got.code, "{theirs}");
    }
}

/// A proxy that reads a request, says this and ends.
fn scripted(answer: &'static [u8], stays: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, answer) = (socket.unwrap(), Arc::clone(&answer));
            thread::spawn(move || {
                let _ = socket.read(&mut [0; 4096]);
                let _ = socket.write_all(&answer);
                if !stays {
                    let _ = socket.shutdown(Shutdown::Write);
                }
                let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
                let _ = socket.read(&mut [0; 1024]);
            });
        }
    });
    address
}

#[test]
fn a_socks5_proxy_leads_to_the_server() {
    let fixture = Fixture::new();
    let server = fixture.hello();
    let url = server.url("/");
    let Some(proxy) = Microsocks::launch(Some(("al", "s3cret"))) else {
        return;
    };
    let address = proxy.address();
    for scheme in ["socks5", "socks5h"] {
        let proxy = format!("{scheme}://al:s3cret@{address}");
        let got = fixture.get_by(&[("https_proxy", &proxy)], ["-v", &url]);
        assert_eq!((got.code, got.out().as_str()), (Some(0), "hello"), "{got}");
        assert!(got.err().contains("proxy: 127.0.0.1:"), "{got}");
        assert!(!got.printed("s3cret"), "{got}");
    }
    let got = fixture.get_by(&[], ["-x", &format!("socks5h://{address}"), &url]);
    assert_eq!(got.code, Some(97), "{got}");
    assert!(got.printed("[proxy-authentication-required]"), "{got}");
}

#[test]
fn a_proxy_s_failures_are_its_own() {
    let fixture = Fixture::new();
    let unused = free_address().to_string();
    let at = |answer, stays| scripted(answer, stays).to_string();
    for (proxy, id, code, says) in [
        (
            at(
                b"HTTP/1.1 403 No\x1b[2J way\r\n\r\nBlocked by policy 7\x07",
                false,
            ),
            "proxy-refused",
            56,
            "Blocked by policy 7\\x07",
        ),
        (
            at(b"HTTP/1.0 503 Later\r\n\r\n", true),
            "proxy-refused",
            56,
            "503 Later",
        ),
        (
            at(b"SSH-2.0-OpenSSH\r\n", true),
            "proxy-not-http",
            56,
            "SSH-2.0",
        ),
        (at(b"", false), "proxy-ended", 56, "closed the connection"),
        (
            at(b"HTTP/1.1 200 Conn", false),
            "proxy-ended",
            56,
            "closed the connection",
        ),
        (at(b"", true), "timed-out", 28, "during the connect"),
        // The server behind it speaks no TLS: that is the server's doing.
        (
            at(b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n", false),
            "not-tls",
            35,
            "SSH",
        ),
        (
            format!(
                "socks5h://{}",
                at(b"HTTP/1.1 400 Bad Request\r\n\r\n", false)
            ),
            "proxy-not-socks",
            97,
            "it is an HTTP proxy",
        ),
        (unused, "proxy-unreachable", 7, "refused"),
        (
            "proxy.invalid:1".to_owned(),
            "proxy-not-resolved",
            5,
            "proxy.invalid",
        ),
    ] {
        let args = [
            "--connect-timeout",
            "2",
            "-x",
            &proxy,
            "https://shop.example/",
        ];
        let got = fixture.get_by(&[], args);
        assert!(got.err().contains(&format!("[{id}]")), "{id} {got}");
        assert!(got.err().contains(says), "{id} {got}");
        assert_eq!(got.code, Some(code), "{id} {got}");
        assert!(
            !got.err().chars().any(|c| c.is_control() && c != '\n'),
            "{id} {got}"
        );
    }
    for bad in ["ftp://p:1", "http://u:s3cret@"] {
        let got = fixture.get_by(&[], ["-x", bad, "https://shop.example/"]);
        assert_eq!(got.code, Some(2), "{got}");
        assert!(!got.printed("s3cret"), "{got}");
    }
}

/// A CONNECT proxy over TLS: what it was asked for is kept.
struct TlsProxy {
    address: SocketAddr,
    asked: Arc<Mutex<String>>,
}

impl TlsProxy {
    fn launch(identity: &Issued) -> Self {
        let (chain, key) = (identity.chain_pem(&[]), identity.key_pem());
        let none = handfast::Passphrase::none();
        let identity =
            handfast::Identity::from_bytes(chain.as_bytes(), key.as_bytes(), none).unwrap();
        let server = handfast::ServerContext::builder().identity(identity);
        let server = server.build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (server, seen) = (server.clone(), Arc::clone(&seen));
                thread::spawn(move || Self::serve(&server, socket.unwrap(), &seen));
            }
        });
        Self { address, asked }
    }

    fn serve(
        server: &handfast::ServerContext,
        socket: TcpStream,
        seen: &Mutex<String>,
    ) -> Option<()> {
        let mut stream = server.accept(socket).ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.extend(byte);
        }
        let head = String::from_utf8(head).ok()?;
        let target = head.split(' ').nth(1)?.to_owned();
        seen.lock().unwrap().push_str(&head);
        let there = TcpStream::connect(target.replace("localhost", "127.0.0.1")).ok()?;
        stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
        stream.flush().ok()?;
        let reading = stream.channel().try_clone().ok()?;
        let (mut from_client, mut to_client) = stream.into_split(reading);
        let (mut from_there, mut to_there) = (there.try_clone().ok()?, there);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = from_client.read(&mut bytes) {
                if to_there.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _ = to_there.shutdown(Shutdown::Write);
        });
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from_there.read(&mut bytes) {
            to_client.write_all(&bytes[..count]).ok()?;
            to_client.flush().ok()?;
        }
        Some(())
    }
}

#[test]
fn a_proxy_over_tls_has_a_trust_of_its_own() {
    let fixture = Fixture::new();
    let other = Pki::new();
    let proxy = TlsProxy::launch(&other.server(&["localhost"]));
    let by = format!("https://al:s3cret@localhost:{}", proxy.address.port());
    let ca = fixture.write("proxy.pem", other.root.cert_pem());
    let ca = ca.display().to_string();
    let wrong = fixture.ca.display().to_string();
    for (more, expected) in [
        (&["--proxy-cacert", ca.as_str()][..], 0),
        (
            &[
                "--proxy-cacert",
                &ca,
                "--http1.1",
                "--proxy-header",
                "X-Of-Proxy: 7",
            ],
            0,
        ),
        (&["--proxy-insecure"], 0),
        (&["--proxy-cacert", &wrong], 60),
        (&[], 60),
    ] {
        let server = fixture.hello();
        let arguments = ["-v", "-x", &by, &server.url("/")];
        let got = fixture.get_by(&[], arguments.iter().chain(more));
        assert_eq!(got.code, Some(expected), "{more:?}: {got}");
        assert!(!got.printed("s3cret"), "{got}");
        if expected == 0 {
            assert_eq!(got.out(), "hello", "{got}");
            assert!(got.err().contains("proxy: localhost:"), "{got}");
            assert!(!server.received_text().contains("X-Of-Proxy"), "{got}");
        } else {
            assert!(
                got.err()
                    .contains("in the handshake with the proxy localhost:"),
                "{got}"
            );
            assert!(got.err().contains("the proxy's certificate"), "{got}");
            // The proxy's authority has no say about servers.
            assert!(got.err().contains("(--proxy-cacert FILE)"), "{got}");
        }
        // curl ends with the same code.
        if let Some(curl) = Program::new("curl") {
            let server = fixture.hello();
            let curl = curl
                .args(["-q", "-sS", "--cacert"])
                .arg(&fixture.ca)
                .env("no_proxy", "");
            let theirs = curl.args(["-x", &by, &server.url("/")]).args(more).run();
            assert_eq!(theirs.code, Some(expected), "{more:?}: {theirs}");
        }
    }
    let asked = proxy.asked.lock().unwrap();
    assert!(
        asked.contains("Proxy-Authorization: Basic YWw6czNjcmV0\r\n"),
        "{asked}"
    );
    assert!(asked.contains("X-Of-Proxy: 7\r\n"), "{asked}");
}

#[test]
fn a_proxy_over_tls_is_checked_with_a_directory_and_with_revocation_lists() {
    let fixture = Fixture::new();
    let other = Pki::new();
    let issued = other.server(&["localhost"]);
    let proxy = TlsProxy::launch(&issued);
    let by = format!("https://al:s3cret@localhost:{}", proxy.address.port());
    let list = |name: &str, revoked: &[&Issued]| {
        let list = handfast_testbed::pki::pem("X509 CRL", other.root.crl(revoked).as_ref());
        fixture.write(name, list).display().to_string()
    };
    let (none, revoked) = (list("none.crl", &[]), list("revoked.crl", &[&issued]));
    let directory = fixture.path("authorities");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("proxy.pem"), other.root.cert_pem()).unwrap();
    let directory = directory.display().to_string();
    for (list, expected) in [(None, 0), (Some(&none), 0), (Some(&revoked), 60)] {
        let server = fixture.hello();
        let url = server.url("/");
        let mut arguments = vec!["-x", &by, "--proxy-capath", &directory, &url];
        if let Some(list) = list {
            arguments.extend(["--proxy-crlfile", list]);
        }
        let got = fixture.get_by(&[], &arguments);
        assert_eq!(got.code, Some(expected), "{list:?}: {got}");
        if expected != 0 {
            assert!(got.err().contains("[certificate-revoked]"), "{got}");
            assert!(got.err().contains("the proxy's certificate"), "{got}");
        }
    }
}

#[test]
fn a_proxy_over_tls_is_refused_by_commands_that_cannot_reach_it() {
    let fixture = Fixture::new();
    let got = fixture.run("inspect", ["-x", "https://127.0.0.1:1", "localhost:1"]);
    assert!(got.printed("[proxy-needs-tls]"), "{got}");
}
