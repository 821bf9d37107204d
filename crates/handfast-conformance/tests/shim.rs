//! The shim as BoGo's runner meets it: a process that connects, says its number, and does as its flags say.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use handfast::{ClosePolicy, Identity, Passphrase, ServerContext, Stream};
use handfast_testbed::pki::Pki;

/// A runner with a certificate for the name that the real one uses.
struct Runner {
    listener: TcpListener,
    context: ServerContext,
    root: PathBuf,
    _place: tempfile::TempDir,
}

impl Runner {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let pki = Pki::new();
        let files = pki.server(&["test"]).write(place.path(), "server", &[]);
        let identity =
            Identity::from_pem_files(&files.chain_pem, &files.key_pem, Passphrase::none());
        let root = place.path().join("root.pem");
        std::fs::write(&root, pki.root.cert_pem()).expect("the root's file");
        Self {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"),
            context: ServerContext::builder()
                .identity(identity.expect("an identity"))
                .alpn(["foo"])
                .build()
                .expect("a context"),
            root,
            _place: place,
        }
    }

    fn start(&self, flags: &[&str]) -> std::process::Child {
        let port = self.listener.local_addr().expect("an address").port();
        Command::new(env!("CARGO_BIN_EXE_bogo-shim"))
            .args(["-port", &port.to_string(), "-shim-id", "4711"])
            .arg("-trust-cert")
            .arg(&self.root)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the shim")
    }

    fn accept(&self) -> Stream<TcpStream> {
        let (mut socket, _) = self.listener.accept().expect("a connection");
        let mut id = [0; 8];
        socket.read_exact(&mut id).expect("its number");
        assert_eq!(u64::from_le_bytes(id), 4711);
        self.context.accept(socket).expect("a handshake")
    }
}

fn ended(child: std::process::Child) -> Output {
    child.wait_with_output().expect("its end")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_client_resumes_and_echoes_what_it_reads_inverted() {
    let runner = Runner::new();
    let shim = runner.start(&[
        "-resume-count",
        "1",
        "-shim-writes-first",
        "-check-close-notify",
        "-advertise-alpn",
        "\u{3}foo",
        "-expect-alpn",
        "foo",
        "-on-initial-expect-no-hrr",
    ]);
    for resumed in [false, true] {
        let mut stream = runner.accept();
        assert_eq!(stream.report().resumed, resumed);
        stream.write_all(&[0x0f, 0xff]).expect("sent");
        stream.flush().expect("sent");
        let mut echo = [0; 7];
        stream.read_exact(&mut echo).expect("its echo");
        assert_eq!(&echo, b"hello\xf0\x00");
        stream.close(ClosePolicy::default());
    }
    let output = ended(shim);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(told(&output), "", "the runner takes a word for a failure");
}

#[test]
fn what_is_expected_and_not_met_fails() {
    let runner = Runner::new();
    let shim = runner.start(&["-expect-alpn", "bar"]);
    drop(runner.accept());
    let output = ended(shim);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).contains("protocol: None"),
        "{}",
        told(&output)
    );
}

#[test]
fn a_certificate_that_is_to_be_refused_is_refused_with_an_alert() {
    let runner = Runner::new();
    let shim = runner.start(&["-verify-fail"]);
    let (mut socket, _) = runner.listener.accept().expect("a connection");
    socket.read_exact(&mut [0; 8]).expect("its number");
    let failure = runner.context.accept(socket).expect_err("an alert");
    assert!(failure.alert_received().is_some());
    // The shim waits for that, so that its alert arrives.
    drop(failure);
    let output = ended(shim);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).contains("[name-mismatch]"),
        "{}",
        told(&output)
    );
    assert!(told(&output).contains("[alert sent:"), "{}", told(&output));
}

#[test]
fn unsupported_flags_are_refused_before_a_connection_is_made() {
    let runner = Runner::new();
    for flags in [
        &["-dtls"][..],
        &["-on-resume-enable-early-data"],
        &["-max-version", "770"],
        &["-curves", "25"],
        &["-an-unheard-of-flag"],
        &["-server"],
    ] {
        let output = ended(runner.start(flags));
        assert_eq!(
            output.status.code(),
            Some(89),
            "{flags:?}: {}",
            told(&output)
        );
        assert!(
            told(&output).starts_with("not supported: -"),
            "{}",
            told(&output)
        );
    }
    runner.listener.set_nonblocking(true).expect("set");
    assert!(runner.listener.accept().is_err());
}

#[test]
fn a_runner_that_asks_is_told_that_handshakes_are_not_handed_over() {
    let output = Command::new(env!("CARGO_BIN_EXE_bogo-shim"))
        .arg("-is-handshaker-supported")
        .output()
        .expect("the shim");
    assert!(output.status.success());
    assert_eq!(output.stdout, b"No\n");
}
