//! Capabilities of root (capabilities(7)).

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::error::ConfineError;

/// Gives up all but those to bind privileged ports, and to make sockets in directories of other users. What the process does not have it does
/// not get.
pub(crate) fn keep_those_for_binding() -> Result<(), ConfineError> {
    let kept = CapabilitySet::NET_BIND_SERVICE | CapabilitySet::DAC_OVERRIDE;
    let refused = |error: rustix::io::Errno| ConfineError::Capabilities(error.into());
    let has = capabilities(None).map_err(refused)?;
    let sets = CapabilitySets {
        effective: has.effective & kept,
        permitted: has.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(refused)
}
