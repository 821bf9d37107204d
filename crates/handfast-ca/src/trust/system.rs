//! The operating system's store: files and a program that collects them, a keychain, or Windows' store.
//!
//! The three are only commands, so all of them are compiled, and tested with stand-ins, on every platform.

mod anchors;
mod keychain;
#[cfg(all(test, unix))]
mod stand_in;
mod windows;

use super::store::{Found, Places};

pub(super) fn find(places: &Places) -> Found {
    if cfg!(windows) {
        windows::find(places)
    } else if cfg!(target_os = "macos") {
        keychain::find(places)
    } else {
        anchors::find(places)
    }
}
