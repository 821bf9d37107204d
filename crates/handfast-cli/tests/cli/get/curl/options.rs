//! curl's options, each with what it is here.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use handfast_testbed::launch::Finished;

use super::row::words;
use super::topics;
use crate::common::Fixture;

/// What an option is here, if it is there. Those that are not listed are not there.
enum Here {
    /// As with curl: rows of the table show it.
    Same,
    /// The same, with this difference.
    But(&'static str),
}

use Here::{But, Same};

const OPTIONS: &[(&str, Here)] = &[
    (
        "haproxy-protocol",
        But("as with curl, beside which it is run in a test of its own"),
    ),
    (
        "preproxy",
        But("alone it is the proxy, of SOCKS4 without a scheme"),
    ),
    ("proxy-anyauth", Same),
    ("proxy-basic", Same),
    (
        "proxy-capath",
        But("for proxies over TLS; the files of DIR need no names made of hashes"),
    ),
    (
        "proxy-cert-type",
        But("accepted without effect: the format is recognised"),
    ),
    (
        "proxy-ciphers",
        But("for proxies over TLS, by OpenSSL's names or IANA's"),
    ),
    ("proxy-crlfile", But("for proxies over TLS")),
    ("proxy-digest", But("also SHA-512/256")),
    (
        "proxy-key-type",
        But("accepted without effect: the format is recognised"),
    ),
    ("proxy-pinnedpubkey", But("for proxies over TLS")),
    ("proxy-tls13-ciphers", But("for proxies over TLS")),
    ("proxy-tlsv1", But("the earliest that is spoken is 1.2")),
    (
        "socks4",
        But("as with curl, beside which it is run in a test of its own"),
    ),
    ("socks4a", But("an IP address is sent as an address")),
    (
        "socks5",
        But("a name that does not resolve is exit code 6 (curl: 97)"),
    ),
    (
        "socks5-basic",
        But("as with curl, beside which it is run in a test of its own"),
    ),
    (
        "socks5-hostname",
        But("as with curl, beside which it is run in a test of its own"),
    ),
    ("abstract-unix-socket", Same),
    (
        "anyauth",
        But("Digest or Basic, as the server asks; NTLM and Negotiate are not spoken"),
    ),
    ("basic", Same),
    ("cacert", Same),
    (
        "capath",
        But("the files of DIR need no names made of hashes"),
    ),
    (
        "cert",
        But(
            "may be given several times: the server gets the first that it accepts; formats are recognised",
        ),
    ),
    ("cert-type", But("PEM, DER and P12; not ENG")),
    (
        "ciphers",
        But(
            "suites of TLS 1.2 that are current, by OpenSSL's names or IANA's; others are left out, with a warning",
        ),
    ),
    ("compressed", Same),
    (
        "config",
        But(
            "the user's own file is `handfast/get` in the directory of configuration files, not ~/.curlrc",
        ),
    ),
    (
        "connect-timeout",
        But("without it, 10 seconds for each step; with curl 5 minutes"),
    ),
    ("connect-to", Same),
    (
        "continue-at",
        But(
            "with `-`, goes on with FILE.part of a transfer that was cut off, and only if the file on the server is the same; otherwise starts over",
        ),
    ),
    ("cookie", Same),
    (
        "cookie-jar",
        But("written whole or not at all, readable by its owner alone"),
    ),
    ("create-dirs", Same),
    (
        "crlfile",
        But(
            "the same as --crl: certificates are checked against the lists that are there; not every authority needs one",
        ),
    ),
    (
        "curves",
        But("X25519, P-256, P-384 and hybrids with ML-KEM"),
    ),
    ("data", Same),
    ("data-ascii", Same),
    ("data-binary", Same),
    ("data-raw", Same),
    ("data-urlencode", Same),
    ("digest", But("over HTTPS only; SHA-256 and MD5")),
    ("disable", Same),
    ("disallow-username-in-url", Same),
    ("dump-header", But("names of fields are in lower case")),
    ("etag-compare", Same),
    ("etag-save", Same),
    ("fail", Same),
    ("fail-early", Same),
    ("fail-with-body", Same),
    ("form", Same),
    ("form-string", Same),
    ("get", Same),
    ("globoff", Same),
    ("head", Same),
    ("header", Same),
    ("help", But("of all options; there are no categories")),
    ("http1.1", Same),
    ("http2", Same),
    (
        "http2-prior-knowledge",
        But("the same as --http2: over TLS the server chooses (ALPN)"),
    ),
    (
        "include",
        But("names of fields are in lower case; trailer fields are shown too"),
    ),
    (
        "insecure",
        But("what verification would have said is told on stderr"),
    ),
    ("interface", Same),
    ("ipv4", Same),
    ("ipv6", Same),
    ("json", Same),
    ("junk-session-cookies", Same),
    (
        "keepalive-time",
        But("accepted without effect: silence has a limit (-m, -y)"),
    ),
    ("key", Same),
    ("key-type", But("PEM, DER and P12; not ENG")),
    ("limit-rate", Same),
    ("local-port", Same),
    (
        "location",
        But("not from https to http, unless --proto-redir names http"),
    ),
    ("location-trusted", Same),
    (
        "max-filesize",
        But("also of the decoded body, and of bodies whose length is not announced"),
    ),
    ("max-redirs", Same),
    (
        "max-time",
        But("without it, a transfer ends after 60 seconds without data"),
    ),
    ("netrc", Same),
    ("netrc-file", Same),
    ("netrc-optional", Same),
    ("next", Same),
    ("no-buffer", Same),
    ("no-clobber", Same),
    ("no-keepalive", Same),
    ("no-npn", Same),
    ("no-progress-meter", Same),
    ("noproxy", But("also networks, such as 10.0.0.0/8")),
    ("oauth2-bearer", Same),
    ("output", But("the file is FILE.part until it is complete")),
    ("output-dir", Same),
    ("parallel", Same),
    ("parallel-immediate", But("accepted without effect")),
    ("parallel-max", Same),
    (
        "pass",
        But(
            "also env:VAR, file:PATH, fd:N, stdin and prompt, which keep the passphrase out of the process list",
        ),
    ),
    (
        "pinnedpubkey",
        But("also with -k: the server's own key is compared"),
    ),
    ("post301", Same),
    ("post302", Same),
    ("post303", Same),
    ("progress-bar", But("on a terminal only")),
    (
        "proto",
        But("of https and http; http takes --allow-http too"),
    ),
    ("proto-default", But("https only, as without it")),
    ("proto-redir", But("of https and http")),
    ("proxy", But("an unknown scheme is a wrong argument")),
    ("proxy-cacert", But("for proxies over TLS")),
    ("proxy-cert", But("for proxies over TLS")),
    ("proxy-header", Same),
    (
        "proxy-insecure",
        But("for proxies over TLS, with a warning"),
    ),
    ("proxy-key", But("for proxies over TLS")),
    (
        "proxy-pass",
        But(
            "also env:VAR, file:PATH, fd:N, stdin and prompt, which keep the passphrase out of the process list",
        ),
    ),
    ("proxy-user", Same),
    ("proxytunnel", Same),
    ("range", Same),
    ("referer", Same),
    ("remote-header-name", Same),
    ("remote-name", Same),
    ("remote-name-all", Same),
    ("remote-time", Same),
    ("remove-on-error", Same),
    ("request", But("a redirect may change it, as without -X")),
    ("resolve", Same),
    (
        "retry",
        But("also goes on with a file that was cut off, where it stopped"),
    ),
    ("retry-all-errors", Same),
    ("retry-connrefused", Same),
    ("retry-delay", Same),
    ("retry-max-time", Same),
    ("show-error", Same),
    ("silent", Same),
    ("speed-limit", Same),
    ("speed-time", Same),
    (
        "ssl",
        But("accepted without effect: TLS is always required"),
    ),
    ("ssl-reqd", Same),
    (
        "styled-output",
        But("accepted without effect; --color says when to use colours"),
    ),
    (
        "suppress-connect-headers",
        But("accepted without effect: they are never shown"),
    ),
    ("tcp-nodelay", Same),
    ("time-cond", Same),
    ("tls-max", But("1.2 and 1.3; 1.0 and 1.1 are refused")),
    ("tls13-ciphers", Same),
    ("tlsv1", Same),
    (
        "tlsv1.0",
        But("the same as --tlsv1.2: older versions are not spoken"),
    ),
    (
        "tlsv1.1",
        But("the same as --tlsv1.2: older versions are not spoken"),
    ),
    ("tlsv1.2", Same),
    ("tlsv1.3", Same),
    (
        "trace",
        But("without secrets: credentials and cookies are hidden"),
    ),
    (
        "trace-ascii",
        But("without secrets: credentials and cookies are hidden"),
    ),
    ("trace-time", But("in UTC")),
    ("unix-socket", Same),
    (
        "upload-file",
        But("small files are sent at once; curl 7 asks first (Expect: 100-continue)"),
    ),
    ("url", Same),
    ("url-query", Same),
    ("use-ascii", But("accepted without effect")),
    ("user", Same),
    ("user-agent", Same),
    ("verbose", But("other lines: what happens, phase by phase")),
    ("version", But("the version of handfast")),
    ("write-out", Same),
];

/// An option of the list that curl prints.
struct Listed {
    short: Option<char>,
    long: String,
    takes_value: bool,
}

/// `curl --help all`; nothing without curl.
fn listed() -> Vec<Listed> {
    let Some(curl) = super::curl() else {
        return Vec::new();
    };
    let text = curl.args(["--help", "all"]).run().out();
    let lines = text.lines().filter_map(|line| {
        let (front, rest) = line.split_once("--")?;
        let long = rest.split(' ').next()?.to_owned();
        let short = front.trim().trim_start_matches('-').chars().next();
        let behind = rest.get(long.len() + 1..)?;
        Some(Listed {
            short,
            takes_value: behind.starts_with(['<', '[']),
            long,
        })
    });
    lines.collect()
}

fn here(long: &str) -> Option<&'static Here> {
    let found = OPTIONS.iter().find(|(name, _)| *name == long);
    found.map(|(_, here)| here)
}

/// What `get` says to the option alone.
fn told(fixture: &Fixture, option: &Listed) -> Finished {
    let value = option.takes_value.then_some("1");
    let program = fixture.program("get").arg("-q");
    program.arg(format!("--{}", option.long)).args(value).run()
}

/// Why an option is not there, and what to use, as the program says it.
fn refusal(finished: &Finished, option: &Listed) -> String {
    let said = finished.err();
    let begin = format!("error: curl's '--{}' is not supported: ", option.long);
    let rest = said.strip_prefix(&begin);
    let parts = rest.and_then(|rest| {
        let (why, rest) = rest.split_once("\n\n  tip: ")?;
        Some(format!("{why}; {}", rest.lines().next()?))
    });
    assert_eq!(finished.code, Some(2), "--{}: {finished}", option.long);
    parts.unwrap_or_else(|| panic!("--{}: {finished}", option.long))
}

/// The options of the rows, by their long names.
fn of_rows(options: &[Listed]) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for row in topics::all() {
        for word in &words(row.line).args {
            if let Some(long) = word.strip_prefix("--") {
                let option = options.iter().find(|option| option.long == long);
                found.extend(option.map(|option| option.long.as_str()));
                continue;
            }
            for letter in word.strip_prefix('-').unwrap_or_default().chars() {
                let option = options.iter().find(|option| option.short == Some(letter));
                let Some(option) = option else { break };
                found.insert(option.long.as_str());
                if option.takes_value {
                    break;
                }
            }
        }
    }
    found
}

/// The table of options.
pub(super) fn table() -> String {
    let fixture = Fixture::new();
    let (mut same, mut but) = (Vec::new(), String::new());
    let mut but_count = 0;
    // Those that are refused with the same message stand together.
    let mut absent: Vec<(String, Vec<String>)> = Vec::new();
    for option in listed() {
        let name = match option.short {
            Some(letter) => format!("`-{letter}, --{}`", option.long),
            None => format!("`--{}`", option.long),
        };
        match here(&option.long) {
            Some(Same) => same.push(name),
            Some(But(how)) => {
                but_count += 1;
                writeln!(but, "| {name} | {} |", how.replace('|', "\\|")).unwrap();
            }
            None => {
                let why = refusal(&told(&fixture, &option), &option);
                match absent.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, names)) => names.push(name),
                    None => absent.push((why, vec![name])),
                }
            }
        }
    }
    let absent_count: usize = absent.iter().map(|(_, names)| names.len()).sum();
    let absent: String = absent
        .iter()
        .map(|(why, names)| format!("| {} | {} |\n", names.join(", "), why.replace('|', "\\|")))
        .collect();
    format!(
        "\n## Options\n\nThe options of `curl --help all`, version 7.88. {} are the same:\n\n{}.\n\n\
         {but_count} are there, with a difference:\n\n| option | difference |\n|---|---|\n{but}\n\
         {absent_count} are not there. They end with exit code 2 and this message:\n\n\
         | options | why, and what to use |\n|---|---|\n{absent}",
        same.len(),
        same.join(", ")
    )
}

#[test]
fn every_option_of_curl_is_there_or_refused_with_what_to_use() {
    let fixture = Fixture::new();
    let options = listed();
    let shown = of_rows(&options);
    let mut wrong = Vec::new();
    for option in &options {
        let finished = told(&fixture, option);
        let name = format!("--{}", option.long);
        let is_refused = finished.err().contains("is not supported")
            || finished.err().contains("unexpected argument");
        match here(&option.long) {
            None => drop(refusal(&finished, option)),
            Some(_) if is_refused => wrong.push(format!("{name} is not there: {finished}")),
            Some(Same) if !shown.contains(option.long.as_str()) => {
                wrong.push(format!("{name} is in no row"));
            }
            Some(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (name, _) in OPTIONS {
        let is_listed = options.iter().any(|option| option.long == *name);
        assert!(options.is_empty() || is_listed, "{name} is not curl's");
    }
}
