//! What opens listeners: the server, or the process that it kept for this.

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
    pub(super) fn open(
        &mut self,
        address: &Address,
        beside: bool,
    ) -> Result<Vec<Listener>, BindError> {
        match self {
            Self::Here(threads) => open(address, beside, *threads),
            #[cfg(target_os = "linux")]
            Self::Helper(helper) => helper.open(address, beside),
        }
    }
}
