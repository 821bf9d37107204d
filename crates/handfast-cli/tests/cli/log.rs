//! The access log of `serve`, in each format and at each place.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use handfast_testbed::launch::{Program, Running};
use handfast_testbed::peers;
use handfast_testbed::pki::Pki;
use serde_json::Value;

use crate::common::Fixture;

const PATIENCE: Duration = Duration::from_secs(20);

struct Place {
    fixture: Fixture,
}

struct Serving {
    running: Running,
    port: u16,
}

impl Place {
    fn new() -> Self {
        let fixture = Fixture::new();
        fs::create_dir(fixture.path("public")).unwrap();
        fixture.write("public/f.txt", "served\n");
        Self { fixture }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.fixture.path(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn program(&self, more: &[&str]) -> Program {
        self.fixture
            .program("serve")
            .args(["--listen", "127.0.0.1:0", "--cert"])
            .arg(&self.fixture.chain)
            .arg("--key")
            .arg(&self.fixture.key)
            .args(more)
            .arg(self.path("public"))
    }

    fn serve(&self, more: &[&str]) -> Serving {
        serving(self.program(more).start())
    }

    /// curl with these arguments, to a path of the server.
    fn curl(&self, server: &Serving, path: &str, more: &[&str]) -> Option<()> {
        let finished = Program::new("curl")?
            .args(["-sS", "-o", "/dev/null", "--path-as-is", "--cacert"])
            .arg(&self.fixture.ca)
            .args(more)
            .arg(server.url(path))
            .run();
        assert!(finished.succeeded(), "{finished}");
        Some(())
    }
}

impl Serving {
    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    fn signal(&self, name: &str) {
        let id = self.running.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success());
    }

    fn stop(&mut self) {
        self.signal("TERM");
        let status = self.running.wait(PATIENCE).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.running.output());
    }
}

/// Once clients can connect to it.
fn serving(running: Running) -> Serving {
    let port = running
        .wait_until(PATIENCE, |output| {
            let (_, rest) = output.split_once("listening on https://127.0.0.1:")?;
            rest.split_once("/\n")?.0.parse().ok()
        })
        .unwrap_or_else(|| panic!("{}", running.output()));
    Serving { running, port }
}

/// Waits until a file is as it should be.
fn wait_for(path: &Path, good: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if good(&text) {
            return text;
        }
        assert!(Instant::now() < deadline, "{}: {text}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The fields of a line in the combined format, as analysers read them: by blanks, brackets and quotes, in
/// which a backslash escapes.
fn combined(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = line.chars().peekable();
    while let Some(first) = rest.next() {
        let (mut field, end) = match first {
            '[' => (String::new(), ']'),
            '"' => (String::new(), '"'),
            other => (other.to_string(), ' '),
        };
        while let Some(character) = rest.next() {
            if character == end {
                break;
            }
            field.push(character);
            if character == '\\' {
                field.extend(rest.next());
            }
        }
        if end != ' ' {
            assert!(matches!(rest.next(), None | Some(' ')), "{line}");
        }
        fields.push(field);
    }
    fields
}

#[test]
fn the_combined_format_is_that_of_other_servers() {
    let place = Place::new();
    let file = place.text("access.log");
    let mut server = place.serve(&["--log", &file, "--log-format", "combined"]);
    let agent = "a \"b\\\" \u{20ac}";
    for (path, more) in [
        ("/f.txt", &["-A", agent, "-e", "https://a/?q=\"x\""][..]),
        ("/no%20such?q='", &["--http1.1", "-A", ""]),
    ] {
        if place.curl(&server, path, more).is_none() {
            return;
        }
    }
    // What is no request goes to stderr.
    drop(std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap());
    server
        .running
        .expect_output("[closed-without-a-byte]", PATIENCE);
    server.stop();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<Vec<String>> = text.lines().map(combined).collect();
    assert_eq!(lines.len(), 2, "{text}");
    let expected = [
        [
            "GET /f.txt HTTP/2.0",
            "200",
            "7",
            "https://a/?q=\\\"x\\\"",
            "a \\\"b\\\\\\\" \\xe2\\x82\\xac",
        ],
        ["GET /no%20such?q=' HTTP/1.1", "404", "", "-", "-"],
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert_eq!(line.len(), 9, "{line:?}");
        assert_eq!(line[..3], ["127.0.0.1", "-", "-"], "{line:?}");
        let time = &line[3];
        assert!(
            time.len() == 26 && time.ends_with(" +0000") && &time[2..3] == "/",
            "{time}"
        );
        for (got, expected) in line[4..].iter().zip(expected) {
            assert!(expected.is_empty() || got == expected, "{line:?}");
        }
        assert!(line[6].parse::<u64>().is_ok());
    }
    assert!(!server.running.output().contains("GET /"));
    // An independent reader.
    let Some(goaccess) = peers::require("goaccess") else {
        return;
    };
    let finished = Program::at(goaccess)
        .args([&file, "--log-format=COMBINED", "-o", "json"])
        .run();
    let read: Value = serde_json::from_str(&finished.out()).unwrap();
    assert_eq!(read["general"]["valid_requests"], 2, "{finished}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_delays_nothing_and_what_it_loses_is_counted() {
    let place = Place::new();
    std::os::unix::fs::symlink("/dev/full", place.path("full.log")).unwrap();
    let file = place.text("full.log");
    let mut server = place.serve(&["--log", &file, "--quiet", "--status", "0"]);
    for _ in 0..3 {
        if place.curl(&server, "/f.txt", &[]).is_none() {
            return;
        }
    }
    server
        .running
        .expect_output("the access log cannot be written", PATIENCE);
    let output = server.running.output();
    let (_, status) = output
        .split_once("status page and /metrics on https://127.0.0.1:")
        .unwrap();
    let (port, _) = status.split_once('/').unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = place
            .fixture
            .program("get")
            .args(["--cacert"])
            .arg(&place.fixture.ca)
            .arg(format!("https://localhost:{port}/metrics"))
            .run();
        if metrics
            .out()
            .contains("handfast_log_lines_lost_total{log=\"access\"} 3\n")
        {
            break;
        }
        assert!(Instant::now() < deadline, "{metrics}");
    }
    server.stop();
    let output = server.running.output();
    let warned = output.matches("the access log cannot be written").count();
    assert_eq!(warned, 1, "{output}");
    assert!(
        output.contains("3 lines of the access log were lost"),
        "{output}"
    );
}

/// The document names every field that a line has, and a line has every field that the document names.
#[test]
fn json_lines_are_the_documented_ones() {
    let document = include_str!("../../../../docs/access-log.md");
    let audit = include_str!("../../../../docs/audit-json.md");
    let table = document.split("A request has").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let documented: Vec<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" |").next())
        .flat_map(|names| names.split(", "))
        .map(|name| name.trim_matches('`'))
        .collect();
    let place = Place::new();
    let alice = Pki::new();
    let files = alice
        .client("alice")
        .write(place.fixture.directory(), "alice", &[]);
    let root = alice.root.write(place.fixture.directory(), "clients", &[]);
    let (file, root) = (
        place.text("log.jsonl"),
        root.chain_pem.display().to_string(),
    );
    let mut server = place.serve(&[
        "--log",
        &file,
        "--log-format",
        "json",
        "--verbose",
        "--client-ca",
        &root,
    ]);
    let (cert, key) = (
        files.chain_pem.display().to_string(),
        files.key_pem.display().to_string(),
    );
    let more = [
        "--cert",
        &cert,
        "--key",
        &key,
        "-A",
        "agent \"1\"",
        "--http2",
    ];
    if place.curl(&server, "/f.txt?q=1", &more).is_none() {
        return;
    }
    drop(std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap());
    let path = place.path("log.jsonl");
    wait_for(&path, |text| text.lines().count() == 4);
    server.stop();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |event: &str| {
        let mut found = lines.iter().filter(|line| line["event"] == event);
        let line = found.next().unwrap_or_else(|| panic!("{event}: {text}"));
        assert!(found.next().is_none(), "{text}");
        line
    };
    let request = of("request");
    for name in &documented {
        assert!(request.get(name).is_some(), "{name}: {request}");
    }
    for name in request.as_object().unwrap().keys() {
        assert!(
            documented.contains(&name.as_str()),
            "{name} is not documented"
        );
    }
    for (name, value) in [
        ("client", Value::from("O=handfast tests, CN=alice")),
        ("server_name", "localhost".into()),
        ("version", "TLS 1.3".into()),
        ("alpn", "h2".into()),
        ("resumed", false.into()),
        ("method", "GET".into()),
        ("target", "/f.txt?q=1".into()),
        ("host", format!("localhost:{}", server.port).into()),
        ("protocol", "HTTP/2.0".into()),
        ("status", 200.into()),
        ("bytes", 7.into()),
        ("end", "complete".into()),
        ("abort", Value::Null),
        ("user", Value::Null),
        ("user_agent", "agent \"1\"".into()),
    ] {
        assert_eq!(request[name], value, "{name}: {request}");
    }
    for event in ["connection-opened", "connection-closed", "handshake-failed"] {
        for name in of(event).as_object().unwrap().keys() {
            let known = audit.contains(&format!("`{name}`")) || name == "handshake_ms";
            assert!(known, "{event}: {name} is not documented");
        }
        assert!(audit.contains(event));
    }
    assert_eq!(of("connection-opened")["connection"], request["connection"]);
    assert_eq!(of("connection-closed")["requests"], 1);
}

#[test]
fn a_file_is_private_continued_on_a_new_line_and_reopened_after_rotation() {
    let place = Place::new();
    let (file, path) = (place.text("access.log"), place.path("access.log"));
    let mut server = place.serve(&["--log", &file, "--quiet"]);
    if place.curl(&server, "/f.txt?one", &[]).is_none() {
        return;
    }
    wait_for(&path, |text| text.contains("?one"));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let rotated = place.path("access.log.1");
    fs::rename(&path, &rotated).unwrap();
    server.signal("HUP");
    wait_for(&path, |_| path.exists());
    place.curl(&server, "/f.txt?two", &[]);
    server.stop();
    assert_eq!(fs::read_to_string(&rotated).unwrap().lines().count(), 1);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("?two") && text.lines().count() == 1, "{text}");
    assert!(!server.running.output().contains("GET /"));
    // Left behind by a server that was killed.
    fs::write(&path, "half of a li").unwrap();
    let mut server = place.serve(&["--log", &file, "--quiet"]);
    place.curl(&server, "/f.txt?three", &[]);
    server.stop();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "half of a li"));
    assert!(lines[1].contains("\"GET /f.txt?three HTTP/"), "{text}");
}

#[test]
fn the_journal_gets_an_entry_with_fields_for_each_event() {
    let place = Place::new();
    let journal = UnixDatagram::bind(place.path("journal")).unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = format!("journal:{}", place.text("journal"));
    let server = place.serve(&["--log", &target]);
    let entry = || {
        let mut buffer = vec![0; 64 * 1024];
        let length = journal.recv(&mut buffer).unwrap();
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        assert!(text.ends_with('\n') && !text.contains("\n\n"), "{text:?}");
        let fields: Vec<(String, String)> = text
            .lines()
            .map(|line| line.split_once('=').unwrap_or_else(|| panic!("{text}")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        move |wanted: &str| {
            let field = fields.iter().find(|(name, _)| name == wanted);
            field.map(|(_, value)| value.clone())
        }
    };
    if place
        .curl(&server, "/f.txt?%0a", &["-A", "agent", "--http1.1"])
        .is_none()
    {
        return;
    }
    let request = entry();
    for (name, value) in [
        ("SYSLOG_IDENTIFIER", "handfast"),
        ("PRIORITY", "6"),
        ("HANDFAST_EVENT", "request"),
        ("HANDFAST_STATUS", "200"),
        ("HANDFAST_TARGET", "/f.txt?%0a"),
        ("HANDFAST_USER_AGENT", "agent"),
        ("HANDFAST_VERSION", "TLS 1.3"),
        ("HANDFAST_SERVER_NAME", "localhost"),
        ("HANDFAST_END", "complete"),
    ] {
        assert_eq!(request(name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(request("HANDFAST_USER"), None);
    let message = request("MESSAGE").unwrap();
    assert!(
        message.contains("\"GET /f.txt?%0a HTTP/1.1\" 200 7 "),
        "{message}"
    );
    drop(std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap());
    let failure = entry();
    assert_eq!(failure("PRIORITY").as_deref(), Some("4"));
    assert_eq!(
        failure("HANDFAST_CAUSE").as_deref(),
        Some("closed-without-a-byte")
    );
    // The journal is restarted: what came meanwhile is counted.
    fs::remove_file(place.path("journal")).unwrap();
    place.curl(&server, "/f.txt", &[]);
    server
        .running
        .expect_output("the journal cannot be written", PATIENCE);
    let journal = UnixDatagram::bind(place.path("journal")).unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    place.curl(&server, "/f.txt", &[]);
    let mut buffer = vec![0; 64 * 1024];
    let length = journal.recv(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(
        text.contains("HANDFAST_EVENT=lines-lost") && text.contains("HANDFAST_COUNT=1"),
        "{text}"
    );
    assert!(!server.running.output().contains("GET /"));
}

/// As with other servers: requests of a site are in its log and not in the common one.
#[test]
fn a_site_can_have_a_log_of_its_own() {
    let place = Place::new();
    let issued = place
        .fixture
        .pki
        .server(&["a.example", "b.example", "c.example", "d.example"]);
    let files = issued.write(place.fixture.directory(), "sites", &[]);
    fs::create_dir(place.path("logs")).unwrap();
    let configure = |sites: &[(&str, &str)]| {
        let mut text = format!(
            "[log]\nto = \"logs/common\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [[tls.certificate]]\nchain = \"{}\"\nkey = \"{}\"\n",
            files.chain_pem.display(),
            files.key_pem.display()
        );
        for (name, log) in sites {
            text += &format!("[[site]]\nnames = [\"{name}.example\"]\nroot = \"public\"\n{log}");
        }
        fs::write(place.path("next.toml"), text).unwrap();
        fs::rename(place.path("next.toml"), place.path("handfast.toml")).unwrap();
    };
    configure(&[
        ("a", "[site.log]\nto = \"logs/a\"\nformat = \"combined\"\n"),
        ("b", "[site.log]\nto = \"off\"\n"),
        ("c", "[site.log]\nformat = \"json\"\n"),
        ("d", ""),
    ]);
    let config = place.text("handfast.toml");
    let program = place.fixture.program("serve").args(["--config", &config]);
    let mut server = serving(program.start());
    let ask = |server: &Serving, name: &str, query: &str, version: &str| {
        let host = format!("{name}.example");
        let resolve = format!("{host}:{}:127.0.0.1", server.port);
        let finished = Program::new("curl")?
            .args(["-sS", "-o", "/dev/null", "--resolve", &resolve, version])
            .arg("--cacert")
            .arg(&place.fixture.ca)
            .arg(format!("https://{host}:{}/f.txt?{query}", server.port))
            .run();
        assert!(finished.succeeded(), "{finished}");
        Some(())
    };
    for name in ["a", "b", "c", "d"] {
        for version in ["--http1.1", "--http2"] {
            if ask(&server, name, &format!("{name}1"), version).is_none() {
                return;
            }
        }
    }
    let (common, own) = (place.path("logs/common"), place.path("logs/a"));
    wait_for(&own, |text| text.lines().count() == 2);
    wait_for(&common, |text| text.lines().count() == 4);
    // Rotated; and the second site has a log from now on, the first has none.
    fs::rename(&own, place.path("logs/a.1")).unwrap();
    fs::rename(&common, place.path("logs/common.1")).unwrap();
    configure(&[
        ("a", "[site.log]\nto = \"logs/a\"\nformat = \"combined\"\n"),
        ("b", "[site.log]\nto = \"logs/b\"\n"),
        ("c", ""),
        ("d", ""),
    ]);
    server.signal("HUP");
    server.running.expect_output("has changed\n", PATIENCE);
    wait_for(&own, |_| own.exists() && common.exists());
    for name in ["a", "b", "c", "d"] {
        ask(&server, name, &format!("{name}2"), "--http2");
    }
    configure(&[("a", ""), ("b", "[site.log]\nto = \"none/b\"\n")]);
    server.signal("HUP");
    server.running.expect_output("[log-unusable]", PATIENCE);
    ask(&server, "b", "b3", "--http1.1");
    server.stop();
    let text = |name: &str| fs::read_to_string(place.path("logs").join(name)).unwrap();
    for (name, expected) in [
        ("a.1", &["?a1", "?a1"][..]),
        ("a", &["?a2"]),
        ("b", &["?b2", "?b3"]),
        ("common", &["?c2", "?d2"]),
    ] {
        let text = text(name);
        assert_eq!(text.lines().count(), expected.len(), "{name}: {text}");
        // Each thread of the server hands over lines of its own.
        for query in expected {
            assert!(
                text.lines().any(|line| line.contains(query)),
                "{name}: {text}"
            );
        }
    }
    assert!(text("a").contains("\"curl/"));
    let common = text("common.1");
    assert_eq!(
        common.matches("\"target\":\"/f.txt?c1\"").count(),
        2,
        "{common}"
    );
    assert_eq!(common.matches("GET /f.txt?d1 HTTP").count(), 2, "{common}");
    assert!(!server.running.output().contains("GET /"));
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_before_listening() {
    let place = Place::new();
    for (target, what) in [
        (place.text("no/such.log"), "the access log"),
        (format!("journal:{}", place.text("none")), "the journal"),
    ] {
        let finished = place.program(&["--log", &target]).run();
        assert_eq!(
            (finished.code, finished.out()),
            (Some(23), String::new()),
            "{finished}"
        );
        assert!(finished.err().contains("[log-unusable]"), "{finished}");
        assert!(finished.err().contains(what), "{finished}");
    }
}

/// A reader that stops delays no request; what it missed is counted, and told when it reads again.
#[test]
fn a_reader_that_stops_delays_nothing_and_is_told_what_was_lost() {
    const REQUESTS: usize = 1500;
    let place = Place::new();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_handfast"));
    let mut server = serve
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--threads",
            "1",
            "--cert",
        ])
        .arg(&place.fixture.chain)
        .arg("--key")
        .arg(&place.fixture.key)
        .arg(place.path("public"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = server.stdout.take().unwrap();
    let mut first = Vec::new();
    while !first.ends_with(b"/\n") {
        let mut byte = [0];
        told.read_exact(&mut byte).unwrap();
        first.extend(byte);
    }
    let first = String::from_utf8(first).unwrap();
    let url = first.trim().rsplit(' ').next().unwrap().to_owned();
    // Each line has 8 KiB: 12 MiB in all.
    let long = format!("{url}f.txt?{}", "x".repeat(8192));
    let load = place
        .fixture
        .program("bench")
        .args([
            "--quiet",
            "--json",
            "-c",
            "4",
            "-n",
            &REQUESTS.to_string(),
            "--cacert",
        ])
        .arg(&place.fixture.ca)
        .arg(&long)
        .run();
    assert!(load.succeeded(), "{load}");
    let counted: Value = serde_json::from_str(&load.out()).unwrap();
    assert_eq!(counted["requests"]["complete"], REQUESTS);
    let mut stderr = server.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        text
    });
    // Once it is read again: the line that says so, and those after it.
    let deadline = Instant::now() + PATIENCE;
    let finished = place
        .fixture
        .program("get")
        .arg("--cacert")
        .arg(&place.fixture.ca)
        .arg(format!("{url}f.txt?last"))
        .run();
    assert!(finished.succeeded(), "{finished}");
    let id = server.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-s", "TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    while server.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
    let text = reader.join().unwrap();
    let (mut lost, mut written) = (0, 0);
    for line in text.lines() {
        if let Some((count, _)) = line.split_once(" lines were lost") {
            lost += count.parse::<usize>().unwrap();
        } else if line.contains("?xxx") && line.ends_with("ms") {
            written += 1;
        }
    }
    assert!(lost > 0 && written > 0, "{lost} lost, {written} written");
    assert_eq!(lost + written, REQUESTS);
    assert!(text.contains("?last"));
}

/// The lines of what was answered before are there, and that of the reply that was cut.
#[test]
fn the_second_signal_loses_no_line() {
    let place = Place::new();
    fs::File::create(place.path("public/large"))
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let file = place.text("access.log");
    let mut server = place.serve(&["--grace", "600", "--log", &file]);
    let Some(mut client) = downloading(&place, &server, "--http1.1") else {
        return;
    };
    let deadline = Instant::now() + PATIENCE;
    for number in 0..20 {
        place.curl(&server, &format!("/f.txt?{number}"), &[]);
    }
    server.signal("TERM");
    while std::net::TcpStream::connect(("127.0.0.1", server.port)).is_ok() {
        assert!(Instant::now() < deadline, "it still accepts");
    }
    server.signal("TERM");
    assert_eq!(server.running.wait(PATIENCE).unwrap().code(), Some(0));
    let text = fs::read_to_string(&file).unwrap();
    for number in 0..20 {
        assert!(
            text.contains(&format!("\"GET /f.txt?{number} HTTP/")),
            "{number}: {text}"
        );
    }
    assert!(
        text.contains("\"GET /large HTTP/") && text.contains("ABORTED"),
        "{text}"
    );
    let _ = client.wait(PATIENCE);
}

/// Starts curl on a large file and waits until some of it has come. `None`: it is not installed.
fn downloading(place: &Place, server: &Serving, version: &str) -> Option<Running> {
    let target = place.path("partial");
    let _ = fs::remove_file(&target);
    let client = Program::new("curl")?
        .args(["-sS", "-N", "--limit-rate", "1M", version, "--cacert"])
        .arg(&place.fixture.ca)
        .arg("-o")
        .arg(&target)
        .arg(server.url("/large"))
        .start();
    let deadline = Instant::now() + PATIENCE;
    while fs::metadata(&target).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(Instant::now() < deadline, "{}", client.output());
        std::thread::yield_now();
    }
    Some(client)
}

/// Sends a signal to a client.
fn signal(client: &Running, name: &str) {
    let id = client.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn what_is_cut_is_logged_with_its_reason() {
    let place = Place::new();
    let large = fs::File::create(place.path("public/large")).unwrap();
    large.set_len(1 << 30).unwrap();
    place
        .fixture
        .write("handfast.toml", "[limits]\nwrite = \"1s\"\n");
    let config = place.text("handfast.toml");
    for format in ["handfast", "combined", "json"] {
        let file = place.text(&format!("{format}.log"));
        let arguments = ["--config", &config, "--log", &file, "--log-format", format];
        let mut server = place.serve(&arguments);
        // One that reads nothing more, one that is gone, one whose server stops.
        let Some(slow) = downloading(&place, &server, "--http1.1") else {
            return;
        };
        signal(&slow, "STOP");
        let gone = downloading(&place, &server, "--http1.1").unwrap();
        signal(&gone, "KILL");
        let logged = |server: &Serving| {
            fs::read_to_string(&file).unwrap_or_default() + &server.running.output()
        };
        let expected: &[&str] = match format {
            "json" => &[
                "\"abort\":\"stalled\"",
                "\"cause\":\"stalled\"",
                "\"cause\":\"broken-off\"",
            ],
            "combined" => &[
                "connection closed: the client took",
                "connection closed: aborted: ",
            ],
            _ => &[
                "ABORTED: the client took too little\n",
                "connection closed: aborted: ",
            ],
        };
        let deadline = Instant::now() + PATIENCE;
        for what in expected {
            while !logged(&server).contains(what) {
                let missing = Instant::now() > deadline;
                assert!(!missing, "{format}: {what}: {}", logged(&server));
                std::thread::yield_now();
            }
        }
        signal(&slow, "KILL");
        let stopped = downloading(&place, &server, "--http2").unwrap();
        server.signal("TERM");
        server.signal("TERM");
        assert_eq!(server.running.wait(PATIENCE).unwrap().code(), Some(0));
        let what = match format {
            "json" => "\"abort\":\"stopped\"",
            "combined" => "connection closed: server stopped",
            _ => "ABORTED: the server stopped",
        };
        let text = logged(&server);
        assert!(text.contains(what), "{format}: {what}: {text}");
        drop(stopped);
    }
}
