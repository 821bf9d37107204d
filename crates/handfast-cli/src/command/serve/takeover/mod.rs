//! One process of `handfast serve` takes over from another, which runs: the same listening sockets, so that no connection is refused
//! or reset.
//!
//! ```text
//! new process                                running process
//!   reads configuration, certificates          serves
//!   connects to the control socket ----------> hello, checked: same user, or root
//!   <------------------------------------------ sockets (SCM_RIGHTS), ticket keys; goes on serving
//!   confines itself, serves
//!   ready -----------------------------------> accepts no more
//!   <------------------------------------ done; finishes its open connections, ends
//! ```
//!
//! The control socket is handed over with the others: its path is that of whichever process serves. Until the new one is ready, its
//! failure changes nothing: the connection ends, and the running process goes on. If the new one is late, the running process
//! says that it has taken everything back, and the new one ends: two processes never serve with two configurations. Only a connection that
//! ends without a word means that the running process is gone. Files of Unix sockets, the control socket's among them, are the new
//! process' to remove once it has been told "done", not before.
//!
//! The running process never executes anything: its confinement forbids that, and needs no exception for this.

#[cfg(target_os = "linux")]
mod claim;
#[cfg(target_os = "linux")]
mod messages;
#[cfg(target_os = "linux")]
mod offer;
#[cfg(not(target_os = "linux"))]
mod unsupported;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use handfast::Explanation;
use handfast_https::server::ListenerId;

#[cfg(target_os = "linux")]
pub(super) use self::claim::Claim;
#[cfg(target_os = "linux")]
pub(super) use self::offer::{Control, Taken};
#[cfg(not(target_os = "linux"))]
pub(super) use self::unsupported::{Claim, Control, Taken};
use super::config::{Address, StatusAddress};
use crate::failure::{Failure, code};

/// A listener of a server as its successor finds it: by what was configured.
pub(super) type Key = String;

/// Those of the listeners that there are, which a reload may change.
pub(super) type Keys = Rc<RefCell<HashMap<ListenerId, Key>>>;

/// The key of an address that stands for one listener, or for what systemd hands over.
pub(super) fn key(address: &Address) -> Key {
    match address {
        Address::Unix(path) => Address::Unix(located(path)).to_string(),
        _ => address.to_string(),
    }
}

/// The other process may have another working directory, and come to this one by another link.
fn located(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().and_then(|parent| parent.canonicalize().ok());
    match (directory, path.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => path,
    }
}

pub(super) fn key_of_status(address: &StatusAddress) -> Key {
    format!("status:{}", address.0)
}

fn failure(what: String, evidence: String, fix: &'static str) -> Failure {
    let explanation = Explanation::new("takeover-failed", what)
        .with_evidence(evidence)
        .with_fix(fix);
    Failure::new(code::OTHER, explanation)
}
