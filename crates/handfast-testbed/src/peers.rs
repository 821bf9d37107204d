//! Real peers: other programs, if they are installed.
//!
//! `cargo test` must pass without them, and say what it skipped; continuous integration must not pass
//! because all peers were missing. So [`require`] prints SKIPPED, or panics if
//! `HANDFAST_REQUIRE_PEERS=1` is set.

use std::env;
use std::path::PathBuf;

use crate::skipped;

/// Finds a program on the `PATH`, or where Debian keeps servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // Debian installs servers such as nginx in directories that are not on a user's PATH.
    let extra = ["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(extra)
        .chain(postgresql())
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Debian's directories of PostgreSQL's programs: one for each version.
fn postgresql() -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"))
}

/// Finds a program, or prints that the test is skipped.
///
/// ```
/// let Some(openssl) = handfast_testbed::peers::require("openssl") else { return };
/// assert!(openssl.is_file());
/// ```
///
/// # Panics
/// When the program is missing and `HANDFAST_REQUIRE_PEERS=1` is set.
pub fn require(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        missing(&format!("{program} is not installed"));
    }
    found
}

/// Finds a Python that has a module, or prints that the test is skipped.
///
/// # Panics
/// As [`require`].
pub fn require_python_with(module: &str) -> Option<PathBuf> {
    let python = require("python3")?;
    let found = std::process::Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        missing(&format!("Python has no module {module}"));
    }
    found.then_some(python)
}

fn missing(what: &str) {
    let must_run = env::var_os("HANDFAST_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!must_run, "{what}, and HANDFAST_REQUIRE_PEERS=1 is set");
    skipped::note(what);
}
