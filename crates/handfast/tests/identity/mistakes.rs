//! Every mistake, with its error.

use std::path::PathBuf;

use handfast::{
    Cause, ConfigurationCause, Error, Identity, IdentityPart, IdentityProblem, Passphrase, Phase,
};
use handfast_testbed::pki::{Key, Pki, Spec};

use crate::fixture::{Fixture, PASSPHRASE, assert_serves, message};

use IdentityPart::Key as KeyPart;
use IdentityPart::{Both, Chain};

/// The files for the mistakes.
fn fixture() -> Option<Fixture> {
    let fixture = Fixture::new()?;
    fixture.pair("good", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    fixture.pair("other", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    fixture.pair("ed448", "-algorithm ED448");
    fixture.pair(
        "secp256k1",
        "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
    );
    fixture.pair("small", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024");
    fixture.pair("pss", "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048");
    for command in [
        "x509 -in good.crt -outform DER -out good.der",
        "pkey -in good.key -outform DER -out good.key.der",
        "pkey -in good.key -pubout -out public.pem",
        "pkey -in good.key -pubout -outform DER -out public.der",
        "rsa -in small.key -RSAPublicKey_out -out rsapublic.pem",
        "req -new -key good.key -subj /CN=good -out request.pem",
        "req -new -key good.key -subj /CN=good -outform DER -out request.der",
        "ecparam -name prime256v1 -out parameters.pem",
        "ecparam -name prime256v1 -outform DER -out parameters.der",
        "genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out dhparameters.pem",
        "genpkey -algorithm X25519 -out x25519.key",
        "crl2pkcs7 -nocrl -certfile good.crt -out bundle.p7b",
        "crl2pkcs7 -nocrl -certfile good.crt -outform DER -out bundle.der",
        "pkcs8 -topk8 -in good.key -passout PASS -out locked.key",
        "pkcs8 -topk8 -v1 PBE-SHA1-3DES -in good.key -passout PASS -out pbes1.key",
        "pkcs8 -topk8 -v2 camellia-256-cbc -in good.key -passout PASS -out camellia.key",
        "ec -camellia256 -in good.key -passout PASS -out oldcamellia.key",
        "pkcs12 -export -nocerts -inkey good.key -passout PASS -out nocerts.p12",
        "pkcs12 -export -nokeys -in good.crt -passout PASS -out nokeys.p12",
    ] {
        fixture.openssl(command);
    }
    let read = |name: &str| String::from_utf8(fixture.read(name)).unwrap();
    let (certificate, key) = (read("good.crt"), read("good.key"));
    for (name, text) in [
        ("empty", String::new()),
        ("blank", " \r\n\n".to_owned()),
        ("twokeys", key.clone() + &read("other.key")),
        ("text", "Dear operator,\nplease find attached\n".to_owned()),
        ("cut.crt", certificate[..certificate.len() / 2].to_owned()),
        ("cut.key", key[..key.len() / 2].to_owned()),
        ("typo.crt", certificate.replacen("MII", "M*I", 1)),
        ("wrongend.key", key.replace("END PRIVATE", "END PUBLIC")),
        ("relabelled.crt", key.replace("PRIVATE KEY", "CERTIFICATE")),
        (
            "relabelled.key",
            certificate.replace("CERTIFICATE", "PRIVATE KEY"),
        ),
        (
            "nodek.key",
            read("oldcamellia.key").replace("DEK-Info", "No-Info"),
        ),
        (
            "badiv.key",
            read("oldcamellia.key").replace("CAMELLIA-256-CBC,", "AES-256-CBC,zz"),
        ),
        ("combined", key + &certificate),
    ] {
        fixture.write(name, text);
    }
    fixture.write("cut.der", &fixture.read("good.der")[..200]);
    fixture.write("longer.der", [fixture.read("good.der"), vec![0]].concat());
    fixture.write("ber.der", [0x30, 0x80, 0x02, 0x01, 0x03, 0, 0]);
    fixture.write("noise", [0x9c, 0x01, 0xff, 0xfe, 0x00, 0x80]);
    fixture.write("utf16", [0xff, 0xfe, b'-', 0, b'-', 0]);
    fixture.write("huge", vec![b'\n'; 5 << 20]);
    // One bit of the private number, so that it does not match the public point.
    let mut damaged = fixture.read("good.key.der");
    damaged[20] ^= 1;
    fixture.write("damaged.key.der", damaged);
    std::fs::create_dir(fixture.path("directory")).unwrap();
    Some(fixture)
}

#[test]
fn every_mistake_is_a_typed_error_that_names_the_file() {
    let Some(fixture) = fixture() else { return };
    // chain, key, the part at fault, id, part of the message
    #[rustfmt::skip]
    let cases: &[(&str, &str, IdentityPart, &str, &str)] = &[
        ("absent", "good.key", Chain, "identity-unreadable", "No such file"),
        ("good.crt", "absent", KeyPart, "identity-unreadable", "fix: check the path"),
        ("directory", "good.key", Chain, "identity-unreadable", "directory"),
        ("huge", "good.key", Chain, "identity-too-large", "4194304"),
        ("empty", "good.key", Chain, "identity-empty", "is empty"),
        ("good.crt", "blank", KeyPart, "identity-empty", "is empty"),
        ("text", "good.key", Chain, "identity-unrecognised", "text without a PEM section"),
        ("good.crt", "noise", KeyPart, "identity-unrecognised", "unknown format"),
        ("utf16", "good.key", Chain, "identity-unrecognised", "UTF-16"),
        ("cut.crt", "good.key", Chain, "identity-malformed-pem", "no END line"),
        ("good.crt", "cut.key", KeyPart, "identity-malformed-pem", "no END line"),
        ("typo.crt", "good.key", Chain, "identity-malformed-pem", "base64"),
        ("good.crt", "wrongend.key", KeyPart, "identity-malformed-pem", "line 5"),
        ("cut.der", "good.key", Chain, "identity-malformed-der", "truncated"),
        ("longer.der", "good.key", Chain, "identity-malformed-der", "more bytes follow"),
        ("ber.der", "good.key", Chain, "identity-indefinite-lengths", "openssl pkcs12 -in OLD"),
        ("relabelled.crt", "good.key", Chain, "identity-malformed-der", "certificate 1"),
        ("good.crt", "relabelled.key", KeyPart, "identity-malformed-der", "it is a certificate"),
        ("good.crt", "damaged.key.der", KeyPart, "identity-malformed-der", "inconsistent"),
        ("good.crt", "nodek.key", KeyPart, "identity-malformed-der", "DEK-Info"),
        ("good.crt", "badiv.key", KeyPart, "identity-malformed-der", "initialization vector"),
        ("good.key", "other.key", Chain, "certificate-missing", "found: a private key"),
        ("good.crt", "good.der", KeyPart, "private-key-missing", "found: a certificate"),
        ("good.crt", "bundle.p7b", KeyPart, "private-key-missing", "found: a certificate"),
        ("good.key", "good.crt", Chain, "chain-and-key-swapped", "swap the two files"),
        ("good.key.der", "good.der", Chain, "chain-and-key-swapped", "swap the two files"),
        ("locked.key", "good.crt", Chain, "chain-and-key-swapped", "swap the two files"),
        ("good.crt", "public.pem", KeyPart, "public-key-given", "give the private key"),
        ("good.crt", "public.der", KeyPart, "public-key-given", "give the private key"),
        ("good.crt", "rsapublic.pem", KeyPart, "public-key-given", "give the private key"),
        ("public.pem", "good.key", Chain, "public-key-given", "give the certificate"),
        ("request.pem", "good.key", Chain, "certificate-request-given", "have a CA sign the request"),
        ("request.der", "good.key", Chain, "certificate-request-given", "have a CA sign the request"),
        ("good.crt", "request.pem", KeyPart, "certificate-request-given", ""),
        ("good.crt", "parameters.pem", KeyPart, "key-parameters-only", "EC PARAMETERS"),
        ("good.crt", "parameters.der", KeyPart, "key-parameters-only", "key parameters"),
        ("good.crt", "dhparameters.pem", KeyPart, "key-parameters-only", "DH PARAMETERS"),
        ("good.crt", "twokeys", KeyPart, "several-private-keys", "2 private keys"),
        ("good.crt", "pbes1.key", KeyPart, "unsupported-key-encryption", "PBE-SHA1-3DES"),
        ("good.crt", "camellia.key", KeyPart, "unsupported-key-encryption", "Camellia-256-CBC"),
        ("good.crt", "oldcamellia.key", KeyPart, "unsupported-key-encryption", "CAMELLIA-256-CBC"),
        ("ed448.crt", "ed448.key", KeyPart, "unsupported-key-type", "Ed448"),
        ("secp256k1.crt", "secp256k1.key", KeyPart, "unsupported-key-type", "EC secp256k1"),
        ("pss.crt", "pss.key", KeyPart, "unsupported-key-type", "RSASSA-PSS"),
        ("good.crt", "x25519.key", KeyPart, "unsupported-key-type", "X25519"),
        ("small.crt", "small.key", KeyPart, "key-size-refused", "1024 bits"),
        ("good.crt", "other.key", KeyPart, "key-mismatch", "CN=good"),
        ("nokeys.p12", "nokeys.p12", Both, "private-key-missing", "found: a certificate"),
        ("nocerts.p12", "nocerts.p12", Both, "certificate-missing", "a private key"),
        ("good.crt", "good.crt", Both, "private-key-missing", "found: a certificate"),
        ("good.key", "good.key", Both, "certificate-missing", "found: a private key"),
    ];
    for (chain, key, part, id, expected) in cases {
        let what = format!("chain {chain}, key {key}");
        let error = match fixture.load(chain, key, PASSPHRASE.into()) {
            Ok(identity) => panic!("{what}: loaded {identity:?}"),
            Err(error) => error,
        };
        let at_fault = if *part == KeyPart { key } else { chain };
        assert_eq!(error.id(), *id, "{what}: {}", message(error));
        assert_eq!(error.part, *part, "{what}");
        assert_eq!(error.path, Some(fixture.path(at_fault)), "{what}");
        let text = message(error);
        assert!(text.contains(expected), "{what}: {text}");
        assert!(text.contains(at_fault), "{what}: {text}");
    }
}

#[test]
fn one_file_with_both_is_read_from_either_argument() {
    let Some(fixture) = fixture() else { return };
    let anchor = fixture.read("good.crt");
    let from_file = Identity::from_file(fixture.path("combined"), Passphrase::none());
    assert_serves(from_file.unwrap(), &anchor, "from_file");
    for (chain, key) in [
        ("combined", "combined"),
        ("combined", "good.key"),
        ("good.crt", "combined"),
    ] {
        let identity = fixture.load(chain, key, Passphrase::none()).unwrap();
        assert_serves(identity, &anchor, chain);
    }
    let bytes = fixture.read("combined");
    assert_serves(
        Identity::from_bytes(&bytes, &bytes, Passphrase::none()).unwrap(),
        &anchor,
        "bytes",
    );
}

#[test]
fn a_key_after_its_parameters_is_a_key() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.openssl("ecparam -name prime256v1 -genkey -out ec.key");
    fixture.openssl("req -x509 -new -key ec.key -subj /CN=ec -days 30 -out ec.crt");
    let text = String::from_utf8(fixture.read("ec.key")).unwrap();
    assert!(
        text.contains("EC PARAMETERS"),
        "OpenSSL writes the parameters first"
    );
    fixture
        .load("ec.crt", "ec.key", Passphrase::none())
        .unwrap();
    // OpenSSL's TRUSTED CERTIFICATE has settings after the certificate; -text writes text before it.
    fixture.openssl("x509 -in ec.crt -trustout -addtrust serverAuth -out trusted.crt");
    fixture.openssl("x509 -in ec.crt -text -out text.crt");
    for chain in ["trusted.crt", "text.crt"] {
        fixture.load(chain, "ec.key", Passphrase::none()).unwrap();
    }
}

#[test]
fn pkcs12_with_the_empty_passphrase_does_not_ask() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.pair("good", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    for options in [
        "",
        "-legacy",
        "-keypbe NONE -certpbe NONE",
        "-keypbe NONE -certpbe NONE -nomac",
    ] {
        fixture.openssl(&format!(
            "pkcs12 -export {options} -inkey good.key -in good.crt -passout pass: -out open.p12"
        ));
        let path = fixture.path("open.p12");
        let never = Passphrase::ask(|_| panic!("asked although the passphrase is empty"));
        Identity::from_pkcs12_file(path, never)
            .unwrap_or_else(|error| panic!("{options}: {}", message(error)));
    }
}

#[test]
fn pkcs12_passphrases_that_cannot_be_encoded_are_errors() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.pair("good", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    fixture.openssl("pkcs12 -export -inkey good.key -in good.crt -passout PASS -out locked.p12");
    for (passphrase, id) in [
        (Passphrase::from("\u{1f600}"), "unsupported-key-encryption"),
        (Passphrase::from(&b"\xff"[..]), "wrong-passphrase"),
    ] {
        let error = Identity::from_pkcs12_file(fixture.path("locked.p12"), passphrase).unwrap_err();
        assert_eq!(error.id(), id, "{}", message(error));
    }
}

#[test]
fn a_mismatch_shows_both_keys() {
    let pki = Pki::new();
    let server = pki.server(&["localhost"]);
    let other = pki
        .root
        .issue(Spec::server(&["localhost"]).key(Key::Ed25519));
    let error = Identity::from_bytes(
        server.cert_pem().as_bytes(),
        other.key_pem().as_bytes(),
        Passphrase::none(),
    )
    .unwrap_err();
    assert!(matches!(
        &error.problem,
        IdentityProblem::KeyMismatch { subject, certificate_key, private_key }
            if subject == "O=handfast tests, CN=localhost"
                && certificate_key.starts_with("EC P-256, SHA-256 of the public key ")
                && private_key.starts_with("Ed25519, SHA-256 of the public key ")
    ));
    assert!(error.path.is_none());
    let explanation = Error::from(error).explain();
    assert_eq!(explanation.evidence.len(), 2);
    assert_eq!(
        explanation.what,
        "the given private key: the key does not belong to the certificate of O=handfast tests, CN=localhost"
    );
}

#[test]
fn every_error_has_its_source() {
    use std::error::Error as _;

    let error = Identity::from_files("/nonexistent", "/nonexistent/key", Passphrase::none());
    let error = Error::from(error.unwrap_err());
    assert_eq!(error.phase(), Phase::Configure);
    assert!(matches!(
        error.cause(),
        Cause::Configuration(ConfigurationCause::Identity(inner))
            if matches!(inner.problem, IdentityProblem::Unreadable(_))
    ));
    let mut levels = Vec::new();
    let mut level = error.source();
    while let Some(cause) = level {
        levels.push(cause.to_string());
        level = cause.source();
    }
    assert_eq!(levels.len(), 4, "{levels:?}");
    assert_eq!(levels[1], "cannot use /nonexistent as certificate chain");
    assert_eq!(levels[2], "it cannot be read");
}

#[test]
fn nothing_secret_is_ever_shown() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.pair("good", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    fixture.openssl("pkcs8 -topk8 -in good.key -passout PASS -out locked.key");
    let secret = "open sesame";
    for passphrase in [
        Passphrase::from(secret),
        Passphrase::from(secret.to_owned()),
        Passphrase::from(secret.as_bytes()),
        Passphrase::from(Some(secret)),
        Passphrase::ask(move |_| Ok(secret.to_owned().into())),
    ] {
        assert!(!format!("{passphrase:?}").contains("sesame"));
        let error = fixture
            .load("good.crt", "locked.key", passphrase)
            .unwrap_err();
        assert!(!format!("{error:?} {error}").contains("sesame"));
        assert!(!message(error).contains("sesame"));
    }
    let identity = fixture
        .load("good.crt", "locked.key", PASSPHRASE.into())
        .unwrap();
    let shown = format!("{identity:?}");
    assert!(
        shown.contains("CN=good") && shown.contains("EC P-256"),
        "{shown}"
    );
    assert!(shown.len() < 250, "{shown}");
}

#[test]
fn the_message_describes_the_encryption() {
    let Some(fixture) = Fixture::new() else {
        return;
    };
    fixture.pair("good", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    let cases = [
        (
            "pkcs8 -topk8 -in good.key -passout PASS -out locked",
            "PKCS#8, PBKDF2 with HMAC-SHA256 (2048 iterations), AES-256-CBC",
        ),
        (
            "pkcs8 -topk8 -scrypt -v2 aes-128-cbc -in good.key -passout PASS -out locked",
            "PKCS#8, scrypt (N 16384, r 8, p 1), AES-128-CBC",
        ),
        (
            "ec -des3 -in good.key -passout PASS -out locked",
            "legacy PEM encryption (MD5, one iteration), DES-EDE3-CBC",
        ),
        (
            "pkcs12 -export -inkey good.key -in good.crt -passout PASS -out locked",
            "PKCS#12, PBES2, PBKDF2, HMAC-SHA256, AES-256-CBC",
        ),
        (
            "pkcs12 -export -legacy -inkey good.key -in good.crt -passout PASS -out locked",
            "PKCS#12, PBE-SHA1-RC2-40, PBE-SHA1-3DES",
        ),
    ];
    for (command, encryption) in cases {
        fixture.openssl(command);
        let path: PathBuf = fixture.path("locked");
        let error = fixture
            .load("good.crt", "locked", Passphrase::none())
            .unwrap_err();
        assert_eq!(
            message(error),
            format!(
                "{}: the key is encrypted, and no passphrase was given [passphrase-needed]\n  \
                 encryption: {encryption}\n  fix: give the passphrase",
                path.display()
            )
        );
    }
}
