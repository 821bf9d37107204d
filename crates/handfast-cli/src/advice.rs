//! Which option of the program does what an explanation advises.
//!
//! The libraries know no option of this program: they say what to do, and the table here adds how to say it to the
//! command that is running. Its key is the id of the cause and the command; where an id advises different things, the
//! cause itself decides.

use std::sync::OnceLock;

use handfast::registry::WireVersion;
use handfast::{
    CHAIN_DEPTH_LIMIT, Cause, Error, Explanation, PeerCause, Phase, PlainProtocol, Purpose,
    Uncounted, VerifyCause, VerifyError,
};
use handfast_ca::CaError;
use handfast_dial::proxy::ProxyProblem;
use handfast_dial::{ConnectError, StartTls};
use handfast_https::client;

/// A failure of one of the libraries.
#[derive(Clone, Copy)]
pub(crate) enum Failed<'e> {
    Tls(&'e Error),
    Dial(&'e handfast_dial::Error),
    Exchange(&'e client::Error),
    Authority(&'e CaError),
}

/// What an option is advised for.
struct Row {
    id: &'static str,
    /// The commands that have the options.
    commands: &'static [&'static str],
    says: Says,
}

enum Says {
    Always(&'static str),
    If(fn(Failed<'_>) -> bool, &'static str),
    /// With a part that the cause knows.
    Of(fn(Failed<'_>) -> Option<String>),
    /// In place of what the library advises: the option stands where the verb is.
    Instead(&'static str),
    InsteadOf(fn(Failed<'_>) -> Option<String>),
}

/// Commands that verify servers.
const CLIENTS: &[&str] = &["get", "connect", "inspect", "bench"];
/// Commands that verify clients.
const SERVERS: &[&str] = &["serve"];
/// Commands that verify either.
const BOTH: &[&str] = &["connect"];
const PASSPHRASES: &[&str] = &["get", "connect", "inspect", "bench", "serve"];
const PROXIED: &[&str] = &["get", "inspect", "connect"];
const CA: &[&str] = &["ca"];

const fn row(id: &'static str, commands: &'static [&'static str], says: Says) -> Row {
    Row { id, commands, says }
}

const TRUST: &str = "--cacert FILE";
const TRUST_CLIENTS: &str = "--client-ca FILE";
const LISTS: &str = "--crl FILE";

const TRUST_PROXY: &str = "--proxy-cacert FILE";

/// The same of a proxy that is reached over TLS: it has options of its own.
const PROXY_ROWS: &[Row] = &[
    row("no-trust-anchors", &["get"], Says::Always(TRUST_PROXY)),
    row("unknown-issuer", &["get"], Says::Always(TRUST_PROXY)),
    row("untrusted-root", &["get"], Says::Always(TRUST_PROXY)),
    row("self-signed", &["get"], Says::Always(TRUST_PROXY)),
    row("likely-interception", &["get"], Says::Always(TRUST_PROXY)),
    row(
        "trusted-issuer-unusable",
        &["get"],
        Says::Always(TRUST_PROXY),
    ),
    row("bad-signature", &["get"], Says::Always(TRUST_PROXY)),
    row(
        "client-certificate-required",
        &["get"],
        Says::Always("--proxy-cert FILE --proxy-key FILE"),
    ),
];

/// The first row that fits counts.
const ROWS: &[Row] = &[
    row(
        "no-trust-anchors",
        BOTH,
        Says::If(is_of_client, TRUST_CLIENTS),
    ),
    row("no-trust-anchors", CLIENTS, Says::Always(TRUST)),
    row("no-trust-anchors", SERVERS, Says::Always(TRUST_CLIENTS)),
    row(
        "unknown-issuer",
        BOTH,
        Says::If(is_of_client, TRUST_CLIENTS),
    ),
    row("unknown-issuer", CLIENTS, Says::Of(local_authority)),
    row("unknown-issuer", CLIENTS, Says::Always(TRUST)),
    row("unknown-issuer", SERVERS, Says::Always(TRUST_CLIENTS)),
    row(
        "untrusted-root",
        BOTH,
        Says::If(is_of_client, TRUST_CLIENTS),
    ),
    row("untrusted-root", CLIENTS, Says::Always(TRUST)),
    row("untrusted-root", SERVERS, Says::Always(TRUST_CLIENTS)),
    row(
        "self-signed",
        BOTH,
        Says::If(
            is_of_client,
            "--client-ca FILE; `handfast ca issue --client NAME`",
        ),
    ),
    row(
        "self-signed",
        CLIENTS,
        Says::If(
            proves_client,
            "--cacert FILE; `handfast ca issue --client NAME`",
        ),
    ),
    row(
        "self-signed",
        CLIENTS,
        Says::Always("--cacert FILE; `handfast ca issue`"),
    ),
    row(
        "self-signed",
        SERVERS,
        Says::Always("--client-ca FILE; `handfast ca issue --client NAME`"),
    ),
    row("plain-http", &["get"], Says::Always("or --allow-http")),
    row(
        "unsupported-content-coding",
        &["get"],
        Says::Always("leave out --compressed"),
    ),
    row(
        "broken-content-coding",
        &["get"],
        Says::Always("leave out --compressed"),
    ),
    row(
        "decompression-bomb",
        &["get"],
        Says::Always("--max-filesize BYTES"),
    ),
    row(
        "response-too-large",
        &["get"],
        Says::Always("--max-filesize BYTES"),
    ),
    row("likely-interception", CLIENTS, Says::Always(TRUST)),
    row(
        "trusted-issuer-unusable",
        BOTH,
        Says::If(is_of_client, TRUST_CLIENTS),
    ),
    row("trusted-issuer-unusable", CLIENTS, Says::Always(TRUST)),
    row(
        "trusted-issuer-unusable",
        SERVERS,
        Says::Always(TRUST_CLIENTS),
    ),
    row(
        "issuer-not-a-ca",
        BOTH,
        Says::If(is_of_client_and_trusted_alone, TRUST_CLIENTS),
    ),
    row(
        "issuer-not-a-ca",
        CLIENTS,
        Says::If(is_trusted_alone, TRUST),
    ),
    row(
        "issuer-not-a-ca",
        SERVERS,
        Says::If(is_trusted_alone, TRUST_CLIENTS),
    ),
    row("bad-signature", BOTH, Says::If(is_of_client, TRUST_CLIENTS)),
    row("bad-signature", CLIENTS, Says::Always(TRUST)),
    row("bad-signature", SERVERS, Says::Always(TRUST_CLIENTS)),
    row(
        "certificate-expired",
        BOTH,
        Says::If(is_of_client_s_anchor, TRUST_CLIENTS),
    ),
    row(
        "certificate-expired",
        CLIENTS,
        Says::If(is_of_anchor, TRUST),
    ),
    row(
        "certificate-expired",
        SERVERS,
        Says::If(is_of_anchor, TRUST_CLIENTS),
    ),
    row(
        "wrong-key-usage",
        BOTH,
        Says::If(is_of_client_s_anchor, TRUST_CLIENTS),
    ),
    row("wrong-key-usage", CLIENTS, Says::If(is_of_anchor, TRUST)),
    row(
        "wrong-key-usage",
        SERVERS,
        Says::If(is_of_anchor, TRUST_CLIENTS),
    ),
    row(
        "unknown-critical-extension",
        BOTH,
        Says::If(is_of_client_s_anchor, TRUST_CLIENTS),
    ),
    row(
        "unknown-critical-extension",
        CLIENTS,
        Says::If(is_of_anchor, TRUST),
    ),
    row(
        "unknown-critical-extension",
        SERVERS,
        Says::If(is_of_anchor, TRUST_CLIENTS),
    ),
    row("chain-too-deep", CLIENTS, Says::Of(depth)),
    row("chain-too-deep", SERVERS, Says::Of(depth)),
    row(
        "chain-too-deep",
        BOTH,
        Says::If(is_of_client, TRUST_CLIENTS),
    ),
    row("chain-too-deep", CLIENTS, Says::Always(TRUST)),
    row("chain-too-deep", SERVERS, Says::Always(TRUST_CLIENTS)),
    row("revocation-unknown", CLIENTS, Says::If(lacks_list, LISTS)),
    row("revocation-unknown", SERVERS, Says::If(lacks_list, LISTS)),
    row("crl-expired", CLIENTS, Says::Always(LISTS)),
    row("crl-expired", SERVERS, Says::Always(LISTS)),
    row("crl-unusable", CLIENTS, Says::If(has_damaged_list, LISTS)),
    row("crl-unusable", SERVERS, Says::If(has_damaged_list, LISTS)),
    row(
        "name-mismatch",
        &["inspect"],
        Says::If(goes_by_another_name, "--name NAME"),
    ),
    row(
        "ip-address-not-listed",
        &["inspect"],
        Says::If(goes_by_another_name, "--name NAME"),
    ),
    row("wrong-purpose", &["inspect"], Says::InsteadOf(as_client_s)),
    row(
        "issuer-distrusted-by-client",
        &["serve", "connect", "demo"],
        Says::Always("`handfast get --cacert FILE`"),
    ),
    row("not-tls", &["connect", "inspect"], Says::Of(starttls)),
    row(
        "client-certificate-required",
        CLIENTS,
        Says::Always("--cert FILE --key FILE"),
    ),
    row(
        "private-key-missing",
        PASSPHRASES,
        Says::Always("--key FILE"),
    ),
    row(
        "protocol-version",
        &["get", "connect", "bench"],
        Says::Of(another_version),
    ),
    row(
        "passphrase-needed",
        PASSPHRASES,
        Says::Always("--pass SOURCE"),
    ),
    row(
        "passphrase-unavailable",
        PASSPHRASES,
        Says::Always("--pass: env:VAR, file:PATH, fd:N, stdin or a prompt"),
    ),
    row(
        "proxy-not-resolved",
        PROXIED,
        Says::Always("--proxy, https_proxy"),
    ),
    row(
        "proxy-unreachable",
        PROXIED,
        Says::Always("--proxy, https_proxy"),
    ),
    row(
        "proxy-refused",
        PROXIED,
        Says::If(could_do_without_proxy, "--noproxy, no_proxy"),
    ),
    row(
        "proxy-authentication-required",
        PROXIED,
        Says::If(proxy_takes_basic, "--proxy-user"),
    ),
    row(
        "proxy-authentication-required",
        &["get"],
        Says::If(proxy_takes_digest, "--proxy-user, --proxy-digest"),
    ),
    row(
        "too-many-redirects",
        &["get"],
        Says::Always("-v, --max-redirs COUNT"),
    ),
    row(
        "stream-reset",
        &["get"],
        Says::If(requires_http1, "--http1.1"),
    ),
    row("go-away", &["get"], Says::If(requires_http1, "--http1.1")),
    row(
        "ca-exists",
        CA,
        Says::Instead(
            "use it as it is (`handfast ca show`), or give another directory with --ca-dir DIR",
        ),
    ),
    row(
        "ca-missing",
        CA,
        Says::Instead(
            "make one with `handfast ca init`, or name the right directory with --ca-dir DIR",
        ),
    ),
    row(
        "ca-missing",
        SERVERS,
        Says::Instead("make one with `handfast ca init`, or name the right directory"),
    ),
    row(
        "ca-directory-in-use",
        CA,
        Says::Instead("give a new or an empty directory with --ca-dir DIR"),
    ),
    row(
        "ca-name-not-permitted",
        CA,
        Says::InsteadOf(another_authority),
    ),
    row(
        "ca-invalid-name",
        CA,
        Says::Instead(
            "give host names or IP addresses; for a client, with --client, its name or mail address",
        ),
    ),
    row(
        "ca-file-exists",
        CA,
        Says::Instead("give another directory with --out DIR, or replace the files with --force"),
    ),
    row(
        "ca-output-is-authority",
        CA,
        Says::Instead("give another directory with --out DIR"),
    ),
    row(
        "ca-unknown-serial",
        CA,
        Says::Instead(
            "compare it with the list of `handfast ca show`; if the ledger was lost, give the file of the certificate, or the serial number with --lost",
        ),
    ),
    row(
        "ca-foreign-certificate",
        CA,
        Says::Instead("revoke it with the authority that issued it: --ca-dir DIR"),
    ),
    row(
        "ca-invalid-serial",
        CA,
        Says::Instead(
            "give the file of the certificate, NAME.pem, or the serial number from `handfast ca show`",
        ),
    ),
    row(
        "ca-file",
        CA,
        Says::Instead(
            "run it as the owner of the directory, or name another one with --ca-dir DIR or --out DIR",
        ),
    ),
];

/// The command that is running; none in tests, which are given what any command would say.
static RUNNING: OnceLock<&'static str> = OnceLock::new();

/// From here on this command is running.
pub(crate) fn begin(command: &'static str) {
    // A program runs one.
    let _ = RUNNING.set(command);
}

/// What a library says of its failure, with the options of the running command.
pub(crate) trait Advised {
    fn advise(&self) -> Explanation;
}

impl Advised for Error {
    fn advise(&self) -> Explanation {
        with_options(self.explain(), Failed::Tls(self))
    }
}

impl Advised for handfast_dial::Error {
    fn advise(&self) -> Explanation {
        with_options(self.explain(), Failed::Dial(self))
    }
}

impl Advised for ConnectError {
    fn advise(&self) -> Explanation {
        match self {
            Self::Dial(error) => error.advise(),
            Self::Tls(error) => error.advise(),
            other => other.explain(),
        }
    }
}

impl Advised for client::Error {
    fn advise(&self) -> Explanation {
        match self {
            Self::Dial(error) => error.advise(),
            Self::Connection(error) => error.advise(),
            other => with_options(other.explain(), Failed::Exchange(other)),
        }
    }
}

/// What a library says of its failure, with the options of the running command.
pub(crate) fn with_options(explanation: Explanation, failed: Failed<'_>) -> Explanation {
    add(explanation, failed, RUNNING.get().copied())
}

fn add(mut explanation: Explanation, failed: Failed<'_>, command: Option<&str>) -> Explanation {
    let Some(fix) = explanation.fix.last_mut() else {
        return explanation;
    };
    let beside = |options: String| format!("{fix} ({options})");
    let rows = match failed {
        Failed::Exchange(client::Error::ProxyTls { .. }) => PROXY_ROWS,
        _ => ROWS,
    };
    let advised = rows
        .iter()
        .filter(|row| row.id == explanation.id)
        .filter(|row| command.is_none_or(|command| row.commands.contains(&command)))
        .find_map(|row| match row.says {
            Says::Always(options) => Some(beside(options.to_owned())),
            Says::If(holds, options) => holds(failed).then(|| beside(options.to_owned())),
            Says::Of(options) => options(failed).map(beside),
            Says::Instead(fix) => Some(fix.to_owned()),
            Says::InsteadOf(fix) => fix(failed),
        });
    if let Some(advised) = advised {
        *fix = advised;
    }
    explanation
}

fn refused<'e>(failed: Failed<'e>) -> Option<&'e VerifyError> {
    match failed {
        Failed::Tls(error) => match error.cause() {
            Cause::Peer(PeerCause::Certificate(refused)) => Some(refused),
            _ => None,
        },
        _ => None,
    }
}

fn proves_client(failed: Failed<'_>) -> bool {
    refused(failed).is_some_and(|refused| refused.purpose == Purpose::ClientAuth)
}

/// A client's chain in a handshake, not one in a file.
fn is_of_client(failed: Failed<'_>) -> bool {
    let is_in_file = matches!(failed, Failed::Tls(error) if error.phase() == Phase::Configure);
    proves_client(failed) && !is_in_file
}

/// Authorities of this program have a name that begins so, unless another was chosen.
fn local_authority(failed: Failed<'_>) -> Option<String> {
    let VerifyCause::UnknownIssuer { issuer, .. } = &refused(failed)?.cause else {
        return None;
    };
    issuer.starts_with("CN=handfast local CA").then(|| {
        "this is the local authority of a handfast server: `handfast ca show` there names its ca.pem; copy it, and give --cacert FILE"
            .to_owned()
    })
}

fn is_of_anchor(failed: Failed<'_>) -> bool {
    refused(failed).is_some_and(|refused| refused.at_index.is_none())
}

fn is_of_client_s_anchor(failed: Failed<'_>) -> bool {
    is_of_client(failed) && is_of_anchor(failed)
}

fn is_trusted_alone(failed: Failed<'_>) -> bool {
    refused(failed).is_some_and(|refused| {
        matches!(
            refused.cause,
            VerifyCause::NotACa {
                is_trusted_as_itself: true,
                ..
            }
        )
    })
}

fn is_of_client_and_trusted_alone(failed: Failed<'_>) -> bool {
    is_of_client(failed) && is_trusted_alone(failed)
}

/// A larger limit helps only where it can be set.
fn depth(failed: Failed<'_>) -> Option<String> {
    match refused(failed)?.cause {
        VerifyCause::DepthExceeded { depth, depth_max }
            if depth_max < depth && depth <= CHAIN_DEPTH_LIMIT =>
        {
            Some(format!("--depth {depth}"))
        }
        _ => None,
    }
}

/// Not a list that is from the future by this machine's clock.
fn lacks_list(failed: Failed<'_>) -> bool {
    refused(failed).is_some_and(|refused| match &refused.cause {
        VerifyCause::RevocationUnknown { uncounted, .. } => !uncounted
            .iter()
            .any(|one| matches!(one.reason, Uncounted::FromTheFuture { .. })),
        _ => false,
    })
}

fn has_damaged_list(failed: Failed<'_>) -> bool {
    refused(failed).is_some_and(|refused| {
        matches!(
            refused.cause,
            VerifyCause::CrlUnusable {
                fault: handfast::CrlFault::WrongSignature,
                ..
            }
        )
    })
}

/// A client's certificate in a file, which was verified as a server's.
fn as_client_s(failed: Failed<'_>) -> Option<String> {
    let is_in_file = matches!(failed, Failed::Tls(error) if error.phase() == Phase::Configure);
    let refused = refused(failed).filter(|refused| is_in_file && refused.at_index == Some(0))?;
    let VerifyCause::ExtendedKeyUsage { presented, .. } = &refused.cause else {
        return None;
    };
    let is_client_s = presented.iter().any(|purpose| purpose == "clientAuth");
    (is_client_s && refused.purpose == Purpose::ServerAuth).then(|| {
        "if it is meant for a client, check it with --purpose client; a server needs a certificate whose purpose is serverAuth"
            .to_owned()
    })
}

fn goes_by_another_name(failed: Failed<'_>) -> bool {
    let is_in_file = matches!(failed, Failed::Tls(error) if error.phase() == Phase::Configure);
    is_in_file && refused(failed).is_some_and(VerifyError::goes_by_another_name)
}

fn starttls(failed: Failed<'_>) -> Option<String> {
    let Failed::Tls(error) = failed else {
        return None;
    };
    let Cause::Peer(PeerCause::NotTls { first_bytes }) = error.cause() else {
        return None;
    };
    let protocol = match PlainProtocol::of(first_bytes)? {
        PlainProtocol::Smtp => StartTls::Smtp,
        PlainProtocol::Ftp => StartTls::Ftp,
        PlainProtocol::Imap => StartTls::Imap,
        PlainProtocol::Pop3 => StartTls::Pop3,
        PlainProtocol::Nntp => StartTls::Nntp,
        PlainProtocol::Xmpp => StartTls::Xmpp,
        PlainProtocol::ManageSieve => StartTls::Sieve,
        PlainProtocol::MySql => StartTls::Mysql,
        PlainProtocol::PostgreSql => StartTls::Postgres,
        _ => return None,
    };
    Some(format!("--starttls {}", protocol.name()))
}

/// If the server speaks a version that an option excludes, as a probe has found.
fn another_version(failed: Failed<'_>) -> Option<String> {
    let Failed::Tls(error) = failed else {
        return None;
    };
    let excluding = match error.cause() {
        Cause::Peer(PeerCause::ProtocolVersion {
            theirs: Some(theirs),
            ..
        }) => match theirs {
            WireVersion::Tls12 => "--tlsv1.3",
            WireVersion::Tls13 => "--tls-max",
            _ => return None,
        },
        _ => return None,
    };
    Some(format!("leave out {excluding}"))
}

fn another_authority(failed: Failed<'_>) -> Option<String> {
    let Failed::Authority(CaError::NotPermitted { name, .. }) = failed else {
        return None;
    };
    let name = name.strip_prefix("*.").unwrap_or(name);
    Some(format!(
        "what an authority may sign for is fixed when it is made: make another one with `handfast ca init --permit {name} --ca-dir DIR`"
    ))
}

fn proxy_problem<'e>(failed: Failed<'e>) -> Option<&'e ProxyProblem> {
    match failed {
        Failed::Dial(error) => match error.cause() {
            handfast_dial::Cause::Proxy(error) => Some(&error.problem),
            _ => None,
        },
        _ => None,
    }
}

/// It did not fail because the proxy could not reach the server.
fn could_do_without_proxy(failed: Failed<'_>) -> bool {
    !matches!(
        proxy_problem(failed),
        Some(
            ProxyProblem::Refused {
                status: 502..=504,
                ..
            } | ProxyProblem::SocksRefused { reply: 3..=6 | 8 }
        )
    )
}

fn proxy_takes_basic(failed: Failed<'_>) -> bool {
    proxy_problem(failed).is_some_and(ProxyProblem::takes_basic)
}

fn proxy_takes_digest(failed: Failed<'_>) -> bool {
    proxy_problem(failed).is_some_and(ProxyProblem::takes_digest)
}

fn requires_http1(failed: Failed<'_>) -> bool {
    matches!(failed, Failed::Exchange(error) if error.requires_http1())
}

#[cfg(test)]
mod tests;
