//! What a service manager is told: systemd's protocol of notifications (sd_notify(3)), datagrams to a socket that the environment
//! names.

#[cfg(unix)]
use std::env;
use std::time::Duration;

#[cfg(unix)]
use crate::output;

/// A service manager that wants to be told; without one nothing happens.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    #[cfg(unix)]
    socket: Option<std::os::unix::net::UnixDatagram>,
    /// How often it expects `WATCHDOG=1`.
    watchdog: Option<Duration>,
    /// This process has taken over from the one that the manager knows.
    is_successor: bool,
}

impl Supervisor {
    /// From `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`. Connects: once the process is confined it cannot. What is meant for the
    /// process from which this one takes over is meant for this one.
    #[cfg(unix)]
    pub(super) fn from_environment(predecessor: Option<u32>) -> Self {
        let Some(path) = env::var_os("NOTIFY_SOCKET") else {
            return Self::default();
        };
        let socket = match connect(&path) {
            Ok(socket) => socket,
            Err(error) => {
                output::warning(format!(
                    "the service manager cannot be told anything (NOTIFY_SOCKET is {}): {error}",
                    handfast::escape_control(&path.to_string_lossy())
                ));
                return Self::default();
            }
        };
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let ids = [Some(std::process::id()), predecessor];
        let is_ours = |pid: u64| ids.iter().flatten().any(|id| u64::from(*id) == pid);
        let for_us = number("WATCHDOG_PID").is_none_or(is_ours);
        let watchdog = number("WATCHDOG_USEC").filter(|micros| for_us && *micros > 0);
        Self {
            socket: Some(socket),
            watchdog: watchdog.map(Duration::from_micros),
            is_successor: predecessor.is_some(),
        }
    }

    #[cfg(not(unix))]
    pub(super) fn from_environment(_: Option<u32>) -> Self {
        Self::default()
    }

    /// Clients can connect.
    pub(super) fn ready(&self, listeners: usize) {
        let process = match self.is_successor {
            true => format!("MAINPID={}\n", std::process::id()),
            false => String::new(),
        };
        self.tell(&format!(
            "READY=1\n{process}STATUS=serving at {listeners} addresses"
        ));
    }

    /// Another process serves: the service is that one from now on, and goes on when this one ends. Told from here, because a manager
    /// that listens to the main process alone takes it from no other, and because this one may end before the other has said it.
    pub(super) fn taken(&self, successor: Option<u32>) {
        if let Some(successor) = successor {
            self.tell(&format!("MAINPID={successor}"));
        }
    }

    /// Everything is read again; [`ready`](Self::ready) says that it was.
    pub(super) fn reloading(&self) {
        // In systemd's words: how long the system has run.
        let micros = monotonic_micros();
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading everything again"
        ));
    }

    /// Nothing more is accepted.
    pub(super) fn stopping(&self, connections: usize) {
        self.tell(&format!(
            "STOPPING=1\nSTATUS=waiting for {connections} connections"
        ));
    }

    /// How often [`alive`](Self::alive) is to be called: twice in the time after which the manager would restart the service.
    pub(super) fn alive_every(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    pub(super) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Errors are the manager's: it has gone.
    fn tell(&self, state: &str) {
        #[cfg(unix)]
        if let Some(socket) = &self.socket {
            let _ = socket.send(state.as_bytes());
        }
        #[cfg(not(unix))]
        let _ = state;
    }
}

/// To a path, or on Linux to a name that begins with `@`.
#[cfg(unix)]
fn connect(path: &std::ffi::OsStr) -> std::io::Result<std::os::unix::net::UnixDatagram> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match path.as_bytes().strip_prefix(b"@") {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)?
        }
        _ => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not stop the server.
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn monotonic_micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(now.tv_nsec / 1000)
}

#[cfg(not(target_os = "linux"))]
fn monotonic_micros() -> i64 {
    0
}
