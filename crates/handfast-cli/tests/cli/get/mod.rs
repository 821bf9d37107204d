//! `handfast get` against servers that misbehave and real ones: exit codes, files, what is said.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use handfast_testbed::launch::{
    Finished, GnutlsServer, Nginx, OpensslServer, Program, free_address,
};
use handfast_testbed::misbehaving::{Misbehaving, Served, Step, http2};
use handfast_testbed::pki::{Pki, Spec};

use crate::common::Bench;

#[cfg(unix)]
mod manners;
mod proxy;

impl Bench {
    /// `handfast get` that trusts the PKI alone.
    fn get<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        self.run("get", args)
    }
}

fn code(finished: &Finished) -> i32 {
    finished.code.unwrap_or(-1)
}

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
fn check(bench: &Bench, what: &str, server: &Served, body: &[u8], expected: Expected) {
    let url = server.url("/file");
    let target = bench.path("file");
    let part = bench.path("file.part");
    let _ = fs::remove_file(&target);
    let _ = fs::remove_file(&part);
    let to_file = bench.get([OsStr::new("-o"), target.as_os_str(), OsStr::new(&url)]);
    let to_stdout = bench.get([&url]);
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
fn a16_http1_table_of_endings_cell_by_cell() {
    use Expected::{Cut, Remark, Whole};
    let bench = Bench::new();
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
            let mut script = vec![Step::ReadHead, Step::say(format!("{head}{sent}"))];
            script.extend(end.steps());
            let server = bench.misbehaving().serve(script);
            check(&bench, &format!("{name}, {end:?}"), &server, body, expected);
        }
    }
}

#[test]
fn a16_tls12_ends_are_judged_alike() {
    let bench = Bench::new();
    for (end, expected) in [
        (End::CloseNotify, Expected::Whole),
        (End::Fin, Expected::Cut(56)),
        (End::Reset, Expected::Cut(56)),
    ] {
        let mut script = vec![
            Step::ReadHead,
            Step::say("HTTP/1.1 200 OK\r\n\r\n0123456789"),
        ];
        script.extend(end.steps());
        let server = bench.misbehaving().tls12().serve(script);
        check(
            &bench,
            &format!("{end:?}"),
            &server,
            b"0123456789",
            expected,
        );
    }
}

#[test]
fn a16_after_a_whole_body_on_a_kept_connection_nobody_waits() {
    let bench = Bench::new();
    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
        Step::ReadToEnd,
        Step::CloseNotify,
        Step::Fin,
    ]);
    let began = Instant::now();
    check(&bench, "kept", &server, b"ok", Expected::Whole);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a16_http2_end_stream_decides() {
    use Expected::{Cut, Whole};
    let bench = Bench::new();
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
                Step::say(http2::settings()),
                Step::ReadHttp2Request,
                Step::say(frames.clone()),
            ];
            script.extend(end.steps());
            let server = bench.misbehaving().alpn(&["h2"]).serve(script);
            check(&bench, &format!("{name}, {end:?}"), &server, body, expected);
        }
    }
}

#[test]
fn a16_a_shorter_http2_body_than_announced_is_not_whole() {
    let bench = Bench::new();
    let frames = [
        http2::headers(1, &[("content-length", "10")], false),
        http2::data(1, b"01234", true),
    ];
    let server = bench.misbehaving().alpn(&["h2"]).serve([
        Step::say(http2::settings()),
        Step::ReadHttp2Request,
        Step::say(frames.concat()),
    ]);
    let target = bench.path("file");
    let finished = bench.get([
        OsStr::new("-o"),
        target.as_os_str(),
        server.url("/").as_ref(),
    ]);
    assert_eq!(code(&finished), 18, "{finished}");
    assert!(!target.exists());
}

#[test]
fn a15_what_follows_close_notify_is_ignored() {
    let bench = Bench::new();
    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\n\r\nall of it"),
        Step::CloseNotify,
        Step::Raw(b"\x17\x03\x03\x00\x20garbage garbage garbage garbage.".to_vec()),
        Step::Raw(b"not even a record".to_vec()),
        Step::Fin,
    ]);
    check(&bench, "garbage", &server, b"all of it", Expected::Whole);
}

#[test]
fn c1_a_record_altered_on_the_way_ends_the_response() {
    let bench = Bench::new();
    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\n\r\nso far"),
        Step::Raw(b"\x17\x03\x03\x00\x20garbage garbage garbage garbage.".to_vec()),
        Step::Fin,
    ]);
    let finished = bench.get([server.url("/")]);
    assert_eq!(code(&finished), 56, "{finished}");
    assert_eq!(finished.out(), "so far");
    assert!(finished.err().contains("bad-record"), "{finished}");
}

#[test]
fn replies_that_are_none() {
    let bench = Bench::new();
    let head = "HTTP/1.1 200 OK\r\ncontent-le";
    for (name, steps, expected, id) in [
        (
            "empty, close_notify",
            vec![Step::CloseNotify, Step::Fin],
            52,
            "[empty-reply]",
        ),
        ("empty, FIN", vec![Step::Fin], 52, "[empty-reply]"),
        ("empty, reset", vec![Step::Reset], 56, "[reset]"),
        (
            "half a head, close_notify",
            vec![Step::say(head), Step::CloseNotify, Step::Fin],
            56,
            "[truncated]",
        ),
        (
            "half a head, FIN",
            vec![Step::say(head), Step::Fin],
            56,
            "[truncated]",
        ),
        (
            "half a head, reset",
            vec![Step::say(head), Step::Reset],
            56,
            "[truncated]",
        ),
        (
            "not HTTP",
            vec![Step::say("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Step::Fin],
            56,
            "[malformed-response]",
        ),
        (
            "two lengths",
            vec![Step::say(
                "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
            )],
            56,
            "[malformed-response]",
        ),
        (
            "endless head",
            vec![
                Step::say("HTTP/1.1 200 OK\r\n"),
                Step::Forever(
                    b"x-filler: 0123456789012345678901234567890123456789\r\n".repeat(500),
                ),
            ],
            56,
            "[malformed-response]",
        ),
        (
            "endless line",
            vec![Step::Forever(vec![b'x'; 16 * 1024])],
            56,
            "[malformed-response]",
        ),
        (
            "bad chunk",
            vec![Step::say(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            )],
            18,
            "[truncated]",
        ),
    ] {
        let mut script = vec![Step::ReadHead];
        script.extend(steps);
        let server = bench.misbehaving().serve(script);
        let target = bench.path("none");
        let finished = bench.get([
            OsStr::new("-o"),
            target.as_os_str(),
            server.url("/").as_ref(),
        ]);
        assert_eq!(code(&finished), expected, "{name}: {finished}");
        assert!(finished.err().contains(id), "{name}: {finished}");
        assert!(!target.exists(), "{name}");
    }
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    let bench = Bench::new();
    for (args, head) in [
        (&["-I"][..], "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"),
        (&[], "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            &[],
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n",
        ),
        (
            &[],
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        let server = bench.misbehaving().serve([Step::ReadHead, Step::say(head)]);
        let mut all: Vec<&str> = args.to_vec();
        let url = server.url("/");
        all.push(&url);
        let finished = bench.get(&all);
        assert_eq!(code(&finished), 0, "{head}: {finished}");
        if args.is_empty() {
            assert_eq!(finished.out(), "");
        } else {
            assert!(
                finished.out().starts_with("HTTP/1.1 200 OK\r\n"),
                "{finished}"
            );
        }
    }
}

#[test]
fn a_body_that_drips_arrives_and_one_that_stalls_runs_into_the_limit() {
    let bench = Bench::new();
    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n"),
        Step::Drip(b"01234567890123456789".to_vec(), Duration::from_millis(20)),
    ]);
    check(
        &bench,
        "drips",
        &server,
        b"01234567890123456789",
        Expected::Whole,
    );

    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n0123"),
    ]);
    let target = bench.path("stalled");
    let finished = bench.get([
        OsStr::new("--max-time"),
        OsStr::new("0.5"),
        OsStr::new("-o"),
        target.as_os_str(),
        server.url("/").as_ref(),
    ]);
    assert_eq!(code(&finished), 28, "{finished}");
    assert!(!target.exists());
    assert_eq!(fs::read(bench.path("stalled.part")).unwrap(), b"0123");

    let silent = bench.misbehaving().serve([Step::ReadHead]);
    let finished = bench.get(["--max-time", "0.5", &silent.url("/")]);
    assert_eq!(code(&finished), 28, "{finished}");
}

#[test]
fn a13_an_answer_that_comes_before_the_request_is_read_is_not_lost() {
    let bench = Bench::new();
    let body = bench.path("upload");
    fs::write(&body, vec![b'x'; 8 * 1024 * 1024]).unwrap();
    let data = format!("@{}", body.display());
    for end in [End::CloseNotify, End::Reset] {
        for attempt in 0..5 {
            let answer = "x".repeat(3000);
            let mut script = vec![
                Step::ReadHead,
                Step::say(format!(
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
            let server = bench.misbehaving().serve(script);
            let finished = bench.get(["-d", &data, &server.url("/")]);
            assert_eq!(code(&finished), 0, "{end:?} {attempt}: {finished}");
            assert_eq!(finished.out(), answer, "{end:?} {attempt}");
        }
    }
}

#[test]
fn a13_the_same_over_http2() {
    let bench = Bench::new();
    let body = bench.path("upload");
    fs::write(&body, vec![b'x'; 8 * 1024 * 1024]).unwrap();
    let data = format!("@{}", body.display());
    for (end_stream, expected) in [(true, 0), (false, 18)] {
        // RFC 9113, section 8.1: the whole answer, then a reset with NO_ERROR: send no more.
        let frames = [
            http2::headers(1, &[], false),
            http2::data(1, b"enough", end_stream),
            http2::reset(1, 0),
        ];
        let server = bench.misbehaving().alpn(&["h2"]).serve([
            Step::say(http2::settings()),
            Step::Read(10_000),
            Step::say(frames.concat()),
        ]);
        let finished = bench.get(["-d", &data, &server.url("/")]);
        assert_eq!(code(&finished), expected, "{finished}");
        assert_eq!(finished.out(), "enough");
    }
}

#[test]
fn a13_a_request_that_cannot_be_sent_is_an_error() {
    let bench = Bench::new();
    let body = bench.path("upload");
    fs::write(&body, vec![b'x'; 8 * 1024 * 1024]).unwrap();
    let server = bench.misbehaving().serve([Step::ReadHead, Step::Reset]);
    let data = format!("@{}", body.display());
    let finished = bench.get(["-d", &data, &server.url("/")]);
    assert_eq!(code(&finished), 55, "{finished}");
}

#[test]
fn requests_are_sent_as_typed() {
    let bench = Bench::new();
    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let file = bench.path("data");
    fs::write(&file, "two\nlines\n").unwrap();
    let data = format!("@{}", file.display());
    let port = server.address().port();
    let url = format!("https://user:s3cret@localhost:{port}/a%20b?q=1");
    let args = [
        "-d", "one", "-d", &data, "-H", "X-Two: 2", "-H", "Accept:", "-v", &url,
    ];
    let finished = bench.get(args);
    assert_eq!(code(&finished), 0, "{finished}");
    let seen = server.received_text();
    assert!(seen.starts_with("POST /a%20b?q=1 HTTP/1.1\r\n"), "{seen}");
    for field in [
        &format!("host: localhost:{port}\r\n"),
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-length: 12\r\n",
        "x-two: 2\r\n",
        "authorization: Basic dXNlcjpzM2NyZXQ=\r\n",
        "user-agent: handfast/",
    ] {
        assert!(seen.contains(field), "{field} is not in {seen}");
    }
    assert!(!seen.contains("accept:"), "{seen}");
    for secret in ["s3cret", "dXNlcjpzM2NyZXQ="] {
        assert!(!finished.err().contains(secret), "{finished}");
    }
}

#[test]
fn redirects_are_followed_and_secrets_stay_behind() {
    let bench = Bench::new();
    let other = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"),
    ]);
    let location = other.url("/there");
    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 307 X\r\nlocation: /again\r\ncontent-length: 4\r\n\r\ngone"),
        Step::ReadHead,
        Step::say(format!(
            "HTTP/1.1 303 X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
        )),
    ]);
    let secret = "Authorization: Bearer s3cret";
    let url = server.url("/");
    let finished = bench.get(["-L", "-H", secret, "-d", "", &url]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(finished.out(), "other");
    // The second request went over the same connection.
    assert_eq!(server.connections(), 1);
    let first = server.received_text();
    assert!(first.contains("POST /again HTTP/1.1\r\n"), "{first}");
    assert_eq!(first.matches("Bearer s3cret").count(), 2, "{first}");
    let last = other.received_text();
    assert!(last.starts_with("GET /there HTTP/1.1\r\n"), "{last}");
    assert!(
        !last.contains("s3cret") && !last.contains("content-"),
        "{last}"
    );
}

#[test]
fn redirects_in_a_circle_or_out_of_tls_end() {
    let bench = Bench::new();
    let again = "HTTP/1.1 302 X\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    let mut script = Vec::new();
    for _ in 0..10 {
        script.extend([Step::ReadHead, Step::say(again)]);
    }
    let server = bench.misbehaving().serve(script);
    let finished = bench.get(["-L", "--max-redirs", "5", &server.url("/")]);
    assert_eq!(code(&finished), 47, "{finished}");

    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 302 X\r\nlocation: http://localhost/\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let finished = bench.get(["-L", &server.url("/")]);
    assert_eq!(code(&finished), 1, "{finished}");
    assert!(
        finished.err().contains("[redirect-to-plain-http]"),
        "{finished}"
    );
    // Without -L it is a response like any other.
    assert_eq!(code(&bench.get([server.url("/")])), 0);
}

#[test]
fn a_kept_connection_that_had_gone_is_replaced() {
    let bench = Bench::new();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let server = bench.misbehaving().serve_each([
        // Announces nothing, and closes when the second request comes.
        vec![Step::ReadHead, Step::say(answer), Step::ReadHead, Step::Fin],
        vec![Step::ReadHead, Step::say(answer)],
    ]);
    let url = server.url("/");
    let finished = bench.get(["-v", &url, &url]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(finished.out(), "okok");
    assert_eq!(server.connections(), 2);
    assert!(finished.err().contains("trying another"), "{finished}");
}

#[test]
fn exit_codes_are_curls() {
    let bench = Bench::new();
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let good = bench.misbehaving().serve([Step::ReadHead, Step::say(ok)]);
    let not_found = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone"),
    ]);
    let issue = |spec: Spec| Misbehaving::new(&bench.pki.root.issue(spec), &[]);
    let script = || [Step::ReadHead, Step::say(ok)];
    let wrong_name = issue(Spec::server(&["other.example"])).serve(script());
    let expired = issue(Spec::server(&["localhost"]).expired()).serve(script());
    let other_root = Spec::authority("Other Root").self_signed();
    let stranger = other_root.issue(Spec::server(&["localhost"]));
    let untrusted = Misbehaving::new(&stranger, &[]).serve(script());
    let plain = plain_server();
    let nobody = free_address();
    let empty = bench.path("empty.pem");
    fs::write(&empty, "").unwrap();

    let good_url = good.url("/");
    let url = |address: SocketAddr| format!("https://localhost:{}/", address.port());
    let cases: Vec<(&str, Vec<String>, i32, &str)> = vec![
        ("good", vec![good_url.clone()], 0, ""),
        ("404", vec![not_found.url("/")], 0, ""),
        (
            "404 -f",
            vec!["-f".into(), not_found.url("/")],
            22,
            "[http-status]",
        ),
        (
            "usage",
            vec!["--no-such-flag".into(), good_url.clone()],
            2,
            "--no-such-flag",
        ),
        ("no url", vec![], 2, "URL"),
        ("bad url", vec!["https://".into()], 3, "[invalid-url]"),
        (
            "bad port",
            vec!["https://localhost:99999/".into()],
            3,
            "[invalid-url]",
        ),
        (
            "plain http",
            vec!["http://localhost/".into()],
            1,
            "[plain-http]",
        ),
        (
            "ftp",
            vec!["ftp://localhost/".into()],
            1,
            "[unsupported-scheme]",
        ),
        (
            "resolve",
            vec!["https://nothing.invalid/".into()],
            6,
            "[name-not-resolved]",
        ),
        ("refused", vec![url(nobody)], 7, "[connection-refused]"),
        ("not TLS", vec![url(plain)], 35, "[not-tls]"),
        (
            "wrong name",
            vec![wrong_name.url("/")],
            60,
            "[name-mismatch]",
        ),
        (
            "expired",
            vec![expired.url("/")],
            60,
            "[certificate-expired]",
        ),
        (
            "untrusted",
            vec![untrusted.url("/")],
            60,
            "[unknown-issuer]",
        ),
        (
            "pin",
            vec![
                "--pin".into(),
                "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into(),
                good_url.clone(),
            ],
            60,
            "[pin-mismatch]",
        ),
        (
            "no CA file",
            vec![
                "--cacert".into(),
                bench.path("nothing").display().to_string(),
                good_url.clone(),
            ],
            77,
            "",
        ),
        (
            "empty CA file",
            vec![
                "--cacert".into(),
                empty.display().to_string(),
                good_url.clone(),
            ],
            77,
            "",
        ),
        (
            "own certificate",
            vec![
                "--cert".into(),
                bench.path("nothing").display().to_string(),
                good_url.clone(),
            ],
            58,
            "",
        ),
        (
            "no such directory",
            vec![
                "-o".into(),
                bench.path("no/such").display().to_string(),
                good_url.clone(),
            ],
            23,
            "[file-unusable]",
        ),
        (
            "no name",
            vec!["-O".into(), good_url.clone()],
            23,
            "[no-remote-name]",
        ),
        (
            "data file",
            vec!["-d".into(), "@/no/such/file".into(), good_url],
            26,
            "",
        ),
    ];
    for (name, args, expected, id) in cases {
        let finished = bench.get(&args);
        assert_eq!(code(&finished), expected, "{name}: {finished}");
        assert!(finished.err().contains(id), "{name}: {finished}");
        if expected > 2 {
            // -s says nothing, -sS says it.
            let mut silent = vec!["-s".to_owned()];
            silent.extend(args.clone());
            let finished = bench.get(&silent);
            assert_eq!(
                (code(&finished), finished.err()),
                (expected, String::new()),
                "{name}"
            );
        }
    }
}

/// A server that answers in the clear, whatever it is asked.
fn plain_server() -> SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    address
}

#[test]
fn a12_insecure_warns_loudly_even_when_silent() {
    let bench = Bench::new();
    let stranger = Pki::new().server(&["other.example"]);
    let server = Misbehaving::new(&stranger, &[]).serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ]);
    let finished = bench.get(["-s", "--insecure", &server.url("/")]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(finished.out(), "ok");
    assert!(finished.err().contains("NOT verified"), "{finished}");
}

#[test]
fn resolve_leads_elsewhere_and_the_name_still_counts() {
    let bench = Bench::new();
    let shop = Misbehaving::new(&bench.pki.server(&["shop.example"]), &[]);
    let server = shop.serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ]);
    let port = server.address().port();
    for (name, expected) in [("shop.example", 0), ("bank.example", 60)] {
        let finished = bench.get([
            "--resolve",
            &format!("{name}:{port}:127.0.0.1"),
            &format!("https://{name}:{port}/"),
        ]);
        assert_eq!(code(&finished), expected, "{finished}");
    }
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    use std::io::Read;
    use std::process::Stdio;
    let bench = Bench::new();
    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\n\r\n"),
        Step::Forever(vec![b'x'; 16 * 1024]),
    ]);
    let mut child = bench
        .command("get")
        .args(bench.trust())
        .arg(server.url("/"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a9_verbose_tells_every_phase() {
    let bench = Bench::new();
    let server = bench.misbehaving().serve([
        Step::ReadHead,
        Step::say("HTTP/1.1 200 OK\r\nset-cookie: s3cret\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"),
        Step::CloseNotify,
        Step::Fin,
    ]);
    let finished = bench.get(["-v", &server.url("/path")]);
    assert_eq!(code(&finished), 0, "{finished}");
    let said = finished.err();
    let mut rest = said.as_str();
    for part in [
        "resolve: localhost",
        "connect: 127.0.0.1:",
        "handshake: TLS 1.3",
        "verified as localhost",
        "names:   localhost, 127.0.0.1",
        "anchor:  O=handfast tests, CN=Test Root",
        "> GET https://localhost",
        "< HTTP/1.1 200 OK",
        "set-cookie: (hidden)",
        "content-length: 2",
        "response: whole, 2 bytes",
        "end: close_notify",
        "close: 127.0.0.1:",
        "complete",
    ] {
        let place = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part} is missing in {said}"));
        rest = &rest[place..];
    }
}

#[test]
fn a26_client_certificates_with_and_without_a_passphrase() {
    let bench = Bench::new();
    let server = bench
        .pki
        .server(&["localhost"])
        .write(bench.directory(), "server", &[]);
    let client = bench
        .pki
        .client("ada")
        .write(bench.directory(), "client", &[]);
    let locked = bench.path("locked.key");
    let Some(openssl) = Program::new("openssl") else {
        return;
    };
    let made = openssl
        .args(["pkcs8", "-topk8", "-passout", "pass:s3cret", "-in"])
        .arg(&client.key_pem)
        .arg("-out")
        .arg(&locked)
        .run();
    assert!(made.succeeded(), "{made}");
    let Some(server) = Nginx::launch(bench.directory(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; server_name localhost; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {};\
             ssl_certificate_key {}; ssl_client_certificate {}; ssl_verify_client on;\
             return 200 $ssl_client_s_dn; }}",
            server.chain_pem.display(),
            server.key_pem.display(),
            bench.ca.display()
        )
    }) else {
        return;
    };
    let url = format!("https://localhost:{}/", server.address().port());
    let cert = client.chain_pem.to_str().unwrap();
    let (key, locked) = (client.key_pem.to_str().unwrap(), locked.to_str().unwrap());
    for tls in ["1.2", "1.3"] {
        for extra in [&[][..], &["--http1.1"]] {
            let mut base = vec!["--tls-max", tls, "--cert", cert];
            base.extend_from_slice(extra);
            let with = |more: &[&str]| bench.get(base.iter().chain(more));
            let plain = with(&["--key", key, &url]);
            assert_eq!(
                (code(&plain), plain.out().as_str()),
                (0, "O=handfast tests,CN=ada"),
                "{plain}"
            );
            let unlocked = with(&["--key", locked, "--pass", "pass:s3cret", &url]);
            assert_eq!(code(&unlocked), 0, "{unlocked}");
            let wrong = with(&["--key", locked, "--pass", "pass:wrong", &url]);
            assert_eq!(code(&wrong), 58, "{wrong}");
            assert!(wrong.err().contains("wrong-passphrase"), "{wrong}");
        }
        // nginx shakes hands all the same, and answers 400.
        let without = bench.get(["--tls-max", tls, "-f", &url]);
        assert_eq!(code(&without), 22, "{without}");
    }
}

#[test]
fn nginx_over_both_versions_of_http_and_tls() {
    let bench = Bench::new();
    let files = bench
        .pki
        .server(&["localhost"])
        .write(bench.directory(), "server", &[]);
    let root = bench.path("www");
    fs::create_dir(&root).unwrap();
    let big: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(root.join("big"), &big).unwrap();
    let Some(server) = Nginx::launch(bench.directory(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {}; ssl_certificate_key {};\
             root {}; location /moved {{ return 301 /big; }} location /echo {{ return 200 $request_method; }} }}",
            files.chain_pem.display(),
            files.key_pem.display(),
            root.display()
        )
    }) else {
        return;
    };
    let base = format!("https://localhost:{}", server.address().port());
    let target = bench.path("big");
    for tls in ["1.2", "1.3"] {
        for (http, name) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
            let _ = fs::remove_file(&target);
            let finished = bench.get([
                OsStr::new("-vL"),
                OsStr::new("--tls-max"),
                OsStr::new(tls),
                OsStr::new(http),
                OsStr::new("-o"),
                target.as_os_str(),
                format!("{base}/moved").as_ref(),
            ]);
            assert_eq!(code(&finished), 0, "{finished}");
            assert_eq!(fs::read(&target).unwrap(), big);
            let said = finished.err();
            assert!(said.contains(&format!("< {name} 301")), "{said}");
            assert!(said.contains(&format!("handshake: TLS {tls}")), "{said}");
            assert!(said.contains("is used again"), "{said}");
            // nginx ends idle connections without close_notify, and the program says so.
            assert!(said.contains(": sent only"), "{said}");
            let posted = bench.get(["--tls-max", tls, http, "-d", "x", &format!("{base}/echo")]);
            assert_eq!(
                (code(&posted), posted.out().as_str()),
                (0, "POST"),
                "{posted}"
            );
            let missing = bench.get(["-f", &format!("{base}/no")]);
            assert_eq!(code(&missing), 22, "{missing}");
        }
    }
}

#[test]
fn openssl_and_gnutls_serve_pages() {
    let bench = Bench::new();
    let files = bench
        .pki
        .server(&["localhost"])
        .write(bench.directory(), "server", &[]);
    let (chain, key) = (
        files.chain_pem.to_str().unwrap(),
        files.key_pem.to_str().unwrap(),
    );
    let openssl = OpensslServer::launch(&["-www", "-cert", chain, "-key", key]);
    let gnutls = GnutlsServer::launch(&["--http", "--x509certfile", chain, "--x509keyfile", key]);
    let pages = [
        openssl
            .as_ref()
            .map(|server| (server.address(), "s_server")),
        gnutls.as_ref().map(|server| (server.address(), "GnuTLS")),
    ];
    for (address, text) in pages.into_iter().flatten() {
        for tls in ["1.2", "1.3"] {
            let url = format!("https://localhost:{}/", address.port());
            let finished = bench.get(["-v", "--tls-max", tls, &url]);
            assert_eq!(code(&finished), 0, "{finished}");
            assert!(finished.out().contains(text), "{finished}");
            assert!(
                finished.err().contains(&format!("handshake: TLS {tls}")),
                "{finished}"
            );
        }
    }
}

#[test]
fn a25_a_session_is_taken_up_again_and_said_to_be() {
    let bench = Bench::new();
    let files = bench
        .pki
        .server(&["localhost"])
        .write(bench.directory(), "server", &[]);
    let (chain, key) = (
        files.chain_pem.to_str().unwrap(),
        files.key_pem.to_str().unwrap(),
    );
    // Closes after every response; serves files of the directory that the tests run in.
    let Some(server) = OpensslServer::launch(&["-WWW", "-cert", chain, "-key", key]) else {
        return;
    };
    let url = format!("https://localhost:{}/Cargo.toml", server.address().port());
    let file = fs::read_to_string("Cargo.toml").unwrap();
    for tls in ["1.2", "1.3"] {
        let finished = bench.get(["-v", "--tls-max", tls, &url, &url]);
        assert_eq!(code(&finished), 0, "{finished}");
        assert_eq!(finished.out(), file.repeat(2));
        assert_eq!(finished.err().matches(", resumed").count(), 1, "{finished}");
        // A resumed session has shown no certificate, and is verified all the same.
        assert_eq!(
            finished.err().matches("verified as localhost").count(),
            2,
            "{finished}"
        );
    }
}
