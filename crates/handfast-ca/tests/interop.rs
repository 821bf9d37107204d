//! OpenSSL, GnuTLS and webpki accept issued certificates, and refuse certificates that were signed
//! with a stolen key for names outside of the constraints.

mod common;

use std::fs;

use common::{Fixture, Verifier, openssl};
use handfast_ca::{InitOptions, IssueRequest, KeyType, RevokeTarget};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, SanType};
use zeroize::Zeroizing;

#[test]
fn all_accept_issued_certificates() {
    let home = Fixture::new();
    let ca = home.authority.certificate_file();
    let names = [
        "localhost",
        "db.internal",
        "münchen.test",
        "*.dev.localhost",
        "127.0.0.1",
        "::1",
        "fe80::1",
    ];
    for key_type in KeyType::ALL {
        for client in [false, true] {
            let mut request = IssueRequest::server(names);
            request.client = client;
            request.key_type = key_type;
            request.out = Some(home.path(&format!("{key_type}-{client}")));
            let issued = home.authority.issue(&request).unwrap();
            for verifier in Verifier::ALL {
                let asked: &[Option<&str>] = if client {
                    &[None]
                } else {
                    &[
                        Some("localhost"),
                        Some("db.internal"),
                        Some("xn--mnchen-3ya.test"),
                        Some("a.dev.localhost"),
                        Some("127.0.0.1"),
                        Some("::1"),
                    ]
                };
                for name in asked {
                    let Some(verdict) = verifier.verify(&ca, &issued.chain_file, client, *name)
                    else {
                        continue;
                    };
                    assert!(
                        verdict.accepted,
                        "{verifier:?} {key_type} client={client} {name:?}: {}",
                        verdict.words
                    );
                }
                // Wrong purpose, wrong name.
                let refused = [
                    verifier.verify(&ca, &issued.chain_file, !client, None),
                    (!client)
                        .then(|| {
                            verifier.verify(&ca, &issued.chain_file, false, Some("other.internal"))
                        })
                        .flatten(),
                ];
                for verdict in refused.into_iter().flatten() {
                    assert!(
                        !verdict.accepted,
                        "{verifier:?} {key_type}: {}",
                        verdict.words
                    );
                }
            }
            for path in [&issued.key_file, &issued.chain_file] {
                assert!(path.is_file());
            }
            let key = issued.key_file.to_str().unwrap();
            let Some(checked) = openssl(&["pkey", "-in", key, "-noout", "-check"]) else {
                continue;
            };
            assert!(checked.accepted, "{key_type}: {}", checked.words);
            let of_key = openssl(&["pkey", "-in", key, "-pubout"]).unwrap();
            let chain = issued.chain_file.to_str().unwrap();
            let of_certificate = openssl(&["x509", "-in", chain, "-noout", "-pubkey"]).unwrap();
            assert_eq!(of_key.words, of_certificate.words, "{key_type}");
        }
    }
}

#[test]
fn all_accept_certificates_of_users() {
    let home = Fixture::new();
    let ca = home.authority.certificate_file();
    for name in ["alice", "Alice B. Smith", "alice@corp.example", "zoë"] {
        let issued = home.authority.issue(&IssueRequest::client([name])).unwrap();
        for verifier in Verifier::ALL {
            if let Some(verdict) = verifier.verify(&ca, &issued.chain_file, true, None) {
                assert!(verdict.accepted, "{verifier:?} {name}: {}", verdict.words);
            }
        }
    }
    // With an address beside the name, and an address alone.
    for names in [&["bob", "10.0.0.7"][..], &["10.0.0.8"]] {
        let client = IssueRequest::client(names.iter().copied());
        let issued = home.authority.issue(&client).unwrap();
        for verifier in Verifier::ALL {
            if let Some(verdict) = verifier.verify(&ca, &issued.chain_file, true, None) {
                assert!(
                    verdict.accepted,
                    "{verifier:?} {names:?}: {}",
                    verdict.words
                );
            }
        }
    }
    let issued = home
        .authority
        .issue(&IssueRequest::server(["192.168.7.7"]))
        .unwrap();
    for verifier in Verifier::ALL {
        if let Some(verdict) = verifier.verify(&ca, &issued.chain_file, false, Some("192.168.7.7"))
        {
            assert!(verdict.accepted, "{verifier:?}: {}", verdict.words);
        }
    }
}

#[test]
fn all_accept_explicitly_permitted_names() {
    let mut options = InitOptions::default();
    options.permit = ["corp.example", "192.0.2.0/24", "2001:db8::7"]
        .map(str::to_owned)
        .to_vec();
    let home = Fixture::with(&options);
    let ca = home.authority.certificate_file();
    let names = [
        "www.corp.example",
        "*.corp.example",
        "192.0.2.44",
        "2001:db8::7",
    ];
    let issued = home.authority.issue(&IssueRequest::server(names)).unwrap();
    for verifier in Verifier::ALL {
        for name in [
            "www.corp.example",
            "any.corp.example",
            "192.0.2.44",
            "2001:db8::7",
        ] {
            if let Some(verdict) = verifier.verify(&ca, &issued.chain_file, false, Some(name)) {
                assert!(verdict.accepted, "{verifier:?} {name}: {}", verdict.words);
            }
        }
    }
}

#[test]
fn a_stolen_key_cannot_sign_outside_of_the_constraints() {
    let home = Fixture::new();
    let ca = home.authority.certificate_file();
    // Certificates forged in the same way are accepted for permitted names, so those below are
    // refused for their names.
    let inside = home.steal_and_sign(&["www.internal", "10.1.2.3"], None, false);
    for verifier in Verifier::ALL {
        if let Some(verdict) = verifier.verify(&ca, &inside, false, Some("www.internal")) {
            assert!(verdict.accepted, "{verifier:?}: {}", verdict.words);
        }
    }
    for names in [
        &["bank.example"][..],
        &["example"],
        &["*.example"],
        &["evillocalhost"],
        &["localhost.bank.example"],
        &["localhost", "bank.example"],
        &["93.184.216.34"],
        &["172.32.0.1"],
        &["2606:2800::1"],
        &["localhost", "8.8.8.8"],
        &["::ffff:127.0.0.1"],
        &["localhost", "https://bank.example/"],
    ] {
        let file = home.steal_and_sign(names, None, false);
        for verifier in Verifier::ALL {
            if verifier == Verifier::GnuTls && names.contains(&"https://bank.example/") {
                // Ignores constraints on URIs, and never takes a server's name from a URI.
                continue;
            }
            if let Some(verdict) = verifier.verify(&ca, &file, false, None) {
                assert!(
                    !verdict.accepted,
                    "{verifier:?} {names:?}: {}",
                    verdict.words
                );
            }
        }
    }
    for names in [&["mallory@bank.example"][..], &["mallory@localhost"]] {
        let file = home.steal_and_sign(names, None, true);
        for verifier in Verifier::ALL {
            if let Some(verdict) = verifier.verify(&ca, &file, true, None) {
                assert!(
                    !verdict.accepted,
                    "{verifier:?} {names:?}: {}",
                    verdict.words
                );
            }
        }
    }
}

/// The deprecated way of naming a server, which webpki does not support: OpenSSL and GnuTLS apply the
/// constraints to it.
#[test]
fn a_common_name_does_not_evade_the_constraints() {
    let home = Fixture::new();
    let ca = home.authority.certificate_file();
    let file = home.steal_and_sign(&[], Some("bank.example"), false);
    for verifier in Verifier::ALL {
        if let Some(verdict) = verifier.verify(&ca, &file, false, Some("bank.example")) {
            assert!(!verdict.accepted, "{verifier:?}: {}", verdict.words);
        }
    }
    let file = home.steal_and_sign(&["localhost"], Some("bank.example"), false);
    for verifier in Verifier::ALL {
        if let Some(verdict) = verifier.verify(&ca, &file, false, Some("bank.example")) {
            assert!(!verdict.accepted, "{verifier:?}: {}", verdict.words);
        }
    }
}

/// Path length zero: certificates that it issues cannot issue others. webpki ignores an anchor's path
/// length, but applies its name constraints to the second authority, too.
#[test]
fn a_stolen_key_cannot_certify_a_second_authority() {
    let home = Fixture::new();
    let ca = home.authority.certificate_file();
    for (name, verifiers) in [
        ("www.internal", &[Verifier::OpenSsl, Verifier::GnuTls][..]),
        ("bank.example", &Verifier::ALL),
    ] {
        let chain = home.steal_and_delegate(name);
        for verifier in verifiers {
            if let Some(verdict) = verifier.verify(&ca, &chain, false, Some(name)) {
                assert!(!verdict.accepted, "{verifier:?} {name}: {}", verdict.words);
            }
        }
    }
    // The chain has no other fault: webpki accepts it for a permitted name.
    let chain = home.steal_and_delegate("www.internal");
    let verdict = Verifier::Webpki.verify(&ca, &chain, false, Some("www.internal"));
    assert!(verdict.is_some_and(|verdict| verdict.accepted));
}

/// For TLS only: not for mail or time stamps. (GnuTLS and webpki do not apply an anchor's extended key
/// usage to what it issued; OpenSSL, NSS and Windows do.)
#[test]
fn a_stolen_key_cannot_sign_mail() {
    let home = Fixture::new();
    let ca = home.authority.certificate_file();
    for (usage, purpose) in [
        (ExtendedKeyUsagePurpose::EmailProtection, "smimesign"),
        (ExtendedKeyUsagePurpose::TimeStamping, "timestampsign"),
    ] {
        let san = vec![SanType::DnsName("localhost".try_into().unwrap())];
        let file = home.steal_and_sign_for(san, None, usage, IsCa::ExplicitNoCa);
        let (ca, file) = (ca.to_str().unwrap(), file.to_str().unwrap());
        if let Some(verdict) = openssl(&["verify", "-CAfile", ca, "-purpose", purpose, file]) {
            assert!(!verdict.accepted, "{purpose}: {}", verdict.words);
        }
    }
}

#[test]
fn the_revocation_list_is_accepted() {
    let home = Fixture::new();
    let authority = &home.authority;
    let kept = authority
        .issue(&IssueRequest::server(["localhost"]))
        .unwrap();
    let lost = authority
        .issue(&IssueRequest::server(["db.internal"]))
        .unwrap();
    let by_file = authority.issue(&IssueRequest::client(["alice"])).unwrap();
    let ca = authority.certificate_file();
    let crl = authority.crl_file();
    let verify = |file: &std::path::Path| {
        openssl(&[
            "verify",
            "-x509_strict",
            "-crl_check",
            "-CAfile",
            ca.to_str().unwrap(),
            "-CRLfile",
            crl.to_str().unwrap(),
            file.to_str().unwrap(),
        ])
    };
    for issued in [&kept, &lost, &by_file] {
        if let Some(verdict) = verify(&issued.chain_file) {
            assert!(verdict.accepted, "{}", verdict.words);
        }
    }
    // As `openssl x509 -serial` prints it.
    let serial = lost.serial.to_ascii_uppercase();
    let first = authority.revoke(&RevokeTarget::Serial(serial)).unwrap();
    let second = authority
        .revoke(&RevokeTarget::File(by_file.chain_file.clone()))
        .unwrap();
    assert!(second.list.number > first.list.number);
    for (issued, accepted) in [(&kept, true), (&lost, false), (&by_file, false)] {
        if let Some(verdict) = verify(&issued.chain_file) {
            assert_eq!(verdict.accepted, accepted, "{}", verdict.words);
            assert_eq!(
                verdict.words.contains("revoked"),
                !accepted,
                "{}",
                verdict.words
            );
        }
    }
    if let Some(text) = openssl(&["crl", "-in", crl.to_str().unwrap(), "-noout", "-text"]) {
        let numbered = format!("{:X}", second.list.number);
        assert!(text.words.contains("X509v3 CRL Number"), "{}", text.words);
        assert!(text.words.contains(&numbered), "{}", text.words);
    }
    if let Some(certtool) = handfast_testbed::peers::require("certtool") {
        let verdict = common::run(
            std::process::Command::new(certtool)
                .args(["--verify-crl", "--load-ca-certificate"])
                .arg(&ca)
                .arg("--infile")
                .arg(&crl),
        );
        assert!(verdict.accepted, "{}", verdict.words);
    }
}

#[test]
fn an_encrypted_key_is_decrypted_with_its_passphrase_only() {
    let home = Fixture::new();
    for key_type in [KeyType::EcdsaP256, KeyType::Ed25519, KeyType::Rsa2048] {
        let mut request = IssueRequest::server(["localhost"]);
        request.key_type = key_type;
        request.passphrase = Some(Zeroizing::new("correct horse ü".to_owned()));
        let issued = home.authority.issue(&request).unwrap();
        let pem = fs::read_to_string(&issued.key_file).unwrap();
        assert!(
            pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
            "{key_type}"
        );
        let key = issued.key_file.to_str().unwrap();
        for (passphrase, opens) in [("pass:correct horse ü", true), ("pass:wrong", false)] {
            let arguments = [
                "pkey", "-in", key, "-noout", "-check", "-passin", passphrase,
            ];
            if let Some(verdict) = openssl(&arguments) {
                assert_eq!(verdict.accepted, opens, "{key_type}: {}", verdict.words);
            }
        }
        if let Some(certtool) = handfast_testbed::peers::require("certtool") {
            let verdict = common::run(std::process::Command::new(certtool).args([
                "--key-info",
                "--password",
                "correct horse ü",
                "--infile",
                key,
            ]));
            assert!(verdict.accepted, "{key_type}: {}", verdict.words);
        }
    }
}
