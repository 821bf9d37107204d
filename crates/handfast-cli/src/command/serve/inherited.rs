//! Sockets that systemd has bound and hands over (sd_listen_fds(3)): they stay open while the service restarts, and may be of ports that
//! its user could not bind.

use handfast::{Explanation, escape_control};
use handfast_https::server::Listener;

use crate::failure::{Failure, code};

/// What was handed over, each with its name (`FileDescriptorName=`), and not taken yet.
pub(super) struct Inherited {
    sockets: Vec<(String, Listener)>,
}

impl Inherited {
    /// From `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES`.
    #[cfg(unix)]
    pub(super) fn from_environment() -> Result<Self, Failure> {
        // What it says goes with the descriptors.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut from = listenfd::ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..from.len() {
            let name = names.next().unwrap_or_default();
            let socket = take(&mut from, index).map_err(|error| {
                let name = escape_control(name);
                let what =
                    format!("the socket \"{name}\" that was handed over cannot be listened on");
                let explanation = Explanation::new("inherited-socket-unusable", what)
                    .with_evidence(error.to_string())
                    .with_fix("in the .socket unit, use ListenStream=");
                Failure::new(code::OTHER, explanation)
            })?;
            sockets.push((name.to_owned(), socket));
        }
        Ok(Self { sockets })
    }

    /// There is no such thing here.
    #[cfg(not(unix))]
    pub(super) fn from_environment() -> Result<Self, Failure> {
        Ok(Self {
            sockets: Vec::new(),
        })
    }

    /// Those of a name, or without one all that are left.
    pub(super) fn take(&mut self, name: Option<&str>) -> Result<Vec<Listener>, Failure> {
        let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition(|(its, _)| name.is_none_or(|name| its == name));
        self.sockets = left;
        if taken.is_empty() {
            let what = match name {
                Some(name) => format!(
                    "no socket of the name \"{}\" was handed over",
                    escape_control(name)
                ),
                None => "no socket was handed over".to_owned(),
            };
            let others: Vec<_> = self
                .sockets
                .iter()
                .map(|(name, _)| escape_control(name))
                .collect();
            let evidence = match others.is_empty() {
                true => "systemd gave this process no socket (LISTEN_FDS)".to_owned(),
                false => format!("those that were: {}", others.join(", ")),
            };
            let explanation = Explanation::new("inherited-socket-missing", what)
                .with_evidence(evidence)
                .with_fix("start the unit that has the sockets: systemctl start handfast.socket; its FileDescriptorName= is their name");
            return Err(Failure::new(code::OTHER, explanation));
        }
        Ok(taken.into_iter().map(|(_, socket)| socket).collect())
    }

    /// The names of those that nothing listens on.
    pub(super) fn unused(&self) -> Vec<&str> {
        self.sockets.iter().map(|(name, _)| name.as_str()).collect()
    }
}

#[cfg(unix)]
fn take(from: &mut listenfd::ListenFd, index: usize) -> std::io::Result<Listener> {
    let none = || std::io::Error::from(std::io::ErrorKind::NotFound);
    match from.take_tcp_listener(index) {
        Ok(socket) => Ok(Listener::socket(socket.ok_or_else(none)?)),
        Err(_) => {
            let socket = from.take_unix_listener(index)?;
            Ok(Listener::unix_socket(socket.ok_or_else(none)?))
        }
    }
}
