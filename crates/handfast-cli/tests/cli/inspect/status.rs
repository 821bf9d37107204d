//! What servers add to their chains, as `handfast inspect` tells it: stapled OCSP responses by
//! OpenSSL, nginx and GnuTLS, certificate timestamps, tickets and early data.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use handfast_testbed::launch::{GnutlsServer, Nginx, OpensslServer, Program};
use handfast_testbed::ocsp::{Status, respond};
use handfast_testbed::pki::{ExtendedKeyUsagePurpose, Issued, KeyUsagePurpose, Spec, der};
use serde_json::Value;

use crate::common::{Fixture, localhost};

/// An issuer below the root of a PKI.
struct Below {
    fixture: Fixture,
    issuer: Issued,
}

impl Below {
    fn new() -> Self {
        let fixture = Fixture::new();
        let issuer = fixture.pki.root.issue(Spec::authority("Issuer"));
        Self { fixture, issuer }
    }

    fn staple(
        &self,
        name: &str,
        signer: &Issued,
        about: &Issued,
        status: Status,
    ) -> Option<PathBuf> {
        let directory = self.fixture.directory();
        let response = respond(directory, &self.issuer, signer, about, status, &[])?;
        Some(self.fixture.write(name, &response))
    }

    /// `openssl s_server` with this certificate and its issuer's.
    fn openssl(&self, server: &Issued, args: &[OsString]) -> Option<OpensslServer> {
        let files = self.fixture.files("server", server);
        let above = self.fixture.files("issuer", &self.issuer);
        let mut all: Vec<OsString> = vec![
            "-cert".into(),
            files.chain_pem.into(),
            "-cert_chain".into(),
            above.chain_pem.into(),
            "-key".into(),
            files.key_pem.into(),
        ];
        // It answers requests, or takes early data, not both.
        if !args.iter().any(|arg| arg == "-early_data") {
            all.push("-www".into());
        }
        all.extend(args.iter().cloned());
        OpensslServer::launch(&all)
    }
}

fn os(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

#[test]
fn a_stapled_response_is_judged_and_a_revocation_ends_every_handshake() {
    let below = Below::new();
    let server = below.issuer.issue(Spec::server(&["localhost"]));
    let other = below.issuer.issue(Spec::server(&["localhost"]));
    let appointed = below.issuer.issue(
        Spec::client("Responder")
            .extended_key_usage(&[ExtendedKeyUsagePurpose::OcspSigning])
            .key_usage(&[KeyUsagePurpose::DigitalSignature]),
    );
    let by_issuer = &below.issuer;
    for (signer, about, status, says) in [
        (
            by_issuer,
            &server,
            Status::Good,
            "good by the stapled OCSP response, produced 20",
        ),
        (
            &appointed,
            &server,
            Status::Good,
            "signed by O=handfast tests, CN=Responder",
        ),
        (
            by_issuer,
            &server,
            Status::Unknown,
            "unknown to the stapled OCSP response",
        ),
        (
            by_issuer,
            &server,
            Status::Revoked,
            "REVOKED since 2026-10-01T12:00:00Z (keyCompromise) by the stapled",
        ),
        (
            &appointed,
            &server,
            Status::Revoked,
            "REVOKED since 2026-10-01T12:00:00Z (keyCompromise) by the stapled",
        ),
        (
            by_issuer,
            &other,
            Status::Revoked,
            "is invalid: it is about another certificate",
        ),
        (
            &other,
            &server,
            Status::Revoked,
            "is invalid: it was signed neither by the issuer nor",
        ),
    ] {
        let Some(staple) = below.staple("staple.der", signer, about, status) else {
            return;
        };
        let is_revoked = says.starts_with("REVOKED");
        for version in ["-tls1_2", "-tls1_3"] {
            let args = [os(&[version, "-status_file"]), vec![staple.clone().into()]].concat();
            let Some(running) = below.openssl(&server, &args) else {
                return;
            };
            let finished = below.fixture.run("inspect", [localhost(running.address())]);
            let line = finished.out();
            let line = line.lines().find(|line| line.starts_with("  revocation "));
            assert!(
                line.is_some_and(|line| line.contains(says)),
                "{version} {says} {finished}"
            );
            assert_eq!(
                finished.code,
                Some(if is_revoked { 60 } else { 0 }),
                "{version} {finished}"
            );
            assert_eq!(
                finished.err().contains("[certificate-revoked]"),
                is_revoked,
                "{finished}"
            );
            let url = format!("https://{}/", localhost(running.address()));
            if !is_revoked {
                let shown = match says.split_once("is invalid: ") {
                    Some((_, problem)) => format!("invalid: {problem}"),
                    None if status == Status::Good => "good, signed by O=handfast tests".to_owned(),
                    None => "unknown, signed by O=handfast tests".to_owned(),
                };
                let got = below.fixture.run("get", ["-v", &url]);
                assert_eq!(got.code, Some(0), "{version} {got}");
                assert!(
                    got.printed(&format!("  stapled: {shown}")),
                    "{version} {shown} {got}"
                );
                let talked = below.fixture.run("connect", [localhost(running.address())]);
                assert!(
                    talked.printed(&format!("  stapled: {shown}")),
                    "{version} {shown} {talked}"
                );
            } else {
                let refused = below.fixture.run("get", [&url]);
                assert_eq!(refused.code, Some(60), "{version} {refused}");
                assert!(refused.printed("[certificate-revoked]"), "{refused}");
                assert!(
                    refused.printed("by the OCSP response that the server stapled"),
                    "{refused}"
                );
            }
        }
    }
}

#[test]
fn what_nginx_and_gnutls_staple_counts_alike() {
    let below = Below::new();
    let server = below.issuer.issue(Spec::server(&["localhost"]));
    let files = server.write(below.fixture.directory(), "server", &[&below.issuer]);
    for (status, expected, code) in [(Status::Good, "good", 0), (Status::Revoked, "revoked", 60)] {
        let Some(staple) = below.staple("staple.der", &below.issuer, &server, status) else {
            return;
        };
        let nginx = Nginx::launch(below.fixture.directory(), |port| {
            format!(
                "server {{ listen 127.0.0.1:{port} ssl; server_name localhost;\n\
                 ssl_certificate {}; ssl_certificate_key {};\n\
                 ssl_stapling on; ssl_stapling_file {};\n\
                 location / {{ return 204; }} }}",
                files.chain_pem.display(),
                files.key_pem.display(),
                staple.display()
            )
        });
        // GnuTLS itself refuses to staple that it is revoked.
        let gnutls = (status == Status::Good).then(|| {
            GnutlsServer::launch(&[
                OsStr::new("--http"),
                OsStr::new("--x509certfile"),
                files.chain_pem.as_os_str(),
                OsStr::new("--x509keyfile"),
                files.key_pem.as_os_str(),
                OsStr::new("--ocsp-response"),
                staple.as_os_str(),
            ])
        });
        let gnutls = gnutls.flatten();
        let addresses = [
            nginx.as_ref().map(Nginx::address),
            gnutls.as_ref().map(GnutlsServer::address),
        ];
        for address in addresses.into_iter().flatten() {
            let (found, exit) = below.fixture.inspect_json([localhost(address)]);
            assert_eq!(exit, Some(code), "{found:#}");
            if status == Status::Good {
                assert_eq!(
                    found["revocation"]["staple"]["status"], expected,
                    "{found:#}"
                );
                assert_eq!(found["revocation"]["staple"]["counts"], true);
            } else {
                assert_eq!(found["failure"]["id"], "certificate-revoked", "{found:#}");
            }
        }
    }
}

#[test]
fn a_certificate_that_demands_a_staple_and_gets_none_is_told_of() {
    let below = Below::new();
    let must_staple = Spec::server(&["localhost"]).extension(
        &[1, 3, 6, 1, 5, 5, 7, 1, 24],
        &der(0x30, &der(2, &[5])),
        false,
    );
    let server = below.issuer.issue(must_staple);
    let Some(running) = below.openssl(&server, &[]) else {
        return;
    };
    let finished = below.fixture.run("inspect", [localhost(running.address())]);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(
        finished.printed("requires a stapled OCSP response, and none was sent"),
        "{finished}"
    );
    let (found, _) = below.fixture.inspect_json([localhost(running.address())]);
    assert_eq!(found["revocation"]["must_staple"], true);
    assert_eq!(found["revocation"]["staple"], Value::Null);
}

/// A list of timestamps as RFC 6962 writes it, by logs of these first bytes.
fn timestamps(logs: &[u8]) -> Vec<u8> {
    let with_length = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).unwrap();
        [&length.to_be_bytes()[..], bytes].concat()
    };
    let all: Vec<u8> = logs
        .iter()
        .flat_map(|log| {
            let signature = der(0x30, &[der(2, &[1]), der(2, &[1])].concat());
            with_length(
                &[
                    &[0][..],
                    &[*log; 32],
                    &1_790_856_000_500u64.to_be_bytes(),
                    &[0, 0, 4, 3],
                    &with_length(&signature),
                ]
                .concat(),
            )
        })
        .collect();
    with_length(&all)
}

#[test]
fn certificate_timestamps_are_counted_wherever_they_come() {
    let below = Below::new();
    let embedded = timestamps(&[0xaa, 0xbb]);
    let spec = Spec::server(&["localhost"]).extension(
        &[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2],
        &der(4, &embedded),
        false,
    );
    let server = below.issuer.issue(spec);
    // OpenSSL reads the same in it.
    let files = server.write(below.fixture.directory(), "read", &[]);
    let Some(openssl) = Program::new("openssl") else {
        return;
    };
    let read = openssl
        .args(["x509", "-noout", "-text", "-in"])
        .arg(&files.chain_pem)
        .run();
    assert_eq!(
        read.out().matches("Signed Certificate Timestamp:").count(),
        2,
        "{read}"
    );
    let sent = timestamps(&[0xcc]);
    let extension = [
        &[0, 18][..],
        &u16::try_from(sent.len()).unwrap().to_be_bytes(),
        &sent,
    ]
    .concat();
    let info = handfast_testbed::pki::pem("SERVERINFO FOR timestamps", &extension);
    let info = below.fixture.write("serverinfo.pem", info);
    let args = [os(&["-serverinfo"]), vec![info.into()]].concat();
    let Some(running) = below.openssl(&server, &args) else {
        return;
    };
    let finished = below.fixture.run("inspect", [localhost(running.address())]);
    assert_eq!(finished.code, Some(0), "{finished}");
    for line in [
        "  SCTs         2 in the certificate, 1 in the handshake; signatures not verified"
            .to_owned(),
        format!(
            "                 2026-10-01T12:00:00Z by log {}",
            "aa".repeat(32)
        ),
        format!(
            "                 2026-10-01T12:00:00Z by log {}",
            "cc".repeat(32)
        ),
    ] {
        assert!(
            finished.out().lines().any(|found| found == line),
            "{line}\n{finished}"
        );
    }
    let (found, _) = below.fixture.inspect_json([localhost(running.address())]);
    let places: Vec<_> = found["timestamps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["place"].as_str().unwrap())
        .collect();
    assert_eq!(places, ["certificate", "certificate", "handshake"]);
}

#[test]
fn tickets_are_counted_and_early_data_is_told() {
    let below = Below::new();
    let server = below.issuer.issue(Spec::server(&["localhost"]));
    for (args, tls12, tls13, early) in [
        (
            &[
                "-early_data",
                "-max_early_data",
                "4096",
                "-num_tickets",
                "3",
            ][..],
            1,
            3,
            4096,
        ),
        (&["-num_tickets", "1"], 1, 1, 0),
        (&["-no_ticket", "-no_cache", "-num_tickets", "0"], 0, 0, 0),
    ] {
        let Some(running) = below.openssl(&server, &os(args)) else {
            return;
        };
        let (found, code) = below.fixture.inspect_json([localhost(running.address())]);
        assert_eq!(code, Some(0), "{found:#}");
        let resumption = &found["connection"]["resumption"];
        for (version, count) in [("TLS 1.2", tls12), ("TLS 1.3", tls13)] {
            let tickets = resumption[version]["tickets"].as_array().unwrap();
            assert_eq!(tickets.len(), count, "{args:?} {version} {found:#}");
            for ticket in tickets {
                // What OpenSSL gives unless told otherwise.
                assert_eq!(ticket["lifetime_s"], 7200, "{args:?} {version} {found:#}");
                let expected = if version == "TLS 1.3" { early } else { 0 };
                assert_eq!(
                    ticket["early_data_bytes_max"], expected,
                    "{args:?} {version}"
                );
            }
        }
        let finished = below.fixture.run("inspect", [localhost(running.address())]);
        assert_eq!(
            finished.printed("3 tickets given for 2 hours, early data of up to 4096 bytes offered"),
            early > 0,
            "{finished}"
        );
    }
}
