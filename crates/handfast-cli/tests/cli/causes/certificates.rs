//! Certificates that are refused: each fault in a chain, under both versions of the protocol.

use handfast::SpkiSha256;
use handfast_testbed::careless::{Careless, version};
use handfast_testbed::pki::{
    Basic, DAY_SECS, ExtendedKeyUsagePurpose, Fault, Issued, Key, KeyUsagePurpose, Pki, Spec,
    now_secs, pem,
};

use super::{Case, NAME, PEER, PINNED_KEY, Peer};
use crate::common::Fixture;

/// Checks a chain, with the key of its first certificate, under both protocol versions.
fn chain(fixture: &Fixture, end_entity: &Issued, issuers: &[&Issued], case: &Case) {
    let told = [&version::TLS12, &version::TLS13].map(|protocol| {
        let careless = Careless::new(end_entity.chain_with(issuers), &end_entity.key_der());
        let peer = Peer::at(careless.serve(protocol, 40));
        let what = format!("{} {:?}", case.library, protocol.version);
        // A second that went by may show in how long something is overdue, and nowhere else.
        without_seconds(&fixture.check(&what, &peer, case))
    });
    assert_eq!(told[0], told[1], "the same is told under both versions");
}

/// The text without the seconds of the times in it.
fn without_seconds(text: &str) -> String {
    let clock = "this machine's clock says ";
    text.lines()
        .map(|line| match line.split_once(clock) {
            Some((before, _)) => format!("{before}{clock}\n"),
            None => format!("{line}\n"),
        })
        .collect()
}

fn refused(id: &'static str) -> Case {
    Case::new(id, PEER)
}

#[test]
fn issuers_that_are_missing_unknown_or_no_issuers() {
    let fixture = Fixture::new();
    let root = &fixture.pki.root;
    let server = || Spec::server(&[NAME]);
    let middle = root.issue(Spec::authority("Middle"));
    let foreign = Pki {
        root: Spec::authority("Foreign Root").self_signed(),
    };

    let forgot = middle.issue(server().ca_issuers("http://ca.example/middle.der"));
    chain(&fixture, &forgot, &[], &refused("missing-intermediate"));
    chain(
        &fixture,
        &foreign.server(&[NAME]),
        &[],
        &refused("unknown-issuer"),
    );
    chain(
        &fixture,
        &server().self_signed(),
        &[],
        &refused("self-signed"),
    );
    let openssl_req = Spec::openssl_req(&[NAME]).self_signed();
    chain(&fixture, &openssl_req, &[], &refused("self-signed"));
    let stranger = foreign.server(&[NAME]);
    chain(
        &fixture,
        &stranger,
        &[&foreign.root],
        &refused("untrusted-root"),
    );
    let proxy = Spec::authority("Zscaler Root CA").self_signed();
    let intercepted = proxy.issue(server());
    chain(&fixture, &intercepted, &[], &refused("likely-interception"));
    chain(
        &fixture,
        &intercepted,
        &[&proxy],
        &refused("likely-interception"),
    );

    let impostor = root.issue(Spec::server(&["evil.example"]));
    let forged = impostor.issue(server());
    chain(&fixture, &forged, &[&impostor], &refused("issuer-not-a-ca"));
    let authority = root.issue(server().basic(Basic::Authority));
    chain(&fixture, &authority, &[], &refused("ca-used-as-end-entity"));
    let narrow = root.issue(Spec::authority("Narrow").basic(Basic::AuthorityWithin(0)));
    let below = narrow.issue(Spec::authority("Below"));
    let too_long = below.issue(server());
    chain(
        &fixture,
        &too_long,
        &[&below, &narrow],
        &refused("path-too-long"),
    );
    let bound = root.issue(Spec::authority("Bound").permitting(&["other.example"]));
    chain(
        &fixture,
        &bound.issue(server()),
        &[&bound],
        &refused("name-constraint"),
    );
    // requireExplicitPolicy after no certificate, and no policy anywhere.
    let constraints = [0x30, 3, 0x80, 1, 0];
    let strict =
        root.issue(Spec::authority("Strict").extension(&[2, 5, 29, 36], &constraints, false));
    chain(
        &fixture,
        &strict.issue(server()),
        &[&strict],
        &refused("no-valid-policy"),
    );
    let many = fixture.pki.intermediates(7);
    let deep = many.last().unwrap().issue(server());
    let above: Vec<&Issued> = many.iter().rev().collect();
    chain(&fixture, &deep, &above, &refused("chain-too-deep"));
    let crowd: Vec<Issued> = (0..33)
        .map(|_| root.issue(Spec::authority("One of many")))
        .collect();
    let crowd: Vec<&Issued> = crowd.iter().collect();
    chain(
        &fixture,
        &root.issue(server()),
        &crowd,
        &refused("chain-too-large"),
    );
}

#[test]
fn times_names_and_purposes() {
    let fixture = Fixture::new();
    let root = &fixture.pki.root;
    let server = || Spec::server(&[NAME]);
    let now = now_secs();

    chain(
        &fixture,
        &root.issue(server().expired()),
        &[],
        &refused("certificate-expired"),
    );
    let late = root.issue(Spec::authority("Late").expired());
    chain(
        &fixture,
        &late.issue(server()),
        &[&late],
        &refused("certificate-expired"),
    );
    let early = root.issue(server().not_yet_valid());
    chain(&fixture, &early, &[], &refused("certificate-not-yet-valid"));
    let reversed = root.issue(server().valid_between(now + DAY_SECS, now - DAY_SECS));
    chain(
        &fixture,
        &reversed,
        &[],
        &refused("certificate-validity-reversed"),
    );

    let other = root.issue(Spec::server(&["www.shop.example"]));
    chain(&fixture, &other, &[], &refused("name-mismatch"));
    let nameless = root.issue(Spec::server(&[]).common_name(Some(NAME)));
    chain(&fixture, &nameless, &[], &refused("no-subject-alt-name"));
    let by_name = root.issue(server());
    chain(
        &fixture,
        &by_name,
        &[],
        &refused("ip-address-not-listed").name("127.0.0.1"),
    );

    let client = root.issue(server().extended_key_usage(&[ExtendedKeyUsagePurpose::ClientAuth]));
    chain(&fixture, &client, &[], &refused("wrong-purpose"));
    let cannot_sign = root.issue(server().key_usage(&[KeyUsagePurpose::KeyAgreement]));
    chain(&fixture, &cannot_sign, &[], &refused("wrong-key-usage"));

    let old_root = Spec::authority("Old Root").expired().self_signed();
    fixture.write("ca.pem", old_root.cert_pem());
    chain(
        &fixture,
        &old_root.issue(server()),
        &[],
        &refused("certificate-expired"),
    );
}

#[test]
fn keys_signatures_and_encodings() {
    let fixture = Fixture::new();
    let root = &fixture.pki.root;
    let server = || Spec::server(&[NAME]);
    for (spec, id) in [
        (Spec::authority("A").key(Key::ShownAsRsa1024), "weak-key"),
        (
            Spec::authority("A").fault(Fault::SaysSha1),
            "weak-signature",
        ),
        (
            Spec::authority("A").fault(Fault::SaysUnknownAlgorithm),
            "unsupported-signature",
        ),
        (
            Spec::authority("A").fault(Fault::SignatureBitFlipped),
            "bad-signature",
        ),
        (
            Spec::authority("A").fault(Fault::AlgorithmsDisagree),
            "signature-algorithm-mismatch",
        ),
        (
            Spec::authority("A").extension(&[1, 3, 6, 1, 4, 1, 99_999, 1], &[5, 0], true),
            "unknown-critical-extension",
        ),
        (
            Spec::authority("A").fault(Fault::TrailingByte),
            "malformed-certificate",
        ),
    ] {
        let spoilt = root.issue(spec);
        chain(&fixture, &spoilt.issue(server()), &[&spoilt], &refused(id));
    }
    let old = root.issue(server().fault(Fault::Version1));
    chain(
        &fixture,
        &old,
        &[],
        &refused("unsupported-certificate-version"),
    );
}

#[test]
fn revocation_and_pins() {
    let fixture = Fixture::new();
    let root = &fixture.pki.root;
    let server = root.issue(Spec::server(&[NAME]));
    let now = now_secs();
    let list = |name: &str, der: &[u8]| {
        let file = fixture.write(name, pem("X509 CRL", der));
        file.display().to_string()
    };
    let revoking = list("revoking.pem", &root.crl(&[&server]));
    let foreign = list(
        "foreign.pem",
        &Spec::authority("Foreign").self_signed().crl(&[]),
    );
    let overdue = root.crl_between(&[], now - 2 * DAY_SECS, now - DAY_SECS);
    let overdue = list("overdue.pem", &overdue);
    for (file, id) in [
        (&revoking, "certificate-revoked"),
        (&foreign, "revocation-unknown"),
        (&overdue, "crl-expired"),
    ] {
        chain(&fixture, &server, &[], &refused(id).args(&["--crl", file]));
    }
    let pin = SpkiSha256::from_bytes([7; 32]).to_string();
    chain(
        &fixture,
        &server,
        &[],
        &Case::new("pin-mismatch", PINNED_KEY).args(&["--pin", &pin]),
    );
}
