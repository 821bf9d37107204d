//! Compressed representations of files, beforehand and while they are sent.

#[path = "../../handfast-https/tests/server_common/mod.rs"]
mod server_common;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use handfast::Ending;
use handfast_files::{Charset, Files};
use handfast_testbed::launch::Program;
use server_common::{Fixture, Reply, Setup};

fn files() -> Fixture {
    files_with(|files| files)
}

fn files_with(options: impl FnOnce(Files) -> Files) -> Fixture {
    Fixture::start(Setup::default(), |directory| {
        let public = directory.join("public");
        fs::create_dir(&public).unwrap();
        options(Files::new(public).unwrap())
    })
}

/// What becomes smaller by compression.
fn text(length: usize) -> Vec<u8> {
    let lines = (0_u64..).flat_map(|line| format!("line {line}, {:x}\n", line * line).into_bytes());
    lines.take(length).collect()
}

fn accept(codings: &str) -> String {
    format!("Accept-Encoding: {codings}\r\n")
}

/// The content, whatever its coding.
fn decoded(reply: &Reply) -> Vec<u8> {
    let bytes = match reply.field("transfer-encoding") {
        Some(_) => dechunked(&reply.body),
        None => reply.body.clone(),
    };
    let bytes = bytes.as_slice();
    let mut content = Vec::new();
    match reply.field("content-encoding") {
        None => return bytes.to_vec(),
        Some("gzip") => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut content),
        Some("br") => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut content),
        Some("zstd") => zstd::stream::read::Decoder::new(bytes)
            .unwrap()
            .read_to_end(&mut content),
        Some(other) => panic!("{other}"),
    }
    .unwrap();
    content
}

fn dechunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let line = bytes.windows(2).position(|it| it == b"\r\n").unwrap();
        let size = std::str::from_utf8(&bytes[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        content.extend_from_slice(&bytes[line + 2..line + 2 + size]);
        bytes = &bytes[line + 2 + size + 2..];
        if size == 0 {
            return content;
        }
    }
}

fn set_modified(server: &Fixture, name: &str, before: Duration) {
    let file = File::options()
        .write(true)
        .open(server.public().join(name))
        .unwrap();
    file.set_modified(SystemTime::now() - before).unwrap();
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn what_lies_beside_a_file_is_chosen_by_weight() {
    let server = files_with(|files| files.with_compression(false));
    // They are told apart by what they hold.
    for name in [
        "app.js",
        "app.js.br",
        "app.js.zst",
        "app.js.gz",
        "only.css",
        "only.css.gz",
    ] {
        server.put(name, name);
        set_modified(&server, name, HOUR);
    }
    let cases = [
        (
            "/app.js",
            "gzip, deflate, br, zstd",
            "app.js.br",
            Some("br"),
        ),
        ("/app.js", "gzip, zstd", "app.js.zst", Some("zstd")),
        ("/app.js", "gzip", "app.js.gz", Some("gzip")),
        ("/app.js", "gzip;q=0.9, br;q=0.1", "app.js.gz", Some("gzip")),
        ("/app.js", "identity, gzip;q=0.5", "app.js", None),
        ("/app.js", "gzip;q=0", "app.js", None),
        ("/app.js", "deflate", "app.js", None),
        ("/app.js", "*", "app.js", None),
        ("/app.js", "", "app.js", None),
        ("/only.css", "br, gzip", "only.css.gz", Some("gzip")),
        ("/only.css", "br", "only.css", None),
        (
            "/only.css",
            "gzip, identity;q=0",
            "only.css.gz",
            Some("gzip"),
        ),
        // By its own name it is a file like others.
        ("/app.js.gz", "gzip", "app.js.gz", None),
    ];
    let mut tags = Vec::new();
    for again in [false, true] {
        for (path, codings, content, coding) in cases {
            let what = format!("{path} {codings} {again}");
            let reply = server.get_with(path, &accept(codings));
            assert_eq!(
                (reply.status, reply.text().as_str()),
                (200, content),
                "{what}"
            );
            assert_eq!(reply.field("content-encoding"), coding, "{what}");
            if !path.ends_with(".gz") {
                assert_eq!(reply.field("vary"), Some("accept-encoding"), "{what}");
                assert!(
                    reply.field("content-type").unwrap().starts_with("text/"),
                    "{what}"
                );
            }
            tags.push((content, reply.field("etag").unwrap().to_owned(), coding));
        }
    }
    // Each representation has a strong tag of its own.
    tags.sort();
    tags.dedup();
    let count = tags.len();
    tags.dedup_by(|a, b| a.1 == b.1);
    assert_eq!(tags.len(), count);
    assert!(tags.iter().all(|(_, tag, _)| tag.starts_with('"')));

    let refused = server.get_with("/only.css", &accept("br, *;q=0"));
    assert_eq!(
        (refused.status, refused.field("vary")),
        (406, Some("accept-encoding"))
    );
    assert_eq!(server.get_with("/none.css", &accept("*;q=0")).status, 404);
}

#[test]
fn what_lies_beside_a_file_has_conditions_and_ranges_of_its_own() {
    let server = files_with(|files| files.with_compression(false));
    server.put("a.css", "as it is");
    server.put("a.css.br", "compressed");
    set_modified(&server, "a.css", HOUR);
    let plain = server.get("/a.css");
    let with = |fields: &str| server.get_with("/a.css", &format!("{}{fields}", accept("br")));
    let whole = with("");
    assert_eq!(whole.text(), "compressed");
    let tag = whole.field("etag").unwrap();
    let other = plain.field("etag").unwrap();
    assert_ne!(tag, other);
    let reply = with(&format!("If-None-Match: {tag}\r\n"));
    assert_eq!(
        (reply.status, reply.field("vary")),
        (304, Some("accept-encoding"))
    );
    assert_eq!(with(&format!("If-None-Match: {other}\r\n")).status, 200);
    assert_eq!(with(&format!("If-Match: {other}\r\n")).status, 412);
    let reply = with("Range: bytes=2-4\r\n");
    assert_eq!((reply.status, reply.text().as_str()), (206, "mpr"));
    assert_eq!(reply.field("content-encoding"), Some("br"));
    assert_eq!(reply.field("content-range"), Some("bytes 2-4/10"));
    let reply = with(&format!("Range: bytes=2-4\r\nIf-Range: {other}\r\n"));
    assert_eq!((reply.status, reply.text().as_str()), (200, "compressed"));
}

#[test]
fn what_lies_beside_a_file_is_refused_when_it_is_older_or_leads_out() {
    let server = files_with(|files| files.with_compression(false));
    let get = |path: &str| server.get_with(path, &accept("gzip")).text();
    server.put("a.js", "new");
    server.put("a.js.gz", "old");
    set_modified(&server, "a.js.gz", HOUR);
    assert_eq!(get("/a.js"), "new");
    set_modified(&server, "a.js", 2 * HOUR);
    // That there was none is valid for a second, for each connection's thread.
    let deadline = SystemTime::now() + server_common::PATIENCE;
    while get("/a.js") != "old" {
        assert!(SystemTime::now() < deadline);
    }
    server.put("a.js", "newer");
    assert_eq!(get("/a.js"), "newer", "at once");

    fs::write(server.directory.path().join("secret"), "secret").unwrap();
    for (number, to) in ["../secret", "/etc/passwd", "nowhere"].iter().enumerate() {
        let name = format!("l{number}.js");
        server.put(&name, "inside");
        symlink(to, server.public().join(format!("{name}.gz"))).unwrap();
        assert_eq!(get(&format!("/{name}")), "inside", "{to}");
    }
    server.put("d.js", "inside");
    fs::create_dir(server.public().join("d.js.gz")).unwrap();
    assert_eq!(get("/d.js"), "inside");
    // A type that does not become smaller, and files of an archive that is for itself.
    server.put("x.png", "picture");
    server.put("x.png.gz", "another");
    assert_eq!(get("/x.png"), "picture");
}

#[test]
fn files_are_compressed_while_they_are_sent() {
    let server = files();
    let (small, large) = (text(50_000), text(1_000_000));
    server.put("small.js", &small);
    server.put("large.json", &large);
    server.put("tiny.js", text(500));
    server.put("noise.txt", noise(100_000));
    server.put("picture.png", &small);
    for (path, content) in [("/small.js", &small), ("/large.json", &large)] {
        let plain = server.get(path);
        assert_eq!(plain.field("vary"), Some("accept-encoding"), "{path}");
        for coding in ["gzip", "br", "zstd", "gzip, deflate, br, zstd"] {
            for again in [false, true] {
                let what = format!("{path} {coding} {again}");
                let reply = server.get_with(path, &accept(coding));
                assert_eq!(
                    (reply.status, reply.ending),
                    (200, Ending::CloseNotify),
                    "{what}"
                );
                let expected = if coding.len() > 4 { "zstd" } else { coding };
                assert_eq!(reply.field("content-encoding"), Some(expected), "{what}");
                assert!(reply.body.len() < content.len() / 2, "{what}");
                assert!(&decoded(&reply) == content, "{what}");
                assert_eq!(reply.field("vary"), Some("accept-encoding"), "{what}");
                assert_eq!(reply.field("accept-ranges"), None, "{what}");
                assert_eq!(
                    reply.field("content-type"),
                    plain.field("content-type"),
                    "{what}"
                );
                let has_length = again || path == "/small.js" || coding.len() > 4;
                assert_eq!(
                    reply.field("content-length").is_some(),
                    has_length,
                    "{what}"
                );
                let tag = reply.field("etag").unwrap();
                assert!(tag.starts_with("W/\""), "{what}");
                let fields = format!("{}If-None-Match: {tag}\r\n", accept(coding));
                let reply = server.get_with(path, &fields);
                assert_eq!(
                    (reply.status, reply.field("etag")),
                    (304, Some(tag)),
                    "{what}"
                );
                let fields = format!("{}If-None-Match: \"x\"\r\n", accept(coding));
                assert!(
                    decoded(&server.get_with(path, &fields)) == *content,
                    "{what}"
                );
            }
        }
        // A part of the file as it is.
        let fields = format!("{}Range: bytes=5-9\r\n", accept("gzip"));
        let reply = server.get_with(path, &fields);
        assert_eq!((reply.status, reply.field("content-encoding")), (206, None));
        assert!(reply.body == content[5..10]);
    }
    for path in ["/tiny.js", "/noise.txt", "/picture.png"] {
        for _ in 0..2 {
            let reply = server.get_with(path, &accept("gzip, br, zstd"));
            assert_eq!(
                (reply.status, reply.field("content-encoding")),
                (200, None),
                "{path}"
            );
            let fields = format!(
                "{}If-None-Match: {}\r\n",
                accept("br"),
                reply.field("etag").unwrap()
            );
            assert_eq!(server.get_with(path, &fields).status, 304, "{path}");
        }
        // Unless that is refused.
        let reply = server.get_with(path, &accept("br, identity;q=0"));
        assert_eq!(reply.field("content-encoding"), Some("br"), "{path}");
        assert!(
            decoded(&reply) == fs::read(server.public().join(&path[1..])).unwrap(),
            "{path}"
        );
    }
}

/// Nothing makes it smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn an_edited_file_is_compressed_again() {
    let server = files();
    for round in 0..3 {
        let content = text(40_000 + round);
        server.put("a.css", &content);
        for _ in 0..2 {
            let reply = server.get_with("/a.css", &accept("gzip"));
            assert_eq!(reply.field("content-encoding"), Some("gzip"));
            assert!(decoded(&reply) == content, "{round}");
        }
    }
}

#[test]
fn a_head_tells_the_coding_and_old_clients_get_the_file_as_it_is() {
    let server = files();
    server.put("large.txt", text(500_000));
    let head = "HEAD /large.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
    let reply = server.ask(&format!("{head}{}\r\n", accept("gzip")));
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.field("content-encoding"), Some("gzip"));
    assert_eq!(reply.field("content-length"), None);
    let reply = server.ask(&format!(
        "GET /large.txt HTTP/1.0\r\n{}\r\n",
        accept("gzip")
    ));
    assert_eq!((reply.status, reply.body.len()), (200, 500_000));
}

#[test]
fn neither_happens_where_it_is_off() {
    let server = files_with(|files| files.with_compression(false).with_precompressed(false));
    server.put("a.js", text(50_000));
    server.put("a.js.gz", "beside");
    let reply = server.get_with("/a.js", &accept("gzip, br, zstd"));
    assert_eq!((reply.status, reply.body.len()), (200, 50_000));
    assert_eq!(reply.field("vary"), None);
}

/// Many at once, of which some are compressed and some are not, over both versions: each gets the file.
#[test]
fn many_clients_get_large_files_compressed_over_http1_and_http2() {
    let server = files();
    let content = text(3_000_000);
    server.put("a.txt", &content);
    for http in ["--http1.1", "--http2"] {
        let Some(curl) = Program::new("curl") else {
            return;
        };
        let into = tempfile::tempdir().unwrap();
        let mut curl = curl
            .args([
                "-sS",
                "--compressed",
                "--parallel",
                "--parallel-immediate",
                http,
            ])
            .args(["--cacert", &server.ca_file.display().to_string()]);
        for number in 0..30 {
            let to = into.path().join(number.to_string());
            curl = curl.args([
                server.url("/a.txt"),
                "-o".to_owned(),
                to.display().to_string(),
            ]);
        }
        let finished = curl.run();
        assert!(finished.succeeded(), "{finished}");
        for number in 0..30 {
            let got = fs::read(into.path().join(number.to_string())).unwrap();
            assert!(got == content, "{http} {number}: {} bytes", got.len());
        }
    }
}

#[test]
fn a_charset_is_told_where_it_is_known() {
    let server = files();
    let long = |text: &str| format!("{text}{}", "x".repeat(100_000));
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("a.html", b"<p>x".to_vec(), "text/html; charset=utf-8"),
        (
            "b.html",
            b"<meta charset=latin1><p>\xfc".to_vec(),
            "text/html",
        ),
        ("c.html", b"<meta charset=utf-8><p>".to_vec(), "text/html"),
        ("d.txt", b"gr\xfcn".to_vec(), "text/plain"),
        ("e.txt", "gr\u{fc}n".into(), "text/plain; charset=utf-8"),
        (
            "f.txt",
            long("gr\u{fc}n").into(),
            "text/plain; charset=utf-8",
        ),
        ("g.txt", long("").into(), "text/plain"),
        ("h.svg", b"<svg/>".to_vec(), "image/svg+xml"),
        ("i.md", b"# x".to_vec(), "text/markdown; charset=utf-8"),
    ];
    for (name, content, expected) in cases {
        server.put(name, &content);
        for _ in 0..2 {
            let reply = server.get(&format!("/{name}"));
            assert_eq!(reply.field("content-type"), Some(expected), "{name}");
            assert_eq!(reply.field("x-content-type-options"), Some("nosniff"));
            assert!(reply.body == content, "{name}");
        }
    }
    let server = files_with(|files| files.with_charset(Charset::Unstated));
    server.put("a.html", "x");
    let reply = server.get("/a.html");
    assert_eq!(reply.field("content-type"), Some("text/html"));
}

#[test]
fn the_first_index_that_there_is_is_served() {
    let server = files_with(|files| files.with_indexes(["index.html", "index.htm"]));
    server.put("a/index.htm", "htm");
    assert_eq!(server.get("/a/").text(), "htm");
    server.put("a/index.html", "html");
    let deadline = SystemTime::now() + server_common::PATIENCE;
    while server.get("/a/").text() != "html" {
        assert!(SystemTime::now() < deadline);
    }
}
