//! The order of a chain: checked where the file has one, made where it has none.

use handfast::{Identity, IdentityError, IdentityPart, Passphrase};
use handfast_testbed::pki::{Issued, Pki, Spec};

use crate::bench::{Bench, PASSPHRASE, assert_serves, told};

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
    /// `s` is the server, `1` to `3` the intermediates, `r` the root, `x` something unrelated.
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
fn the_order_of_a_chain_is_checked_and_the_culprit_named() {
    let ladder = ladder();
    for order in ["s", "s3", "s32", "s321", "s321r"] {
        let identity = ladder
            .load(order)
            .unwrap_or_else(|error| panic!("{order}: {}", told(error)));
        assert_eq!(identity.chain().len(), order.len());
        assert_eq!(identity.facts().common_name.as_deref(), Some("localhost"));
    }
    #[rustfmt::skip]
    let cases: &[(&str, &str, &str)] = &[
        ("3s", "chain-out-of-order", "Test Intermediate 3 comes first, where that of CN=localhost belongs, which is number 2"),
        ("r123s", "chain-out-of-order", "Test Root comes first, where that of CN=localhost belongs, which is number 5"),
        ("s231", "chain-out-of-order", "certificate 2 is that of CN=Test Intermediate 2, where the issuer of CN=localhost belongs, which is number 3"),
        ("s312", "chain-out-of-order", "certificate 3 is that of CN=Test Intermediate 1, where the issuer of CN=Test Intermediate 3 belongs, which is number 4"),
        ("s3r21", "chain-out-of-order", "certificate 3 is that of CN=Test Root"),
        ("s33", "chain-out-of-order", "certificate 3 repeats that of CN=Test Intermediate 3"),
        ("ss3", "chain-out-of-order", "certificate 2 repeats that of CN=localhost"),
        ("s3x", "chain-unrelated-certificate", "that of CN=stranger, issued none of those before it; that of CN=Test Intermediate 2 was expected"),
        ("s1", "chain-unrelated-certificate", "that of CN=Test Intermediate 3 was expected"),
        ("x", "key-mismatch", "CN=stranger"),
        ("3", "key-mismatch", "Test Intermediate 3"),
    ];
    for (order, id, says) in cases {
        let error = ladder.load(order).unwrap_err();
        assert_eq!(error.id(), *id, "{order}: {}", told(error));
        let text = told(error).replace("O=handfast tests, ", "");
        assert!(text.contains(says), "{order}: {text}");
    }
}

#[test]
fn cross_signed_issuers_may_stand_side_by_side() {
    let (ours, theirs) = (Pki::new(), Spec::authority("Other Root").self_signed());
    let intermediate = &ours.intermediates(1)[0];
    let crossed = theirs.cross_sign(intermediate);
    let server = intermediate.issue(Spec::server(&["localhost"]));
    let chain = server.chain_pem(&[intermediate, &crossed]);
    let key = server.key_pem();
    Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap();
}

#[test]
fn an_issuer_made_anew_under_its_old_name_is_not_the_issuer() {
    let old = Spec::authority("Test CA").self_signed();
    let new = Spec::authority("Test CA").self_signed();
    let server = old.issue(Spec::server(&["localhost"]));
    let chain = server.chain_pem(&[&new]);
    let key = server.key_pem();
    let error = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    assert_eq!(error.unwrap_err().id(), "chain-unrelated-certificate");
}

#[test]
fn pkcs12_chains_come_out_in_order_whatever_else_is_inside() {
    let Some(bench) = Bench::new() else { return };
    let ladder = ladder();
    let stranger = Pki::new().server(&["stranger"]);
    // The wrong way round, with a certificate that has no business here.
    let others = stranger.chain_pem(&[
        &ladder.root,
        &ladder.steps[0],
        &ladder.steps[1],
        &ladder.steps[2],
    ]);
    bench.write("others.pem", others);
    bench.write("server.pem", ladder.server.cert_pem());
    bench.write("server.key", ladder.server.key_pem());
    for options in ["", "-legacy"] {
        bench.openssl(&format!(
            "pkcs12 -export {options} -inkey server.key -in server.pem -certfile others.pem -passout PASS -out all.p12"
        ));
        let identity =
            Identity::from_pkcs12_file(bench.path("all.p12"), PASSPHRASE.into()).unwrap();
        let [third, second, first] = [2, 1, 0].map(|index| &ladder.steps[index]);
        let expected = ladder
            .server
            .chain_with(&[third, second, first, &ladder.root]);
        assert_eq!(identity.chain(), expected);
        assert_serves(identity, ladder.root.cert_pem().as_bytes(), "all.p12");
    }
}

#[test]
fn what_openssl_makes_of_a_pkcs12_file_is_read_from_one_file() {
    let Some(bench) = Bench::new() else { return };
    let ladder = ladder();
    bench.write("chain.pem", ladder.server.chain_pem(&[&ladder.steps[2]]));
    bench.write("server.key", ladder.server.key_pem());
    for command in [
        "pkcs12 -export -inkey server.key -in chain.pem -passout PASS -out all.p12",
        "pkcs12 -in all.p12 -passin PASS -passout PASS -out all.pem",
    ] {
        bench.openssl(command);
    }
    let identity = Identity::from_file(bench.path("all.pem"), PASSPHRASE.into()).unwrap();
    assert_eq!(identity.chain().len(), 2);
    let error = Identity::from_file(bench.path("all.pem"), Passphrase::none()).unwrap_err();
    assert_eq!(error.id(), "passphrase-needed");
    assert_eq!(error.part, IdentityPart::Both);
}
