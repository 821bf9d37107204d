//! The order of a chain: checked if the file has one, established if it has none.

use handfast::{Identity, IdentityError, IdentityPart, Passphrase};
use handfast_testbed::pki::{Issued, Pki, Spec};

use crate::fixture::{Fixture, PASSPHRASE, assert_serves, message};

/// A root, three intermediates below each other, and a server below the last.
struct Ladder {
    root: Issued,
    steps: Vec<Issued>,
    server: Issued,
}

fn ladder() -> Ladder {
    let pki = Pki::new();
    let steps = pki.intermediates(3);
    let server = steps[2].issue(Spec::server(&["localhost"]));
    Ladder {
        root: pki.root,
        steps,
        server,
    }
}

impl Ladder {
    /// `s` is the server, `1` to `3` the intermediates, `r` the root, `x` an unrelated certificate.
    fn load(&self, order: &str) -> Result<Identity, IdentityError> {
        let stranger = Pki::new().server(&["stranger"]);
        let chain: String = order
            .chars()
            .map(|name| match name {
                's' => self.server.cert_pem(),
                'r' => self.root.cert_pem(),
                'x' => stranger.cert_pem(),
                digit => self.steps[digit as usize - '1' as usize].cert_pem(),
            })
            .collect();
        Identity::from_bytes(
            chain.as_bytes(),
            self.server.key_pem().as_bytes(),
            Passphrase::none(),
        )
    }
}

#[test]
fn the_order_of_a_chain_is_checked_and_the_error_names_the_certificate() {
    let ladder = ladder();
    for order in ["s", "s3", "s32", "s321", "s321r"] {
        let identity = ladder
            .load(order)
            .unwrap_or_else(|error| panic!("{order}: {}", message(error)));
        assert_eq!(identity.chain().len(), order.len());
        assert_eq!(identity.facts().common_name.as_deref(), Some("localhost"));
    }
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str)] = &[
        ("3s", "chain-out-of-order", "the first certificate is that of CN=Test Intermediate 3; it must be that of CN=localhost, which is number 2"),
        ("r123s", "chain-out-of-order", "Test Root; it must be that of CN=localhost, which is number 5"),
        ("s231", "chain-out-of-order", "certificate 2 is that of CN=Test Intermediate 2; it must be the issuer of CN=localhost, which is number 3"),
        ("s312", "chain-out-of-order", "certificate 3 is that of CN=Test Intermediate 1; it must be the issuer of CN=Test Intermediate 3, which is number 4"),
        ("s3r21", "chain-out-of-order", "certificate 3 is that of CN=Test Root"),
        ("s33", "chain-out-of-order", "certificate 3 repeats that of CN=Test Intermediate 3"),
        ("ss3", "chain-out-of-order", "certificate 2 repeats that of CN=localhost"),
        ("s3x", "chain-unrelated-certificate", "that of CN=stranger, issued none of those before it; expected: that of CN=Test Intermediate 2"),
        ("s1", "chain-unrelated-certificate", "expected: that of CN=Test Intermediate 3"),
        ("x", "key-mismatch", "CN=stranger"),
        ("3", "key-mismatch", "Test Intermediate 3"),
    ];
    for (order, id, expected) in cases {
        let error = ladder.load(order).unwrap_err();
        assert_eq!(error.id(), *id, "{order}: {}", message(error));
        let text = message(error).replace("O=handfast tests, ", "");
        assert!(text.contains(expected), "{order}: {text}");
    }
}

#[test]
fn cross_signed_issuers_may_be_next_to_each_other() {
    let (ours, theirs) = (Pki::new(), Spec::authority("Other Root").self_signed());
    let intermediate = &ours.intermediates(1)[0];
    let crossed = theirs.cross_sign(intermediate);
    let server = intermediate.issue(Spec::server(&["localhost"]));
    let chain = server.chain_pem(&[intermediate, &crossed]);
    let key = server.key_pem();
    Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap();
}

#[test]
fn an_issuer_with_the_same_name_and_a_new_key_is_not_the_issuer() {
    let old = Spec::authority("Test CA").self_signed();
    let new = Spec::authority("Test CA").self_signed();
    let server = old.issue(Spec::server(&["localhost"]));
    let chain = server.chain_pem(&[&new]);
    let key = server.key_pem();
    let error = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    assert_eq!(error.unwrap_err().id(), "chain-unrelated-certificate");
}

#[test]
fn pkcs12_chains_are_ordered_and_other_certificates_ignored() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let ladder = ladder();
    let stranger = Pki::new().server(&["stranger"]);
    // In reverse order, with an unrelated certificate.
    let others = stranger.chain_pem(&[
        &ladder.root,
        &ladder.steps[0],
        &ladder.steps[1],
        &ladder.steps[2],
    ]);
    fixture.write("others.pem", others);
    fixture.write("server.pem", ladder.server.cert_pem());
    fixture.write("server.key", ladder.server.key_pem());
    for options in ["", "-legacy"] {
        fixture.openssl(&format!(
            "pkcs12 -export {options} -inkey server.key -in server.pem -certfile others.pem -passout PASS -out all.p12"
        ));
        let identity =
            Identity::from_pkcs12_file(fixture.path("all.p12"), PASSPHRASE.into()).unwrap();
        let [third, second, first] = [2, 1, 0].map(|index| &ladder.steps[index]);
        let expected = ladder
            .server
            .chain_with(&[third, second, first, &ladder.root]);
        assert_eq!(identity.chain(), expected);
        assert_serves(identity, ladder.root.cert_pem().as_bytes(), "all.p12");
    }
}

#[test]
fn pem_made_by_openssl_from_pkcs12_is_read_from_one_file() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    let ladder = ladder();
    fixture.write("chain.pem", ladder.server.chain_pem(&[&ladder.steps[2]]));
    fixture.write("server.key", ladder.server.key_pem());
    for command in [
        "pkcs12 -export -inkey server.key -in chain.pem -passout PASS -out all.p12",
        "pkcs12 -in all.p12 -passin PASS -passout PASS -out all.pem",
    ] {
        fixture.openssl(command);
    }
    let identity = Identity::from_file(fixture.path("all.pem"), PASSPHRASE.into()).unwrap();
    assert_eq!(identity.chain().len(), 2);
    let error = Identity::from_file(fixture.path("all.pem"), Passphrase::none()).unwrap_err();
    assert_eq!(error.id(), "passphrase-needed");
    assert_eq!(error.part, IdentityPart::Both);
}
