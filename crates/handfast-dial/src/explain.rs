//! Explanations of errors: a stable id, what happened, the evidence, what to do.

mod proxy;
mod starttls;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use handfast::{Explanation, NetworkCause, Phase, escape_control, plain_io_error};

use crate::error::{Cause, ConnectError, Error};

impl Error {
    /// What happened, the evidence for it, and what to do about it.
    pub fn explain(&self) -> Explanation {
        explain(self)
    }
}

impl ConnectError {
    /// What happened, the evidence for it, and what to do about it.
    pub fn explain(&self) -> Explanation {
        match self {
            Self::Dial(error) => error.explain(),
            Self::Tls(error) => error.explain(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&what(self))
    }
}

fn explain(error: &Error) -> Explanation {
    let explanation = match error.cause() {
        // Errors of any channel are explained as by the library.
        Cause::TimedOut { limit } => {
            of_any_channel(error.phase(), NetworkCause::TimedOut { limit: *limit })
        }
        Cause::Reset => of_any_channel(error.phase(), NetworkCause::Reset),
        cause => {
            let (id, fix) = told(cause);
            let mut explanation = Explanation::new(id, what(cause));
            explanation.evidence = evidence(cause);
            explanation.fix = fix.into_iter().collect();
            explanation
        }
    };
    match error.server_name() {
        Some(name) => explanation.about(name),
        None => explanation,
    }
}

fn of_any_channel(phase: Phase, cause: NetworkCause) -> Explanation {
    handfast::Error::new(phase, cause).explain()
}

/// What happened, in one sentence.
fn what(cause: &Cause) -> String {
    match cause {
        Cause::Address { text } => {
            format!("`{}` is not of the form HOST:PORT", escape_control(text))
        }
        Cause::ServerName { text, problem } => {
            format!(
                "`{}` is not the name of a server: {problem}",
                escape_control(text)
            )
        }
        Cause::NotResolved { host, .. } => {
            format!("the name {} could not be resolved", escape_control(host))
        }
        Cause::Refused { .. } => {
            "connection refused: nothing listens on this address and port".into()
        }
        Cause::Unreachable { .. } => "no address of the server could be reached".into(),
        Cause::TimedOut { limit } => format!("the time limit of {limit:?} passed"),
        Cause::Proxy(error) => error.to_string(),
        Cause::StartTls(error) => error.to_string(),
        Cause::Reset => "the connection was reset".into(),
        Cause::Io(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof => "the connection ended too early".into(),
            _ => format!("the operating system reports: {}", plain_io_error(error)),
        },
        Cause::UnixSocket { path, source } => format!(
            "cannot connect to the Unix socket {}: {}",
            escape_control(&path.display().to_string()),
            plain_io_error(source)
        ),
        Cause::LocalEnd { local, source } => {
            format!("{local} cannot be used: {}", plain_io_error(source))
        }
        Cause::DescriptorsUsedUp { .. } => {
            "the program has reached its limit of open files and connections".into()
        }
        Cause::PortsUsedUp { .. } => {
            "this machine has no local port left for another connection to this address".into()
        }
    }
}

fn evidence(cause: &Cause) -> Vec<String> {
    match cause {
        Cause::NotResolved { source, .. } | Cause::DescriptorsUsedUp { source } => {
            vec![plain_io_error(source)]
        }
        Cause::PortsUsedUp { address } => vec![format!("to {address}")],
        Cause::Refused { addresses } => vec![tried(addresses)],
        Cause::Unreachable { addresses, source } => {
            vec![tried(addresses), plain_io_error(source)]
        }
        Cause::Proxy(error) => proxy::evidence(error),
        Cause::StartTls(error) => starttls::evidence(error),
        _ => Vec::new(),
    }
}

fn tried(addresses: &[SocketAddr]) -> String {
    let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("tried {}", list.join(", "))
}

/// The id, and what to do.
fn told(cause: &Cause) -> (&'static str, Option<String>) {
    let (id, fix) = match cause {
        Cause::Address { .. } => (
            "invalid-address",
            "write it as example.org:443 or [::1]:443",
        ),
        Cause::ServerName { .. } => (
            "invalid-server-name",
            "give a DNS name such as example.org, or an IP address",
        ),
        Cause::NotResolved { .. } => (
            "name-not-resolved",
            "check the spelling and this machine's DNS",
        ),
        Cause::Refused { .. } => (
            "connection-refused",
            "check the port, and that the server is running",
        ),
        Cause::Unreachable { .. } => (
            "unreachable",
            "check this machine's network and the server's addresses",
        ),
        Cause::TimedOut { .. } => ("timed-out", "allow more time"),
        Cause::Proxy(error) => return (error.problem.id(), proxy::fix(error)),
        Cause::StartTls(error) => return (error.problem.id(), starttls::fix(error)),
        Cause::Reset => (
            "reset",
            "try again; if it persists, see the peer's log: its process may have crashed",
        ),
        Cause::Io(_) => (
            "transport-error",
            "see the operating system's message above",
        ),
        Cause::UnixSocket { .. } => (
            "channel-unusable",
            "check the path, that a server listens on it, and that this user may connect",
        ),
        Cause::LocalEnd { .. } => (
            "local-end-unusable",
            "choose an address, a device or a port of this machine that exists and is not in use",
        ),
        Cause::DescriptorsUsedUp { .. } => (
            "too-many-open-files",
            "raise the limit of open files (ulimit -n), or open fewer connections at once; the server is not the cause",
        ),
        Cause::PortsUsedUp { .. } => (
            "local-ports-used-up",
            "keep connections instead of opening new ones, wait a minute for the ports of those that have ended, or widen net.ipv4.ip_local_port_range; the server is not the cause",
        ),
    };
    (id, Some(fix.to_owned()))
}
