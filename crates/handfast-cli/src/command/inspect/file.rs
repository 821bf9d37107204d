//! Verifying a chain in a file, without a network.

use std::path::Path;

use handfast::{
    CertificateDer, CertificateFacts, ConfigurationCause, Error, Explanation, Identity, Passphrase,
    Phase, ServerName, SubjectAltName, UnixTime, certificates_from_file, escape_control,
};

use super::arguments::{Args, PurposeArg};
use super::findings::Findings;
use crate::clock::unix_now;
use crate::failure::{Failure, code};
use crate::passphrase::or_prompt;

pub(super) fn inspect(path: &Path, args: &Args) -> Result<Findings, Failure> {
    let chain = certificates_from_file(path).map_err(|error| {
        let what = format!("{}: {}", path.display(), error.problem);
        let mut explanation = Explanation::new(error.problem.id(), escape_control(&what));
        if let Some(source) = std::error::Error::source(&error.problem) {
            explanation = explanation.with_evidence(escape_control(&source.to_string()));
        }
        Failure::new(code::READ, explanation)
    })?;
    let seconds = args.files.at.unwrap_or_else(unix_now);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        u64::try_from(seconds).unwrap_or(0),
    ));
    let trust = args.trust.as_shared();
    let policy = trust.verify.policy()?;
    let mut found = Findings::new(&path.display().to_string(), seconds);
    found.is_as_of = args.files.at.is_some();
    found.expires_within = args.expires_within;
    found.consults(policy.revocation_lists());
    found.trust = policy.anchors().sources();
    let verdict = match args.files.purpose {
        PurposeArg::Client => policy.check_client_chain(&chain, now),
        PurposeArg::Server => {
            let given = args.files.name.clone();
            let own = given.or_else(|| own_name(&chain));
            let is_named = own.is_some();
            // Without a name it is refused for any.
            let name = own.unwrap_or_else(|| "localhost".to_owned());
            let name = ServerName::parse(&name).map_err(|problem| {
                let cause = ConfigurationCause::ServerName {
                    text: name.clone(),
                    problem: problem.to_string(),
                };
                Error::new(Phase::Configure, cause)
            })?;
            found.name = is_named.then(|| name.to_string());
            found.is_of_server = true;
            policy.check_server_chain(&chain, &name, now)
        }
    };
    match verdict {
        Ok(path) => found.path = Some(path),
        Err(refused) => found.refused = Some(Box::new(refused)),
    }
    if let Some(key) = &args.trust.key {
        let passphrase = match or_prompt(args.trust.pass.clone()) {
            Some(source) => Passphrase::ask(move |request| source.read(&request.to_string())),
            None => Passphrase::none(),
        };
        let belongs = Identity::from_files(path, key, passphrase);
        found.key = Some(belongs.map(|_| ()).map_err(Error::from));
    }
    found.chain = chain;
    Ok(found)
}

/// A name for which the chain's first certificate is valid.
fn own_name(chain: &[CertificateDer<'_>]) -> Option<String> {
    let facts = chain
        .first()
        .and_then(|der| CertificateFacts::from_der(der).ok());
    let names = facts.as_ref().map_or(&[][..], |facts| &facts.names);
    let usable = names.iter().find_map(|name| match name {
        SubjectAltName::Dns(_) if name.never_matches().is_some() => None,
        SubjectAltName::Dns(name) => Some(match name.strip_prefix("*.") {
            Some(parent) => format!("any.{parent}"),
            None => name.clone(),
        }),
        SubjectAltName::Ip(address) => Some(address.to_string()),
        _ => None,
    });
    let can_be_asked_for = |name: &String| ServerName::parse(name).is_ok();
    // A name that never matches is reported if the intended one is verified.
    let meant = names.iter().filter_map(SubjectAltName::meant);
    usable
        .filter(can_be_asked_for)
        .or_else(|| meant.map(str::to_owned).find(can_be_asked_for))
        .or_else(|| facts.as_ref()?.common_name.clone().filter(can_be_asked_for))
}
