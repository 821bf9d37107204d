//! Systems on which no process can give its sockets to another.

use std::future::{Future, pending};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use handfast::ServerContext;
use handfast_https::server::{Listener, Running};

use super::{Key, Keys, failure};
use crate::command::serve::config::Address;
use crate::failure::Failure;

#[derive(Default)]
pub(in crate::command::serve) struct Claim;

pub(in crate::command::serve) struct Control;

#[allow(dead_code, reason = "as on Linux; there is none here")]
#[derive(Debug)]
pub(in crate::command::serve) struct Taken {
    pub(in crate::command::serve) pid: Option<u32>,
}

impl Claim {
    pub(in crate::command::serve) fn begin(path: Option<&Path>) -> Result<Self, Failure> {
        match path {
            None => Ok(Self),
            Some(path) => Err(failure(
                format!("the control socket {} cannot be used", path.display()),
                "this system has no sockets that a process could give to another".to_owned(),
                "leave out --takeover",
            )),
        }
    }

    pub(in crate::command::serve) fn give_tickets(&self, _: &ServerContext) {}

    // As on Unix.
    #[allow(clippy::needless_pass_by_ref_mut)]
    pub(in crate::command::serve) fn take(&mut self, _: &str) -> Option<Listener> {
        None
    }

    pub(in crate::command::serve) fn gives_way_to(&self, _: &Address, _: &[Key]) -> bool {
        false
    }

    pub(in crate::command::serve) fn predecessor(&self) -> Option<u32> {
        None
    }

    #[allow(clippy::unnecessary_wraps, reason = "as on Linux")]
    pub(in crate::command::serve) fn check(&self) -> Result<(), Failure> {
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "as on Linux")]
    pub(in crate::command::serve) fn complete(
        self,
        _: &Running,
        _: Keys,
        _: Option<(Key, Arc<Running>)>,
        _: &ServerContext,
        _: bool,
    ) -> Result<Control, Failure> {
        Ok(Control)
    }
}

impl Control {
    pub(in crate::command::serve) async fn until_taken(&self, _: &Running) -> Taken {
        pending().await
    }

    #[allow(clippy::unused_async, reason = "as on Linux")]
    pub(in crate::command::serve) async fn settle(
        &self,
        _: Pin<&mut impl Future<Output = Taken>>,
    ) -> Option<Taken> {
        None
    }

    pub(in crate::command::serve) fn leave(&self, _: &Taken, _: &Running) {}
}
