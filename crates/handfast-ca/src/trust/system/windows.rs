//! Windows: the user's own store of root certificates, by Windows' `certutil` (which is not NSS's).
//!
//! Needs no administrator; Windows shows a dialogue. Never run on Windows so far: what is tested is which commands are
//! run.

use std::path::PathBuf;

use crate::trust::error::StoreError;
use crate::trust::kind::{Change, StoreKind};
use crate::trust::step::Step;
use crate::trust::store::{Anchor, Found, Places, Plan, SYSTEM_LIMIT, Store, StoreReport};
use crate::trust::tool::{Tool, ToolProblem};

pub(super) fn find(places: &Places) -> Found {
    // By its path: a certutil that is found first on the PATH may be NSS's.
    let program = places
        .windows
        .as_ref()
        .map(|windows| windows.join("System32").join("certutil.exe"))
        .filter(|program| program.is_file());
    match program {
        Some(program) => Ok(vec![Box::new(Windows { program })]),
        None => Err(StoreReport::not_found(
            StoreKind::System,
            "Windows",
            "no certutil in System32",
        )),
    }
}

#[derive(Debug)]
struct Windows {
    program: PathBuf,
}

impl Windows {
    fn certutil(&self, arguments: &[&str]) -> Tool {
        Tool::new(&self.program, SYSTEM_LIMIT)
            .arg("-user")
            .args(arguments)
    }
}

impl Store for Windows {
    fn kind(&self) -> StoreKind {
        StoreKind::System
    }

    fn owner(&self) -> String {
        "Windows".to_owned()
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("Root")
    }

    fn plan(&self, change: Change, anchor: &Anchor) -> Result<Plan, StoreError> {
        // The store names its certificates by this hash.
        let thumbprint = anchor.sha1();
        let show = self.certutil(&["-store", "Root", &thumbprint]);
        let is_there = match show.run().problem {
            None => true,
            Some(ToolProblem::Ended { .. }) => false,
            Some(problem) => {
                return Err(StoreError::Tool {
                    tool: show,
                    problem,
                    message: String::new(),
                });
            }
        };
        let tool = match change {
            Change::Trust if !is_there => Some(
                self.certutil(&["-f", "-addstore", "Root"])
                    .arg(&anchor.file),
            ),
            Change::Untrust if is_there => Some(self.certutil(&["-delstore", "Root", &thumbprint])),
            _ => None,
        };
        Ok(Plan {
            steps: tool.into_iter().map(Step::Run).collect(),
            ..Plan::default()
        })
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::stand_in::calls;
    use super::*;

    /// As the manual of Windows' `certutil` has it: the store is a file with a thumbprint here.
    const CERTUTIL: &str = r#"
for last; do :; done
case "$*" in
  *-addstore*) openssl x509 -in "$last" -noout -fingerprint -sha1 | tr -d : | tr A-F a-f | sed 's/.*=//' >"$0.store";;
  *-delstore*) rm "$0.store";;
  *-store*) grep -q "$last" "$0.store" 2>/dev/null;;
esac
"#;

    #[test]
    fn the_commands_for_windows() {
        if handfast_testbed::peers::require("openssl").is_none() {
            return;
        }
        let windows = tempfile::tempdir().unwrap();
        let places = Places {
            windows: Some(windows.path().to_owned()),
            ..Places::default()
        };
        let tool = windows.path().join("System32/certutil.exe");
        let (calls, _) = calls(find, &places, &tool, CERTUTIL, "-user -store ");
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert!(
            calls[0].starts_with("-user -f -addstore Root "),
            "{calls:?}"
        );
        assert!(calls[1].starts_with("-user -delstore Root "), "{calls:?}");
    }
}
