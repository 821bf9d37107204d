//! `-b`, `-c`: which servers get which cookies, and the file that keeps them.

use std::fs;
use std::path::Path;

use handfast_testbed::launch::Program;
use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

fn redirect(to: &str, fields: &str) -> Step {
    Step::send(format!(
        "HTTP/1.1 302 X\r\nlocation: {to}\r\n{fields}content-length: 0\r\n\r\n"
    ))
}

fn ok(fields: &str) -> Step {
    Step::send(format!(
        "HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n"
    ))
}

/// The `Cookie` fields of requests, the cookies of each sorted.
fn sent(requests: &str) -> Vec<Vec<String>> {
    let fields = requests
        .lines()
        .filter_map(|line| match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("cookie") => Some(value),
            _ => None,
        });
    let sorted = |field: &str| {
        let mut cookies: Vec<_> = field.split("; ").map(str::to_owned).collect();
        cookies.sort();
        cookies
    };
    fields.map(sorted).collect()
}

/// The cookies of a file, sorted.
fn kept(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let is_cookie = |line: &&str| line.starts_with("#HttpOnly_") || !line.starts_with('#');
    let lines = text
        .lines()
        .filter(is_cookie)
        .filter(|line| !line.is_empty());
    let mut lines: Vec<_> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn cookies_stay_with_their_site() {
    let fixture = Fixture::new();
    let other = fixture
        .misbehaving()
        .serve([Step::ReadHead, ok("set-cookie: x=1; domain=localhost\r\n")]);
    let port = other.address().port();
    // Another name of the same machine: another site.
    let elsewhere = format!("https://127.0.0.1:{port}/");
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        redirect(&elsewhere, "set-cookie: a=1; Path=/\r\n"),
    ]);
    let jar = fixture.directory().join("jar");
    let finished = fixture.get([
        "-L",
        "-b",
        "typed=s3cret",
        "-c",
        &jar.display().to_string(),
        "-v",
        &server.url("/"),
    ]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(sent(&server.received_text()), [["typed=s3cret"]]);
    assert_eq!(sent(&other.received_text()), Vec::<Vec<String>>::new());
    assert_eq!(kept(&jar), ["localhost\tFALSE\t/\tFALSE\t0\ta\t1"]);
    assert!(!finished.err().contains("s3cret"), "{finished}");
}

#[test]
fn the_file_is_whole_and_its_owners() {
    let fixture = Fixture::new();
    let server = || {
        fixture
            .misbehaving()
            .serve([Step::ReadHead, ok("set-cookie: a=1\r\n")])
    };
    let url = server();
    let finished = fixture.get(["-c", "-", &url.url("/")]);
    assert!(
        finished
            .out()
            .ends_with("localhost\tFALSE\t/\tFALSE\t0\ta\t1\n"),
        "{finished}"
    );

    let jar = fixture.directory().join("new");
    let name = jar.display().to_string();
    let url = server();
    assert_eq!(code(&fixture.get(["-c", &name, &url.url("/")])), 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&jar), 0o600);
        fs::set_permissions(&jar, fs::Permissions::from_mode(0o640)).unwrap();
        let link = fixture.directory().join("link");
        symlink(&jar, &link).unwrap();
        let url = server();
        let finished = fixture.get(["-c", &link.display().to_string(), &url.url("/")]);
        assert_eq!(code(&finished), 0, "{finished}");
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(mode(&jar), 0o640);
    }
    // It is also written after a failure.
    let refused = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 404 X\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let finished = fixture.get(["-f", "-b", &name, "-c", &name, &refused.url("/")]);
    assert_eq!(code(&finished), 22, "{finished}");
    assert_eq!(kept(&jar).len(), 2);

    let nowhere = fixture.directory().join("none/jar").display().to_string();
    let url = server();
    let finished = fixture.get(["-c", &nowhere, &url.url("/")]);
    assert_eq!(code(&finished), 23, "{finished}");
    assert!(finished.err().contains("[file-unusable]"), "{finished}");
}

#[test]
fn what_stands_after_next_gets_the_cookies_of_what_stands_before_as_with_curl() {
    let fixture = Fixture::new();
    if Program::new("curl").is_none() {
        return;
    }
    let closing = |fields: &str| {
        let fields = format!("connection: close\r\n{fields}");
        vec![Step::ReadHead, ok(&fields), Step::CloseNotify, Step::Fin]
    };
    let mut results = Vec::new();
    for name in ["ours", "curl"] {
        let server = fixture.misbehaving().serve_each([
            closing("set-cookie: s=1\r\nx: login\r\n"),
            closing("x: page\r\n"),
            closing("set-cookie: t=2\r\n"),
        ]);
        let path = |end: &str| fixture.path(&format!("{name}.{end}"));
        let (jar, late, heads) = (path("jar"), path("late"), path("heads"));
        fs::write(&heads, "old").unwrap();
        let finished = fixture
            .client(name)
            .args(["-s", "-c"])
            .arg(&jar)
            .arg("-D")
            .arg(&heads)
            .args([&server.url("/login"), "--next"])
            .args(fixture.trust())
            .args(["-s", "-b"])
            .arg(&jar)
            .arg("-D")
            .arg(&heads)
            .args([&server.url("/page"), "--next"])
            .args(fixture.trust())
            .args(["-s", "-c"])
            .arg(&late)
            .arg(server.url("/more"))
            .run();
        assert_eq!(code(&finished), 0, "{finished}");
        assert!(!finished.err().contains("does not exist"), "{finished}");
        let heads = fs::read_to_string(heads).unwrap();
        let named: Vec<_> = heads
            .lines()
            .filter(|line| line.starts_with("x: "))
            .collect();
        if name == "ours" {
            // curl 7 keeps those of the last section alone.
            assert_eq!(named, ["x: login", "x: page"], "{heads}");
        }
        results.push((sent(&server.received_text()), kept(&jar), kept(&late)));
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0].0, [["s=1"], ["s=1"]]);
    assert_eq!((results[0].1.len(), results[0].2.len()), (1, 2));
}
