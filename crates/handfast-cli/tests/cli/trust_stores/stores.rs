//! What is in the stores before and after; curl for the system's, in a mount namespace.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use handfast_testbed::launch::Program;
use handfast_testbed::{peers, skipped};

use super::{BROWSER_LIMIT, HANDFAST, Home, TRUST_STORE, line};

/// A database with this certificate in it, as a user who imports by hand makes it.
fn database(certutil: &Path, directory: &Path, name: &str, certificate: &Path, trust: &str) {
    fs::create_dir_all(directory).unwrap();
    nss(certutil, directory, &["-N"]);
    let file = certificate.to_str().unwrap();
    nss(
        certutil,
        directory,
        &["-A", "-t", trust, "-n", name, "-i", file],
    );
}

fn nss(certutil: &Path, directory: &Path, arguments: &[&str]) -> String {
    let finished = Program::at(certutil)
        .args(arguments)
        .arg("-d")
        .arg(format!("sql:{}", directory.display()))
        .args(["-f", "/dev/null"])
        .run();
    assert!(finished.succeeded(), "{finished}");
    finished.out()
}

/// Every file below, with its content.
fn tree(directory: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => tree(&path, found),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
}

#[test]
fn nss_databases_get_the_authority_once_and_lose_it_alone() {
    let Some(certutil) = peers::require("certutil") else {
        return;
    };
    let home = Home::new();
    // Another authority of the very same name, which NSS files together with ours.
    let show = home.ca(&["show", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&show.stdout).unwrap();
    let common_name = document["common_name"].as_str().unwrap();
    let other = home.path("other");
    home.ca(&[
        "init",
        "--ca-dir",
        other.to_str().unwrap(),
        "--name",
        common_name,
    ]);
    let profile = home.path("home/.mozilla/firefox/x1 y2.default release");
    let imported = home.path("home/.config/mozilla/firefox/z3.default");
    let chromium = home.path("home/.pki/nssdb");
    database(&certutil, &profile, "other", &other.join("ca.pem"), "C,,");
    database(&certutil, &imported, "by hand", &home.ca_file(), ",,");

    let nss_only = |command| home.ca(&[command, "--store", "nss"]);
    let finished = nss_only("trust");
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.out().contains("name constraints"), "{finished}");
    let name = home.name();
    for (database, nickname) in [(&profile, name.as_str()), (&imported, "by hand")] {
        assert!(line(&finished.out(), database).starts_with("done"));
        let list = nss(&certutil, database, &["-L"]);
        let entry = list.lines().find(|line| line.starts_with(nickname));
        assert!(entry.is_some_and(|line| line.contains("C,,")), "{list}");
    }
    // Asked for by name, it is made also where no Chromium is installed.
    assert!(line(&finished.out(), &chromium).starts_with("done"));

    let finished = nss_only("trust");
    assert_eq!(finished.code, Some(0), "{finished}");
    for database in [&profile, &imported, &chromium] {
        let line = line(&finished.out(), database).to_owned();
        assert!(line.starts_with("unchanged"), "{line}");
    }

    let finished = nss_only("untrust");
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(line(&finished.out(), &profile).contains("removed"));
    let list = nss(&certutil, &profile, &["-L"]);
    assert!(list.contains("other") && !list.contains(&name), "{list}");
    let left = nss(&certutil, &profile, &["-L", "-n", "other", "-a"]);
    let other_pem = fs::read_to_string(other.join("ca.pem")).unwrap();
    assert_eq!(left.replace('\r', "").trim(), other_pem.trim());
    assert!(!nss(&certutil, &imported, &["-L"]).contains("by hand"));
    let finished = nss_only("untrust");
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(line(&finished.out(), &profile).starts_with("unchanged"));
}

/// What is printed is what is done: the lines work as they stand.
#[test]
fn a_dry_run_changes_nothing_and_prints_commands_that_work() {
    let Some(certutil) = peers::require("certutil") else {
        return;
    };
    let home = Home::new();
    let profile = home.path("home/.mozilla/firefox/x1.default");
    let other = home.path("other");
    home.ca(&["init", "--ca-dir", other.to_str().unwrap()]);
    database(&certutil, &profile, "other", &other.join("ca.pem"), "C,,");
    let mut before = BTreeMap::new();
    tree(home.temp.path(), &mut before);
    let finished = home.ca(&["trust", "--store", "nss", "--dry-run"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    let mut after = BTreeMap::new();
    tree(home.temp.path(), &mut after);
    assert!(before == after, "a dry run changed something");
    assert!(!home.path("home/.pki").exists());

    let out = finished.out();
    let mut commands = 0;
    let steps = out.lines().filter_map(|line| line.strip_prefix("    "));
    for line in steps.filter(|line| !line.starts_with(' ')) {
        let command = match line.split_once(' ') {
            Some(("run", command)) => command.to_owned(),
            Some(("create", path)) => format!("mkdir -p {path}"),
            _ => panic!("{line}"),
        };
        let status = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(status.success(), "{command}");
        commands += 1;
    }
    assert_eq!(commands, 4, "{out}");
    let finished = home.ca(&["trust", "--store", "nss"]);
    assert_eq!(finished.out().matches("trusted already").count(), 2);
    assert!(!finished.out().contains("done"), "{finished}");
}

#[test]
fn what_cannot_be_done_is_told_for_each_store() {
    let Some(certutil) = peers::require("certutil") else {
        return;
    };
    let home = Home::new();
    let run = |path: &Path, arguments: &[&str]| {
        let program = home.program().env("PATH", path).arg("ca");
        program.args(arguments).run()
    };
    let nowhere = home.path("no-programs");
    // Nothing there: to be trusted, a store has to exist.
    let finished = run(&nowhere, &["trust", "--store", "java"]);
    assert_eq!(finished.code, TRUST_STORE, "{finished}");
    assert!(finished.err().contains("[trust-store-not-found]"));
    let finished = run(&nowhere, &["untrust", "--store", "java"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.out().starts_with("handfast local CA"));
    // A profile, and no certutil.
    let profile = home.path("home/.mozilla/firefox/x1.default");
    fs::create_dir_all(&profile).unwrap();
    fs::write(profile.join("cert9.db"), "").unwrap();
    let finished = run(&nowhere, &["trust", "--store", "nss"]);
    assert_eq!(finished.code, TRUST_STORE, "{finished}");
    assert!(finished.err().contains("[trust-store-tool-missing]"));
    assert!(finished.err().contains("nss"), "{finished}");
    fs::remove_dir_all(&profile).unwrap();
    // A profile with a primary password: nothing is left in it.
    fs::create_dir_all(&profile).unwrap();
    let password = home.path("password");
    fs::write(&password, "secret password\n").unwrap();
    let made = Program::at(&certutil)
        .args(["-N", "-f", password.to_str().unwrap(), "-d"])
        .arg(format!("sql:{}", profile.display()))
        .run();
    assert!(made.succeeded(), "{made}");
    let finished = home.ca(&["trust", "--store", "nss"]);
    assert_eq!(finished.code, TRUST_STORE, "{finished}");
    assert!(
        finished.err().contains("[trust-store-locked]"),
        "{finished}"
    );
    assert!(!nss(&certutil, &profile, &["-L"]).contains("handfast"));
    // The others were done nevertheless.
    assert!(line(&finished.out(), &home.path("home/.pki/nssdb")).starts_with("done"));
}

#[test]
fn an_authority_is_made_to_be_trusted_but_not_by_sudo() {
    let Some(_) = peers::require("certutil") else {
        return;
    };
    let home = Home::new();
    fs::remove_dir_all(home.path("ca")).unwrap();
    for arguments in [&["untrust"][..], &["trust", "--store", "nss", "--dry-run"]] {
        let finished = home.ca(arguments);
        assert_eq!(finished.code, Some(1), "{finished}");
        assert!(finished.err().contains("[ca-missing]"), "{finished}");
    }
    let by_sudo = home.program().env("SUDO_USER", "ada");
    let finished = by_sudo.args(["ca", "trust", "--store", "nss"]).run();
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(
        finished.err().contains("of ada with --ca-dir"),
        "{finished}"
    );
    assert!(!home.path("ca").exists());
    let finished = home.ca(&["trust", "--store", "nss"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.err().contains("created a certificate authority"));
}

/// Debian's store, whole, with its own program; in a mount namespace, so that this machine's is not touched. curl reads it.
#[test]
fn curl_trusts_what_debian_s_store_holds() {
    let curl = peers::require("curl");
    let update = peers::require("update-ca-certificates");
    let unshare = peers::require("unshare");
    let (Some(curl), Some(_), Some(unshare)) = (curl, update, unshare) else {
        return;
    };
    let allowed = Program::at(&unshare).args(["--map-root-user", "--mount", "true"]);
    if !allowed.run().succeeded() {
        skipped::note("no mount namespace may be made here");
        return;
    }
    let home = Home::new();
    let (_server, port) = home.serve(&[]);
    let script = r#"
set -e
# Copies of what is changed; no hooks, which would leave the namespace by way of a package manager.
for directory in /usr/local/share/ca-certificates /etc/ssl/certs; do
  copy=$HOME/system$directory
  mkdir -p "$copy"
  cp -a "$directory/." "$copy"
  mount --bind "$copy" "$directory"
done
mkdir -p "$HOME/none"
mount --bind "$HOME/none" /etc/ca-certificates/update.d
bundle=/etc/ssl/certs/ca-certificates.crt
update-ca-certificates --fresh >/dev/null
cp "$bundle" "$HOME/before"
ls /etc/ssl/certs >"$HOME/links-before"

fetch() { "$CURL" -sS --cacert "$bundle" --capath /nowhere "$URL" >/dev/null && echo "fetched $1" || echo "refused $1"; }
fetch first
"$HANDFAST" ca trust --store system --dry-run
cmp "$bundle" "$HOME/before"
"$HANDFAST" ca trust --store system
fetch trusted
"$HANDFAST" ca trust --store system
"$HANDFAST" ca untrust --store system
fetch untrusted
"$HANDFAST" ca untrust --store system
cmp "$bundle" "$HOME/before"
ls /etc/ssl/certs | cmp - "$HOME/links-before"
echo end
"#;
    let finished = home
        .environment(Program::at(&unshare))
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .env("HANDFAST", HANDFAST)
        .env("CURL", curl)
        .env("URL", format!("https://localhost:{port}/"))
        .limit(BROWSER_LIMIT)
        .run();
    assert_eq!(finished.code, Some(0), "{finished}");
    let out = finished.out();
    let said: Vec<&str> = out
        .lines()
        .filter(|line| !line.starts_with(' ') && !line.is_empty())
        .filter(|line| !line.starts_with("handfast local CA"))
        .filter_map(|line| line.split("  ").next())
        .collect();
    assert_eq!(
        said,
        [
            "refused first",
            "would change",
            "done",
            "fetched trusted",
            "unchanged",
            "done",
            "refused untrusted",
            "unchanged",
            "end"
        ],
        "{finished}"
    );
    let write = format!(
        "    write /usr/local/share/ca-certificates/{}.crt ",
        home.name()
    );
    assert!(out.contains(&write), "{finished}");
    assert!(out.contains("    run /usr/sbin/update-ca-certificates\n"));
}

/// As a user who is not root: nothing is done, and the command to type is whole.
#[test]
fn what_needs_root_is_not_done_and_the_command_is_printed() {
    let Some(setpriv) = peers::require("setpriv") else {
        return;
    };
    let directory = Path::new("/usr/local/share/ca-certificates");
    if !directory.is_dir() || peers::require("update-ca-certificates").is_none() {
        return;
    }
    let home = Home::new();
    let mut command = match rustix::process::geteuid().is_root() {
        false => home.program(),
        true => {
            // A user without rights, who has to own what root made for the test.
            const NOBODY: u32 = 65_534;
            let status = Command::new("chown")
                .args(["-R", &NOBODY.to_string()])
                .arg(home.temp.path())
                .status();
            assert!(status.unwrap().success());
            let program = home.environment(Program::at(setpriv));
            let id = format!("--reuid={NOBODY}");
            program.args([&id, "--clear-groups", HANDFAST])
        }
    };
    command = command.args(["ca", "trust", "--store", "system"]);
    let finished = command.run();
    assert_eq!(finished.code, TRUST_STORE, "{finished}");
    let expected = format!(
        "fix: sudo {HANDFAST} ca trust --store system --ca-dir {}",
        home.path("ca").display()
    );
    assert!(finished.err().contains(&expected), "{finished}");
    assert!(finished.err().contains("[trust-store-needs-root]"));
    assert!(!directory.join(format!("{}.crt", home.name())).exists());
}

/// Files of root's in another user's profile would lock the browser out.
#[test]
fn root_leaves_another_user_s_home_alone() {
    if !rustix::process::geteuid().is_root() {
        skipped::note("only root can act in another user's home");
        return;
    }
    let home = Home::new();
    std::os::unix::fs::chown(home.path("home"), Some(65_534), None).unwrap();
    let finished = home.ca(&["trust", "--store", "nss"]);
    assert_eq!(finished.code, TRUST_STORE, "{finished}");
    assert!(finished.err().contains("[trust-store-other-owner]"));
    assert!(fs::read_dir(home.path("home")).unwrap().next().is_none());
}

/// Java's own keytool and a program in Java's hands, on a copy of this machine's store.
#[test]
fn java_s_store_gets_the_authority_once_and_loses_it_alone() {
    let Some(keytool) = peers::require("keytool") else {
        return;
    };
    let home = Home::new();
    let store = home.path("java/lib/security/cacerts");
    fs::create_dir_all(store.parent().unwrap()).unwrap();
    fs::create_dir_all(home.path("java/bin")).unwrap();
    let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", keytool.display());
    let script_file = home.path("java/bin/keytool");
    fs::write(&script_file, script).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&script_file, fs::Permissions::from_mode(0o755)).unwrap();
    let other = home.path("other");
    home.ca(&["init", "--ca-dir", other.to_str().unwrap()]);
    let run = |arguments: &[&str]| {
        let finished = Program::at(&keytool)
            .args(arguments)
            .args(["-storepass", "changeit", "-keystore"])
            .arg(&store)
            .limit(BROWSER_LIMIT)
            .run();
        assert!(finished.succeeded(), "{finished}");
        finished.out()
    };
    let other_file = other.join("ca.pem");
    run(&[
        "-importcert",
        "-noprompt",
        "-alias",
        "other",
        "-file",
        other_file.to_str().unwrap(),
    ]);
    let finished = home.ca(&["trust", "--store", "java"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(line(&finished.out(), &store).starts_with("done"));
    assert!(finished.out().contains("Java does not"));
    let list = run(&["-list"]);
    assert!(list.contains(&home.name()), "{list}");
    let finished = home.ca(&["trust", "--store", "java"]);
    assert!(line(&finished.out(), &store).starts_with("unchanged"));
    let finished = home.ca(&["untrust", "--store", "java"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    let list = run(&["-list"]);
    assert!(!list.contains(&home.name()), "{list}");
    assert!(list.contains("other"), "{list}");
}
