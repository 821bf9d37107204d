//! Keying material exporters (RFC 5705; RFC 8446, section 7.5), and channel binding
//! (RFC 9266).
//!
//! Owned here is the derivation. rustls keeps its own exporter from who drives it as this library does; the secret
//! comes out of its key log in TLS 1.3, out of its pseudo-random function in TLS 1.2 ([`crate::callback_data`]).

use std::fmt;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::hkdf::{self, KeyType, Prk};
use rustls::crypto::hash::HashAlgorithm;
use rustls::{SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
use zeroize::Zeroizing;

/// The label of the channel binding `tls-exporter` (RFC 9266, section 2).
const CHANNEL_BINDING_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// Labels that TLS 1.2 derives its own secrets by: exporting under one of them would give those away (RFC 5705,
/// section 4).
const RESERVED_LABELS: [&[u8]; 5] = [
    b"client finished",
    b"server finished",
    b"master secret",
    b"extended master secret",
    b"key expansion",
];

/// The longest label: in TLS 1.3 it shares one length byte with six bytes before it (RFC 8446, section 7.1).
const LABEL_MAX: usize = 255 - TLS13_PREFIX.len();

const TLS13_PREFIX: &[u8] = b"tls13 ";

/// Why no keying material can be exported. The request is not possible; the connection is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportError {
    /// The handshake is not finished, or has failed.
    HandshakeNotFinished,
    /// The output is empty, or longer than the version of TLS can give: 255 hashes (RFC 8446, section 7.1), and here
    /// the same for TLS 1.2.
    OutputLength {
        /// How many bytes were asked for.
        bytes: usize,
        /// The most that there are.
        bytes_max: usize,
    },
    /// The label is longer than 249 bytes, or the context longer than 65,535.
    InputLength,
    /// The label is one by which TLS derives secrets of its own (RFC 5705, section 4).
    ReservedLabel,
    /// A session of TLS 1.2 without the extended master secret (RFC 7627): another connection can be made to have the
    /// same keying material, so that it binds nothing (RFC 9266, section 4.2).
    NotUnique,
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandshakeNotFinished => f.write_str("the handshake is not finished"),
            Self::OutputLength { bytes, bytes_max } => {
                write!(
                    f,
                    "{bytes} bytes of keying material; there are 1 to {bytes_max}"
                )
            }
            Self::InputLength => {
                f.write_str("the label may have at most 249 bytes, the context 65,535")
            }
            Self::ReservedLabel => f.write_str("the label is reserved for TLS itself"),
            Self::NotUnique => {
                f.write_str("TLS 1.2 without extended master secret has no channel binding")
            }
        }
    }
}

impl std::error::Error for ExportError {}

/// What everything exported from a connection is derived from.
#[derive(Clone)]
pub(crate) enum ExporterSecret {
    /// TLS 1.3: the `exporter_master_secret`.
    Tls13(Zeroizing<Vec<u8>>),
    /// TLS 1.2: the master secret, and both randoms, the server's first.
    Tls12 {
        master: Zeroizing<Vec<u8>>,
        randoms: Vec<u8>,
    },
}

/// Says no secret.
impl fmt::Debug for ExporterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls13(_) => "Tls13",
            Self::Tls12 { .. } => "Tls12",
        })
    }
}

/// Exports keying material of one connection.
#[derive(Debug)]
pub(crate) struct Exporter {
    kind: Kind,
    /// Can no other connection have the same material?
    is_unique: bool,
}

enum Kind {
    Tls13 {
        hash: HashAlgorithm,
        secret: Zeroizing<Vec<u8>>,
    },
    Tls12 {
        suite: &'static Tls12CipherSuite,
        master: Zeroizing<Vec<u8>>,
        /// The client's random first (RFC 5705, section 4).
        randoms: Vec<u8>,
    },
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls13 { .. } => "Tls13",
            Self::Tls12 { .. } => "Tls12",
        })
    }
}

impl Exporter {
    /// `None` when the secret does not belong to the suite.
    pub(crate) fn new(
        secret: ExporterSecret,
        suite: SupportedCipherSuite,
        has_extended_master_secret: bool,
    ) -> Option<Self> {
        match (secret, suite) {
            (ExporterSecret::Tls13(secret), SupportedCipherSuite::Tls13(suite)) => Some(Self {
                kind: Kind::Tls13 {
                    hash: hash_of(suite),
                    secret,
                },
                is_unique: true,
            }),
            (ExporterSecret::Tls12 { master, randoms }, SupportedCipherSuite::Tls12(suite)) => {
                let (server, client) = randoms.split_at_checked(32)?;
                Some(Self {
                    kind: Kind::Tls12 {
                        suite,
                        master,
                        randoms: [client, server].concat(),
                    },
                    is_unique: has_extended_master_secret,
                })
            }
            _ => None,
        }
    }

    /// Fills `output`.
    pub(crate) fn export(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        output: &mut [u8],
    ) -> Result<(), ExportError> {
        let context_length = context.map_or(0, <[u8]>::len);
        let Ok(context_length) = u16::try_from(context_length) else {
            return Err(ExportError::InputLength);
        };
        if label.len() > LABEL_MAX {
            return Err(ExportError::InputLength);
        }
        let bytes_max = 255 * self.hash_bytes();
        if output.is_empty() || output.len() > bytes_max {
            return Err(ExportError::OutputLength {
                bytes: output.len(),
                bytes_max,
            });
        }
        if RESERVED_LABELS.contains(&label) {
            return Err(ExportError::ReservedLabel);
        }
        let done = match &self.kind {
            Kind::Tls13 { hash, secret } => {
                let mut derived = Zeroizing::new(vec![0; self.hash_bytes()]);
                let context = hashed(*hash, context.unwrap_or_default());
                expand_label(
                    *hash,
                    secret,
                    label,
                    hashed(*hash, &[]).as_ref(),
                    &mut derived,
                )
                .and_then(|()| expand_label(*hash, &derived, b"exporter", context.as_ref(), output))
            }
            Kind::Tls12 {
                suite,
                master,
                randoms,
            } => {
                let mut seed = randoms.clone();
                if let Some(context) = context {
                    seed.extend_from_slice(&context_length.to_be_bytes());
                    seed.extend_from_slice(context);
                }
                suite.prf_provider.for_secret(output, master, label, &seed);
                Some(())
            }
        };
        done.ok_or(ExportError::InputLength)
    }

    /// The channel binding `tls-exporter`.
    pub(crate) fn channel_binding(&self) -> Result<[u8; 32], ExportError> {
        if !self.is_unique {
            return Err(ExportError::NotUnique);
        }
        let mut binding = [0; 32];
        self.export(CHANNEL_BINDING_LABEL, Some(&[]), &mut binding)?;
        Ok(binding)
    }

    fn hash_bytes(&self) -> usize {
        match &self.kind {
            Kind::Tls13 { secret, .. } => secret.len(),
            Kind::Tls12 { suite, .. } => suite.common.hash_provider.output_len(),
        }
    }
}

fn hash_of(suite: &Tls13CipherSuite) -> HashAlgorithm {
    suite.common.hash_provider.algorithm()
}

fn hashed(hash: HashAlgorithm, bytes: &[u8]) -> Digest {
    let algorithm = match hash {
        HashAlgorithm::SHA384 => &digest::SHA384,
        _ => &digest::SHA256,
    };
    digest::digest(algorithm, bytes)
}

/// HKDF-Expand-Label (RFC 8446, section 7.1).
fn expand_label(
    hash: HashAlgorithm,
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    output: &mut [u8],
) -> Option<()> {
    let algorithm = match hash {
        HashAlgorithm::SHA384 => hkdf::HKDF_SHA384,
        _ => hkdf::HKDF_SHA256,
    };
    let length = u16::try_from(output.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(TLS13_PREFIX.len() + label.len()).ok()?];
    let context_length = [u8::try_from(context.len()).ok()?];
    let info = [
        &length[..],
        &label_length,
        TLS13_PREFIX,
        label,
        &context_length,
        context,
    ];
    let secret = Prk::new_less_safe(algorithm, secret);
    let expanded = secret.expand(&info, Length(output.len())).ok()?;
    expanded.fill(output).ok()
}

/// So many bytes.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites;

    fn exporter(name: &str, secret: ExporterSecret) -> Exporter {
        let suite = suites::ALL
            .iter()
            .find(|suite| format!("{:?}", suite.suite()) == name);
        Exporter::new(secret, *suite.unwrap(), false).unwrap()
    }

    fn both() -> [Exporter; 2] {
        let secret = ExporterSecret::Tls13(vec![7; 32].into());
        let master = ExporterSecret::Tls12 {
            master: vec![7; 48].into(),
            randoms: vec![9; 64],
        };
        [
            exporter("TLS13_AES_128_GCM_SHA256", secret),
            exporter("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", master),
        ]
    }

    #[test]
    fn label_context_and_length_make_other_material() {
        for exporter in both() {
            let export = |label: &[u8], context: Option<&[u8]>, length: usize| {
                let mut output = vec![0; length];
                exporter.export(label, context, &mut output).unwrap();
                output
            };
            let first = export(b"EXPERIMENTAL one", None, 32);
            assert_eq!(export(b"EXPERIMENTAL one", None, 32), first);
            assert_ne!(export(b"EXPERIMENTAL two", None, 32), first);
            assert_ne!(export(b"EXPERIMENTAL one", Some(b"context"), 32), first);
            // TLS 1.2 tells none from an empty one, TLS 1.3 does not.
            let is_tls12 = matches!(exporter.kind, Kind::Tls12 { .. });
            let empty = export(b"EXPERIMENTAL one", Some(b""), 32);
            assert_eq!(empty != first, is_tls12);
        }
    }

    #[test]
    fn what_cannot_be_exported_is_refused() {
        for exporter in both() {
            let export = |label: &[u8], context: Option<&[u8]>, length: usize| {
                exporter.export(label, context, &mut vec![0; length])
            };
            assert_eq!(export(b"label", None, 255 * 32), Ok(()));
            for length in [0, 255 * 32 + 1] {
                let refused = ExportError::OutputLength {
                    bytes: length,
                    bytes_max: 255 * 32,
                };
                assert_eq!(export(b"label", None, length), Err(refused));
            }
            // RFC 8446, section 7.1, has at least one byte in a label; peers do not insist on it.
            assert_eq!(export(b"", None, 1), Ok(()));
            assert_eq!(export(&[b'x'; 249], Some(&[0; 65_535]), 1), Ok(()));
            let long = export(&[b'x'; 250], None, 1);
            assert_eq!(long, Err(ExportError::InputLength));
            let long = export(b"label", Some(&[0; 65_536]), 1);
            assert_eq!(long, Err(ExportError::InputLength));
            for label in RESERVED_LABELS {
                assert_eq!(export(label, None, 1), Err(ExportError::ReservedLabel));
            }
        }
    }

    #[test]
    fn no_channel_is_bound_without_the_extended_master_secret() {
        let [tls13, tls12] = both();
        assert!(tls13.channel_binding().is_ok());
        assert_eq!(tls12.channel_binding(), Err(ExportError::NotUnique));
    }

    #[test]
    fn secrets_are_not_printed() {
        for exporter in both() {
            let printed = format!("{exporter:?}");
            assert!(!printed.contains('7'), "{printed}");
        }
    }
}
