//! What to do about a rejected chain, by reader: a client with a server's chain, a server
//! with a client's, and a user with a chain in a file.
//!
//! Every piece of advice is possible, and none is to verify less.

use crate::phase::Phase;
use crate::side::Side;
use crate::trust::AnchorProblemKind;
use crate::verify::{
    CHAIN_DEPTH_LIMIT, CrlFault, Purpose, Uncounted, UncountedCrl, VerifyCause, VerifyError,
};

/// The reader of the advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A client that refused the chain of a server.
    Client,
    /// A server that refused the chain of a client.
    Server,
    /// A user with a chain in a file, for this purpose.
    File(Purpose),
}

impl Reader {
    fn of(refused: &VerifyError, phase: Option<Phase>) -> Self {
        match (phase, refused.purpose) {
            // Chains are verified in handshakes, and without a connection.
            (Some(Phase::Configure), purpose) => Self::File(purpose),
            (_, Purpose::ServerAuth) => Self::Client,
            (_, Purpose::ClientAuth) => Self::Server,
        }
    }

    /// The end that presents the chain.
    fn holder(self) -> Side {
        match self {
            Self::Client | Self::File(Purpose::ServerAuth) => Side::Server,
            Self::Server | Self::File(Purpose::ClientAuth) => Side::Client,
        }
    }

    fn is_file(self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// What to do about it.
pub(super) fn fix(refused: &VerifyError, phase: Option<Phase>) -> String {
    use VerifyCause as C;
    let reader = Reader::of(refused, phase);
    let holder = match reader.holder() {
        Side::Server => "server",
        Side::Client => "client",
    };
    match &refused.cause {
        C::NoCertificate if reader.is_file() => "put the certificate into the file".to_owned(),
        C::NoCertificate if reader.holder() == Side::Client => "give the client a certificate".to_owned(),
        C::NoCertificate => {
            "give the server a certificate: cipher suites without one do not authenticate it"
                .to_owned()
        }
        C::ChainTooLarge { .. } if reader.is_file() => {
            "leave only the certificate and its intermediates in the file".to_owned()
        }
        C::ChainTooLarge { .. } => {
            format!("the {holder} must send its own certificate and its intermediates only")
        }
        C::NoTrustAnchors if reader == Reader::Server => {
            "trust the authority that issues to clients".to_owned()
        }
        C::NoTrustAnchors => {
            "install the platform's CA certificates, or trust some".to_owned()
        }
        C::Expired { .. } if refused.at_index == Some(0) && reader == Reader::Server => {
            "the client needs a new certificate; if it is new, check this machine's clock"
                .to_owned()
        }
        C::Expired { .. } if refused.at_index == Some(0) && reader.is_file() => {
            "renew the certificate".to_owned()
        }
        C::Expired { .. } if refused.at_index == Some(0) => {
            "renew the certificate; if it is new, check this machine's clock".to_owned()
        }
        C::Expired { .. } if refused.at_index.is_none() => {
            "trust the authority's current certificate".to_owned()
        }
        C::Expired { .. } if reader.is_file() => {
            "replace the expired certificate of the issuer in the file by its current one"
                .to_owned()
        }
        C::Expired { .. } => {
            format!("the {holder} must send the current certificate of the issuer that has expired")
        }
        C::NotYetValid { .. } if reader.is_file() => {
            "use it once it is valid; if it should be valid already, have it issued again".to_owned()
        }
        C::NotYetValid { .. } => "check the clocks of both machines".to_owned(),
        C::InvalidValidity { .. } => {
            "the certificate can never be valid: have it issued again".to_owned()
        }
        C::NameMismatch { expected, .. } => name_mismatch(reader, expected, refused),
        C::NoSubjectAltName { expected, .. } => format!(
            "have the certificate issued again with {expected} as a subject alternative name; \
             clients ignore the common name"
        ),
        C::UnknownIssuer { issuer, .. } if refused.cause.is_missing_intermediate() => {
            missing_intermediate(reader, issuer)
        }
        C::UnknownIssuer {
            has_trusted_namesake: true,
            ..
        }
        | C::UntrustedRoot {
            has_trusted_namesake: true,
            ..
        } => "the authority was recreated with the same name and a new key: get its new certificate from its owner, and trust that"
            .to_owned(),
        C::UnknownIssuer { .. } => match reader {
            Reader::Client => {
                "if this issuer is an intermediate, the server must send its certificate, too; if you know the issuer, trust its certificate"
            }
            Reader::Server => {
                "if this issuer is an intermediate, the client must send its certificate, too; if clients of the issuer should be accepted, trust its certificate"
            }
            Reader::File(_) => {
                "if this issuer is an intermediate, append its certificate to the file; if you know the issuer, trust its certificate"
            }
        }
        .to_owned(),
        C::SelfSigned { .. } => match reader.holder() {
            Side::Client => "if you know the client, trust its certificate, or better, have one issued",
            Side::Server => {
                "if it is your own server, trust its certificate, or better, have one issued"
            }
        }
        .to_owned(),
        C::UntrustedRoot { .. } if reader == Reader::Server => {
            "the client needs a certificate of a trusted authority; to trust this one, trust its root"
                .to_owned()
        }
        C::UntrustedRoot { .. } => {
            "if you know this root, and got it from its owner, trust it".to_owned()
        }
        C::LikelyInterception { .. } => {
            "ask the network's administrator; if the interception is intended, trust the product's root"
                .to_owned()
        }
        C::TrustedIssuerUnusable {
            issuer, problem, ..
        } => trusted_issuer_unusable(issuer, &problem.kind),
        C::NotACa {
            is_trusted_as_itself: true,
            subject,
        } => format!(
            "{subject} is trusted only as an end-entity certificate, because it is not a CA certificate: trust \
             the authority that issued the {holder}'s certificate"
        ),
        C::NotACa { .. } => {
            "only a certificate authority may issue certificates: treat this as an attack"
                .to_owned()
        }
        C::CaUsedAsEndEntity { .. } => format!(
            "issue a certificate for the {holder}, and do not keep the authority's key on it"
        ),
        C::PathTooLong { .. } => {
            "omit the extra authority, or have its issuer allow it".to_owned()
        }
        C::DepthExceeded { depth, depth_max } => too_deep(*depth, *depth_max),
        C::PathTooComplex if reader.is_file() => {
            "leave only the certificates in the file that the path needs".to_owned()
        }
        C::PathTooComplex => {
            format!("the {holder} should send only the certificates that its path needs")
        }
        C::NameConstraint { .. } => {
            "use a CA that may issue for this name, or another name"
                .to_owned()
        }
        C::NoValidPolicy { .. } => {
            "have the certificate issued with a policy that all its authorities have, or use a CA that requires none"
                .to_owned()
        }
        C::ExtendedKeyUsage { required, .. } if refused.at_index != Some(0) => {
            format!("this CA does not issue for {required}: use one that does")
        }
        C::ExtendedKeyUsage { required, .. } => {
            format!("the {holder} needs a certificate whose purpose is {required}")
        }
        C::KeyUsage { required, .. } if refused.at_index.is_none() => format!(
            "have the root recreated with the key usage {required}, and trust the new one"
        ),
        C::KeyUsage { .. } => {
            "issue the certificate again, with the key usage that it lacks".to_owned()
        }
        C::BadSignature { .. } => match reader {
            Reader::File(_) => {
                "either one of the certificates was changed, or the issuer was recreated with the same name and a new key: get the chain from the issuer again, and trust its current root"
                    .to_owned()
            }
            _ => format!(
                "either a certificate was changed, or the issuer was recreated with the same name and a new key: \
                 install the {holder}'s chain again, and trust the issuer's current root"
            ),
        },
        C::KeyTooLarge { .. } => {
            "use a CA with a smaller key: RSA with 2048 to 4096 bits, or EC P-256"
                .to_owned()
        }
        C::WeakSignature { .. } | C::WeakKey { .. } => {
            "have it issued again with a current key and signature: EC P-256 with SHA-256"
                .to_owned()
        }
        C::UnsupportedKey { .. } => {
            "have it issued for a key that is supported: EC P-256, Ed25519, or RSA with 2048 bits"
                .to_owned()
        }
        C::UnsupportedSignature { .. } => {
            "have it issued again with ECDSA, Ed25519 or RSA and SHA-256 or better".to_owned()
        }
        C::SignatureAlgorithmMismatch { .. } | C::Malformed { .. } => {
            "the certificate is damaged or badly made: have it issued again".to_owned()
        }
        C::UnknownCriticalExtension { .. } if refused.at_index.is_none() => "have the root recreated without this extension, and trust the new one".to_owned(),
        C::UnknownCriticalExtension { .. } => {
            "have it issued without this extension, or with the extension not critical".to_owned()
        }
        C::UnsupportedVersion { .. } => {
            "have it issued as X.509 version 3, with extensions".to_owned()
        }
        C::Revoked { .. } if reader == Reader::Server => {
            "the client needs another certificate, if it is still to be let in".to_owned()
        }
        C::Revoked { .. } if reader.is_file() => {
            "the issuer has revoked it: have another one issued, for another key".to_owned()
        }
        C::Revoked { .. } => {
            format!("the issuer has revoked it: the {holder} needs a new certificate")
        }
        C::RevocationUnknown {
            issuer, uncounted, ..
        } => missing_list(issuer, uncounted),
        C::CrlExpired { .. } => "give the issuer's current list".to_owned(),
        C::CrlUnusable { fault, .. } => match fault {
            CrlFault::MayNotSign => {
                "have the authority's certificate issued again with cRLSign in its key usage, or \
                 use a list signed by a certificate that it allows to sign lists"
                    .to_owned()
            }
            CrlFault::WrongSignature => {
                "get the list from its issuer again".to_owned()
            }
        },
        C::PinMismatch { .. } if reader == Reader::Client => {
            "either the server changed its key, or this is not the server you know".to_owned()
        }
        C::PinMismatch { .. } => {
            format!("either the {holder} has a new key, or this chain is not that {holder}'s")
        }
        C::RefusedByApplication { .. } if reader == Reader::Server => {
            "if this client is to be accepted, change what the application's check refuses".to_owned()
        }
        C::RefusedByApplication { .. } => format!(
            "the certificate is valid: see what the application's check requires of a {holder}"
        ),
        C::DistrustedKey => {
            "use another authority: browsers withdrew their trust from this one".to_owned()
        }
        C::VerifiersDisagree { .. } => {
            "please report this, with the chain: one of the two verifiers has a fault".to_owned()
        }
    }
}

fn trusted_issuer_unusable(issuer: &str, kind: &AnchorProblemKind) -> String {
    match kind {
        AnchorProblemKind::OldVersion { is_root: true, .. }
        | AnchorProblemKind::NoBasicConstraints { is_root: true } => {
            "to trust it as a root, name a file that holds it".to_owned()
        }
        AnchorProblemKind::OldVersion { .. } | AnchorProblemKind::NoBasicConstraints { .. } => {
            format!("trust the root that issued to {issuer}")
        }
        AnchorProblemKind::OpensslTrustedCertificate => {
            "turn it into a plain certificate (openssl x509 -in OLD -out NEW), and trust that"
                .to_owned()
        }
        _ => format!("get the certificate of {issuer} from its owner again, and trust that"),
    }
}

fn missing_intermediate(reader: Reader, issuer: &str) -> String {
    let issuer = match issuer {
        "" => "the issuer",
        named => named,
    };
    match reader {
        Reader::Client => format!(
            "serve the full chain: append the certificate of {issuer} to the server's chain file"
        ),
        Reader::Server => format!(
            "the client must send the full chain: append the certificate of {issuer} to the client's \
             certificate file"
        ),
        Reader::File(_) => format!("append the certificate of {issuer} to the file"),
    }
}

/// There may be lists that do not apply: then another list of this issuer does not help.
fn missing_list(issuer: &str, uncounted: &[UncountedCrl]) -> String {
    let is = |reason: fn(&Uncounted) -> bool| uncounted.iter().any(|one| reason(&one.reason));
    if is(|reason| matches!(reason, Uncounted::FromTheFuture { .. })) {
        "check this machine's clock against the list's date of issue".to_owned()
    } else if is(|reason| matches!(reason, Uncounted::WithoutBase)) {
        format!("give the complete list of {issuer}, too")
    } else if !uncounted.is_empty() && !is(|reason| !matches!(reason, Uncounted::OtherKey)) {
        format!("give the list that was signed with the key of this {issuer}")
    } else if !uncounted.is_empty() {
        format!("give the list of {issuer} that covers this certificate, too")
    } else {
        format!("give the revocation list of {issuer}, too")
    }
}

/// A larger limit is advised only if it can be set.
fn too_deep(depth: usize, depth_max: usize) -> String {
    if depth_max < depth && depth <= CHAIN_DEPTH_LIMIT {
        return "if the chain is right, raise the limit on intermediates".to_owned();
    }
    format!(
        "no more than {CHAIN_DEPTH_LIMIT} intermediates are followed: have the certificate issued by an authority \
         nearer to the root, or trust one of the intermediates"
    )
}

/// A certificate without a usable name must be issued again; other names are not advised.
fn name_mismatch(reader: Reader, expected: &str, refused: &VerifyError) -> String {
    let again = match expected.parse::<std::net::IpAddr>() {
        Ok(_) => format!("have it issued again with the IP address {expected} among its names"),
        Err(_) => format!("have it issued again with the name {expected}"),
    };
    if !refused.goes_by_another_name() {
        return format!("the certificate is badly made: {again}");
    }
    match reader {
        Reader::File(_) => format!("{again}, or check it for a name that it has"),
        _ => format!("use one of the names that the certificate is valid for, or {again}"),
    }
}
