//! Becoming another user.

use std::fmt;
use std::io;

#[cfg(not(target_vendor = "apple"))]
use nix::unistd::setgroups;
use nix::unistd::{Gid, Group, Uid, User, setgid, setuid};

use crate::error::ConfineError;

/// A user, with a group, as the system knows them.
#[derive(Debug, Clone)]
pub struct Account {
    name: String,
    user: Uid,
    group: Gid,
}

impl Account {
    /// By name or number: `www-data`, `www-data:adm`, `33:33`. Without a group it is the user's own.
    ///
    /// # Errors
    /// [`ConfineError::NoAccount`].
    pub fn find(name: &str) -> Result<Self, ConfineError> {
        let none = || ConfineError::NoAccount(name.to_owned());
        let (user, group) = match name.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (name, None),
        };
        let known = match user.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)),
            Err(_) => User::from_name(user),
        };
        let known = known.map_err(|_| none())?;
        let group = match group {
            Some(group) => match group.parse() {
                Ok(number) => Gid::from_raw(number),
                Err(_) => {
                    let group = Group::from_name(group).map_err(|_| none())?;
                    group.ok_or_else(none)?.gid
                }
            },
            None => known.as_ref().ok_or_else(none)?.gid,
        };
        let user = match known {
            Some(user) => user.uid,
            // A number without a name, as in containers.
            None => Uid::from_raw(user.parse().map_err(|_| none())?),
        };
        Ok(Self {
            name: name.to_owned(),
            user,
            group,
        })
    }

    /// Is the process root's? Only then can it become another user.
    pub fn is_possible() -> bool {
        Uid::effective().is_root()
    }

    /// The supplementary groups are given up, but for the account's own group.
    pub(crate) fn become_it(&self) -> Result<(), ConfineError> {
        let refused = |error: nix::Error| ConfineError::Account {
            name: self.name.clone(),
            source: io::Error::from(error),
        };
        #[cfg(not(target_vendor = "apple"))]
        setgroups(&[self.group]).map_err(refused)?;
        setgid(self.group).map_err(refused)?;
        setuid(self.user).map_err(refused)?;
        // A process that can become root again has given up nothing.
        if !self.user.is_root() && setuid(Uid::from_raw(0)).is_ok() {
            return Err(refused(nix::Error::EPERM));
        }
        Ok(())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
