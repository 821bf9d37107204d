//! A server with a certificate for each kind of key: all of them are shown and judged.

use std::ffi::OsStr;

use handfast_testbed::launch::{GnutlsServer, OpensslServer};
use handfast_testbed::pki::{Key, Spec};

use crate::common::{Fixture, localhost};

/// An ECDSA certificate and an RSA one, by files of these names.
fn both(fixture: &Fixture, rsa: Spec) {
    let ecdsa = Spec::server(&["localhost"]).key(Key::P256);
    fixture.files("ecdsa", &fixture.pki.root.issue(ecdsa));
    fixture.files("rsa", &fixture.pki.root.issue(rsa.key(Key::Rsa2048)));
}

fn good() -> Spec {
    Spec::server(&["localhost"])
}

fn openssl(fixture: &Fixture, more: &[&str]) -> Option<OpensslServer> {
    let files = ["ecdsa.pem", "ecdsa.key", "rsa.pem", "rsa.key"].map(|name| fixture.path(name));
    let mut args = vec![OsStr::new("-www")];
    for (option, file) in ["-cert", "-key", "-dcert", "-dkey"].iter().zip(&files) {
        args.extend([OsStr::new(option), file.as_os_str()]);
    }
    args.extend(more.iter().map(OsStr::new));
    OpensslServer::launch(&args)
}

fn gnutls(fixture: &Fixture) -> Option<GnutlsServer> {
    let files = ["ecdsa.pem", "ecdsa.key", "rsa.pem", "rsa.key"].map(|name| fixture.path(name));
    let mut args: Vec<&OsStr> = vec![OsStr::new("--http")];
    for (option, file) in ["--x509certfile", "--x509keyfile"]
        .iter()
        .cycle()
        .zip(&files)
    {
        args.extend([OsStr::new(option), file.as_os_str()]);
    }
    GnutlsServer::launch(&args)
}

#[test]
fn every_certificate_that_a_server_has_for_a_name_is_shown_and_judged() {
    let fixture = Fixture::new();
    both(&fixture, good());
    let tls13 = openssl(&fixture, &["-tls1_3"]);
    let tls12 = openssl(&fixture, &["-tls1_2"]);
    let gnutls = gnutls(&fixture);
    let addresses = [
        tls13.as_ref().map(OpensslServer::address),
        tls12.as_ref().map(OpensslServer::address),
        gnutls.as_ref().map(GnutlsServer::address),
    ];
    for address in addresses.into_iter().flatten() {
        let (target, code) = fixture.inspect_json([localhost(address)]);
        assert_eq!(code, Some(0), "{target:#}");
        let others = target["other_chains"].as_array().unwrap();
        assert_eq!(others.len(), 1, "{target:#}");
        let other = &others[0];
        assert_eq!(other["verified"], true, "{other:#}");
        assert!(
            other["refused"].is_null() && other["anchor"].is_string(),
            "{other:#}"
        );
        let kinds = [&target["chain"][0]["key"], &other["chain"][0]["key"]];
        let mut kinds = kinds.map(|kind| kind.as_str().unwrap_or_default());
        kinds.sort_unstable();
        assert_eq!(kinds, ["EC P-256", "RSA"], "{target:#}");
        let page = fixture.inspect([localhost(address)]);
        assert!(
            page.printed("also serves  verified for localhost"),
            "{page}"
        );
        assert!(
            page.printed("EC P-256") && page.printed("RSA 2048"),
            "{page}"
        );
    }
}

#[test]
fn another_certificate_that_clients_refuse_is_a_failure() {
    let fixture = Fixture::new();
    both(&fixture, good().expired());
    let Some(server) = openssl(&fixture, &[]) else {
        return;
    };
    let (target, code) = fixture.inspect_json([localhost(server.address())]);
    assert_eq!(code, Some(60), "{target:#}");
    assert_eq!(
        target["verified"], true,
        "its first one is in order: {target:#}"
    );
    assert_eq!(target["ok"], false);
    assert_eq!(target["failure"]["id"], "certificate-expired");
    let other = &target["other_chains"][0];
    assert_eq!(other["key"], "RSA", "{target:#}");
    assert_eq!(other["refused"]["id"], "certificate-expired", "{other:#}");
    let page = fixture.inspect([localhost(server.address())]);
    assert!(
        page.printed("also serves  NOT verified for localhost"),
        "{page}"
    );
    assert!(page.printed("other certificate, with an RSA key"), "{page}");
}

#[test]
fn a_server_with_one_certificate_has_no_other() {
    let fixture = Fixture::new();
    let identity = fixture.pki.root.issue(good().key(Key::P256));
    let Some(server) = fixture.openssl(&identity, &["-www"]) else {
        return;
    };
    let (target, code) = fixture.inspect_json([localhost(server.address())]);
    assert_eq!(code, Some(0), "{target:#}");
    assert_eq!(target["other_chains"], serde_json::json!([]));
}
