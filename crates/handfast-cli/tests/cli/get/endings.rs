//! How responses end: which are whole, which are cut short, and what becomes of their files.

use std::ffi::OsStr;
use std::fs;
use std::time::{Duration, Instant};

use handfast_testbed::misbehaving::{Served, Step, http2};

use super::code;
use crate::common::Fixture;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server sends nothing more and keeps the connection open.
    None,
    CloseNotify,
    Fin,
    Reset,
}

impl End {
    fn steps(self) -> Vec<Step> {
        match self {
            Self::None => vec![],
            Self::CloseNotify => vec![Step::CloseNotify, Step::Fin],
            Self::Fin => vec![Step::Fin],
            Self::Reset => vec![Step::Reset],
        }
    }
}

/// What the program must make of it: exit code, and whether there is a remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Whole,
    Remark,
    Cut(i32),
}

/// Fetches into a file and onto stdout, and checks everything that can be seen.
fn check(fixture: &Fixture, what: &str, server: &Served, body: &[u8], expected: Expected) {
    let url = server.url("/file");
    let target = fixture.path("file");
    let part = fixture.path("file.part");
    let _ = fs::remove_file(&target);
    let _ = fs::remove_file(&part);
    let to_file = fixture.get([OsStr::new("-o"), target.as_os_str(), OsStr::new(&url)]);
    let to_stdout = fixture.get([&url]);
    let wanted = match expected {
        Expected::Whole | Expected::Remark => 0,
        Expected::Cut(code) => code,
    };
    assert_eq!(code(&to_file), wanted, "{what}: {to_file}");
    assert_eq!(code(&to_stdout), wanted, "{what}: {to_stdout}");
    assert_eq!(
        to_stdout.stdout, body,
        "{what}: what arrived was not written"
    );
    if wanted == 0 {
        assert_eq!(fs::read(&target).unwrap(), body, "{what}");
        assert!(!part.exists(), "{what}: a part is left");
        let has_remark = to_file.err().contains("note:");
        assert_eq!(
            has_remark,
            expected == Expected::Remark,
            "{what}: {to_file}"
        );
    } else {
        assert!(!target.exists(), "{what}: passed off as whole");
        assert_eq!(fs::read(&part).unwrap(), body, "{what}: the part");
        assert!(to_file.err().contains("[truncated]"), "{what}: {to_file}");
        assert!(to_file.err().contains("file.part"), "{what}: {to_file}");
    }
}

#[test]
fn http1_table_of_endings_cell_by_cell() {
    use Expected::{Cut, Remark, Whole};
    let fixture = Fixture::new();
    let closing = "HTTP/1.1 200 OK\r\nconnection: close\r\n";
    let length = format!("{closing}content-length: 10\r\n\r\n");
    let chunked = format!("{closing}transfer-encoding: chunked\r\n\r\n");
    let bare = format!("{closing}\r\n");
    let old = "HTTP/1.0 200 OK\r\n\r\n".to_owned();
    let whole: &[u8] = b"0123456789";
    for (name, head, sent, body, row) in [
        // Columns: close_notify, FIN, reset.
        (
            "length, whole",
            &length,
            "0123456789",
            whole,
            [Whole, Remark, Remark],
        ),
        (
            "length, short",
            &length,
            "012345678",
            &whole[..9],
            [Cut(18); 3],
        ),
        ("length, none", &length, "", &whole[..0], [Cut(18); 3]),
        (
            "chunks, whole",
            &chunked,
            "a\r\n0123456789\r\n0\r\n\r\n",
            whole,
            [Whole, Remark, Remark],
        ),
        (
            "chunks, no last",
            &chunked,
            "a\r\n0123456789\r\n",
            whole,
            [Cut(18); 3],
        ),
        (
            "chunks, within one",
            &chunked,
            "a\r\n01234",
            &whole[..5],
            [Cut(18); 3],
        ),
        (
            "until close",
            &bare,
            "0123456789",
            whole,
            [Whole, Cut(56), Cut(56)],
        ),
        (
            "until close, old",
            &old,
            "0123456789",
            whole,
            [Whole, Cut(56), Cut(56)],
        ),
        (
            "until close, nothing",
            &bare,
            "",
            &whole[..0],
            [Whole, Cut(56), Cut(56)],
        ),
    ] {
        for (end, expected) in [End::CloseNotify, End::Fin, End::Reset]
            .into_iter()
            .zip(row)
        {
            let mut script = vec![Step::ReadHead, Step::send(format!("{head}{sent}"))];
            script.extend(end.steps());
            let server = fixture.misbehaving().serve(script);
            check(
                &fixture,
                &format!("{name}, {end:?}"),
                &server,
                body,
                expected,
            );
        }
    }
}

#[test]
fn tls12_ends_are_judged_alike() {
    let fixture = Fixture::new();
    for (end, expected) in [
        (End::CloseNotify, Expected::Whole),
        (End::Fin, Expected::Cut(56)),
        (End::Reset, Expected::Cut(56)),
    ] {
        let mut script = vec![
            Step::ReadHead,
            Step::send("HTTP/1.1 200 OK\r\n\r\n0123456789"),
        ];
        script.extend(end.steps());
        let server = fixture.misbehaving().tls12().serve(script);
        check(
            &fixture,
            &format!("{end:?}"),
            &server,
            b"0123456789",
            expected,
        );
    }
}

#[test]
fn after_a_whole_body_a_kept_connection_is_not_waited_for() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        Step::ReadToEnd,
        Step::CloseNotify,
        Step::Fin,
    ]);
    let began = Instant::now();
    check(&fixture, "kept", &server, b"ok", Expected::Whole);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn http2_end_stream_decides() {
    use Expected::{Cut, Whole};
    let fixture = Fixture::new();
    let body: &[u8] = b"0123456789";
    let plain = http2::headers(1, &[], false);
    let with_length = http2::headers(1, &[("content-length", "10")], false);
    let data = |end| http2::data(1, body, end);
    for (name, frames, body, row) in [
        // Columns: the connection goes on, close_notify, FIN, reset. With END_STREAM what the
        // connection does afterwards is seen only when it happens before the program has left.
        (
            "END_STREAM",
            [plain.clone(), data(true)].concat(),
            body,
            [Some(Whole), Some(Whole), None, None],
        ),
        (
            "no END_STREAM",
            [plain.clone(), data(false)].concat(),
            body,
            [None, Some(Cut(18)), Some(Cut(18)), Some(Cut(18))],
        ),
        (
            "length, no END_STREAM",
            [with_length, data(false)].concat(),
            body,
            [None, Some(Cut(18)), Some(Cut(18)), Some(Cut(18))],
        ),
        (
            "RST_STREAM NO_ERROR",
            [plain.clone(), data(false), http2::reset(1, 0)].concat(),
            body,
            [Some(Cut(18)), Some(Cut(18)), Some(Cut(18)), None],
        ),
        (
            "RST_STREAM CANCEL",
            [plain.clone(), data(false), http2::reset(1, 8)].concat(),
            body,
            [Some(Cut(18)), Some(Cut(18)), Some(Cut(18)), None],
        ),
        (
            "GOAWAY",
            [plain, data(false), http2::go_away(1, 0)].concat(),
            body,
            [None, Some(Cut(18)), Some(Cut(18)), Some(Cut(18))],
        ),
    ] {
        let ends = [End::None, End::CloseNotify, End::Fin, End::Reset];
        for (end, expected) in ends.into_iter().zip(row) {
            let Some(expected) = expected else { continue };
            let mut script = vec![
                Step::send(http2::settings()),
                Step::ReadHttp2Request,
                Step::send(frames.clone()),
            ];
            script.extend(end.steps());
            let server = fixture.misbehaving().alpn(&["h2"]).serve(script);
            check(
                &fixture,
                &format!("{name}, {end:?}"),
                &server,
                body,
                expected,
            );
        }
    }
}

#[test]
fn a_shorter_http2_body_than_announced_is_not_whole() {
    let fixture = Fixture::new();
    let frames = [
        http2::headers(1, &[("content-length", "10")], false),
        http2::data(1, b"01234", true),
    ];
    let server = fixture.misbehaving().alpn(&["h2"]).serve([
        Step::send(http2::settings()),
        Step::ReadHttp2Request,
        Step::send(frames.concat()),
    ]);
    let target = fixture.path("file");
    let finished = fixture.get([
        OsStr::new("-o"),
        target.as_os_str(),
        server.url("/").as_ref(),
    ]);
    assert_eq!(code(&finished), 18, "{finished}");
    assert!(!target.exists());
}

#[test]
fn what_follows_close_notify_is_ignored() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\n\r\nall of it"),
        Step::CloseNotify,
        Step::Raw(b"\x17\x03\x03\x00\x20garbage garbage garbage garbage.".to_vec()),
        Step::Raw(b"not even a record".to_vec()),
        Step::Fin,
    ]);
    check(&fixture, "garbage", &server, b"all of it", Expected::Whole);
}

#[test]
fn a_record_altered_on_the_way_ends_the_response() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\n\r\nso far"),
        Step::Raw(b"\x17\x03\x03\x00\x20garbage garbage garbage garbage.".to_vec()),
        Step::Fin,
    ]);
    let finished = fixture.get([server.url("/")]);
    assert_eq!(code(&finished), 56, "{finished}");
    assert_eq!(finished.out(), "so far");
    assert!(finished.err().contains("bad-record"), "{finished}");
}

#[test]
fn a_body_that_drips_arrives_and_one_that_stalls_runs_into_the_limit() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n"),
        Step::ByteByByte(b"01234567890123456789".to_vec(), Duration::from_millis(20)),
    ]);
    check(
        &fixture,
        "drips",
        &server,
        b"01234567890123456789",
        Expected::Whole,
    );

    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123"),
    ]);
    let target = fixture.path("stalled");
    let finished = fixture.get([
        OsStr::new("--max-time"),
        OsStr::new("0.5"),
        OsStr::new("-o"),
        target.as_os_str(),
        server.url("/").as_ref(),
    ]);
    assert_eq!(code(&finished), 28, "{finished}");
    assert!(!target.exists());
    assert_eq!(fs::read(fixture.path("stalled.part")).unwrap(), b"0123");

    let silent = fixture.misbehaving().serve([Step::ReadHead]);
    let finished = fixture.get(["--max-time", "0.5", &silent.url("/")]);
    assert_eq!(code(&finished), 28, "{finished}");
}

#[test]
fn an_answer_that_comes_before_the_request_is_read_is_not_lost() {
    let fixture = Fixture::new();
    let body = fixture.write("upload", vec![b'x'; 8 * 1024 * 1024]);
    let data = format!("@{}", body.display());
    for end in [End::CloseNotify, End::Reset] {
        for attempt in 0..5 {
            let answer = "x".repeat(3000);
            let mut script = vec![
                Step::ReadHead,
                Step::send(format!(
                    "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 3000\r\n\r\n{answer}"
                )),
                // The answer is on its way; now the body meets a closed door.
                Step::Pause(Duration::from_millis(50)),
            ];
            script.extend(end.steps());
            if end == End::CloseNotify {
                script.push(Step::Pause(Duration::from_millis(50)));
                script.push(Step::Reset);
            }
            let server = fixture.misbehaving().serve(script);
            let finished = fixture.get(["-d", &data, &server.url("/")]);
            assert_eq!(code(&finished), 0, "{end:?} {attempt}: {finished}");
            assert_eq!(finished.out(), answer, "{end:?} {attempt}");
        }
    }
}

#[test]
fn the_same_over_http2() {
    let fixture = Fixture::new();
    let body = fixture.write("upload", vec![b'x'; 8 * 1024 * 1024]);
    let data = format!("@{}", body.display());
    for (end_stream, expected) in [(true, 0), (false, 18)] {
        // RFC 9113, section 8.1: the whole answer, then a reset with NO_ERROR: send no more.
        let frames = [
            http2::headers(1, &[], false),
            http2::data(1, b"enough", end_stream),
            http2::reset(1, 0),
        ];
        let server = fixture.misbehaving().alpn(&["h2"]).serve([
            Step::send(http2::settings()),
            Step::Read(10_000),
            Step::send(frames.concat()),
        ]);
        let finished = fixture.get(["-d", &data, &server.url("/")]);
        assert_eq!(code(&finished), expected, "{finished}");
        assert_eq!(finished.out(), "enough");
    }
}

#[test]
fn a_request_that_cannot_be_sent_is_an_error() {
    let fixture = Fixture::new();
    let body = fixture.write("upload", vec![b'x'; 8 * 1024 * 1024]);
    let server = fixture.misbehaving().serve([Step::ReadHead, Step::Reset]);
    let data = format!("@{}", body.display());
    let finished = fixture.get(["-H", "Expect:", "-d", &data, &server.url("/")]);
    assert_eq!(code(&finished), 55, "{finished}");
}

#[test]
fn the_reason_of_a_goaway_is_told_of_a_response_that_it_cuts_off() {
    let fixture = Fixture::new();
    for (code_, reason) in [(11, true), (0, false)] {
        let going = [
            &1_u32.to_be_bytes()[..],
            &u32::to_be_bytes(code_),
            b"slow\x1b down",
        ]
        .concat();
        let server = fixture.misbehaving().alpn(&["h2"]).serve([
            Step::send(http2::settings()),
            Step::ReadHttp2Request,
            Step::send(
                [
                    http2::headers(1, &[("content-length", "10")], false),
                    http2::data(1, b"half", false),
                    // GOAWAY.
                    http2::frame(7, 0, 0, &going),
                ]
                .concat(),
            ),
            Step::CloseNotify,
            Step::Fin,
        ]);
        let finished = fixture.get([&server.url("/")]);
        assert_eq!(code(&finished), 18, "{finished}");
        let said = finished.err();
        assert!(said.contains("[truncated]"), "{finished}");
        assert_eq!(
            said.contains("GOAWAY with ENHANCE_YOUR_CALM"),
            reason,
            "{finished}"
        );
        assert_eq!(said.contains("slow\\u{1b} down"), reason, "{finished}");
    }
}

#[test]
fn to_go_on_is_advised_where_it_can_be_done() {
    let fixture = Fixture::new();
    let body = "x".repeat(100_000);
    for (fields, options, expected) in [
        ("etag: \"1\"\r\n", &["-o", "file"][..], true),
        // Nothing identifies the version.
        ("", &["-o", "file"], false),
        ("etag: W/\"1\"\r\n", &["-o", "file"], false),
        // With -C these options mean nothing.
        ("etag: \"1\"\r\n", &["-i", "-o", "file"], false),
        (
            "etag: \"1\"\r\ncontent-disposition: attachment; filename=file\r\n",
            &["-OJ"],
            false,
        ),
    ] {
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send(format!(
                "HTTP/1.1 200 OK\r\n{fields}content-length: 200000\r\n\r\n{body}"
            )),
            Step::CloseNotify,
            Step::Fin,
        ]);
        let directory = tempfile::tempdir_in(fixture.directory()).unwrap();
        let finished = fixture
            .program("get")
            .args(fixture.trust())
            .arg("--output-dir")
            .arg(directory.path())
            .args(options)
            .arg(server.url("/file"))
            .run();
        assert_eq!(code(&finished), 18, "{options:?}: {finished}");
        let said = finished.err();
        assert!(said.contains("file.part"), "{options:?}: {finished}");
        assert_eq!(
            said.contains("-C -"),
            expected,
            "{fields:?} {options:?}: {finished}"
        );
        assert_eq!(
            said.matches("fix: ").count(),
            1,
            "{fields:?} {options:?}: {finished}"
        );
    }
}
