//! Files as users have them: every parser finds the same certificates regardless of other content, and certificates that
//! cannot be anchors are reported.

use std::fs;

use handfast::{
    AnchorProblemKind, CertificateDer, Identity, Passphrase, RevocationLists, ServerName,
    TrustAnchors, TrustProblem, UnixTime, VerificationPolicy, VerifyCause, certificates_from_bytes,
};
use handfast_testbed::pki::{Basic, Fault, Pki, Spec, der, pem};

/// Variants of a file without loss of data.
fn decorated(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let utf16 = |to_bytes: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    };
    let marked = format!("\u{feff}{text}");
    let bag =
        format!("Bag Attributes\n    localKeyID: 54 69\nsubject=CN = Äpfel\n\n{text}\nthe end\n");
    vec![
        ("as it is", text.as_bytes().to_vec()),
        ("a byte order mark", marked.clone().into_bytes()),
        ("indented", text.replace('\n', "\n    ").into_bytes()),
        (
            "indented by tabs",
            format!("\t{}", text.replace('\n', "\n\t")).into_bytes(),
        ),
        ("CRLF", text.replace('\n', "\r\n").into_bytes()),
        ("CR", text.replace('\n', "\r").into_bytes()),
        (
            "blanks at line ends",
            text.replace('\n', " \t \n").into_bytes(),
        ),
        ("blank lines", text.replace('\n', "\n\n").into_bytes()),
        ("text around", bag.into_bytes()),
        ("no last line end", text.trim_end().as_bytes().to_vec()),
        (
            "joined",
            text.replace("-----\n-----", "----------").into_bytes(),
        ),
        ("UTF-16 of Windows", utf16(u16::to_le_bytes, &marked)),
        ("UTF-16, big-endian", utf16(u16::to_be_bytes, &marked)),
        ("UTF-16 without a mark", utf16(u16::to_le_bytes, text)),
    ]
}

#[test]
fn every_parser_finds_the_same_certificates_in_every_variant() {
    let pki = Pki::new();
    let leaf = pki.server(&["shop.example"]);
    let other = Spec::authority("Other").self_signed();
    let chain = [&leaf.der, &pki.root.der];
    let text = format!("{}{}", leaf.cert_pem(), pki.root.cert_pem());
    for (what, bytes) in decorated(&text) {
        let found =
            certificates_from_bytes(&bytes).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(found.iter().collect::<Vec<_>>(), chain, "{what}");
    }
    for (what, bytes) in decorated(&format!("{}{}", other.cert_pem(), pki.root.cert_pem())) {
        let anchors = TrustAnchors::empty().with_pem(&bytes).unwrap();
        assert_eq!(anchors.len(), 2, "{what}");
    }
    for (what, bytes) in decorated(&format!("{}{}", leaf.key_pem(), leaf.cert_pem())) {
        let identity = Identity::from_bytes(&bytes, &bytes, Passphrase::none())
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(identity.chain(), std::slice::from_ref(&leaf.der), "{what}");
    }
    let list = pki.root.crl(&[&leaf]);
    let two = format!(
        "{}{}",
        pem("X509 CRL", &list),
        pem("X509 CRL", &other.crl(&[]))
    );
    for (what, bytes) in decorated(&two) {
        let lists = RevocationLists::none().with_pem(&bytes);
        assert_eq!(
            lists
                .unwrap_or_else(|error| panic!("{what}: {error:?}"))
                .len(),
            2,
            "{what}"
        );
    }
}

/// SignedData without signers (RFC 5652, 5.1).
fn bundle(certificates: &[&[u8]]) -> Vec<u8> {
    let oid = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    let inner = [&oid[..10], &[1]].concat();
    let signed = [
        &[2, 1, 1, 0x31, 0][..],
        &der(0x30, &inner),
        &der(0xa0, &certificates.concat()),
        &[0x31, 0],
    ]
    .concat();
    der(0x30, &[&oid[..], &der(0xa0, &der(0x30, &signed))].concat())
}

#[test]
fn der_and_bundles_are_accepted_instead_of_pem() {
    let pki = Pki::new();
    let leaf = pki.server(&["shop.example"]);
    let other = Spec::authority("Other").self_signed();
    let both = bundle(&[&pki.root.der, &other.der]);
    for (what, bytes, count) in [
        ("DER", pki.root.der.to_vec(), 1),
        (
            "DER and a line end",
            [&pki.root.der[..], b"\r\n"].concat(),
            1,
        ),
        ("DER twice", [&pki.root.der[..], &other.der].concat(), 2),
        ("a bundle", both.clone(), 2),
        ("a bundle in PEM", pem("PKCS7", &both).into_bytes(), 2),
        (
            "a bundle labelled as a certificate",
            pem("CERTIFICATE", &both).into_bytes(),
            2,
        ),
        (
            "next to PEM",
            format!(
                "{}{}",
                pem("PKCS7", &both),
                Spec::authority("Third").self_signed().cert_pem()
            )
            .into_bytes(),
            3,
        ),
        (
            "another label",
            pem("X509 CERTIFICATE", &pki.root.der).into_bytes(),
            1,
        ),
    ] {
        let anchors = TrustAnchors::empty().with_pem(&bytes);
        assert_eq!(
            anchors
                .unwrap_or_else(|error| panic!("{what}: {error:?}"))
                .len(),
            count,
            "{what}"
        );
    }
    let nested = bundle(&[&pki.root.der, &both]);
    let found = certificates_from_bytes(&nested).unwrap();
    assert_eq!(found, std::slice::from_ref(&pki.root.der));
    // A bundle has no order: the chain starts at the key's certificate, and others are ignored.
    let unordered = bundle(&[&other.der, &pki.root.der, &leaf.der]);
    for chain in [unordered.clone(), pem("PKCS7", &unordered).into_bytes()] {
        let identity =
            Identity::from_bytes(&chain, leaf.key_pem().as_bytes(), Passphrase::none()).unwrap();
        assert_eq!(identity.chain(), [leaf.der.clone(), pki.root.der.clone()]);
    }
    let list = pki.root.crl(&[]);
    let der = [&list[..], b"\n"].concat();
    assert_eq!(RevocationLists::none().with_pem(&der).unwrap().len(), 1);
}

#[test]
fn a_malformed_file_is_an_error_with_its_line() {
    let root = Spec::authority("Root").self_signed();
    let text = root.cert_pem();
    let broken = text.replacen("MII", "M*I", 1);
    let unreadable = pem("CERTIFICATE", &[0x30, 3, 2, 1, 1]);
    let cases = [
        (
            format!("{text}{broken}"),
            "trust-file-malformed",
            "the character *",
        ),
        (
            format!("{text}{unreadable}"),
            "trust-file-malformed",
            "certificate 2 in it (line",
        ),
        (
            text.replace("-----END", "----END"),
            "trust-file-malformed",
            "start with five dashes",
        ),
        (
            text.replace("-----BEGIN", "x-----BEGIN"),
            "trust-file-malformed",
            "no BEGIN line",
        ),
        (
            text.replace('\n', "\\n"),
            "trust-file-malformed",
            "line ends are written as",
        ),
        (
            text.lines().filter(|line| !line.starts_with('-')).collect(),
            "trust-file-holds-something-else",
            "without a BEGIN",
        ),
        (
            pem("TRUSTED CERTIFICATE", &root.der),
            "trust-file-openssl-trusted",
            "OpenSSL",
        ),
        (
            root.key_pem(),
            "trust-file-holds-something-else",
            "PRIVATE KEY",
        ),
        (
            "hello".to_owned(),
            "trust-file-without-certificate",
            "neither PEM nor DER",
        ),
    ];
    for (text, id, expected) in cases {
        let refused = TrustAnchors::empty().with_pem(text.as_bytes()).unwrap_err();
        let problem = refused.problem.to_string();
        assert_eq!(refused.problem.id(), id, "{text}: {problem}");
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    let cut = &root.der[..root.der.len() - 5];
    let refused = TrustAnchors::empty().with_pem(cut).unwrap_err();
    assert!(
        refused.problem.to_string().contains("truncated"),
        "{refused:?}"
    );
}

#[test]
fn certificates_that_are_not_anchors_are_reported_with_place_and_reason() {
    let root = Spec::authority("Root").self_signed();
    let leaf = root.issue(Spec::server(&["shop.example"]));
    let old = root.issue(Spec::authority("Old").fault(Fault::Version1));
    let weak = root.issue(Spec::authority("Weak").key(handfast_testbed::pki::Key::ShownAsRsa1024));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mixed = [&leaf, &root, &old, &weak]
        .map(|one| one.cert_pem())
        .concat();
    let file = path("mixed.pem");
    fs::write(&file, &mixed).unwrap();
    let anchors = TrustAnchors::empty().with_file(&file).unwrap();
    let source = anchors.sources().remove(0);
    let problem: Vec<String> = source.problems.iter().map(ToString::to_string).collect();
    for (problem, (index, expected)) in problem.iter().zip([
        (1, "is not a CA"),
        (3, "X.509 version 1"),
        (4, "RSA key has 1024 bits"),
    ]) {
        assert!(
            problem.contains(&format!("certificate {index}: ")) && problem.contains(expected),
            "{problem}"
        );
        assert!(problem.contains("mixed.pem, line "), "{problem}");
    }
    assert_eq!(problem.len(), 3);
    assert_eq!(
        (
            source.authorities,
            source.end_entities,
            source.unusable().count()
        ),
        (1, 2, 1)
    );

    fs::write(
        path("broken.pem"),
        root.cert_pem().replacen("MII", "M*I", 1),
    )
    .unwrap();
    fs::write(path("trusted.pem"), pem("TRUSTED CERTIFICATE", &root.der)).unwrap();
    fs::write(path("notes.txt"), "nothing to see").unwrap();
    fs::write(path("key.pem"), root.key_pem()).unwrap();
    fs::write(path("again.pem"), root.cert_pem()).unwrap();
    fs::write(path(".hidden.pem"), "-----BEGIN CERTIFICATE-----").unwrap();
    let anchors = TrustAnchors::empty().with_directory(folder.path()).unwrap();
    let source = anchors.sources().remove(0);
    assert_eq!((source.authorities, source.end_entities), (1, 2));
    let kinds: Vec<_> = source
        .problems
        .iter()
        .map(|problem| {
            let file = problem
                .path
                .as_ref()
                .and_then(|path| path.file_name())
                .unwrap();
            (file.to_str().unwrap(), problem.kind.name())
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("mixed.pem", "not-an-authority"),
            ("mixed.pem", "old-version"),
            ("mixed.pem", "unusable-key"),
            ("trusted.pem", "openssl-trusted-certificate"),
            ("broken.pem", "malformed-pem"),
        ]
    );

    // If all files are malformed, the error names them.
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("a.pem"), "-----BEGIN CERTIFICATE-----").unwrap();
    let refused = TrustAnchors::empty()
        .with_directory(empty.path())
        .unwrap_err();
    let TrustProblem::NoneUsable { problems } = refused.problem else {
        panic!("{refused:?}");
    };
    assert!(matches!(problems[0].kind, AnchorProblemKind::Pem { .. }));
}

/// "Unknown issuer" would be misleading if the issuer's certificate is in the file.
#[test]
fn a_refusal_names_the_trusted_certificate_that_could_not_be_used() {
    let root = Spec::authority("Root").self_signed();
    let other = Spec::authority("Other").self_signed();
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    put("other.pem", &other.cert_pem());
    put("root.pem", &pem("TRUSTED CERTIFICATE", &root.der));
    let name = ServerName::parse("shop.example").unwrap();
    let chains = [
        root.issue(Spec::server(&["shop.example"])).chain_with(&[]),
        root.issue(Spec::server(&["shop.example"]))
            .chain_with(&[&root]),
    ];
    let refused = |chain: &[CertificateDer<'static>]| {
        let anchors = TrustAnchors::empty().with_directory(folder.path()).unwrap();
        VerificationPolicy::new(anchors)
            .check_server_chain(chain, &name, UnixTime::now())
            .map_err(Box::new)
            .unwrap_err()
    };
    for chain in &chains {
        let refused = refused(chain);
        let VerifyCause::TrustedIssuerUnusable {
            issuer, problem, ..
        } = &refused.cause
        else {
            panic!("{refused:?}");
        };
        assert!(issuer.contains("Root"), "{issuer}");
        assert_eq!(problem.kind, AnchorProblemKind::OpensslTrustedCertificate);
    }
    // A certificate with the same name and another key is not the reason.
    let namesake = Spec::authority("Root").self_signed();
    put("root.pem", &pem("TRUSTED CERTIFICATE", &namesake.der));
    let problem = refused(&chains[0]);
    assert!(
        matches!(problem.cause, VerifyCause::UnknownIssuer { .. }),
        "{problem:?}"
    );
    assert!(problem.trust_problems.is_empty());
    // Its subject is unknown.
    put("root.pem", &root.cert_pem().replacen("MII", "M*I", 1));
    let problem = refused(&chains[0]);
    assert!(
        matches!(problem.cause, VerifyCause::UnknownIssuer { .. }),
        "{problem:?}"
    );
    assert!(matches!(
        problem.trust_problems[0].kind,
        AnchorProblemKind::Pem { .. }
    ));
}

/// With a duplicate extension, its limits are ambiguous.
#[test]
fn a_root_with_a_duplicate_extension_is_not_an_anchor() {
    let constraints = [2, 5, 29, 19];
    let root = Spec::authority("Root")
        .basic(Basic::Authority)
        .extension(&constraints, &der(0x30, &[]), true)
        .self_signed();
    let refused = TrustAnchors::empty()
        .with_certificate_der(root.der)
        .unwrap_err();
    assert!(refused.problem.to_string().contains("twice"), "{refused:?}");
}
