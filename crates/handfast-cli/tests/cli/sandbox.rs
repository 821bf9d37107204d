//! What `handfast serve` gives up once everything is open, and that serving goes on as before.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use handfast_testbed::launch::Program;
use handfast_testbed::skipped;

use crate::serving::{HANDFAST, PATIENCE, Place, Serving, signal};

/// A field of the status of each thread, but for those of the allocator where `own`.
fn statuses(server: &Serving, field: &str, own: bool) -> Vec<String> {
    let tasks = format!("/proc/{}/task", server.running.id());
    let of = |task: &Path| {
        let status = fs::read_to_string(task.join("status")).ok()?;
        let value = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let is_own = value("Name").is_some_and(|name| name != "jemalloc_bg_thd");
        (is_own || !own).then(|| value(field)).flatten()
    };
    fs::read_dir(tasks)
        .unwrap()
        .filter_map(|task| of(&task.ok()?.path()))
        .collect()
}

/// `public` at a free port.
fn serve(place: &Place, arguments: &[&str]) -> Serving {
    let public = place.text("public");
    place.serve(&[&["-p", "0", &public], arguments].concat())
}

fn get(place: &Place, server: &Serving) -> String {
    place.get(server, "localhost", "/f")
}

#[test]
fn a_port_that_the_user_may_not_have_is_told_before_an_authority_is_made() {
    let Some(setpriv) = handfast_testbed::peers::require("setpriv") else {
        return;
    };
    let least = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if least.is_ok_and(|least| least.trim().parse::<u16>().is_ok_and(|least| least <= 443)) {
        skipped::note("every user may listen at port 443 here");
        return;
    }
    let place = Place::new();
    let refused = Program::at(setpriv)
        .env("HANDFAST_CA_DIR", place.path("ca"))
        .args([
            "--bounding-set=-net_bind_service",
            "--inh-caps=-net_bind_service",
        ])
        .args([HANDFAST, "serve", "-p", "443"])
        .arg(place.path("public"))
        .run();
    assert!(
        refused.err().contains("[address-not-permitted]"),
        "{refused}"
    );
    assert!(!place.path("ca").exists(), "{refused}");
}

#[test]
fn a_server_gives_up_what_serving_does_not_need_and_goes_on_serving() {
    let place = Place::new();
    let log = place.path("access.log");
    let server = serve(&place, &["--log", log.to_str().unwrap()]);
    server.running.expect_output(
        "sandbox: files: only those given; no programs, no connections to others; all of ",
        PATIENCE,
    );
    let holder = place.path("").canonicalize().unwrap();
    let beside = format!("all of {} can be read, to notice", holder.display());
    server.running.expect_output(&beside, PATIENCE);
    for (field, expected, own) in [("NoNewPrivs", "1", true), ("Seccomp", "2", false)] {
        let found = statuses(&server, field, own);
        assert!(found.len() > 1, "{found:?}");
        assert!(
            found.iter().all(|value| value == expected),
            "{field}: {found:?}"
        );
    }
    assert_eq!(get(&place, &server), "content");

    // A directory that is built again.
    fs::rename(place.path("public"), place.path("before")).unwrap();
    fs::create_dir(place.path("public")).unwrap();
    fs::write(place.path("public/f"), "second").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while get(&place, &server) != "second" {
        assert!(Instant::now() < deadline, "{}", server.running.output());
    }

    // A log that is rotated.
    fs::rename(&log, place.path("access.log.1")).unwrap();
    signal(&server.running, "-HUP");
    server.running.expect_output("reloaded\n", PATIENCE);
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("GET /f")) {
        assert!(Instant::now() < deadline, "{}", server.running.output());
        assert_eq!(get(&place, &server), "second");
    }
}

#[test]
fn a_server_without_a_sandbox_keeps_everything() {
    let place = Place::new();
    let server = serve(&place, &["--no-sandbox"]);
    assert!(
        statuses(&server, "Seccomp", false)
            .iter()
            .all(|value| value == "0")
    );
    assert_eq!(get(&place, &server), "content");
    assert!(!server.running.output().contains("confined"));
}

#[test]
fn a_server_of_root_becomes_another_user_once_everything_is_open() {
    if fs::read_to_string("/proc/self/status").is_ok_and(|status| !status.contains("\nUid:\t0\t0"))
    {
        skipped::note("only root can become another user");
        return;
    }
    let place = Place::new();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = passwd
        .lines()
        .find(|line| line.starts_with("nobody:"))
        .unwrap();
    let mut ids = nobody.split(':').skip(2);
    let (uid, gid) = (ids.next().unwrap(), ids.next().unwrap());
    for arguments in [
        &["--user", "nobody"][..],
        &["--user", "nobody", "--no-sandbox"],
    ] {
        let server = serve(&place, arguments);
        server.running.expect_output("; user nobody", PATIENCE);
        for (field, id) in [("Uid", uid), ("Gid", gid), ("Groups", gid)] {
            let found = statuses(&server, field, true);
            let expected = |ids: &String| ids.split_whitespace().all(|found| found == id);
            assert!(
                found.len() > 1 && found.iter().all(expected),
                "{field}: {found:?}"
            );
        }
        // What only root may read is closed to it now, and so it is not found.
        assert_eq!(get(&place, &server), "content");
        fs::set_permissions(place.path("public/f"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(place.path("public/f"), place.path("public/g")).unwrap();
        fs::rename(place.path("public/g"), place.path("public/f")).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while get(&place, &server).contains("content") {
            assert!(Instant::now() < deadline, "{}", server.running.output());
        }
        fs::set_permissions(place.path("public/f"), fs::Permissions::from_mode(0o644)).unwrap();
    }
}

#[test]
fn a_server_of_another_user_reloads_without_the_authority_and_says_what_it_cannot_read() {
    if fs::read_to_string("/proc/self/status").is_ok_and(|status| !status.contains("\nUid:\t0\t0"))
    {
        skipped::note("only root can become another user");
        return;
    }
    let place = Place::new();
    fs::write(
        place.path("handfast.toml"),
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[site]]\nroot = \"public\"\n",
    )
    .unwrap();
    let config = place.text("handfast.toml");
    let server = place.serve(&["--config", &config, "--user", "nobody"]);
    let warning = "nobody cannot read the local authority in";
    server.running.expect_output(warning, PATIENCE);
    let output = server.running.output();
    let line = output.lines().find(|line| line.contains(warning)).unwrap();
    assert!(line.contains("which expires on 20"), "{line}");
    signal(&server.running, "-HUP");
    server.running.expect_output("reloaded\n", PATIENCE);
    assert_eq!(get(&place, &server), "content");

    // The same of a key, which stays in use as long as it is the same.
    let issued = place.program("ca").args(["issue", "localhost", "--out"]);
    assert!(issued.arg(place.path("")).run().succeeded());
    let (cert, key) = (place.text("localhost.pem"), place.text("localhost.key"));
    let server = serve(
        &place,
        &["--user", "nobody", "--cert", &cert, "--key", &key],
    );
    let expected = format!("nobody cannot read {key}: what they hold stays in use");
    server.running.expect_output(&expected, PATIENCE);
    signal(&server.running, "-HUP");
    server.running.expect_output("reloaded\n", PATIENCE);
    assert_eq!(get(&place, &server), "content");
    fs::copy(&key, place.path("other.key")).unwrap();
    fs::rename(place.path("other.key"), &key).unwrap();
    signal(&server.running, "-HUP");
    let expected = "since its start the server is nobody, who must be able to read it";
    server.running.expect_output(expected, PATIENCE);
    assert_eq!(get(&place, &server), "content");
}

/// As keys of public authorities and their links are kept: in directories that only root may enter.
#[test]
fn a_key_in_a_directory_that_is_closed_to_the_user_keeps_nothing_else_from_being_read_again() {
    if fs::read_to_string("/proc/self/status").is_ok_and(|status| !status.contains("\nUid:\t0\t0"))
    {
        skipped::note("only root can become another user");
        return;
    }
    let place = Place::new();
    fs::create_dir(place.path("closed")).unwrap();
    let issued = place.program("ca").args(["issue", "localhost", "--out"]);
    assert!(issued.arg(place.path("closed")).run().succeeded());
    fs::create_dir(place.path("logs")).unwrap();
    let configuration = |more: &str| {
        let text = format!(
            "user = \"nobody\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[log]\nto = \"logs/access.log\"\n\
             [[tls.certificate]]\nchain = \"closed/localhost.pem\"\nkey = \"closed/localhost.key\"\n\
             [[site]]\nroot = \"public\"\n{more}"
        );
        fs::write(place.path("handfast.toml"), text).unwrap();
    };
    configuration("");
    for (name, mode) in [("closed", 0o700), ("handfast.toml", 0o644)] {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let config = place.text("handfast.toml");
    let checked = place
        .program("serve")
        .args(["--check", "--config", &config])
        .run();
    assert!(!checked.succeeded(), "{checked}");
    let closed = format!(
        "nobody cannot read {}, {}: what they hold stays in use",
        place.text("closed/localhost.key"),
        place.text("closed/localhost.pem")
    );
    let log = format!(
        "nobody cannot create {} again",
        place.text("logs/access.log")
    );
    for expected in [&closed, &log] {
        assert!(checked.err().contains(expected), "{checked}");
    }
    let server = place.serve(&["--config", &config]);
    for expected in [&closed, &log] {
        server.running.expect_output(expected, PATIENCE);
    }
    // It takes effect by itself.
    configuration("listing = false\n");
    server.running.expect_output("reloaded", PATIENCE);
    assert_eq!(get(&place, &server), "content");
    let output = server.running.output();
    assert_eq!(output.matches("reloaded").count(), 1, "{output}");
    // What cannot be read by the user itself is wrong, too.
    fs::set_permissions(place.path("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    let key = place.path("closed/localhost.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(place.path("public"), fs::Permissions::from_mode(0o700)).unwrap();
    let checked = place
        .program("serve")
        .args(["--check", "--config", &config])
        .run();
    let expected = format!(
        "nobody cannot read {}: nothing is found",
        place.text("public")
    );
    assert!(checked.err().contains(&expected), "{checked}");
}

#[test]
fn a_root_that_lies_beside_much_else_can_be_made_again() {
    let place = Place::new();
    let public = place.text("public");
    let program = place.program("serve").args(["-p", "0", &public]);
    // A directory for temporary files holds much else.
    let server = place.started(program.env("TMPDIR", place.path("")));
    let expected = format!("which holds {public}: in a directory of its own");
    server.running.expect_output(&expected, PATIENCE);
    for (number, content) in ["second", "third"].into_iter().enumerate() {
        fs::rename(&public, place.path(&number.to_string())).unwrap();
        fs::create_dir(&public).unwrap();
        fs::write(place.path("public/f"), content).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while get(&place, &server) != content {
            assert!(Instant::now() < deadline, "{}", server.running.output());
        }
    }
}

#[test]
fn what_comes_from_pipes_is_served_within_the_sandbox() {
    let place = Place::new();
    let issued = place.program("ca").args(["issue", "localhost", "--out"]);
    assert!(issued.arg(place.path("")).run().succeeded());
    let Some(shell) = Program::new("bash") else {
        return;
    };
    let script = format!(
        "cd {} && exec {HANDFAST} serve --log /dev/stdout --config <(cat handfast.toml) \
         --listen 127.0.0.1:0 --cert <(cat localhost.pem) --key <(cat localhost.key) public",
        place.text("")
    );
    fs::write(place.path("handfast.toml"), "threads = 1\n").unwrap();
    let server = place.started(
        shell
            .env("HANDFAST_CA_DIR", place.path("ca"))
            .args(["-c", &script]),
    );
    server.running.expect_output("sandbox: ", PATIENCE);
    for _ in 0..2 {
        assert_eq!(get(&place, &server), "content");
        signal(&server.running, "-HUP");
        server.running.expect_output("reloaded\n", PATIENCE);
    }
    server.running.expect_output("GET /f HTTP/2.0", PATIENCE);
    assert!(!server.running.output().contains("cannot"));
}

#[test]
fn a_file_in_a_directory_that_is_not_kept_is_told_before_and_after_it_is_replaced() {
    let place = Place::new();
    let issued = place.program("ca").args(["issue", "localhost", "--out"]);
    assert!(issued.arg(place.path("")).run().succeeded());
    let (cert, key, log) = (
        place.text("localhost.pem"),
        place.text("localhost.key"),
        place.text("access.log"),
    );
    fs::create_dir(place.path("sub")).unwrap();
    fs::rename(place.path("public"), place.path("sub/public")).unwrap();
    let public = place.text("sub/public");
    let arguments = [
        "-p", "0", "--cert", &cert, "--key", &key, "--log", &log, &public,
    ];
    // A directory for temporary files holds much else.
    let program = place.program("serve").args(arguments);
    let server = place.started(program.env("TMPDIR", place.path("")));
    let expected = format!("after log rotation the server cannot create its log again: {log}; ");
    server.running.expect_output(&expected, PATIENCE);
    let expected = format!("restart the server (or use --no-sandbox): {key}, {cert}; ");
    server.running.expect_output(&expected, PATIENCE);
    for path in [&cert, &log] {
        let beside = format!("{path}.1");
        fs::copy(path, &beside).unwrap();
        fs::rename(beside, path).unwrap();
    }
    signal(&server.running, "-HUP");
    for expected in [
        "the access log cannot be reopened, the old file is still used: Permission denied",
        "the right to create it (--user, --no-sandbox)",
        "what was in force before stays in force",
        "since its start the server can read only what it read then",
    ] {
        server.running.expect_output(expected, PATIENCE);
    }
    assert_eq!(get(&place, &server), "content");
}

#[test]
fn a_user_that_does_not_exist_is_told() {
    let place = Place::new();
    let finished = place
        .program("serve")
        .args(["-p", "0", "--user", "no-such-user"])
        .arg(place.path("public"))
        .run();
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(
        finished
            .err()
            .contains("there is no user or group \"no-such-user\""),
        "{finished}"
    );
    assert!(finished.err().contains("[not-confined]"), "{finished}");
    assert!(finished.out().is_empty(), "{finished}");
}
