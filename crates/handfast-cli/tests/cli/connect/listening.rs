//! `--listen`: one session as the server, with other people's clients.

use std::io::{Read as _, Write as _};

use handfast_testbed::launch::{Finished, Program};

use super::support::{PATIENCE, Talk, run};
use crate::common::Fixture;

fn s_client(fixture: &Fixture, talk: &Talk, args: &[&str]) -> Option<Program> {
    let address = talk.address().to_string();
    Program::new("openssl").map(|openssl| {
        openssl
            .args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-connect",
                &address,
                "-CAfile",
            ])
            .arg(&fixture.ca)
            .args(args)
    })
}

#[test]
fn openssl_is_served_in_every_version() {
    let fixture = Fixture::new();
    for flag in ["-tls1_2", "-tls1_3"] {
        let mut talk = Talk::start(&mut fixture.listen("127.0.0.1:0", ["--alpn", "x,y"]));
        let args = [flag, "-servername", "localhost", "-alpn", "y"];
        let Some(client) = s_client(&fixture, &talk, &args) else {
            return;
        };
        let mut client = client.stdin("from the client\n").start();
        talk.heard("from the client");
        talk.write("from the server\n");
        talk.end_input();
        let status = client.wait(PATIENCE).unwrap();
        assert!(status.success(), "{status} {}", client.output());
        assert_eq!(client.stdout(), b"from the server\n");
        let finished = talk.wait().expect(
            0,
            &[
                "server: server name localhost",
                "client: no client certificate",
                "ALPN y",
            ],
        );
        assert_eq!(finished.out(), "from the client\n");
    }
}

#[test]
fn gnutls_and_curl_are_served() {
    let fixture = Fixture::new();
    let mut talk = Talk::start(&mut fixture.listen("127.0.0.1:0", [""; 0]));
    let address = talk.address();
    talk.write("hello\n");
    let Some(client) = Program::new("gnutls-cli") else {
        return;
    };
    let client = client
        .args(["--port", &address.port().to_string(), "--x509cafile"])
        .arg(&fixture.ca)
        .arg("127.0.0.1")
        .stdin("from GnuTLS\n")
        .start();
    talk.heard("from GnuTLS");
    drop(client);

    let mut talk = Talk::start(&mut fixture.listen("127.0.0.1:0", [""; 0]));
    let url = format!("https://{}/", talk.address());
    talk.write("HTTP/1.0 200 OK\r\n\r\nhello");
    talk.end_input();
    let Some(curl) = Program::new("curl") else {
        return;
    };
    let curl = curl.args(["-sS", &url, "--cacert"]).arg(&fixture.ca).run();
    assert!(curl.succeeded() && curl.out() == "hello", "{curl}");
    assert!(talk.wait().out().starts_with("GET / HTTP/1.1\r\n"));
}

#[test]
fn clients_are_verified_when_that_is_demanded() {
    let fixture = Fixture::new();
    let directory = fixture.directory();
    let files = fixture
        .pki
        .client("somebody")
        .write(directory, "client", &[]);
    let cert = files.chain_pem.to_str().unwrap();
    let key = files.key_pem.to_str().unwrap();
    let ca = fixture.ca.to_str().unwrap();
    let session =
        |auth: &[&str], client: &[&str]| -> Option<(super::support::Finished, Finished)> {
            let mut args = vec!["--client-ca", ca];
            args.extend(auth);
            let mut talk = Talk::start(&mut fixture.listen("127.0.0.1:0", args));
            talk.write("secret\n");
            talk.end_input();
            let client = s_client(&fixture, &talk, client)?.stdin("x\n").run();
            Some((talk.wait(), client))
        };
    let Some((server, client)) = session(&[], &["-cert", cert, "-key", key]) else {
        return;
    };
    assert_eq!(client.out(), "secret\n");
    server.expect(
        0,
        &["client: verified", "subject: O=handfast tests, CN=somebody"],
    );
    let optional = ["--client-auth", "optional"];
    let (server, client) = session(&optional, &[]).unwrap();
    assert_eq!(client.out(), "secret\n");
    server.expect(0, &["client: no client certificate"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let (server, client) = session(&[], &[version]).unwrap();
        assert_eq!(client.out(), "");
        server.expect(35, &["client-certificate-missing"]);
    }
}

#[test]
fn a_client_that_does_not_speak_tls_or_does_not_trust_us_is_told_of() {
    let fixture = Fixture::new();
    let talk = Talk::start(&mut fixture.listen("127.0.0.1:0", [""; 0]));
    let mut socket = std::net::TcpStream::connect(talk.address()).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    talk.wait().expect(35, &["not-tls", "plain HTTP"]);

    let talk = Talk::start(&mut fixture.listen("127.0.0.1:0", [""; 0]));
    let Some(curl) = Program::new("curl") else {
        return;
    };
    let curl = curl
        .args(["-sS", &format!("https://{}/", talk.address())])
        .run();
    assert_eq!(curl.code, Some(60), "{curl}");
    let finished = talk.wait();
    assert!(finished.stderr.contains("unknown_ca"), "{finished:?}");
}

/// What connects and goes, or says something else, was no client: the next one is served.
#[test]
fn a_port_scan_does_not_take_the_place_of_the_client() {
    let fixture = Fixture::new();
    let mut talk = Talk::start(&mut fixture.listen("127.0.0.1:0", [""; 0]));
    for said in [
        &b""[..],
        b"\r\n\r\n",
        b"\x16\x03\x01\x00\xf0\x01",
        b"SSH-2.0-scanner\r\n",
    ] {
        let mut socket = std::net::TcpStream::connect(talk.address()).unwrap();
        socket.write_all(said).unwrap();
    }
    talk.write("hello\n");
    let address = talk.address();
    let stream = handfast_dial::connect(&fixture.client_context(), &address.to_string());
    let mut stream = stream.unwrap();
    let mut line = [0; 6];
    stream.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"hello\n");
    stream.close(handfast::ClosePolicy::default());
    let finished = talk.wait().expect(0, &["secured"]);
    let noted = finished.stderr.matches("still listening").count();
    assert_eq!(noted, 4, "{}", finished.stderr);
}

#[test]
fn usage_of_listen() {
    let fixture = Fixture::new();
    let fails = |args: &[&str], code, says| {
        let mut command = fixture.command("connect");
        run(command.args(args), b"").expect(code, &[says]);
    };
    fails(&["--listen", "127.0.0.1:0"], 1, "identity-missing");
    fails(
        &["--listen", "127.0.0.1:0", "localhost:1"],
        2,
        "cannot be used with",
    );
    fails(&["--listen", "x:1", "--starttls", "smtp"], 2, "for clients");
    fails(&[], 2, "required");
    run(&mut fixture.listen("127.0.0.1", [""; 0]), b"").expect(2, &["needs a port"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(&mut fixture.listen(&address, [""; 0]), b"").expect(7, &["already in use"]);
}
