//! What opens listeners: the server, or the process that it kept for this.

use std::fs::File;
use std::path::Path;

use handfast_https::server::{BindError, Listener};

#[cfg(target_os = "linux")]
use super::helper::Helper;
use super::open::open;
use crate::command::serve::config::Address;

/// What opens listeners while the server runs.
pub(in crate::command::serve) enum Opener {
    /// The server itself, for so many threads.
    Here(usize),
    /// A process that may, as the server may not any more.
    #[cfg(target_os = "linux")]
    Helper(Helper),
}

impl Opener {
    /// Listens on an address. `beside`: it takes the place of one of ours, which still has the port.
    pub(super) async fn open(
        &mut self,
        address: &Address,
        beside: bool,
    ) -> Result<Vec<Listener>, BindError> {
        match self {
            Self::Here(threads) => open(address, beside, *threads),
            #[cfg(target_os = "linux")]
            Self::Helper(helper) => helper.open(address, beside).await,
        }
    }

    /// Opens a log that this process may not open; nothing if there is no other that may.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(
            clippy::needless_pass_by_ref_mut,
            reason = "the helper is asked, which only Linux has"
        )
    )]
    pub(super) async fn log(&mut self, path: &Path) -> Option<File> {
        match self {
            Self::Here(_) => {
                let _ = path;
                None
            }
            #[cfg(target_os = "linux")]
            Self::Helper(helper) => helper.log(path).await.ok(),
        }
    }

    /// What was opened for this address a moment ago is closed, and was never served.
    pub(super) fn discarded(&self, address: &Address) {
        if let (Self::Here(_), Address::Unix(path)) = (self, address) {
            // What cannot be removed is replaced when the address is opened again.
            let _ = std::fs::remove_file(path);
        }
        self.closed(address);
    }

    /// What was opened for this address is closed. The server removes the file of a Unix socket if it may.
    pub(super) fn closed(&self, address: &Address) {
        #[cfg(target_os = "linux")]
        if let (Self::Helper(helper), Address::Unix(path)) = (self, address) {
            helper.remove(path);
        }
        let _ = address;
    }

    /// Another server serves what this one listened on.
    pub(super) fn leave(&self) {
        #[cfg(target_os = "linux")]
        if let Self::Helper(helper) = self {
            helper.leave();
        }
    }
}
