//! Corpora of certificate chains, revocation lists and OCSP responses, with the expected verdict of each: gzipped
//! lines of JSON. Handfast's verdict is that of the public interface, with the default policy of a client or a
//! server.
//!
//! For a corpus about paths only (`chains`), the server name is taken from the server's certificate, even from the
//! common name with the legacy rule, so that the path is tested, and not the missing name. For one about lists
//! only (`crl`), one certificate is looked up in them without a path.

mod resigned;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use handfast::{
    CertificateDer, CertificateFacts, RevocationLists, ServerName, StapledResponse, StapledStatus,
    SubjectAltName, TrustAnchors, UnixTime, VerificationPolicy,
};
use handfast_testbed::pki::pem;
use serde_json::Value;

use self::resigned::resigned;
use crate::ledger::{Results, TestResult, column};
use crate::suite_run::{Run, SuiteError};

/// The corpora, by the names of their files.
const CORPORA: [&str; 5] = ["chains", "crl", "limbo", "ocsp", "pkits"];

/// Verifies everything in the corpora.
///
/// # Errors
/// A missing file, or lines that cannot be parsed.
pub fn run(run: &Run) -> Result<Results, SuiteError> {
    let mut results = Results::new();
    for corpus in CORPORA {
        let path = run.with.join(format!("{corpus}.jsonl.gz"));
        for line in unpacked(&path)?.lines() {
            let case: Value =
                serde_json::from_str(line).map_err(|error| SuiteError::at(&path, error))?;
            let name = column(&format!("{corpus}: {}", case["id"].as_str().unwrap_or("?")));
            if run.only.as_ref().is_some_and(|only| !name.contains(only)) {
                continue;
            }
            let result = match corpus {
                "ocsp" => response(&case),
                "chains" => chain(&case, NameFrom::Certificate),
                "crl" => lists(&case),
                _ => chain(&case, NameFrom::Case),
            };
            let result = result.ok_or_else(|| SuiteError::at(&path, format!("{name}: no case")))?;
            if results.insert(name.clone(), result).is_some() {
                return Err(SuiteError::at(&path, format!("{name}: twice")));
            }
        }
    }
    Ok(results)
}

fn unpacked(path: &Path) -> Result<String, SuiteError> {
    // Reports a missing file better than gzip's exit code.
    fs::metadata(path).map_err(|error| SuiteError::at(path, error))?;
    let output = Command::new("gzip").arg("-dc").arg(path).output();
    let output = output.map_err(|error| SuiteError(format!("gzip: {error}")))?;
    match output.status.success() {
        true => String::from_utf8(output.stdout).map_err(|error| SuiteError::at(path, error)),
        false => Err(SuiteError::at(
            path,
            String::from_utf8_lossy(&output.stderr),
        )),
    }
}

/// The source of the server name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameFrom {
    /// The case.
    Case,
    /// The first name of its certificate.
    Certificate,
}

/// A server's name, and whether it matches the certificate only by the legacy rule for common names.
struct Reference {
    name: ServerName,
    is_common_name: bool,
}

impl Reference {
    fn of(case: &Value, end_entity: &[u8], from: NameFrom) -> Option<Self> {
        let written = Self {
            name: ServerName::parse(case["name"].as_str().unwrap_or(UNNAMED)).ok()?,
            is_common_name: false,
        };
        let Ok(facts) = CertificateFacts::from_der(end_entity) else {
            return Some(written);
        };
        let has_name = facts.names.iter().find_map(|name| match name {
            // A label that the wildcard matches.
            SubjectAltName::Dns(name) => ServerName::parse(&name.replacen('*', "any", 1)).ok(),
            SubjectAltName::Ip(address) => Some(ServerName::from(*address)),
            _ => None,
        });
        let has_server_names = facts.has_server_names();
        let common_name = facts.common_name.filter(|_| !has_server_names);
        let common_name = common_name.and_then(|name| ServerName::parse(&name).ok());
        Some(match (has_name, common_name) {
            _ if from == NameFrom::Case && case["name"].is_string() => written,
            (Some(name), _) => Self {
                name,
                is_common_name: false,
            },
            (None, Some(name)) => Self {
                name,
                is_common_name: true,
            },
            _ => written,
        })
    }
}

/// Used if neither the case nor the certificate has a name.
const UNNAMED: &str = "unnamed.example";

/// Verifies a chain.
fn chain(case: &Value, name: NameFrom) -> Option<TestResult> {
    let verdict = match case["purpose"].as_str()? {
        // The strict ones require an extended key usage, which ours do not.
        "server" | "server_auth_strict" | "server_auth_strict_leaf" => verified(case, Some(name))?,
        "client" | "client_auth_strict" | "client_auth_strict_leaf" => verified(case, None)?,
        // Other protocols are not supported.
        _ => return Some(TestResult::Skipped),
    };
    Some(compared(case, verdict))
}

fn compared(case: &Value, verdict: Result<(), &'static str>) -> TestResult {
    let wanted = matches!(case["expected"].as_str(), Some("valid" | "good"));
    match (wanted, verdict) {
        (true, Ok(())) | (false, Err(_)) => TestResult::Passed,
        (true, Err(id)) => TestResult::Deviates(format!("refused: {id}")),
        (false, Ok(())) => TestResult::Deviates("accepted".to_owned()),
    }
}

/// The verdict on a server with a name, or on a client: accepted, or the id of the cause.
fn verified(case: &Value, server: Option<NameFrom>) -> Option<Result<(), &'static str>> {
    let mut anchors = TrustAnchors::empty();
    for der in list(&case["trust"])? {
        // A certificate that cannot be an anchor is omitted; chains to it are then refused.
        if let Ok(more) = anchors.clone().with_certificate_der(der.into()) {
            anchors = more;
        }
    }
    let mut policy = VerificationPolicy::new(anchors);
    if let Some(depth) = case["depth"].as_u64() {
        policy = policy.with_chain_depth_max(usize::try_from(depth).ok()?);
    }
    let mut lists = RevocationLists::none();
    for der in list(&case["crls"]).unwrap_or_default() {
        match lists.with_pem(pem("X509 CRL", &der).as_bytes()) {
            Ok(more) => lists = more,
            Err(error) => return Some(Err(error.problem.id())),
        }
    }
    let policy = policy.with_revocation_lists(lists);
    let chain: Vec<CertificateDer<'_>> =
        list(&case["chain"])?.into_iter().map(Into::into).collect();
    let now = now(case);
    let verified = match server {
        Some(from) => match Reference::of(case, chain.first()?, from) {
            Some(reference) => policy
                .with_legacy_common_name(reference.is_common_name)
                .check_server_chain(&chain, &reference.name, now),
            None => return Some(Err("no-server-name")),
        },
        None => policy.check_client_chain(&chain, now),
    };
    Some(verified.map(drop).map_err(|error| error.cause.id()))
}

/// Checks a certificate against lists. Of several issuers of one name, one that accepts it is enough.
fn lists(case: &Value) -> Option<TestResult> {
    let (issuers, ders) = resigned(&list(&case["trust"])?, &list(&case["crls"])?);
    let certificate = CertificateDer::from(list(&case["chain"])?.into_iter().next()?);
    let mut lists = RevocationLists::none();
    let mut verdict = Err("no issuer");
    for der in ders {
        match lists.clone().with_der(der.into()) {
            Ok(more) => lists = more,
            Err(error) => return Some(compared(case, Err(error.problem.id()))),
        }
    }
    for issuer in issuers {
        let verified = lists.check(&certificate, &issuer, now(case));
        verdict = verdict.or_else(|_| verified.map_err(|cause| cause.id()));
    }
    Some(compared(case, verdict))
}

/// Checks an OCSP response.
fn response(case: &Value) -> Option<TestResult> {
    let der = |field: &str| BASE64_STANDARD.decode(case[field].as_str()?).ok();
    let certificate = CertificateDer::from(der("certificate")?);
    let issuer = CertificateDer::from(der("issuer")?);
    let verified = StapledResponse::check(&der("response")?, &certificate, &issuer, now(case));
    let status = match verified.as_ref().map(|verified| &verified.status) {
        Ok(StapledStatus::Good) => "GOOD",
        Ok(StapledStatus::Revoked { .. }) => "REVOKED",
        Ok(_) | Err(_) => "UNKNOWN",
    };
    let wanted = case["expected"].as_array()?;
    // Pairs of an outcome and its reason, of which one must match.
    let is_wanted = wanted
        .iter()
        .any(|outcome| outcome.as_str() == Some(status));
    Some(match (is_wanted, verified) {
        (true, _) => TestResult::Passed,
        (false, Ok(_)) => TestResult::Deviates(status.to_owned()),
        (false, Err(problem)) => TestResult::Deviates(column(&format!("{status}: {problem}"))),
    })
}

fn list(value: &Value) -> Option<Vec<Vec<u8>>> {
    let texts = value.as_array()?.iter();
    texts
        .map(|text| BASE64_STANDARD.decode(text.as_str()?).ok())
        .collect()
}

fn now(case: &Value) -> UnixTime {
    match case["time"].as_u64() {
        Some(seconds) => UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
        None => UnixTime::now(),
    }
}
