//! `-b`, `-c`, `-j`: cookies along redirects and URLs, beside curl, and the file that keeps them.

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
fn cookies_are_kept_and_sent_as_by_curl() {
    let fixture = Fixture::new();
    let Some(_) = Program::new("curl") else {
        return;
    };
    let loaded = "localhost\tFALSE\t/\tTRUE\t4102444800\told\t0\n\
        localhost\tFALSE\t/\tTRUE\t0\tlogin\t7\n\
        #HttpOnly_other.example\tFALSE\t/x\tFALSE\t4102444800\telsewhere\t8\n";
    for args in [&[][..], &["-j"], &["-b", "typed=1"]] {
        let mut results = Vec::new();
        for name in ["ours", "curl"] {
            let server = fixture.misbehaving().serve([
                Step::ReadHead,
                redirect(
                    "/dir/two",
                    "set-cookie: a=1; Path=/\r\nset-cookie: s=2; Path=/dir; Secure; HttpOnly\r\n\
                     set-cookie: gone=3; Path=/; Max-Age=0\r\nset-cookie: no=4; Domain=other.example\r\n",
                ),
                Step::ReadHead,
                ok("Set-Cookie: a=5; path=/; expires=Fri, 31 Dec 2100 23:59:59 GMT\r\nset-cookie: old=; max-age=-1; path=/\r\n"),
                Step::ReadHead,
                // Without a path curl 7 keeps it for `/dir/`, and not for `/dir` (RFC 6265, section 5.1.4).
                ok("set-cookie: here=6; path=/dir\r\n"),
            ]);
            let jar = fixture.write(&format!("{name}.jar"), loaded);
            let program = fixture.client(name).arg("-sS");
            let finished = program
                .args(["-L", "-b"])
                .arg(&jar)
                .arg("-c")
                .arg(&jar)
                .args(args)
                .args([server.url("/one/x"), server.url("/dir/three")])
                .run();
            assert_eq!(code(&finished), 0, "{finished}");
            results.push((sent(&server.received_text()), kept(&jar)));
        }
        assert_eq!(results[0], results[1], "{args:?}");
        assert_eq!(results[0].0.len(), 3, "{results:?}");
    }
}

#[test]
fn a_field_of_h_takes_precedence_over_typed_cookies_as_with_curl() {
    let fixture = Fixture::new();
    if Program::new("curl").is_none() {
        return;
    }
    for (field, expected) in [("Cookie:", None), ("Cookie: y=2", Some("y=2"))] {
        for name in ["ours", "curl"] {
            let server = fixture.misbehaving().serve([Step::ReadHead, ok("")]);
            let program = fixture.client(name).args(["-sS", "-b", "x=1", "-H", field]);
            let finished = program.arg(server.url("/")).run();
            assert_eq!(code(&finished), 0, "{finished}");
            let sent = sent(&server.received_text()).concat();
            assert_eq!(sent.first().map(String::as_str), expected, "{name} {field}");
        }
    }
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
