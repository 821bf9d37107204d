//! Faults of our own configuration.

use super::identity;
use super::text::Text;
use crate::error::ConfigurationCause;
use crate::explanation::plain_io_error;
use crate::trust::{TrustError, TrustProblem};
use crate::x509::escape_control;

pub(super) fn explain(cause: &ConfigurationCause) -> Text {
    match cause {
        ConfigurationCause::Identity(error) => identity::explain(error),
        ConfigurationCause::Trust(error) => Text::new(error.problem.id(), error.to_string())
            .evidence(sources(error))
            .fix(trust_fix(error)),
        ConfigurationCause::IdentityMissing => Text::new(
            "identity-missing",
            "a server needs a certificate and its key",
        )
        .fix("give a certificate chain and its private key"),
        ConfigurationCause::ServerName { text, problem } => Text::new(
            "invalid-server-name",
            format!(
                "`{}` is not the name of a server: {problem}",
                escape_control(text)
            ),
        )
        .fix("give a DNS name such as example.org, or an IP address"),
        ConfigurationCause::UnknownName { what, name, known } => Text::new(
            "unknown-name",
            format!("unknown {what} `{}`", escape_control(name)),
        )
        .fix(format!("choose among {}", known.join(", "))),
        ConfigurationCause::NothingLeft { what } => {
            Text::new("nothing-left-to-negotiate", format!("there is no {what}"))
                .fix("allow more, or choose values that fit together")
        }
        ConfigurationCause::File { path, source } => Text::new(
            "file-unusable",
            format!(
                "the file {} cannot be opened",
                escape_control(&path.display().to_string())
            ),
        )
        .evidence([plain_io_error(source)])
        .fix("check the path and its permissions"),
    }
}

/// The levels below an error, a line each.
fn sources(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(error.source(), |error| error.source())
        .map(|error| {
            let text = error.to_string();
            escape_control(text.split(" (os error").next().unwrap_or(&text)).into_owned()
        })
        .collect()
}

fn trust_fix(error: &TrustError) -> &'static str {
    match &error.problem {
        TrustProblem::Unreadable(_) => "check the path, and that this user may read the file",
        TrustProblem::TooLarge { .. } => "check the path",
        TrustProblem::OpensslTrustedCertificate => {
            "convert it into a plain certificate: openssl x509 -in OLD -out NEW"
        }
        TrustProblem::Pem { .. } | TrustProblem::Malformed { .. } => {
            "the file is damaged or was only partly copied: copy or export it again"
        }
        TrustProblem::NoneUsable { .. } => {
            "trust the certificate of a CA: of version 3 with CA:TRUE, or a self-signed root"
        }
        TrustProblem::NothingTrusted(_) => "install the platform's CA certificates, or trust some",
        TrustProblem::Empty
        | TrustProblem::NoCertificate
        | TrustProblem::OtherPemSections { .. } => {
            "give a file with the authority's certificate: -----BEGIN CERTIFICATE-----"
        }
    }
}
