//! `--retry`: what is tried again, and what is not.

use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

const BUSY: &str = "HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nbusy";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf";

/// One reply after the other, each over a connection of its own.
fn scripts(replies: &[&str]) -> Vec<Vec<Step>> {
    let script = |reply: &&str| {
        vec![
            Step::ReadRequest,
            Step::send(*reply),
            Step::CloseNotify,
            Step::Fin,
        ]
    };
    replies.iter().map(script).collect()
}

#[test]
fn transient_statuses_are_retried() {
    let fixture = Fixture::new();
    let file = fixture.write("file", "content").display().to_string();
    for (args, replies, expected, out) in [
        (&["--retry", "2"][..], &[BUSY, BUSY, OK][..], 0, "ok"),
        (&["--retry", "2", "-f"], &[BUSY, BUSY, OK], 0, "ok"),
        (&["--retry", "2", "-T", &file], &[BUSY, OK], 0, "ok"),
        (&["--retry", "1"], &[BUSY, BUSY], 0, "busy"),
        (&["--retry", "1", "-f"], &[BUSY, BUSY], 22, ""),
        (&["-f"], &[BUSY], 22, ""),
        // What stdout has cannot be taken back.
        (
            &["--retry", "1", "--retry-all-errors"],
            &[CUT, OK],
            18,
            "half",
        ),
        // The rest of stdin is not there any more.
        (&["--retry", "1", "-f", "-T", "-"], &[BUSY, OK], 22, ""),
    ] {
        let server = fixture.misbehaving().serve_each(scripts(replies));
        let url = server.url("/");
        let args = [args, &["--retry-delay", "0.01", &url]].concat();
        let finished = fixture.get(&args);
        assert_eq!(
            (code(&finished), finished.out()),
            (expected, out.into()),
            "{args:?}: {finished}"
        );
        let retried = finished.err().contains("trying again in 10ms");
        assert_eq!(retried, server.connections() > 1, "{args:?}: {finished}");
    }
}

#[test]
fn a_file_that_was_cut_off_is_fetched_again() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve_each(scripts(&[CUT, OK]));
    let file = fixture.path("out");
    let url = server.url("/");
    let name = file.display().to_string();
    let args = [
        "--retry",
        "1",
        "--retry-all-errors",
        "--retry-delay",
        "0.01",
        "-o",
        &name,
        &url,
    ];
    let finished = fixture.get(args);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "ok");
}

#[test]
fn refused_connections_are_retried_only_if_asked() {
    let fixture = Fixture::new();
    let url = format!("https://{}/", handfast_testbed::launch::free_address());
    for (option, tries) in [("--fail", 0), ("--retry-connrefused", 2)] {
        let finished = fixture.get(["--retry", "2", "--retry-delay", "0.01", option, &url]);
        assert_eq!(code(&finished), 7, "{finished}");
        assert_eq!(
            finished.err().matches("trying again").count(),
            tries,
            "{finished}"
        );
    }
}
