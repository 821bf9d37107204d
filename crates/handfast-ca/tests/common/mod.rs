//! What the tests of the authority share.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handfast_ca::{Authority, InitOptions};
use handfast_testbed::peers;
use pki_types::pem::PemObject;
use pki_types::{CertificateDer, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use tempfile::TempDir;

/// An authority in a temporary directory.
pub struct Fixture {
    pub temp: TempDir,
    pub authority: Authority,
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(&InitOptions::default())
    }

    pub fn with(options: &InitOptions) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let authority = Authority::init(&temp.path().join("ca"), options).unwrap();
        Self { temp, authority }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// A certificate signed with the authority's stolen key, without any check.
    pub fn steal_and_sign(
        &self,
        names: &[&str],
        common_name: Option<&str>,
        client: bool,
    ) -> PathBuf {
        let sans = names
            .iter()
            .map(|name| match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) if name.contains("://") => SanType::URI((*name).try_into().unwrap()),
                Err(_) if name.contains('@') => SanType::Rfc822Name((*name).try_into().unwrap()),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let usage = if client {
            ExtendedKeyUsagePurpose::ClientAuth
        } else {
            ExtendedKeyUsagePurpose::ServerAuth
        };
        self.steal_and_sign_for(sans, common_name, usage, IsCa::ExplicitNoCa)
    }

    pub fn steal_and_sign_for(
        &self,
        sans: Vec<SanType>,
        common_name: Option<&str>,
        usage: ExtendedKeyUsagePurpose,
        is_ca: IsCa,
    ) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let forged = forge(&self.stolen_issuer(), &key, sans, common_name, usage, is_ca);
        self.write_new(&forged.pem())
    }

    /// An authority below this one, signed with the stolen key, and a certificate that it signs for
    /// `name`: the chain of both.
    pub fn steal_and_delegate(&self, name: &str) -> PathBuf {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let key_below = KeyPair::generate().unwrap();
        let below = forge(
            &self.stolen_issuer(),
            &key_below,
            Vec::new(),
            Some("second authority"),
            usage.clone(),
            IsCa::Ca(BasicConstraints::Unconstrained),
        );
        let end_entity = forge(
            &Issuer::from_ca_cert_der(below.der(), key_below).unwrap(),
            &KeyPair::generate().unwrap(),
            vec![SanType::DnsName(name.try_into().unwrap())],
            None,
            usage,
            IsCa::ExplicitNoCa,
        );
        self.write_new(&(end_entity.pem() + &below.pem()))
    }

    fn stolen_issuer(&self) -> Issuer<'static, KeyPair> {
        let pem = fs::read_to_string(self.authority.key_file()).unwrap();
        let key = KeyPair::from_pem(&pem).unwrap();
        Issuer::from_ca_cert_der(self.authority.certificate(), key).unwrap()
    }

    fn write_new(&self, pem: &str) -> PathBuf {
        let file = tempfile::Builder::new()
            .suffix(".pem")
            .tempfile_in(self.temp.path())
            .unwrap();
        let (_, path) = file.keep().unwrap();
        fs::write(&path, pem).unwrap();
        path
    }
}

fn forge(
    issuer: &Issuer<'_, KeyPair>,
    key: &KeyPair,
    sans: Vec<SanType>,
    common_name: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
    is_ca: IsCa,
) -> rcgen::Certificate {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "thief");
    if let Some(common_name) = common_name {
        subject.push(DnType::CommonName, common_name);
    }
    params.distinguished_name = subject;
    params.subject_alt_names = sans;
    params.is_ca = is_ca;
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let now =
        rcgen::date_time_ymd(1970, 1, 1) + SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    params.not_before = now - Duration::from_secs(300);
    params.not_after = now + Duration::from_secs(86_400);
    if matches!(params.is_ca, IsCa::Ca(_)) {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    }
    params.signed_by(key, issuer).unwrap()
}

/// Whether a program accepted its input, and its output.
#[derive(Debug)]
pub struct Verdict {
    pub accepted: bool,
    pub words: String,
}

impl From<Output> for Verdict {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            accepted: output.status.success(),
            words: text(&output.stdout) + &text(&output.stderr),
        }
    }
}

pub fn run(command: &mut Command) -> Verdict {
    command.stdin(Stdio::null()).output().unwrap().into()
}

pub fn openssl(arguments: &[&str]) -> Option<Verdict> {
    let program = peers::require("openssl")?;
    Some(run(Command::new(program).args(arguments)))
}

/// A verifier of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verifier {
    OpenSsl,
    GnuTls,
    Webpki,
}

impl Verifier {
    pub const ALL: [Self; 3] = [Self::OpenSsl, Self::GnuTls, Self::Webpki];

    /// `None` if it is not installed.
    pub fn verify(
        self,
        ca: &Path,
        certificate: &Path,
        client: bool,
        name: Option<&str>,
    ) -> Option<Verdict> {
        match self {
            Self::OpenSsl => {
                let program = peers::require("openssl")?;
                let mut command = Command::new(program);
                command
                    .args([
                        "verify",
                        "-x509_strict",
                        "-no-CApath",
                        "-no-CAstore",
                        "-CAfile",
                    ])
                    .arg(ca)
                    .args(["-purpose", if client { "sslclient" } else { "sslserver" }]);
                if let Some(name) = name {
                    let by = if name.parse::<std::net::IpAddr>().is_ok() {
                        "-verify_ip"
                    } else {
                        "-verify_hostname"
                    };
                    command.args([by, name]);
                }
                command.arg("-untrusted").args([certificate, certificate]);
                Some(run(&mut command))
            }
            Self::GnuTls => {
                let program = peers::require("certtool")?;
                let purpose = if client {
                    "1.3.6.1.5.5.7.3.2"
                } else {
                    "1.3.6.1.5.5.7.3.1"
                };
                let mut command = Command::new(program);
                command
                    .args([
                        "--verify",
                        "--verify-purpose",
                        purpose,
                        "--load-ca-certificate",
                    ])
                    .arg(ca)
                    .arg("--infile")
                    .arg(certificate);
                if let Some(name) = name {
                    command.args(["--verify-hostname", name]);
                }
                Some(run(&mut command))
            }
            Self::Webpki => Some(webpki(ca, certificate, client, name)),
        }
    }
}

fn webpki(ca: &Path, certificate: &Path, client: bool, name: Option<&str>) -> Verdict {
    let read = |path: &Path| CertificateDer::from_pem_file(path).unwrap();
    let ca = read(ca);
    let mut chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let intermediates = chain.split_off(1);
    let certificate = chain.remove(0);
    let anchor = webpki::anchor_from_trusted_cert(&ca).unwrap();
    let verify = || {
        let end_entity = webpki::EndEntityCert::try_from(&certificate)?;
        let usage = if client {
            webpki::KeyUsage::client_auth()
        } else {
            webpki::KeyUsage::server_auth()
        };
        end_entity.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            std::slice::from_ref(&anchor),
            &intermediates,
            UnixTime::now(),
            usage,
            None,
            None,
        )?;
        if let Some(name) = name {
            end_entity.verify_is_valid_for_subject_name(&name.try_into().unwrap())?;
        }
        Ok::<(), webpki::Error>(())
    };
    let result = verify();
    Verdict {
        accepted: result.is_ok(),
        words: format!("{result:?}"),
    }
}
