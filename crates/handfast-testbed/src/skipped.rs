//! Tests that could not run here, and why.
//!
//! `cargo test` shows what a test prints only when it fails, so a test that skips itself would go unseen. [`note`] writes
//! the reason into a file in the build directory, one for each run of cargo, and the test binary `skipped` of this crate,
//! which cargo runs last of all, prints what is in it.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Debian's packages and the programs in them.
const PEERS: &str = include_str!("../../../.ci/peers");

/// After so long a run has ended, and what it skipped will not be printed.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Says that the running test skips itself, on standard error and at the end of `cargo test`.
pub fn note(reason: &str) {
    let reason = reason.trim().replace(['\n', '\t'], " ");
    eprintln!("SKIPPED: {reason}");
    let Some(path) = notes() else {
        return;
    };
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // One write: lines of several processes do not mix. A note that cannot be written was printed above.
    if let Some(folder) = path.parent() {
        let _ = fs::create_dir_all(folder);
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    let _ = file.and_then(|mut file| file.write_all(format!("{reason}\t{test}\n").as_bytes()));
}

/// What this run of cargo skipped so far, as the end of `cargo test` tells it. What was told is forgotten.
pub fn summary() -> String {
    let Some(path) = notes() else {
        return String::new();
    };
    let noted = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(&path);
    if let Some(folder) = path.parent() {
        remove_old(folder);
    }
    told(&noted)
}

/// The file of this run: named by cargo, the process that starts all test binaries. `None` in tests of documentation,
/// which are not in the build directory.
fn notes() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    if folder.file_name()? != "deps" {
        return None;
    }
    #[cfg(unix)]
    let run = std::os::unix::process::parent_id();
    #[cfg(not(unix))]
    let run = 0;
    Some(folder.parent()?.join("skipped").join(run.to_string()))
}

fn remove_old(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > KEPT));
        if is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn told(noted: &str) -> String {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in noted.lines() {
        let (reason, test) = line.split_once('\t').unwrap_or((line, "a test"));
        let tests = by_reason.entry(reason).or_default();
        if !tests.contains(&test) {
            tests.push(test);
        }
    }
    if by_reason.is_empty() {
        return "no test was skipped\n".to_owned();
    }
    let count: usize = by_reason.values().map(Vec::len).sum();
    let mut text = format!("{count} tests were SKIPPED:\n");
    let mut packages = Vec::new();
    for (reason, tests) in by_reason {
        text.push_str(&format!("  {reason}: {}\n", tests.join(", ")));
        packages.extend(package_for(reason).filter(|package| !packages.contains(package)));
    }
    if !packages.is_empty() {
        packages.sort_unstable();
        let packages = packages.join(" ");
        text.push_str(&format!(
            "to run them on Debian: apt-get install {packages}\n"
        ));
    }
    text.push_str("with HANDFAST_REQUIRE_PEERS=1 a missing program is a failure; .ci/run installs all of them\n");
    text
}

/// The package of the program that a reason begins with: `gnutls-serv is not installed`.
fn package_for(reason: &str) -> Option<&'static str> {
    let program = match reason.strip_prefix("Python has no module ") {
        Some(module) => format!("python:{module}"),
        None => reason.split_whitespace().next()?.to_owned(),
    };
    let lines = PEERS.lines().filter(|line| !line.starts_with('#'));
    let mut lines = lines.map(|line| line.split_whitespace());
    lines.find_map(|mut words| {
        let package = words.next()?;
        words.any(|word| word == program).then_some(package)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_once_with_their_tests_and_packages() {
        let noted = "gnutls-serv is not installed\ta\nonly root can mount\tb\n\
                     gnutls-serv is not installed\tc\ngnutls-serv is not installed\ta\n\
                     Python has no module aiosmtpd\td\n";
        let told = told(noted);
        assert!(told.starts_with("4 tests were SKIPPED:\n"), "{told}");
        assert!(
            told.contains("  gnutls-serv is not installed: a, c\n"),
            "{told}"
        );
        assert!(
            told.contains("apt-get install gnutls-bin python3-aiosmtpd\n"),
            "{told}"
        );
        assert_eq!(super::told(""), "no test was skipped\n");
    }

    #[test]
    fn every_program_has_one_package() {
        for line in PEERS.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let package = words.next().unwrap();
            for program in words {
                let reason = match program.strip_prefix("python:") {
                    Some(module) => format!("Python has no module {module}"),
                    None => format!("{program} is not installed"),
                };
                assert_eq!(package_for(&reason), Some(package), "{reason}");
            }
        }
    }
}
