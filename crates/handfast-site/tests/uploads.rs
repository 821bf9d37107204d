//! Uploads by PUT and with forms: what is stored, and that nothing else ever is.

#![cfg(unix)]

mod site_common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use handfast::ClosePolicy;
use handfast_site::{UploadLimits, Uploads};
use proptest::prelude::*;
use site_common::server_common::PATIENCE;
use site_common::uploads::{put, start, tree};
use site_common::{Fixture, VERSIONS, curl, site};

#[test]
fn a_file_is_stored_whole_and_not_replaced() {
    let server = start(|uploads| uploads);
    let up = server.directory.path().join("up");
    let large = "0123456789abcdef".repeat(300_000);
    for (number, version) in VERSIONS.into_iter().enumerate() {
        for (path, stored, content) in [
            ("/upload/a", "a", "one"),
            ("/upload/empty", "empty", ""),
            ("/upload/sub/with%20space.txt", "sub/with space.txt", "two"),
            ("/upload//sub//b", "sub/b", "three"),
            ("/upload/%C3%BC.bin", "ü.bin", large.as_str()),
        ] {
            let path = format!("{path}{number}");
            let stored = up.join(format!("{stored}{number}"));
            let Some(got) = put(&server, version, &path, content, &[]) else {
                return;
            };
            assert_eq!(got.status, 201, "{version} {path} {}", got.body);
            let location = got.field("location").unwrap();
            assert_eq!(location, path.replace("//", "/"));
            assert!(got.field("etag").is_some());
            assert!(fs::read_to_string(&stored).unwrap() == content, "{path}");
            let got = put(&server, version, &path, "other", &[]).unwrap();
            assert_eq!(got.status, 409, "{path}");
            assert!(fs::read_to_string(&stored).unwrap() == content, "{path}");
        }
    }
    assert!(tree(&up).keys().all(|name| !name.contains("/.")));
}

#[test]
fn conditions_and_replacing() {
    let server = start(|uploads| uploads.with_replacing(true));
    let up = server.directory.path().join("up");
    for version in VERSIONS {
        let ask = |content: &str, more: &[&str]| put(&server, version, "/upload/f", content, more);
        let _ = fs::remove_file(up.join("f"));
        let Some(got) = ask("none", &["-H", "If-Match: *"]) else {
            return;
        };
        assert_eq!(got.status, 412, "there is none");
        let got = ask("one", &["-H", "If-None-Match: *"]).unwrap();
        assert_eq!(got.status, 201);
        let got = ask("two", &["-H", "If-None-Match: *"]).unwrap();
        assert_eq!(got.status, 412);
        let got = ask("two", &[]).unwrap();
        assert_eq!(got.status, 204, "replaced");
        let tag = got.field("etag").unwrap().to_owned();
        let got = ask("three", &["-H", "If-Match: \"other\""]).unwrap();
        assert_eq!(got.status, 412);
        assert_eq!(fs::read_to_string(up.join("f")).unwrap(), "two");
        let got = ask("three", &["-H", &format!("If-Match: {tag}")]).unwrap();
        // A file system that knows whole seconds only gives no strong tag at first.
        let expected = if tag.starts_with("W/") { 412 } else { 204 };
        assert_eq!(got.status, expected);
        let got = ask(
            "late",
            &["-H", "If-Unmodified-Since: Tue, 01 Jan 2019 00:00:00 GMT"],
        )
        .unwrap();
        assert_eq!(got.status, 412);
    }
    let got = put(
        &server,
        "--http2",
        "/upload/f",
        "x",
        &["-H", "Content-Range: bytes 0-0/9"],
    )
    .unwrap();
    assert_eq!(got.status, 400);
}

#[test]
fn nothing_leads_out_and_no_name_is_hidden() {
    let server = start(|uploads| uploads.with_replacing(true));
    let root = server.directory.path();
    let up = root.join("up");
    fs::create_dir(root.join("outside")).unwrap();
    fs::write(root.join("secret"), "secret").unwrap();
    symlink("../outside", up.join("link")).unwrap();
    symlink(root.join("outside"), up.join("absolute")).unwrap();
    symlink("../secret", up.join("file")).unwrap();
    symlink("../none", up.join("dangling")).unwrap();
    symlink("sub", up.join("inside")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        up.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let before = tree(&root.join("outside"));
    let long = format!("/upload/{}", "x".repeat(256));
    for version in VERSIONS {
        for (path, status) in [
            ("/upload/../secret", 404),
            ("/upload/%2e%2e/secret", 404),
            ("/upload/sub/../../secret", 404),
            ("/upload/..%2fsecret", 400),
            ("/upload/..%5csecret", 400),
            ("/upload/a%5cb", 400),
            ("/upload/a%00b", 400),
            ("/upload/a%0ab", 400),
            ("/upload/a%7f", 400),
            ("/upload/%ff", 400),
            ("/upload/%E2%80%AEexe.txt", 400),
            ("/upload/.htaccess", 400),
            ("/upload/.git/config", 400),
            ("/upload/sub/.x", 400),
            ("/upload/%2ehidden", 400),
            ("/upload/%20x", 400),
            ("/upload/x%20", 400),
            (long.as_str(), 400),
            // Links are not followed, wherever they lead.
            ("/upload/link/x", 409),
            ("/upload/absolute/x", 409),
            ("/upload/inside/x", 409),
            ("/upload/file", 409),
            ("/upload/dangling", 409),
            ("/upload/pipe", 409),
            ("/upload/none/x", 409),
            ("/upload/sub", 409),
            ("/upload", 409),
            ("/secret", 405),
            ("/uploads/x", 405),
        ] {
            let Some(got) = put(&server, version, path, "x", &[]) else {
                return;
            };
            assert_eq!(got.status, status, "{version} {path}: {}", got.body);
        }
    }
    // curl would add its file's name to a path that ends with a slash.
    for path in ["/upload/", "/upload/sub/", "/upload/none/"] {
        let head = format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
        );
        assert_eq!(server.ask(&head).status, 409, "{path}");
    }
    assert_eq!(tree(&root.join("outside")), before);
    assert_eq!(fs::read_to_string(root.join("secret")).unwrap(), "secret");
    assert!(!root.join("none").exists());
    let names: Vec<String> = tree(&up).into_keys().collect();
    assert_eq!(
        names,
        [
            "/absolute",
            "/dangling",
            "/file",
            "/inside",
            "/link",
            "/pipe",
            "/sub"
        ]
    );
}

#[test]
fn limits_hold_and_leave_nothing() {
    let mut limits = UploadLimits::default();
    limits.file_bytes_max = 1000;
    limits.request_bytes_max = 5000;
    limits.files_max = 2;
    let server = start(|uploads| uploads.with_limits(limits));
    let full = start(|uploads| {
        let mut limits = UploadLimits::default();
        limits.free_bytes_min = u64::MAX / 2;
        uploads.with_limits(limits)
    });
    let busy = start(|uploads| {
        let mut limits = UploadLimits::default();
        limits.uploads_max = 0;
        uploads.with_limits(limits)
    });
    let slow = start(|uploads| {
        let mut limits = UploadLimits::default();
        limits.duration_max = Duration::ZERO;
        uploads.with_limits(limits)
    });
    let (fits, long) = ("x".repeat(1000), "x".repeat(1001));
    for version in VERSIONS {
        let chunked = &["-H", "Transfer-Encoding: chunked"][..];
        // Over HTTP/2 no length is announced without one, either.
        let without = if version == "--http2" {
            &["-H", "Content-Length:"][..]
        } else {
            chunked
        };
        let Some(got) = put(&server, version, "/upload/long", &long, &[]) else {
            return;
        };
        assert_eq!(got.status, 413, "announced");
        let got = put(&server, version, "/upload/long", &long, without).unwrap();
        assert_eq!(got.status, 413, "not announced");
        let name = format!("/upload/fits{}", version.len());
        assert_eq!(
            put(&server, version, &name, &fits, without).unwrap().status,
            201
        );
        assert_eq!(
            put(&full, version, "/upload/f", "x", &[]).unwrap().status,
            507
        );
        let got = put(&busy, version, "/upload/f", "x", &[]).unwrap();
        assert_eq!((got.status, got.field("retry-after")), (503, Some("5")));
        assert_eq!(
            put(&slow, version, "/upload/f", "x", &[]).unwrap().status,
            408
        );
        let form = |server: &Fixture, fields: &[&str]| {
            let url = server.url("/upload/");
            let mut args = vec![version, &url];
            for field in fields {
                args.extend(["-F", field]);
            }
            curl(server, &args).unwrap()
        };
        let three = ["f=a;filename=1", "f=a;filename=2", "f=a;filename=3"];
        assert_eq!(form(&server, &three).status, 413);
        let large = format!("f={long};filename=large");
        assert_eq!(form(&server, &["f=a;filename=1", &large]).status, 413);
        let huge = format!("text={}", "x".repeat(6000));
        assert_eq!(form(&server, &[&huge]).status, 413);
    }
    for server in [&full, &busy, &slow] {
        assert_eq!(tree(&server.directory.path().join("up")).len(), 1);
    }
    let names: Vec<String> = tree(&server.directory.path().join("up"))
        .into_keys()
        .collect();
    assert_eq!(names, ["/fits7", "/fits9", "/sub"]);
}

/// Waits until nothing is in `up` but its directory.
fn wait_empty(server: &Fixture) {
    let up = server.directory.path().join("up");
    let deadline = Instant::now() + PATIENCE;
    while tree(&up).len() > 1 {
        assert!(Instant::now() < deadline, "{:?}", tree(&up));
        std::thread::yield_now();
    }
}

#[test]
fn uploads_count_those_that_run_since_before_them() {
    let mut limits = UploadLimits::default();
    limits.uploads_max = 1;
    let server = site(|site, directory| {
        let up = directory.join("up");
        fs::create_dir(&up).unwrap();
        let uploads = || Uploads::new(&up).unwrap().with_limits(limits);
        let before = uploads();
        let after = uploads().with_path("/after/").unwrap();
        let other = uploads().with_path("/other/").unwrap();
        let after = after.succeeding(&before);
        site.with_uploads(before)
            .with_uploads(after)
            .with_uploads(other)
    });
    let mut running = server.connect();
    let head = "PUT /upload/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    running.write_all(head.as_bytes()).unwrap();
    running.flush().unwrap();
    let mut asked = [0; 12];
    running.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    let put = |path| put(&server, VERSIONS[0], path, "x", &[]);
    let Some(other) = put("/other/o") else {
        return;
    };
    assert_eq!(other.status, 201);
    assert_eq!(put("/after/a").unwrap().status, 503);
    running.close(ClosePolicy::Send);
    server.wait_idle();
    assert_eq!(put("/after/a").unwrap().status, 201);
}

#[test]
fn what_breaks_off_leaves_nothing() {
    let server = start(|uploads| uploads);
    let half = vec![b'x'; 500_000];
    let form = "--b\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n";
    for head in [
        "PUT /upload/f HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n".to_owned(),
        format!(
            "POST /upload/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\
             Content-Type: multipart/form-data; boundary=b\r\n\r\n{form}"
        ),
        // A form that ends within its second file: nothing of the first is kept.
        format!(
            "POST /upload/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
             Content-Type: multipart/form-data; boundary=b\r\n\r\n{form}one\r\n{form}",
            form.len() * 2 + 5 + half.len()
        ),
    ] {
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&half).unwrap();
        stream.flush().unwrap();
        stream.close(ClosePolicy::Send);
        server.wait_idle();
        wait_empty(&server);
    }
    // Over HTTP/2, by a client that gives up.
    let file = server.directory.path().join("content");
    fs::write(&file, &half).unwrap();
    let file = file.display().to_string();
    let args = ["--http2", "--limit-rate", "100k", "-m", "1", "-T", &file];
    let url = server.url("/upload/f");
    let Some(curl) = handfast_testbed::launch::Program::new("curl") else {
        return;
    };
    let finished = curl
        .args(["-sS", "--cacert"])
        .arg(&server.ca_file)
        .args(args)
        .arg(url)
        .run();
    assert_eq!(finished.code, Some(28), "{finished}");
    server.wait_idle();
    wait_empty(&server);
}

#[test]
fn a_client_that_asks_first_is_answered_before_it_sends() {
    let server = start(|uploads| uploads);
    fs::write(server.directory.path().join("up/there"), "x").unwrap();
    for (name, expected) in [("new", "HTTP/1.1 100 "), ("there", "HTTP/1.1 409 ")] {
        let mut stream = server.connect();
        let head = format!(
            "PUT /upload/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\
             Expect: 100-continue\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.flush().unwrap();
        let mut first = vec![0; 1024];
        let count = stream.read(&mut first).unwrap();
        let first = String::from_utf8_lossy(&first[..count]).into_owned();
        assert!(first.starts_with(expected), "{first}");
        if expected.contains("100") {
            stream.write_all(b"hello").unwrap();
            stream.flush().unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            assert!(reply.contains("HTTP/1.1 201 "), "{reply}");
        }
    }
    let stored = fs::read_to_string(server.directory.path().join("up/new")).unwrap();
    assert_eq!(stored, "hello");
}

#[test]
fn forms_store_their_files() {
    let server = start(|uploads| uploads);
    let up = server.directory.path().join("up");
    let file = server.directory.path().join("some file.txt");
    fs::write(&file, "from a disk\r\n--x\r\n").unwrap();
    let from_disk = format!("files=@{}", file.display());
    for version in VERSIONS {
        for name in ["some file.txt", "two.txt", "quo\"te", "passwd"] {
            let _ = fs::remove_file(up.join(name));
        }
        let post = |path: &str, more: &[&str]| {
            let url = server.url(path);
            let mut args = vec![version, &url];
            args.extend(more);
            curl(&server, &args)
        };
        let Some(got) = post("/upload/", &["-F", &from_disk]) else {
            return;
        };
        assert_eq!(
            (got.status, got.body.as_str()),
            (201, "/upload/some%20file.txt\n")
        );
        assert_eq!(got.field("location"), Some("/upload/some%20file.txt"));
        assert_eq!(
            fs::read(up.join("some file.txt")).unwrap(),
            b"from a disk\r\n--x\r\n"
        );
        // All or none.
        let got = post(
            "/upload/",
            &["-F", "f=2;filename=two.txt", "-F", &from_disk],
        )
        .unwrap();
        assert_eq!(got.status, 409);
        assert!(
            got.body
                .contains("some file.txt: There is a file of this name"),
            "{}",
            got.body
        );
        assert!(!up.join("two.txt").exists());
        let two = [
            "-F",
            "a=text",
            "-F",
            "f=2;filename=two.txt",
            "-F",
            "f=3;filename=\"quo\\\"te\"",
        ];
        let got = post("/upload/", &two).unwrap();
        assert_eq!(got.status, 201, "{}", got.body);
        assert_eq!(fs::read_to_string(up.join("two.txt")).unwrap(), "2");
        assert_eq!(fs::read_to_string(up.join("quo\"te")).unwrap(), "3");
        // The path that a file had is not where it is stored.
        let got = post("/upload/", &["-F", "f=x;filename=/etc/passwd"]).unwrap();
        assert_eq!(got.status, 201);
        assert_eq!(fs::read_to_string(up.join("passwd")).unwrap(), "x");
        for (args, status) in [
            (&["-F", "f=x;filename=../.."][..], 400),
            (&["-F", "f=x;filename=.hidden"], 400),
            (&["-F", "f=x"], 400),
            (&["-d", "f=x"], 415),
            (
                &[
                    "-d",
                    "--b--",
                    "-H",
                    "Content-Type: multipart/form-data; boundary=b",
                ],
                400,
            ),
            (&["-d", "x", "-H", "Content-Type: multipart/form-data"], 400),
        ] {
            assert_eq!(post("/upload/", args).unwrap().status, status, "{args:?}");
        }
        let got = post("/upload/none/", &["-F", "f=x;filename=a"]).unwrap();
        assert_eq!(got.status, 409);
        let html = ["-H", "Accept: text/html", "-F", "f=x;filename=<b>.txt"];
        let got = post("/upload/", &html).unwrap();
        assert!(got.body.contains("<li>&lt;b&gt;.txt</li>"), "{}", got.body);
        fs::remove_file(up.join("<b>.txt")).unwrap();
    }
}

#[test]
fn a_directory_that_is_swapped_for_a_link_leads_nowhere_else() {
    let server = start(|uploads| uploads);
    let root = server.directory.path();
    let outside = root.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::create_dir(root.join("up/real")).unwrap();
    symlink(&outside, root.join("up/link")).unwrap();
    let over = AtomicBool::new(false);
    let mut stored = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let [sub, real, link] = ["sub", "real", "link"].map(|name| root.join("up").join(name));
            let _ = fs::remove_dir(&sub);
            // `sub` is a directory and a link out in turn.
            while !over.load(Ordering::Relaxed) {
                fs::rename(&real, &sub).unwrap();
                fs::rename(&sub, &real).unwrap();
                fs::rename(&link, &sub).unwrap();
                fs::rename(&sub, &link).unwrap();
            }
        });
        let began = Instant::now();
        for number in 0.. {
            if began.elapsed() > Duration::from_secs(3) && number > 100 {
                break;
            }
            let reply = server.ask(&format!(
                "PUT /upload/sub/f{number} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Content-Length: 1\r\n\r\nx"
            ));
            assert!(matches!(reply.status, 201 | 409), "{}", reply.head);
            stored += usize::from(reply.status == 201);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(tree(&outside).is_empty(), "{:?}", tree(&outside));
    assert_eq!(fs::read_dir(root.join("up/real")).unwrap().count(), stored);
}

#[test]
fn whatever_is_sent_nothing_outside_changes() {
    let server = start(|uploads| uploads.with_replacing(true));
    let root = server.directory.path().to_owned();
    fs::write(root.join("secret"), "secret").unwrap();
    symlink("..", root.join("up/dots")).unwrap();
    let outside = || {
        let mut tree = tree(&root);
        tree.retain(|name, _| !name.starts_with("/up/"));
        tree
    };
    let before = outside();
    let strategy = "(/|\\.|%2e|%2f|%5c|%00|secret|sub|dots|a|%c3%bc|;|\\?){1,8}";
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&strategy.prop_map(|text| text), |path| {
            let reply = server.ask(&format!(
                "PUT /upload/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Content-Length: 1\r\n\r\nx"
            ));
            prop_assert!(reply.status < 500, "{}", reply.head);
            let name = path.replace("%2f", "/");
            let body = format!(
                "--b\r\nContent-Disposition: form-data; name=f; filename=\"{name}\"\r\n\r\nx\r\n--b--\r\n"
            );
            let reply = server.ask(&format!(
                "POST /upload/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
            prop_assert!(reply.status < 500, "{}", reply.head);
            prop_assert_eq!(outside(), before.clone());
            Ok(())
        })
        .unwrap();
    assert!(
        tree(&root.join("up"))
            .keys()
            .all(|name| !name.contains("/."))
    );
}
