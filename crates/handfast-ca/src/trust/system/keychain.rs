//! macOS: a keychain, and trust settings for what is in it, by `security`.
//!
//! A user's own keychain needs no root: macOS asks for the user's password in a dialogue. Root changes the system's. Never run on
//! macOS so far: what is tested is which commands are run.

use std::path::PathBuf;

use crate::trust::error::StoreError;
use crate::trust::kind::{Change, StoreKind};
use crate::trust::step::{Step, output};
use crate::trust::store::{Anchor, Found, Places, Plan, SYSTEM_LIMIT, Store, StoreReport, is_root};
use crate::trust::tool::Tool;

const PROGRAM: &str = "usr/bin/security";
const SYSTEM: &str = "Library/Keychains/System.keychain";
const LOGIN: &str = "Library/Keychains/login.keychain-db";

pub(super) fn find(places: &Places) -> Found {
    let program = places.root.join(PROGRAM);
    let keychain = match &places.home {
        _ if is_root() => Some(places.root.join(SYSTEM)),
        home => home.as_ref().map(|home| home.join(LOGIN)),
    };
    match keychain {
        Some(keychain) if keychain.exists() && program.exists() => Ok(vec![Box::new(Keychain {
            is_system: is_root(),
            keychain,
            program,
        })]),
        _ => Err(StoreReport::not_found(
            StoreKind::System,
            "macOS",
            "no keychain of this user",
        )),
    }
}

#[derive(Debug)]
struct Keychain {
    program: PathBuf,
    keychain: PathBuf,
    is_system: bool,
}

impl Keychain {
    fn security(&self, command: &str) -> Tool {
        Tool::new(&self.program, SYSTEM_LIMIT).arg(command)
    }

    /// The settings of all users are another domain than one's own.
    fn in_domain(&self, command: &str) -> Tool {
        let domain: &[&str] = if self.is_system { &["-d"] } else { &[] };
        self.security(command).args(domain)
    }
}

impl Store for Keychain {
    fn kind(&self) -> StoreKind {
        StoreKind::System
    }

    fn owner(&self) -> String {
        "macOS".to_owned()
    }

    fn path(&self) -> PathBuf {
        self.keychain.clone()
    }

    fn plan(&self, change: Change, anchor: &Anchor) -> Result<Plan, StoreError> {
        let list = self.security("find-certificate").args(["-a", "-p"]);
        let is_there = anchor.is_in(&output(&list.arg(&self.keychain))?);
        let tools = match change {
            Change::Trust if !is_there => vec![
                self.in_domain("add-trusted-cert")
                    .args(["-r", "trustRoot", "-p", "ssl", "-k"])
                    .arg(&self.keychain)
                    .arg(&anchor.file),
            ],
            Change::Untrust if is_there => vec![
                self.in_domain("remove-trusted-cert").arg(&anchor.file),
                self.security("delete-certificate")
                    .args(["-Z", &anchor.sha256().to_ascii_uppercase()])
                    .arg(&self.keychain),
            ],
            _ => Vec::new(),
        };
        Ok(Plan {
            steps: tools.into_iter().map(Step::Run).collect(),
            ..Plan::default()
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::super::stand_in::calls;
    use super::*;

    /// As the manual of `security` has it: a keychain is a file of PEM here.
    const SECURITY: &str = r#"
for last; do :; done
keychain=$(ls "${0%/usr/bin/security}"/Library/Keychains/*)
case $1 in
  find-certificate) cat "$last";;
  add-trusted-cert) cat "$last" >>"$keychain";;
  remove-trusted-cert) :;;
  delete-certificate) : >"$last";;
esac
"#;

    #[test]
    fn the_commands_for_a_keychain() {
        let root = tempfile::tempdir().unwrap();
        let keychain = root.path().join(if is_root() { SYSTEM } else { LOGIN });
        fs::create_dir_all(keychain.parent().unwrap()).unwrap();
        fs::write(&keychain, "").unwrap();
        let places = Places {
            root: root.path().to_owned(),
            home: Some(root.path().to_owned()),
            ..Places::default()
        };
        let tool = root.path().join(PROGRAM);
        let (calls, authority) = calls(find, &places, &tool, SECURITY, "find-certificate");
        let hash = authority.sha256().to_ascii_uppercase();
        assert_eq!(calls.len(), 3, "{calls:?}");
        assert!(calls[0].starts_with("add-trusted-cert "), "{calls:?}");
        assert!(calls[0].contains("-r trustRoot -p ssl -k "), "{calls:?}");
        assert!(calls[1].starts_with("remove-trusted-cert "), "{calls:?}");
        assert!(calls[2].starts_with(&format!("delete-certificate -Z {hash} ")));
    }
}
