//! Why an address cannot be listened on, and what to do.

use std::io::ErrorKind;
#[cfg(unix)]
use std::path::Path;

use handfast::Explanation;
#[cfg(unix)]
use handfast::escape_control;
use handfast_https::server::{BindError, LocalAddress};

use super::config::Place;
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

/// `place`: where the address is from.
pub(super) fn failure(error: &BindError, listens: Listens, place: &Place) -> Failure {
    let is_in_file = matches!(place, Place::File(_));
    #[cfg(unix)]
    if let Some(LocalAddress::Unix(path)) = &error.address {
        return Failure::new(code::OTHER, of_path(error, path, is_in_file));
    }
    Failure::new(code::OTHER, of_address(error, listens, is_in_file))
}

/// How an address is given there.
fn given(listens: Listens, is_in_file: bool, address: &str) -> String {
    match (listens, is_in_file) {
        (_, true) => format!("address = \"{address}\""),
        (Listens::Sites, false) => format!("--listen {address}"),
        (Listens::Status, false) => format!("--status {address}"),
    }
}

/// The command that shows which program listens on a port.
fn who_listens(port: u16) -> String {
    match cfg!(target_os = "linux") {
        true => format!("ss -ltnp 'sport = :{port}'"),
        false if cfg!(windows) => format!("netstat -ano | findstr :{port}"),
        false => format!("lsof -nP -iTCP:{port} -sTCP:LISTEN"),
    }
}

fn of_address(error: &BindError, listens: Listens, is_in_file: bool) -> Explanation {
    let given = |address: &str| given(listens, is_in_file, address);
    let what = error.to_string();
    let address = error.address.as_ref();
    let port = address
        .and_then(LocalAddress::socket)
        .map(|socket| socket.port());
    match error.source.kind() {
        ErrorKind::AddrInUse => Explanation::new("address-in-use", what)
            .with_evidence("another program already listens on this address")
            .with_fix(match port {
                Some(port) => format!(
                    "stop that program (`{}` shows it), or choose another address: {}",
                    who_listens(port),
                    given("ADDR:PORT")
                ),
                None => format!(
                    "stop that program, or choose another address: {}",
                    given("ADDR:PORT")
                ),
            }),
        ErrorKind::PermissionDenied => {
            let explanation = Explanation::new("address-not-permitted", what);
            match port.is_none_or(|port| port < PRIVILEGED) {
                true => explanation
                    .with_evidence("ports below 1024 are privileged on this system")
                    .with_fix(format!(
                        "choose a higher port: {}; or start the server as root and give it --user USER, or with the capability CAP_NET_BIND_SERVICE, as the systemd unit does",
                        given("ADDR:8443")
                    )),
                // A security module.
                false => explanation.with_evidence(error.source.to_string()),
            }
        }
        ErrorKind::AddrNotAvailable => Explanation::new("address-not-available", what)
            .with_evidence("this machine does not have that address")
            .with_fix(match listens {
                Listens::Sites => format!("to listen on all addresses: {}", given(":PORT")),
                Listens::Status => format!("to listen on a loopback address: {}", given("PORT")),
            }),
        _ => Explanation::new("cannot-listen", what).with_evidence(error.source.to_string()),
    }
}

#[cfg(unix)]
fn of_path(error: &BindError, path: &Path, is_in_file: bool) -> Explanation {
    let another = given(Listens::Sites, is_in_file, "unix:PATH");
    let another = format!("choose another path: {another}");
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
            .with_fix(format!("stop that program, or {another}")),
        ErrorKind::PermissionDenied => Explanation::new("address-not-permitted", what)
            .with_evidence(format!("this user may not create a file in {directory}"))
            .with_fix(another),
        ErrorKind::NotFound | ErrorKind::NotADirectory => Explanation::new("cannot-listen", what)
            .with_evidence(format!("there is no directory {directory}"))
            .with_fix(format!("create the directory, or {another}")),
        ErrorKind::AlreadyExists => Explanation::new("cannot-listen", what)
            .with_evidence("there is a file of this name, which is not a socket")
            .with_fix(format!("remove the file, or {another}")),
        ErrorKind::InvalidInput => Explanation::new("cannot-listen", what)
            .with_evidence(error.source.to_string())
            .with_fix("choose a shorter path: that of a socket has at most about 100 bytes"),
        _ => Explanation::new("cannot-listen", what).with_evidence(error.source.to_string()),
    }
}
