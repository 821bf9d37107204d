//! Several URLs in one `handfast get`: several at once, failures among them, `--next`.

use std::fs;
#[cfg(target_os = "linux")]
use std::io::Read as _;
use std::time::Duration;

use handfast_testbed::launch::Running;
use handfast_testbed::misbehaving::{Step, http2};

use super::code;
use crate::common::Fixture;

/// `handfast serve`, with a file for each number.
struct Files {
    _running: Running,
    base: String,
}

const COUNT: usize = 60;

impl Files {
    fn serve(fixture: &Fixture) -> Self {
        let directory = fixture.path("public");
        fs::create_dir(&directory).unwrap();
        for number in 1..=COUNT {
            fs::write(directory.join(format!("{number:02}")), text(number)).unwrap();
        }
        fs::write(directory.join("large"), "x".repeat(300_000)).unwrap();
        let running = fixture
            .program("serve")
            .args(["--listen", "127.0.0.1:0", "--cert"])
            .arg(&fixture.chain)
            .arg("--key")
            .arg(&fixture.key)
            .arg(&directory)
            .start();
        let port = running.wait_until(Duration::from_secs(60), |output| {
            let (_, rest) = output.split_once("listening on https://127.0.0.1:")?;
            rest.split_once('/')?.0.parse::<u16>().ok()
        });
        let port = port.unwrap_or_else(|| panic!("{}", running.output()));
        Self {
            _running: running,
            base: format!("https://localhost:{port}"),
        }
    }
}

fn text(number: usize) -> String {
    format!("file {number}\n")
}

#[test]
fn what_is_fetched_at_once_comes_in_order() {
    let fixture = Fixture::new();
    let files = Files::serve(&fixture);
    let url = format!("{}/[01-{COUNT}]", files.base);
    let expected: String = (1..=COUNT).map(text).collect();
    for http in ["--http1.1", "--http2"] {
        let finished = fixture.get(["-Z", http, "--parallel-max", "20", &url]);
        assert_eq!(
            (code(&finished), finished.out()),
            (0, expected.clone()),
            "{http}"
        );
    }
    // A large one waits on the disk, or is waited for; what is said of each stands behind it.
    let urls = [
        format!("{}/large", files.base),
        format!("{}/{{01,02}}", files.base),
        format!("{}/large", files.base),
    ];
    let [one, two, three] = &urls;
    let format = "<%{size_download}>";
    let finished = fixture.get(["-Z", "-w", format, one, two, three]);
    let large = format!("{}<300000>", "x".repeat(300_000));
    let expected = format!("{large}file 1\n<7>file 2\n<7>{large}");
    assert!(finished.out() == expected, "{}", finished.err());
}

#[test]
fn heads_on_stdout_stand_before_their_bodies_also_when_several_come_at_once() {
    let fixture = Fixture::new();
    let files = Files::serve(&fixture);
    let url = format!("{}/[01-{COUNT}]", files.base);
    for args in [&["-D", "-"][..], &["-i"]] {
        let finished =
            fixture.get([args, &["-Z", "--http1.1", "--parallel-max", "20", &url]].concat());
        assert_eq!(code(&finished), 0, "{finished}");
        let out = finished.out();
        let replies: Vec<_> = out.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
        assert_eq!(replies.len(), COUNT, "{args:?}: {out}");
        for (number, reply) in (1..).zip(replies) {
            let body = reply.split_once("\r\n\r\n").map(|(_, body)| body);
            assert_eq!(body, Some(&*text(number)), "{args:?}: {out}");
        }
    }
}

#[test]
fn those_of_one_server_share_a_connection() {
    let fixture = Fixture::new();
    let files = Files::serve(&fixture);
    let report = fixture.path("report");
    let url = format!("{}/[01-40]", files.base);
    let finished = fixture.get([
        "-Z",
        "-s",
        "-o",
        "/dev/null",
        "--json-report",
        report.to_str().unwrap(),
        &url,
    ]);
    assert_eq!(code(&finished), 0, "{finished}");
    let text = fs::read_to_string(report).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 40);
    for line in lines {
        assert_eq!(
            (&line["connection"]["number"], &line["version"]),
            (&1.into(), &"HTTP/2".into()),
            "{line}"
        );
        assert_eq!(line["verdict"], "complete");
    }
}

#[test]
fn several_requests_are_under_way_at_once() {
    let fixture = Fixture::new();
    let head = |stream| http2::headers(stream, &[], false);
    // The first is answered after the second was requested.
    let server = fixture.misbehaving().alpn(&["h2"]).serve([
        Step::send(http2::settings()),
        Step::ReadHttp2Request,
        Step::ReadHttp2Request,
        Step::send(
            [
                head(3),
                http2::data(3, b"two", true),
                head(1),
                http2::data(1, b"one", true),
            ]
            .concat(),
        ),
        Step::ReadToEnd,
    ]);
    let finished = fixture.get(["-Z", &server.url("/1"), &server.url("/2")]);
    assert_eq!(
        (code(&finished), finished.out().as_str()),
        (0, "onetwo"),
        "{finished}"
    );
}

#[test]
fn a_failure_does_not_hold_up_the_others_unless_it_is_to() {
    let fixture = Fixture::new();
    let files = Files::serve(&fixture);
    let good = format!("{}/01", files.base);
    // Nothing listens on port 1.
    let bad = "https://localhost:1/";
    for (options, urls, expected, out) in [
        (&[][..], [bad, good.as_str()], 0, "file 1\n"),
        (&[], [&good, bad], 7, "file 1\n"),
        (&["-Z"], [bad, &good], 7, "file 1\n"),
        (&["--fail-early"], [bad, &good], 7, ""),
        (&["--fail-early"], ["http://localhost/", &good], 1, ""),
        (&[], ["https://[nonsense", &good], 0, "file 1\n"),
    ] {
        let args = [
            options,
            if urls[0].contains("[non") {
                &["-g"]
            } else {
                &[]
            },
            &urls,
        ]
        .concat();
        let finished = fixture.get(&args);
        assert_eq!(
            (code(&finished), finished.out().as_str()),
            (expected, out),
            "{args:?} {finished}"
        );
        assert_eq!(
            finished.err().matches("handfast: ").count(),
            1,
            "{args:?} {finished}"
        );
    }
}

#[test]
fn what_stands_after_next_has_options_of_its_own() {
    let fixture = Fixture::new();
    let files = Files::serve(&fixture);
    let trust = fixture.trust();
    let ca = trust.last().unwrap().to_str().unwrap();
    let (one, two) = (format!("{}/01", files.base), format!("{}/02", files.base));
    let run = |between: &str| {
        fixture.get([
            "-s",
            "-w",
            "%{method} %{http_code}\\n",
            "-I",
            &one,
            between,
            "-s",
            "--cacert",
            ca,
            "-w",
            "%{urlnum} %{method}\\n",
            &two,
        ])
    };
    for between in ["--next", "-:"] {
        let finished = run(between);
        let out = finished.out();
        assert!(
            out.starts_with("HTTP/2.0 200") && out.contains("HEAD 200\n"),
            "{finished}"
        );
        assert!(out.ends_with("file 2\n0 GET\n"), "{finished}");
        assert_eq!(code(&finished), 0, "{finished}");
    }
    // It is no value of another option.
    let data = fixture.get(["-s", "-G", "-d", "--next", &one]);
    assert_eq!(data.out(), text(1), "{data}");
    let nothing = fixture.get([&one, "--next"]);
    assert_eq!(code(&nothing), 2, "{nothing}");
}

/// The most memory that fetching one URL so many times takes, in bytes: looked at while a last one is waited for.
#[cfg(target_os = "linux")]
fn memory_of(fixture: &Fixture, files: &Files, count: usize, options: &[&str]) -> u64 {
    let last = fixture.misbehaving().serve(vec![Step::ReadToEnd]);
    let mut get = fixture
        .command("get")
        .args(fixture.trust())
        .arg("-s")
        .args(options)
        .args([format!("{}/01?[1-{count}]", files.base), last.url("/")])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut bodies = vec![0; count * text(1).len()];
    let read = get.stdout.take().unwrap().read_exact(&mut bodies);
    let status = fs::read_to_string(format!("/proc/{}/status", get.id()));
    get.kill().unwrap();
    get.wait().unwrap();
    read.unwrap();
    let status = status.unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
    kilobytes.unwrap().parse::<u64>().unwrap() * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_does_not_depend_on_how_many_urls_a_pattern_stands_for() {
    // What is kept of a transfer, its URL and the fields of its response, takes more than a kilobyte: of 2,000 more, that would be
    // twice as much as is allowed.
    const ALLOWED: u64 = 1024 * 1024;
    let fixture = Fixture::new();
    let files = Files::serve(&fixture);
    for options in [&["--http1.1"][..], &["--http2", "-Z"]] {
        let [few, many] = [500, 2500].map(|count| memory_of(&fixture, &files, count, options));
        assert!(many < few + ALLOWED, "{options:?}: {few}, {many}");
    }
}
