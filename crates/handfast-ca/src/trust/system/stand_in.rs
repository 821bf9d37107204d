//! Stand-ins for the tools of systems that the tests do not run on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::trust::kind::Change;
use crate::trust::store::{Found, Outcome, Places};
use crate::{Authority, InitOptions};

/// Puts a new authority into a store and takes it out, each of them twice. The tool is a script in this file, which
/// notes its arguments. Returns them without those that only read, and the authority.
pub(super) fn calls(
    find: fn(&Places) -> Found,
    places: &Places,
    tool: &Path,
    script: &str,
    reads: &str,
) -> (Vec<String>, Authority) {
    fs::create_dir_all(tool.parent().unwrap()).unwrap();
    fs::write(
        tool,
        format!("#!/bin/sh\nset -e\necho \"$*\" >>\"$0.calls\"\n{script}"),
    )
    .unwrap();
    fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::init(&home.path().join("ca"), &InitOptions::default()).unwrap();
    let anchor = authority.anchor();
    for change in [Change::Trust, Change::Untrust] {
        let once = || {
            let stores = find(places).unwrap();
            stores[0].change(change, &anchor, false).unwrap()
        };
        assert!(matches!(once(), Outcome::Done));
        assert!(matches!(once(), Outcome::Already));
    }
    let calls = fs::read_to_string(format!("{}.calls", tool.display())).unwrap();
    let calls = calls.lines().filter(|line| !line.contains(reads));
    (calls.map(str::to_owned).collect(), authority)
}
