//! `handfast bench` as a user meets it: output, files, exit codes, Ctrl-C.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use handfast::{ClientAuth, ClosePolicy, Identity, Passphrase, ServerContext, TrustAnchors};
use handfast_testbed::launch::free_address;
use serde_json::Value;

use crate::common::{Fixture, localhost};

/// A server that answers every request with `hello`, and the PKI that it and its clients trust.
struct Server {
    fixture: Fixture,
    url: String,
    /// Every request that was answered, as it came.
    answers: mpsc::Receiver<Vec<u8>>,
}

impl Server {
    fn start() -> Self {
        Self::start_asking(Fixture::new(), ClientAuth::None)
    }

    fn start_asking(fixture: Fixture, clients: ClientAuth) -> Self {
        Self::start_answering(fixture, clients, &["200 OK"])
    }

    /// Each connection gets these statuses in turn.
    fn start_answering(
        fixture: Fixture,
        clients: ClientAuth,
        statuses: &'static [&'static str],
    ) -> Self {
        let identity = Identity::from_files(&fixture.chain, &fixture.key, Passphrase::none());
        let context = ServerContext::builder()
            .identity(identity.unwrap())
            .client_auth(clients);
        let context = Arc::new(context.build().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", localhost(listener.local_addr().unwrap()));
        let (answered, answers) = mpsc::channel();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (context, answered) = (Arc::clone(&context), answered.clone());
                thread::spawn(move || {
                    let _ = socket.set_nodelay(true);
                    let Ok(mut stream) = context.accept(socket) else {
                        return;
                    };
                    let mut buffer = [0; 4096];
                    // Requests are small and come one at a time.
                    let mut statuses = statuses.iter().cycle();
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        let status = statuses.next().unwrap();
                        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nhello");
                        if stream
                            .write_all(reply.as_bytes())
                            .and_then(|()| stream.flush())
                            .is_err()
                        {
                            return;
                        }
                        let _ = answered.send(buffer[..count].to_vec());
                    }
                    stream.close(ClosePolicy::default());
                });
            }
        });
        Self {
            fixture,
            url,
            answers,
        }
    }

    fn command(&self) -> Command {
        let mut command = self.without_trust();
        command.args(self.fixture.trust());
        command
    }

    /// As it is for who has heard of no authority.
    fn without_trust(&self) -> Command {
        let mut command = self.fixture.command("bench");
        command.stdin(Stdio::null());
        command
    }
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn text_json_and_page() {
    let server = Server::start();
    let output = server
        .command()
        .args(["-n", "50", &server.url])
        .output()
        .unwrap();
    let text = stdout(&output);
    assert!(
        text.contains("50 complete, 0 truncated, 0 failed, 0 unfinished"),
        "{text}"
    );
    assert!(
        text.contains("200: 50") && text.contains("TLS 1.3"),
        "{text}"
    );
    // The live view is for terminals.
    assert!(output.stderr.is_empty(), "{output:?}");

    let page = server.fixture.path("report.html");
    let mut command = server.command();
    command.args(["-n", "50", "--rate", "1000", "--json", "--html"]);
    let output = command.arg(&page).arg(&server.url).output().unwrap();
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["schema"], "handfast-bench/2");
    assert_eq!(json["requests"]["complete"], 50);
    assert_eq!(json["plan"]["rate"], 1000.0);
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert_eq!(page.matches("<svg").count(), 3);
}

fn json(command: &mut Command) -> Value {
    let output = command.args(["--json", "--quiet"]).output().unwrap();
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// Method, fields and body go over the wire as they were given, every time.
#[test]
fn the_request_is_the_one_that_was_asked_for() {
    let server = Server::start();
    let file = server.fixture.write("body", "from a file");
    let from_file = format!("@{}", file.display());
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["GET / HTTP/1.1\r\n", "\r\n\r\n"]),
        (&["-X", "PURGE"], &["PURGE / HTTP/1.1\r\n"]),
        (
            &["-H", "X-One: 1", "-H", "x-one: 2", "-H", "User-Agent: mine"],
            &["x-one: 1\r\nx-one: 2\r\n", "user-agent: mine\r\n"],
        ),
        (
            &["--data", "a=b"],
            &[
                "POST / HTTP/1.1\r\n",
                "Content-Length: 3\r\n",
                "content-type: application/x-www-form-urlencoded\r\n",
                "\r\n\r\na=b",
            ],
        ),
        (
            &["-X", "PUT", "--data", &from_file],
            &["PUT / HTTP/1.1\r\n", "\r\n\r\nfrom a file"],
        ),
    ];
    for (args, expected) in cases {
        let output = server
            .command()
            .args(["-n", "4", "-c", "2"])
            .args(args.iter())
            .arg(&server.url)
            .output()
            .unwrap();
        assert!(stdout(&output).contains("4 complete"), "{args:?}");
        for _ in 0..4 {
            let request = server.answers.recv_timeout(Duration::from_secs(20));
            let request = String::from_utf8(request.unwrap()).unwrap();
            for part in *expected {
                assert!(request.contains(part), "{args:?}: {request}");
            }
            assert_eq!(request.ends_with("\r\n\r\n"), !args.contains(&"--data"));
            let agents = request.to_lowercase().matches("user-agent:").count();
            assert_eq!(agents, 1, "{request}");
        }
    }
}

/// What handshakes agreed on is what was asked for; full and resumed ones are told apart.
#[test]
fn versions_groups_suites_and_handshakes_are_chosen_and_told() {
    let server = Server::start();
    for (version, group, suite, told) in [
        (
            "1.2",
            "x25519",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            "TLS 1.2",
        ),
        ("1.3", "secp256r1", "TLS_AES_128_GCM_SHA256", "TLS 1.3"),
        ("1.3", "X25519MLKEM768", "TLS_AES_256_GCM_SHA384", "TLS 1.3"),
    ] {
        for handshake in ["full", "resumed", "keepalive"] {
            let mut command = server.command();
            command
                .args(["-n", "30", "-c", "2", "-t", "1", "--handshake", handshake])
                .args(["--tls", version, "--groups", group, "--ciphers", suite])
                .arg(&server.url);
            let json = json(&mut command);
            let what = format!("{version} {group} {handshake}: {json:#}");
            assert_eq!(json["requests"]["complete"], 30, "{what}");
            let agreed = json["tls"]["agreed"].as_array().unwrap();
            for one in agreed {
                assert_eq!(one["version"], told, "{what}");
                assert_eq!(one["cipher_suite"], suite, "{what}");
                if one["resumed"] == false {
                    assert_eq!(one["group"].as_str(), Some(group), "{what}");
                }
            }
            let count = |name: &str| json["tls"][name].as_u64().unwrap();
            match handshake {
                "full" => assert_eq!((count("full"), count("resumed")), (30, 0), "{what}"),
                "resumed" => assert!(count("resumed") >= 25, "{what}"),
                _ => assert_eq!(count("full") + count("resumed"), 2, "{what}"),
            }
        }
    }
}

#[test]
fn a_client_certificate_is_shown_where_one_is_given() {
    let fixture = Fixture::new();
    let files = fixture.files("loader", &fixture.pki.client("loader"));
    let anchors = TrustAnchors::empty().with_file(&fixture.ca);
    let server = Server::start_asking(fixture, ClientAuth::Required(anchors.unwrap()));
    let mut command = server.command();
    command.arg("--cert").arg(&files.chain_pem);
    command.arg("--key").arg(&files.key_pem);
    let told = json(command.args(["-n", "6", &server.url]));
    assert_eq!(told["requests"]["complete"], 6, "{told:#}");
    let output = server
        .command()
        .args(["-n", "6", "--json", &server.url])
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let ids: Vec<_> = told["failures"].as_array().unwrap().iter().collect();
    assert!(!ids.is_empty(), "{told:#}");
    for failure in ids {
        assert_eq!(failure["id"], "client-certificate-required", "{told:#}");
    }
}

#[test]
fn when_nothing_succeeds_the_exit_code_says_why() {
    let server = Server::start();
    let unused = format!("https://{}/", localhost(free_address()));
    for (args, expected) in [
        (vec!["-n", "5", &unused], 7),
        (vec!["http://localhost/"], 3),
        (vec!["--rate", "0", &unused], 2),
        (vec!["--http1.1", "--streams", "4", &unused], 2),
        (vec!["--cacert", "/nowhere", &unused], 77),
        (vec!["--html", "/nowhere/report.html", &unused], 23),
        (vec!["--data", "@/nowhere", &unused], 26),
    ] {
        let output = server.without_trust().args(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{args:?} {output:?}");
    }
    let mut command = server.without_trust();
    let output = command.args(["-n", "5", &server.url]).output().unwrap();
    assert_eq!(output.status.code(), Some(60), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("[unknown-issuer]"), "{told}");
    let output = server
        .command()
        .args(["--http2", "-n", "5", &server.url])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(35), "{output:?}");
    let output = server
        .without_trust()
        .args(["--insecure", "-n", "5", &server.url])
        .output()
        .unwrap();
    assert!(stdout(&output).contains("5 complete"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("warning"));
}

/// A status that says failure is a failure, everywhere, also beside successes.
#[test]
fn a_status_that_says_failure_is_one_in_text_json_page_and_exit_code() {
    for (statuses, complete, failed) in [
        (&["503 Service Unavailable"][..], 0, 20),
        (&["200 OK", "404 Not Found"], 10, 10),
        (
            &["200 OK", "302 Found", "304 Not Modified", "204 No Content"],
            20,
            0,
        ),
    ] {
        let server = Server::start_answering(Fixture::new(), ClientAuth::None, statuses);
        let code = if failed > 0 { 22 } else { 0 };
        let page = server.fixture.path("report.html");
        let mut command = server.command();
        command
            .args(["-n", "20", "-c", "1"])
            .arg("--html")
            .arg(&page);
        let output = command.arg(&server.url).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{statuses:?} {output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let counts = format!("{complete} complete, 0 truncated, {failed} failed");
        assert!(text.contains(&counts), "{text}");
        assert_eq!(text.contains("[http-status]"), failed > 0, "{text}");
        let page = fs::read_to_string(page).unwrap();
        assert!(page.contains(&format!("<dt>failed</dt><dd>{failed}</dd>")));
        assert_eq!(page.contains("[http-status]"), failed > 0);

        let mut command = server.command();
        command.args(["--json", "-n", "20", "-c", "1"]);
        let output = command.arg(&server.url).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{statuses:?} {output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["requests"]["complete"], complete, "{told:#}");
        assert_eq!(told["requests"]["failed_by_status"], failed, "{told:#}");
        assert_eq!(told["latency"]["count"], complete, "{told:#}");
    }
}

/// Under the shell's limits of open files, soft and hard.
#[cfg(unix)]
#[test]
fn the_soft_limit_of_open_files_is_raised_and_the_hard_one_is_told_as_ours() {
    let server = Server::start();
    let run = |limit: &str, connections: &str| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"]);
        let fixture = server.command();
        command.arg(fixture.get_program()).args(fixture.get_args());
        command.args(["-n", "100", "-c", connections, "-t", "1"]);
        command
            .arg(&server.url)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let told = stdout(&run("-Sn 40", "50"));
    assert!(
        told.contains("100 complete, 0 truncated, 0 failed"),
        "{told}"
    );
    let output = run("-n 40", "50");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("[too-many-open-files]"), "{told}");
    let told = stdout(&run("-n 40", "10"));
    assert!(told.contains("100 complete"), "{told}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_prints_what_was_measured() {
    let server = Server::start();
    let mut command = server.command();
    command
        .args(["-d", "60s", &server.url])
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    for _ in 0..10 {
        server
            .answers
            .recv_timeout(Duration::from_secs(20))
            .unwrap();
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(
        text.contains("latency") && !text.contains(" 0 complete"),
        "{text}"
    );
}
