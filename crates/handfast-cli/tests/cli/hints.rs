//! What the program advises fits the cause, and can be typed as it stands.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use handfast_testbed::pki::{Pki, Spec};

use crate::common::Fixture;

/// The program in a directory, with the local authority of the directory `ca` in it.
fn handfast<'a>(place: &Path, args: impl IntoIterator<Item = &'a str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handfast"));
    command
        .current_dir(place)
        .env("HANDFAST_CA_DIR", place.join("ca"));
    command.args(args).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn done<'a>(place: &Path, args: impl IntoIterator<Item = &'a str>) {
    let output = handfast(place, args);
    assert!(output.status.success(), "{output:?}");
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_time_that_was_given_is_not_that_of_a_clock() {
    let temp = tempfile::tempdir().unwrap();
    done(temp.path(), ["ca", "issue", "localhost"]);
    for (at, id) in [
        ("2001-01-01T00:00:00Z", "certificate-not-yet-valid"),
        ("2045-01-01T00:00:00Z", "certificate-expired"),
    ] {
        let args = [
            "inspect",
            "--file",
            "localhost.pem",
            "--cacert",
            "ca/ca.pem",
            "--at",
            at,
        ];
        let told = err(&handfast(temp.path(), args));
        assert!(told.contains(id), "{told}");
        assert!(told.contains(&format!("verified as of {at}")), "{told}");
        assert!(!told.contains("clock"), "{told}");
    }
}

#[test]
fn a_certificate_that_the_local_authority_revoked_is_shown_as_revoked() {
    let temp = tempfile::tempdir().unwrap();
    done(temp.path(), ["ca", "issue", "localhost"]);
    done(temp.path(), ["ca", "revoke", "localhost.pem"]);
    let shown = handfast(temp.path(), ["inspect", "--file", "localhost.pem"]);
    assert!(err(&shown).contains("[certificate-revoked]"), "{shown:?}");
    let text = out(&shown);
    let line = text.lines().find(|line| line.contains("REVOKED since"));
    let line = line.unwrap_or_else(|| panic!("{shown:?}"));
    assert!(line.ends_with(", by the local authority's list"), "{line}");
    assert!(!text.contains("not checked"), "{text}");
    // A list that was given is named.
    let beneath = temp.path().join("beneath");
    std::fs::create_dir(&beneath).unwrap();
    let args = ["inspect", "--file", "../localhost.pem"];
    let given = ["--cacert", "../ca/ca.pem", "--crl", "../ca/crl.pem"];
    let shown = handfast(&beneath, args.into_iter().chain(given));
    assert!(out(&shown).contains(", by ../ca/crl.pem\n"), "{shown:?}");
}

#[test]
fn the_authority_of_another_handfast_is_recognised() {
    let temp = tempfile::tempdir().unwrap();
    done(
        temp.path(),
        ["ca", "issue", "localhost", "--ca-dir", "theirs"],
    );
    done(temp.path(), ["ca", "init"]);
    let told = err(&handfast(
        temp.path(),
        ["inspect", "--file", "localhost.pem"],
    ));
    assert!(told.contains("[unknown-issuer]"), "{told}");
    assert!(
        told.contains("`handfast ca show` there names its ca.pem"),
        "{told}"
    );
}

#[test]
fn a_version_that_an_option_excludes_is_not_called_insecure() {
    let fixture = Fixture::new();
    let server = fixture.pki.server(&["localhost"]);
    for (theirs, ours, fix) in [
        (
            "-tls1_2",
            &["--tlsv1.3"][..],
            "allow TLS 1.2, which the server speaks (leave out --tlsv1.3)",
        ),
        (
            "-tls1_3",
            &["--tls-max", "1.2"],
            "allow TLS 1.3, which the server speaks (leave out --tls-max)",
        ),
    ] {
        let Some(peer) = fixture.openssl(&server, &[theirs]) else {
            return;
        };
        let url = format!("https://localhost:{}/", peer.address().port());
        let told = fixture.run("get", [&[url.as_str()], ours].concat()).err();
        assert!(told.contains("[protocol-version]"), "{told}");
        assert!(told.contains(fix), "{told}");
        assert!(!told.contains("insecure"), "{told}");
    }
}

#[test]
fn a_validity_that_ends_before_it_begins_is_not_called_expired() {
    let temp = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let now = unix_now();
    let spec = Spec::server(&["localhost"]);
    let reversed = pki
        .root
        .issue(spec.valid_between(now - 86_400, now - 2 * 86_400));
    let files = reversed.write(temp.path(), "reversed", &[]);
    let (cert, key) = (
        files.chain_pem.display().to_string(),
        files.key_pem.display().to_string(),
    );
    std::fs::create_dir(temp.path().join("www")).unwrap();
    let checked = handfast(
        temp.path(),
        [
            "serve",
            "www",
            "--check",
            "--cert",
            cert.as_str(),
            "--key",
            key.as_str(),
        ],
    );
    assert!(
        err(&checked).contains("the certificate is never valid"),
        "{checked:?}"
    );
    let shown = handfast(temp.path(), ["inspect", "--file", cert.as_str()]);
    assert!(
        out(&shown).contains("never valid: it ends before it begins"),
        "{shown:?}"
    );
}

/// What `serve` says of a configuration, of which it serves nothing.
fn refused(place: &Path, configuration: &str, more: &[&str]) -> String {
    std::fs::write(place.join("handfast.toml"), configuration).unwrap();
    let args = ["serve", "--config", "handfast.toml"];
    let output = handfast(place, args.into_iter().chain(more.iter().copied()));
    assert!(!output.status.success(), "{output:?}");
    err(&output)
}

#[test]
fn what_is_wrong_with_a_site_is_told_where_it_is() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("www")).unwrap();
    done(temp.path(), ["ca", "issue", "localhost", "db.internal"]);
    done(temp.path(), ["ca", "issue", "db.internal"]);
    for (site, place, says) in [
        (
            "names = [\"www.example.org\"]",
            "handfast.toml:3:",
            &[
                "this site has no certificate",
                "fix: add [[site.certificate]]",
            ][..],
        ),
        (
            "[[site.certificate]]\nchain = \"localhost.pem\"\nkey = \"db.internal.key\"",
            "handfast.toml:5:",
            &["[key-mismatch]", "key = \"db.internal.key\""],
        ),
        (
            "[[site.rule]]\npath = \"bad\"\nstatus = 410",
            "handfast.toml:4:",
            &["path = \"bad\""],
        ),
    ] {
        let text = format!("[[site]]\nroot = \"www\"\n{site}\n");
        let told = refused(temp.path(), &text, &["--check"]);
        for text in [&[place], says].concat() {
            assert!(told.contains(text), "{text}: {told}");
        }
    }
}

#[test]
fn an_address_that_is_taken_is_told_with_what_listens_there() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("www")).unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let output = handfast(temp.path(), ["serve", "www", "--listen", address.as_str()]);
    let told = err(&output);
    assert!(told.contains("[address-in-use]"), "{told}");
    assert!(told.contains("--listen ADDR:PORT"), "{told}");
    if cfg!(target_os = "linux") {
        let port = other.local_addr().unwrap().port();
        assert!(
            told.contains(&format!("`ss -ltnp 'sport = :{port}'`")),
            "{told}"
        );
    }
    let text = format!("[[listener]]\naddress = \"{address}\"\n[[site]]\nroot = \"www\"\n");
    let told = refused(temp.path(), &text, &[]);
    assert!(told.contains("handfast.toml:2:"), "{told}");
    assert!(
        told.contains("choose another address: address = \"ADDR:PORT\""),
        "{told}"
    );
    assert!(!told.contains("--listen"), "{told}");
    // One of no machine's (RFC 5737).
    let told = err(&handfast(
        temp.path(),
        ["serve", "www", "--listen", "192.0.2.1:8443"],
    ));
    assert!(
        told.contains("to listen on all addresses: --listen :PORT"),
        "{told}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_in_the_place_of_a_control_socket_is_told() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("www")).unwrap();
    std::fs::write(temp.path().join("notes"), "mine").unwrap();
    let told = err(&handfast(
        temp.path(),
        [
            "serve",
            "www",
            "--listen",
            "127.0.0.1:0",
            "--takeover",
            "notes",
        ],
    ));
    assert!(
        told.contains("a file of this name, which is not a socket"),
        "{told}"
    );
    assert_eq!(std::fs::read(temp.path().join("notes")).unwrap(), b"mine");
}

#[test]
fn a_client_s_certificate_is_not_given_a_name_of_a_server() {
    let temp = tempfile::tempdir().unwrap();
    done(
        temp.path(),
        ["ca", "issue", "--client", "alice@corp.example"],
    );
    let shown = handfast(temp.path(), ["inspect", "--file", "alice@corp.example.pem"]);
    assert!(
        out(&shown).contains("NOT verified as a server's: "),
        "{shown:?}"
    );
    assert!(!out(&shown).contains("for localhost"), "{shown:?}");
    assert!(
        err(&shown).contains("check it with --purpose client"),
        "{shown:?}"
    );
}

#[test]
fn a_url_without_its_colon_is_recognised() {
    let temp = tempfile::tempdir().unwrap();
    let told = handfast(temp.path(), ["get", "https//localhost:8443/"]);
    assert_eq!(told.status.code(), Some(3), "{told:?}");
    assert!(
        err(&told).contains("fix: write https://localhost:8443/"),
        "{told:?}"
    );
}

#[test]
fn what_clients_refuse_counts_as_a_problem_in_a_check() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("www")).unwrap();
    done(temp.path(), ["ca", "issue", "localhost"]);
    let check = [
        "serve",
        "www",
        "--check",
        "--cert",
        "localhost.pem",
        "--key",
        "localhost.key",
    ];
    done(temp.path(), check);
    done(temp.path(), ["ca", "revoke", "localhost.pem"]);
    let checked = handfast(temp.path(), check);
    assert!(!checked.status.success(), "{checked:?}");
    let told = err(&checked);
    let line = told
        .lines()
        .find(|line| line.contains("has revoked this certificate"));
    assert!(
        line.is_some_and(|line| line.starts_with("problem: --cert: ")),
        "{told}"
    );
}

#[test]
fn a_directory_that_cannot_be_served_comes_with_a_fix() {
    let temp = tempfile::tempdir().unwrap();
    let told = err(&handfast(temp.path(), ["serve", "nosuch"]));
    assert!(
        told.contains("[no-directory]")
            && told.contains("fix: check the path, or make the directory"),
        "{told}"
    );
}

#[test]
fn a_load_test_that_fails_says_what_to_do() {
    let temp = tempfile::tempdir().unwrap();
    done(temp.path(), ["ca", "init"]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", closed.local_addr().unwrap());
    drop(closed);
    let report = out(&handfast(
        temp.path(),
        ["bench", "-n", "2", "-c", "1", &url],
    ));
    let (_, failure) = report
        .split_once("failure ")
        .unwrap_or_else(|| panic!("{report}"));
    assert!(failure.contains("fix: "), "{report}");
}

/// The program while it serves.
struct Serving {
    child: std::process::Child,
    /// What it has printed on its standard output, up to the empty line after the commands.
    said: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(place: &Path, args: &[&str], last: &str) -> Serving {
    use std::io::BufRead as _;
    let mut command = Command::new(env!("CARGO_BIN_EXE_handfast"));
    command
        .current_dir(place)
        .env("HANDFAST_CA_DIR", place.join("ca"));
    let args = ["serve", "www", "--listen", "127.0.0.1:0"]
        .iter()
        .chain(args);
    let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    while !said.contains(last) {
        let line = lines.next().unwrap_or_else(|| panic!("{said}")).unwrap();
        said.push_str(&line);
        said.push('\n');
    }
    Serving { child, said }
}

#[test]
fn the_commands_for_a_certificate_of_an_unknown_authority_name_its_file() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("www")).unwrap();
    let pki = Pki::new();
    let files = pki
        .server(&["localhost"])
        .write(temp.path(), "private", &[]);
    let (cert, key) = (
        files.chain_pem.display().to_string(),
        files.key_pem.display().to_string(),
    );
    let serving = serve(temp.path(), &["--cert", &cert, "--key", &key], "curl ");
    assert!(
        serving
            .said
            .contains("handfast get --cacert ISSUER.pem https://"),
        "{}",
        serving.said
    );
    assert!(
        serving.said.contains("curl --cacert ISSUER.pem https://"),
        "{}",
        serving.said
    );
}

#[test]
fn a_name_below_localhost_is_fetched() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("www")).unwrap();
    std::fs::write(temp.path().join("www/f.txt"), "here").unwrap();
    let serving = serve(temp.path(), &["--name", "dev.localhost"], "curl ");
    let port = serving
        .said
        .split("127.0.0.1:")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let url = format!("https://dev.localhost:{}/f.txt", port.unwrap());
    let got = handfast(temp.path(), ["get", &url]);
    assert_eq!(out(&got), "here", "{got:?}");
}

/// In unix seconds.
fn unix_now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
