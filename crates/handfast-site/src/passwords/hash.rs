//! The hashes of passwords that `htpasswd` and crypt(3) make.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use base64ct::{Base64, Encoding as _};
use sha_crypt::{PasswordVerifier as _, ShaCrypt};

use super::apr1::{self, is_crypt_digit};

/// With each step a check takes twice as long: at 15 some two seconds.
const BCRYPT_COST_MAX: u32 = 15;

/// Of SHA-crypt: a million take about a second.
const ROUNDS_MAX: u32 = 1_000_000;

/// Of a SHA-crypt hash that names none.
const ROUNDS_DEFAULT: u64 = 5000;

/// A bcrypt hash: `$2y$10$`, 22 characters of salt, 31 of the hash.
const BCRYPT_LENGTH: usize = 60;

/// A password's hash.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hash {
    kind: Kind,
    /// As in the file.
    text: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    Apr1,
    Sha1,
    ShaCrypt,
}

/// Why a hash is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashProblem {
    /// It is no hash of a kind that is known: perhaps the password itself.
    Plain,
    /// A hash of crypt(3) with DES, of which only eight characters of the password count.
    Des,
    /// A hash with MD5 that is not `htpasswd`'s (`$1$`), or of a kind that is not supported.
    Unsupported,
    /// It begins like a hash, and is not a whole one.
    Malformed,
    /// A check would take longer than some seconds.
    TooCostly,
}

impl fmt::Display for HashProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "the password is not hashed",
            Self::Des => "the hash is a DES hash, which ignores all but eight characters of a password",
            Self::Unsupported => "hashes of this kind are not supported",
            Self::Malformed => "the hash is not complete",
            Self::TooCostly => "a check of this hash would take too long (bcrypt: a cost of at most 15, SHA-crypt: 1000000 rounds)",
        })
    }
}

impl Hash {
    pub(super) fn parse(text: &str) -> Result<Self, HashProblem> {
        let kind = if ["$2y$", "$2a$", "$2b$"]
            .iter()
            .any(|start| text.starts_with(start))
        {
            let cost = text.get(4..6).and_then(|cost| cost.parse::<u32>().ok());
            let is_plain = |text: &str| {
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'))
            };
            let is_whole = text.len() == BCRYPT_LENGTH
                && text.get(6..7) == Some("$")
                && text.get(7..).is_some_and(is_plain);
            match cost {
                Some(4..) if !is_whole => return Err(HashProblem::Malformed),
                Some(4..=BCRYPT_COST_MAX) => Kind::Bcrypt,
                Some(4..) => return Err(HashProblem::TooCostly),
                _ => return Err(HashProblem::Malformed),
            }
        } else if text.starts_with("$apr1$") {
            apr1::split(text).ok_or(HashProblem::Malformed)?;
            Kind::Apr1
        } else if let Some(encoded) = text.strip_prefix("{SHA}") {
            let is_whole = Base64::decode_vec(encoded).is_ok_and(|bytes| bytes.len() == 20);
            if !is_whole {
                return Err(HashProblem::Malformed);
            }
            Kind::Sha1
        } else if let Some((rest, length)) = text
            .strip_prefix("$5$")
            .map(|rest| (rest, 43))
            .or_else(|| Some((text.strip_prefix("$6$")?, 86)))
        {
            check_sha_crypt(rest, length)?;
            Kind::ShaCrypt
        } else if text.starts_with('$') || text.starts_with('{') {
            return Err(HashProblem::Unsupported);
        } else if text.len() == 13 && text.bytes().all(is_crypt_digit) {
            return Err(HashProblem::Des);
        } else {
            return Err(HashProblem::Plain);
        };
        Ok(Self {
            kind,
            text: text.into(),
        })
    }

    /// Is it this password's? Takes up to seconds, if not [quick](Self::is_quick).
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        match self.kind {
            Kind::Bcrypt => bcrypt::verify(password, &self.text).unwrap_or(false),
            Kind::Apr1 => apr1::verify(password, &self.text),
            Kind::Sha1 => {
                let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, password);
                let stored = self.text.strip_prefix("{SHA}").map(Base64::decode_vec);
                matches!(stored, Some(Ok(stored))
                    if constant_time::verify_slices_are_equal(hash.as_ref(), &stored).is_ok())
            }
            Kind::ShaCrypt => ShaCrypt::SHA512
                .verify_password(password, &*self.text)
                .is_ok(),
        }
    }

    /// How long a check takes, about, in microseconds: which of two takes longer, and whether much.
    pub(super) fn cost(&self) -> u64 {
        match self.kind {
            Kind::Sha1 => 1,
            // A thousand rounds of MD5.
            Kind::Apr1 => 500,
            // Checked before: two digits. It doubles with each.
            Kind::Bcrypt => {
                let cost = self
                    .text
                    .get(4..6)
                    .and_then(|cost| cost.parse::<u32>().ok());
                40_u64 << cost.unwrap_or_default().min(BCRYPT_COST_MAX)
            }
            Kind::ShaCrypt => {
                let rounds = self
                    .text
                    .get(3..)
                    .and_then(|rest| rest.strip_prefix("rounds="));
                let rounds = rounds.and_then(|rest| rest.split('$').next()?.parse().ok());
                rounds.unwrap_or(ROUNDS_DEFAULT)
            }
        }
    }

    /// Does a check take no longer than a microsecond or two?
    pub(super) fn is_quick(&self) -> bool {
        self.kind == Kind::Sha1
    }

    /// The hash itself, which tells one password from the next.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// `[rounds=N$]salt$hash`.
fn check_sha_crypt(rest: &str, length: usize) -> Result<(), HashProblem> {
    let mut fields = rest.split('$');
    let mut salt = fields.next().unwrap_or_default();
    if let Some(rounds) = salt.strip_prefix("rounds=") {
        let rounds: u32 = rounds.parse().map_err(|_| HashProblem::Malformed)?;
        if rounds > ROUNDS_MAX {
            return Err(HashProblem::TooCostly);
        }
        if rounds < 1000 {
            return Err(HashProblem::Malformed);
        }
        salt = fields.next().unwrap_or_default();
    }
    let hash = fields.next().unwrap_or_default();
    let is_whole = hash.len() == length
        && hash.bytes().all(is_crypt_digit)
        && salt.len() <= 16
        && fields.next().is_none();
    is_whole.then_some(()).ok_or(HashProblem::Malformed)
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(..)", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_judged_when_they_are_read() {
        use HashProblem as P;
        let bcrypt = "$2y$05$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuvwxyzABCDE";
        assert!(Hash::parse(bcrypt).is_ok());
        for (text, expected) in [
            ("secret", P::Plain),
            ("", P::Plain),
            ("rqXexS6ZhobKA", P::Des),
            ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", P::Unsupported),
            ("$argon2id$v=19$m=65536", P::Unsupported),
            ("{SSHA}abcd", P::Unsupported),
            ("$2y$05$short", P::Malformed),
            ("{SHA}abcd", P::Malformed),
            ("$apr1$salt$short", P::Malformed),
            ("$5$salt$short", P::Malformed),
            ("$5$rounds=x$salt$", P::Malformed),
            ("$6$rounds=999999999$salt$x", P::TooCostly),
        ] {
            assert_eq!(Hash::parse(text), Err(expected), "{text}");
        }
        let costly = bcrypt.replace("$05$", "$16$");
        assert_eq!(Hash::parse(&costly), Err(P::TooCostly));
        assert_eq!(format!("{:?}", Hash::parse(bcrypt).unwrap()), "Bcrypt(..)");
    }
}
