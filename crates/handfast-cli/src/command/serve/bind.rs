//! Why an address cannot be listened on, and what to do.

use std::io::ErrorKind;
#[cfg(unix)]
use std::path::Path;

use handfast::Explanation;
#[cfg(unix)]
use handfast::escape_control;
use handfast_https::server::{BindError, LocalAddress};

use crate::failure::{Failure, code};

/// Ports below need a privilege on most systems.
const PRIVILEGED: u16 = 1024;

/// What was to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listens {
    /// What serves the sites, or redirects to it.
    Sites,
    /// The status page.
    Status,
}

pub(super) fn failure(error: &BindError, listens: Listens) -> Failure {
    #[cfg(unix)]
    if let Some(LocalAddress::Unix(path)) = &error.address {
        return Failure::new(code::OTHER, of_path(error, path));
    }
    Failure::new(code::OTHER, of_address(error, listens))
}

fn of_address(error: &BindError, listens: Listens) -> Explanation {
    let option = match listens {
        Listens::Sites => "--listen",
        Listens::Status => "--status",
    };
    let what = error.to_string();
    let address = error.address.as_ref();
    let port = address
        .and_then(LocalAddress::socket)
        .map(|socket| socket.port());
    match error.source.kind() {
        ErrorKind::AddrInUse => Explanation::new("address-in-use", what)
            .with_evidence("another program already listens on this address")
            .with_fix(format!(
                "stop that program, or choose another address with {option} ADDR:PORT"
            )),
        ErrorKind::PermissionDenied => {
            let explanation = Explanation::new("address-not-permitted", what);
            match port.is_none_or(|port| port < PRIVILEGED) {
                true => explanation
                    .with_evidence("ports below 1024 are privileged on this system")
                    .with_fix(format!("choose a higher port with {option} ADDR:PORT")),
                // A security module.
                false => explanation.with_evidence(error.source.to_string()),
            }
        }
        ErrorKind::AddrNotAvailable => Explanation::new("address-not-available", what)
            .with_evidence("this machine does not have that address")
            .with_fix(match listens {
                Listens::Sites => "--listen 0.0.0.0:PORT listens on all addresses",
                Listens::Status => "--status PORT listens on a loopback address",
            }),
        _ => Explanation::new("cannot-listen", what).with_evidence(error.source.to_string()),
    }
}

#[cfg(unix)]
fn of_path(error: &BindError, path: &Path) -> Explanation {
    const ANOTHER: &str = "choose another path with --listen unix:PATH";
    let what = error.to_string();
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory
        .unwrap_or_else(|| Path::new("."))
        .display()
        .to_string();
    let directory = escape_control(&directory);
    match error.source.kind() {
        ErrorKind::AddrInUse => Explanation::new("address-in-use", what)
            .with_evidence("another program already listens on this socket")
            .with_fix(format!("stop that program, or {ANOTHER}")),
        ErrorKind::PermissionDenied => Explanation::new("address-not-permitted", what)
            .with_evidence(format!("this user may not create a file in {directory}"))
            .with_fix(ANOTHER),
        ErrorKind::NotFound | ErrorKind::NotADirectory => Explanation::new("cannot-listen", what)
            .with_evidence(format!("there is no directory {directory}"))
            .with_fix(format!("create the directory, or {ANOTHER}")),
        ErrorKind::AlreadyExists => Explanation::new("cannot-listen", what)
            .with_evidence("there is a file of this name, which is not a socket")
            .with_fix(format!("remove the file, or {ANOTHER}")),
        ErrorKind::InvalidInput => Explanation::new("cannot-listen", what)
            .with_evidence(error.source.to_string())
            .with_fix("choose a shorter path: that of a socket has at most about 100 bytes"),
        _ => Explanation::new("cannot-listen", what).with_evidence(error.source.to_string()),
    }
}
