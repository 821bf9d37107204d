//! Through proxies to a server: real ones, and ones that follow a script; blocking, and on tokio.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use handfast::{Phase, Timeouts};
use handfast_dial::proxy::{Credentials, Proxy, ProxyProblem};
use handfast_dial::{Cause, Dialer, Error, Progress};
use handfast_testbed::launch::{Microsocks, Tinyproxy, free_address};
use handfast_testbed::proxies::Dante;

/// A server that greets each client.
fn greeter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let _ = socket.unwrap().write_all(b"220 mail.example\r\n");
        }
    });
    address
}

/// A proxy that reads, says this, and keeps the connection if `stays`.
fn scripted(answer: &'static [u8], stays: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket.write_all(answer);
            if stays {
                kept.push(socket);
            }
        }
    });
    address
}

fn dialer(scheme: &str, proxy: SocketAddr) -> Dialer {
    let proxy = Proxy::parse(&format!("{scheme}://{proxy}")).unwrap();
    Dialer::within(&Timeouts::all(Duration::from_secs(5))).through(proxy)
}

/// The failure, which must be the same on tokio.
fn failure(dialer: &Dialer, host: &str, port: u16) -> Error {
    let error = dialer.dial(host, port).unwrap_err();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let other = runtime.block_on(dialer.dial_async(host, port)).unwrap_err();
    assert_eq!(error.phase(), other.phase());
    assert_eq!(error.explain(), other.explain());
    error
}

fn problem(error: &Error) -> &ProxyProblem {
    assert_eq!(error.phase(), Phase::Connect);
    match error.cause() {
        Cause::Proxy(error) => &error.problem,
        other => panic!("{other:?}"),
    }
}

/// Both ways to the server at this port, whose first words come after the proxy's last.
fn leads_to_the_server(dialer: &Dialer, port: u16) {
    let mut proxied = false;
    let dialled = dialer.dial_observed("localhost", port, &mut |progress| {
        proxied |= matches!(progress, Progress::Proxied { .. });
    });
    let mut greeting = String::new();
    let mut channel = dialled.unwrap().channel;
    channel.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "220 mail.example\r\n");
    assert!(proxied);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        use tokio::io::AsyncReadExt;
        let mut channel = dialer.dial_async("localhost", port).await.unwrap().channel;
        let mut greeting = String::new();
        channel.read_to_string(&mut greeting).await.unwrap();
        assert_eq!(greeting, "220 mail.example\r\n");
    });
}

#[test]
fn an_http_proxy_leads_to_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let Some(proxy) = Tinyproxy::launch(directory.path(), "") else {
        return;
    };
    leads_to_the_server(&dialer("http", proxy.address()), greeter().port());
}

#[test]
fn a_socks5_proxy_leads_to_the_server_by_name_and_by_address() {
    let Some(proxy) = Microsocks::launch(None) else {
        return;
    };
    for scheme in ["socks5", "socks5h"] {
        leads_to_the_server(&dialer(scheme, proxy.address()), greeter().port());
    }
    let unused = free_address().port();
    let refused = failure(&dialer("socks5h", proxy.address()), "localhost", unused);
    assert_eq!(problem(&refused), &ProxyProblem::SocksRefused { reply: 5 });
    // Names are resolved here, and fail here, or there.
    let here = failure(&dialer("socks5", proxy.address()), "nowhere.invalid", 443);
    assert_eq!(here.phase(), Phase::Resolve);
    let there = failure(&dialer("socks5h", proxy.address()), "nowhere.invalid", 443);
    assert_eq!(problem(&there).id(), "proxy-refused");
}

/// A SOCKS4a proxy that connects to this machine, whatever the name, and keeps what it was asked for.
fn socks4a() -> (SocketAddr, std::sync::mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut asked = vec![0; 8];
            socket.read_exact(&mut asked).unwrap();
            let mut byte = [0];
            while asked[8..].iter().filter(|byte| **byte == 0).count() < 2 {
                socket.read_exact(&mut byte).unwrap();
                asked.push(byte[0]);
            }
            let port = u16::from_be_bytes([asked[2], asked[3]]);
            let _ = sender.send(asked);
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)) else {
                let _ = socket.write_all(b"\x00\x5b\x00\x00\x00\x00\x00\x00");
                continue;
            };
            let _ = socket.write_all(b"\x00\x5a\x00\x00\x00\x00\x00\x00");
            let _ = std::io::copy(&mut server, &mut socket);
        }
    });
    (address, receiver)
}

#[test]
fn a_socks4_proxy_leads_to_the_server_by_name_and_by_address() {
    let (proxy, requests) = socks4a();
    let port = greeter().port();
    leads_to_the_server(&dialer("socks4a", proxy), port);
    let [high, low] = port.to_be_bytes();
    let expected = [&[4, 1, high, low, 0, 0, 0, 1, 0], &b"localhost\0"[..]].concat();
    assert_eq!(requests.recv().unwrap(), expected);
    let unused = free_address().port();
    let refused = failure(&dialer("socks4a", proxy), "localhost", unused);
    assert_eq!(problem(&refused), &ProxyProblem::SocksRefused { reply: 91 });
    let v6 = failure(&dialer("socks4a", proxy), "::1", 443);
    assert_eq!(problem(&v6), &ProxyProblem::NeedsIpv4);
    let directory = tempfile::tempdir().unwrap();
    if let Some(dante) = Dante::launch(directory.path()) {
        leads_to_the_server(&dialer("socks4", dante.address()), port);
        leads_to_the_server(&dialer("socks5h", dante.address()), port);
    }
}

#[test]
fn a_proxy_is_reached_through_another() {
    let (Some(first), Some(second)) = (Microsocks::launch(None), Microsocks::launch(None)) else {
        return;
    };
    let by = |address| Proxy::parse(&format!("socks5h://{address}")).unwrap();
    let both = Dialer::new().through(by(second.address()).after(by(first.address())));
    leads_to_the_server(&both, greeter().port());
    let nowhere = by(second.address()).after(by(free_address()));
    let error = failure(&Dialer::new().through(nowhere), "localhost", 443);
    assert_eq!(problem(&error).id(), "proxy-unreachable");
}

#[test]
fn a_socks5_proxy_wants_a_user_name_and_a_password() {
    let Some(proxy) = Microsocks::launch(Some(("al", "s3cret"))) else {
        return;
    };
    let by = |credentials: Option<(&str, &str)>| {
        let proxy = Proxy::parse(&format!("socks5h://{}", proxy.address())).unwrap();
        Dialer::new().through(match credentials {
            Some((user, password)) => proxy.with_credentials(Credentials::basic(user, password)),
            None => proxy,
        })
    };
    let port = greeter().port();
    leads_to_the_server(&by(Some(("al", "s3cret"))), port);
    for (credentials, sent) in [(None, false), (Some(("al", "guess")), true)] {
        let error = failure(&by(credentials), "localhost", port);
        assert!(
            matches!(problem(&error), ProxyProblem::AuthenticationRequired { was_sent, .. } if *was_sent == sent),
            "{error:?}"
        );
    }
}

#[test]
fn a_proxy_s_failures_are_its_own_and_told_alike_by_both() {
    for (scheme, answer, stays, id) in [
        (
            "http",
            &b"HTTP/1.1 403 No\r\n\r\nBlocked"[..],
            true,
            "proxy-refused",
        ),
        ("http", b"SSH-2.0-x\r\n", true, "proxy-not-http"),
        ("http", b"", false, "proxy-ended"),
        ("socks5h", b"\x05\x00", false, "proxy-ended"),
        ("socks5h", b"SSH-2.0-x\r\n", true, "proxy-not-socks"),
        (
            "socks5h",
            b"HTTP/1.1 400 Bad\r\n\r\n",
            false,
            "proxy-not-socks",
        ),
        (
            "socks5h",
            b"\x05\xff",
            true,
            "proxy-authentication-required",
        ),
        ("socks5h", b"\x05\x00\x05\x02", true, "proxy-refused"),
    ] {
        let dialer = dialer(scheme, scripted(answer, stays));
        let error = failure(&dialer, "shop.example", 443);
        assert_eq!(problem(&error).id(), id, "{error:?}");
    }
    let unreachable = failure(&dialer("socks5h", free_address()), "shop.example", 443);
    assert_eq!(problem(&unreachable).id(), "proxy-unreachable");
    let silent =
        dialer("http", scripted(b"", true)).with_limits(&Timeouts::all(Duration::from_millis(50)));
    assert_eq!(
        failure(&silent, "shop.example", 443).explain().id,
        "timed-out"
    );
}

#[test]
fn a_name_with_a_fixed_address_is_not_resolved() {
    let server = greeter();
    let dialer = Dialer::new().fixed("Shop.Example", server.port(), server.ip());
    let dialled = dialer.dial("shop.example", server.port()).unwrap();
    assert_eq!(dialled.address, server);
    assert_eq!(TcpStream::peer_addr(&dialled.channel).unwrap(), server);
    let dialer = dialer.fixed("*", server.port(), "192.0.2.7".parse().unwrap());
    let own = dialer.dial("shop.example", server.port());
    assert_eq!(own.unwrap().address, server);
    let any = Dialer::new().fixed("*", server.port(), server.ip());
    let dialled = any.dial("nowhere.invalid", server.port());
    assert_eq!(dialled.unwrap().address, server);
}

/// A SOCKS5 proxy that refuses every request, and shows the first of them.
fn recording() -> (SocketAddr, std::sync::mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            socket.read_exact(&mut [0; 3]).unwrap();
            socket.write_all(b"\x05\x00").unwrap();
            let mut request = vec![0; 10];
            socket.read_exact(&mut request).unwrap();
            let _ = sender.send(request);
            let _ = socket.write_all(b"\x05\x02");
        }
    });
    (address, receiver)
}

#[test]
fn names_of_servers_behind_a_proxy_are_resolved_as_those_of_others() {
    let (proxy, requests) = recording();
    let fixed = dialer("socks5", proxy).fixed("a.invalid", 443, "192.0.2.7".parse().unwrap());
    let error = failure(&fixed, "a.invalid", 443);
    assert_eq!(problem(&error).id(), "proxy-refused");
    for _ in ["blocking", "on tokio"] {
        let request = requests.recv().unwrap();
        assert_eq!(request, b"\x05\x01\x00\x01\xc0\x00\x02\x07\x01\xbb");
    }
    let mut limits = Timeouts::all(Duration::from_secs(30));
    limits.resolve = Some(Duration::ZERO);
    let hasty = dialer("socks5", proxy).with_limits(&limits);
    // A resolver may respond within zero time, but not in every attempt.
    let error = (0..100)
        .map(|_| hasty.dial("localhost", 443).unwrap_err())
        .find(|error| error.phase() == Phase::Resolve)
        .unwrap();
    assert!(
        matches!(error.cause(), Cause::TimedOut { limit } if limit.is_zero()),
        "{error:?}"
    );
}

#[test]
fn the_limits_of_the_dialogue_with_a_proxy_end_with_it() {
    let proxy = scripted(b"HTTP/1.1 200 OK\r\n\r\n", true);
    let channel = dialer("http", proxy)
        .dial("a.example", 443)
        .unwrap()
        .channel;
    assert_eq!(channel.read_timeout().unwrap(), None);
    assert_eq!(channel.write_timeout().unwrap(), None);
}
