//! Checking whether a key signed a certificate (RFC 5280, 6.1.3 a 1).
//!
//! A signature that does not verify is different from one that cannot be verified: the first shows that
//! the issuer is another one; for the second the issuer is unknown, and the reason is reported.

use pki_types::SignatureVerificationAlgorithm;
use x509_parser::der_parser::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::super::error::VerifyCause;
use super::super::keys::{refused_size, signature_algorithms};
use super::bounds::{Budget, Exhausted};
use super::certificate::Certificate;
use crate::der::{BIT_STRING, Element, OBJECT_IDENTIFIER, Reader, SEQUENCE};
use crate::hex;
use crate::x509;

/// The result of a signature check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signature {
    /// The key made it.
    Made,
    /// The key did not make it.
    NotMade,
    /// It cannot be verified: for the algorithm that the certificate is signed with.
    Unsupported(VerifyCause),
    /// It cannot be verified: for the issuer's key.
    KeyUnusable(VerifyCause),
}

/// Whether `key`, the DER of a subject public key info of `issuer`, made the signature of `certificate`.
pub(super) fn check(
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    budget: &mut Budget,
) -> Result<Signature, Exhausted> {
    let Some(signed) = Signed::read(certificate.der) else {
        // Its fault is reported by another rule.
        return Ok(Signature::Unsupported(VerifyCause::Malformed {
            detail: "its signature cannot be read".to_owned(),
        }));
    };
    let unsupported = |algorithm: String| VerifyCause::UnsupportedSignature {
        subject: certificate.subject_text(),
        algorithm,
    };
    let algorithms = signature_algorithms();
    let of_signature: Vec<&dyn SignatureVerificationAlgorithm> = algorithms
        .all
        .iter()
        .copied()
        .filter(|algorithm| algorithm.signature_alg_id().as_ref() == signed.algorithm.content)
        .collect();
    if of_signature.is_empty() {
        let algorithm = describe_algorithm(signed.algorithm);
        return Ok(Signature::Unsupported(if is_broken(&algorithm) {
            let subject = certificate.subject_text();
            VerifyCause::WeakSignature { subject, algorithm }
        } else {
            unsupported(algorithm)
        }));
    }
    let (Some(key), Ok((_, described))) = (
        Key::read(issuer.key),
        SubjectPublicKeyInfo::from_der(issuer.key),
    ) else {
        return Ok(Signature::NotMade);
    };
    let is_for_key = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
        algorithm.public_key_alg_id().as_ref() == key.algorithm.content
    };
    let mut fitting = of_signature.iter().filter(is_for_key).peekable();
    if fitting.peek().is_none() {
        let (kind, _) = x509::describe_key(&described);
        if !algorithms
            .all
            .iter()
            .any(|algorithm| is_for_key(&algorithm))
        {
            // An unsupported kind of key, such as secp256k1.
            return Ok(Signature::Unsupported(unsupported(kind.to_string())));
        }
        let signed_by = describe_algorithm(signed.algorithm);
        return Ok(if signed_by.starts_with("ecdsa") && kind.is_ecdsa() {
            Signature::Unsupported(unsupported(format!("{signed_by} with a key on {kind}")))
        } else {
            Signature::NotMade
        });
    }
    if let Some(cause) = refused_size(&described, || issuer.subject_text()) {
        return Ok(Signature::KeyUnusable(cause));
    }
    budget.take_signature()?;
    let is_made = fitting.any(|algorithm| {
        algorithm
            .verify_signature(key.bits, signed.message, signed.signature)
            .is_ok()
    });
    Ok(if is_made {
        Signature::Made
    } else {
        Signature::NotMade
    })
}

/// The three parts of a certificate (RFC 5280, 4.1).
struct Signed<'a> {
    message: &'a [u8],
    algorithm: Element<'a>,
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(Element::begun(der, SEQUENCE)?);
        let message = reader.take(SEQUENCE)?.raw;
        let algorithm = reader.take(SEQUENCE)?;
        let signature = reader.take(BIT_STRING)?.bits()?;
        Some(Self {
            message,
            algorithm,
            signature,
        })
    }
}

/// The two parts of a subject public key info (RFC 5280, 4.1.2.7).
struct Key<'a> {
    algorithm: Element<'a>,
    bits: &'a [u8],
}

impl<'a> Key<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut reader = Element::only_of(der, SEQUENCE)?.reader();
        let algorithm = reader.take(SEQUENCE)?;
        let bits = reader.take(BIT_STRING)?.bits()?;
        Some(Self { algorithm, bits })
    }
}

fn describe_algorithm(algorithm: Element<'_>) -> String {
    algorithm
        .children()
        .next()
        .filter(|oid| oid.tag == OBJECT_IDENTIFIER)
        .map_or_else(
            || hex::encode(algorithm.content),
            |oid| x509::describe_signature_algorithm(&Oid::new(oid.content.into())),
        )
}

/// Whether collisions or worse attacks are known for the algorithm.
fn is_broken(algorithm: &str) -> bool {
    matches!(
        algorithm,
        "md2WithRSAEncryption"
            | "md5WithRSAEncryption"
            | "sha1WithRSAEncryption"
            | "dsa-with-SHA1"
            | "ecdsa-with-SHA1"
    )
}
