//! The unit file for systemd: it allows what the server needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use handfast_testbed::launch::Program;
use handfast_testbed::{peers, skipped};

use crate::serving::{HANDFAST, PATIENCE, Place, Serving, signal};

const UNIT: &str = include_str!("../../../../docs/systemd/handfast.service");

/// The system calls of each group, as the systemd of this machine has them.
fn groups(systemd_analyze: &Path) -> BTreeMap<String, Vec<String>> {
    let listed = Program::at(systemd_analyze).arg("syscall-filter").run();
    assert!(listed.succeeded(), "{listed}");
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut group = String::new();
    for line in listed.out().lines() {
        match line.trim() {
            "" => {}
            text if text.starts_with('#') => {}
            name if name.starts_with('@') && !line.starts_with(' ') => name.clone_into(&mut group),
            member => groups
                .entry(group.clone())
                .or_default()
                .push(member.to_owned()),
        }
    }
    groups
}

/// What the unit file allows.
fn allowed(groups: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let lines = UNIT.lines();
    let lists = lines.filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let mut open: Vec<String> = lists
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect();
    assert!(!open.is_empty());
    let mut allowed = BTreeSet::new();
    while let Some(name) = open.pop() {
        match name.starts_with('@') {
            true => {
                let members = groups.get(&name);
                let members = members.unwrap_or_else(|| panic!("systemd does not know {name}"));
                open.extend(members.iter().cloned());
            }
            false => drop(allowed.insert(name)),
        }
    }
    allowed
}

/// The names of the system calls in what strace wrote.
fn calls(trace: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let (_, call) = line.split_once(' ')?;
        let (name, _) = call.trim_start().split_once('(')?;
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (!name.is_empty() && name.bytes().all(is_name)).then(|| name.to_owned())
    };
    trace.lines().filter_map(name).collect()
}

/// On systemd's scale, on which 10 is a service that is not confined at all.
#[test]
fn systemd_rates_the_exposure_of_the_service_at_two_or_less() {
    let Some(systemd_analyze) = peers::require("systemd-analyze") else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let unit = place.path().join("handfast.service");
    fs::write(&unit, UNIT).unwrap();
    let rated = Program::at(systemd_analyze)
        .args(["security", "--no-pager", "--offline=true", "--threshold=20"])
        .arg(&unit)
        .run();
    if rated.err().contains("unrecognized option") {
        return skipped::note("this systemd rates running services alone");
    }
    assert!(rated.succeeded(), "{rated}");
    assert!(rated.out().contains("Overall exposure level"), "{rated}");
}

#[test]
fn the_unit_file_allows_the_system_calls_of_a_start_a_reload_and_an_end() {
    let (Some(systemd_analyze), Some(strace)) =
        (peers::require("systemd-analyze"), peers::require("strace"))
    else {
        return;
    };
    let place = Place::new();
    fs::create_dir(place.path("logs")).unwrap();
    fs::write(
        place.path("handfast.toml"),
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[log]\nto = \"logs/access.log\"\n\
         [status]\naddress = \"0\"\n[[site]]\nroot = \"public\"\n",
    )
    .unwrap();
    let trace = place.path("trace");
    // It traces from beside: the process that was started is the server.
    let program = Program::at(strace)
        .env("HANDFAST_CA_DIR", place.path("ca"))
        .args(["-D", "-f", "-o"])
        .arg(&trace)
        .args([HANDFAST, "serve", "--config"])
        .arg(place.path("handfast.toml"));
    let running = program.start();
    let started = running.wait_until(PATIENCE, |printed| {
        let (_, rest) = printed.split_once("listening on https://127.0.0.1:")?;
        rest.split_once("/\n")?.0.parse().ok()
    });
    let Some(port) = started else {
        let output = running.output();
        assert!(output.contains("Operation not permitted"), "{output}");
        return skipped::note("processes cannot be traced here");
    };
    let mut server = Serving { running, port };
    assert_eq!(place.get(&server, "localhost", "/f"), "content");
    fs::rename(place.path("public"), place.path("before")).unwrap();
    fs::rename(place.path("before"), place.path("public")).unwrap();
    let configuration = fs::read_to_string(place.path("handfast.toml")).unwrap();
    let more = "[[listener]]\naddress = \"unix:socket\"\n";
    fs::write(
        place.path("handfast.toml"),
        more.to_owned() + &configuration,
    )
    .unwrap();
    signal(&server.running, "-HUP");
    server.running.expect_output("reloaded", PATIENCE);
    assert_eq!(place.get(&server, "localhost", "/f"), "content");
    signal(&server.running, "-TERM");
    let status = server.running.wait(PATIENCE);
    assert!(
        status.is_some_and(|status| status.success()),
        "{}",
        server.running.output()
    );
    let deadline = Instant::now() + PATIENCE;
    let id = server.running.id().to_string();
    // Short numbers are padded.
    let is_end = |line: &str| {
        let line = line.strip_prefix(&id).map(str::trim);
        line == Some("+++ exited with 0 +++")
    };
    let text = loop {
        let text = fs::read_to_string(&trace).unwrap();
        if text.lines().any(is_end) {
            break text;
        }
        assert!(Instant::now() < deadline, "{text}");
    };
    let calls = calls(&text);
    // Otherwise it was not confined, or the trace was not read.
    for expected in ["landlock_restrict_self", "seccomp", "listen", "openat2"] {
        assert!(calls.contains(expected), "{expected}: {calls:?}");
    }
    let allowed = allowed(&groups(&systemd_analyze));
    let refused: Vec<_> = calls.difference(&allowed).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
