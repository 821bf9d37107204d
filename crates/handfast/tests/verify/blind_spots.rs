//! Faults that webpki does not reach: it stops at an issuer that is spelled differently from the subject (RFC 5280,
//! 7.1: the same name), and there our own validation has to apply every rule.

use handfast::{CertificateDer, ServerName, TrustAnchors, UnixTime, VerificationPolicy};
use handfast_testbed::draft::{self, Draft, Pair, Text};
use handfast_testbed::pki::der;

use crate::case::NAME;

/// Spellings of the issuer's name, which is `Root`.
const SPELLINGS: [&str; 2] = ["Root", "ROOT"];

fn named(name: &str) -> Vec<u8> {
    draft::name(&[(draft::COMMON_NAME, Text::Utf8, name)])
}

/// The verdict on a changed server certificate below a changed intermediate: the cause's id and the position, or `None`.
fn verdict(
    spelling: &str,
    change_server: impl FnOnce(&mut Draft),
    change_issuer: impl FnOnce(&mut Draft),
) -> Option<(&'static str, Option<usize>)> {
    let (root_key, key) = (Pair::new(), Pair::new());
    let authority = |name: &str, issuer: &str, key: &Pair| {
        Draft::new(named(name), named(issuer), key).extension(draft::basic_constraints(true, None))
    };
    let root = authority("Root", "Root", &root_key).sign(&root_key);
    let mut issuer = authority("Issuer", spelling, &key);
    change_issuer(&mut issuer);
    let mut server = Draft::new(named("shop"), named("ISSUER"), &Pair::new())
        .extension(draft::subject_alt_names(&[draft::dns(NAME)]));
    if spelling == "Root" {
        server.issuer = named("Issuer");
    }
    change_server(&mut server);
    let sent: [CertificateDer<'_>; 2] = [server.sign(&key), issuer.sign(&root_key)];
    let anchors = TrustAnchors::empty().with_certificate_der(root).unwrap();
    VerificationPolicy::new(anchors)
        .check_server_chain(&sent, &ServerName::parse(NAME).unwrap(), UnixTime::now())
        .err()
        .map(|refused| (refused.cause.id(), refused.at_index))
}

#[test]
fn times_that_are_not_der_are_malformed_with_any_spelling_of_names() {
    let times: [(u8, &[u8]); 4] = [
        (0x17, b"2001010000Z"),
        (0x17, b"200101000000+0100"),
        (0x18, b"20200101000000.5Z"),
        (0x18, b"2020010100Z"),
    ];
    for spelling in SPELLINGS {
        for (tag, time) in times {
            let change = |draft: &mut Draft| draft.not_before = Some(der(tag, time));
            let what = format!("{spelling} {}", String::from_utf8_lossy(time));
            let refusal = verdict(spelling, change, |_| {});
            assert_eq!(refusal, Some(("malformed-certificate", Some(0))), "{what}");
            let refusal = verdict(spelling, |_| {}, change);
            assert_eq!(refusal, Some(("malformed-certificate", Some(1))), "{what}");
        }
    }
}
