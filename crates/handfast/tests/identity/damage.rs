//! The loader never panics on valid files with random damage.

use std::sync::OnceLock;

use handfast::{CertificateFacts, Identity, Passphrase};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::fixture::{Fixture, PASSPHRASE};

/// Valid files of every format, to be damaged.
fn originals() -> &'static [Vec<u8>] {
    static ORIGINALS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    ORIGINALS.get_or_init(|| {
        // Without OpenSSL, only random bytes are tested.
        let Some(fixture) = Fixture::new() else {
            return vec![Vec::new()];
        };
        fixture.pair("ec", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
        fixture.pair("rsa", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048");
        for command in [
            "x509 -in ec.crt -outform DER -out ec.der",
            "pkey -in ec.key -outform DER -out ec.key.der",
            "ec -in ec.key -outform DER -out sec1.der",
            "rsa -traditional -in rsa.key -outform DER -out pkcs1.der",
            "ec -aes256 -in ec.key -passout PASS -out old.pem",
            "ec -des3 -in ec.key -passout PASS -out des3.pem",
            "pkcs8 -topk8 -iter 2 -in ec.key -outform DER -passout PASS -out locked.der",
            "pkcs8 -topk8 -scrypt -scrypt_N 2 -in ec.key -outform DER -passout PASS -out scrypt.der",
            "pkcs12 -export -iter 2 -inkey ec.key -in ec.crt -passout PASS -out new.p12",
            "pkcs12 -export -legacy -iter 2 -inkey ec.key -in ec.crt -passout PASS -out legacy.p12",
            "pkcs12 -export -keypbe NONE -certpbe NONE -nomac -inkey ec.key -in ec.crt -passout pass: -out open.p12",
        ] {
            fixture.openssl(command);
        }
        [
            "ec.crt", "ec.key", "rsa.key", "ec.der", "ec.key.der", "sec1.der", "pkcs1.der", "old.pem",
            "des3.pem", "locked.der", "scrypt.der", "new.p12", "legacy.p12", "open.p12",
        ]
        .map(|name| fixture.read(name))
        .to_vec()
    })
}

#[derive(Debug, Clone)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Remove(Index),
    Insert(Index, u8),
    Cut(Index),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        at().prop_map(Damage::Remove),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        at().prop_map(Damage::Cut),
        (at(), at()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match damage {
        Damage::Set(at, byte) => bytes[at.index(length)] = *byte,
        Damage::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Damage::Remove(at) => {
            bytes.remove(at.index(length));
        }
        Damage::Insert(at, byte) => bytes.insert(at.index(length), *byte),
        Damage::Cut(at) => bytes.truncate(at.index(length)),
        Damage::Repeat(from, to) => {
            let (from, to) = (from.index(length), to.index(length));
            let part = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.extend(part);
        }
    }
}

fn load_every_way(bytes: &[u8]) {
    let certificate = &originals()[0];
    let passphrase = || Passphrase::from(PASSPHRASE);
    let _ = Identity::from_bytes(bytes, bytes, passphrase());
    let _ = Identity::from_bytes(certificate, bytes, passphrase());
    let _ = Identity::from_bytes(certificate, bytes, Passphrase::none());
    let _ = CertificateFacts::from_der(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        original in any::<Index>(),
        damages in vec(damage(), 1..6),
    ) {
        let mut bytes = original.get(originals()).clone();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        load_every_way(&bytes);
    }

    #[test]
    fn random_bytes_are_an_error(bytes in vec(any::<u8>(), 0..300)) {
        load_every_way(&bytes);
        prop_assert!(Identity::from_bytes(&bytes, &bytes, Passphrase::none()).is_err());
    }
}
