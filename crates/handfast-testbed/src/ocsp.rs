//! OCSP responses as OpenSSL makes them, for servers to staple.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::launch::Program;
use crate::pki::Issued;

/// The certificate status in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was issued and is not revoked.
    Good,
    /// It was revoked on 1 October 2026 because its key leaked.
    Revoked,
    /// The responder does not know it.
    Unknown,
}

/// Makes `openssl ocsp` respond about a certificate of `issuer`, signed by `signer`, which is the issuer
/// or a delegated responder. `args` are the last arguments: `-ndays`, `-nmin`, `-resp_key_id`,
/// `-resp_no_certs`, `-badsig`... By default the response is valid for seven days.
///
/// It leaves its files in `directory`. `None` if OpenSSL is not installed.
///
/// # Panics
/// When OpenSSL fails.
pub fn respond(
    directory: &Path,
    issuer: &Issued,
    signer: &Issued,
    about: &Issued,
    status: Status,
    args: &[&str],
) -> Option<Vec<u8>> {
    let issuer_files = issuer.write(directory, "ocsp-issuer", &[]);
    let signer_files = signer.write(directory, "ocsp-signer", &[]);
    let about_files = about.write(directory, "ocsp-about", &[]);
    let [index, request, response] = ["ocsp-index.txt", "ocsp-request.der", "ocsp-response.der"]
        .map(|name| directory.join(name));
    // The database of `openssl ca`: status, end of validity, revocation, serial, file, subject.
    let serial = about
        .serial
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02X}"));
    let serial = serial.trim_start_matches("00");
    let line = match status {
        Status::Good => format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=x\n"),
        Status::Revoked => {
            format!("R\t491231235959Z\t261001120000Z,keyCompromise\t{serial}\tunknown\t/CN=x\n")
        }
        Status::Unknown => String::new(),
    };
    fs::write(&index, line).unwrap_or_else(|error| panic!("{}: {error}", index.display()));
    let run = |args: Vec<OsString>| {
        let finished = Program::new("openssl")?.arg("ocsp").args(args).run();
        assert!(finished.succeeded(), "{finished}");
        Some(())
    };
    run(vec![
        "-no_nonce".into(),
        "-issuer".into(),
        issuer_files.chain_pem.clone().into(),
        "-cert".into(),
        about_files.chain_pem.into(),
        "-reqout".into(),
        request.clone().into(),
    ])?;
    let mut answer: Vec<OsString> = vec![
        "-index".into(),
        index.into(),
        "-CA".into(),
        issuer_files.chain_pem.into(),
        "-rsigner".into(),
        signer_files.chain_pem.into(),
        "-rkey".into(),
        signer_files.key_pem.into(),
        "-reqin".into(),
        request.into(),
        "-respout".into(),
        response.clone().into(),
    ];
    if !args.iter().any(|arg| matches!(*arg, "-ndays" | "-nmin")) {
        answer.extend(["-ndays", "7"].map(OsString::from));
    }
    answer.extend(args.iter().map(OsString::from));
    run(answer)?;
    Some(fs::read(&response).unwrap_or_else(|error| panic!("{}: {error}", response.display())))
}
