//! What is to be served, and how: one value, made from the arguments and the configuration file. Everything that runs
//! starts from it and from neither of the two.
//!
//! Arguments come before the file: an option takes the place of its key. Options about what is served (DIR, and those
//! under "Identity" and "Clients") describe one site, and are refused beside sites of a file, because it would not be
//! clear for which of them they are.

//!
//! ```text
//! args -> flags: take the place of keys -> File -> resolve -> Settings -> write -> File
//! ```

mod answers;
mod flags;
mod resolve;
mod restart;
#[cfg(test)]
mod tests;
mod types;
mod write;

#[cfg(target_os = "linux")]
pub(super) use self::resolve::{listener_addresses, log_paths};
pub(super) use self::resolve::{resolve, resolve_partly};
pub(super) use self::restart::needs_restart;
pub(super) use self::types::{
    Certificate, Clients, FileSettings, LogSettings, Settings, Site, SiteLog,
};
pub(super) use self::write::file;
