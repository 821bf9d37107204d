//! Names and name constraints (RFC 9525; RFC 5280, 4.2.1.10).

use handfast::{CertificateFacts, Purpose, ServerName, UnixTime, VerificationPolicy, VerifyCause};
use handfast_testbed::pki::{Issued, Pki, Spec, der};

use crate::case::{Case, NAME, refused, trust};

#[test]
fn names_match_according_to_rfc_9525() {
    let pki = Pki::new();
    let table: &[(&[&str], &str, bool)] = &[
        (&["shop.example"], "shop.example", true),
        (&["shop.example"], "SHOP.example", true),
        (&["SHOP.Example"], "shop.example", true),
        (&["shop.example"], "shop.example.", true),
        (&["shop.example"], "www.shop.example", false),
        (&["www.shop.example"], "shop.example", false),
        (&["a.example", "b.example"], "b.example", true),
        (&["*.shop.example"], "www.shop.example", true),
        (&["*.shop.example"], "WWW.shop.example", true),
        (&["*.shop.example"], "shop.example", false),
        (&["*.shop.example"], "a.b.shop.example", false),
        (&["*.shop.example"], "xshop.example", false),
        (&["*.example"], "shop.example", false),
        (&["w*.shop.example"], "www.shop.example", false),
        (&["*w.shop.example"], "www.shop.example", false),
        (&["www.*.example"], "www.shop.example", false),
        (&["*"], "shop.example", false),
        (&["*.*.example"], "a.b.example", false),
        (&["xn--mnchen-3ya.example"], "münchen.example", true),
        (&["*.xn--mnchen-3ya.example"], "www.münchen.example", true),
        (&["*.shop.example"], "xn--bcher-kva.shop.example", true),
        (&["127.0.0.1"], "127.0.0.1", true),
        (&["127.0.0.1"], "127.0.0.2", false),
        (&["::1"], "::1", true),
        (&["::1"], "[::1]", true),
        (&["2001:db8::1"], "2001:0DB8:0:0::1", true),
        (&["::ffff:127.0.0.1"], "127.0.0.1", false),
        (&["localhost"], "127.0.0.1", false),
        (&["127.0.0.1"], "localhost", false),
        (&["shop.example", "127.0.0.1"], "127.0.0.1", true),
    ];
    for (names, reference, matches) in table {
        let end_entity = pki.server(names);
        let policy = VerificationPolicy::new(trust(&[&pki.root]));
        let name = ServerName::parse(reference).unwrap();
        let chain = [end_entity.der.clone()];
        let result = policy.check_server_chain(&chain, &name, UnixTime::now());
        match result {
            Ok(_) => assert!(matches, "{names:?} passed for {reference}"),
            Err(refused) => {
                assert!(!matches, "{names:?} refused for {reference}: {refused:?}");
                let VerifyCause::NameMismatch {
                    expected,
                    presented,
                } = &refused.cause
                else {
                    panic!("{names:?} for {reference}: {:?}", refused.cause);
                };
                assert_eq!(expected, name.as_str());
                assert_eq!(presented.len(), names.len());
                assert_eq!(refused.at_index, Some(0));
            }
        }
    }
}

/// For any text in a DNS name: it is reported as never matching if and only if no server name matches it.
#[test]
fn names_that_never_match_are_recognized() {
    let pki = Pki::new();
    for text in [
        "shop.example",
        "under_score.example",
        "*.shop.example",
        "localhost",
        "3com.example",
        "",
        "*",
        "*.com",
        "*.*.example",
        "a*.shop.example",
        "www.*.example",
        ".shop.example",
        "shop.example.",
        "*.shop.example.",
        "https://shop.example",
        "shop.example:443",
        " shop.example",
        "me@shop.example",
        "192.0.2.1",
        "2001:db8::1",
        "-shop.example",
        "shop..example",
        "1.2.3",
    ] {
        let san = der(0x30, &der(0x82, text.as_bytes()));
        let end_entity = pki
            .root
            .issue(Spec::server(&[]).extension(&[2, 5, 29, 17], &san, false));
        let facts = CertificateFacts::from_der(&end_entity.der).unwrap();
        let unusable = facts.names[0].never_matches();
        let policy = VerificationPolicy::new(trust(&[&pki.root]));
        let stripped = text.trim_matches(['.', ' ']);
        let candidates = [
            text.to_owned(),
            text.replacen('*', "any", 1),
            text.replace('*', "any"),
            stripped.replace('*', "any"),
            format!("any.{stripped}"),
            "shop.example".to_owned(),
        ];
        let matches = candidates.iter().any(|asked| {
            ServerName::parse(asked).is_ok_and(|name| {
                let chain = [end_entity.der.clone()];
                policy
                    .check_server_chain(&chain, &name, UnixTime::now())
                    .is_ok()
            })
        });
        assert_eq!(matches, unusable.is_none(), "{text:?}: {unusable:?}");
    }
}

#[test]
fn an_address_in_a_dns_name_does_not_match_the_address() {
    let pki = Pki::new();
    let san = der(0x30, &der(0x82, b"127.0.0.1"));
    let spec = Spec::server(&[]).extension(&[2, 5, 29, 17], &san, false);
    let end_entity = pki.root.issue(spec.common_name(Some("127.0.0.1")));
    let expected = refused!(at Some(0), VerifyCause::NameMismatch { .. });
    Case::new(
        Purpose::ServerAuth,
        "a dNSName of digits",
        &end_entity,
        &[],
        &[&pki.root],
        expected,
    )
    .name("127.0.0.1")
    .check();
}

#[test]
fn a_wrong_name_is_refused_through_every_entry_point() {
    let pki = Pki::new();
    let middle = pki.root.issue(Spec::authority("Middle"));
    let mismatch = refused!(at Some(0), VerifyCause::NameMismatch { expected, presented }
        if expected == "shop.example" && *presented == ["other.example", "10.0.0.1"]);
    let case = |what: &str, names: &[&str], reference, expected| {
        let end_entity = middle.issue(Spec::server(names));
        Case::new(
            Purpose::ServerAuth,
            what,
            &end_entity,
            &[&middle],
            &[&pki.root],
            expected,
        )
        .name(reference)
    };
    for case in [
        case(
            "other names",
            &["other.example", "10.0.0.1"],
            NAME,
            mismatch,
        ),
        case("a wildcard", &["*.shop.example"], "www.shop.example", None),
        case("an address", &["127.0.0.1"], "127.0.0.1", None),
        case("an IPv6 address", &["::1"], "::1", None),
        case(
            "an A-label",
            &["xn--mnchen-3ya.example"],
            "münchen.example",
            None,
        ),
    ] {
        case.check();
    }
}

#[test]
fn the_common_name_is_matched_only_if_enabled() {
    let pki = Pki::new();
    let nameless = |common_name: &str| {
        pki.root
            .issue(Spec::server(&[]).common_name(Some(common_name)))
    };
    let no_name = refused!(at Some(0), VerifyCause::NoSubjectAltName { .. });
    let mismatch = refused!(at Some(0), VerifyCause::NameMismatch { .. });
    let with_names = pki
        .root
        .issue(Spec::server(&["other.example"]).common_name(Some(NAME)));
    let anonymous = pki.root.issue(Spec::server(&[]).common_name(None));
    let case = |what: &str, end_entity: &Issued, legacy: bool, expected| {
        let case = Case::new(
            Purpose::ServerAuth,
            what,
            end_entity,
            &[],
            &[&pki.root],
            expected,
        );
        case.policy(|policy| policy.with_legacy_common_name(legacy))
    };
    for case in [
        case("common name only", &nameless(NAME), false, no_name),
        case("common name only, legacy rule", &nameless(NAME), true, None),
        case(
            "other common name, legacy rule",
            &nameless("other.example"),
            true,
            no_name,
        ),
        case(
            "wildcard, legacy rule",
            &nameless("*.shop.example"),
            true,
            None,
        )
        .name("www.shop.example"),
        case(
            "address, legacy rule",
            &nameless("127.0.0.1"),
            true,
            no_name,
        )
        .name("127.0.0.1"),
        case(
            "alternative names there are, legacy rule",
            &with_names,
            true,
            mismatch,
        ),
        case("no name at all, legacy rule", &anonymous, true, no_name),
    ] {
        case.check();
    }
}

#[test]
fn name_constraints_apply_to_every_kind_of_server_name() {
    let pki = Pki::new();
    let bound = pki
        .root
        .issue(Spec::authority("Bound").permitting(&["inside.example"]));
    let below = bound.issue(Spec::authority("Below"));
    let bound_root = Spec::authority("Bound Root")
        .permitting(&["inside.example"])
        .self_signed();
    // nameConstraints { excludedSubtrees [1] { { dNSName "secret.example" } } }
    let excluded = der(0x30, &der(0xa1, &der(0x30, &der(0x82, b"secret.example"))));
    let excluding =
        pki.root
            .issue(Spec::authority("Excluding").extension(&[2, 5, 29, 30], &excluded, true));
    let by_bound = refused!(at Some(0), VerifyCause::NameConstraint { name, constrained_by, .. }
        if !name.is_empty() && constrained_by.contains("Bound"));
    let by_excluding = refused!(at Some(0), VerifyCause::NameConstraint { constrained_by, .. }
        if constrained_by.contains("Excluding"));
    let in_name_only = refused!(at Some(0), VerifyCause::NameConstraint { .. });
    let case = |what: &str, issuers: &[&Issued], root, names: &[&str], reference, expected| {
        let issuer = issuers.first().copied().unwrap_or(root);
        let end_entity = issuer.issue(Spec::server(names).common_name(Some(reference)));
        Case::new(
            Purpose::ServerAuth,
            what,
            &end_entity,
            issuers,
            &[root],
            expected,
        )
        .name(reference)
    };
    let legacy = |case: Case| case.policy(|policy| policy.with_legacy_common_name(true));
    let (inside, outside) = ("www.inside.example", "www.outside.example");
    for case in [
        case("inside", &[&bound], &pki.root, &[inside], inside, None),
        case(
            "outside",
            &[&bound],
            &pki.root,
            &[outside],
            outside,
            by_bound,
        ),
        case(
            "inside and outside",
            &[&bound],
            &pki.root,
            &[inside, outside],
            inside,
            by_bound,
        ),
        case(
            "a name that ends alike",
            &[&bound],
            &pki.root,
            &["xinside.example"],
            "xinside.example",
            by_bound,
        ),
        case(
            "two below",
            &[&below, &bound],
            &pki.root,
            &[outside],
            outside,
            by_bound,
        ),
        case(
            "inside, two below",
            &[&below, &bound],
            &pki.root,
            &[inside],
            inside,
            None,
        ),
        case(
            "wildcard inside",
            &[&bound],
            &pki.root,
            &["*.inside.example"],
            inside,
            None,
        ),
        case(
            "wildcard that reaches outside",
            &[&bound],
            &pki.root,
            &["*.example"],
            outside,
            by_bound,
        ),
        case(
            "bound root, inside",
            &[],
            &bound_root,
            &[inside],
            inside,
            None,
        ),
        case(
            "bound root, outside",
            &[],
            &bound_root,
            &[outside],
            outside,
            by_bound,
        ),
        case(
            "excluded",
            &[&excluding],
            &pki.root,
            &["www.secret.example"],
            "www.secret.example",
            by_excluding,
        ),
        case(
            "not excluded",
            &[&excluding],
            &pki.root,
            &[outside],
            outside,
            None,
        ),
        // The legacy rule must not evade the constraints, which apply only to alternative names.
        legacy(case(
            "common name outside",
            &[&bound],
            &pki.root,
            &[],
            outside,
            in_name_only,
        )),
        legacy(case(
            "common name outside, two below",
            &[&below, &bound],
            &pki.root,
            &[],
            outside,
            in_name_only,
        )),
        legacy(case(
            "common name outside, bound root",
            &[],
            &bound_root,
            &[],
            outside,
            in_name_only,
        )),
    ] {
        case.check();
    }
}
