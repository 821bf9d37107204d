//! Explanations of certificate chains and keys that cannot be used.

use super::text::Text;
use crate::explanation::plain_io_error;
use crate::identity::{IdentityError, IdentityPart, IdentityProblem};
use crate::x509::escape_control;

pub(super) fn explain(error: &IdentityError) -> Text {
    let told = Text::new(error.id(), what(error)).evidence(evidence(error));
    match fix(error) {
        Some(fix) => told.fix(fix),
        None => told,
    }
}

/// What happened, in one sentence.
fn what(error: &IdentityError) -> String {
    match &error.path {
        Some(path) => format!(
            "{}: {}",
            escape_control(&path.display().to_string()),
            error.problem
        ),
        None => format!("the given {}: {}", error.part, error.problem),
    }
}

fn evidence(error: &IdentityError) -> Vec<String> {
    match &error.problem {
        IdentityProblem::Unreadable(source) | IdentityProblem::PassphraseUnavailable(source) => {
            vec![plain_io_error(source)]
        }
        IdentityProblem::PassphraseNeeded { encryption }
        | IdentityProblem::WrongPassphrase { encryption } => {
            vec![format!("encryption: {encryption}")]
        }
        IdentityProblem::KeyMismatch {
            certificate_key,
            private_key,
            ..
        } => vec![
            format!("the certificate's key: {certificate_key}"),
            format!("the private key: {private_key}"),
        ],
        _ => Vec::new(),
    }
}

fn fix(error: &IdentityError) -> Option<&'static str> {
    Some(match &error.problem {
        IdentityProblem::Unreadable(source) => match source.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "let this user, and no other, read the file",
            _ => return None,
        },
        IdentityProblem::TooLarge { .. } => "check the path",
        IdentityProblem::Empty
        | IdentityProblem::MalformedPem { .. }
        | IdentityProblem::MalformedDer { .. } => {
            "the file is damaged or was only partly copied: copy or export it again"
        }
        IdentityProblem::IndefiniteLengths => {
            "convert it into PEM: openssl pkcs12 -in OLD -out NEW.pem, which holds chain and key"
        }
        IdentityProblem::Unrecognised { .. } => "give a PEM, DER or PKCS#12 file",
        IdentityProblem::NoCertificate { .. } => {
            "give the file with the end-entity certificate, followed by its intermediates"
        }
        IdentityProblem::NoKey { .. } => "give the file with the private key of the certificate",
        IdentityProblem::Swapped => "swap the two files",
        IdentityProblem::PublicKeyGiven if error.part == IdentityPart::Chain => {
            "give the certificate that was issued for this public key"
        }
        IdentityProblem::PublicKeyGiven => "give the private key that this public key belongs to",
        IdentityProblem::RequestGiven => {
            "have a CA sign the request, and give the certificate that it issues"
        }
        IdentityProblem::ParametersOnly { .. } => {
            "give the private key itself: parameters alone are no key"
        }
        IdentityProblem::SeveralKeys { .. } => "leave only the key of this certificate in the file",
        IdentityProblem::PassphraseNeeded { .. } => "give the passphrase",
        IdentityProblem::PassphraseUnavailable(_) => "check where the passphrase is read from",
        IdentityProblem::WrongPassphrase { .. } => {
            "give the passphrase that this file was encrypted with"
        }
        IdentityProblem::UnsupportedEncryption { .. } => {
            "encrypt it again: openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW"
        }
        IdentityProblem::FormatLeftOut { .. } => {
            "convert it into PEM without encryption, or use a build that reads it"
        }
        IdentityProblem::UnsupportedKey { .. } => {
            "use an EC key (P-256, P-384, P-521), an Ed25519 key, or RSA"
        }
        IdentityProblem::KeySize { .. } => {
            "make a new key, and have a certificate issued for it: EC P-256 is a good choice"
        }
        IdentityProblem::KeyMismatch { .. } => {
            "find the key that the certificate was requested with, or request a new certificate"
        }
        IdentityProblem::EndEntityNotFirst { .. }
        | IdentityProblem::IssuerOutOfOrder { .. }
        | IdentityProblem::RepeatedCertificate { .. } => {
            "put the end-entity certificate first, then its issuer, then the issuer's issuer"
        }
        IdentityProblem::UnrelatedCertificate { .. } => {
            "replace it with the expected issuer's certificate"
        }
    })
}
