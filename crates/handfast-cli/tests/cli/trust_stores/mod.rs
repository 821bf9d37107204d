//! `handfast ca trust` and `ca untrust` with the real tools, in a home directory of the test's own.

mod browsers;
mod stores;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_testbed::launch::{Finished, Program, Running};

const HANDFAST: &str = env!("CARGO_BIN_EXE_handfast");

/// Chromium starts in a second or two; the rest is for machines under load.
const BROWSER_LIMIT: Duration = Duration::from_secs(120);

const TRUST_STORE: Option<i32> = Some(120);

/// A user's home, with an authority of their own.
struct Home {
    temp: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            temp: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(home.path("home")).unwrap();
        home.ca(&["init"]);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// The program, as this user.
    fn program(&self) -> Program {
        self.environment(Program::at(HANDFAST))
    }

    fn environment(&self, program: Program) -> Program {
        program
            .env("HOME", self.path("home"))
            .env("HANDFAST_CA_DIR", self.path("ca"))
            .env("XDG_CONFIG_HOME", "")
            .env("XDG_DATA_HOME", "")
            .env("JAVA_HOME", self.path("java"))
            .env("SUDO_USER", "")
            .env("NO_COLOR", "1")
    }

    fn ca(&self, arguments: &[&str]) -> Finished {
        let finished = self.program().arg("ca").args(arguments);
        let finished = finished.limit(BROWSER_LIMIT).run();
        assert!(!finished.timed_out, "{finished}");
        finished
    }

    fn ca_file(&self) -> PathBuf {
        self.path("ca/ca.pem")
    }

    /// The authority's name in stores.
    fn name(&self) -> String {
        let show = self.ca(&["show", "--json"]);
        let document: serde_json::Value = serde_json::from_slice(&show.stdout).unwrap();
        let digits = document["sha256"].as_str().unwrap();
        format!("handfast-ca-{}", &digits[..16])
    }

    fn serve(&self, more: &[&str]) -> (Running, u16) {
        let public = self.path("public");
        fs::create_dir_all(&public).unwrap();
        fs::write(
            public.join("index.html"),
            "<p>page</p><script>document.body.append('script of ' + location.protocol)</script>",
        )
        .unwrap();
        let running = self
            .program()
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(more)
            .arg(public)
            .start();
        const LISTENING: &str = "listening on https://127.0.0.1:";
        let line = running
            .wait_for(LISTENING, BROWSER_LIMIT)
            .unwrap_or_else(|| panic!("{}", running.output()));
        let port = line
            .rsplit(LISTENING)
            .next()
            .and_then(|rest| rest.trim().trim_end_matches('/').parse().ok());
        (running, port.unwrap_or_else(|| panic!("{line}")))
    }
}

/// The line of a store.
#[track_caller]
fn line<'o>(out: &'o str, path: &Path) -> &'o str {
    let path = path.display().to_string();
    out.lines()
        .find(|line| line.contains(&path) && !line.starts_with(' '))
        .unwrap_or_else(|| panic!("no line for {path}: {out}"))
}
