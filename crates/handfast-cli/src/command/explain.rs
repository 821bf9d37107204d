//! `handfast explain`: the pages of causes/, one for each error id.

use std::io::{self, Write};
use std::process::ExitCode;

use handfast::escape_control;

use crate::failure::Failure;
use crate::output::{Palette, Tone};

/// Explain an error's id: meaning, how to confirm it, how to fix it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The id in brackets at the end of an error message; without it, all ids are listed
    #[arg(value_name = "ID")]
    id: Option<String>,
}

macro_rules! pages {
    ($($id:literal),+ $(,)?) => {
        &[$(($id, include_str!(concat!("../../causes/", $id, ".md")))),+]
    };
}

/// Each id with its page.
const PAGES: &[(&str, &str)] = pages![
    "address-in-use",
    "address-not-available",
    "address-not-permitted",
    "alert-received",
    "audit-file-unusable",
    "bad-record",
    "bad-signature",
    "binary-output",
    "broken-content-coding",
    "ca-busy",
    "ca-crypto",
    "ca-directory-in-use",
    "ca-empty-passphrase",
    "ca-exists",
    "ca-expired",
    "ca-file",
    "ca-file-exists",
    "ca-foreign-certificate",
    "ca-invalid-days",
    "ca-invalid-name",
    "ca-invalid-permit",
    "ca-invalid-serial",
    "ca-key-exposed",
    "ca-key-mismatch",
    "ca-malformed-file",
    "ca-missing",
    "ca-name-not-permitted",
    "ca-no-name",
    "ca-output-is-authority",
    "ca-own-certificate",
    "ca-several-subjects",
    "ca-unknown-serial",
    "ca-used-as-end-entity",
    "cannot-listen",
    "captive-portal",
    "certificate-expired",
    "certificate-expires-soon",
    "certificate-missing",
    "certificate-not-yet-valid",
    "certificate-refused-by-client",
    "certificate-request-given",
    "certificate-revoked",
    "certificate-validity-reversed",
    "chain-and-key-swapped",
    "chain-out-of-order",
    "chain-too-deep",
    "chain-too-large",
    "chain-unrelated-certificate",
    "channel-unusable",
    "check-failed",
    "client-certificate-missing",
    "client-certificate-refused",
    "client-certificate-required",
    "client-closed",
    "clock-skew",
    "closed-in-handshake",
    "closed-in-hello",
    "closed-without-a-byte",
    "configuration-invalid",
    "configuration-unreadable",
    "connection-refused",
    "crl-expired",
    "crl-file-malformed",
    "crl-file-unreadable",
    "crl-file-unusable",
    "crl-file-without-list",
    "crl-unusable",
    "decompression-bomb",
    "demo-failed",
    "digest-mismatch",
    "distrusted-key",
    "download-running",
    "ech-rejected",
    "empty-reply",
    "file-unusable",
    "go-away",
    "http-status",
    "identity-empty",
    "identity-indefinite-lengths",
    "identity-malformed-der",
    "identity-malformed-pem",
    "identity-missing",
    "identity-too-large",
    "identity-unreadable",
    "identity-unrecognised",
    "inherited-socket-missing",
    "inherited-socket-unusable",
    "input-not-sent",
    "input-unreadable",
    "internal",
    "invalid-address",
    "invalid-redirect",
    "invalid-request",
    "invalid-server-name",
    "invalid-url",
    "ip-address-not-listed",
    "issuer-distrusted-by-client",
    "issuer-not-a-ca",
    "key-format-left-out",
    "key-mismatch",
    "key-parameters-only",
    "key-size-refused",
    "key-worn-out",
    "likely-interception",
    "local-end-unusable",
    "local-ports-used-up",
    "log-unusable",
    "malformed-certificate",
    "malformed-response",
    "message-too-large",
    "missing-intermediate",
    "name-constraint",
    "name-mismatch",
    "name-needed",
    "name-not-resolved",
    "name-unrecognised",
    "no-application-protocol",
    "no-certificate",
    "no-data-directory",
    "no-directory",
    "no-randomness",
    "no-remote-name",
    "no-runtime",
    "no-shared-cipher-suite",
    "no-shared-group",
    "no-shared-signature-scheme",
    "no-signals",
    "no-subject-alt-name",
    "no-trust-anchors",
    "no-valid-policy",
    "not-confined",
    "not-tls",
    "nothing-left-to-negotiate",
    "output-closed",
    "output-unwritable",
    "passphrase-needed",
    "passphrase-unavailable",
    "path-too-complex",
    "path-too-long",
    "pin-mismatch",
    "plain-http",
    "premature-end",
    "private-key-missing",
    "protocol-version",
    "protocol-violation",
    "proxy-authentication-required",
    "proxy-ended",
    "proxy-needs-ipv4",
    "proxy-needs-tls",
    "proxy-not-http",
    "proxy-not-resolved",
    "proxy-not-socks",
    "proxy-refused",
    "proxy-request-too-long",
    "proxy-unreachable",
    "public-key-given",
    "range-not-sent",
    "redirect-to-plain-http",
    "refused-by-application",
    "renegotiation-refused",
    "reset",
    "reset-in-handshake",
    "response-too-large",
    "revocation-unknown",
    "self-signed",
    "server-stopping",
    "several-private-keys",
    "signature-algorithm-mismatch",
    "signing-failed",
    "starttls-already-tls",
    "starttls-client-refused",
    "starttls-ended",
    "starttls-injection",
    "starttls-not-offered",
    "starttls-refused",
    "starttls-unexpected-answer",
    "stream-reset",
    "takeover-failed",
    "timed-out",
    "too-many-open-files",
    "too-many-redirects",
    "transport-error",
    "truncated",
    "trust-file-holds-something-else",
    "trust-file-malformed",
    "trust-file-openssl-trusted",
    "trust-file-unreadable",
    "trust-file-unusable",
    "trust-file-without-certificate",
    "trust-store-file",
    "trust-store-locked",
    "trust-store-made-from-system",
    "trust-store-name-taken",
    "trust-store-needs-root",
    "trust-store-not-found",
    "trust-store-not-in-effect",
    "trust-store-other-owner",
    "trust-store-tool-failed",
    "trust-store-tool-missing",
    "trusted-issuer-unusable",
    "unclean-end",
    "unknown-critical-extension",
    "unknown-issuer",
    "unknown-name",
    "unreachable",
    "unrecognised",
    "unsupported-certificate-version",
    "unsupported-content-coding",
    "unsupported-key",
    "unsupported-key-encryption",
    "unsupported-key-type",
    "unsupported-scheme",
    "unsupported-signature",
    "untrusted-root",
    "upload-failed",
    "usage",
    "used-after-end",
    "verifiers-disagree",
    "weak-key",
    "weak-signature",
    "wrong-key-usage",
    "wrong-passphrase",
    "wrong-purpose",
];

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let palette = Palette::stdout();
    let text = match &args.id {
        None => list(palette),
        Some(id) => {
            // It may be copied from a message with brackets.
            let id = id.trim_matches(['[', ']']);
            match PAGES.iter().find(|(known, _)| *known == id) {
                Some((_, page)) => painted(page, palette),
                None => return Err(unknown(id)),
            }
        }
    };
    // A closed pipe is no failure.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Every id and the first sentence of its page.
fn list(palette: Palette) -> String {
    PAGES
        .iter()
        .map(|(id, page)| {
            let id = palette.paint(Tone::Heading, id);
            format!("{id}\n    {}\n", first_sentence(page))
        })
        .collect()
}

fn first_sentence(page: &str) -> String {
    let body: Vec<&str> = page
        .lines()
        .skip_while(|line| line.is_empty() || line.starts_with('#'))
        .take_while(|line| !line.is_empty())
        .collect();
    let body = body.join(" ");
    let end = body.find(". ").map_or(body.len(), |dot| dot + 1);
    body.get(..end).unwrap_or_default().to_owned()
}

/// The page as text: headings are coloured instead of marked.
fn painted(page: &str, palette: Palette) -> String {
    page.lines()
        .map(|line| {
            let heading = line.trim_start_matches('#');
            if heading.len() == line.len() {
                format!("{line}\n")
            } else {
                format!("{}\n", palette.paint(Tone::Heading, heading.trim_start()))
            }
        })
        .collect()
}

fn unknown(id: &str) -> Failure {
    let what = format!("no page explains `{}`", escape_control(id));
    let parts: Vec<&str> = id.split('-').filter(|part| part.len() > 2).collect();
    let near: Vec<&str> = PAGES
        .iter()
        .map(|(known, _)| *known)
        .filter(|known| parts.iter().any(|part| known.contains(part)))
        .take(5)
        .collect();
    let fix = match near.is_empty() {
        true => "`handfast explain` lists all of them".to_owned(),
        false => format!("perhaps one of: {}", near.join(", ")),
    };
    Failure::usage(what, fix)
}

/// Whether something is explained by this id.
#[cfg(test)]
pub(crate) fn has_page(id: &str) -> bool {
    PAGES.iter().any(|(known, _)| *known == id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn sources(directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                // Tests use their own ids.
                let code = text
                    .split("#[cfg(test)]\nmod tests {")
                    .next()
                    .unwrap_or_default();
                found.push(code.to_owned());
            }
        }
    }

    fn is_id(text: &str) -> bool {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !text.is_empty() && text.chars().all(allowed)
    }

    /// The string literals in a piece of code.
    fn literals(code: &str) -> impl Iterator<Item = &str> {
        code.split('"').skip(1).step_by(2)
    }

    /// The ids that a crate's code can tell: what `fn id` returns, the first of each pair in
    /// `fn told`, the first argument of `Explanation::new`, and in the library's match what looks like one.
    fn ids_of(crate_name: &str) -> BTreeSet<String> {
        let mut all = Vec::new();
        sources(
            &root().join("crates").join(crate_name).join("src"),
            &mut all,
        );
        let mut ids = BTreeSet::new();
        for code in &all {
            for body in code.split("fn id(&self) -> &'static str {").skip(1) {
                let body = body.split("\n    }\n").next().unwrap_or_default();
                ids.extend(literals(body).filter(|text| is_id(text)).map(str::to_owned));
            }
            for rest in code
                .split("Explanation::new(")
                .chain(code.split("Text::new("))
                .chain(code.split("const ID: &str ="))
            {
                let rest = rest.trim_start();
                if rest.starts_with('"') {
                    let first = literals(rest).next().filter(|text| is_id(text));
                    ids.extend(first.map(str::to_owned));
                }
            }
            if code.contains("Text::new(") {
                let looks_like_one = |text: &&str| is_id(text) && text.contains('-');
                ids.extend(literals(code).filter(looks_like_one).map(str::to_owned));
            }
            if let Some((_, told)) = code.split_once("fn told(") {
                let told = told.split("\n}\n").next().unwrap_or_default();
                for rest in told.split('(').skip(1) {
                    let rest = rest.trim_start();
                    if rest.starts_with('"') {
                        let first = literals(rest).next().filter(|text| is_id(text));
                        ids.extend(first.map(str::to_owned));
                    }
                }
            }
        }
        ids
    }

    #[test]
    fn every_id_has_a_page() {
        let known: BTreeSet<String> = PAGES.iter().map(|(id, _)| (*id).to_owned()).collect();
        let library = ids_of("handfast");
        for id in [
            "certificate-expired",
            "timed-out",
            "key-mismatch",
            "not-tls",
            "internal",
        ] {
            assert!(library.contains(id), "the search misses {id}");
        }
        assert!(
            library.len() > 80,
            "the search finds too little: {library:?}"
        );
        let mut told = library;
        for crate_name in [
            "handfast-dial",
            "handfast-probe",
            "handfast-https",
            "handfast-load",
        ] {
            told.extend(ids_of(crate_name));
        }
        told.extend(ids_of("handfast-ca"));
        // The text of each error is compared with a golden file.
        let texts = [
            "handfast/tests/explanations",
            "handfast-dial/tests/explanations",
            "handfast-probe/tests/explanations",
            "handfast-https/tests/explanations/client",
            "handfast-load/tests/explanations",
            "handfast-cli/tests/explanations",
        ]
        .map(|directory| root().join("crates").join(directory));
        for id in &told {
            let mut files = texts.iter().map(|texts| texts.join(format!("{id}.txt")));
            assert!(files.any(|file| file.is_file()), "no text for {id}");
        }
        let program = ids_of("handfast-cli");
        assert!(program.contains("no-remote-name"), "{program:?}");
        told.extend(program);
        let missing: Vec<&String> = told.difference(&known).collect();
        assert!(missing.is_empty(), "no page for {missing:?}");
        let unused: Vec<&String> = known.difference(&told).collect();
        assert!(unused.is_empty(), "unused: {unused:?}");
    }

    #[test]
    fn every_page_is_in_the_program_and_complete() {
        let mut files: Vec<String> = fs::read_dir(root().join("crates/handfast-cli/causes"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        files.sort();
        let known: Vec<&str> = PAGES.iter().map(|(id, _)| *id).collect();
        assert_eq!(files, known, "sorted, and one for each file");
        for (id, page) in PAGES {
            assert!(page.starts_with(&format!("# {id}\n")), "{id}");
            assert!(page.contains("\n## How to fix it\n"), "{id}");
            assert!(!first_sentence(page).is_empty(), "{id}");
            for advice in ["--insecure", "accept_any", " -k "] {
                assert!(!page.contains(advice), "{id} advises to verify less");
            }
        }
    }

    #[test]
    fn unknown_ids_lead_to_near_ones() {
        let failure = unknown("expired-certificate");
        assert!(
            failure.to_string().contains("certificate-expired"),
            "{failure}"
        );
        assert!(!unknown("\u{1b}[2J").to_string().contains('\u{1b}'));
        assert_eq!(
            first_sentence("# a\n\nOne\ntwo. Three.\n\n## b\n"),
            "One two."
        );
    }
}
