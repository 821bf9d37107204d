//! Every form of every key, by OpenSSL.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use handfast::{Identity, IdentityError, IdentityPart, Passphrase};

use crate::bench::{Bench, PASSPHRASE, assert_serves, told};

const KINDS: [(&str, &str); 5] = [
    ("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ("p256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
    ("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
    ("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521"),
    ("ed25519", "-algorithm ED25519"),
];

/// The forms of a key: a name, the OpenSSL command that makes it from `KEY` into `OUT`, and whether
/// it is locked.
const PLAIN: &[(&str, &str)] = &[
    ("PKCS#8 PEM", "pkcs8 -topk8 -nocrypt -in KEY -out OUT"),
    (
        "PKCS#8 DER",
        "pkcs8 -topk8 -nocrypt -in KEY -outform DER -out OUT",
    ),
];
const LOCKED: &[(&str, &str)] = &[
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
        "locked DER",
        "pkcs8 -topk8 -v2 aes-256-cbc -in KEY -outform DER -passout PASS -out OUT",
    ),
    (
        "scrypt DER",
        "pkcs8 -topk8 -scrypt -in KEY -outform DER -passout PASS -out OUT",
    ),
];
/// The old forms, which only RSA and EC keys have. `TYPE` is the OpenSSL command for the type.
const OLD_PLAIN: &[(&str, &str)] = &[
    ("old PEM", "TYPE -in KEY -out OUT"),
    ("old DER", "TYPE -in KEY -outform DER -out OUT"),
];
const OLD_LOCKED: &[(&str, &str)] = &[
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

/// Every form that this kind of key has; `true` for those that are locked.
fn forms(kind: &str) -> Vec<(&'static str, String, bool)> {
    let mut forms = Vec::new();
    for (table, is_locked) in [(PLAIN, false), (LOCKED, true)] {
        forms.extend(
            table
                .iter()
                .map(|(name, command)| (*name, (*command).to_owned(), is_locked)),
        );
    }
    if let Some(old) = old_command(kind) {
        for (table, is_locked) in [(OLD_PLAIN, false), (OLD_LOCKED, true)] {
            let table = table.iter();
            forms.extend(
                table.map(|(name, command)| (*name, command.replace("TYPE", old), is_locked)),
            );
        }
    }
    forms
}

#[test]
fn every_form_of_every_key_is_loaded_and_really_signs() {
    let Some(bench) = Bench::new() else { return };
    for (kind, genpkey) in KINDS {
        bench.pair(kind, genpkey);
        let anchor = bench.read(&format!("{kind}.crt"));
        bench.openssl(&format!("x509 -in {kind}.crt -outform DER -out {kind}.der"));
        for (form, command, is_locked) in forms(kind) {
            let what = format!("{kind}, {form}");
            bench.openssl(
                &command
                    .replace("KEY", &format!("{kind}.key"))
                    .replace("OUT", "out"),
            );
            let load = |passphrase| bench.load(&format!("{kind}.der"), "out", passphrase);
            let identity =
                load(PASSPHRASE.into()).unwrap_or_else(|error| panic!("{what}: {}", told(error)));
            assert_serves(identity, &anchor, &what);
            if !is_locked {
                load(Passphrase::none()).unwrap();
                load(Passphrase::ask(|_| {
                    panic!("asked although nothing is locked")
                }))
                .unwrap();
                continue;
            }
            assert_locked(&what, IdentityPart::Key, &load);
        }
    }
}

#[test]
fn pkcs12_files_are_loaded_and_really_sign() {
    let Some(bench) = Bench::new() else { return };
    for (kind, genpkey) in KINDS {
        bench.pair(kind, genpkey);
        let anchor = bench.read(&format!("{kind}.crt"));
        for (form, command) in PKCS12 {
            let what = format!("{kind}, {form}");
            let command = command
                .replace("KEY", &format!("{kind}.key"))
                .replace("CRT", &format!("{kind}.crt"))
                .replace("OUT", "out.p12");
            bench.openssl(&command);
            let load = |passphrase| Identity::from_pkcs12_file(bench.path("out.p12"), passphrase);
            let identity =
                load(PASSPHRASE.into()).unwrap_or_else(|error| panic!("{what}: {}", told(error)));
            assert_eq!(identity.chain().len(), 1);
            assert_serves(identity, &anchor, &what);
            assert_locked(&what, IdentityPart::Both, &load);
            // In the place of either file, or of both.
            let (certificate, archive) = (format!("{kind}.crt"), "out.p12");
            for (chain, key) in [(certificate.as_str(), archive), (archive, archive)] {
                bench.load(chain, key, PASSPHRASE.into()).unwrap();
            }
            bench
                .load(archive, &format!("{kind}.key"), PASSPHRASE.into())
                .unwrap();
            let bytes = bench.read(archive);
            Identity::from_pkcs12(&bytes, PASSPHRASE.into()).unwrap();
        }
    }
}

/// One wrong passphrase in 256 yields a padding that fits, and noise for a key: still, it is the
/// passphrase that is wrong, not the file.
#[test]
fn noise_that_a_wrong_passphrase_yields_is_not_called_a_damaged_key() {
    let Some(bench) = Bench::new() else { return };
    bench.pair("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    for command in [
        "ec -aes256 -in ec.key -passout PASS -out locked",
        "pkcs8 -topk8 -iter 1 -in ec.key -passout PASS -out locked",
        "pkcs12 -export -iter 1 -nomac -inkey ec.key -in ec.crt -passout PASS -out locked",
    ] {
        bench.openssl(command);
        let (certificate, locked) = (bench.read("ec.crt"), bench.read("locked"));
        // That none of them fits happens once in 2500 runs.
        for number in 0..2000 {
            let wrong = Passphrase::from(format!("wrong {number}"));
            let error = Identity::from_bytes(&certificate, &locked, wrong).unwrap_err();
            assert_eq!(error.id(), "wrong-passphrase", "{command}: {}", told(error));
        }
    }
}

/// What holds for everything locked: a wrong passphrase is called wrong, none is asked for once, and
/// the callback's word counts.
fn assert_locked(
    what: &str,
    part: IdentityPart,
    load: &dyn Fn(Passphrase) -> Result<Identity, IdentityError>,
) {
    for wrong in ["wrong", "", "correct horse / battery \u{ea}"] {
        let error = load(wrong.into()).unwrap_err();
        assert_eq!(error.id(), "wrong-passphrase", "{what}: {}", told(error));
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

    let refused = Passphrase::ask(|_| Err(io::Error::other("nobody is there")));
    let error = load(refused).unwrap_err();
    assert_eq!(error.id(), "passphrase-unavailable", "{what}");
    assert!(told(error).contains("nobody is there"));
}
