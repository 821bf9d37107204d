//! Recognizes other protocols by their first bytes.

/// The protocol with these first bytes.
pub(super) fn spoken(first_bytes: &[u8]) -> Option<&'static str> {
    const OPENINGS: &[(&[u8], &str)] = &[
        (b"HTTP/", "plain HTTP"),
        (b"GET ", "plain HTTP"),
        (b"POST ", "plain HTTP"),
        (b"HEAD ", "plain HTTP"),
        (b"PUT ", "plain HTTP"),
        (b"OPTIONS ", "plain HTTP"),
        (b"CONNECT ", "plain HTTP"),
        (b"PRI * HTTP/2", "plain HTTP/2"),
        (b"<!DOCTYPE", "plain HTTP (version 0.9)"),
        (b"SSH-", "SSH"),
        (b"* OK", "IMAP"),
        (b"+OK", "POP3"),
        (b"-ERR", "Redis or POP3"),
        (b"RFB ", "VNC"),
        (b"AMQP", "AMQP"),
        (b"* PREAUTH", "IMAP"),
        (b"* BYE", "IMAP"),
        (b"-NOAUTH", "Redis"),
        (b"-DENIED", "Redis"),
        (b"ERROR\r\n", "memcached"),
        (b"200 ", "NNTP"),
        (b"201 ", "NNTP"),
        (b"421 ", "SMTP"),
        (b"554 ", "SMTP"),
        (b"<?xml", "XMPP"),
        (b"<stream", "XMPP"),
        (b"\"IMPLEMENTATION\"", "ManageSieve"),
        (b"\xff\xfb", "Telnet"),
        (b"\xff\xfd", "Telnet"),
        (b"@RSYNCD:", "rsync"),
    ];
    let opening = OPENINGS
        .iter()
        .find(|(bytes, _)| first_bytes.starts_with(bytes));
    if let Some((_, name)) = opening {
        return Some(name);
    }
    match first_bytes {
        // SMTP and FTP have the same greeting code; only the text may differ.
        [b'2', b'2', b'0', ..] => {
            let text = String::from_utf8_lossy(first_bytes).to_ascii_uppercase();
            Some(if text.contains("FTP") { "FTP" } else { "SMTP" })
        }
        // A packet's length in three bytes, its number, and version 10 of the protocol.
        [_, _, 0, 0, 10, b'0'..=b'9', ..] => Some("MySQL"),
        // An error with its severity, or the byte that refuses TLS.
        [b'E', 0, 0, _, _, b'S' | b'F', ..] | [b'N'] => Some("PostgreSQL"),
        // The SETTINGS frame at the start of an HTTP/2 server's data.
        [0, 0, _, 4, 0, 0, 0, 0, 0, ..] => Some("plain HTTP/2"),
        _ => None,
    }
}

pub(super) fn not_tls_fix(first_bytes: &[u8]) -> Option<String> {
    let Some(protocol) = spoken(first_bytes) else {
        return Some(
            "check the host and the port: what answers there speaks something else".to_owned(),
        );
    };
    let starttls = |name: &str| {
        format!(
            "{protocol} begins in plain text: use its TLS port, or STARTTLS (--starttls {name})"
        )
    };
    Some(match protocol {
        protocol if protocol.starts_with("plain HTTP") => {
            "use the port that speaks HTTPS: 443 is the usual one".to_owned()
        }
        "SMTP" => starttls("smtp"),
        "FTP" => starttls("ftp"),
        "IMAP" => starttls("imap"),
        "POP3" => starttls("pop3"),
        "NNTP" => starttls("nntp"),
        "XMPP" => starttls("xmpp"),
        "ManageSieve" => starttls("sieve"),
        "MySQL" => starttls("mysql"),
        "PostgreSQL" => starttls("postgres"),
        _ => format!("this port is for {protocol}: check the port"),
    })
}

/// Whether plain HTTP on a TLS port is from a captive portal: by its status (RFC 6585,
/// section 6), or by a redirect to another host.
pub(super) fn is_portal(first_bytes: &[u8], server_name: Option<&str>) -> bool {
    let text = String::from_utf8_lossy(first_bytes);
    let Some(rest) = text.strip_prefix("HTTP/1.").and_then(|text| text.get(2..)) else {
        return false;
    };
    if rest.starts_with("511") {
        return true;
    }
    let redirects = ["302", "303", "307"]
        .iter()
        .any(|status| rest.starts_with(status));
    redirects
        && rest.lines().skip(1).any(|line| {
            let Some((name, target)) = line.split_once(':') else {
                return false;
            };
            let host = target.trim().split_once("://").map(|(_, rest)| {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
                authority
                    .rsplit_once(':')
                    .map_or(authority, |(host, _)| host)
            });
            name.eq_ignore_ascii_case("location")
                && host.is_some_and(|host| {
                    !host.is_empty()
                        && server_name.is_none_or(|name| !name.eq_ignore_ascii_case(host))
                })
        })
}

/// Bytes as text with escapes, truncated after 60 characters.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let text: String = bytes
        .iter()
        .take(60)
        .flat_map(|byte| std::ascii::escape_default(*byte))
        .map(char::from)
        .collect();
    let more = if bytes.len() > 60 { "..." } else { "" };
    format!("\"{text}{more}\"")
}

#[cfg(test)]
mod tests {
    use crate::error::{Error, PeerCause, Phase};

    #[test]
    fn first_bytes_are_named_and_quoted_without_control_characters() {
        for (bytes, id, says) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n"[..],
                "not-tls",
                "plain HTTP",
            ),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "not-tls", "SSH"),
            (b"220 mail.example ESMTP\r\n", "not-tls", "SMTP"),
            (b"220 (vsFTPd 3.0.3)\r\n", "not-tls", "FTP"),
            (
                b"HTTP/1.1 511 Network Authentication Required\r\n",
                "captive-portal",
                "plain HTTP",
            ),
            (
                b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/\r\n\r\n",
                "captive-portal",
                "login page",
            ),
            (
                b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n",
                "not-tls",
                "plain HTTP",
            ),
            (b"\x4a\0\0\0\x0a8.0.36\0", "not-tls", "MySQL"),
            (b"E\0\0\0\x8dSFATAL\0", "not-tls", "PostgreSQL"),
            (b"\0\0\x12\x04\0\0\0\0\0", "not-tls", "HTTP/2"),
            (b"-NOAUTH Authentication required.\r\n", "not-tls", "Redis"),
            (
                b"\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n",
                "not-tls",
                "ManageSieve",
            ),
            (b"\x1b[2J\0\xff", "not-tls", "is not TLS"),
        ] {
            let cause = PeerCause::NotTls {
                first_bytes: bytes.to_vec(),
            };
            let explanation = Error::new(Phase::Handshake, cause).explain();
            assert_eq!(explanation.id, id);
            assert!(explanation.what.contains(says), "{explanation}");
            assert!(
                !explanation
                    .to_string()
                    .chars()
                    .any(|c| c.is_control() && c != '\n')
            );
        }
    }
}
