//! Applying the limits of a trust anchor's own certificate to a path that ends at it.
//!
//! RFC 5280, section 6.1, uses an anchor's name and key and leaves the rest to the verifier.
//! Here the rest applies, too, as in RFC 5937 and OpenSSL. Each rule is a function that the fast path and
//! our own validation share; the limits were read when the anchor was loaded (`trust/anchor.rs`).
//! Name constraints are checked by the callers, against every name of the path.

use pki_types::UnixTime;

use super::error::VerifyCause;
use super::purpose::Purpose;
use crate::trust::AnchorLimits;
use crate::x509;

/// Checks every rule, the most fundamental first: whether the anchor may issue at all, for which purpose, how
/// many levels below it, and when.
///
/// `below` is the number of intermediates between the anchor and the end entity that are not self-issued.
pub(super) fn check(
    limits: &AnchorLimits,
    purpose: Purpose,
    below: usize,
    now: UnixTime,
) -> Result<(), VerifyCause> {
    check_extensions(limits)?;
    check_key_usage(limits)?;
    check_purpose(limits, purpose)?;
    check_path_len(limits, below)?;
    check_lifetime(limits, now)
}

/// RFC 5280, 4.2: a critical extension that is not processed. Its limits are unknown, so the anchor is refused,
/// as by OpenSSL and Go.
pub(super) fn check_extensions(limits: &AnchorLimits) -> Result<(), VerifyCause> {
    match &limits.unknown_critical_extension {
        Some(oid) => Err(VerifyCause::UnknownCriticalExtension {
            subject: limits.subject(),
            oid: oid.clone(),
        }),
        None => Ok(()),
    }
}

/// RFC 5280, 4.2.1.3: a key usage, if present, must allow signing certificates.
pub(super) fn check_key_usage(limits: &AnchorLimits) -> Result<(), VerifyCause> {
    match limits.key_usage.filter(|usage| !usage.key_cert_sign()) {
        Some(usage) => Err(VerifyCause::KeyUsage {
            subject: limits.subject(),
            required: "keyCertSign",
            presented: x509::describe_key_usage(&usage),
        }),
        None => Ok(()),
    }
}

/// RFC 5280, 4.2.1.12: the purposes of an authority limit those of the certificates that it issues. An anchor with
/// `anyExtendedKeyUsage` does not restrict them.
pub(super) fn check_purpose(limits: &AnchorLimits, purpose: Purpose) -> Result<(), VerifyCause> {
    match &limits.extended_key_usage {
        Some(presented)
            if !presented
                .iter()
                .any(|one| one == purpose.name() || one == "anyExtendedKeyUsage") =>
        {
            Err(VerifyCause::ExtendedKeyUsage {
                subject: limits.subject(),
                required: purpose.name(),
                presented: presented.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// RFC 5280, 4.2.1.9: how many intermediates that are not self-issued may follow.
pub(super) fn check_path_len(limits: &AnchorLimits, below: usize) -> Result<(), VerifyCause> {
    match limits.path_len {
        Some(path_len) if (path_len as usize) < below => Err(VerifyCause::PathTooLong {
            subject: limits.subject(),
            path_len: limits.path_len,
        }),
        _ => Ok(()),
    }
}

/// The anchor's validity, both ends inclusive.
pub(super) fn check_lifetime(limits: &AnchorLimits, now: UnixTime) -> Result<(), VerifyCause> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > limits.not_after {
        Err(VerifyCause::Expired {
            subject: limits.subject(),
            not_after: limits.not_after,
            now,
        })
    } else if now < limits.not_before {
        Err(VerifyCause::NotYetValid {
            subject: limits.subject(),
            not_before: limits.not_before,
            now,
        })
    } else {
        Ok(())
    }
}
