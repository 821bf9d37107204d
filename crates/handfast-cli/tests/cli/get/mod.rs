//! `handfast get`: exit codes, files, what is said.

use std::ffi::OsStr;

use handfast_testbed::launch::Finished;

use crate::common::Fixture;

mod as_curl;
mod bodies;
mod challenges;
mod codes;
mod compressed;
mod cookies;
mod destinations;
mod endings;
mod faults;
mod integrity;
#[cfg(unix)]
mod interrupted;
#[cfg(unix)]
mod manners;
mod many;
mod places;
mod plain_http;
mod proxy;
mod replies;
mod reports;
mod requests;
mod resuming;
mod retries;
#[cfg(unix)]
mod screen;
mod servers;
mod trust;

impl Fixture {
    /// `handfast get` that trusts the PKI alone.
    fn get<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        self.run("get", args)
    }
}

fn code(finished: &Finished) -> i32 {
    finished.code.unwrap_or(-1)
}
