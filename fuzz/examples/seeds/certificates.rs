//! Certificates, keys, lists and responses in the files that users have and the messages that servers send. All keys are made anew by
//! each run.

use std::env;
use std::fs;
use std::path::PathBuf;

use handfast_testbed::crl::Crl;
use handfast_testbed::launch::Program;
use handfast_testbed::ocsp::{self, Status};
use handfast_testbed::pki::{Basic, Fault, Key, Pki, Spec};

use crate::Seeds;

pub(crate) fn write() {
    facts();
    identities();
    trust();
    fetched();
    staples();
}

/// An empty directory for programs' files.
fn scratch() -> PathBuf {
    let directory = env::temp_dir().join(format!("handfast-seeds-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a folder");
    directory
}

fn openssl(args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let finished = Program::new("openssl")?.args(args).stdin(input).run();
    assert!(finished.succeeded(), "{finished}");
    Some(finished.stdout)
}

fn facts() {
    let mut seeds = Seeds::new("certificate_facts");
    let pki = Pki::new();
    let policies = [0x30, 6, 0x30, 4, 6, 2, 0x2a, 3];
    for spec in [
        Spec::server(&["shop.example", "*.shop.example", "192.0.2.1", "2001:db8::1"]),
        Spec::client("Al\u{e9}na"),
        Spec::authority("Middle").basic(Basic::AuthorityWithin(0)),
        Spec::authority("Middle").permitting(&["shop.example", ".test"]),
        Spec::server(&["a.example"]).key(Key::P384),
        Spec::server(&["a.example"]).key(Key::Ed25519),
        Spec::server(&["a.example"]).key(Key::ShownAsRsa1024),
        Spec::server(&["a.example"]).extension(&[2, 5, 29, 32], &policies, true),
        Spec::server(&["a.example"]).ca_issuers("http://ca.example/ca.crt"),
        Spec::server(&["a.example"]).fault(Fault::Version1),
        Spec::server(&["a.example"]).fault(Fault::Since1950),
        Spec::server(&["a.example"]).fault(Fault::SaysUnknownAlgorithm),
        Spec::server(&["a.example"]).common_name(None),
    ] {
        seeds.add(&[&pki.root.issue(spec).der]);
    }
}

fn identities() {
    let mut seeds = Seeds::new("identity");
    let pki = Pki::new();
    let middle = pki.root.issue(Spec::authority("Middle"));
    let own = middle.issue(Spec::server(&["shop.example"]));
    let (chain, key) = (own.chain_pem(&[&middle]), own.key_pem());
    seeds.add(&[chain.as_bytes(), key.as_bytes()]);
    seeds.add(&[key.as_bytes(), own.cert_pem().as_bytes()]);
    seeds.add(&[b"Bag Attributes\n  friendlyName: x\r\n", key.as_bytes()]);
    seeds.add(&[own.key_der().secret_der()]);
    let other = pki
        .root
        .issue(Spec::server(&["a.example"]).key(Key::Ed25519));
    seeds.add(&[other.cert_pem().as_bytes(), key.as_bytes()]);
    // In OpenSSL's forms; locked with `x`, and with few rounds: a fuzzer has no time.
    let both = [key.as_bytes(), own.cert_pem().as_bytes()].concat();
    for args in [
        &["ec"][..],
        &["pkcs8", "-topk8", "-passout", "pass:x", "-iter", "10"],
        &["ec", "-aes128", "-passout", "pass:x"],
    ] {
        if let Some(locked) = openssl(args, key.as_bytes()) {
            seeds.add(&[own.cert_pem().as_bytes(), &locked]);
        }
    }
    for args in [
        &["pkcs12", "-export", "-passout", "pass:x", "-iter", "10"][..],
        &["pkcs12", "-export", "-passout", "pass:", "-iter", "10"],
    ] {
        if let Some(file) = openssl(args, &both) {
            seeds.add(&[&file]);
        }
    }
}

fn trust() {
    let mut seeds = Seeds::new("trust");
    let pki = Pki::new();
    let other = Spec::authority("Other").key(Key::P384).self_signed();
    let own = pki.server(&["shop.example"]);
    let list = Crl::by(&pki.root).revoking(&own).pem();
    let (first, second) = (pki.root.cert_pem(), other.cert_pem());
    for parts in [
        vec![first.as_bytes(), second.as_bytes()],
        vec![b"\xef\xbb\xbf# a comment\r\n\r\n", first.as_bytes()],
        vec![first.as_bytes(), first.as_bytes(), b"trailing text"],
        vec![list.as_bytes()],
        vec![list.as_bytes(), first.as_bytes()],
        vec![&pki.root.der],
        vec![b"-----BEGIN CERTIFICATE-----\nAAAA\n"],
        vec![b"-----BEGIN TRUSTED CERTIFICATE-----\nMA==\n-----END TRUSTED CERTIFICATE-----\n"],
    ] {
        seeds.add(&parts);
    }
}

fn fetched() {
    let mut seeds = Seeds::new("fetched");
    let pki = Pki::new();
    let other = Spec::authority("Other").self_signed();
    let both = [pki.root.cert_pem(), other.cert_pem()].concat();
    seeds.add(&[&pki.root.der]);
    seeds.add(&[both.as_bytes()]);
    for form in ["PEM", "DER"] {
        let args = [
            "crl2pkcs7",
            "-nocrl",
            "-certfile",
            "/dev/stdin",
            "-outform",
            form,
        ];
        if let Some(file) = openssl(&args, both.as_bytes()) {
            seeds.add(&[&file]);
        }
    }
    // Lists of timestamps (RFC 6962, section 3.3): version, log, time, extensions, signature.
    let one = [
        &[0][..],
        &[7; 32],
        &[0, 0, 1, 0x9a, 0, 0, 0, 0],
        &[0, 0],
        &[4, 3, 0, 4, 1, 2, 3, 4],
    ]
    .concat();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("few").to_be_bytes();
    let list = [&length(&one)[..], &one].concat();
    for list in [list.clone(), [&list[..], &list].concat()] {
        seeds.add(&[&length(&list), &list]);
    }
}

fn staples() {
    let mut seeds = Seeds::new("staple");
    let pki = Pki::new();
    let own = pki.server(&["shop.example"]);
    let directory = scratch();
    for (status, args) in [
        (Status::Good, &[][..]),
        (Status::Good, &["-resp_key_id", "-resp_no_certs"]),
        (Status::Revoked, &[]),
        (Status::Unknown, &["-nmin", "5"]),
    ] {
        if let Some(file) = ocsp::respond(&directory, &pki.root, &pki.root, &own, status, args) {
            // What one half of the target reads, and what the other one does: at a time, in days.
            seeds.add(&[&file]);
            for days in [[0x04, 0x40], [0x04, 0xb0]] {
                seeds.add(&[&days, &file]);
            }
        }
    }
    let _ = fs::remove_dir_all(directory);
    // tryLater, without a response.
    seeds.add(&[&[0x30, 3, 0x0a, 1, 3]]);
}
