//! Trust stores, with stand-ins for the programs that change them: what is written, run, removed and left alone.
//!
//! The real programs are in the tests of the command line.
#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::Fixture;
use handfast_ca::{Change, Outcome, Places, StoreError, StoreKind, StoreReport};

/// A root of a file system, a home, and an authority.
struct Machine {
    fixture: Fixture,
    places: Places,
}

impl Machine {
    fn new() -> Self {
        let fixture = Fixture::new();
        let mut places = Places::default();
        places.root = fixture.path("root");
        places.home = Some(fixture.path("home"));
        places.search_path = vec![fixture.path("bin"), PathBuf::from("relative")];
        for directory in ["root", "home", "bin"] {
            fs::create_dir_all(fixture.path(directory)).unwrap();
        }
        Self { fixture, places }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.fixture.path(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.write(name, &format!("#!/bin/sh\nset -e\n{text}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn pem(&self) -> String {
        fs::read_to_string(self.fixture.authority.certificate_file()).unwrap()
    }

    fn change(&self, change: Change, kind: StoreKind) -> StoreReport {
        let mut reports = self
            .fixture
            .authority
            .change_trust(change, &[kind], &self.places, false);
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports.remove(0)
    }

    fn trust(&self, kind: StoreKind) -> StoreReport {
        self.change(Change::Trust, kind)
    }

    fn untrust(&self, kind: StoreKind) -> StoreReport {
        self.change(Change::Untrust, kind)
    }
}

#[track_caller]
fn done(report: &StoreReport) {
    assert!(matches!(report.outcome, Outcome::Done), "{report:?}");
}

#[track_caller]
fn already(report: &StoreReport) {
    assert!(matches!(report.outcome, Outcome::Already), "{report:?}");
}

#[track_caller]
fn failed(report: StoreReport, id: &str) -> StoreError {
    match report.outcome {
        Outcome::Failed(error) if error.id() == id => error,
        outcome => panic!("{outcome:?} is not {id}"),
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn another_pem() -> String {
    fs::read_to_string(Fixture::new().authority.certificate_file()).unwrap()
}

/// Directory, extension, program and bundle of each family of distributions.
const SYSTEMS: [[&str; 4]; 5] = [
    [
        "etc/pki/ca-trust/source/anchors",
        "pem",
        "usr/bin/update-ca-trust",
        "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    ],
    [
        "usr/local/share/ca-certificates",
        "crt",
        "usr/sbin/update-ca-certificates",
        "etc/ssl/certs/ca-certificates.crt",
    ],
    [
        "etc/ca-certificates/trust-source/anchors",
        "crt",
        "usr/bin/trust",
        "etc/ca-certificates/extracted/tls-ca-bundle.pem",
    ],
    [
        "etc/pki/trust/anchors",
        "pem",
        "usr/sbin/update-ca-certificates",
        "var/lib/ca-certificates/ca-bundle.pem",
    ],
    [
        "usr/share/pki/trust/anchors",
        "pem",
        "usr/sbin/update-ca-certificates",
        "var/lib/ca-certificates/ca-bundle.pem",
    ],
];

/// A system's store with another authority in it, and a program that makes the bundle and notes how it was called.
fn system(machine: &Machine, [directory, extension, program, bundle]: [&str; 4]) -> PathBuf {
    let directory = machine.path("root").join(directory);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(format!("other.{extension}")), another_pem()).unwrap();
    let bundle = machine.path("root").join(bundle);
    fs::create_dir_all(bundle.parent().unwrap()).unwrap();
    machine.script(
        &format!("root/{program}"),
        &format!(
            "echo \"called $*\" >>'{}'\ncat '{}'/*.{extension} >'{}'",
            machine.path("calls").display(),
            directory.display(),
            bundle.display()
        ),
    );
    directory
}

#[test]
fn each_system_s_store_gets_the_certificate_once_and_loses_nothing_else() {
    for layout in SYSTEMS {
        let machine = Machine::new();
        let directory = system(&machine, layout);
        let other = fs::read(directory.join(format!("other.{}", layout[1]))).unwrap();
        let bundle = machine.path("root").join(layout[3]);
        done(&machine.trust(StoreKind::System));
        let name = format!("{}.{}", machine.fixture.authority.store_name(), layout[1]);
        let file = directory.join(&name);
        assert_eq!(fs::read_to_string(&file).unwrap(), machine.pem());
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o644, "{layout:?}");
        let text = fs::read_to_string(&bundle).unwrap();
        assert!(text.contains(machine.pem().trim()), "{layout:?}");

        already(&machine.trust(StoreKind::System));
        let calls = fs::read_to_string(machine.path("calls")).unwrap();
        assert_eq!(calls.lines().count(), 1, "{calls}");

        done(&machine.untrust(StoreKind::System));
        already(&machine.untrust(StoreKind::System));
        assert_eq!(names_in(&directory), [format!("other.{}", layout[1])]);
        assert_eq!(fs::read(&bundle).unwrap(), other);
        let calls = fs::read_to_string(machine.path("calls")).unwrap();
        assert_eq!(calls.lines().count(), 2, "{calls}");
    }
}

#[test]
fn a_certificate_that_was_put_there_by_hand_is_known_and_removed() {
    let machine = Machine::new();
    let directory = system(&machine, SYSTEMS[1]);
    fs::write(directory.join("by-hand.crt"), machine.pem()).unwrap();
    // In the directory, but not in the bundle yet.
    done(&machine.trust(StoreKind::System));
    assert_eq!(names_in(&directory), ["by-hand.crt", "other.crt"]);
    already(&machine.trust(StoreKind::System));
    done(&machine.untrust(StoreKind::System));
    assert_eq!(names_in(&directory), ["other.crt"]);
}

/// A file with this certificate and another one is not ours: it is not taken apart.
#[test]
fn a_file_with_more_certificates_than_ours_is_left_alone() {
    let machine = Machine::new();
    let directory = system(&machine, SYSTEMS[1]);
    let both = format!("{}{}", machine.pem(), another_pem());
    fs::write(directory.join("both.crt"), &both).unwrap();
    done(&machine.trust(StoreKind::System));
    failed(
        machine.untrust(StoreKind::System),
        "trust-store-not-in-effect",
    );
    assert_eq!(
        fs::read_to_string(directory.join("both.crt")).unwrap(),
        both
    );
}

#[test]
fn another_certificate_under_our_name_is_neither_replaced_nor_removed() {
    let machine = Machine::new();
    let directory = system(&machine, SYSTEMS[1]);
    let file = directory.join(format!("{}.crt", machine.fixture.authority.store_name()));
    let other = another_pem();
    fs::write(&file, &other).unwrap();
    failed(machine.trust(StoreKind::System), "trust-store-name-taken");
    already(&machine.untrust(StoreKind::System));
    assert_eq!(fs::read_to_string(&file).unwrap(), other);
}

#[test]
fn a_program_that_fails_leaves_no_file_behind() {
    let machine = Machine::new();
    let directory = system(&machine, SYSTEMS[1]);
    let program = format!("root/{}", SYSTEMS[1][2]);
    machine.script(&program, "echo 'no space left' >&2; exit 7");
    let error = failed(machine.trust(StoreKind::System), "trust-store-tool-failed");
    let StoreError::Tool { message, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(message, "no space left");
    assert_eq!(
        error.to_string(),
        "update-ca-certificates failed with exit code 7"
    );
    assert_eq!(names_in(&directory), ["other.crt"]);
    // It says that it succeeded, and the bundle does not have it.
    machine.script(&program, "exit 0");
    failed(
        machine.trust(StoreKind::System),
        "trust-store-not-in-effect",
    );
}

#[test]
fn what_is_missing_is_named() {
    let machine = Machine::new();
    for kind in StoreKind::ALL {
        let report = machine.untrust(kind);
        assert!(
            matches!(report.outcome, Outcome::NotFound { .. }),
            "{report:?}"
        );
    }
    fs::create_dir_all(machine.path("root").join(SYSTEMS[1][0])).unwrap();
    failed(machine.trust(StoreKind::System), "trust-store-tool-missing");
    machine.write("home/.pki/nssdb/cert9.db", "");
    machine.write("root/usr/bin/apt-get", "");
    let error = failed(machine.trust(StoreKind::Nss), "trust-store-tool-missing");
    let fix = error.fix().unwrap();
    assert!(fix.contains("apt-get install libnss3-tools"), "{fix}");
}

/// The databases of every browser that keeps one, and no other directory.
#[test]
fn every_browser_s_database_is_found() {
    let mut machine = Machine::new();
    let databases = [
        ".pki/nssdb",
        ".local/share/pki/nssdb",
        "snap/chromium/current/.pki/nssdb",
        ".var/app/org.chromium.Chromium/.pki/nssdb",
        ".mozilla/firefox/a.default",
        ".mozilla/firefox/b b.default",
        ".config/mozilla/firefox/c.default",
        "snap/firefox/common/.mozilla/firefox/d.default",
        ".var/app/org.mozilla.firefox/.mozilla/firefox/e.default",
    ];
    for database in databases {
        machine.write(&format!("home/{database}/cert9.db"), "");
    }
    machine.write("home/.mozilla/firefox/Crash Reports/x", "");
    // It holds nothing, whatever it is asked, so that only plans are made.
    machine.script("bin/certutil", "exit 0");
    let found = |machine: &Machine| {
        let reports = machine.fixture.authority.change_trust(
            Change::Trust,
            &[StoreKind::Nss],
            &machine.places,
            true,
        );
        let mut paths: Vec<_> = reports.into_iter().map(|one| one.path.unwrap()).collect();
        paths.sort();
        paths
    };
    let mut expected = databases.map(|one| machine.path("home").join(one));
    expected.sort();
    assert_eq!(found(&machine), expected);
    machine.places.data_home = Some(machine.path("data"));
    machine.places.config_home = Some(machine.path("config"));
    machine.write("data/pki/nssdb/cert9.db", "");
    machine.write("config/mozilla/firefox/f/cert9.db", "");
    let found = found(&machine);
    assert!(found.contains(&machine.path("data/pki/nssdb")), "{found:?}");
    assert!(found.contains(&machine.path("config/mozilla/firefox/f")));
    assert_eq!(found.len(), expected.len());
}

/// Chromium's database is made where Chromium is installed, or where it was asked for.
#[test]
fn a_database_is_made_for_chromium_alone() {
    let machine = Machine::new();
    machine.script("bin/certutil", "exit 0");
    let plan = |machine: &Machine, kinds: &[StoreKind]| {
        let reports =
            machine
                .fixture
                .authority
                .change_trust(Change::Trust, kinds, &machine.places, true);
        let nss = reports.into_iter().find(|one| one.kind == StoreKind::Nss);
        nss.unwrap()
    };
    let report = plan(&machine, &[]);
    assert!(
        matches!(report.outcome, Outcome::NotFound { .. }),
        "{report:?}"
    );
    let asked = plan(&machine, &[StoreKind::Nss]);
    machine.script("bin/google-chrome", "exit 0");
    for report in [asked, plan(&machine, &[])] {
        assert_eq!(report.path, Some(machine.path("home/.pki/nssdb")));
        let Outcome::Planned { steps, .. } = report.outcome else {
            panic!("{report:?}")
        };
        assert_eq!(steps.len(), 3, "{steps:?}");
    }
    assert!(names_in(&machine.path("home")).is_empty());
}

/// A stand-in: the store is text, in the form in which it is listed.
const KEYTOOL: &str = r#"
command=$1; shift
while [ $# -gt 0 ]; do
  case $1 in
    -keystore) store=$2; shift;; -alias) alias=$2; shift;; -file) file=$2; shift;;
    -storepass) [ "$2" = changeit ] || { echo 'keystore password was incorrect'; exit 1; }; shift;;
  esac
  shift
done
case $command in
  -list) cat "$store";;
  -importcert) { echo "Alias name: $alias"; cat "$file"; } >>"$store";;
  -delete) awk -v alias="$alias" '/^Alias name: /{keep = ($3 != alias)} keep' "$store" >"$store.new"
    cat "$store.new" >"$store"; rm "$store.new";;
esac"#;

fn java(machine: &Machine) -> PathBuf {
    let store = format!("Alias name: other\n{}", another_pem());
    machine.script("java/bin/keytool", KEYTOOL);
    machine.script("java/bin/java", "exit 1");
    machine.write("java/lib/security/cacerts", &store)
}

#[test]
fn java_s_store_gets_the_certificate_once_and_loses_nothing_else() {
    let mut machine = Machine::new();
    let store = java(&machine);
    machine.places.java_home = Some(machine.path("java"));
    fs::set_permissions(&store, fs::Permissions::from_mode(0o444)).unwrap();
    let before = fs::read_to_string(&store).unwrap();
    done(&machine.trust(StoreKind::Java));
    let name = format!("Alias name: {}\n", machine.fixture.authority.store_name());
    let text = fs::read_to_string(&store).unwrap();
    assert!(text.contains(&(name + &machine.pem())), "{text}");
    already(&machine.trust(StoreKind::Java));
    done(&machine.untrust(StoreKind::Java));
    already(&machine.untrust(StoreKind::Java));
    assert_eq!(fs::read_to_string(&store).unwrap(), before);
    let mode = fs::metadata(&store).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o444);
    assert_eq!(names_in(store.parent().unwrap()), ["cacerts"]);

    // Under the names that others gave it, and twice.
    let twice = ["debian:handfast.pem", "by-hand"]
        .map(|alias| format!("Alias name: {alias}\n{}", machine.pem()));
    fs::set_permissions(&store, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&store, format!("{before}{}", twice.concat())).unwrap();
    already(&machine.trust(StoreKind::Java));
    done(&machine.untrust(StoreKind::Java));
    assert_eq!(fs::read_to_string(&store).unwrap(), before);
}

/// Found by the `java` on the path, through links as distributions make them, or by asking a script that stands for it.
#[test]
fn java_is_found_by_its_program() {
    let machine = Machine::new();
    let store = java(&machine);
    std::os::unix::fs::symlink(machine.path("java/bin/java"), machine.path("bin/java")).unwrap();
    let report = machine.trust(StoreKind::Java);
    done(&report);
    assert_eq!(report.path, Some(store.canonicalize().unwrap()));
    done(&machine.untrust(StoreKind::Java));
    fs::remove_file(machine.path("bin/java")).unwrap();
    let settings = format!(
        "echo '    java.home = {}' >&2",
        machine.path("java").display()
    );
    machine.script("bin/java", &settings);
    done(&machine.trust(StoreKind::Java));
}

/// Its hook of the system's store adds what is new and removes nothing.
#[test]
fn debian_s_shared_java_store_is_looked_at_when_the_certificate_is_to_go() {
    let mut machine = Machine::new();
    let store = java(&machine);
    machine.places.java_home = Some(machine.path("java"));
    let other = format!("Alias name: other\n{}", another_pem());
    let hooked = format!("{other}Alias name: debian:handfast.pem\n{}", machine.pem());
    let shared = machine.write("root/etc/ssl/certs/java/cacerts", &hooked);
    done(&machine.trust(StoreKind::Java));
    let change = || {
        let authority = &machine.fixture.authority;
        authority.change_trust(Change::Untrust, &[StoreKind::Java], &machine.places, false)
    };
    let reports = change();
    assert_eq!(reports.len(), 2, "{reports:?}");
    reports.iter().for_each(done);
    assert_eq!(fs::read_to_string(&shared).unwrap(), other);
    assert!(!fs::read_to_string(&store).unwrap().contains(&machine.pem()));
    change().iter().for_each(already);
}

#[test]
fn a_keytool_that_fails_half_way_leaves_java_s_store_as_it_was() {
    let mut machine = Machine::new();
    let store = java(&machine);
    machine.places.java_home = Some(machine.path("java"));
    let before = fs::read(&store).unwrap();
    machine.script(
        "java/bin/keytool",
        "case $1 in -list) ;; *) while [ $# -gt 1 ]; do shift; done; echo half >\"$1\"; exit 1;; esac",
    );
    failed(machine.trust(StoreKind::Java), "trust-store-tool-failed");
    assert_eq!(fs::read(&store).unwrap(), before);
    assert_eq!(names_in(store.parent().unwrap()), ["cacerts"]);
    machine.script(
        "java/bin/keytool",
        "echo 'java.io.IOException: keystore password was incorrect'; exit 1",
    );
    failed(machine.trust(StoreKind::Java), "trust-store-locked");
}

/// Fedora's and Arch's: what is put into it by hand is lost.
#[test]
fn a_java_store_that_is_made_from_the_system_s_follows_it() {
    let mut machine = Machine::new();
    java(&machine);
    machine.places.java_home = Some(machine.path("java"));
    let store = machine.path("java/lib/security/cacerts");
    let made = machine.write(
        "root/etc/pki/ca-trust/extracted/java/cacerts",
        "Alias name: other\n",
    );
    fs::remove_file(&store).unwrap();
    std::os::unix::fs::symlink(&made, &store).unwrap();
    system(&machine, SYSTEMS[0]);
    let reports =
        machine
            .fixture
            .authority
            .change_trust(Change::Trust, &[], &machine.places, false);
    assert!(
        matches!(reports.last().unwrap().outcome, Outcome::FollowsSystem),
        "{reports:?}"
    );
    failed(
        machine.trust(StoreKind::Java),
        "trust-store-made-from-system",
    );
}
