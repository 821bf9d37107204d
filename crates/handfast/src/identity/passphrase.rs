//! Passphrases: their sources; requested only if a key is encrypted, and wiped afterwards.

use std::fmt;
use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

#[cfg(feature = "encrypted-keys")]
use super::error::IdentityProblem;

type Ask = dyn FnMut(&PassphraseRequest) -> io::Result<Zeroizing<String>> + Send;

/// The passphrase of a private key: none, a value, or a callback.
///
/// It is wiped from memory when this value is dropped, and never shown by `Debug`.
///
/// ```
/// use handfast::Passphrase;
///
/// let none = Passphrase::none();
/// let given = Passphrase::from("correct horse");
/// let perhaps = Passphrase::from(std::env::var("PASSPHRASE").ok());
/// let asked = Passphrase::ask(|request| {
///     // Called only if the key is encrypted.
///     let prompt = format!("Passphrase for {request}: ");
///     # let read_without_echo = |_: &str| Ok::<_, std::io::Error>(String::new());
///     Ok(read_without_echo(&prompt)?.into())
/// });
/// assert_eq!(format!("{given:?}"), "Passphrase(given)");
/// ```
pub struct Passphrase(Source);

#[cfg_attr(
    not(feature = "encrypted-keys"),
    expect(dead_code, reason = "asked for by encrypted formats only")
)]
enum Source {
    None,
    Given(Zeroizing<Vec<u8>>),
    Ask(Box<Ask>),
}

/// Describes the key whose passphrase is needed. `Display` is for prompts: `key.pem`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassphraseRequest {
    /// The encrypted file, if any.
    pub path: Option<PathBuf>,
    /// The encryption: `PKCS#8, PBKDF2 with HMAC-SHA256 (2048 iterations), AES-256-CBC`.
    pub encryption: String,
}

impl Passphrase {
    /// No passphrase: an encrypted key is an error.
    pub fn none() -> Self {
        Self(Source::None)
    }

    /// Calls `ask` if a key is encrypted, at most once for each file.
    ///
    /// An error of the callback becomes
    /// [`PassphraseUnavailable`](crate::IdentityProblem::PassphraseUnavailable).
    pub fn ask<F>(ask: F) -> Self
    where
        F: FnMut(&PassphraseRequest) -> io::Result<Zeroizing<String>> + Send + 'static,
    {
        Self(Source::Ask(Box::new(ask)))
    }

    /// The passphrase for what `request` describes.
    #[cfg(feature = "encrypted-keys")]
    pub(super) fn reveal(
        &mut self,
        request: &PassphraseRequest,
    ) -> Result<Zeroizing<Vec<u8>>, IdentityProblem> {
        match &mut self.0 {
            Source::None => Err(IdentityProblem::PassphraseNeeded {
                encryption: request.encryption.clone(),
            }),
            Source::Given(bytes) => Ok(bytes.clone()),
            Source::Ask(ask) => match ask(request) {
                Ok(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
                Err(error) => Err(IdentityProblem::PassphraseUnavailable(error)),
            },
        }
    }
}

impl fmt::Display for PassphraseRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => f.write_str(&crate::x509::escape_control(&path.display().to_string())),
            None => f.write_str("the private key"),
        }
    }
}

/// Shows the source of the passphrase, never its value.
impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::None => "Passphrase(none)",
            Source::Given(_) => "Passphrase(given)",
            Source::Ask(_) => "Passphrase(asked for)",
        })
    }
}

impl Default for Passphrase {
    fn default() -> Self {
        Self::none()
    }
}

impl From<Vec<u8>> for Passphrase {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Source::Given(Zeroizing::new(bytes)))
    }
}

impl From<String> for Passphrase {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Passphrase {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}

impl From<&[u8]> for Passphrase {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<Zeroizing<String>> for Passphrase {
    fn from(text: Zeroizing<String>) -> Self {
        text.as_str().into()
    }
}

impl<T: Into<Self>> From<Option<T>> for Passphrase {
    fn from(perhaps: Option<T>) -> Self {
        perhaps.map_or_else(Self::none, Into::into)
    }
}
