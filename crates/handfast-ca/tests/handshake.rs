//! Issued certificates in handshakes of real servers and clients.

mod common;

use std::net::SocketAddr;
use std::path::Path;

use common::Fixture;
use handfast_ca::{IssueRequest, Issued, KeyType, RevokeTarget};
use handfast_testbed::launch::{Finished, GnutlsServer, Nginx, OpensslServer, Program};
use pki_types::pem::PemObject;
use pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

/// curl with the authority as its only trust anchor.
fn curl(ca: &Path, address: SocketAddr, host: &str, client: Option<&Issued>) -> Option<Finished> {
    let port = address.port();
    let mut program = Program::new("curl")?
        .args(["--silent", "--show-error", "--noproxy", "*", "--cacert"])
        .arg(ca)
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .args(["--write-out", "\n%{http_code}"]);
    if let Some(client) = client {
        program = program
            .arg("--cert")
            .arg(&client.chain_file)
            .arg("--key")
            .arg(&client.key_file);
    }
    Some(program.arg(format!("https://{host}:{port}/")).run())
}

#[test]
fn openssl_and_gnutls_serve_with_each_kind_of_key() {
    let home = Fixture::new();
    let ca = home.authority.certificate_file();
    for key_type in KeyType::ALL {
        let mut request = IssueRequest::server(["db.internal", "127.0.0.1"]);
        request.key_type = key_type;
        let issued = home.authority.issue(&request).unwrap();
        let (chain, key) = (&issued.chain_file, &issued.key_file);

        let openssl = OpensslServer::launch(&[
            "-www".as_ref(),
            "-cert".as_ref(),
            chain.as_os_str(),
            "-key".as_ref(),
            key.as_os_str(),
        ]);
        let gnutls = GnutlsServer::launch(&[
            "--http".as_ref(),
            "--x509certfile".as_ref(),
            chain.as_os_str(),
            "--x509keyfile".as_ref(),
            key.as_os_str(),
        ]);
        let addresses = [
            openssl.as_ref().map(OpensslServer::address),
            gnutls.as_ref().map(GnutlsServer::address),
        ];
        for address in addresses.into_iter().flatten() {
            for host in ["db.internal", "127.0.0.1"] {
                if let Some(output) = curl(&ca, address, host, None) {
                    assert!(
                        output.out().ends_with("200"),
                        "{key_type} {host}: {}",
                        output.err()
                    );
                }
            }
            // curl's code for a failed verification of the peer.
            if let Some(output) = curl(&ca, address, "other.internal", None) {
                assert_eq!(output.code, Some(60), "{key_type}: {}", output.err());
            }
        }
    }
}

#[test]
fn nginx_accepts_client_certificates_and_refuses_revoked_ones() {
    let home = Fixture::new();
    let authority = &home.authority;
    let server = authority
        .issue(&IssueRequest::server(["db.internal"]))
        .unwrap();
    let alice = authority
        .issue(&IssueRequest::client(["alice@corp.example"]))
        .unwrap();
    let mallory = authority.issue(&IssueRequest::client(["mallory"])).unwrap();
    authority
        .revoke(&RevokeTarget::Serial(mallory.serial.clone()))
        .unwrap();
    let ca = authority.certificate_file();
    let nginx = Nginx::launch(home.temp.path(), |port| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl;\n\
             ssl_certificate {};\nssl_certificate_key {};\n\
             ssl_client_certificate {};\nssl_crl {};\nssl_verify_client on;\n\
             location / {{ return 200 \"client=$ssl_client_s_dn\"; }} }}",
            server.chain_file.display(),
            server.key_file.display(),
            ca.display(),
            authority.crl_file().display(),
        )
    });
    let Some(nginx) = nginx else { return };
    for (client, status, words) in [
        (Some(&alice), "200", "CN=alice@corp.example"),
        (Some(&mallory), "400", "certificate error"),
        // A server certificate.
        (Some(&server), "400", "certificate error"),
        (None, "400", "No required SSL certificate"),
    ] {
        if let Some(output) = curl(&ca, nginx.address(), "db.internal", client) {
            let names = client.map(|client| &client.names);
            assert!(
                output.out().ends_with(status),
                "{names:?}: {} {}",
                output.out(),
                output.err()
            );
            assert!(output.out().contains(words), "{names:?}: {}", output.out());
        }
    }
}

#[test]
fn webpki_accepts_the_revocation_list() {
    let home = Fixture::new();
    let authority = &home.authority;
    let kept = authority.issue(&IssueRequest::client(["alice"])).unwrap();
    let lost = authority.issue(&IssueRequest::client(["mallory"])).unwrap();
    let anchor = webpki::anchor_from_trusted_cert(authority.certificate()).unwrap();
    let verify = |issued: &Issued| {
        let list = CertificateRevocationListDer::from_pem_file(authority.crl_file()).unwrap();
        let list: webpki::CertRevocationList<'_> = webpki::OwnedCertRevocationList::from_der(&list)
            .unwrap()
            .into();
        let lists = [&list];
        let revocation = webpki::RevocationOptionsBuilder::new(&lists)
            .unwrap()
            .with_status_policy(webpki::UnknownStatusPolicy::Deny)
            .with_expiration_policy(webpki::ExpirationPolicy::Enforce)
            .build();
        let certificate = CertificateDer::from_pem_file(&issued.chain_file).unwrap();
        webpki::EndEntityCert::try_from(&certificate)
            .unwrap()
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                std::slice::from_ref(&anchor),
                &[],
                UnixTime::now(),
                webpki::KeyUsage::client_auth(),
                Some(revocation),
                None,
            )
            .map(|_| ())
    };
    assert_eq!(verify(&kept), Ok(()));
    assert_eq!(verify(&lost), Ok(()));
    authority
        .revoke(&RevokeTarget::Serial(lost.serial.clone()))
        .unwrap();
    assert_eq!(verify(&kept), Ok(()));
    assert_eq!(verify(&lost), Err(webpki::Error::CertRevoked));
}
