//! What `handfast get` reports of transfers: `-w`, the JSON report, the HTTP archive, traces, the waterfall.

use std::fs;

use handfast_testbed::launch::Program;
use handfast_testbed::misbehaving::{Misbehaving, Served, Step};
use handfast_testbed::pki::{Pki, Spec};
use serde_json::Value;

use crate::common::Fixture;

fn redirecting(fixture: &Fixture) -> Served {
    fixture.misbehaving().serve([
        Step::ReadRequest,
        Step::send("HTTP/1.1 302 Found\r\nlocation: /b?q=1\r\ncontent-length: 3\r\n\r\ngo!"),
        Step::ReadRequest,
        Step::send(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-two: 1\r\nx-two: 2\r\nset-cookie: s3cret\r\n\
             content-length: 5\r\n\r\nhello",
        ),
        Step::CloseNotify,
        Step::Fin,
    ])
}

fn truncating(fixture: &Fixture) -> Served {
    fixture.misbehaving().serve([
        Step::ReadRequest,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"),
        Step::CloseNotify,
        Step::Fin,
    ])
}

fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn without_verification_its_result_is_what_it_would_have_been() {
    let fixture = Fixture::new();
    let stranger = Pki::new();
    let of = |spec: Spec| fixture.pki.root.issue(spec);
    for (identity, expected, is_curls) in [
        // Without verification curl reads no authorities.
        (of(Spec::server(&["localhost"])), 0, false),
        (stranger.server(&["localhost"]), 20, true),
        (of(Spec::server(&["localhost"]).expired()), 10, false),
        (Spec::server(&["localhost"]).self_signed(), 18, true),
        // curl compares names without OpenSSL.
        (of(Spec::server(&["other.example"])), 62, false),
    ] {
        for name in ["ours", "curl"] {
            if name == "curl" && (!is_curls || Program::new("curl").is_none()) {
                continue;
            }
            // The second connection may resume the session of the first.
            let server = Misbehaving::new(&identity, &[]).serve([
                Step::ReadHead,
                Step::send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
                Step::CloseNotify,
                Step::Fin,
            ]);
            let finished = fixture
                .client(name)
                .args(["-ks", "-w", "%{ssl_verify_result} "])
                .args([server.url("/"), server.url("/")])
                .run();
            let told = finished.out();
            let first = told.split(' ').next();
            assert_eq!(
                first,
                Some(expected.to_string().as_str()),
                "{name}: {finished}"
            );
            if name == "ours" {
                assert_eq!(told, format!("{expected} {expected} "), "{finished}");
            }
        }
    }
}

#[test]
fn every_time_is_there_and_they_are_in_order() {
    let fixture = Fixture::new();
    let server = redirecting(&fixture);
    let finished = fixture.get(["-L", "-o", "/dev/null", "-w", "%{json}", &server.url("/a")]);
    let json: Value = serde_json::from_str(&finished.out()).unwrap();
    let time = |name: &str| json[format!("time_{name}")].as_f64().unwrap();
    let order = [
        "namelookup",
        "connect",
        "appconnect",
        "pretransfer",
        "starttransfer",
        "total",
    ];
    let times = order.map(time);
    assert!(times.is_sorted() && times[1] > 0.0, "{json}");
    assert!(
        time("redirect") > 0.0 && time("redirect") < time("total"),
        "{json}"
    );
    assert_eq!(json["http_code"], 200);
    assert_eq!(json["errormsg"], Value::Null);
}

#[test]
fn formats_are_read_from_files_and_written_to_files() {
    let fixture = Fixture::new();
    let format = fixture.write("format", "%{http_code}\n");
    let copy = fixture.path("copy");
    let server = redirecting(&fixture);
    let at = format!("@{}", format.display());
    let finished = fixture.get(["-w", &at, &server.url("/a")]);
    assert_eq!(finished.out(), "go!302\n", "{finished}");
    let server = redirecting(&fixture);
    let to_file = format!("%output{{{}}}%{{http_code}}", copy.display());
    let finished = fixture.get(["-w", &to_file, &server.url("/a")]);
    assert_eq!(
        (
            finished.out().as_str(),
            fs::read_to_string(&copy).unwrap().as_str()
        ),
        ("go!", "302")
    );
    let finished = fixture.get(["-w", "@/no/such/file", "https://localhost:1/"]);
    assert_eq!(finished.code, Some(26), "{finished}");
    let unknown = fixture.get(["-s", "-w", "%{no_such}x", &redirecting(&fixture).url("/a")]);
    assert_eq!(unknown.out(), "go!x", "{unknown}");
}

#[test]
fn a_line_of_json_has_the_verdict_and_what_it_rests_on() {
    let fixture = Fixture::new();
    let report = fixture.path("report");
    let path = report.to_str().unwrap();
    let whole = redirecting(&fixture);
    let cut = truncating(&fixture);
    let urls = [
        whole.url("/a"),
        cut.url("/"),
        "https://localhost:1/".to_owned(),
    ];
    let [one, two, three] = &urls;
    let finished = fixture.get(["-s", "-L", "--json-report", path, one, two, three]);
    assert_eq!(finished.code, Some(7), "{finished}");
    let lines = lines(&report);
    let get = |number: usize, names: &[&str]| {
        let value = names
            .iter()
            .fold(&lines[number], |value, name| &value[*name]);
        value.to_string()
    };
    for (number, names, expected) in [
        (0, &["verdict"][..], "\"complete\""),
        (0, &["exit_code"], "0"),
        (0, &["cause"], "null"),
        (0, &["status"], "200"),
        (0, &["bytes_expected"], "5"),
        (0, &["bytes_received"], "5"),
        (0, &["fields", "x-two"], "[\"1\",\"2\"]"),
        (0, &["fields", "set-cookie"], "[\"(hidden)\"]"),
        (0, &["tls", "verified"], "true"),
        (0, &["tls", "version"], "\"TLS 1.3\""),
        (0, &["connection", "exchanges_before"], "1"),
        (1, &["verdict"], "\"truncated\""),
        (1, &["exit_code"], "18"),
        (1, &["cause"], "\"truncated\""),
        (1, &["bytes_expected"], "9"),
        (1, &["bytes_received"], "5"),
        (1, &["connection_end"], "\"close_notify\""),
        (2, &["verdict"], "\"failed\""),
        (2, &["exit_code"], "7"),
        (2, &["status"], "null"),
        (2, &["tls"], "null"),
    ] {
        assert_eq!(get(number, names), expected, "{number} {names:?}");
    }
    let requests = lines[0]["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["location"], "/b?q=1");
    assert_eq!(requests[0]["body_bytes_received"], 3);
    assert_eq!(requests[1]["connections_made"], 0);
    // Every field is described, and every one that is described is there.
    let page = include_str!("../../../../../docs/get-report.md");
    for name in lines[0].as_object().unwrap().keys() {
        assert!(
            page.contains(&format!("`{name}`")),
            "{name} is not in docs/get-report.md"
        );
    }
}

#[test]
fn an_archive_has_each_request_and_no_secret() {
    let fixture = Fixture::new();
    let archive = fixture.path("all.har");
    let server = redirecting(&fixture);
    let finished = fixture.get([
        "-L",
        "-H",
        "X-Api-Key: s3cret",
        "--har",
        archive.to_str().unwrap(),
        &server.url("/a"),
        "https://localhost:1/",
    ]);
    assert_eq!(finished.code, Some(7), "{finished}");
    let text = fs::read_to_string(&archive).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["log"]["version"], "1.2");
    let entries = json["log"]["entries"].as_array().unwrap();
    let statuses: Vec<_> = entries
        .iter()
        .map(|entry| entry["response"]["status"].to_string())
        .collect();
    assert_eq!(statuses, ["302", "200", "0"]);
    assert_eq!(entries[1]["request"]["queryString"][0]["name"], "q");
    assert_eq!(entries[1]["response"]["content"]["size"], 5);
    assert_eq!(entries[1]["serverIPAddress"], "127.0.0.1");
    for entry in entries {
        for name in [
            "startedDateTime",
            "time",
            "request",
            "response",
            "cache",
            "timings",
        ] {
            assert!(!entry[name].is_null(), "{name}: {entry}");
        }
    }
}

#[test]
fn traces_have_what_went_over_the_connection() {
    let fixture = Fixture::new();
    for (option, piece) in [
        ("--trace-ascii", "0000: hello\n"),
        ("--trace", "0000: 68 65 6c 6c 6f "),
    ] {
        let server = redirecting(&fixture);
        let args = [
            "-s",
            "-L",
            "-u",
            "ann:s3cret",
            "-d",
            "body of mine",
            option,
            "%",
            "--trace-time",
        ];
        let finished = fixture.get(args.into_iter().chain([server.url("/a").as_str()]));
        let trace = finished.err();
        assert_eq!(finished.out(), "hello");
        assert!(trace.contains(piece), "{trace}");
        for line in [
            "== Info: handshake: TLS 1.3",
            "=> Send header, ",
            "=> Send data, 12 bytes (0xc)\n",
            "<= Recv header, 18 bytes (0x12)\n",
            "<= Recv data, 5 bytes (0x5)\n",
        ] {
            assert!(trace.contains(line), "{line}: {trace}");
        }
        assert!(!trace.contains("s3cret"), "{trace}");
        let first = trace.lines().next().unwrap();
        let time = first.split(' ').next().unwrap();
        assert!(time.len() == 15 && time.as_bytes()[8] == b'.', "{first}");
    }
    let unwritable = fixture.get(["--trace", "/no/such/directory/t", "https://localhost:1/"]);
    assert_eq!(unwritable.code, Some(23), "{unwritable}");
}

#[test]
fn a_waterfall_has_the_phases_of_each_request() {
    let fixture = Fixture::new();
    let server = redirecting(&fixture);
    let finished = fixture.get(["-L", "--timing", &server.url("/a"), "https://localhost:1/"]);
    let said = finished.err();
    for phase in [
        "resolve",
        "connect",
        "handshake",
        "request",
        "wait",
        "body",
        "total",
        "failed",
    ] {
        assert!(said.contains(&format!("  {phase} ")), "{phase}: {said}");
    }
    assert!(
        said.contains("HTTP/1.1 302\n") && said.contains("HTTP/1.1 200\n"),
        "{said}"
    );
    assert_eq!(said.matches("  handshake ").count(), 1, "{said}");
    assert_eq!(finished.out(), "hello");
}
