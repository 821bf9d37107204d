//! curl's options that are not there: why, and what to use. What they are typed for must not be guessed from the names of
//! ours.

/// Options that are not there for one reason.
struct Group {
    /// Long names, and the letters of those that have one.
    options: &'static [(&'static str, Option<char>)],
    why: &'static str,
    instead: &'static str,
}

const fn long(name: &'static str) -> (&'static str, Option<char>) {
    (name, None)
}

const GROUPS: &[Group] = &[
    Group {
        options: &[
            ("append", Some('a')),
            long("crlf"),
            long("disable-eprt"),
            long("disable-epsv"),
            long("ftp-account"),
            long("ftp-alternative-to-user"),
            long("ftp-create-dirs"),
            long("ftp-method"),
            long("ftp-pasv"),
            ("ftp-port", Some('P')),
            long("ftp-pret"),
            long("ftp-skip-pasv-ip"),
            long("ftp-ssl-ccc"),
            long("ftp-ssl-ccc-mode"),
            long("ftp-ssl-control"),
            ("list-only", Some('l')),
            ("quote", Some('Q')),
        ],
        why: "FTP is not spoken",
        instead: "use curl for ftp:// URLs, or fetch the file over HTTPS",
    },
    Group {
        options: &[
            long("login-options"),
            long("mail-auth"),
            long("mail-from"),
            long("mail-rcpt"),
            long("mail-rcpt-allowfails"),
            long("sasl-authzid"),
            long("sasl-ir"),
        ],
        why: "SMTP, IMAP and POP3 are not spoken",
        instead: "use curl for mail; `handfast connect --starttls smtp` shows a mail server's TLS",
    },
    Group {
        options: &[
            long("compressed-ssh"),
            long("create-file-mode"),
            long("hostpubmd5"),
            long("hostpubsha256"),
            long("pubkey"),
        ],
        why: "SSH is not spoken",
        instead: "use scp or sftp",
    },
    Group {
        options: &[
            ("telnet-option", Some('t')),
            long("tftp-blksize"),
            long("tftp-no-options"),
        ],
        why: "TELNET and TFTP are not spoken",
        instead: "use curl for telnet:// and tftp:// URLs",
    },
    Group {
        options: &[
            long("delegation"),
            long("krb"),
            long("negotiate"),
            long("ntlm"),
            long("ntlm-wb"),
            long("proxy-negotiate"),
            long("proxy-ntlm"),
            long("socks5-gssapi"),
            long("socks5-gssapi-nec"),
            long("socks5-gssapi-service"),
            long("proxy-service-name"),
            long("service-name"),
        ],
        why: "this kind of authentication is not supported",
        instead: "servers: -u (Basic), --digest, --oauth2-bearer or a client certificate (-E); proxies: --proxy-user (Basic, SOCKS5), --proxy-digest",
    },
    Group {
        options: &[long("proxy1.0")],
        why: "proxies are asked in HTTP/1.1",
        instead: "use -x: a proxy of HTTP/1.0 answers such a request, too",
    },
    Group {
        options: &[long("aws-sigv4")],
        why: "requests are not signed",
        instead: "sign the URL beforehand, for example with `aws s3 presign`",
    },
    Group {
        options: &[
            ("sslv2", Some('2')),
            ("sslv3", Some('3')),
            long("ssl-allow-beast"),
            long("proxy-ssl-allow-beast"),
            long("false-start"),
            long("no-alpn"),
        ],
        why: "it makes TLS weaker; TLS 1.2 and 1.3 are spoken",
        instead: "leave it out; `handfast inspect HOST` shows what a server speaks",
    },
    Group {
        options: &[
            long("tlsauthtype"),
            long("tlspassword"),
            long("tlsuser"),
            long("proxy-tlsauthtype"),
            long("proxy-tlspassword"),
            long("proxy-tlsuser"),
        ],
        why: "TLS-SRP is not supported; TLS 1.3 has no such thing",
        instead: "use a client certificate (-E), or -u over TLS",
    },
    Group {
        options: &[
            long("egd-file"),
            long("engine"),
            long("random-file"),
            long("ssl-auto-client-cert"),
            long("ssl-no-revoke"),
            long("ssl-revoke-best-effort"),
            long("proxy-ssl-auto-client-cert"),
        ],
        why: "it is for a TLS library that is not used here",
        instead: "leave it out; -E takes a certificate and its key, --crl a revocation list",
    },
    Group {
        options: &[long("cert-status")],
        why: "a stapled OCSP response cannot be demanded",
        instead: "leave it out: a response that is stapled is checked; --crl checks a revocation list",
    },
    Group {
        options: &[
            long("dns-interface"),
            long("dns-ipv4-addr"),
            long("dns-ipv6-addr"),
            long("dns-servers"),
            long("doh-cert-status"),
            long("doh-insecure"),
            long("doh-url"),
        ],
        why: "names are resolved by the operating system",
        instead: "--resolve HOST:PORT:ADDR gives the address of a name",
    },
    Group {
        options: &[long("http3"), long("http3-only"), long("alt-svc")],
        why: "HTTP/3 is not spoken",
        instead: "leave it out: HTTP/2 or HTTP/1.1 is used, as the server chooses",
    },
    Group {
        options: &[("http1.0", Some('0'))],
        why: "HTTP/1.0 is not spoken: without chunks a response that was cut off looks complete",
        instead: "use --http1.1",
    },
    Group {
        options: &[
            long("http0.9"),
            long("ignore-content-length"),
            long("raw"),
            long("tr-encoding"),
        ],
        why: "the head and the framing of a response are what shows that it is complete",
        instead: "leave it out; --trace FILE shows all bytes",
    },
    Group {
        options: &[long("hsts")],
        why: "there is nothing to upgrade: http:// is refused without --allow-http",
        instead: "leave it out, and write https:// in URLs",
    },
    Group {
        options: &[long("tcp-fastopen")],
        why: "it is not supported",
        instead: "leave it out, or use curl for this",
    },
    Group {
        options: &[long("expect100-timeout")],
        why: "the server has a second to answer",
        instead: "-H Expect: sends the body at once",
    },
    Group {
        options: &[long("happy-eyeballs-timeout-ms")],
        why: "the next address is tried after a quarter of a second (RFC 8305)",
        instead: "-4 or -6 uses addresses of one family",
    },
    Group {
        options: &[long("form-escape")],
        why: "quotation marks in names are percent-encoded, as by browsers",
        instead: "leave it out",
    },
    Group {
        options: &[long("path-as-is"), long("request-target")],
        why: "the path of a URL is sent in its normal form (RFC 3986, section 6.2.2)",
        instead: "use curl for requests that are not in that form",
    },
    Group {
        options: &[long("rate")],
        why: "requests are not spaced",
        instead: "use a loop with `sleep`; --limit-rate limits the bytes of each transfer",
    },
    Group {
        options: &[long("stderr")],
        why: "messages go to stderr",
        instead: "let the shell do it: 2>FILE",
    },
    Group {
        options: &[long("no-sessionid")],
        why: "TLS sessions are kept within one command only",
        instead: "leave it out",
    },
    Group {
        options: &[
            long("libcurl"),
            ("manual", Some('M')),
            long("metalink"),
            long("xattr"),
        ],
        why: "it is not supported",
        instead: "`handfast man get` is the manual page; --json-report FILE says where a file came from",
    },
];

/// Why an option of curl's is not there, and what to use; `typed` is as in `--name=value` or `-x`.
pub(crate) fn absent(typed: &str) -> Option<(&'static str, &'static str)> {
    let is_typed = |(name, letter): &(&str, Option<char>)| match typed.strip_prefix("--") {
        Some(long) => long.split('=').next() == Some(name),
        None => {
            let mut letters = typed.strip_prefix('-').unwrap_or_default().chars();
            letters.next().is_some_and(|first| *letter == Some(first)) && letters.next().is_none()
        }
    };
    let group = GROUPS
        .iter()
        .find(|group| group.options.iter().any(is_typed))?;
    Some((group.why, group.instead))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn what_is_there_is_not_among_those_that_are_not() {
        let cli = crate::cli::Cli::command();
        let get = cli.find_subcommand("get").unwrap();
        for arg in get.get_arguments() {
            let long = arg.get_long().map(|long| format!("--{long}"));
            let short = arg.get_short().map(|short| format!("-{short}"));
            for option in long.into_iter().chain(short) {
                assert_eq!(absent(&option), None, "{option}");
            }
        }
    }
}
