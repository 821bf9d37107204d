//! `handfast get`: exit codes, files, what is said.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use handfast_testbed::launch::{Finished, Program};

use crate::common::Fixture;

mod bodies;
mod challenges;
mod codes;
mod compressed;
mod cookies;
#[cfg(unix)]
mod curl;
mod endings;
#[cfg(unix)]
mod every_flag;
mod faults;
mod integrity;
#[cfg(unix)]
mod interrupted;
#[cfg(unix)]
mod manners;
mod many;
mod plain_http;
#[cfg(unix)]
mod proxies;
mod proxy;
mod ranges;
#[cfg(unix)]
mod real_servers;
mod replies;
mod reports;
mod requests;
mod resuming;
mod retries;
#[cfg(unix)]
mod screen;
mod segments;
mod servers;
mod trust;
mod verdicts;

impl Fixture {
    /// `handfast get` that trusts the PKI alone.
    fn get<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        self.run("get", args)
    }

    /// `handfast get`, or curl without its user's configuration; either trusts the PKI alone.
    fn client(&self, name: &str) -> Program {
        match name {
            "curl" => Program::new("curl").unwrap().arg("-q"),
            _ => self.program("get"),
        }
        .args(self.trust())
    }

    /// The key, encrypted with the password by OpenSSL, in a file of this name.
    fn encrypted_key(&self, key: &Path, name: &str, password: &str) -> Option<PathBuf> {
        let encrypted = self.path(name);
        let made = Program::new("openssl")?
            .args(["pkcs8", "-topk8", "-passout"])
            .arg(format!("pass:{password}"))
            .arg("-in")
            .arg(key)
            .arg("-out")
            .arg(&encrypted)
            .run();
        assert!(made.succeeded(), "{made}");
        Some(encrypted)
    }
}

fn code(finished: &Finished) -> i32 {
    finished.code.unwrap_or(-1)
}
