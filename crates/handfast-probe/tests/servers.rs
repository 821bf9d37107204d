//! The probe against servers of other people: what they are told to speak is what it finds.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use handfast::ClientContext;
use handfast_probe::{
    Answer, AnswerReader, ClientHello, Grade, GroupId, Offer, Order, Survey, WireVersion, clarify,
    survey,
};
use handfast_testbed::launch::{GnutlsServer, OpensslServer};
use handfast_testbed::pki::{Key, Pki, Spec};

fn ask(address: SocketAddr, hello: &ClientHello) -> io::Result<Answer> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    socket.write_all(&hello.encode())?;
    let mut reader = AnswerReader::new();
    let mut chunk = [0; 4096];
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return Ok(reader.end()),
            Ok(count) => {
                if let Some(answer) = reader.push(&chunk[..count]) {
                    return Ok(answer);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Ok(reader.end());
            }
            Err(error) => return Err(error),
        }
    }
}

fn survey_of(address: SocketAddr) -> Survey {
    let base = |version| ClientHello::new(version).with_server_name("localhost");
    survey(&WireVersion::ALL, base, |hello| ask(address, hello)).unwrap()
}

fn offer(survey: &Survey, version: WireVersion) -> Option<&Offer> {
    let found = survey
        .versions
        .iter()
        .find(|found| found.version == version)?;
    found.offer.as_ref().ok()
}

fn spoken(survey: &Survey) -> Vec<WireVersion> {
    let spoken = survey.versions.iter().filter(|found| found.offer.is_ok());
    spoken.map(|found| found.version).collect()
}

fn suites(offer: &Offer) -> Vec<String> {
    offer.suites.iter().map(|suite| suite.name()).collect()
}

fn groups(offer: &Offer) -> Vec<String> {
    offer.groups.iter().copied().map(GroupId::name).collect()
}

/// A server's certificate and key, and the directory that they go away with.
fn identity(key: Key) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let server = Pki::new().root.issue(Spec::server(&["localhost"]).key(key));
    let files = server.write(directory.path(), "server", &[]);
    (directory, files.chain_pem, files.key_pem)
}

fn openssl(key: Key, arguments: &[&str]) -> Option<(OpensslServer, tempfile::TempDir)> {
    let (directory, chain, private) = identity(key);
    let mut all = vec![OsStr::new("-cert"), chain.as_os_str(), OsStr::new("-key")];
    all.push(private.as_os_str());
    all.extend(arguments.iter().map(OsStr::new));
    Some((OpensslServer::launch(&all)?, directory))
}

#[test]
fn openssl_with_its_own_order_in_both_versions() {
    let Some((server, _files)) = openssl(
        Key::Rsa2048,
        &[
            "-serverpref",
            "-cipher",
            "ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256",
            "-ciphersuites",
            "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
            "-groups",
            "P-384:X25519:P-521",
        ],
    ) else {
        return;
    };
    let found = survey_of(server.address());
    assert_eq!(spoken(&found), [WireVersion::Tls12, WireVersion::Tls13]);
    let new = offer(&found, WireVersion::Tls13).unwrap();
    assert_eq!(
        suites(new),
        ["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"]
    );
    assert_eq!(new.suite_order, Order::Server);
    assert_eq!(groups(new), ["secp384r1", "x25519", "secp521r1"]);
    assert_eq!(new.group_order, Order::Server);
    let old = offer(&found, WireVersion::Tls12).unwrap();
    assert_eq!(
        suites(old),
        [
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_RSA_WITH_AES_256_CBC_SHA",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ]
    );
    assert_eq!(groups(old), ["secp384r1", "x25519", "secp521r1"]);
    assert!(old.dh_bits.is_some_and(|bits| bits >= 1024), "{old:?}");
    let grades: Vec<Grade> = old
        .suites
        .iter()
        .map(|suite| suite.judgement().grade)
        .collect();
    assert_eq!(grades, [Grade::Fine, Grade::Weak, Grade::Weak, Grade::Fine]);
}

#[test]
fn openssl_one_version_one_suite_and_the_curve_of_its_certificate() {
    let Some((server, _files)) = openssl(
        Key::P256,
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
    ) else {
        return;
    };
    let found = survey_of(server.address());
    assert_eq!(spoken(&found), [WireVersion::Tls12]);
    let only = offer(&found, WireVersion::Tls12).unwrap();
    assert_eq!(suites(only), ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]);
    assert_eq!(only.suite_order, Order::Single);
    // Without secp256r1 in the offer its certificate could not be used; the others are found still.
    let names = groups(only);
    for name in ["x25519", "secp256r1", "secp384r1", "secp521r1", "x448"] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
    assert_eq!(only.group_order, Order::Client);
    let refusal = &found.versions.last().unwrap().offer;
    let Err(Answer::Alert(alert)) = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(alert.name(), "protocol_version");
}

#[test]
fn openssl_with_deprecated_versions() {
    let Some((server, _files)) = openssl(Key::Rsa2048, &["-cipher", "ALL:@SECLEVEL=0"]) else {
        return;
    };
    let found = survey_of(server.address());
    let versions = spoken(&found);
    assert!(
        versions.contains(&WireVersion::Tls10) && versions.contains(&WireVersion::Tls11),
        "{versions:?}"
    );
    let old = offer(&found, WireVersion::Tls10).unwrap();
    let broken = old
        .suites
        .iter()
        .filter(|suite| suite.judgement().grade == Grade::Broken);
    assert!(broken.count() >= 1, "anonymous suites at least: {old:?}");
    assert_eq!(WireVersion::Tls10.judgement().grade, Grade::Weak);
}

#[test]
fn gnutls_is_surveyed() {
    let (_directory, chain, private) = identity(Key::Rsa2048);
    let priority =
        "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-GROUP-ALL:+GROUP-SECP384R1:+GROUP-X25519";
    let Some(server) = GnutlsServer::launch(&[
        OsStr::new("--http"),
        OsStr::new("--priority"),
        OsStr::new(priority),
        OsStr::new("--x509certfile"),
        chain.as_os_str(),
        OsStr::new("--x509keyfile"),
        private.as_os_str(),
    ]) else {
        return;
    };
    let found = survey_of(server.address());
    assert_eq!(spoken(&found), [WireVersion::Tls12, WireVersion::Tls13]);
    for version in spoken(&found) {
        let offer = offer(&found, version).unwrap();
        let mut names = groups(offer);
        names.sort();
        assert_eq!(names, ["secp384r1", "x25519"], "{version}");
        assert!(offer.suites.len() > 1, "{version}: {offer:?}");
    }
}

#[test]
fn a_peer_without_tls_differs_from_a_silent_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut ssh, _) = listener.accept().unwrap();
        ssh.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        drop(ssh);
        drop(listener.accept().unwrap());
    });
    let hello = ClientHello::new(WireVersion::Tls12);
    let answer = ask(address, &hello).unwrap();
    assert!(
        matches!(&answer, Answer::NotTls { first_bytes } if first_bytes.starts_with(b"SSH-")),
        "{answer:?}"
    );
    let answer = ask(address, &hello).unwrap();
    assert_eq!(answer, Answer::Closed { bytes_received: 0 });
    server.join().unwrap();
}

/// The groups offered are the curves of certificates, too: OpenSSL refuses over the certificate, with the alert that
/// also stands for suites and groups.
#[test]
fn a_certificate_on_a_curve_that_is_not_offered_is_told_as_that() {
    for (curve, kind) in [("secp256k1", "EC secp256k1"), ("secp224r1", "EC P-224")] {
        let algorithm = [
            "-newkey",
            "ec",
            "-pkeyopt",
            &format!("ec_paramgen_curve:{curve}"),
        ];
        let directory = tempfile::tempdir().unwrap();
        let Some(server) = OpensslServer::with_unusual_key(directory.path(), &algorithm) else {
            return;
        };
        let client = ClientContext::builder().build().unwrap();
        let connect = || TcpStream::connect(server.address());
        let failure = client.secure("localhost", connect().unwrap()).unwrap_err();
        let limit = Duration::from_secs(20);
        let error = clarify(failure.into(), &client, "localhost", limit, connect);
        let told = error.explain();
        assert_eq!(told.id, "no-shared-signature-scheme", "{told}");
        assert!(told.to_string().contains(kind), "{told}");
    }
}
