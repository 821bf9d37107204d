//! Where responses go, beside curl: the same arguments, then the same files and the same exit code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use handfast_testbed::launch::Program;
use handfast_testbed::misbehaving::{Served, Step};

use super::code;
use crate::common::Fixture;

/// Serves two requests over one connection.
fn server(fixture: &Fixture, fields: &str) -> Served {
    let respond = |body: &str| {
        let length = body.len();
        Step::send(format!(
            "HTTP/1.1 200 OK\r\n{fields}content-length: {length}\r\n\r\n{body}"
        ))
    };
    fixture.misbehaving().serve([
        Step::ReadHead,
        respond("first"),
        Step::ReadHead,
        respond("second"),
    ])
}

/// Every file beneath a directory with its content.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            let below = files(&path).into_iter();
            found.extend(below.map(|(below, text)| (format!("{name}/{below}"), text)));
        } else {
            // The names of fields are in lower case with us.
            let mut text = fs::read_to_string(&path).unwrap().to_lowercase();
            if path.metadata().unwrap().modified().unwrap() == of_1994() {
                text.push_str(" (of 1994)");
            }
            found.insert(name, text);
        }
    }
    found
}

/// The time of the file `old`, and of the files on the server.
fn of_1994() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

/// Exit code, stdout, files.
type Result = (i32, String, BTreeMap<String, String>);

/// What `get` does, and what curl does: in a directory of its own with a file `old`.
fn both(fixture: &Fixture, fields: &str, args: &[&str], paths: &[&str]) -> Option<[Result; 2]> {
    let curl = Program::new("curl")?
        .args(["-q", "-sS", "--cacert"])
        .arg(&fixture.ca);
    let ours = fixture.program("get").args(fixture.trust());
    let mut number = 0;
    Some([ours, curl].map(|program| {
        number += 1;
        let directory = fixture.path(&format!("run{number}"));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("old"), "old").unwrap();
        let time = of_1994();
        let old = fs::File::options().write(true).open(directory.join("old"));
        old.unwrap().set_modified(time).unwrap();
        let server = server(fixture, fields);
        let urls: Vec<_> = paths.iter().map(|path| server.url(path)).collect();
        let finished = program.current_dir(&directory).args(args).args(&urls).run();
        assert!(!finished.timed_out, "{args:?}: {finished}");
        let stdout = finished.out().to_lowercase();
        (code(&finished), stdout, files(&directory))
    }))
}

const NAMED: &str = "Content-Disposition: attachment; filename=\"named.txt\"\r\n";
const OF_OLD: &str = "Content-Disposition: attachment; filename=old\r\n";
const MODIFIED: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

#[test]
fn files_and_exit_codes_are_those_of_curl() {
    let fixture = Fixture::new();
    let two = &["/a/one?q", "/two"][..];
    let table: &[(&str, &[&str], &[&str])] = &[
        ("", &["-o", "x", "-o", "y"], two),
        ("", &["-o", "x"], two),
        ("", &["-O", "-o", "y"], two),
        ("", &["-o", "y", "-O"], two),
        ("", &["-OO"], two),
        ("", &["-O"], two),
        ("", &["-o", "-", "-O"], two),
        ("", &["--remote-name-all"], two),
        ("", &["--remote-name-all", "-o", "x"], two),
        ("", &["-O", "--output-dir", "d", "--create-dirs"], two),
        ("", &["-O", "--output-dir", "d"], two),
        ("", &["-o", "d/e/x", "--create-dirs"], &["/"]),
        ("", &["-o", "d/e/x"], &["/"]),
        (
            "",
            &["-o", "d/x", "--output-dir", "e", "--create-dirs"],
            &["/"],
        ),
        ("", &["-O"], &["/"]),
        ("", &["-O"], &["/dir/"]),
        ("", &["-o", "old"], &["/"]),
        ("", &["-o", "old", "--no-clobber"], &["/"]),
        ("", &["--no-clobber", "-O", "-O"], &["/old", "/old"]),
        ("", &["-o", "old", "--no-clobber", "--clobber"], &["/"]),
        (NAMED, &["-OJ"], &["/x"]),
        (NAMED, &["-OJ"], &["/"]),
        (NAMED, &["-O"], &["/x"]),
        (NAMED, &["-J", "-o", "x"], &["/"]),
        ("", &["-OJ"], &["/x"]),
        ("", &["-OJ"], &["/old"]),
        ("", &["-OJ"], &["/"]),
        (OF_OLD, &["-OJ"], &["/x"]),
        (OF_OLD, &["-OJ", "--clobber"], &["/x"]),
        (OF_OLD, &["-OJ", "--no-clobber"], &["/x"]),
        (
            NAMED,
            &["-OJ", "--output-dir", "d", "--create-dirs"],
            &["/x"],
        ),
        (NAMED, &["-iOJ"], &["/x"]),
        ("", &["-D", "heads", "-o", "x"], two),
        ("", &["-D", "-", "-o", "x"], &["/"]),
        ("", &["-D", "-"], &["/"]),
        ("", &["-D", "heads", "-I"], &["/"]),
        (MODIFIED, &["-R", "-o", "x"], &["/"]),
        (MODIFIED, &["-z", "old", "-o", "old"], &["/"]),
        (MODIFIED, &["-z", "-old", "-o", "old"], &["/"]),
        (MODIFIED, &["-z", "5 Nov 1994", "-o", "old"], &["/"]),
        (MODIFIED, &["-z", "7 Nov 1994", "-o", "old"], &["/"]),
        (MODIFIED, &["-z", "-7 Nov 1994", "-o", "old"], &["/"]),
        (MODIFIED, &["-z", "7 Nov 1994"], &["/"]),
        (MODIFIED, &["-z", "no such file", "-o", "x"], &["/"]),
        ("", &["-z", "7 Nov 1994", "-o", "x"], &["/"]),
    ];
    let mut differing = Vec::new();
    for (fields, args, paths) in table {
        let Some([ours, curl]) = both(&fixture, fields, args, paths) else {
            return;
        };
        if ours != curl {
            differing.push(format!(
                "{args:?} {paths:?} {fields}\n  {ours:?}\n  {curl:?}"
            ));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_is_exit_code_23() {
    let fixture = Fixture::new();
    for body in ["short".to_owned(), "long".repeat(100_000)] {
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )),
        ]);
        let finished = fixture.get(["-o", "/dev/full", &server.url("/")]);
        assert_eq!(code(&finished), 23, "{finished}");
        assert!(finished.err().contains("[file-unusable]"), "{finished}");
    }
}
