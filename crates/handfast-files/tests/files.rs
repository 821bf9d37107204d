//! Files over HTTPS, told by a client that sees every byte, and by curl and wget.

#[path = "../../handfast-https/tests/server_common/mod.rs"]
mod server_common;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant, UNIX_EPOCH};

use handfast::{ClosePolicy, Ending, ReadOutcome};
use handfast_files::Files;
use handfast_https::server::{CloseReason, TransferEnd};
use handfast_testbed::launch::Program;
use http::HeaderValue;
use server_common::{Fixture, PATIENCE, Setup};

/// A server for files in `directory/public`.
fn files() -> Fixture {
    files_with(Setup::default())
}

fn files_with(setup: Setup) -> Fixture {
    Fixture::start(setup, |directory| {
        let public = directory.join("public");
        fs::create_dir(&public).unwrap();
        Files::new(public).unwrap()
    })
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 % 251) as u8).collect()
}

#[test]
fn a_file_arrives_with_its_type_and_validators() {
    let server = files();
    server.put("hello.txt", "hello\n");
    let reply = server.get("/hello.txt");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text(), "hello\n");
    assert_eq!(reply.field("content-length"), Some("6"));
    assert_eq!(
        reply.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(
        reply
            .field("last-modified")
            .is_some_and(|date| date.ends_with(" GMT"))
    );
    assert!(reply.field("etag").is_some_and(|tag| tag.starts_with('"')));
    assert_eq!(reply.field("accept-ranges"), Some("bytes"));
    assert_eq!(reply.field("cache-control"), Some("no-cache"));
    assert!(reply.field("date").is_some());
    assert_eq!(reply.ending, Ending::CloseNotify);
    let events = server
        .witness
        .wait("a request", |events| events.requests.len() == 1);
    let seen = &events.requests[0];
    assert_eq!(seen.line, "GET /hello.txt HTTP/1.1");
    assert_eq!((seen.status, seen.bytes), (Some(200), 6));
    assert_eq!(seen.end, TransferEnd::Complete);
}

#[test]
fn head_and_other_methods() {
    let server = files();
    server.put("f", pattern(100_000));
    let head = server.ask("HEAD /f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(head.status, 200);
    assert_eq!(head.field("content-length"), Some("100000"));
    assert!(head.body.is_empty());
    let missing = server.ask("HEAD /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!((missing.status, missing.body.len()), (404, 0));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let head = format!(
            "{method} /f HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let reply = server.ask(&head);
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.field("allow"), Some("GET, HEAD"), "{method}");
    }
}

#[test]
fn hosts_are_demanded_where_the_protocol_does() {
    let server = files();
    server.put("f", "x");
    for (head, status) in [
        ("GET /f HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (
            "GET /f HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
            400,
        ),
        ("GET /f HTTP/1.0\r\n\r\n", 200),
        (
            "GET https://h/f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
            200,
        ),
        // Bare line feeds, as broken clients send them.
        ("GET /f HTTP/1.1\nHost: h\nConnection: close\n\n", 200),
    ] {
        assert_eq!(server.ask(head).status, status, "{head:?}");
    }
}

#[test]
fn only_what_lies_beneath_is_found() {
    let server = files();
    server.put("a/f.txt", "inside");
    server.put(".env", "secret");
    server.put(".git/config", "secret");
    server.put("a/.hidden", "secret");
    server.put(".well-known/acme-challenge/token", "public");
    server.put("with space & %41.txt", "odd");
    fs::write(server.directory.path().join("secret"), "secret").unwrap();
    let public = server.public();
    symlink("a/f.txt", public.join("link")).unwrap();
    symlink("../secret", public.join("out")).unwrap();
    symlink("/etc/passwd", public.join("absolute")).unwrap();
    symlink("..", public.join("up")).unwrap();
    symlink("/proc/self/root", public.join("magic")).unwrap();
    let made = rustix_fifo(&public.join("pipe"));
    let cases = [
        ("/a/f.txt", 200, "inside"),
        ("/link", 200, "inside"),
        ("/.well-known/acme-challenge/token", 200, "public"),
        ("/with%20space%20%26%20%2541.txt", 200, "odd"),
        ("/a/f.txt?query=../../x", 200, "inside"),
        ("/a/f.txt/", 404, ""),
        ("/../secret", 404, ""),
        ("/a/../../secret", 404, ""),
        ("/%2e%2e/secret", 404, ""),
        ("/..%2fsecret", 400, ""),
        ("/..%5csecret", 404, ""),
        ("/%252e%252e%252fsecret", 404, ""),
        ("/a%00", 400, ""),
        ("/%zz", 400, ""),
        ("/out", 404, ""),
        ("/absolute", 404, ""),
        ("/up/secret", 404, ""),
        ("/magic/etc/passwd", 404, ""),
        ("/.env", 404, ""),
        ("/.git/config", 404, ""),
        ("/a/.hidden", 404, ""),
        ("/%2eenv", 404, ""),
        ("//a/f.txt", 200, "inside"),
        ("/a///f.txt", 200, "inside"),
        ("//../secret", 404, ""),
        ("//.env", 404, ""),
        ("//etc/passwd", 404, ""),
        ("/none", 404, ""),
    ];
    for (target, status, body) in cases {
        let reply = server.get(target);
        assert_eq!(reply.status, status, "{target}: {}", reply.text());
        if status == 200 {
            assert_eq!(reply.text(), body, "{target}");
        }
        assert!(!reply.text().contains("secret"), "{target}");
    }
    if made {
        assert_eq!(server.get("/pipe").status, 404);
    }
}

#[test]
fn links_lead_out_where_the_program_allows_it() {
    let server = Fixture::start(Setup::default(), |directory| {
        let public = directory.join("public");
        fs::create_dir(&public).unwrap();
        Files::new(public).unwrap().with_follow_links(true)
    });
    fs::create_dir(server.directory.path().join("outside")).unwrap();
    fs::write(server.directory.path().join("outside/f.txt"), "shared").unwrap();
    fs::write(server.directory.path().join("outside/.env"), "secret").unwrap();
    symlink("../outside", server.public().join("out")).unwrap();
    symlink("/proc/self/root", server.public().join("magic")).unwrap();
    symlink("/dev/null", server.public().join("device")).unwrap();
    assert_eq!(server.get("/out/f.txt").text(), "shared");
    let page = server.get("/").text();
    assert!(
        page.contains("./out/") && !page.contains("./device"),
        "{page}"
    );
    for path in [
        "/out/.env",
        "/magic/etc/passwd",
        "/device",
        "/../outside/f.txt",
    ] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

/// What others store there is served by its own path alone, where it is known for what it is.
#[test]
fn no_link_leads_into_a_directory_that_is_kept_apart() {
    for follow_links in [true, false] {
        let server = Fixture::start(Setup::default(), |directory| {
            let public = directory.join("public");
            for made in ["public/in/deep", "stored/deep", "outside"] {
                fs::create_dir_all(directory.join(made)).unwrap();
            }
            let apart = [public.join("in"), directory.join("stored")];
            Files::new(public)
                .unwrap()
                .with_unlinked(apart)
                .with_follow_links(follow_links)
        });
        let place = server.directory.path();
        for name in ["in", "in/deep"] {
            server.put(&format!("{name}/f.txt"), "own");
        }
        for name in ["stored/f.txt", "stored/deep/f.txt", "stored/f.txt.gz"] {
            fs::write(place.join(name), "stored").unwrap();
        }
        fs::write(place.join("outside/f.txt"), "shared").unwrap();
        for (target, link) in [
            ("../stored", "link"),
            ("../stored/deep", "deep"),
            ("../stored/f.txt", "file.txt"),
            ("../stored/f.txt.gz", "mine.txt.gz"),
            ("in", "same"),
            ("../outside", "out"),
        ] {
            symlink(target, server.public().join(link)).unwrap();
        }
        symlink(place.join("stored"), place.join("outside/again")).unwrap();
        server.put("mine.txt", "mine");
        for path in [
            "/link/f.txt",
            "/link/",
            "/deep/f.txt",
            "/file.txt",
            "/same/f.txt",
            "/out/again/f.txt",
        ] {
            assert_eq!(server.get(path).status, 404, "{path}");
        }
        for path in ["/in/f.txt", "/in/deep/f.txt"] {
            assert_eq!(server.get(path).text(), "own", "{path}");
        }
        let reply = server.get("/out/f.txt");
        assert_eq!(reply.status, if follow_links { 200 } else { 404 });
        let reply = server.get_with("/mine.txt", "Accept-Encoding: gzip\r\n");
        assert_eq!(reply.text(), "mine");
    }
}

fn rustix_fifo(path: &std::path::Path) -> bool {
    use rustix::fs::{CWD, FileType, mknodat};
    mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).is_ok()
}

#[test]
fn directories_redirect_index_and_list() {
    let server = files();
    server.put("site/index.html", "<p>home");
    server.put("plain/<b>.txt", "x");
    server.put("plain/.hidden", "x");
    server.put("plain/sub/f", "x");
    server.put("\\\\evil.example/f", "x");
    symlink("/etc", server.public().join("plain/etc")).unwrap();

    let reply = server.get("/site?a=1");
    assert_eq!(reply.status, 308);
    assert_eq!(reply.field("location"), Some("/site/?a=1"));
    // Never to another host.
    let reply = server.get("/%5c%5cevil.example");
    assert_eq!(reply.field("location"), Some("/%5C%5Cevil.example/"));
    for target in ["//site", "///site", "/.//site"] {
        let reply = server.get(target);
        let expected = (!target.contains('.')).then_some("/site/");
        assert_eq!(reply.field("location"), expected, "{target}");
    }

    let reply = server.get("/site/");
    assert_eq!((reply.status, reply.text().as_str()), (200, "<p>home"));
    assert_eq!(
        reply.field("content-type"),
        Some("text/html; charset=utf-8")
    );

    let page = server.get("/plain/").text();
    assert!(page.contains("href=\"./%3Cb%3E.txt\""), "{page}");
    assert!(page.contains("&lt;b&gt;.txt"), "{page}");
    assert!(page.contains("href=\"./sub/\""), "{page}");
    assert!(
        !page.contains("./.hidden") && !page.contains("etc"),
        "{page}"
    );
    let followed = server.get("/plain/%3Cb%3E.txt");
    assert_eq!(followed.status, 200);
}

/// One request follows another on each of two connections while the directory is replaced again and again: each gets the
/// whole of one version, and the new version within moments.
#[test]
fn a_replaced_directory_is_served_without_a_refused_request() {
    let server = files();
    server.put("f", "0");
    let public = server.public();
    let mut streams = [server.connect(), server.connect()];
    let mut seen = [0, 0];
    for version in 1..4 {
        let next = server.directory.path().join("next");
        fs::create_dir(&next).unwrap();
        fs::write(next.join("f"), version.to_string()).unwrap();
        let before = server.directory.path().join(format!("before{version}"));
        fs::rename(&public, before).unwrap();
        for (stream, seen) in streams.iter_mut().zip(&mut seen) {
            assert_eq!(ask_again(stream), *seen, "none is there: the previous one");
        }
        fs::rename(&next, &public).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while seen != [version; 2] {
            assert!(Instant::now() < deadline, "{seen:?}");
            for (stream, seen) in streams.iter_mut().zip(&mut seen) {
                let now = ask_again(stream);
                assert!(now == *seen || now == version, "{now}");
                *seen = now;
            }
        }
    }
}

/// The number that `/f` holds, by a connection that stays open.
fn ask_again(stream: &mut handfast::Stream<std::net::TcpStream>) -> u32 {
    stream
        .write_all(b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    let body = loop {
        if let ReadOutcome::Data(count) = stream.read_some(&mut buffer).unwrap() {
            got.extend_from_slice(&buffer[..count]);
        }
        let text = String::from_utf8_lossy(&got);
        match text.split_once("\r\n\r\n") {
            Some((_, body)) if !body.is_empty() => break body.to_owned(),
            _ => {}
        }
    };
    assert!(got.starts_with(b"HTTP/1.1 200 "), "{body}");
    body.parse().unwrap()
}

#[test]
fn a_program_tells_what_caches_may_do() {
    let server = Fixture::start(Setup::default(), |directory| {
        let public = directory.join("public");
        fs::create_dir(&public).unwrap();
        let value = HeaderValue::from_static("max-age=60");
        Files::new(public).unwrap().with_cache_control(Some(value))
    });
    server.put("d/f", "x");
    let reply = server.get("/d/f");
    assert_eq!(reply.field("cache-control"), Some("max-age=60"));
    let condition = format!("If-None-Match: {}\r\n", reply.field("etag").unwrap());
    let reply = server.get_with("/d/f", &condition);
    assert_eq!(reply.status, 304);
    assert_eq!(reply.field("cache-control"), Some("max-age=60"));
    for ours in ["/d/", "/d"] {
        let reply = server.get(ours);
        assert_eq!(reply.field("cache-control"), Some("no-cache"), "{ours}");
    }
}

#[test]
fn ranges_and_conditions_on_the_wire() {
    let server = files();
    let content = pattern(300_000);
    server.put("f", &content);
    let old = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options()
        .write(true)
        .open(server.public().join("f"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    let whole = server.get("/f");
    assert_eq!((whole.status, whole.body.len()), (200, content.len()));
    let etag = whole.field("etag").unwrap().to_owned();
    let date = whole.field("last-modified").unwrap().to_owned();
    assert_eq!(date, "Tue, 14 Nov 2023 22:13:20 GMT");
    let cases = [
        ("Range: bytes=0-9".to_owned(), 206, 0..10),
        ("Range: bytes=299990-".to_owned(), 206, 299_990..300_000),
        ("Range: bytes=-5".to_owned(), 206, 299_995..300_000),
        ("Range: bytes=100-250000".to_owned(), 206, 100..250_001),
        ("Range: bytes=300000-".to_owned(), 416, 0..0),
        ("Range: bytes=0-9,5-20".to_owned(), 206, 0..21),
        ("Range: bytes=0-9,x".to_owned(), 200, 0..300_000),
        (format!("Range: bytes=0-9\r\nIf-Range: {etag}"), 206, 0..10),
        (
            "Range: bytes=0-9\r\nIf-Range: \"other\"".to_owned(),
            200,
            0..300_000,
        ),
        (format!("If-None-Match: {etag}"), 304, 0..0),
        (format!("If-Modified-Since: {date}"), 304, 0..0),
        ("If-Match: \"other\"".to_owned(), 412, 0..0),
    ];
    for (field, status, range) in cases {
        let reply = server.get_with("/f", &format!("{field}\r\n"));
        assert_eq!(reply.status, status, "{field}");
        match status {
            206 => {
                let last = range.end - 1;
                let expected = format!("bytes {}-{last}/300000", range.start);
                assert_eq!(reply.field("content-range"), Some(expected.as_str()));
                assert!(reply.body == content[range], "{field}");
            }
            200 => assert!(reply.body == content[range], "{field}"),
            416 => assert_eq!(reply.field("content-range"), Some("bytes */300000")),
            304 => {
                assert!(reply.body.is_empty());
                assert_eq!(reply.field("etag"), Some(etag.as_str()));
            }
            _ => {}
        }
    }
}

/// The fields and the content of each part (RFC 2046, section 5.1.1).
fn parts_of<'b>(content_type: &str, body: &'b [u8]) -> Vec<(String, &'b [u8])> {
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap_or_else(|| panic!("{content_type}"));
    assert!(boundary.len() <= 70);
    let delimiter = format!("\r\n--{boundary}");
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|it| it == what);
    let mut rest = &body[delimiter.len() - 2..];
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = find(part, delimiter.as_bytes()).expect("a delimiter");
        let head = find(part, b"\r\n\r\n").expect("a head");
        let fields = String::from_utf8(part[..head].to_vec()).unwrap();
        parts.push((fields, &part[head + 4..end]));
        rest = &part[end + delimiter.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    parts
}

#[test]
fn several_ranges_arrive_as_parts_over_http1_and_http2() {
    let server = files();
    let content = pattern(300_000);
    server.put("f", &content);
    let ranges = "299990-,0-9,5-15,100000-250000";
    let expected = [299_990..300_000, 0..16, 100_000..250_001];
    let check = |content_type: &str, body: &[u8]| {
        let parts = parts_of(content_type, body);
        assert_eq!(parts.len(), expected.len());
        for ((fields, part), range) in parts.into_iter().zip(&expected) {
            let expected = format!(
                "Content-Type: application/octet-stream\r\nContent-Range: bytes {}-{}/300000",
                range.start,
                range.end - 1
            );
            assert_eq!(fields, expected);
            assert!(part == &content[range.clone()], "{range:?}");
        }
    };
    let reply = server.get_with("/f", &format!("Range: bytes={ranges}\r\n"));
    assert_eq!((reply.status, reply.ending), (206, Ending::CloseNotify));
    assert_eq!(reply.field("content-range"), None);
    let length = reply.body.len().to_string();
    assert_eq!(reply.field("content-length"), Some(length.as_str()));
    check(reply.field("content-type").unwrap(), &reply.body);

    let Some(curl) = Program::new("curl") else {
        return;
    };
    let ca = server.ca_file.display().to_string();
    let finished = curl
        .args(["-sS", "--cacert", &ca, "--http2", "-r", ranges])
        .args([
            "-w",
            "%{stderr}%{http_version} %{http_code} %{content_type}",
        ])
        .arg(server.url("/f"))
        .run();
    let seen = finished.err();
    let content_type = seen
        .strip_prefix("2 206 ")
        .unwrap_or_else(|| panic!("{finished}"));
    check(content_type, &finished.stdout);
}

/// Whatever a client asks for, it gets little more than the file.
#[test]
fn a_range_asked_for_a_hundred_times_is_sent_once() {
    let server = files();
    server.put("f", pattern(100_000));
    for (range, status) in [("0-", 206), ("0-99999", 206), ("1-,0-", 206), ("0-1", 206)] {
        let ranges = vec![range; 100].join(",");
        let reply = server.get_with("/f", &format!("Range: bytes={ranges}\r\n"));
        assert_eq!(reply.status, status, "{range}");
        assert!(reply.body.len() <= 100_000, "{range}");
        assert!(reply.field("content-range").is_some(), "{range}");
    }
    let ranges: Vec<_> = (0..200).map(|n| format!("{0}-{0}", n * 500)).collect();
    let reply = server.get_with("/f", &format!("Range: bytes={}\r\n", ranges.join(",")));
    assert_eq!(reply.status, 206);
    assert!(reply.body.len() < 50_000, "{}", reply.body.len());
}

/// A file that ends before its announced end must not pass as whole.
#[test]
fn a_file_that_shrinks_breaks_the_reply_off() {
    let server = files();
    // Larger than everything that can be under way.
    let length = 64 * 1024 * 1024;
    server.put("f", "");
    let file = fs::File::options()
        .write(true)
        .open(server.public().join("f"))
        .unwrap();
    file.set_len(length).unwrap();
    let mut stream = server.connect();
    stream
        .write_all(b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    let mut received = stream.read_exact_some();
    file.set_len(0).unwrap();
    let mut buffer = vec![0; 65536];
    let ending = loop {
        match stream.read_some(&mut buffer).unwrap() {
            ReadOutcome::Data(count) => received += count as u64,
            ReadOutcome::End(ending) => break ending,
            ReadOutcome::WouldBlock => {}
        }
    };
    assert!(received < length, "{received}");
    assert_ne!(ending, Ending::CloseNotify, "it must look broken off");
    let events = server
        .witness
        .wait("the end", |events| events.closes.len() == 1);
    assert_eq!(events.requests[0].end, TransferEnd::Aborted);
    let reason = &events.closes[0].reason;
    assert!(
        matches!(reason, CloseReason::BrokenOff(why) if why.contains("the file ended")),
        "{reason:?}"
    );
    assert_eq!(events.closes[0].outcome, None);
}

trait ReadSome {
    fn read_exact_some(&mut self) -> u64;
}

impl ReadSome for handfast::Stream<std::net::TcpStream> {
    fn read_exact_some(&mut self) -> u64 {
        loop {
            if let ReadOutcome::Data(count) = self.read_some(&mut [0; 1000]).unwrap() {
                return count as u64;
            }
        }
    }
}

/// A head and 100 KiB of body: six full records and the rest, the head in the first of them.
#[test]
fn a_reply_leaves_in_few_large_records() {
    for setup in [1, 2] {
        let server = files_with(Setup {
            threads: setup,
            ..Setup::default()
        });
        server.put("f", pattern(100 * 1024));
        let mut stream = server.connect();
        stream
            .write_all(b"GET /f HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .unwrap();
        let (bytes, ending) = stream.read_to_ending().unwrap();
        assert_eq!(ending, Ending::CloseNotify);
        let head = bytes.len() - 100 * 1024;
        assert!(head < 1024);
        assert_eq!(stream.traffic().records_received, 7);
        stream.close(ClosePolicy::Send);
    }
}

#[test]
fn curl_gets_files_over_http1_and_http2_tls_12_and_13() {
    let server = files();
    let content = pattern(3_000_000);
    server.put("f.bin", &content);
    let ca = server.ca_file.display().to_string();
    for http in ["--http1.1", "--http2"] {
        for tls in [["--tls-max", "1.2"], ["--tlsv1.3", "-s"]] {
            let Some(curl) = Program::new("curl") else {
                return;
            };
            let url = server.url("/f.bin");
            let finished = curl
                .args(["-sS", "--cacert", &ca, http, tls[0], tls[1], &url])
                .run();
            assert!(finished.succeeded(), "{http} {tls:?}: {finished}");
            assert!(finished.stdout == content, "{http} {tls:?}");
        }
    }
    // Several at once on one connection, a range and a HEAD among them.
    let Some(curl) = Program::new("curl") else {
        return;
    };
    let finished = curl
        .args(["-sS", "--cacert", &ca, "--http2", "-o", "/dev/null"])
        .args(["-w", "%{http_version} %{http_code} %{size_download}\n"])
        .args(["-r", "10-19", &server.url("/f.bin")])
        .args(["--next", "-sS", "--cacert", &ca, "-I", "-o", "/dev/null"])
        .args(["-w", "%{http_version} %{http_code} %{size_download}\n"])
        .arg(server.url("/f.bin"))
        .run();
    assert_eq!(finished.out(), "2 206 10\n2 200 0\n", "{finished}");
}

#[test]
fn wget_mirrors_by_the_listing() {
    let server = files();
    server.put("a.txt", "one");
    server.put("d/odd name & more.txt", "two");
    let into = tempfile::tempdir().unwrap();
    let Some(wget) = Program::new("wget") else {
        return;
    };
    let finished = wget
        .args(["-q", "-r", "-np", "-nH", "-e", "robots=off"])
        .args(["--ca-certificate", &server.ca_file.display().to_string()])
        .args(["-P", &into.path().display().to_string()])
        .arg(server.url("/"))
        .run();
    assert!(finished.succeeded(), "{finished}");
    assert_eq!(fs::read(into.path().join("a.txt")).unwrap(), b"one");
    assert_eq!(
        fs::read(into.path().join("d/odd name & more.txt")).unwrap(),
        b"two"
    );
}

#[test]
fn pages_are_for_browsers_and_programs_get_json_and_text() {
    let server = files();
    server.put("a10", "x");
    server.put("a2", "x");
    let accept = |target: &str, value: &str| {
        let reply = server.get_with(target, &format!("Accept: {value}\r\n"));
        assert!(reply.field("vary").unwrap().starts_with("Accept"));
        assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
        let policy = reply.field("content-security-policy").unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        (
            reply.status,
            reply.field("content-type").unwrap().to_owned(),
            reply.text(),
        )
    };
    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (target, value, status, kind, text) in [
        (
            "/",
            BROWSER,
            200,
            "text/html; charset=utf-8",
            "<a href=\"./a2\">a2</a>",
        ),
        (
            "/",
            "*/*",
            200,
            "text/html; charset=utf-8",
            "<a href=\"./a10\">a10</a>",
        ),
        (
            "/",
            "application/json",
            200,
            "application/json",
            "{\"name\":\"a10\",\"href\":\"./a10\"",
        ),
        (
            "/none",
            BROWSER,
            404,
            "text/html; charset=utf-8",
            "There is nothing at this address.",
        ),
    ] {
        let (found, media_type, body) = accept(target, value);
        assert_eq!(
            (found, media_type.as_str()),
            (status, kind),
            "{target} {value}"
        );
        assert!(body.contains(text), "{target} {value}: {body}");
    }
    assert_eq!(server.get("/none").text(), "not found\n");
    // In the coding that the client prefers, if it accepts any.
    for (codings, coding) in [
        ("gzip, br, zstd", Some("zstd")),
        ("gzip", Some("gzip")),
        ("identity", None),
        ("gzip;q=0", None),
    ] {
        let fields = format!("Accept-Encoding: {codings}\r\n");
        let reply = server.get_with("/", &fields);
        assert_eq!(reply.field("content-encoding"), coding, "{codings}");
        assert_eq!(reply.field("vary"), Some("Accept, Accept-Encoding"));
    }
    let refusing = server.get_with("/", "Accept-Encoding: identity;q=0, x\r\n");
    assert_eq!(refusing.status, 406);
    let page = accept("/", BROWSER).2;
    assert!(
        page.find("./a2") < page.find("./a10"),
        "in the order of numbers"
    );
}

/// What the script does to the page shows that the policy lets it run, and that the browser takes the page as it is meant.
#[test]
fn a_browser_runs_the_script_of_a_listing_and_nothing_else() {
    let server = files();
    server.put("f", "x");
    server.put("<img src=x onerror=document.title=1>", "x");
    let Some(chromium) = Program::new("chromium") else {
        return;
    };
    let profile = tempfile::tempdir().unwrap();
    let dumped = chromium
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args(["--ignore-certificate-errors", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(server.url("/"))
        .limit(Duration::from_secs(120))
        .run();
    let page = dumped.out();
    for expected in [
        "<form>",
        "aria-sort=\"ascending\"",
        "<button type=\"button\">Name</button>",
        "<title>/</title>",
    ] {
        assert!(page.contains(expected), "{expected}: {dumped}");
    }
    assert!(!page.contains("<img"), "{dumped}");
}

#[test]
fn a_directory_that_is_removed_and_made_again_is_found_at_once() {
    let server = files();
    let public = server.directory.path().join("public");
    let mut longest = Vec::new();
    // One of them is fast also where this machine is busy.
    for round in 0..10 {
        fs::remove_dir_all(&public).unwrap();
        fs::create_dir(&public).unwrap();
        server.put(&format!("{round}"), "");
        let began = Instant::now();
        while server.get(&format!("/{round}")).status != 200 {
            assert!(began.elapsed() < PATIENCE);
        }
        // The path was looked at just now: the next time would be in a second.
        longest.push(began.elapsed());
        if round > 0 && began.elapsed() < Duration::from_millis(500) {
            return;
        }
    }
    panic!("{longest:?}");
}
