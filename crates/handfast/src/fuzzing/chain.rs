//! Chains of certificates from strangers, judged by both verifiers.

use std::time::Duration;

use pki_types::{CertificateDer, UnixTime};

use super::Input;
use crate::trust::TrustAnchors;
use crate::verify::{Purpose, ServerName, VerificationPolicy};

/// Judges the chain that bytes describe: the time in seconds (4 bytes), how many of the certificates are trusted (1),
/// then the certificates, each behind its length (2), the trusted ones first.
///
/// # Panics
/// When what webpki accepts is not accepted by our own validation, when a refusal is told raw, and when the
/// two disagree.
pub fn chain(bytes: &[u8]) {
    let mut input = Input(bytes);
    let seconds = u64::from(u32::from_be_bytes([
        input.u8(),
        input.u8(),
        input.u8(),
        input.u8(),
    ]));
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let trusted = usize::from(input.u8() % 8);
    let mut certificates = Vec::new();
    while !input.0.is_empty() {
        let length = input.u16();
        certificates.push(CertificateDer::from(input.take(length).to_vec()));
    }
    let sent = certificates.split_off(trusted.min(certificates.len()));
    let anchors = certificates
        .into_iter()
        .fold(TrustAnchors::empty(), |anchors, certificate| {
            anchors
                .clone()
                .with_certificate_der(certificate)
                .unwrap_or(anchors)
        });
    let policy = VerificationPolicy::new(anchors);
    let name = ServerName::from(std::net::IpAddr::from([192, 0, 2, 1]));
    for purpose in [Purpose::ServerAuth, Purpose::ClientAuth] {
        let refused = match purpose {
            Purpose::ServerAuth => policy.check_server_chain(&sent, &name, now).err(),
            Purpose::ClientAuth => policy.check_client_chain(&sent, now).err(),
        };
        if let Some(refused) = refused {
            let told = refused.cause.to_string();
            assert!(!told.chars().any(char::is_control), "{told:?}");
            assert_ne!(refused.cause.id(), "verifiers-disagree", "{told}");
        }
        if let Some((fast, validated)) = policy.opinions(&sent, purpose, now) {
            assert!(!fast || validated.is_ok(), "webpki accepts: {validated:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use handfast_testbed::pki::{Basic, Fault, Issued, Key, Pki, Spec, now_secs};
    use proptest::prelude::*;

    use super::*;

    /// Certificates, and how many of them, from the first on, are trusted.
    type Chain = (usize, Vec<Vec<u8>>);

    fn with_issuers(trusted: &[&Issued], sent: &[&Issued]) -> Chain {
        let all = trusted.iter().chain(sent);
        (
            trusted.len(),
            all.map(|one| one.der.as_ref().to_vec()).collect(),
        )
    }

    /// One of each kind of fault and form that the rules know.
    fn chains() -> Vec<Chain> {
        let pki = Pki::new();
        let root = &pki.root;
        let server = || Spec::server(&["shop.example", "192.0.2.1"]);
        let policies = [0x30, 6, 0x30, 4, 6, 2, 0x2a, 3];
        let critical = |spec: Spec| spec.extension(&[2, 5, 29, 32], &policies, true);
        let specs = [
            Spec::authority("Middle"),
            Spec::authority("Middle").basic(Basic::AuthorityWithin(0)),
            Spec::authority("Middle").permitting(&["shop.example"]),
            Spec::authority("Middle").expired(),
            Spec::authority("Middle").basic(Basic::Absent),
            Spec::authority("Middle").key(Key::Rsa2048),
            Spec::authority("Middle").key(Key::ShownAsRsa1024),
            Spec::authority("Middle").fault(Fault::Version1),
            Spec::authority("Middle").fault(Fault::SaysSha1),
            Spec::authority("Test Root"),
            critical(Spec::authority("Middle")),
        ];
        let mut chains = Vec::new();
        for spec in specs {
            let middle = root.issue(spec);
            let own = middle.issue(server());
            let below = middle.issue(Spec::authority("Below"));
            let deep = below.issue(critical(server()));
            let namesake = root.issue(Spec::authority("Middle"));
            let crossed = Pki::new().root.cross_sign(&middle);
            chains.push(with_issuers(&[root], &[&own, &middle]));
            chains.push(with_issuers(&[root], &[&own, &namesake, &crossed, &middle]));
            chains.push(with_issuers(&[root], &[&deep, &below, &middle, root]));
            chains.push(with_issuers(&[&middle], &[&own]));
        }
        let again = Pki::new().root;
        let own = again.issue(server());
        chains.push(with_issuers(&[root], &[&own, &again]));
        chains.push(with_issuers(&[&own], &[&own]));
        chains
    }

    fn encoded((trusted, certificates): &Chain) -> Vec<u8> {
        let seconds = u32::try_from(now_secs()).unwrap();
        let mut bytes = seconds.to_be_bytes().to_vec();
        bytes.push(u8::try_from(*trusted).unwrap());
        for certificate in certificates {
            let length = u16::try_from(certificate.len()).unwrap();
            bytes.extend(length.to_be_bytes());
            bytes.extend(certificate);
        }
        bytes
    }

    /// With `HANDFAST_WRITE_SEEDS=DIR` they are written below it.
    #[test]
    fn chains_of_every_kind_keep_every_promise() {
        let directory = std::env::var_os("HANDFAST_WRITE_SEEDS");
        for (number, one) in chains().iter().enumerate() {
            let bytes = encoded(one);
            chain(&bytes);
            if let Some(directory) = &directory {
                let directory = std::path::Path::new(directory).join("chain");
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(directory.join(format!("{number:02}")), bytes).unwrap();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

        /// Any order, copies, what is left out, and a few bytes changed: no panic, nothing told raw, and the two
        /// verifiers agree.
        #[test]
        fn no_chain_breaks_a_promise(
            picks in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..6), 46),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 46),
        ) {
            for ((one, picks), (place, at, byte)) in chains().into_iter().zip(picks).zip(changes) {
                let (trusted, mut certificates) = one;
                let others: Vec<Vec<u8>> = picks
                    .iter()
                    .map(|pick| pick.get(&certificates).clone())
                    .collect();
                let mixed = certificates.iter().take(trusted).cloned().chain(others).collect();
                chain(&encoded(&(trusted, mixed)));
                let changed = place.index(certificates.len());
                let at = at.index(certificates[changed].len());
                certificates[changed][at] = byte;
                chain(&encoded(&(trusted, certificates)));
            }
        }
    }
}
