//! TLS alerts: their numbers and names.

use std::fmt;

/// A TLS alert: its number and name (RFC 8446, appendix B.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alert {
    code: u8,
}

/// The alerts that this crate distinguishes.
impl Alert {
    pub(crate) const HANDSHAKE_FAILURE: Self = Self::new(40);
    pub(crate) const BAD_CERTIFICATE: Self = Self::new(42);
    pub(crate) const UNSUPPORTED_CERTIFICATE: Self = Self::new(43);
    pub(crate) const CERTIFICATE_REVOKED: Self = Self::new(44);
    pub(crate) const CERTIFICATE_EXPIRED: Self = Self::new(45);
    pub(crate) const CERTIFICATE_UNKNOWN: Self = Self::new(46);
    pub(crate) const UNKNOWN_CA: Self = Self::new(48);
    pub(crate) const DECRYPT_ERROR: Self = Self::new(51);
    pub(crate) const INSUFFICIENT_SECURITY: Self = Self::new(71);
    pub(crate) const INTERNAL_ERROR: Self = Self::new(80);
    pub(crate) const USER_CANCELED: Self = Self::new(90);
}

impl Alert {
    /// The alert with this number.
    pub const fn new(code: u8) -> Self {
        Self { code }
    }

    /// Its number on the wire.
    pub const fn code(self) -> u8 {
        self.code
    }

    /// Its name in the RFC, or "unknown".
    pub const fn name(self) -> &'static str {
        match self.code {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            60 => "export_restriction",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            111 => "certificate_unobtainable",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            114 => "bad_certificate_hash_value",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            121 => "ech_required",
            _ => "unknown",
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code)
    }
}
