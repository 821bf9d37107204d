//! Pins: the SHA-256 of a public key that must appear in the path.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};

use crate::der::{BIT_STRING, Element, SEQUENCE};
use crate::x509::{self, CertificateFacts, MalformedCertificate};
use crate::{hex, pem};

/// SHA-256 of a certificate's subject public key info, which stays the same when a certificate is renewed with
/// the same key.
///
/// Its text form is that of curl's `--pinnedpubkey`:
///
/// ```
/// # use handfast::SpkiSha256;
/// let pin: SpkiSha256 = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse()?;
/// assert_eq!(pin.to_string(), "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
/// # Ok::<(), handfast::InvalidPin>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpkiSha256([u8; 32]);

impl SpkiSha256 {
    /// The pin of a certificate's key.
    ///
    /// # Errors
    /// If the bytes are not a certificate.
    pub fn of_certificate(der: &[u8]) -> Result<Self, MalformedCertificate> {
        CertificateFacts::from_der(der).map(|facts| Self(facts.spki_sha256))
    }

    /// The pin of a public key: a `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7) in DER, or in PEM as
    /// `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// If the bytes are neither.
    pub fn of_public_key(bytes: &[u8]) -> Result<Self, MalformedCertificate> {
        let malformed = |detail: &str| MalformedCertificate {
            detail: detail.to_owned(),
        };
        let from_pem = pem::sections(bytes)
            .into_iter()
            .flatten()
            .find(|section| section.label == "PUBLIC KEY");
        let der = from_pem.as_ref().map_or(bytes, |section| &section.body);
        let mut parts = Element::only_of(der, SEQUENCE)
            .ok_or_else(|| malformed("neither PUBLIC KEY in PEM nor a public key in DER"))?
            .reader();
        let has_parts = parts.take(SEQUENCE).is_some() && parts.take(BIT_STRING).is_some();
        match has_parts && parts.is_done() {
            true => Ok(Self(x509::sha256(der))),
            false => Err(malformed("a structure that is not a public key")),
        }
    }

    /// From the hash.
    pub fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for SpkiSha256 {
    type Err = InvalidPin;

    /// Reads `sha256//BASE64`, bare base64, or 64 hexadecimal digits, with or without colons.
    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        let invalid = || InvalidPin {
            text: x509::escape_control(text).into_owned(),
        };
        let text = text.trim();
        let bytes = match text.strip_prefix("sha256//") {
            Some(base64) => from_base64(base64),
            None => from_hex(text).or_else(|| from_base64(text)),
        };
        bytes
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(invalid)
    }
}

impl fmt::Display for SpkiSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256//{}", BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for SpkiSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpkiSha256({})", hex::encode(&self.0))
    }
}

/// Text that is not a pin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidPin {
    /// The text, escaped.
    pub text: String,
}

impl fmt::Display for InvalidPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not a pin: expected sha256// and the base64 of 32 bytes, or 64 hexadecimal digits",
            self.text
        )
    }
}

impl std::error::Error for InvalidPin {}

/// Whether one of `pins`, if there are any, is among the keys of the path.
pub(super) fn hold(pins: &[SpkiSha256], path: &[[u8; 32]]) -> bool {
    pins.is_empty() || pins.iter().any(|pin| path.contains(&pin.0))
}

/// Padded or not.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let symbols = text.trim_end_matches('=');
    // 32 bytes are 43 symbols: other lengths are refused first.
    match symbols.len() {
        43 => BASE64_STANDARD_NO_PAD.decode(symbols).ok(),
        _ => None,
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| *c != ':')
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    if digits.len() != 64 {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_parsed_in_every_form_and_written_in_one() {
        let hash: [u8; 32] = std::array::from_fn(|index| (index * 37) as u8);
        let pin = SpkiSha256::from_bytes(hash);
        let hexadecimal = hex::encode(&hash);
        let with_colons = hexadecimal
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).to_uppercase())
            .collect::<Vec<_>>()
            .join(":");
        let canonical = pin.to_string();
        let bare = canonical.replace("sha256//", "");
        for spelling in [&canonical, &bare, &hexadecimal, &with_colons] {
            assert_eq!(spelling.parse::<SpkiSha256>(), Ok(pin), "{spelling}");
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "sha256//",
            "sha256//AAAA",
            "zz",
            &"a".repeat(63),
            &"=".repeat(64),
            "é",
        ] {
            assert!(text.parse::<SpkiSha256>().is_err(), "{text}");
        }
    }
}
