//! Each rule with a path that violates only it, each limit of webpki with a path that needs it, and which of
//! several paths is reported.

use std::collections::BTreeSet;

use handfast_testbed::pki::{
    Basic, ExtendedKeyUsagePurpose, Fault, Issued, Key, KeyUsagePurpose, Pki, Spec, der,
};
use pki_types::UnixTime;
use webpki::Error;

use super::*;
use crate::trust::TrustAnchors;
use crate::verify::RevocationLists;
use crate::verify::pin::SpkiSha256;
use crate::verify::purpose::Purpose;

/// The id of a cause, and its position.
type Refusal = (&'static str, Option<usize>);

/// One chain and the inputs of its validation.
struct Given<'g> {
    sent: Vec<&'g Issued>,
    trusted: Vec<&'g Issued>,
    depth_max: usize,
    lists: RevocationLists,
    pins: Vec<SpkiSha256>,
    /// webpki's result for a path.
    webpki: Result<(), Error>,
}

impl<'g> Given<'g> {
    fn new(sent: &[&'g Issued], trusted: &[&'g Issued]) -> Self {
        Self {
            sent: sent.to_vec(),
            trusted: trusted.to_vec(),
            depth_max: 6,
            lists: RevocationLists::none(),
            pins: Vec::new(),
            webpki: Ok(()),
        }
    }

    fn with_webpki_error(mut self, error: Error) -> Self {
        self.webpki = Err(error);
        self
    }

    /// The limits that an accepted path needs, or the cause's id and position.
    fn verdict(&self) -> Result<Vec<Limit>, Refusal> {
        self.ask(|question| {
            validate(question, &Error::UnknownIssuer, &|_, _| self.webpki.clone())
                .map(|accepted| accepted.limits)
                .map_err(|finding| (finding.cause.id(), finding.at_index))
        })
    }

    /// The name of the first rule that the only path violates.
    fn broken(&self) -> Option<&'static str> {
        self.ask(|question| {
            let (end_entity, intermediates) = (question.end_entity, question.intermediates);
            let paths = Paths::find(end_entity, intermediates, question.trust).unwrap();
            let [path] = &paths.found[..] else {
                panic!("{} paths", paths.found.len());
            };
            let comparisons = RefCell::new(Budget::new());
            let walk = Walk::along(question, &paths, path, &comparisons);
            rules::first_failure(&walk).map(|(stage, _)| rules::RULES[stage].0)
        })
    }

    fn ask<T>(&self, ask: impl FnOnce(&Question<'_>) -> T) -> T {
        let anchors = self
            .trusted
            .iter()
            .fold(TrustAnchors::empty(), |anchors, one| {
                anchors.with_certificate_der(one.der.clone()).unwrap()
            });
        let sent: Vec<CertificateDer<'_>> = self.sent.iter().map(|one| one.der.clone()).collect();
        let (end_entity, intermediates) = sent.split_first().unwrap();
        ask(&Question {
            end_entity,
            intermediates,
            trust: anchors.resolved(),
            chain_depth_max: self.depth_max,
            revocation: &self.lists,
            pins: &self.pins,
            purpose: Purpose::ServerAuth,
            now: UnixTime::now(),
        })
    }
}

fn server() -> Spec {
    Spec::server(&["shop.example"])
}

fn middle() -> Spec {
    Spec::authority("Middle")
}

const CLIENTS: &[ExtendedKeyUsagePurpose] = &[ExtendedKeyUsagePurpose::ClientAuth];

/// Policy constraints with requireExplicitPolicy 0.
fn demanding_a_policy(spec: Spec) -> Spec {
    let value = der(0x30, &der(0x80, &[0]));
    spec.extension(&[2, 5, 29, 36], &value, true)
}

/// Excludes a directory name: O=Others.
fn not_for_a_directory(spec: Spec) -> Spec {
    let attribute = [der(6, &[0x55, 4, 10]), der(0x0c, b"Others")].concat();
    let name = der(0x30, &der(0x31, &der(0x30, &attribute)));
    let value = der(0x30, &der(0xa1, &der(0x30, &der(0xa4, &name))));
    spec.extension(&[2, 5, 29, 30], &value, true)
}

#[test]
fn each_rule_is_the_reason_if_only_it_fails() {
    let (pki, elsewhere) = (Pki::new(), Pki::new());
    let strange = |spec: Spec| spec.extension(&[1, 3, 6, 1, 4, 1, 99_999, 1], &[5, 0], true);
    let lists_only = |spec: Spec| spec.key_usage(&[KeyUsagePurpose::CrlSign]);
    // The rule; the root, the intermediate and the end entity; the cause and the position.
    let table: [(&str, Spec, Spec, Spec, Refusal); 20] = [
        (
            "own_certificate_is_usable",
            root(),
            middle(),
            strange(server()),
            ("unknown-critical-extension", Some(0)),
        ),
        (
            "no_key_is_distrusted",
            root(),
            middle(),
            server().key(Key::ShownAsDistrusted),
            ("distrusted-key", Some(0)),
        ),
        (
            "own_validity",
            root(),
            middle(),
            server().expired(),
            ("certificate-expired", Some(0)),
        ),
        (
            "own_certificate_is_not_a_ca",
            root(),
            middle(),
            server().basic(Basic::Authority),
            ("ca-used-as-end-entity", Some(0)),
        ),
        (
            "own_purpose",
            root(),
            middle(),
            server().extended_key_usage(CLIENTS),
            ("wrong-purpose", Some(0)),
        ),
        (
            "issuers_are_usable",
            root(),
            middle().fault(Fault::Version1),
            server(),
            ("unsupported-certificate-version", Some(1)),
        ),
        (
            "issuers_are_authorities",
            root(),
            middle().basic(Basic::Absent),
            server(),
            ("issuer-not-a-ca", Some(1)),
        ),
        (
            "issuers_may_sign_certificates",
            root(),
            lists_only(middle()),
            server(),
            ("wrong-key-usage", Some(1)),
        ),
        (
            "signatures_can_be_verified",
            root(),
            middle(),
            server().fault(Fault::SaysSha1),
            ("weak-signature", Some(0)),
        ),
        (
            "anchor_is_usable",
            strange(root()),
            middle(),
            server(),
            ("unknown-critical-extension", None),
        ),
        (
            "anchor_may_sign_certificates",
            lists_only(root()),
            middle(),
            server(),
            ("wrong-key-usage", None),
        ),
        (
            "issuers_validity",
            root(),
            middle().not_yet_valid(),
            server(),
            ("certificate-not-yet-valid", Some(1)),
        ),
        (
            "anchor_validity",
            root().expired(),
            middle(),
            server(),
            ("certificate-expired", None),
        ),
        (
            "path_lengths",
            root().basic(Basic::AuthorityWithin(0)),
            middle(),
            server(),
            ("path-too-long", None),
        ),
        (
            "issuers_purposes",
            root(),
            middle().extended_key_usage(CLIENTS),
            server(),
            ("wrong-purpose", Some(1)),
        ),
        (
            "anchor_purpose",
            root().extended_key_usage(CLIENTS),
            middle(),
            server(),
            ("wrong-purpose", None),
        ),
        (
            "within_name_constraints",
            root(),
            middle().permitting(&["other.example"]),
            server(),
            ("name-constraint", Some(0)),
        ),
        (
            "within_name_constraints",
            root().permitting(&["other.example"]),
            middle(),
            server(),
            ("name-constraint", Some(0)),
        ),
        (
            "has_a_policy",
            root(),
            demanding_a_policy(middle()),
            server(),
            ("no-valid-policy", Some(1)),
        ),
        (
            "has_a_policy",
            root(),
            middle(),
            demanding_a_policy(server()),
            ("no-valid-policy", Some(1)),
        ),
    ];
    let mut shown = BTreeSet::new();
    for (rule, root, middle, server, expected) in table {
        let root = root.self_signed();
        let middle = root.issue(middle);
        let end_entity = middle.issue(server);
        let given = Given::new(&[&end_entity, &middle], &[&root]);
        assert_eq!(given.broken(), Some(rule));
        // If both apply the rule, webpki must not have accepted the path.
        let is_both = rules::RULES
            .iter()
            .any(|(name, _, by)| *name == rule && *by == By::Both);
        let accepted_by_webpki = given.verdict().unwrap_err();
        assert_eq!(
            accepted_by_webpki.0 == "verifiers-disagree",
            is_both,
            "{rule}"
        );
        let given = given.with_webpki_error(Error::BadDer);
        assert_eq!(given.verdict(), Err(expected), "{rule}");
        shown.insert(rule);
    }
    let middle = pki.root.issue(middle());
    let end_entity = middle.issue(server());
    let good = || Given::new(&[&end_entity, &middle], &[&pki.root]);
    assert_eq!(good().broken(), None);
    let others: [(&str, Given<'_>, Refusal); 4] = [
        (
            "issuer_is_trusted",
            Given::new(&[&end_entity, &middle], &[&elsewhere.root]),
            ("unknown-issuer", Some(1)),
        ),
        (
            "depth",
            Given {
                depth_max: 0,
                ..good()
            },
            ("chain-too-deep", None),
        ),
        (
            "not_revoked",
            Given {
                lists: RevocationLists::none()
                    .with_der(middle.crl(&[&end_entity]))
                    .unwrap()
                    .allowing_unknown(),
                ..good()
            },
            ("certificate-revoked", Some(0)),
        ),
        (
            "pinned",
            Given {
                pins: vec![SpkiSha256::from_bytes([7; 32])],
                ..good()
            },
            ("pin-mismatch", None),
        ),
    ];
    for (rule, given, expected) in others {
        assert_eq!(given.broken(), Some(rule));
        assert_eq!(given.verdict(), Err(expected), "{rule}");
        shown.insert(rule);
    }
    let all: BTreeSet<&str> = rules::RULES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(shown, all, "a rule without a path that violates it");
}

fn root() -> Spec {
    Spec::authority("Root")
}

/// For each limit a path that needs it, and webpki's error for it.
#[test]
fn a_limit_applies_only_with_the_error_that_it_causes() {
    let root = root().self_signed();
    let policies = der(0x30, &der(0x30, &der(6, &[0x2a, 3])));
    let respelled = root.issue(server().fault(Fault::IssuerRespelled));
    let old = root.issue(server().fault(Fault::Since1950));
    let critical = root.issue(server().extension(&[2, 5, 29, 32], &policies, true));
    let bound = root.issue(not_for_a_directory(middle()));
    let in_directory = bound.issue(server());
    let narrow = root.issue(middle().basic(Basic::AuthorityWithin(0)));
    let link = narrow.issue(middle());
    let by_link = link.issue(server());
    // An alternative name of an anchor, which webpki cannot parse.
    let odd = Spec::authority("Odd")
        .extension(&[2, 5, 29, 17], &[5, 0], false)
        .self_signed();
    let by_odd = odd.issue(server());
    let plain = root.issue(server());
    let table: [(Limit, Given<'_>, Error); 5] = [
        (
            Limit::NameComparison,
            Given::new(&[&respelled], &[&root]),
            Error::UnknownIssuer,
        ),
        (
            Limit::TimesBefore1970,
            Given::new(&[&old], &[&root]),
            Error::BadDerTime,
        ),
        (
            Limit::CriticalPolicies,
            Given::new(&[&critical], &[&root]),
            Error::UnsupportedCriticalExtension,
        ),
        (
            Limit::ConstraintForms,
            Given::new(&[&in_directory, &bound], &[&root]),
            Error::NameConstraintViolation,
        ),
        (
            Limit::SelfIssued,
            Given::new(&[&by_link, &link, &narrow], &[&root]),
            Error::PathLenConstraintViolated,
        ),
    ];
    for (limit, given, error) in table {
        let given = given.with_webpki_error(error);
        assert_eq!(given.verdict(), Ok(vec![limit]));
        // Any other error of webpki is not caused by the limit.
        let given = given.with_webpki_error(Error::CertNotValidForName(not_for_a_name()));
        assert_eq!(
            given.verdict(),
            Err(("verifiers-disagree", None)),
            "{limit:?}"
        );
    }
    let accepted = Given::new(&[&by_odd], &[&odd]).verdict();
    assert_eq!(accepted, Ok(vec![Limit::AnchorForm, Limit::Search]));
    assert_eq!(
        Given::new(&[&plain], &[&root]).verdict(),
        Ok(vec![Limit::Search])
    );
    for error in [
        Error::UnknownIssuer,
        Error::BadDerTime,
        Error::NameConstraintViolation,
    ] {
        let given = Given::new(&[&plain], &[&root]).with_webpki_error(error);
        assert_eq!(given.verdict(), Err(("verifiers-disagree", None)));
    }
    for (error, id) in [
        (Error::MaximumSignatureChecksExceeded, "path-too-complex"),
        (Error::CertDistrusted, "distrusted-key"),
        (REFUSED_BY_US, "verifiers-disagree"),
    ] {
        let given = Given::new(&[&plain], &[&root]).with_webpki_error(error);
        assert_eq!(given.verdict(), Err((id, None)));
    }
}

fn not_for_a_name() -> webpki::InvalidNameContext {
    webpki::InvalidNameContext {
        expected: pki_types::ServerName::try_from("shop.example").unwrap(),
        presented: Vec::new(),
    }
}

#[test]
fn the_path_that_passes_most_rules_is_reported() {
    let (root, old) = (root().self_signed(), Spec::authority("Old").self_signed());
    let middle = root.issue(middle());
    let end_entity = middle.issue(server());
    let crossed = old.cross_sign(&middle);
    // An authority of the same name with another key: its faults do not matter.
    let namesake = root.issue(Spec::authority("Middle").expired());
    let stranger = Spec::authority("Stranger")
        .fault(Fault::Version1)
        .self_signed();
    let bound = root.issue(Spec::authority("Bound").permitting(&["other.example"]));
    let below = bound.issue(Spec::authority("Below"));
    let too_deep = below.issue(server());
    let verdict = |sent: &[&Issued], trusted: &[&Issued]| Given::new(sent, trusted).verdict();
    for (sent, trusted, expected) in [
        // A path to a root that is not trusted, and one that is not there at all.
        (
            vec![&end_entity, &crossed, &old],
            vec![&root],
            ("untrusted-root", Some(2)),
        ),
        (
            vec![&end_entity, &middle, &crossed, &old],
            vec![&bound],
            ("unknown-issuer", Some(1)),
        ),
        (
            vec![&end_entity, &namesake],
            vec![&root],
            ("unknown-issuer", Some(0)),
        ),
        (
            vec![&end_entity, &namesake, &stranger],
            vec![&root],
            ("unknown-issuer", Some(0)),
        ),
        (
            vec![&end_entity, &stranger],
            vec![&root],
            ("unknown-issuer", Some(0)),
        ),
        (
            vec![&too_deep, &bound, &below],
            vec![&root],
            ("name-constraint", Some(0)),
        ),
    ] {
        assert_eq!(verdict(&sent, &trusted), Err(expected));
    }
}
