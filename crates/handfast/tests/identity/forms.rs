//! Every format of every key, made by OpenSSL.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use handfast::{Identity, IdentityError, IdentityPart, Passphrase};

use crate::fixture::{Fixture, PASSPHRASE, assert_serves, message};

const KINDS: [(&str, &str); 5] = [
    ("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ("p256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
    ("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
    ("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521"),
    ("ed25519", "-algorithm ED25519"),
];

/// The formats of a key: a name, and the OpenSSL command that converts `KEY` to `OUT`.
const PLAIN: &[(&str, &str)] = &[
    ("PKCS#8 PEM", "pkcs8 -topk8 -nocrypt -in KEY -out OUT"),
    (
        "PKCS#8 DER",
        "pkcs8 -topk8 -nocrypt -in KEY -outform DER -out OUT",
    ),
];
const ENCRYPTED: &[(&str, &str)] = &[
    (
        "PBKDF2 SHA-256 AES-256",
        "pkcs8 -topk8 -v2 aes-256-cbc -in KEY -passout PASS -out OUT",
    ),
    (
        "PBKDF2 SHA-256 AES-192",
        "pkcs8 -topk8 -v2 aes-192-cbc -in KEY -passout PASS -out OUT",
    ),
    (
        "PBKDF2 SHA-256 AES-128",
        "pkcs8 -topk8 -v2 aes-128-cbc -in KEY -passout PASS -out OUT",
    ),
    (
        "PBKDF2 SHA-1",
        "pkcs8 -topk8 -v2prf hmacWithSHA1 -in KEY -passout PASS -out OUT",
    ),
    (
        "PBKDF2 SHA-384",
        "pkcs8 -topk8 -v2prf hmacWithSHA384 -in KEY -passout PASS -out OUT",
    ),
    (
        "PBKDF2 SHA-512",
        "pkcs8 -topk8 -v2prf hmacWithSHA512 -in KEY -passout PASS -out OUT",
    ),
    (
        "PBKDF2, many",
        "pkcs8 -topk8 -iter 100000 -in KEY -passout PASS -out OUT",
    ),
    (
        "PBKDF2 3DES",
        "pkcs8 -topk8 -v2 des3 -in KEY -passout PASS -out OUT",
    ),
    (
        "scrypt",
        "pkcs8 -topk8 -scrypt -in KEY -passout PASS -out OUT",
    ),
    (
        "scrypt, other costs",
        "pkcs8 -topk8 -scrypt -scrypt_N 1024 -scrypt_r 4 -scrypt_p 2 -in KEY -passout PASS -out OUT",
    ),
    (
        "encrypted DER",
        "pkcs8 -topk8 -v2 aes-256-cbc -in KEY -outform DER -passout PASS -out OUT",
    ),
    (
        "scrypt DER",
        "pkcs8 -topk8 -scrypt -in KEY -outform DER -passout PASS -out OUT",
    ),
];
/// The legacy formats, which only RSA and EC keys have. `TYPE` is the OpenSSL command for the type.
const LEGACY_PLAIN: &[(&str, &str)] = &[
    ("legacy PEM", "TYPE -in KEY -out OUT"),
    ("old DER", "TYPE -in KEY -outform DER -out OUT"),
];
const LEGACY_ENCRYPTED: &[(&str, &str)] = &[
    ("old AES-256", "TYPE -aes256 -in KEY -passout PASS -out OUT"),
    ("old AES-192", "TYPE -aes192 -in KEY -passout PASS -out OUT"),
    ("old AES-128", "TYPE -aes128 -in KEY -passout PASS -out OUT"),
    ("old 3DES", "TYPE -des3 -in KEY -passout PASS -out OUT"),
];
const PKCS12: &[(&str, &str)] = &[
    (
        "PKCS#12",
        "pkcs12 -export -inkey KEY -in CRT -passout PASS -out OUT",
    ),
    (
        "PKCS#12 legacy",
        "pkcs12 -export -legacy -inkey KEY -in CRT -passout PASS -out OUT",
    ),
    (
        "PKCS#12 legacy 3DES",
        "pkcs12 -export -legacy -descert -inkey KEY -in CRT -passout PASS -out OUT",
    ),
    (
        "PKCS#12 SHA-512",
        "pkcs12 -export -macalg sha512 -keypbe AES-128-CBC -certpbe AES-128-CBC -inkey KEY -in CRT -passout PASS -out OUT",
    ),
    (
        "PKCS#12 without MAC",
        "pkcs12 -export -nomac -inkey KEY -in CRT -passout PASS -out OUT",
    ),
    (
        "PKCS#12 open certificates",
        "pkcs12 -export -certpbe NONE -inkey KEY -in CRT -passout PASS -out OUT",
    ),
];

fn old_command(kind: &str) -> Option<&'static str> {
    match kind {
        "rsa" => Some("rsa -traditional"),
        "p256" | "p384" | "p521" => Some("ec"),
        _ => None,
    }
}

/// Every format of this kind of key; `true` for encrypted ones.
fn forms(kind: &str) -> Vec<(&'static str, String, bool)> {
    let mut forms = Vec::new();
    for (table, is_encrypted) in [(PLAIN, false), (ENCRYPTED, true)] {
        forms.extend(
            table
                .iter()
                .map(|(name, command)| (*name, (*command).to_owned(), is_encrypted)),
        );
    }
    if let Some(old) = old_command(kind) {
        for (table, is_encrypted) in [(LEGACY_PLAIN, false), (LEGACY_ENCRYPTED, true)] {
            let table = table.iter();
            forms.extend(
                table.map(|(name, command)| (*name, command.replace("TYPE", old), is_encrypted)),
            );
        }
    }
    forms
}

#[test]
fn every_format_of_every_key_is_loaded_and_signs() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    for (kind, genpkey) in KINDS {
        fixture.pair(kind, genpkey);
        let anchor = fixture.read(&format!("{kind}.crt"));
        fixture.openssl(&format!("x509 -in {kind}.crt -outform DER -out {kind}.der"));
        for (form, command, is_encrypted) in forms(kind) {
            let what = format!("{kind}, {form}");
            fixture.openssl(
                &command
                    .replace("KEY", &format!("{kind}.key"))
                    .replace("OUT", "out"),
            );
            let load = |passphrase| fixture.load(&format!("{kind}.der"), "out", passphrase);
            let identity = load(PASSPHRASE.into())
                .unwrap_or_else(|error| panic!("{what}: {}", message(error)));
            assert_serves(identity, &anchor, &what);
            if !is_encrypted {
                load(Passphrase::none()).unwrap();
                load(Passphrase::ask(|_| {
                    panic!("asked although the key is not encrypted")
                }))
                .unwrap();
                continue;
            }
            assert_encrypted(&what, IdentityPart::Key, &load);
        }
    }
}

#[test]
fn pkcs12_files_are_loaded_and_sign() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    for (kind, genpkey) in KINDS {
        fixture.pair(kind, genpkey);
        let anchor = fixture.read(&format!("{kind}.crt"));
        for (form, command) in PKCS12 {
            let what = format!("{kind}, {form}");
            let command = command
                .replace("KEY", &format!("{kind}.key"))
                .replace("CRT", &format!("{kind}.crt"))
                .replace("OUT", "out.p12");
            fixture.openssl(&command);
            let load = |passphrase| Identity::from_pkcs12_file(fixture.path("out.p12"), passphrase);
            let identity = load(PASSPHRASE.into())
                .unwrap_or_else(|error| panic!("{what}: {}", message(error)));
            assert_eq!(identity.chain().len(), 1);
            assert_serves(identity, &anchor, &what);
            assert_encrypted(&what, IdentityPart::Both, &load);
            // Instead of either file, or of both.
            let (certificate, archive) = (format!("{kind}.crt"), "out.p12");
            for (chain, key) in [(certificate.as_str(), archive), (archive, archive)] {
                fixture.load(chain, key, PASSPHRASE.into()).unwrap();
            }
            fixture
                .load(archive, &format!("{kind}.key"), PASSPHRASE.into())
                .unwrap();
            let bytes = fixture.read(archive);
            Identity::from_pkcs12(&bytes, PASSPHRASE.into()).unwrap();
        }
    }
}

/// One wrong passphrase in 256 results in valid padding and random bytes as a key: the error must still be the
/// passphrase, not the file.
#[test]
fn a_wrong_passphrase_is_never_reported_as_a_damaged_key() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.pair("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    for command in [
        "ec -aes256 -in ec.key -passout PASS -out locked",
        "pkcs8 -topk8 -iter 1 -in ec.key -passout PASS -out locked",
        "pkcs12 -export -iter 1 -nomac -inkey ec.key -in ec.crt -passout PASS -out locked",
    ] {
        fixture.openssl(command);
        let (certificate, locked) = (fixture.read("ec.crt"), fixture.read("locked"));
        // In one of 2500 runs none of them results in valid padding.
        for number in 0..2000 {
            let wrong = Passphrase::from(format!("wrong {number}"));
            let error = Identity::from_bytes(&certificate, &locked, wrong).unwrap_err();
            assert_eq!(
                error.id(),
                "wrong-passphrase",
                "{command}: {}",
                message(error)
            );
        }
    }
}

/// For every encrypted format: a wrong passphrase is detected, the callback is called once, and its error is
/// reported.
fn assert_encrypted(
    what: &str,
    part: IdentityPart,
    load: &dyn Fn(Passphrase) -> Result<Identity, IdentityError>,
) {
    for wrong in ["wrong", "", "correct horse / battery \u{ea}"] {
        let error = load(wrong.into()).unwrap_err();
        assert_eq!(error.id(), "wrong-passphrase", "{what}: {}", message(error));
        assert_eq!(error.part, part);
    }
    let error = load(Passphrase::none()).unwrap_err();
    assert_eq!(error.id(), "passphrase-needed", "{what}");

    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let asked = Passphrase::ask(move |request| {
        counter.fetch_add(1, Ordering::Relaxed);
        assert!(request.path.is_some());
        assert!(request.encryption.len() > 10, "{request:?}");
        Ok(PASSPHRASE.to_owned().into())
    });
    load(asked).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1, "{what}");

    let refused = Passphrase::ask(|_| Err(io::Error::other("no terminal")));
    let error = load(refused).unwrap_err();
    assert_eq!(error.id(), "passphrase-unavailable", "{what}");
    assert!(message(error).contains("no terminal"));
}
