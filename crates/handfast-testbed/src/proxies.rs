//! Launchers for real proxies beyond the smallest: squid and Dante. Each listens on a free port, writes only into a
//! directory of the caller's and ends when its value is dropped.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::launch::{Running, free_address, on_a_free_port};
use crate::peers;

/// squid: an HTTP proxy, which also listens for TLS.
#[derive(Debug)]
pub struct Squid {
    running: Running,
    address: SocketAddr,
    tls_address: SocketAddr,
    /// The name of its shared memory, which outlives a process that is killed.
    service: String,
}

/// The users that a proxy serves.
#[derive(Debug, Clone, Copy)]
pub enum Admits<'a> {
    /// Everyone.
    All,
    /// This user with this password, by Basic authentication.
    Basic(&'a str, &'a str),
    /// This user with this password, by Digest authentication.
    Digest(&'a str, &'a str),
}

/// Where Debian keeps squid's programs that check passwords.
const SQUID_PROGRAMS: &str = "/usr/lib/squid";

impl Squid {
    /// Starts it with these files for its listener with TLS. Everything is in `directory`, which others may then read: a
    /// squid that root starts works as another user.
    ///
    /// `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn launch(directory: &Path, chain: &Path, key: &Path, admits: Admits<'_>) -> Option<Self> {
        let program = peers::require("squid")?;
        let mut service = String::new();
        let mut tls_address = free_address();
        let own = directory.join("squid");
        fs::create_dir_all(&own).unwrap_or_else(|error| panic!("{}: {error}", own.display()));
        readable(directory);
        readable(&own);
        let chain = copy(chain, &own, "chain.pem");
        let key = copy(key, &own, "key.pem");
        let access = access(&own, admits);
        let (running, address) = on_a_free_port(|port| {
            service = format!("handfast{}p{port}", std::process::id());
            tls_address = free_address();
            let text = format!(
                "http_port 127.0.0.1:{port}\n\
                 https_port {tls_address} tls-cert={} tls-key={}\n\
                 pid_filename none\ncache_log /dev/null\naccess_log none\ncache deny all\n\
                 cache_mem 1 MB\ncoredump_dir none\nnetdb_filename none\npinger_enable off\n\
                 visible_hostname proxy.test\nshutdown_lifetime 0 seconds\n{access}",
                chain.display(),
                key.display(),
            );
            let file = own.join("squid.conf");
            write(&file, &text);
            let mut command = Command::new(&program);
            // One process, which logs what is fatal.
            command.args(["-N", "-d", "0", "-n", &service, "-f"]);
            Running::start(command.arg(&file))
        });
        Some(Self {
            running,
            address,
            tls_address,
            service,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for TLS.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls_address
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        for part in ["metadata", "queues", "readers"] {
            // There is none where shared memory has no files.
            let _ = fs::remove_file(format!("/dev/shm/{}-cf__{part}.shm", self.service));
        }
    }
}

/// The lines of squid's configuration for the users that it serves.
fn access(directory: &Path, admits: Admits<'_>) -> String {
    let (scheme, user, password) = match admits {
        Admits::All => return "http_access allow all\n".to_owned(),
        Admits::Basic(user, password) => ("basic", user, password),
        Admits::Digest(user, password) => ("digest", user, password),
    };
    let program = match scheme {
        "digest" => {
            let file = directory.join("passwords");
            write(&file, &format!("{user}:{password}\n"));
            format!("{SQUID_PROGRAMS}/digest_file_auth {}", file.display())
        }
        // squid's own program takes hashed passwords.
        _ => {
            let script = directory.join("check");
            let expected = format!("{user} {password}");
            let text = format!(
                "#!/bin/sh\nwhile read -r line; do\n\
                 if [ \"$line\" = '{expected}' ]; then echo OK; else echo ERR; fi\ndone\n"
            );
            write(&script, &text);
            format!("/bin/sh {}", script.display())
        }
    };
    format!(
        "auth_param {scheme} program {program}\nauth_param {scheme} realm proxy.test\n\
         auth_param {scheme} children 1\nacl known proxy_auth REQUIRED\n\
         http_access allow known\nhttp_access deny all\n"
    )
}

/// Dante: a proxy that speaks SOCKS4 and SOCKS5, without passwords: it knows those of the system's users alone.
#[derive(Debug)]
pub struct Dante {
    running: Running,
    address: SocketAddr,
}

impl Dante {
    /// Starts it; its configuration is written into `directory`.
    ///
    /// `None` when it is not installed.
    ///
    /// # Panics
    /// When it does not listen.
    pub fn launch(directory: &Path) -> Option<Self> {
        let program = peers::require("danted")?;
        let user = Command::new(peers::require("id")?).arg("-un").output();
        let user = user.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        let user = user.unwrap_or_default();
        let (running, address) = on_a_free_port(|port| {
            let text = format!(
                "logoutput: stderr\ninternal: 127.0.0.1 port = {port}\nexternal: lo\n\
                 clientmethod: none\nsocksmethod: none\n\
                 user.privileged: {user}\nuser.unprivileged: {user}\n\
                 client pass {{ from: 0/0 to: 0/0 }}\nsocks pass {{ from: 0/0 to: 0/0 }}\n"
            );
            let file = directory.join("danted.conf");
            write(&file, &text);
            let mut command = Command::new(&program);
            Running::start(command.arg("-f").arg(&file))
        });
        Some(Self { running, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process.
    pub fn process(&mut self) -> &mut Running {
        &mut self.running
    }
}

pub(crate) fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

/// A copy that a server of another user may read.
pub(crate) fn copy(file: &Path, directory: &Path, name: &str) -> PathBuf {
    let to = directory.join(name);
    fs::copy(file, &to).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    readable(&to);
    to
}

/// Servers that root starts work as another user: this file, or this directory and its names, may be read by all.
pub(crate) fn readable(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    }
    #[cfg(not(unix))]
    let _ = path;
}
