//! Signed certificate timestamps (RFC 6962, sections 3.2 and 3.3): a log's promise to publish a certificate.
//!
//! This is only a parser. The signatures are not verified, because this needs a list of the logs and their keys,
//! which browsers ship and change weekly.

use std::fmt;

use crate::der::{Element, OCTET_STRING};
use crate::hex;
use crate::wire::Reader;

/// The limit on timestamps: servers send two or three; a list of 64 KiB could contain about 1,400.
const COUNT_MAX: usize = 64;

/// One signed certificate timestamp. Its signature is not verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SignedCertificateTimestamp {
    /// The log: SHA-256 of its key, hexadecimal.
    pub log_id: String,
    /// The timestamp, in unix milliseconds.
    pub timestamp_ms: u64,
}

impl SignedCertificateTimestamp {
    /// Reads a `SignedCertificateTimestampList` as the TLS extension carries it (RFC 6962, 3.3).
    ///
    /// Timestamps of versions other than 1 are ignored, as required there.
    ///
    /// # Errors
    /// [`MalformedSctList`] if lengths are inconsistent, bytes are left over, or there are more than 64.
    ///
    /// ```
    /// use handfast::SignedCertificateTimestamp;
    /// assert!(SignedCertificateTimestamp::list_from_bytes(&[0, 0]).is_err()); // RFC: at least one
    /// ```
    pub fn list_from_bytes(bytes: &[u8]) -> Result<Vec<Self>, MalformedSctList> {
        let mut list = Reader::new(whole_vector(bytes).ok_or(MalformedSctList)?);
        let mut timestamps = Vec::new();
        for _ in 0..COUNT_MAX {
            let one = list.vector::<2>().ok_or(MalformedSctList)?;
            timestamps.extend(Self::read(one).ok_or(MalformedSctList)?);
            if list.is_empty() {
                return Ok(timestamps);
            }
        }
        Err(MalformedSctList)
    }

    /// The same from an extension of a certificate or of an OCSP response: an OCTET STRING around it.
    pub(crate) fn list_from_extension(value: &[u8]) -> Result<Vec<Self>, MalformedSctList> {
        let inner = Element::only_of(value, OCTET_STRING).ok_or(MalformedSctList)?;
        Self::list_from_bytes(inner.content)
    }

    /// `Some(None)` for an unknown version.
    fn read(one: &[u8]) -> Option<Option<Self>> {
        let mut reader = Reader::new(one);
        if reader.u8()? != 0 {
            return Some(None);
        }
        let log_id = reader.take(32)?;
        let timestamp = reader.take(8)?.first_chunk()?;
        reader.vector::<2>()?; // extensions
        reader.take(2)?; // signature scheme
        whole_vector(reader.rest())?;
        Some(Some(Self {
            log_id: hex::encode(log_id),
            timestamp_ms: u64::from_be_bytes(*timestamp),
        }))
    }

    /// The timestamp, in unix seconds.
    pub fn timestamp(&self) -> i64 {
        i64::try_from(self.timestamp_ms / 1000).unwrap_or(i64::MAX)
    }
}

/// A malformed list of timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MalformedSctList;

impl fmt::Display for MalformedSctList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the list of signed certificate timestamps cannot be read")
    }
}

impl std::error::Error for MalformedSctList {}

/// The content after a two-byte length, without trailing bytes.
fn whole_vector(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    reader.vector::<2>().filter(|_| reader.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(version: u8) -> Vec<u8> {
        let mut sct = vec![version];
        sct.extend([0xab; 32]);
        sct.extend(1_700_000_000_123u64.to_be_bytes());
        sct.extend([0, 0, 4, 3, 0, 2, 9, 9]);
        sct
    }

    fn list(scts: &[Vec<u8>]) -> Vec<u8> {
        let with_length = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap();
            [&length.to_be_bytes()[..], bytes].concat()
        };
        let all: Vec<u8> = scts.iter().flat_map(|sct| with_length(sct)).collect();
        with_length(&all)
    }

    #[test]
    fn lists_are_parsed_completely_or_not_at_all() {
        let good = list(&[one(0), one(7), one(0)]);
        let read = SignedCertificateTimestamp::list_from_bytes(&good).unwrap();
        assert_eq!(read.len(), 2, "an unknown version is ignored");
        assert_eq!(read[0].log_id, "ab".repeat(32));
        assert_eq!(read[0].timestamp(), 1_700_000_000);
        for length in 0..good.len() {
            let cut = &good[..length];
            assert!(
                SignedCertificateTimestamp::list_from_bytes(cut).is_err(),
                "{length}"
            );
        }
        let longer = [&good[..], &[0]].concat();
        assert!(SignedCertificateTimestamp::list_from_bytes(&longer).is_err());
        let many = list(&vec![one(0); COUNT_MAX + 1]);
        assert!(SignedCertificateTimestamp::list_from_bytes(&many).is_err());
    }
}
