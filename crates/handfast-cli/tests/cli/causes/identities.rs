//! What is wrong with our own certificate, in the server's eyes or in ours.

use handfast_testbed::launch::Program;
use handfast_testbed::pki::{Issued, Pki, Spec};

use super::{Case, HANDSHAKE, NAME, Peer};
use crate::common::Fixture;

#[test]
fn client_certificates_and_our_own_mistakes() {
    let fixture = Fixture::new();
    let server = fixture.pki.root.issue(Spec::server(&[NAME]));
    let write = |name, issued: &Issued| {
        let files = issued.write(fixture.directory(), name, &[]);
        (
            files.chain_pem.display().to_string(),
            files.key_pem.display().to_string(),
        )
    };
    let (stranger, stranger_key) = write("stranger", &Pki::new().client("mallory"));
    let (own, _) = write("own", &fixture.pki.client("alice"));
    let ca = fixture.ca.display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let args = [
            version,
            "-www",
            "-Verify",
            "1",
            "-verify_return_error",
            "-CAfile",
            &ca,
        ];
        let Some(peer) = fixture.openssl(&server, &args).map(Peer::openssl) else {
            return;
        };
        let required = Case::new("client-certificate-required", HANDSHAKE);
        fixture.check(version, &peer, &required);
        let refused = Case::new("client-certificate-refused", HANDSHAKE);
        let refused = refused.args(&["--cert", &stranger, "--key", &stranger_key]);
        fixture.check(version, &peer, &refused);
        let mixed = Case::new("key-mismatch", 58).args(&["--cert", &own, "--key", &stranger_key]);
        fixture.check(version, &peer, &mixed);
    }
}

#[test]
fn a_wrong_passphrase_says_so() {
    let fixture = Fixture::new();
    let files = fixture
        .pki
        .client("alice")
        .write(fixture.directory(), "alice", &[]);
    let locked = fixture.path("locked.pem");
    let Some(openssl) = Program::new("openssl") else {
        return;
    };
    let made = openssl
        .args(["pkcs8", "-topk8", "-passout", "pass:right", "-in"])
        .arg(&files.key_pem)
        .arg("-out")
        .arg(&locked)
        .run();
    assert!(made.succeeded(), "{made}");
    let args = |pass: &str| -> Vec<String> {
        let (chain, key) = (files.chain_pem.display(), locked.display());
        let line = format!("--cert {chain} --key {key} --pass pass:{pass}");
        line.split(' ').map(str::to_owned).collect()
    };
    for (command, target) in [("get", "https://localhost:1/"), ("inspect", "localhost:1")] {
        let mut args = args("wrong");
        args.push(target.to_owned());
        let finished = fixture.run(command, &args);
        assert_eq!(finished.code, Some(58), "{finished}");
        assert!(finished.err().contains("[wrong-passphrase]"), "{finished}");
        assert!(!finished.printed("pass:wrong"), "{finished}");
    }
}
