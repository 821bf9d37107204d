//! Our server against other clients: `s_client`, `gnutls-cli`, curl, wget, Python.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use handfast::{
    CloseOutcome, ClosePolicy, Ending, Line, LineReader, Report, ServerContext, Stream, TlsVersion,
};
use handfast_testbed::launch::{Finished, Program};
use handfast_testbed::pki::Pki;

use crate::office::{Office, REQUEST, SOON, VERSIONS};

/// Our server's data about one client.
#[derive(Debug)]
struct Visit {
    /// The number of the connection: they may end in another order.
    number: usize,
    report: Arc<Report>,
    request: String,
    outcome: CloseOutcome,
    ending: Option<Ending>,
}

impl Visit {
    fn client(&self) -> Option<&str> {
        self.report.peer.as_ref()?.common_name()
    }
}

/// A server that answers HTTP/1.0 with the client's identity, with a thread for each client. It ends with the
/// test's process.
fn serve(context: ServerContext) -> (SocketAddr, Receiver<Result<Visit, String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let (context, sender) = (context.clone(), sender.clone());
            thread::spawn(move || {
                let visit = socket
                    .map_err(|error| error.to_string())
                    .and_then(|socket| answer(&context, socket))
                    .map(|visit| Visit { number, ..visit });
                let _ = sender.send(visit);
            });
        }
    });
    (address, receiver)
}

fn answer(context: &ServerContext, socket: TcpStream) -> Result<Visit, String> {
    let mut stream = context
        .accept(socket)
        .map_err(|failure| format!("{:?}", failure.error))?;
    let report = stream.report().clone();
    let mut request = String::new();
    let mut lines = LineReader::new(&mut stream, 8 * 1024);
    loop {
        match lines.next_line() {
            Ok(Line::Text(line)) => {
                request.push_str(&String::from_utf8_lossy(&line));
                request.push('\n');
            }
            Ok(Line::Blank) => break,
            Ok(Line::End) => return Ok(closed(stream, report, request)),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
    let client = report.peer.as_ref().and_then(|peer| peer.common_name());
    let body = format!(
        "{}, resumed: {}, client: {client:?}\n",
        report.version, report.resumed
    );
    let length = body.len();
    write!(
        stream,
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .map_err(|error| error.to_string())?;
    Ok(closed(stream, report, request))
}

fn closed(mut stream: Stream<TcpStream>, report: Arc<Report>, request: String) -> Visit {
    let outcome = stream.close(ClosePolicy::default());
    let ending = stream.ending();
    Visit {
        number: 0,
        report,
        request,
        outcome,
        ending,
    }
}

fn next(visits: &Receiver<Result<Visit, String>>) -> Visit {
    visits
        .recv_timeout(SOON)
        .expect("a client within the time")
        .expect("an exchange")
}

/// The two connections of a client, the second one resumed.
fn came_back(
    what: &str,
    version: TlsVersion,
    identify: bool,
    visits: &Receiver<Result<Visit, String>>,
) -> [Visit; 2] {
    let mut both = [next(visits), next(visits)];
    both.sort_by_key(|visit| visit.number);
    for (visit, resumed) in both.iter().zip([false, true]) {
        assert_eq!(visit.report.version, version, "{what}: {visit:?}");
        assert_eq!(visit.report.resumed, resumed, "{what}: {visit:?}");
        let expected = identify.then_some("alice");
        assert_eq!(visit.client(), expected, "{what}: {visit:?}");
        // gnutls-cli makes its first connection only for the session, and closes at once.
        let gone = visit.outcome == CloseOutcome::PeerGone;
        assert!(!gone || visit.request.is_empty(), "{what}: {visit:?}");
    }
    both
}

/// For TLS 1.2 and 1.3, with and without a client certificate.
fn each_way(
    talk: impl Fn(&Office, TlsVersion, bool, SocketAddr, &Receiver<Result<Visit, String>>),
) {
    let office = Office::new();
    for version in VERSIONS {
        for identify in [false, true] {
            let (address, visits) = serve(office.server(version, identify));
            talk(&office, version, identify, address, &visits);
        }
    }
}

fn expect_success(what: &str, finished: &Finished) {
    assert!(finished.succeeded(), "{what}: {finished}");
}

#[test]
fn our_server_and_openssl_s_client() {
    each_way(|office, version, identify, address, visits| {
        let session = office.directory.path().join("session.pem");
        for resume in [false, true] {
            let Some(mut openssl) = Program::new("openssl") else {
                return;
            };
            let (flag, store) = match (version, resume) {
                (TlsVersion::Tls12, false) => ("-tls1_2", "-sess_out"),
                (TlsVersion::Tls12, true) => ("-tls1_2", "-sess_in"),
                (_, false) => ("-tls1_3", "-sess_out"),
                (_, true) => ("-tls1_3", "-sess_in"),
            };
            openssl = openssl
                .args([
                    "s_client",
                    "-connect",
                    &address.to_string(),
                    flag,
                    "-ign_eof",
                ])
                .args(["-servername", "localhost", "-verify_hostname", "localhost"])
                .args(["-verify_return_error", "-CAfile"])
                .arg(&office.root)
                .arg(store)
                .arg(&session);
            if identify {
                openssl = openssl
                    .arg("-cert")
                    .arg(&office.client.chain_pem)
                    .arg("-cert_chain")
                    .arg(&office.client.chain_pem)
                    .arg("-key")
                    .arg(&office.client.key_pem);
            }
            let finished = openssl.stdin(REQUEST).run();
            let what = format!("s_client {version:?}, identify: {identify}, resume: {resume}");
            expect_success(&what, &finished);
            let expected_text = if resume { "\nReused, " } else { "\nNew, " };
            assert!(finished.printed(expected_text), "{what}: {finished}");
            assert!(
                finished.printed(&format!("resumed: {resume}")),
                "{what}: {finished}"
            );
        }
        for visit in came_back("s_client", version, identify, visits) {
            assert!(visit.request.starts_with("GET / HTTP/1.0\n"));
        }
    });
}

/// Which suite is agreed on when the client offers these, the preferred first.
#[test]
fn the_fastest_suite_unless_the_client_or_the_owner_prefers_another() {
    const AES_128: &str = "TLS_AES_128_GCM_SHA256";
    const AES_256: &str = "TLS_AES_256_GCM_SHA384";
    const CHACHA: &str = "TLS_CHACHA20_POLY1305_SHA256";
    let office = Office::new();
    for (owner, offered, expected) in [
        (&[][..], &[AES_256, CHACHA, AES_128][..], AES_128),
        (&[], &[AES_256, CHACHA], AES_256),
        (&[], &[CHACHA, AES_128, AES_256], CHACHA),
        (
            &[AES_256, AES_128, CHACHA],
            &[CHACHA, AES_128, AES_256],
            AES_256,
        ),
    ] {
        let mut builder = ServerContext::builder().identity(office.server_identity.clone());
        if !owner.is_empty() {
            builder = builder.cipher_suites(owner.iter().copied());
        }
        let (address, visits) = serve(builder.build().unwrap());
        let Some(openssl) = Program::new("openssl") else {
            return;
        };
        let finished = openssl
            .args(["s_client", "-connect", &address.to_string(), "-tls1_3"])
            .args(["-servername", "localhost", "-ign_eof"])
            .args(["-ciphersuites", &offered.join(":")])
            .stdin(REQUEST)
            .run();
        expect_success("s_client", &finished);
        let agreed = next(&visits).report.cipher_suite;
        assert_eq!(
            agreed.replace("TLS13_", "TLS_"),
            expected,
            "{owner:?} {offered:?}"
        );
    }
}

#[test]
fn our_server_and_gnutls_cli() {
    each_way(|office, version, identify, address, visits| {
        let Some(mut gnutls) = Program::new("gnutls-cli") else {
            return;
        };
        let priority = match version {
            TlsVersion::Tls12 => "NORMAL:-VERS-ALL:+VERS-TLS1.2",
            _ => "NORMAL:-VERS-ALL:+VERS-TLS1.3",
        };
        gnutls = gnutls
            .args(["--resume", "--waitresumption", "--priority", priority])
            .args([
                "--sni-hostname",
                "localhost",
                "--verify-hostname",
                "localhost",
            ])
            .arg("--x509cafile")
            .arg(&office.root);
        if identify {
            gnutls = gnutls
                .arg("--x509certfile")
                .arg(&office.client.chain_pem)
                .arg("--x509keyfile")
                .arg(&office.client.key_pem);
        }
        let finished = gnutls
            .args(["--port", &address.port().to_string(), "127.0.0.1"])
            .stdin(REQUEST)
            .run();
        let what = format!("gnutls-cli {version:?}, identify: {identify}");
        expect_success(&what, &finished);
        assert!(
            finished.printed("This is a resumed session"),
            "{what}: {finished}"
        );
        assert!(finished.printed("resumed: true"), "{what}: {finished}");
        came_back(&what, version, identify, visits);
    });
}

#[test]
fn our_server_and_curl() {
    each_way(|office, version, identify, address, visits| {
        let Some(mut curl) = Program::new("curl") else {
            return;
        };
        let versions = match version {
            TlsVersion::Tls12 => ["--tlsv1.2", "--tls-max", "1.2"],
            _ => ["--tlsv1.3", "--tls-max", "1.3"],
        };
        curl = curl
            .args(["--silent", "--show-error", "--fail", "--http1.0"])
            .args(versions)
            .arg("--cacert")
            .arg(&office.root);
        if identify {
            curl = curl
                .arg("--cert")
                .arg(&office.client.chain_pem)
                .arg("--key")
                .arg(&office.client.key_pem);
        }
        let url = format!("https://localhost:{}/", address.port());
        let resolve = format!("localhost:{}:127.0.0.1", address.port());
        let finished = curl.args(["--resolve", &resolve, &url, &url]).run();
        let what = format!("curl {version:?}, identify: {identify}");
        expect_success(&what, &finished);
        for visit in came_back(&what, version, identify, visits) {
            assert_eq!(visit.ending, Some(Ending::CloseNotify), "{what}: {visit:?}");
            assert_eq!(visit.outcome, CloseOutcome::Complete);
        }
    });
}

#[test]
fn our_server_and_wget() {
    each_way(|office, version, identify, address, visits| {
        let Some(mut wget) = Program::new("wget") else {
            return;
        };
        let protocol = match version {
            TlsVersion::Tls12 => "--secure-protocol=TLSv1_2",
            _ => "--secure-protocol=TLSv1_3",
        };
        wget = wget
            .args([
                "--no-config",
                "--no-hsts",
                "--quiet",
                "--output-document=-",
                "--tries=1",
            ])
            .arg(protocol)
            .arg("--ca-certificate")
            .arg(&office.root);
        if identify {
            wget = wget
                .arg("--certificate")
                .arg(&office.client.chain_pem)
                .arg("--private-key")
                .arg(&office.client.key_pem);
        }
        let url = format!("https://localhost:{}/", address.port());
        let finished = wget.arg(&url).run();
        let what = format!("wget {version:?}, identify: {identify}");
        expect_success(&what, &finished);
        assert!(
            finished.out().contains("resumed: false"),
            "{what}: {finished}"
        );
        let visit = next(visits);
        assert_eq!(visit.report.version, version, "{what}: {visit:?}");
        assert_eq!(
            visit.client(),
            identify.then_some("alice"),
            "{what}: {visit:?}"
        );
    });
}

const PYTHON_CLIENT: &str = r"
import socket, ssl, sys
port, ca, version, chain, key = sys.argv[1:6]
context = ssl.create_default_context(cafile=ca)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
if chain:
    context.load_cert_chain(chain, key)
session = None
for turn in range(2):
    plain = socket.create_connection(('127.0.0.1', int(port)))
    tls = context.wrap_socket(plain, server_hostname='localhost', session=session)
    tls.sendall(b'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n')
    reply = b''
    while True:
        piece = tls.recv(65536)
        if not piece:
            break
        reply += piece
    session = tls.session
    print(tls.version(), tls.session_reused, reply.decode().splitlines()[-1])
    if turn == 0:
        tls.close()      # FIN alone
    else:
        tls.unwrap()     # close_notify, and the other's awaited
        tls.close()
";

#[test]
fn our_server_and_pythons_ssl() {
    each_way(|office, version, identify, address, visits| {
        let Some(mut python) = Program::new("python3") else {
            return;
        };
        let name = match version {
            TlsVersion::Tls12 => "TLSv1_2",
            _ => "TLSv1_3",
        };
        python = python
            .args(["-c", PYTHON_CLIENT, &address.port().to_string()])
            .arg(&office.root)
            .arg(name);
        python = match identify {
            true => python
                .arg(&office.client.chain_pem)
                .arg(&office.client.key_pem),
            false => python.args(["", ""]),
        };
        let finished = python.run();
        let what = format!("Python {version:?}, identify: {identify}");
        expect_success(&what, &finished);
        assert!(finished.printed("True TLS 1."), "{what}: {finished}");
        let [first, second] = came_back(&what, version, identify, visits);
        assert_eq!(first.ending, Some(Ending::Premature), "{what}: {first:?}");
        assert_eq!(first.outcome, CloseOutcome::SentOnly, "{what}: {first:?}");
        assert_eq!(
            second.ending,
            Some(Ending::CloseNotify),
            "{what}: {second:?}"
        );
        assert_eq!(second.outcome, CloseOutcome::Complete, "{what}: {second:?}");
    });
}

#[test]
fn real_clients_without_a_certificate_are_refused() {
    let office = Office::new();
    for version in VERSIONS {
        let (address, visits) = serve(office.server(version, true));
        let Some(curl) = Program::new("curl") else {
            return;
        };
        let url = format!("https://localhost:{}/", address.port());
        let resolve = format!("localhost:{}:127.0.0.1", address.port());
        let finished = curl
            .args([
                "--silent",
                "--show-error",
                "--resolve",
                &resolve,
                "--cacert",
            ])
            .arg(&office.root)
            .arg(&url)
            .run();
        assert!(!finished.succeeded(), "{version:?}: {finished}");
        let visit = visits.recv_timeout(SOON).unwrap().unwrap_err();
        assert!(
            visit.contains("ClientCertificateMissing"),
            "{version:?}: {visit}"
        );
    }
}

/// Refused for the missing certificate, although the client does not verify the server.
#[test]
fn clients_that_refuse_our_certificate_send_an_alert() {
    let office = Office::new();
    let strangers = Pki::new();
    let root = strangers.root.write(office.directory.path(), "other", &[]);
    for version in VERSIONS {
        let (address, visits) = serve(office.server(version, false));
        let Some(curl) = Program::new("curl") else {
            return;
        };
        let url = format!("https://localhost:{}/", address.port());
        let resolve = format!("localhost:{}:127.0.0.1", address.port());
        let finished = curl
            .args(["--silent", "--resolve", &resolve, "--cacert"])
            .arg(&root.chain_pem)
            .arg(&url)
            .run();
        assert_eq!(finished.code, Some(60), "{finished}");
        let visit = visits.recv_timeout(SOON).unwrap().unwrap_err();
        assert!(visit.contains("Alert { code: 48 }"), "{version:?}: {visit}");
    }
}
