//! `handfast ca` as a person or a script uses it: the real binary, files, exit codes, words.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Instant;

use handfast_testbed::peers;
use tempfile::TempDir;

/// A directory to work in, and an authority below it that the environment names.
struct Place {
    temp: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            temp: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handfast"));
        command
            .arg("ca")
            .args(arguments)
            .current_dir(self.temp.path())
            .env("HANDFAST_CA_DIR", self.path("ca"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.command(arguments).output().unwrap().into()
    }

    fn show(&self) -> serde_json::Value {
        let output = self.run(&["show", "--json"]);
        assert_eq!(output.code, 0, "{output:?}");
        serde_json::from_str(&output.stdout).unwrap()
    }
}

#[derive(Debug)]
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Outcome {
    #[track_caller]
    fn expect(self, code: i32, in_stderr: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for words in in_stderr {
            assert!(self.stderr.contains(words), "{words:?} is not in {self:#?}");
        }
        self
    }
}

fn openssl(place: &Place, arguments: &[&str]) -> Option<Outcome> {
    let program = peers::require("openssl")?;
    let output = Command::new(program)
        .args(arguments)
        .current_dir(place.temp.path())
        .stdin(Stdio::null())
        .output();
    Some(output.unwrap().into())
}

const VERIFY: [&str; 4] = ["verify", "-x509_strict", "-CAfile", "ca/ca.pem"];

fn verify(place: &Place, more: &[&str]) -> Option<Outcome> {
    openssl(place, &[&VERIFY[..], more].concat())
}

#[test]
fn from_nothing_to_a_certificate_in_one_command() {
    let place = Place::new();
    let output = place
        .run(&["issue", "localhost", "127.0.0.1", "::1"])
        .expect(
            0,
            &[
                "created a certificate authority",
                "--cacert",
                "handfast serve --cert",
            ],
        );
    assert!(output.stdout.contains("localhost.pem"), "{output:?}");
    if let Some(verdict) = verify(
        &place,
        &[
            "-purpose",
            "sslserver",
            "-verify_ip",
            "::1",
            "localhost.pem",
        ],
    ) {
        verdict.expect(0, &[]);
    }
    let again = place.run(&["issue", "db.internal"]).expect(0, &[]);
    assert!(
        !again.stderr.contains("created a certificate authority"),
        "{again:?}"
    );
    let client = place
        .run(&["issue", "--client", "alice@corp.example", "--out", "people"])
        .expect(0, &["--client-ca"]);
    assert!(client.stdout.contains("people"), "{client:?}");
    let file = "people/alice@corp.example.pem";
    if let Some(verdict) = verify(&place, &["-purpose", "sslclient", file]) {
        verdict.expect(0, &[]);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| {
            let metadata = fs::metadata(place.path(name)).unwrap();
            metadata.permissions().mode() & 0o7777
        };
        assert_eq!(mode("ca"), 0o700);
        assert_eq!(mode("ca/ca.key"), 0o600);
        assert_eq!(mode("localhost.key"), 0o600);
        assert_eq!(mode("people/alice@corp.example.key"), 0o600);
    }
}

/// What is printed is typed as it stands: without the option, another authority would be used, or made.
#[test]
fn commands_that_are_printed_name_the_authority_and_the_passphrase() {
    let place = Place::new();
    let mine = place.path("mine").display().to_string();
    let ca_dir = ["--ca-dir", mine.as_str()];
    let server = [&["issue", "localhost"], &ca_dir[..]].concat();
    place
        .run(&server)
        .expect(0, &[&format!("handfast ca trust --ca-dir {mine}\n")]);
    let client = [&["issue", "--client", "carol"], &ca_dir[..]].concat();
    place.run(&client).expect(
        0,
        &[
            &format!("/carol.key --cacert {mine}/ca.pem URL"),
            &format!("--client-ca local --ca-dir {mine}\n"),
        ],
    );
    let variable = place.path("ca").display().to_string();
    place
        .run(&["issue", "db.internal"])
        .expect(0, &[&format!("handfast ca trust --ca-dir {variable}\n")]);
    let secret = ["--encrypt-key", "--pass", "env:SECRET"];
    let encrypted = [&["issue", "--client", "dave"], &secret[..], &ca_dir].concat();
    let output = place.command(&encrypted).env("SECRET", "open").output();
    Outcome::from(output.unwrap()).expect(0, &["/dave.key --pass env:SECRET --cacert"]);
    // The authority of the platform's directory needs no option.
    let mut of_platform = place.command(&["issue", "localhost", "--force"]);
    of_platform.env_remove("HANDFAST_CA_DIR");
    for variable in ["HOME", "XDG_DATA_HOME", "APPDATA"] {
        of_platform.env(variable, place.path("home"));
    }
    let output = Outcome::from(of_platform.output().unwrap());
    if cfg!(target_os = "linux") {
        output.expect(0, &["handfast ca trust\n"]);
    }
}

#[test]
fn what_cannot_be_revoked_is_told_with_what_can() {
    let place = Place::new();
    place.run(&["issue", "--client", "alice"]).expect(0, &[]);
    place.run(&["issue", "db.internal"]).expect(0, &[]);
    for (given, file) in [
        ("./alice.key", "(./alice.pem)"),
        ("alice", "(alice.pem)"),
        ("db.internal", "(db.internal.pem)"),
        ("missing.pem", "(NAME.pem)"),
    ] {
        let refused = place.run(&["revoke", given]);
        assert_ne!(refused.code, 0, "{refused:?}");
        let fix = format!("fix: give the file of the certificate {file}, or the serial number");
        assert!(refused.stderr.contains(&fix), "{given}: {refused:?}");
        assert!(!refused.stderr.contains("backup"), "{given}: {refused:?}");
    }
    // Which clients refuse it, and which servers, depends on what it was for.
    place.run(&["revoke", "db.internal.pem"]).expect(
        0,
        &["handfast's clients on this machine refuse it from now on"],
    );
    place
        .run(&["revoke", "alice.pem"])
        .expect(0, &["`handfast serve --client-ca local` uses the list"]);
}

#[test]
fn each_kind_of_key() {
    let place = Place::new();
    for key_type in [
        "ecdsa-p256",
        "ecdsa-p384",
        "ed25519",
        "rsa-2048",
        "rsa-3072",
    ] {
        let output = place.run(&[
            "issue",
            "localhost",
            "--key-type",
            key_type,
            "--out",
            key_type,
            "--days",
            "30",
        ]);
        output.expect(0, &[]);
        let file = format!("{key_type}/localhost.pem");
        if let Some(verdict) = verify(&place, &[&file]) {
            verdict.expect(0, &[]);
        }
    }
    place
        .run(&["issue", "localhost", "--key-type", "dsa"])
        .expect(2, &["possible values"]);
    place
        .run(&["issue", "localhost", "--days", "826"])
        .expect(2, &["825"]);
}

#[test]
fn names_outside_are_refused_and_the_way_is_told() {
    let place = Place::new();
    place.run(&["issue", "bank.example"]).expect(
        1,
        &[
            "bank.example",
            "nothing was signed",
            "[ca-name-not-permitted]",
            "--permit bank.example",
        ],
    );
    assert!(
        !place.path("ca").exists(),
        "the wrong authority was not made in passing"
    );

    place
        .run(&[
            "init",
            "--permit",
            "corp.example",
            "--permit",
            "192.0.2.0/24",
        ])
        .expect(0, &[]);
    place
        .run(&["issue", "www.corp.example", "192.0.2.7"])
        .expect(0, &[]);
    for names in [&["bank.example"][..], &["www.corp.example", "8.8.8.8"]] {
        place
            .run(&[&["issue", "--out", "out"], names].concat())
            .expect(1, &["fix:"]);
    }
    assert!(!place.path("out").exists());
    place
        .run(&["issue", "--client", "alice.smith"])
        .expect(1, &["treated as a host name"]);
    place.run(&["issue", "*.local"]).expect(2, &["two labels"]);
    place
        .run(&["issue", "https://localhost:8443"])
        .expect(2, &["URL"]);
    assert_eq!(place.show()["issued"].as_array().unwrap().len(), 1);
}

#[test]
fn made_once() {
    let place = Place::new();
    let output = place.run(&["init", "--name", "Our CA"]).expect(0, &[]);
    assert!(
        output.stdout.contains("Our CA") && output.stdout.contains("home.arpa"),
        "{output:?}"
    );
    let before = fs::read(place.path("ca/ca.pem")).unwrap();
    // Asking for what is there changes nothing, and is no error.
    for same in [
        &["init"][..],
        &["init", "--name", "Our CA", "--days", "3650"],
        &[
            "init",
            "--permit",
            "printer.home.arpa",
            "--permit",
            "10.1.0.0/16",
        ],
    ] {
        let output = place.run(same).expect(0, &["nothing was changed"]);
        assert!(output.stdout.contains("Our CA"), "{output:?}");
    }
    for (other, says) in [
        (["init", "--name", "Their CA"], "its name is Our CA"),
        (["init", "--days", "10"], "3650 days, not for 10"),
        (
            ["init", "--permit", "corp.example"],
            "may not sign for corp.example",
        ),
        (
            ["init", "--permit", "8.8.8.0/24"],
            "may not sign for 8.8.8.0/24",
        ),
    ] {
        let refused = place.run(&other);
        refused.expect(1, &["[ca-exists]", "ca/ca.pem", "--ca-dir", says]);
    }
    assert_eq!(fs::read(place.path("ca/ca.pem")).unwrap(), before);
    place
        .run(&["show", "--ca-dir", "nowhere"])
        .expect(1, &["[ca-missing]", "handfast ca init"]);
    place.run(&["--ca-dir", "other", "init"]).expect(0, &[]);
    assert!(place.path("other/ca.pem").is_file());
    place
        .run(&["init", "--ca-dir", "third", "--permit", "*.corp.example"])
        .expect(2, &["without the wildcard"]);
}

#[test]
fn show_tells_everything() {
    let place = Place::new();
    place
        .run(&["issue", "localhost", "*.dev.localhost"])
        .expect(0, &[]);
    place.run(&["issue", "--client", "Zoë"]).expect(0, &[]);
    place.run(&["revoke", "Zoë.pem"]).expect(0, &[]);
    let text = place.run(&["show"]).expect(0, &[]).stdout;
    for words in [
        "ca/ca.pem",
        "signs for",
        "localhost, local",
        "10.0.0.0/8",
        "number 2",
        "*.dev.localhost",
        "Zoë",
        "revoked 20",
        "valid until",
        "ecdsa-p256",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    let json = place.show();
    assert_eq!(json["issued"][0]["names"][1], "*.dev.localhost");
    assert_eq!(json["issued"][0]["purpose"], "server");
    assert!(json["issued"][0]["revoked_at"].is_null());
    assert_eq!(json["issued"][1]["purpose"], "client");
    assert!(json["issued"][1]["revoked_at"].is_string());
    assert_eq!(json["crl"]["number"], 2);
    if let Some(output) = openssl(
        &place,
        &[
            "x509",
            "-in",
            "ca/ca.pem",
            "-noout",
            "-fingerprint",
            "-sha256",
        ],
    ) {
        let fingerprint = output.stdout.trim().split_once('=').unwrap().1.to_owned();
        assert!(
            text.contains(&fingerprint),
            "{fingerprint} is not in {text}"
        );
    }
}

#[test]
fn revoked_by_file_or_serial() {
    let place = Place::new();
    for name in ["a.test", "b.test", "c.test"] {
        place.run(&["issue", name]).expect(0, &[]);
    }
    let serial = place.show()["issued"][1]["serial"]
        .as_str()
        .unwrap()
        .to_ascii_uppercase();
    place.run(&["revoke", "a.test.pem"]).expect(0, &[]);
    place.run(&["revoke", &serial]).expect(0, &[]);
    let again = place.run(&["revoke", "a.test.pem"]).expect(0, &[]);
    assert!(again.stdout.contains("already"), "{again:?}");
    for (file, code, words) in [
        ("a.test.pem", 2, "certificate revoked"),
        ("b.test.pem", 2, "certificate revoked"),
        ("c.test.pem", 0, ""),
    ] {
        if let Some(output) = verify(&place, &["-crl_check", "-CRLfile", "ca/crl.pem", file]) {
            output.expect(code, &[words]);
        }
    }
    // Of a certificate that only the file is left of, and of one that not even that is left of.
    let before = fs::read(place.path("ca/ledger.jsonl")).unwrap();
    place.run(&["issue", "lost.test"]).expect(0, &[]);
    fs::write(place.path("ca/ledger.jsonl"), before).unwrap();
    place
        .run(&["revoke", "lost.test.pem"])
        .expect(0, &["not in the ledger"]);
    if let Some(output) = verify(
        &place,
        &["-crl_check", "-CRLfile", "ca/crl.pem", "lost.test.pem"],
    ) {
        output.expect(2, &["certificate revoked"]);
    }
    place.run(&["revoke", "--lost", "bad0cafe"]).expect(0, &[]);
    let unrecorded = &place.show()["revoked_unrecorded"];
    assert_eq!(unrecorded[0]["names"][0], "lost.test");
    assert_eq!(unrecorded[1]["serial"], "bad0cafe");
    let shown = place.run(&["show"]).expect(0, &[]);
    assert!(shown.stdout.contains("not in the ledger"), "{shown:?}");
    place
        .run(&["revoke", "ca/ca.pem"])
        .expect(1, &["[ca-own-certificate]"]);
    place
        .run(&["revoke", "00ff"])
        .expect(1, &["[ca-unknown-serial]", "ca show"]);
    place
        .run(&["revoke", "what"])
        .expect(2, &["[ca-invalid-serial]"]);
    place
        .run(&["revoke", "missing.pem"])
        .expect(26, &["missing.pem"]);
    place
        .run(&["revoke", "a.test.key"])
        .expect(1, &["no certificate"]);
    let before = place.show()["crl"]["number"].as_u64().unwrap();
    place.run(&["crl"]).expect(0, &[]);
    assert_eq!(place.show()["crl"]["number"].as_u64(), Some(before + 1));
}

#[test]
fn existing_files_are_kept_without_force() {
    let place = Place::new();
    place.run(&["issue", "localhost"]).expect(0, &[]);
    let key = fs::read(place.path("localhost.key")).unwrap();
    place
        .run(&["issue", "localhost"])
        .expect(23, &["localhost.key", "exists already", "--force"]);
    assert_eq!(fs::read(place.path("localhost.key")).unwrap(), key);
    place.run(&["issue", "localhost", "--force"]).expect(0, &[]);
    assert_ne!(fs::read(place.path("localhost.key")).unwrap(), key);
    fs::write(place.path("plain"), "").unwrap();
    place
        .run(&["issue", "localhost", "--out", "plain"])
        .expect(23, &["plain"]);
}

#[test]
fn the_passphrase_comes_from_anywhere_but_is_never_told() {
    let place = Place::new();
    fs::write(place.path("secret"), "hunter2\n").unwrap();
    for (name, source) in [
        ("a.test", "env:PASSPHRASE"),
        ("b.test", "file:secret"),
        ("c.test", "stdin"),
        ("d.test", "pass:hunter2"),
    ] {
        let mut child = place
            .command(&["issue", name, "--encrypt-key", "--pass", source])
            .env("PASSPHRASE", "hunter2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"hunter2\n").ok();
        let output = Outcome::from(child.wait_with_output().unwrap()).expect(0, &[]);
        assert!(!output.stdout.contains("hunter2") && !output.stderr.contains("hunter2"));
        let key = fs::read_to_string(place.path(&format!("{name}.key"))).unwrap();
        assert!(key.contains("ENCRYPTED PRIVATE KEY"), "{source}");
        let file = format!("{name}.key");
        for (passphrase, code) in [("pass:hunter2", 0), ("pass:hunter3", 1)] {
            if let Some(output) = openssl(
                &place,
                &["pkey", "-in", &file, "-noout", "-passin", passphrase],
            ) {
                output.expect(code, &[]);
            }
        }
    }
    place
        .run(&["issue", "e.test", "--encrypt-key", "--pass", "env:MISSING"])
        .expect(1, &["env:MISSING", "--pass"]);
    place
        .run(&["issue", "e.test", "--pass", "stdin"])
        .expect(2, &["--encrypt-key"]);
    assert!(!place.path("e.test.pem").exists());
}

/// Killed at any moment: what has its final name is whole, what is whole is recorded, and the next one
/// works.
#[cfg(unix)]
#[test]
fn a_killed_issue_leaves_nothing_half_made() {
    const TURNS: u32 = 60;
    let place = Place::new();
    place.run(&["init"]).expect(0, &[]);
    let started = Instant::now();
    place.run(&["issue", "first.test"]).expect(0, &[]);
    let usual = started.elapsed();
    let mut finished = 0;
    for turn in 0..TURNS {
        let name = format!("host-{turn}.test");
        let mut child = place
            .command(&["issue", &name, "--out", "out"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Not for readiness: the moment of the kill is what is tried out.
        thread::sleep(usual.mul_f64(1.4 * f64::from(turn) / f64::from(TURNS)));
        child.kill().unwrap();
        finished += u32::from(child.wait().unwrap().success());
    }
    let issued = place.show();
    let recorded: Vec<_> = issued["issued"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["certificate_file"].as_str().unwrap().to_owned())
        .collect();
    let mut whole = 0;
    for entry in fs::read_dir(place.path("out")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with(".handfast-unfinished-") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("-----BEGIN ") && text.trim_end().ends_with("-----"),
            "{text:?}"
        );
        if name.ends_with(".pem") {
            whole += 1;
            assert!(
                recorded.iter().any(|file| Path::new(file) == path),
                "{name} is not recorded"
            );
            assert!(path.with_extension("key").is_file(), "{name} has no key");
        }
    }
    eprintln!(
        "{finished} of {TURNS} finished, {whole} certificates are whole, {} are recorded",
        recorded.len()
    );
    place.run(&["issue", "after.test"]).expect(0, &[]);
    place.run(&["revoke", "after.test.pem"]).expect(0, &[]);
}

#[test]
fn many_at_once_are_all_recorded() {
    let place = Place::new();
    let children: Vec<_> = (0..12)
        .map(|number| {
            let name = format!("host-{number}.test");
            place
                .command(&["issue", &name, "--out", "out"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(place.show()["issued"].as_array().unwrap().len(), 12);
    // One authority, though all of them found none.
    for number in 0..12 {
        if let Some(output) = verify(&place, &[&format!("out/host-{number}.test.pem")]) {
            output.expect(0, &[]);
        }
    }
}

#[test]
fn ed25519_for_a_server_is_warned_about_and_for_a_client_is_not() {
    let place = Place::new();
    for (args, warned) in [
        (&["issue", "--key-type", "ed25519", "a.test"][..], true),
        (
            &["issue", "--key-type", "ed25519", "--client", "ada"],
            false,
        ),
        (&["issue", "b.test"], false),
    ] {
        let output = place.run(args).expect(0, &[]);
        let found = output.stderr.contains("browsers refuse");
        assert_eq!(found, warned, "{args:?} {output:?}");
    }
}

/// What is printed to be typed can be typed, whatever the directory is called.
#[test]
fn the_commands_that_are_printed_quote_their_files() {
    let place = Place::new();
    let output = place
        .run(&["issue", "--out", "with space", "a.test"])
        .expect(0, &[]);
    assert!(
        output.stderr.contains("with space/a.test.pem' --key '"),
        "{output:?}"
    );
    let output = place.run(&["issue", "--client", "ada"]).expect(0, &[]);
    assert!(output.stderr.contains("curl --cacert "), "{output:?}");
}
