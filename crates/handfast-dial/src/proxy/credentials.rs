//! A user name and a password for a proxy.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

/// A user name and a password for a proxy (RFC 7617, RFC 1929). Wiped from memory after use, and never in debug output.
#[derive(Clone)]
pub struct Credentials {
    user: Zeroizing<String>,
    password: Zeroizing<String>,
}

impl Credentials {
    /// A user name and a password. The name must not contain a colon: HTTP would treat the rest as the password.
    pub fn basic(user: &str, password: &str) -> Self {
        Self {
            user: Zeroizing::new(user.to_owned()),
            password: Zeroizing::new(password.to_owned()),
        }
    }

    /// The user name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Both, as HTTP's Basic authentication sends them.
    pub(super) fn to_basic(&self) -> Zeroizing<String> {
        const SCHEME: &str = "Basic ";
        let pair = Zeroizing::new(format!("{}:{}", *self.user, *self.password));
        let encoded = Zeroizing::new(Base64::encode_string(pair.as_bytes()));
        // Growing would leave copies of the password behind.
        let length = SCHEME.len() + encoded.len();
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(SCHEME);
        text.push_str(&encoded);
        text
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}
