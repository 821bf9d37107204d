//! Downloads that go on where they stopped, if the file on the server is still the same.

use std::fs;

use handfast_testbed::launch::Finished;
use handfast_testbed::misbehaving::{Served, Step};

use super::code;
use crate::common::Fixture;

/// A file for which the state of a part is kept.
const SIZE: usize = 100_000;
const HALF: usize = SIZE / 2;

const VALIDATORS: &str = "ETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Mon, 30 Nov 2026 00:00:00 GMT\r\n";

/// The file in its first version, and in its second.
fn version(letter: u8) -> Vec<u8> {
    (0..SIZE)
        .map(|at| if at % 1000 == 0 { b'\n' } else { letter })
        .collect()
}

/// One connection: a response that is cut off after `sent` bytes of its body.
fn reply(status: &str, fields: &str, length: usize, body: &[u8]) -> Vec<Step> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\n{fields}connection: close\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    vec![
        Step::ReadHead,
        Step::Send(bytes),
        Step::CloseNotify,
        Step::Fin,
    ]
}

fn rest(from: usize, to: usize, total: usize, fields: &str) -> Vec<Step> {
    let fields = format!("Content-Range: bytes {from}-{}/{total}\r\n{fields}", to - 1);
    let body = version(b'1');
    reply("206 Partial Content", &fields, to - from, &body[from..to])
}

fn whole(letter: u8, fields: &str) -> Vec<Step> {
    reply("200 OK", fields, SIZE, &version(letter))
}

struct Case {
    server: Served,
    fixture: Fixture,
}

impl Case {
    /// The first reply is cut off in the middle of the file.
    fn new(fields: &str, replies: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let fixture = Fixture::new();
        let first = reply("200 OK", fields, SIZE, &version(b'1')[..HALF]);
        let all = std::iter::once(first).chain(replies);
        let server = fixture.misbehaving().serve_each(all);
        let case = Self { server, fixture };
        let cut_off = case.get(&[]);
        assert_eq!(code(&cut_off), 18, "{cut_off}");
        assert_eq!(case.len("file.part"), Some(HALF));
        case
    }

    fn get(&self, args: &[&str]) -> Finished {
        let target = self.fixture.path("file").display().to_string();
        let url = self.server.url("/file?token=1");
        self.fixture.get([args, &["-o", &target, &url]].concat())
    }

    fn len(&self, name: &str) -> Option<usize> {
        let found = fs::metadata(self.fixture.path(name)).ok()?;
        usize::try_from(found.len()).ok()
    }

    /// The file is complete, and nothing else is left.
    #[track_caller]
    fn check(&self, letter: u8, what: &str) {
        let file = fs::read(self.fixture.path("file")).unwrap();
        assert!(file == version(letter), "{what}: {} bytes", file.len());
        for left in ["file.part", "file.part.state"] {
            assert_eq!(self.len(left), None, "{what}: {left}");
        }
    }
}

#[test]
fn a_download_goes_on_only_with_the_same_version() {
    let right = || rest(HALF, SIZE, SIZE, VALIDATORS);
    // What the server sends when it is asked for the rest, whether it is asked for the whole then, and what the file is.
    for (what, replies, requests, letter) in [
        ("the rest", vec![right()], 2, b'1'),
        (
            "the rest without validators",
            vec![rest(HALF, SIZE, SIZE, "")],
            2,
            b'1',
        ),
        (
            "the new version",
            vec![whole(b'2', "ETag: \"v2\"\r\n")],
            2,
            b'2',
        ),
        ("no ranges", vec![whole(b'1', VALIDATORS)], 2, b'1'),
        (
            "the rest of another version",
            vec![rest(HALF, SIZE, SIZE, "ETag: \"v2\"\r\n"), whole(b'2', "")],
            3,
            b'2',
        ),
        (
            "a rest that begins elsewhere",
            vec![rest(HALF - 1, SIZE, SIZE, VALIDATORS), whole(b'2', "")],
            3,
            b'2',
        ),
        (
            "the rest of a longer file",
            vec![rest(HALF, SIZE, SIZE + 1, ""), whole(b'2', "")],
            3,
            b'2',
        ),
        (
            "several ranges",
            vec![
                reply(
                    "206 X",
                    "Content-Type: multipart/byteranges; boundary=x\r\n",
                    3,
                    b"--x",
                ),
                whole(b'2', ""),
            ],
            3,
            b'2',
        ),
        (
            "a file that shrank",
            vec![
                reply("416 X", "Content-Range: bytes */7\r\n", 0, b""),
                whole(b'2', ""),
            ],
            3,
            b'2',
        ),
    ] {
        let case = Case::new(VALIDATORS, replies);
        let finished = case.get(&["-C", "-"]);
        assert_eq!(code(&finished), 0, "{what}: {finished}");
        case.check(letter, what);
        let asked = case.server.received_text();
        let ranges = asked.matches(&format!("range: bytes={HALF}-\r\n")).count();
        assert_eq!(
            (ranges, asked.matches("if-range: \"v1\"\r\n").count()),
            (1, 1),
            "{what}"
        );
        assert_eq!(asked.matches("GET ").count(), requests, "{what}");
    }
}

#[test]
fn what_is_there_stays_when_the_rest_does_not_come() {
    let case = Case::new(
        VALIDATORS,
        [
            reply("404 Not Found", "", 4, b"gone"),
            reply("500 X", "", 4, b"oops"),
            // Cut off again, and less than was requested.
            reply(
                "206 X",
                &format!("Content-Range: bytes {HALF}-{}/{SIZE}\r\n", SIZE - 1),
                HALF,
                &version(b'1')[HALF..HALF + 10_000],
            ),
            rest(HALF + 10_000, HALF + 20_000, SIZE, VALIDATORS),
            rest(HALF + 20_000, SIZE, SIZE, VALIDATORS),
        ],
    );
    for (expected, len) in [
        (22, HALF),
        (22, HALF),
        (18, HALF + 10_000),
        (18, HALF + 20_000),
    ] {
        let finished = case.get(&["-C", "-"]);
        assert_eq!(code(&finished), expected, "{finished}");
        assert_eq!(case.len("file.part"), Some(len), "{finished}");
        assert_eq!(case.len("file"), None);
    }
    let finished = case.get(&["-C", "-"]);
    assert_eq!(code(&finished), 0, "{finished}");
    case.check(b'1', "in the end");
}

#[test]
fn a_part_of_which_nothing_is_known_is_not_continued() {
    // No validators: the server may have any version now.
    let case = Case::new("", [rest(HALF, SIZE, SIZE, ""), whole(b'2', "")]);
    let finished = case.get(&["-C", "-"]);
    assert_eq!(code(&finished), 0, "{finished}");
    case.check(b'2', "no validators");
    // No state, or that of another URL.
    for state in [
        None,
        Some("handfast download 1\nurl https://other/file\netag \"v1\"\n"),
    ] {
        let case = Case::new(VALIDATORS, [whole(b'2', "")]);
        let path = case.fixture.path("file.part.state");
        match state {
            None => fs::remove_file(path).unwrap(),
            Some(text) => fs::write(path, text).unwrap(),
        }
        let finished = case.get(&["-C", "-"]);
        assert_eq!(code(&finished), 0, "{finished}");
        assert!(finished.err().contains("started over"), "{finished}");
        assert!(!case.server.received_text().contains("range:"));
        case.check(b'2', "no state");
    }
    // Another download of the name begins from the start, and is cut off: its part is not that of the first.
    let other = reply(
        "200 OK",
        "ETag: \"v2\"\r\n",
        SIZE,
        &version(b'2')[..HALF + 1],
    );
    let case = Case::new(VALIDATORS, [other, whole(b'3', "")]);
    assert_eq!(code(&case.get(&[])), 18);
    let finished = case.get(&["-C", "-"]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert!(case.server.received_text().contains("if-range: \"v2\"\r\n"));
    case.check(b'3', "another version");
    // The same with a short one, of which no state is kept: that of the first must not stay.
    let short = reply("200 OK", VALIDATORS, 10, b"12345");
    let case = Case::new(VALIDATORS, [short, whole(b'3', "")]);
    assert_eq!(code(&case.get(&[])), 18);
    assert_eq!(case.len("file.part.state"), None);
    let finished = case.get(&["-C", "-"]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert!(!case.server.received_text().contains("range:"));
    case.check(b'3', "a short version");
}

#[test]
fn a_part_that_was_complete_already_gets_its_name() {
    let end = || {
        reply(
            "416 X",
            &format!("Content-Range: bytes */{SIZE}\r\n"),
            0,
            b"",
        )
    };
    let case = Case::new(VALIDATORS, [end(), end(), reply("416 X", "", 4, b"none")]);
    fs::write(case.fixture.path("file.part"), version(b'1')).unwrap();
    let finished = case.get(&["-C", "-", "-f"]);
    assert_eq!(code(&finished), 0, "{finished}");
    case.check(b'1', "the part");
    // The file itself, once more.
    let finished = case.get(&["-C", "-"]);
    assert_eq!(code(&finished), 0, "{finished}");
    case.check(b'1', "the file");
}

#[test]
fn a_premature_end_is_taken_up_where_it_stopped_by_a_retry() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve_each([
        reply("200 OK", VALIDATORS, SIZE, &version(b'1')[..HALF]),
        rest(HALF, SIZE, SIZE, VALIDATORS),
    ]);
    let case = Case { server, fixture };
    let finished = case.get(&["--retry", "1", "--retry-delay", "0.01"]);
    assert_eq!(code(&finished), 0, "{finished}");
    case.check(b'1', "retried");
    assert!(case.server.received_text().contains("if-range: \"v1\"\r\n"));
}

/// How many times a process is killed: more on a machine that has the time.
fn kills() -> u64 {
    let given = std::env::var("HANDFAST_KILLS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// How much of a file is on the disk: there may be gaps in it.
#[cfg(unix)]
fn on_disk(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata(path).map_or(0, |found| found.len().min(found.blocks() * 512))
}

#[cfg(unix)]
#[test]
fn a_process_that_is_killed_at_any_point_leaves_what_can_be_continued() {
    killed_at_any_point(&[]);
}

/// Held back, so that it is kept meanwhile what has come.
#[cfg(unix)]
#[test]
fn one_that_fetches_ranges_at_once_and_is_killed_leaves_what_can_be_continued() {
    killed_at_any_point(&["--segments", "4", "--http1.1", "--limit-rate", "6M"]);
}

#[cfg(unix)]
fn killed_at_any_point(more: &[&str]) {
    use crate::serving::{PATIENCE, Place};
    use std::time::Instant;
    const BYTES: u64 = 8 * 1024 * 1024;
    let place = Place::new();
    let content: Vec<u8> = (0..BYTES)
        .flat_map(|at| (at as u8 ^ (at >> 8) as u8 ^ (at >> 16) as u8).to_le_bytes())
        .collect();
    fs::write(place.path("public/large"), &content).unwrap();
    let server = place.serve(&["--listen", "127.0.0.1:0", &place.text("public")]);
    let url = format!("https://localhost:{}/large", server.port);
    // Points spread over the file by a multiplicative generator: the same in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut continued = 0;
    for round in 0..kills() {
        let target = place.path(&format!("file{round}"));
        let part = place.path(&format!("file{round}.part"));
        let target_text = target.display().to_string();
        let args = [more, &["-C", "-", "-o", &target_text, &url]].concat();
        for _ in 0..2 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let point = (state >> 33) % BYTES;
            let mut running = place.program("get").args(&args).start();
            let deadline = Instant::now() + PATIENCE;
            while on_disk(&part) < point && !running.has_ended() {
                assert!(Instant::now() < deadline, "{}", running.output());
                std::thread::yield_now();
            }
            // Dropped, it is killed.
            drop(running);
        }
        let finished = place.program("get").args(&args).run();
        assert!(finished.succeeded(), "round {round}: {finished}");
        assert!(fs::read(&target).unwrap() == content, "round {round}");
        continued += u64::from(finished.err().contains("continued after"));
        let state = place.path(&format!("file{round}.part.state"));
        assert!(!part.exists() && !state.exists(), "round {round}");
    }
    println!("{continued} of {} went on with a part", kills());
}
