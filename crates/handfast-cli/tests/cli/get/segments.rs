//! A large file in several ranges at once: from servers that send ranges as they should, and from those that do not.

use std::fs;

use handfast_testbed::launch::{Finished, Nginx};
use handfast_testbed::misbehaving::{Served, Step};

use super::code;
use crate::common::{Fixture, localhost};

/// Enough for four ranges.
const SIZE: usize = 5 * 1024 * 1024;
const QUARTER: usize = SIZE / 4;

const FIELDS: &str = "ETag: \"v1\"\r\nAccept-Ranges: bytes\r\n";

/// Bytes that tell where they belong.
fn content() -> Vec<u8> {
    (0..SIZE as u32 / 4)
        .flat_map(|at| at.wrapping_mul(0x9e37_79b9).to_le_bytes())
        .collect()
}

/// What the server makes of the head of a request.
type Answer = fn(&str) -> Vec<Step>;

/// What a request asks for: the first byte and the one behind the last.
fn range(head: &str) -> Option<(usize, usize)> {
    let (_, rest) = head.split_once("\r\nrange: bytes=")?;
    let (range, _) = rest.split_once("\r\n")?;
    let (first, last) = range.split_once('-')?;
    let end = last.parse().map_or(SIZE, |last: usize| last + 1);
    Some((first.parse().unwrap(), end))
}

fn reply(status: &str, fields: &str, length: usize, body: &[u8]) -> Vec<Step> {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\n{fields}connection: close\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    vec![Step::Send(bytes), Step::CloseNotify, Step::Fin]
}

fn whole(fields: &str) -> Vec<Step> {
    reply("200 OK", fields, SIZE, &content())
}

fn part(first: usize, end: usize, fields: &str) -> Vec<Step> {
    let fields = format!(
        "Content-Range: bytes {first}-{}/{SIZE}\r\n{fields}",
        end - 1
    );
    reply(
        "206 Partial Content",
        &fields,
        end - first,
        &content()[first..end],
    )
}

/// As a server should.
fn right(head: &str) -> Vec<Step> {
    match range(head) {
        None => whole(FIELDS),
        Some((first, end)) => part(first, end, FIELDS),
    }
}

/// The same, but most of the whole comes when a range has been answered that should not have been answered so.
fn right_afterwards(head: &str) -> Vec<Step> {
    match range(head) {
        None => afterwards(FIELDS),
        Some(_) => right(head),
    }
}

fn afterwards(fields: &str) -> Vec<Step> {
    let head =
        format!("HTTP/1.1 200 OK\r\n{fields}connection: close\r\ncontent-length: {SIZE}\r\n\r\n");
    let (now, later) = (
        content()[..QUARTER / 2].to_vec(),
        content()[QUARTER / 2..].to_vec(),
    );
    vec![
        Step::send(head),
        Step::Send(now),
        Step::AwaitSignal,
        Step::Send(later),
        Step::CloseNotify,
        Step::Fin,
    ]
}

/// A reply that should not be.
fn wrong(status: &str, fields: &str, length: usize, body: &[u8]) -> Vec<Step> {
    let mut steps = reply(status, fields, length, body);
    // The client may have had enough before all of it is sent.
    steps.insert(0, Step::Signal);
    steps
}

/// The second range, or one within it; not the rest in one transfer, which may begin there.
fn is_second(head: &str) -> bool {
    range(head).is_some_and(|(first, end)| first >= QUARTER && end <= 2 * QUARTER)
}

struct Case {
    fixture: Fixture,
    server: Served,
}

impl Case {
    fn new(answer: fn(&str) -> Vec<Step>) -> Self {
        let fixture = Fixture::new();
        let server = fixture.misbehaving().serve([Step::AnswerHead(answer)]);
        Self { fixture, server }
    }

    fn get(&self, args: &[&str]) -> Finished {
        let target = self.fixture.path("file").display().to_string();
        let url = self.server.url("/file");
        let fixed = ["-v", "--segments", "4", "-o", &target, &url];
        self.fixture.get([args, &fixed].concat())
    }

    /// The file is complete, and nothing else is left.
    #[track_caller]
    fn check(&self, what: &str) {
        let file = fs::read(self.fixture.path("file")).unwrap();
        assert!(file == content(), "{what}: {} bytes", file.len());
        for left in ["file.part", "file.part.state", "file.part.state.new"] {
            assert!(!self.fixture.path(left).exists(), "{what}: {left}");
        }
    }
}

#[test]
fn a_file_is_right_whatever_the_server_makes_of_ranges() {
    const ONE: &str = "in one transfer";
    let cases: [(&str, Answer, &str); 14] = [
        ("right", right, "all 4 are complete"),
        (
            "ignores ranges",
            |head| match range(head) {
                Some(_) => wrong("200 OK", FIELDS, SIZE, &content()),
                None => afterwards(FIELDS),
            },
            "",
        ),
        ("announces no ranges", |_| whole("ETag: \"v1\"\r\n"), ONE),
        ("no validator", |_| whole("Accept-Ranges: bytes\r\n"), ONE),
        (
            "weak validator",
            |_| whole("ETag: W/\"v1\"\r\nAccept-Ranges: bytes\r\n"),
            ONE,
        ),
        (
            "no length",
            |_| {
                let head = format!("HTTP/1.1 200 OK\r\n{FIELDS}connection: close\r\n\r\n");
                vec![
                    Step::send(head),
                    Step::Send(content()),
                    Step::CloseNotify,
                    Step::Fin,
                ]
            },
            ONE,
        ),
        (
            "coded",
            |_| whole(&format!("{FIELDS}Content-Encoding: x\r\n")),
            ONE,
        ),
        (
            "other bytes",
            |head| match range(head) {
                Some((first, end)) => {
                    let fields = format!(
                        "Content-Range: bytes {}-{}/{SIZE}\r\n{FIELDS}",
                        first - 1,
                        end - 2
                    );
                    wrong(
                        "206 X",
                        &fields,
                        end - first,
                        &content()[first - 1..end - 1],
                    )
                }
                None => right_afterwards(head),
            },
            "",
        ),
        (
            "another size",
            |head| match range(head) {
                Some((first, end)) => {
                    let fields = format!(
                        "Content-Range: bytes {first}-{}/{}\r\n{FIELDS}",
                        end - 1,
                        SIZE + 1
                    );
                    wrong("206 X", &fields, end - first, &vec![b'x'; end - first])
                }
                None => right_afterwards(head),
            },
            "",
        ),
        (
            "another version",
            |head| match range(head) {
                Some((first, end)) if is_second(head) => {
                    let fields = format!(
                        "Content-Range: bytes {first}-{}/{SIZE}\r\nETag: \"v2\"\r\n",
                        end - 1
                    );
                    wrong("206 X", &fields, end - first, &vec![b'x'; end - first])
                }
                _ => right_afterwards(head),
            },
            "",
        ),
        (
            "more than the range",
            |head| match range(head) {
                Some((first, end)) if is_second(head) => {
                    let mut bytes = format!(
                        "HTTP/1.1 206 X\r\nContent-Range: bytes {first}-{}/{SIZE}\r\n{FIELDS}connection: close\r\n\r\n",
                        end - 1
                    )
                    .into_bytes();
                    bytes.extend(&content()[first..end]);
                    bytes.push(b'x');
                    vec![
                        Step::Signal,
                        Step::Send(bytes),
                        Step::CloseNotify,
                        Step::Fin,
                    ]
                }
                _ => right_afterwards(head),
            },
            "",
        ),
        (
            "200 for one",
            |head| match is_second(head) {
                true => wrong("200 OK", "ETag: \"v2\"\r\n", SIZE, &vec![b'x'; SIZE]),
                false => right_afterwards(head),
            },
            "",
        ),
        (
            "503 for the second",
            |head| match is_second(head) {
                true => wrong("503 X", "", 4, b"busy"),
                false => right_afterwards(head),
            },
            "",
        ),
        (
            "503 for all",
            |head| match range(head) {
                Some(_) => wrong("503 X", "", 4, b"busy"),
                None => right_afterwards(head),
            },
            "",
        ),
    ];
    for (what, answer, said) in cases {
        let case = Case::new(answer);
        let finished = case.get(&[]);
        assert_eq!(code(&finished), 0, "{what}: {finished}");
        // Where the first response is faster than the others, it has their ranges before they are answered.
        assert!(finished.err().contains(said), "{what}: {finished}");
        case.check(what);
    }
}

/// The second range is cut off in its middle, whichever response it comes in.
fn cuts_one(head: &str) -> Vec<Step> {
    match range(head) {
        None => reply("200 OK", FIELDS, SIZE, &content()[..QUARTER + QUARTER / 2]),
        Some((first, end)) if is_second(head) && end - first == QUARTER => {
            let fields = format!(
                "Content-Range: bytes {first}-{}/{SIZE}\r\n{FIELDS}",
                end - 1
            );
            reply(
                "206 X",
                &fields,
                QUARTER,
                &content()[first..first + QUARTER / 2],
            )
        }
        _ => right(head),
    }
}

#[test]
fn one_range_that_is_cut_off_is_fetched_again_and_no_other() {
    for (args, again) in [
        (&["--http1.1"][..], &["-C", "-"][..]),
        (&[], &["-C", "-", "--segments", "1"]),
    ] {
        let case = Case::new(cuts_one);
        let cut_off = case.get(args);
        assert_eq!(code(&cut_off), 18, "{cut_off}");
        assert!(cut_off.err().contains("[truncated]"), "{cut_off}");
        let there = SIZE - QUARTER / 2;
        assert!(cut_off.err().contains(&there.to_string()), "{cut_off}");
        assert!(!case.fixture.path("file").exists());
        let state = fs::read_to_string(case.fixture.path("file.part.state")).unwrap();
        let arrived = format!(
            "arrived 0-{},{}-{}\n",
            QUARTER + QUARTER / 2 - 1,
            2 * QUARTER,
            SIZE - 1
        );
        assert!(state.contains(&arrived), "{state}");
        let target = case.fixture.path("file").display().to_string();
        let url = case.server.url("/file");
        let on = case.fixture.get([again, &["-o", &target, &url]].concat());
        assert_eq!(code(&on), 0, "{on}");
        assert!(on.err().contains("continued after"), "{on}");
        case.check("continued");
    }
    let case = Case::new(cuts_one);
    let retried = case.get(&["--retry", "1", "--retry-delay", "0.01"]);
    assert_eq!(code(&retried), 0, "{retried}");
    case.check("retried");
}

#[test]
fn a_changed_file_is_fetched_from_the_start() {
    let case = Case::new(cuts_one);
    assert_eq!(code(&case.get(&[])), 18);
    let fields = "ETag: \"v2\"\r\nAccept-Ranges: bytes\r\n";
    let other = case.fixture.misbehaving().serve([
        Step::ReadHead,
        Step::Send(
            format!("HTTP/1.1 200 OK\r\n{fields}connection: close\r\ncontent-length: 3\r\n\r\nnew")
                .into_bytes(),
        ),
        Step::CloseNotify,
        Step::Fin,
    ]);
    // The state is of another port; it is made that of this one.
    let state = case.fixture.path("file.part.state");
    let text = fs::read_to_string(&state).unwrap();
    let ports =
        [case.server.address(), other.address()].map(|address| format!(":{}/", address.port()));
    fs::write(&state, text.replace(&ports[0], &ports[1])).unwrap();
    let target = case.fixture.path("file").display().to_string();
    let finished = case.fixture.get([
        "-C",
        "-",
        "--segments",
        "4",
        "-o",
        &target,
        &other.url("/file"),
    ]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert!(
        other
            .received_text()
            .to_lowercase()
            .contains("if-range: \"v1\"")
    );
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert!(!state.exists());
}

#[test]
fn stdout_and_small_files_are_not_divided() {
    let case = Case::new(right);
    let stdout = case.fixture.get(["--segments", "4", &case.server.url("/")]);
    assert_eq!(code(&stdout), 2, "{stdout}");
    assert!(stdout.err().contains("in order only"), "{stdout}");
    let many = case
        .fixture
        .get(["--segments", "17", "-O", &case.server.url("/a")]);
    assert_eq!(code(&many), 2, "{many}");
    assert_eq!(case.server.connections(), 0);
}

#[test]
fn nginx_sends_the_ranges_of_one_transfer_over_connections_of_their_own() {
    let fixture = Fixture::new();
    let root = fixture.path("www");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("big"), content()).unwrap();
    fs::write(root.join("small"), "small").unwrap();
    let Some(server) = Nginx::launch(fixture.directory(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; ssl_certificate_key {}; root {}; }}",
            fixture.chain.display(),
            fixture.key.display(),
            root.display()
        )
    }) else {
        return;
    };
    let url = |name: &str| format!("https://{}/{name}", localhost(server.address()));
    let target = fixture.path("file").display().to_string();
    let report = fixture.path("report").display().to_string();
    let digest = handfast_testbed::launch::Program::new("sha256sum")
        .unwrap()
        .arg(root.join("big"))
        .run();
    let digest = digest.out()[..64].to_owned();
    let wrong = "0".repeat(64);
    for http in ["--http1.1", "--http2"] {
        let fixed = [
            "--segments",
            "4",
            http,
            "-o",
            &target,
            "-w",
            "%{num_connects} %{size_download} %{http_code}",
        ];
        let with = |more: &[&str]| fixture.get([&fixed, more].concat());
        let finished = with(&["--json-report", &report, "--sha256", &digest, &url("big")]);
        assert_eq!(code(&finished), 0, "{finished}");
        // A range that the first response comes to before it is answered takes no connection.
        let mut connections = (1..=4).map(|count| format!("{count} {SIZE} 200"));
        assert!(connections.any(|line| line == finished.out()), "{finished}");
        assert!(fs::read(&target).unwrap() == content(), "{http}");
        let line = fs::read_to_string(&report).unwrap();
        assert!(
            line.contains("\"segments\":4") && line.contains("\"verdict\":\"complete\""),
            "{line}"
        );
        let refused = with(&["--sha256", &wrong, &url("big")]);
        assert_eq!(code(&refused), 56, "{refused}");
        let small = with(&[&url("small")]);
        assert_eq!((code(&small), &*small.out()), (0, "1 5 200"), "{small}");
        // The rate is that of all of them. Over HTTP/2 what fits into the windows comes at once.
        if http == "--http2" {
            continue;
        }
        let slow = with(&["--limit-rate", "256k", "-m", "1", &url("big")]);
        assert_eq!(code(&slow), 28, "{slow}");
        let there = slow
            .out()
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse::<usize>().ok());
        assert!(there.is_some_and(|there| there < SIZE / 2), "{slow}");
        let _ = fs::remove_file(&target);
        let _ = fs::remove_file(format!("{target}.part"));
        let _ = fs::remove_file(format!("{target}.part.state"));
    }
}
