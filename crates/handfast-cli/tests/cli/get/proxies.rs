//! Real proxies, squid and Dante, beside curl; and what is sent to proxies that are given the requests themselves.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use handfast_testbed::launch::{Finished, Program, Tinyproxy, free_address};
use handfast_testbed::proxies::{Admits, Dante, Squid};

use crate::common::Fixture;

/// The variables that name proxies.
const VARIABLES: [&str; 7] = [
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// Runs one of the two in an environment that names these proxies alone.
fn run<S: AsRef<OsStr>>(
    program: Program,
    environment: &[(&str, &str)],
    args: impl IntoIterator<Item = S>,
) -> Finished {
    let cleared = VARIABLES
        .iter()
        .fold(program, |program, name| program.env(name, ""));
    let set = |program: Program, (name, value): &(&str, &str)| program.env(name, value);
    environment.iter().fold(cleared, set).args(args).run()
}

impl Fixture {
    /// What `get` and curl do with the same arguments; `get` alone where curl is missing.
    fn both(&self, environment: &[(&str, &str)], args: &[&str]) -> (Finished, Finished) {
        let ours = run(self.client("get").arg("--allow-http"), environment, args);
        let theirs = Program::new("curl").map(|_| self.client("curl").arg("-sS"));
        let theirs = theirs.map(|curl| run(curl, environment, args));
        (ours.clone(), theirs.unwrap_or(ours))
    }
}

/// Answers every connection with this, without TLS, and keeps the heads that it got.
fn plain(answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let kept = Arc::clone(&kept);
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && matches!(socket.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                }
                kept.lock().unwrap().push(String::from_utf8(head).unwrap());
                let _ = socket.write_all(answer.as_bytes());
            });
        }
    });
    (address, heads)
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

#[test]
fn squid_serves_those_that_it_knows() {
    let (user, password) = ("al", "s3cret");
    for (admits, accepted) in [
        (Admits::All, &["", "--proxy-basic", "--proxy-digest"][..]),
        (
            Admits::Basic(user, password),
            &["--proxy-basic", "--proxy-anyauth"],
        ),
        (
            Admits::Digest(user, password),
            &["--proxy-digest", "--proxy-anyauth"],
        ),
    ] {
        let fixture = Fixture::new();
        let server = fixture.hello();
        let (http, _) = plain(HELLO);
        let squid = Squid::launch(fixture.directory(), &fixture.chain, &fixture.key, admits);
        let Some(squid) = squid else { return };
        let ca = fixture.ca.display().to_string();
        let http_url = format!("http://localhost:{}/", http.port());
        for proxy in [
            format!("http://{}", squid.address()),
            format!("https://localhost:{}", squid.tls_address().port()),
        ] {
            for way in ["", "--proxy-basic", "--proxy-digest", "--proxy-anyauth"] {
                for (url, tunnels) in [
                    (server.url("/"), false),
                    (http_url.clone(), false),
                    (http_url.clone(), true),
                ] {
                    let mut args = vec!["-x", &proxy, "--proxy-cacert", &ca, "-f", &url];
                    if !way.is_empty() {
                        args.extend(["-U", "al:s3cret", way]);
                    }
                    if tunnels {
                        args.push("-p");
                    }
                    let (ours, theirs) = fixture.both(&[], &args);
                    let is_let_in = accepted.contains(&way)
                        || matches!(admits, Admits::All)
                        || way == "--proxy-anyauth";
                    assert_eq!(
                        ours.code, theirs.code,
                        "{admits:?} {args:?}: {ours} {theirs}"
                    );
                    assert_eq!(
                        ours.code == Some(0),
                        is_let_in,
                        "{admits:?} {args:?}: {ours}"
                    );
                    if is_let_in {
                        assert_eq!(ours.out(), "hello", "{admits:?} {args:?}: {ours}");
                    }
                    assert!(!ours.printed("s3cret"), "{ours}");
                }
            }
        }
    }
}

#[test]
fn squid_s_own_errors_are_told_as_the_proxy_s() {
    let fixture = Fixture::new();
    let admits = Admits::Digest("al", "s3cret");
    let squid = Squid::launch(fixture.directory(), &fixture.chain, &fixture.key, admits);
    let Some(squid) = squid else { return };
    let proxy = format!("http://{}", squid.address());
    let nowhere = format!("https://{}/", free_address());
    for (more, code, id, says) in [
        (
            &[][..],
            56,
            "proxy-authentication-required",
            "to be sent as a digest",
        ),
        (
            &["-U", "al:wrong", "--proxy-digest"],
            56,
            "proxy-authentication-required",
            "did not accept the user name",
        ),
        (
            &["-U", "al:s3cret", "--proxy-digest"],
            56,
            "proxy-refused",
            "503 Service Unavailable",
        ),
    ] {
        let args: Vec<_> = ["-x", &proxy, &nowhere]
            .iter()
            .chain(more)
            .copied()
            .collect();
        let (ours, theirs) = fixture.both(&[], &args);
        assert_eq!(ours.code, Some(code), "{ours}");
        assert_eq!(theirs.code, Some(code), "{theirs}");
        assert!(ours.err().contains(&format!("[{id}]")), "{id}: {ours}");
        assert!(ours.err().contains(says), "{id}: {ours}");
        // With --fail it is a status like a server's.
        let failing: Vec<_> = args.iter().chain(&["-f"]).copied().collect();
        let (ours, theirs) = fixture.both(&[], &failing);
        assert_eq!(
            (ours.code, theirs.code),
            (Some(22), Some(22)),
            "{ours} {theirs}"
        );
    }
}

#[test]
fn dante_is_reached_by_every_version_of_socks_also_before_another_proxy() {
    let fixture = Fixture::new();
    let server = fixture.hello();
    let url = server.url("/");
    let Some(dante) = Dante::launch(fixture.directory()) else {
        return;
    };
    let address = dante.address().to_string();
    let unused = free_address();
    let refused = format!("https://localhost:{}/", unused.port());
    let nowhere = unused.to_string();
    let mut ways: Vec<Vec<String>> = Vec::new();
    // Debian's Dante knows no SOCKS4a.
    for option in ["--socks4", "--socks5", "--socks5-hostname"] {
        ways.push(vec![option.to_owned(), address.clone()]);
    }
    for scheme in ["socks4", "socks5", "socks5h"] {
        ways.push(vec!["-x".to_owned(), format!("{scheme}://{address}")]);
    }
    // Alone it is the proxy.
    ways.push(vec![
        "--preproxy".to_owned(),
        format!("socks5h://{address}"),
    ]);
    // The last one counts.
    ways.push(
        ["-x", &nowhere, "--socks5", &address]
            .map(str::to_owned)
            .to_vec(),
    );
    for way in &ways {
        let with = |url: &str| -> (Finished, Finished) {
            let mut args: Vec<_> = way.iter().map(String::as_str).collect();
            args.push(url);
            fixture.both(&[], &args)
        };
        let (ours, theirs) = with(&url);
        assert_eq!(
            (ours.code, ours.out().as_str()),
            (Some(0), "hello"),
            "{way:?}: {ours}"
        );
        assert_eq!(theirs.code, Some(0), "{way:?}: {theirs}");
        let (ours, theirs) = with(&refused);
        assert_eq!(
            (ours.code, theirs.code),
            (Some(97), Some(97)),
            "{way:?}: {ours} {theirs}"
        );
        assert!(ours.err().contains("[proxy-refused]"), "{way:?}: {ours}");
    }
    // Without a proxy that listens: it was not reached.
    for option in ["--socks4", "--socks5-hostname"] {
        let (ours, theirs) = fixture.both(&[], &[option, &nowhere, &url]);
        assert_eq!(
            (ours.code, theirs.code),
            (Some(7), Some(7)),
            "{ours} {theirs}"
        );
    }
    let Some(mut second) = Tinyproxy::launch(fixture.directory(), "") else {
        return;
    };
    let proxy = format!("http://{}", second.address());
    for first in ["socks4", "socks5h"] {
        let first = format!("{first}://{address}");
        let (ours, theirs) = fixture.both(&[], &["--preproxy", &first, "-x", &proxy, &url]);
        assert_eq!(
            (ours.code, ours.out().as_str()),
            (Some(0), "hello"),
            "{ours}"
        );
        assert_eq!(theirs.code, Some(0), "{theirs}");
    }
    let target = format!("CONNECT localhost:{} ", server.address().port());
    let within = std::time::Duration::from_secs(5);
    assert!(second.process().wait_for(&target, within).is_some());
    let (ours, theirs) = fixture.both(&[], &["--preproxy", &nowhere, "-x", &proxy, &url]);
    assert_eq!(
        (ours.code, theirs.code),
        (Some(7), Some(7)),
        "{ours} {theirs}"
    );
}

/// The line and fields of a head, without those that name the program, sorted.
fn comparable(head: &str) -> String {
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let mut fields: Vec<_> = lines
        .map(str::to_lowercase)
        // RFC 9112, appendix C.2.2: not to be sent.
        .filter(|field| !field.starts_with("proxy-connection:"))
        .map(|field| field.replace("user-agent: curl/", "user-agent: handfast/"))
        .map(|field| match field.starts_with("user-agent: handfast/") {
            true => "user-agent: it".to_owned(),
            false => field,
        })
        .collect();
    fields.sort();
    format!("{line}\n{}", fields.join("\n"))
}

#[test]
fn a_proxy_for_plain_http_gets_the_request_itself_as_from_curl() {
    let fixture = Fixture::new();
    let (address, heads) = plain(HELLO);
    let proxy = format!("http://{address}");
    let with_secret = format!("http://al:s3cret@{address}");
    let url = "http://shop.example/a?b=c#d";
    for (environment, args) in [
        (&[][..], &["-x", &proxy][..]),
        (&[], &["-x", &with_secret, "-u", "me:too"]),
        (
            &[],
            &[
                "-x",
                &proxy,
                "--proxy-header",
                "X-Of-Proxy: 7",
                "-H",
                "X-Of-Server: 8",
            ],
        ),
        (&[], &["-x", &proxy, "-A", "me"]),
        (&[], &["-x", &proxy, "-A", ""]),
        (&[], &["-x", &proxy, "-d", "body"]),
        (&[], &["-x", &proxy, "-I"]),
        (&[("http_proxy", proxy.as_str())], &[]),
        (
            &[
                ("all_proxy", &proxy),
                ("https_proxy", "http://nowhere.invalid"),
            ],
            &[],
        ),
        (&[], &["-x", &proxy, "-p"]),
        (
            &[],
            &[
                "-x",
                &proxy,
                "-p",
                "--proxy-header",
                "X-Of-Proxy: 7",
                "-H",
                "X-Of-Server: 8",
            ],
        ),
        (
            &[],
            &[
                "-x",
                &with_secret,
                "-p",
                "-A",
                "me",
                "--suppress-connect-headers",
            ],
        ),
    ] {
        heads.lock().unwrap().clear();
        let args: Vec<_> = args.iter().chain(&[url]).copied().collect();
        let (ours, theirs) = fixture.both(environment, &args);
        // In a tunnel this answer is none.
        let is_answered = !args.contains(&"-p");
        assert!(
            !is_answered || ours.code == theirs.code,
            "{args:?} {ours} {theirs}"
        );
        let heads = heads.lock().unwrap();
        let [our, their] = heads.as_slice() else {
            panic!("{args:?}: {heads:?} {ours} {theirs}");
        };
        assert_eq!(comparable(our), comparable(their), "{args:?}");
    }
    // Not reached through it: by name, by network, by the variables that do not count.
    let (server, served) = plain(HELLO);
    let url = format!("http://{server}/");
    for (environment, args) in [
        (
            &[("http_proxy", proxy.as_str()), ("no_proxy", "127.0.0.0/8")][..],
            &[][..],
        ),
        (
            &[("http_proxy", proxy.as_str())],
            &["--noproxy", "127.0.0.1"],
        ),
        (&[("HTTP_PROXY", proxy.as_str())], &[]),
        (&[("https_proxy", proxy.as_str())], &[]),
    ] {
        served.lock().unwrap().clear();
        let args: Vec<_> = args.iter().chain(&[url.as_str()]).copied().collect();
        let (ours, theirs) = fixture.both(environment, &args);
        assert_eq!(
            (ours.code, theirs.code),
            (Some(0), Some(0)),
            "{ours} {theirs}"
        );
        for head in served.lock().unwrap().iter() {
            assert!(
                head.starts_with("GET / HTTP/1.1\r\n"),
                "{environment:?} {head}"
            );
        }
    }
}

#[test]
fn the_proxy_protocol_tells_a_server_who_connects() {
    let fixture = Fixture::new();
    let (address, heads) = plain(HELLO);
    let (ours, theirs) = fixture.both(&[], &["--haproxy-protocol", &format!("http://{address}/")]);
    assert_eq!(
        (ours.code, theirs.code),
        (Some(0), Some(0)),
        "{ours} {theirs}"
    );
    for head in heads.lock().unwrap().iter() {
        let (line, rest) = head.split_once("\r\n").unwrap();
        let words: Vec<_> = line.split(' ').collect();
        let port = address.port().to_string();
        assert_eq!(
            words[..4],
            ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"],
            "{line}"
        );
        assert_eq!((words.len(), words[5]), (6, port.as_str()), "{line}");
        assert!(rest.starts_with("GET / HTTP/1.1\r\n"), "{rest}");
    }
}

#[test]
fn other_commands_take_the_same_proxies() {
    let fixture = Fixture::new();
    let Some(dante) = Dante::launch(fixture.directory()) else {
        return;
    };
    let Some(tinyproxy) = Tinyproxy::launch(fixture.directory(), "") else {
        return;
    };
    let socks = dante.address().to_string();
    let http = format!("http://{}", tinyproxy.address());
    let before = format!("socks5h://{socks}");
    for way in [
        &["--socks5-hostname", socks.as_str()][..],
        &["--socks4", &socks],
        &["-x", &http],
        &["-x", &http, "--preproxy", &before],
    ] {
        let server = fixture.hello();
        let place = format!("localhost:{}", server.address().port());
        let connect = fixture.program("connect").args(fixture.trust()).args(way);
        let asked = connect.arg(&place).stdin("GET / HTTP/1.0\r\n\r\n").run();
        assert!(asked.out().ends_with("hello"), "{way:?}: {asked}");
        let inspected = fixture.run("inspect", way.iter().chain(&[place.as_str()]));
        assert!(inspected.printed("proxy"), "{way:?}: {inspected}");
        let unused = format!("localhost:{}", free_address().port());
        let connect = fixture.program("connect").args(fixture.trust()).args(way);
        let refused = connect.arg(&unused).run();
        let code = if way[0] == "-x" { 56 } else { 97 };
        assert_eq!(refused.code, Some(code), "{way:?}: {refused}");
    }
}
