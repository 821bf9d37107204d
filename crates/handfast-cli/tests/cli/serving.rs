//! What tests of `handfast serve` start from: a directory to serve, and an authority of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use handfast_testbed::launch::{Program, Running};

pub(crate) const HANDFAST: &str = env!("CARGO_BIN_EXE_handfast");

/// For what takes milliseconds, on a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A directory with `public`, in which `f` holds "content".
pub(crate) struct Place {
    base: tempfile::TempDir,
}

/// A server, with its first port on 127.0.0.1.
pub(crate) struct Serving {
    pub(crate) running: Running,
    pub(crate) port: u16,
}

impl Place {
    pub(crate) fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        // Other users may reach what is in it.
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(base.path().join("public")).unwrap();
        fs::write(base.path().join("public/f"), "content").unwrap();
        Self { base }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The program, with the authority of this place.
    pub(crate) fn program(&self, command: &str) -> Program {
        Program::at(HANDFAST)
            .env("HANDFAST_CA_DIR", self.path("ca"))
            .arg(command)
    }

    /// `handfast serve` with these arguments.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Serving {
        self.started(self.program("serve").args(arguments))
    }

    /// Once clients can connect to it.
    pub(crate) fn started(&self, program: Program) -> Serving {
        let running = program.start();
        let port = running.wait_until(PATIENCE, |printed| {
            let (_, rest) = printed.split_once("listening on https://127.0.0.1:")?;
            rest.split_once("/\n")?.0.parse().ok()
        });
        let port = port.unwrap_or_else(|| panic!("{}", running.output()));
        Serving { running, port }
    }

    /// What `handfast get` gets from it under this name.
    pub(crate) fn get(&self, server: &Serving, name: &str, path: &str) -> String {
        let port = server.port;
        let resolve = format!("{name}:{port}:127.0.0.1");
        let url = format!("https://{name}:{port}{path}");
        let fetched = self
            .program("get")
            .args(["--resolve", &resolve, &url])
            .run();
        assert!(fetched.succeeded(), "{fetched}");
        fetched.out()
    }
}

/// Sends a signal, such as `-HUP`.
pub(crate) fn signal(running: &Running, name: &str) {
    let sent = Program::at("/bin/kill").args([name, &running.id().to_string()]);
    assert!(sent.run().succeeded());
}
