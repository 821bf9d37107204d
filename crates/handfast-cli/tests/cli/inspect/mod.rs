//! `handfast inspect`: what it finds, and what it says of it.

mod reach;
mod report;
mod several;
mod status;

use std::ffi::{OsStr, OsString};

use handfast_testbed::launch::Finished;
use serde_json::Value;

use crate::common::Fixture;

impl Fixture {
    /// `handfast inspect` that trusts the PKI alone, and prints nothing that could disturb a terminal.
    #[track_caller]
    fn inspect<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Finished {
        let finished = self.run("inspect", args);
        for text in [finished.out(), finished.err()] {
            let control = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(control, None, "{text:?}");
        }
        finished
    }

    /// What it tells in JSON of the first host, and its exit code.
    #[track_caller]
    fn inspect_json<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> (Value, Option<i32>) {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        let finished = self.inspect([OsString::from("--json")].into_iter().chain(args));
        let document: Value = serde_json::from_slice(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error}: {finished}"));
        assert_eq!(document["schema"], "handfast.inspect/1");
        (document["inspected"][0].clone(), finished.code)
    }
}
