//! Sessions with OpenSSL, GnuTLS and scripted servers: what passes, what is told, what is refused.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};

use handfast::ClosePolicy;
use handfast_testbed::launch::{GnutlsServer, OpensslServer, free_address};
use handfast_testbed::misbehaving::{Misbehaving, Served, Step};
use handfast_testbed::pki::{Pki, Spec};

use super::support::{PATIENCE, Talk, run, serve};
use crate::common::Fixture;

fn openssl(fixture: &Fixture, args: &[&str]) -> Option<OpensslServer> {
    let mut all = vec![
        OsStr::new("-cert"),
        fixture.chain.as_os_str(),
        OsStr::new("-key"),
        fixture.key.as_os_str(),
    ];
    all.extend(args.iter().map(OsStr::new));
    OpensslServer::launch(&all)
}

#[test]
fn a_session_with_openssl_carries_both_directions_in_every_version() {
    let fixture = Fixture::new();
    for (version, flag) in [("1.3", "-tls1_3"), ("1.2", "-tls1_2")] {
        let Some(mut server) = openssl(&fixture, &[flag]) else {
            return;
        };
        let address = server.address().to_string();
        let mut talk = Talk::start(&mut fixture.connect([&address]));
        talk.told(&format!("TLS {version}"));
        talk.write("from the client\n");
        server
            .process()
            .wait_for("from the client", PATIENCE)
            .expect("OpenSSL did not get what was typed");
        server.process().write("from the server\n").unwrap();
        talk.heard("from the server");
        // `Q` makes it close the socket without another word: a premature end, for real.
        server.process().write("Q\n").unwrap();
        let finished = talk.wait().expect(
            56,
            &[
                "* secured: 127.0.0.1:",
                "* server: verified",
                "names: localhost, 127.0.0.1",
                "anchor: O=handfast tests, CN=Test Root",
                "FIN without close_notify; close: sent only; 16 bytes received, 16 sent",
                "premature-end",
            ],
        );
        assert_eq!(finished.out(), "from the server\n");
    }
}

#[test]
fn end_of_input_ends_the_session_with_openssl_in_order() {
    let fixture = Fixture::new();
    let Some(mut server) = openssl(&fixture, &[]) else {
        return;
    };
    let finished = run(
        &mut fixture.connect([server.address().to_string()]),
        b"all of it\n",
    );
    finished.expect(0, &["the peer sent close_notify; close: complete"]);
    assert!(server.process().wait_for("all of it", PATIENCE).is_some());
}

#[test]
fn gnutls_echoes_what_is_typed() {
    let fixture = Fixture::new();
    let Some(server) = GnutlsServer::launch(&[
        OsStr::new("--echo"),
        OsStr::new("--x509certfile"),
        fixture.chain.as_os_str(),
        OsStr::new("--x509keyfile"),
        fixture.key.as_os_str(),
    ]) else {
        return;
    };
    let target = format!("127.0.0.1:{}", server.address().port());
    for version in ["1.2", "1.3"] {
        let mut talk = Talk::start(&mut fixture.connect([&target, "--tls", version]));
        talk.told(&format!("TLS {version}"));
        talk.write("one line\n");
        talk.heard("one line");
        talk.write("another\n");
        talk.heard("another");
        let finished = talk.finish().expect(0, &["close: complete"]);
        assert_eq!(finished.out(), "one line\nanother\n");
    }
}

#[test]
fn quiet_is_quiet_and_crlf_is_sent() {
    let fixture = Fixture::new();
    let context = fixture.server_context();
    let (address, server) = serve(move |socket| {
        let mut stream = context.accept(socket).unwrap();
        let (bytes, _) = stream.read_to_ending().unwrap();
        stream.write_all(b"bye").unwrap();
        stream.close(ClosePolicy::default());
        bytes
    });
    let mut command = fixture.connect(["-q", "--crlf", &address.to_string()]);
    let finished = run(&mut command, b"EHLO x\nQUIT\r\n").expect(0, &[]);
    assert_eq!(finished.stderr, "");
    assert_eq!(finished.out(), "bye");
    assert_eq!(server.join().unwrap(), b"EHLO x\r\nQUIT\r\n");
}

#[test]
fn options_shape_the_handshake() {
    let fixture = Fixture::new();
    let context = handfast::ServerContext::builder()
        .identity(fixture.identity())
        .alpn(["two"])
        .build()
        .unwrap();
    let (address, server) = serve(move |socket| {
        let mut stream = context.accept(socket).unwrap();
        let report = stream.report().clone();
        let _ = stream.read_to_ending();
        stream.close(ClosePolicy::default());
        report
    });
    let log = fixture.path("keys");
    let mut command = fixture.connect([
        "--alpn",
        "one,two",
        "--tls",
        "1.2",
        "--sni",
        "other.example",
    ]);
    command.arg("--key-log").arg(&log);
    // The certificate must be valid for this name, whatever is sent.
    command.args(["--servername", "localhost", &address.to_string()]);
    run(&mut command, b"").expect(0, &["TLS 1.2", "ALPN two", "server: verified"]);
    let report = server.join().unwrap();
    assert_eq!(report.server_name.as_deref(), Some("other.example"));
    assert_eq!(report.alpn.as_deref(), Some(&b"two"[..]));
    let secrets = std::fs::read_to_string(log).unwrap();
    assert!(secrets.contains("CLIENT_RANDOM"), "{secrets}");
}

#[test]
fn a_server_that_is_not_verified_is_sent_nothing() {
    let fixture = Fixture::new();
    let server = || -> Served {
        fixture.misbehaving().serve([
            Step::send("hello"),
            Step::ReadToEnd,
            Step::CloseNotify,
            Step::Fin,
        ])
    };
    let rejected = |args: &[&str], code, says| {
        let served = server();
        let mut command = fixture.connect(args);
        let finished = run(command.arg(served.address().to_string()), b"secret\n");
        assert_eq!(finished.expect(code, &[says]).stdout, b"");
        assert_eq!(served.received(), b"");
    };
    rejected(&["--servername", "other.example"], 60, "name-mismatch");
    let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    rejected(&["--pin", pin], 90, "pin-mismatch");
    let stranger = fixture.path("stranger.pem");
    // Of the same name, which is all that a stranger needs to copy.
    std::fs::write(&stranger, Pki::new().root.cert_pem()).unwrap();
    let served = server();
    let mut command = fixture.command("connect");
    command.args(["--cacert"]).arg(&stranger);
    let finished = run(command.arg(served.address().to_string()), b"secret");
    assert_eq!(
        finished
            .expect(60, &["unknown-issuer", "another key"])
            .stdout,
        b""
    );

    // Only by a name that shouts, and then it is said, even quietly.
    let served = server();
    let mut command = fixture.command("connect");
    command.args(["-q", "--insecure", &served.address().to_string()]);
    run(&mut command, b"x").expect(0, &["warning:", "NOT verified"]);
    let served = server();
    let mut command = fixture.command("connect");
    command.args(["-k", &served.address().to_string()]);
    run(&mut command, b"x").expect(0, &["server: NOT VERIFIED, its identity is unknown"]);
}

#[test]
fn a_server_that_asks_gets_our_certificate() {
    let fixture = Fixture::new();
    let ca = fixture.ca.to_str().unwrap();
    let Some(server) = openssl(
        &fixture,
        &[
            "-Verify",
            "1",
            "-verify_return_error",
            "-CAfile",
            ca,
            "-rev",
        ],
    ) else {
        return;
    };
    let address = server.address().to_string();
    let directory = fixture.directory();
    let client = fixture
        .pki
        .client("somebody")
        .write(directory, "client", &[]);
    let mut command = fixture.connect([&address]);
    command.arg("--cert").arg(&client.chain_pem);
    command.arg("--key").arg(&client.key_pem);
    let mut talk = Talk::start(&mut command);
    talk.told("requested a client certificate");
    talk.write("abc\n");
    talk.heard("cba");
    talk.finish().expect(0, &[]);
    // Without one, TLS 1.3 says so only after the handshake.
    let finished = run(&mut fixture.connect([&address]), b"");
    finished.expect(35, &["client-certificate-required"]);
}

#[test]
fn what_the_peer_says_of_itself_is_escaped_and_its_data_is_not() {
    let fixture = Fixture::new();
    let spec = Spec::server(&["localhost", "127.0.0.1"]).common_name(Some("\u{1b}[2Jevil\r\n"));
    let served = Misbehaving::new(&fixture.pki.root.issue(spec), &[]).serve([
        Step::send("\u{1b}[31mred\n"),
        Step::CloseNotify,
        Step::Fin,
    ]);
    let talk = Talk::start(&mut fixture.connect([served.address().to_string()]));
    talk.heard("red");
    let finished = talk.finish().expect(0, &["evil"]);
    assert_eq!(finished.out(), "\u{1b}[31mred\n");
}

#[test]
fn failures_before_the_session_have_their_own_codes() {
    let fixture = Fixture::new();
    let fails = |args: &[&str], code, says: &[&str]| {
        run(&mut fixture.connect(args), b"").expect(code, says);
    };
    fails(&[&free_address().to_string()], 7, &["connection-refused"]);
    fails(&["no-such-host.invalid:443"], 6, &["name-not-resolved"]);
    fails(&["localhost"], 2, &["has no port", "localhost:443"]);
    fails(
        &["unix:/nowhere", "--servername", "x"],
        7,
        &["channel-unusable", "/nowhere"],
    );
    fails(&["unix:/nowhere"], 2, &["--servername"]);
    fails(
        &["localhost:1", "--servername", "a b"],
        3,
        &["invalid-server-name"],
    );
    fails(
        &["--pass", "stdin", "--cert", "x", "localhost:1"],
        2,
        &["stdin"],
    );
    // A port that speaks something else.
    let (address, _server) = serve(|mut socket| {
        socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        let _ = socket.read(&mut [0; 1]);
    });
    fails(&[&address.to_string()], 35, &["not-tls", "SSH"]);
    // One that says nothing.
    let (address, _server) = serve(|mut socket| {
        let _ = socket.read_to_end(&mut Vec::new());
    });
    let address = address.to_string();
    fails(&[&address, "--connect-timeout", "0.2"], 28, &["timed-out"]);
}
