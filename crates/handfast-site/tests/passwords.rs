//! Basic authentication with the hashes that htpasswd and openssl make.

#![cfg(unix)]

mod site_common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use base64ct::{Base64, Encoding as _};
use handfast_site::{Guard, Passwords, Rule};
use handfast_testbed::launch::Program;
use site_common::{Fixture, Setup, VERSIONS, curl, setup, site, site_with};

const PASSWORD: &str = "correct horse: ü battery";

/// A line of a password file; `None` without htpasswd.
fn htpasswd(kind: &[&str], user: &str) -> Option<String> {
    let finished = Program::new("htpasswd")?
        .args(["-n", "-b"])
        .args(kind)
        .args([user, PASSWORD])
        .run();
    assert!(finished.succeeded(), "{finished}");
    Some(finished.out().trim().to_owned())
}

fn openssl(kind: &[&str], password: &str) -> Option<String> {
    let finished = Program::new("openssl")?
        .arg("passwd")
        .args(kind)
        .arg(password)
        .run();
    assert!(finished.succeeded(), "{finished}");
    Some(finished.out().trim().to_owned())
}

fn start(file: &str) -> Fixture {
    let passwords = Passwords::parse(file)
        .unwrap()
        .with_realm("the \"inner\" part");
    let server = site(|site, _| site.with_guard(Guard::passwords("/in", &passwords).unwrap()));
    server.put("in/f", "inside");
    server.put("f", "outside");
    server
}

#[test]
fn every_kind_of_hash_lets_its_user_in() {
    let mut file = String::new();
    let mut users = Vec::new();
    for (user, kind) in [
        ("bcrypt", &["-B", "-C", "5"][..]),
        ("apr1", &["-m"]),
        ("sha1", &["-s"]),
        ("sha256", &["-2"]),
        ("sha512", &["-5", "-r", "2000"]),
    ] {
        match htpasswd(kind, user) {
            Some(line) => file.push_str(&format!("{line}\n")),
            None => return,
        }
        users.push(user.to_owned());
    }
    for (number, kind) in [
        ["-5", "-salt", "ab"],
        ["-6", "-salt", "abcdefghijklmnop"],
        ["-apr1", "-salt", "x"],
    ]
    .iter()
    .enumerate()
    {
        let Some(hash) = openssl(kind, PASSWORD) else {
            return;
        };
        file.push_str(&format!("openssl{number}:{hash}\n"));
        users.push(format!("openssl{number}"));
    }
    let server = start(&file);
    let url = server.url("/in/f");
    for version in VERSIONS {
        for user in &users {
            for (password, expected) in [(PASSWORD, 200), ("wrong", 401)] {
                let Some(got) = curl(
                    &server,
                    &[version, "-u", &format!("{user}:{password}"), &url],
                ) else {
                    return;
                };
                // Ten failures are a limit: some of the last are refused for it.
                let limited = expected == 401 && got.status == 429;
                assert!(
                    got.status == expected || limited,
                    "{version} {user} {}",
                    got.status
                );
            }
        }
    }
    let events = server.witness.wait("a user", |events| {
        events
            .requests
            .iter()
            .any(|seen| seen.user.as_deref() == Some("bcrypt"))
    });
    assert!(!format!("{events:?}").contains("correct horse"));
}

#[test]
fn a_path_that_names_nothing_is_guarded_and_has_the_header_fields_of_its_site() {
    let Some(line) = openssl(&["-5", "-salt", "ab"], PASSWORD) else {
        return;
    };
    let passwords = Passwords::parse(&format!("ann:{line}\n")).unwrap();
    let server = site(|site, _| {
        site.with_guard(Guard::passwords("/", &passwords).unwrap())
            .with_error_page(404, "/404.html")
            .and_then(|site| site.with_error_page(400, "/404.html"))
            .and_then(|site| site.with_error_page(405, "/404.html"))
            .unwrap()
            .with_rule(Rule::set_header("/**", "X-Site", "a").unwrap())
    });
    server.put("404.html", "<p>for members");
    let user = format!("ann:{PASSWORD}");
    for version in VERSIONS {
        for (path, status) in [
            ("/a/../x", 404),
            ("/./x", 404),
            ("/%2e%2e/x", 404),
            ("/%zz", 400),
            ("/a%2fb", 400),
            ("*", 405),
        ] {
            let url = server.url("/");
            let args = [version, &url, "--request-target", path, "-X"];
            let method = if path == "*" { "OPTIONS" } else { "GET" };
            let mut args = args.to_vec();
            args.push(method);
            let Some(got) = curl(&server, &args) else {
                return;
            };
            assert_eq!(got.status, 401, "{version} {path}: {}", got.head);
            assert!(!got.body.contains("members"), "{version} {path}");
            assert_eq!(got.field("x-site"), Some("a"), "{version} {path}");
            args.extend(["-u", &user]);
            let got = curl(&server, &args).unwrap();
            assert_eq!(got.status, status, "{version} {path}: {}", got.head);
            assert_eq!(got.body, "<p>for members", "{version} {path}");
            assert_eq!(got.field("x-site"), Some("a"), "{version} {path}");
        }
    }
}

/// MD5-crypt mixes in another way for each length of the password.
#[test]
fn passwords_of_every_length_are_checked() {
    let mut file = String::new();
    let lengths = [1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 64, 100];
    for length in lengths {
        let password = "p\u{e9}".repeat(length)[..length + usize::from(length % 3 == 2)].to_owned();
        let Some(hash) = openssl(&["-apr1", "-salt", "saltsalt"], &password) else {
            return;
        };
        file.push_str(&format!("u{length}:{hash}\n"));
    }
    let server = start(&file);
    for length in lengths {
        let password = "p\u{e9}".repeat(length)[..length + usize::from(length % 3 == 2)].to_owned();
        let url = server.url("/in/f");
        let Some(got) = curl(&server, &["-u", &format!("u{length}:{password}"), &url]) else {
            return;
        };
        assert_eq!(got.status, 200, "{length}");
    }
}

#[test]
fn without_a_password_the_browser_is_asked_for_one() {
    let Some(line) = htpasswd(&["-s"], "ann") else {
        return;
    };
    let server = start(&line);
    for version in VERSIONS {
        let Some(got) = curl(&server, &[version, &server.url("/in/f")]) else {
            return;
        };
        assert_eq!(got.status, 401);
        assert_eq!(
            got.field("www-authenticate"),
            Some("Basic realm=\"the \\\"inner\\\" part\", charset=\"UTF-8\"")
        );
        assert!(!got.body.contains("inside"));
        // Nothing of what is beneath is told apart.
        for path in ["/in", "/in/", "/in/none", "/%69n/f", "//in/f", "/in/%00"] {
            let got = curl(&server, &[version, &server.url(path)]).unwrap();
            assert_eq!(got.status, 401, "{path}");
        }
        let got = curl(&server, &[version, &server.url("/f")]).unwrap();
        assert_eq!((got.status, got.body.as_str()), (200, "outside"));
        let got = curl(&server, &[version, "-u", "ann:", &server.url("/in/f")]).unwrap();
        assert_eq!(got.status, 401);
        let got = curl(
            &server,
            &[
                version,
                "-u",
                &format!("bob:{PASSWORD}"),
                &server.url("/in/f"),
            ],
        )
        .unwrap();
        assert_eq!(got.status, 401);
    }
}

#[test]
fn guesses_end_with_a_request_to_wait() {
    let Some(line) = htpasswd(&["-s"], "ann") else {
        return;
    };
    let server = start(&line);
    let ask = |password: &str| {
        curl(
            &server,
            &["-u", &format!("ann:{password}"), &server.url("/in/f")],
        )
    };
    let Some(first) = ask(PASSWORD) else {
        return;
    };
    assert_eq!(first.status, 200);
    for number in 0..10 {
        assert_eq!(ask(&number.to_string()).unwrap().status, 401);
    }
    let got = ask("again").unwrap();
    assert_eq!(got.status, 429);
    let wait: u64 = got.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait));
    assert_eq!(
        ask(PASSWORD).unwrap().status,
        200,
        "who was let in still is"
    );
}

#[test]
fn a_slow_hash_is_checked_once() {
    let Some(line) = htpasswd(&["-B", "-C", "12"], "ann") else {
        return;
    };
    let server = start(&line);
    let fields = authorization(PASSWORD);
    let began = Instant::now();
    assert_eq!(server.get_with("/in/f", &fields).status, 200);
    let check = began.elapsed();
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(server.get_with("/in/f", &fields).status, 200);
    }
    let others = began.elapsed();
    assert!(others < check * 20, "{others:?} after {check:?}");
}

#[test]
fn others_are_served_while_slow_hashes_are_checked() {
    let Some(line) = htpasswd(&["-B", "-C", "12"], "ann") else {
        return;
    };
    let passwords = Passwords::parse(&line).unwrap();
    let setup = Setup {
        threads: 1,
        ..setup()
    };
    let server = site_with(setup, |site, _| {
        site.with_guard(Guard::passwords("/in", &passwords).unwrap())
    });
    server.put("f", "outside");
    let pending = AtomicUsize::new(8);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (server, pending) = (&server, &pending);
            scope.spawn(move || {
                let fields = authorization(&format!("wrong{number}"));
                assert_eq!(server.get_with("/in/f", &fields).status, 401);
                pending.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut served = 0;
        while pending.load(Ordering::Relaxed) > 0 {
            assert_eq!(server.get("/f").text(), "outside");
            served += 1;
        }
        // A thread that checks would serve one between two checks.
        assert!(served > 16, "{served}");
    });
}

fn authorization(password: &str) -> String {
    let credentials = Base64::encode_string(format!("ann:{password}").as_bytes());
    format!("Authorization: Basic {credentials}\r\n")
}
