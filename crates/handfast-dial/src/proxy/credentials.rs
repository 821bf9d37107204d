//! A user name and a password for a proxy.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

/// A user name and a password for a proxy (RFC 7617, RFC 1929). Wiped from memory, shown by nothing.
#[derive(Clone)]
pub struct Credentials {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl Credentials {
    /// These. The name must not hold a colon: over HTTP what follows it would be taken for the password.
    pub fn basic(user: &str, password: &str) -> Self {
        Self {
            user: Zeroizing::new(user.to_owned()),
            password: Zeroizing::new(password.to_owned()),
        }
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// Both, as HTTP's Basic authentication writes them.
    pub(super) fn to_basic(&self) -> Zeroizing<String> {
        let pair = Zeroizing::new(format!("{}:{}", *self.user, *self.password));
        Zeroizing::new(Base64::encode_string(pair.as_bytes()))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}
