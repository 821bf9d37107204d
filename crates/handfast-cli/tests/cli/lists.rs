//! Revocation lists of a running server, and that of the local authority, which is used without being asked.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use handfast_testbed::launch::{Finished, Program, Running};
use handfast_testbed::pki::{DAY_SECS, Pki, now_secs, pem};

const PATIENCE: Duration = Duration::from_secs(20);

/// A directory to serve, and a local authority beside it.
struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("public")).unwrap();
        fs::write(base.path().join("public/f.txt"), "served\n").unwrap();
        Self { base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn handfast(&self) -> Program {
        Program::at(env!("CARGO_BIN_EXE_handfast")).env("HANDFAST_CA_DIR", self.path("ca"))
    }

    #[track_caller]
    fn ca(&self, arguments: &[&str]) {
        let out = self.path("");
        let mut program = self.handfast().arg("ca").args(arguments);
        if arguments[0] == "issue" {
            program = program.arg("--out").arg(out);
        }
        let finished = program.run();
        assert!(finished.succeeded(), "{arguments:?}: {finished}");
    }

    #[track_caller]
    fn revoke(&self, name: &str) {
        let file = self.path(&format!("{name}.pem"));
        self.ca(&["revoke", file.to_str().unwrap()]);
    }

    fn serve<S: AsRef<OsStr>>(&self, more: &[S]) -> Serving {
        let running = self
            .handfast()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(more)
            .arg(self.path("public"))
            .start();
        let port = running.wait_until(PATIENCE, |said| {
            let (_, rest) = said.split_once("listening on https://127.0.0.1:")?;
            rest.split_once("/\n")?.0.parse().ok()
        });
        let port = port.unwrap_or_else(|| panic!("{}", running.output()));
        Serving { running, port }
    }

    /// Asks the server, as the client whose files have this name.
    fn get(&self, server: &Serving, client: &str) -> Finished {
        self.handfast()
            .args(["get", "--no-probe", "--cert"])
            .arg(self.path(&format!("{client}.pem")))
            .arg("--key")
            .arg(self.path(&format!("{client}.key")))
            .arg(format!("https://localhost:{}/f.txt", server.port))
            .run()
    }

    #[track_caller]
    fn lets_in(&self, server: &Serving, client: &str, expected: bool) {
        let finished = self.get(server, client);
        let said = server.running.output();
        assert_eq!(
            finished.succeeded(),
            expected,
            "{client}: {finished}\n{said}"
        );
    }
}

struct Serving {
    running: Running,
    port: u16,
}

impl Serving {
    /// Waits until it has said so, on either stream.
    #[track_caller]
    fn wait_for(&self, text: &str) {
        said(&self.running, |output| output.contains(text).then_some(()));
    }
}

/// Waits until what was said so far, on either stream, has what is looked for.
#[track_caller]
fn said<R>(running: &Running, find: impl Fn(&str) -> Option<R>) -> R {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = running.output();
        if let Some(found) = find(&output) {
            return found;
        }
        assert!(Instant::now() < deadline, "{output}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As an editor or a copy over the network would: whole or not there.
fn replace(path: &Path, bytes: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

#[test]
fn what_the_local_authority_revokes_is_refused_at_once_and_while_the_server_runs() {
    let place = Place::new();
    for name in ["alice", "bob", "carol"] {
        place.ca(&["issue", "--client", name]);
    }
    place.revoke("alice");
    let by_path = place.path("ca/ca.pem");
    let servers = [OsStr::new("local"), by_path.as_os_str()].map(|authority| {
        let server = place.serve(&[OsStr::new("--client-ca"), authority]);
        place.lets_in(&server, "alice", false);
        server.wait_for("[certificate-revoked]");
        place.lets_in(&server, "bob", true);
        server
    });
    place.revoke("bob");
    for server in servers {
        server.wait_for("in use now");
        place.lets_in(&server, "bob", false);
        place.lets_in(&server, "carol", true);
    }
}

#[test]
fn a_list_that_is_broken_or_older_changes_nothing_and_is_told() {
    let place = Place::new();
    for name in ["alice", "bob"] {
        place.ca(&["issue", "--client", name]);
    }
    let list = place.path("ca/crl.pem");
    let first = fs::read(&list).unwrap();
    place.revoke("alice");
    let good = fs::read(&list).unwrap();
    let server = place.serve(&["--client-ca", "local"]);
    for (content, says) in [
        (
            &b"-----BEGIN X509 CRL-----\nnonsense\n"[..],
            "cannot be decoded",
        ),
        (&first, "older than the list in use"),
        (b"", "holds no revocation list"),
    ] {
        replace(&list, content);
        server.wait_for(says);
        place.lets_in(&server, "alice", false);
        place.lets_in(&server, "bob", true);
    }
    fs::remove_file(&list).unwrap();
    server.wait_for("cannot be read");
    place.lets_in(&server, "alice", false);
    // The next good one counts.
    replace(&list, &good);
    place.revoke("bob");
    server.wait_for("in use now");
    place.lets_in(&server, "bob", false);
    let warnings = server
        .running
        .output()
        .matches("the last valid list stays in use")
        .count();
    assert_eq!(
        warnings,
        4,
        "each is told once: {}",
        server.running.output()
    );
}

#[test]
fn a_list_that_is_missing_is_made_by_the_authority() {
    let place = Place::new();
    place.ca(&["issue", "--client", "alice"]);
    place.revoke("alice");
    fs::remove_file(place.path("ca/crl.pem")).unwrap();
    let server = place.serve(&["--client-ca", "local"]);
    place.lets_in(&server, "alice", false);
}

#[test]
fn lists_are_told_when_they_are_out_of_date_and_a_day_before() {
    let place = Place::new();
    let pki = Pki::new();
    let now = now_secs();
    fs::write(place.path("root.pem"), pki.root.cert_pem()).unwrap();
    let alice = pki.client("alice").write(place.base.path(), "alice", &[]);
    assert!(alice.chain_pem.is_file());
    let list = |until: u64| {
        pem(
            "X509 CRL",
            &pki.root.crl_between(&[], now - 9 * DAY_SECS, until),
        )
    };
    let file = place.path("list.pem");
    let serve = |policy: &[&str]| {
        let (root, file) = (place.path("root.pem"), file.clone());
        let mut args: Vec<&OsStr> = vec!["--client-ca".as_ref(), root.as_ref()];
        args.extend([OsStr::new("--crl"), file.as_ref()]);
        args.extend(policy.iter().map(OsStr::new));
        place.serve(&args)
    };
    // What is told at the start, and whether the client gets in.
    fs::write(&file, list(now - DAY_SECS)).unwrap();
    for (policy, says, gets_in) in [
        (&[][..], "--crl-expired hard", false),
        (&["--crl-expired", "hard"], "--crl-expired hard", false),
        (&["--crl-expired", "soft"], "--crl-expired soft", true),
    ] {
        let server = serve(policy);
        server.wait_for(says);
        place.lets_in(&server, "alice", gets_in);
        if !gets_in {
            server.wait_for("[crl-expired]");
        }
    }
    // A running server tells it once, when the day comes; and a new list counts without a restart.
    fs::write(&file, list(now + DAY_SECS + 2)).unwrap();
    let server = serve(&[]);
    server.wait_for("out of date from");
    place.lets_in(&server, "alice", true);
    let revoking =
        pki.root
            .crl_between(&[&pki.client("other")], now - DAY_SECS, now + 9 * DAY_SECS);
    replace(&file, pem("X509 CRL", &revoking));
    server.wait_for("in use now");
    let said = server.running.output();
    assert_eq!(said.matches("out of date from").count(), 1, "{said}");
    place.lets_in(&server, "alice", true);
}

/// Where clients trust the local authority by themselves, they believe what it revoked, too.
#[test]
fn a_server_that_the_local_authority_revoked_is_refused_by_clients() {
    let place = Place::new();
    place.ca(&["issue", "localhost"]);
    let (cert, key) = (place.path("localhost.pem"), place.path("localhost.key"));
    let server = place.serve(&[
        OsStr::new("--cert"),
        cert.as_ref(),
        "--key".as_ref(),
        key.as_ref(),
    ]);
    let host = format!("localhost:{}", server.port);
    let url = format!("https://{host}/f.txt");
    let commands: [&[&str]; 4] = [
        &["get", "--no-probe", &url],
        &["inspect", "--no-probe", &host],
        &["connect", "--no-probe", &host],
        &["bench", "-n", "1", "-c", "1", &url],
    ];
    for command in commands {
        let finished = place.handfast().args(command).run();
        assert!(finished.succeeded(), "{finished}");
    }
    let inspected = place.handfast().args(commands[1]).run();
    assert!(
        inspected.printed("by the local authority's list"),
        "{inspected}"
    );
    place.revoke("localhost");
    for command in commands {
        let finished = place.handfast().args(command).run();
        let told = finished.out() + &finished.err();
        assert!(!finished.succeeded(), "{finished}");
        assert!(told.contains("certificate-revoked"), "{finished}");
    }
}

#[test]
fn connect_as_a_server_tells_of_a_list_that_is_out_of_date() {
    let place = Place::new();
    place.ca(&["issue", "localhost"]);
    let pki = Pki::new();
    let list = pki
        .root
        .crl_between(&[], now_secs() - 9 * DAY_SECS, now_secs() - DAY_SECS);
    fs::write(place.path("list.pem"), pem("X509 CRL", &list)).unwrap();
    fs::write(place.path("root.pem"), pki.root.cert_pem()).unwrap();
    let running = place
        .handfast()
        .args(["connect", "--listen", "127.0.0.1:0", "--client-ca"])
        .arg(place.path("root.pem"))
        .arg("--crl")
        .arg(place.path("list.pem"))
        .arg("--cert")
        .arg(place.path("localhost.pem"))
        .arg("--key")
        .arg(place.path("localhost.key"))
        .start();
    said(&running, |output| {
        output.contains("(--crl-expired hard)").then_some(())
    });
}

#[test]
fn connect_as_a_server_asks_the_local_authority_s_list_too() {
    let place = Place::new();
    place.ca(&["issue", "localhost"]);
    for name in ["alice", "bob"] {
        place.ca(&["issue", "--client", name]);
    }
    place.revoke("alice");
    for (client, expected) in [("alice", false), ("bob", true)] {
        let running = place
            .handfast()
            .args(["connect", "--listen", "127.0.0.1:0", "--client-ca", "local"])
            .arg("--cert")
            .arg(place.path("localhost.pem"))
            .arg("--key")
            .arg(place.path("localhost.key"))
            .start();
        let port = said(&running, |output| {
            let (_, rest) = output.split_once("127.0.0.1:")?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            (digits.len() < rest.len()).then_some(digits)
        });
        let finished = place
            .handfast()
            .args(["connect", "--no-probe", "--cert"])
            .arg(place.path(&format!("{client}.pem")))
            .arg("--key")
            .arg(place.path(&format!("{client}.key")))
            .arg(format!("localhost:{port}"))
            .run();
        let told = said(&running, |output| {
            let refused = output.contains("[certificate-revoked]");
            (refused || finished.succeeded()).then_some(refused)
        });
        assert_eq!(told, !expected, "{}\n{finished}", running.output());
    }
}
