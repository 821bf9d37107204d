//! Checking one certificate, for callers that have no path.

use pki_types::{CertificateDer, UnixTime};

use super::check::Signer;
use super::lists::RevocationLists;
use crate::verify::error::VerifyCause;
use crate::x509::{self, Depth};

impl RevocationLists {
    /// Checks `certificate`, which `issuer` has issued, against the lists at `now`, by the same rules as on a path.
    ///
    /// Whether the issuer is trusted, and whether it signed the certificate, is not checked. Without any
    /// list nothing is checked.
    ///
    /// # Errors
    /// A [`VerifyCause`]: it was revoked, or its status is unknown.
    ///
    /// ```
    /// use handfast::{CertificateDer, RevocationLists, UnixTime};
    /// let nothing = CertificateDer::from(Vec::new());
    /// let checked = RevocationLists::none().check(&nothing, &nothing, UnixTime::now());
    /// assert_eq!(checked.unwrap_err().id(), "malformed-certificate");
    /// ```
    pub fn check(
        &self,
        certificate: &CertificateDer<'_>,
        issuer: &CertificateDer<'_>,
        now: UnixTime,
    ) -> Result<(), VerifyCause> {
        let malformed = |malformed: x509::MalformedCertificate| VerifyCause::Malformed {
            detail: malformed.detail,
        };
        let certificate = x509::parse(certificate, Depth::Outline).map_err(malformed)?;
        let issuer = x509::parse(issuer, Depth::Outline).map_err(malformed)?;
        let signer = Signer {
            name: issuer.subject().as_raw(),
            key: issuer.public_key().raw,
            key_usage: x509::key_usage(&issuer),
        };
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.check_path(&[&certificate], &signer, &[], now)
            .map_err(|(_, cause)| cause)
    }
}
