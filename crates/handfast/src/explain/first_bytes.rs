//! Recognizes other protocols by their first bytes.

use std::fmt;

/// A protocol in plain text, known by how its first bytes look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // Their names say it.
pub enum PlainProtocol {
    Http,
    Http09,
    Http2,
    Ssh,
    Imap,
    Pop3,
    RedisOrPop3,
    Redis,
    Vnc,
    Amqp,
    Memcached,
    Nntp,
    Smtp,
    Ftp,
    Xmpp,
    ManageSieve,
    MySql,
    PostgreSql,
    Telnet,
    Rsync,
}

impl PlainProtocol {
    /// The protocol that these bytes are the beginning of.
    pub fn of(first_bytes: &[u8]) -> Option<Self> {
        use PlainProtocol as P;
        const OPENINGS: &[(&[u8], PlainProtocol)] = &[
            (b"HTTP/", P::Http),
            (b"GET ", P::Http),
            (b"POST ", P::Http),
            (b"HEAD ", P::Http),
            (b"PUT ", P::Http),
            (b"OPTIONS ", P::Http),
            (b"CONNECT ", P::Http),
            (b"PRI * HTTP/2", P::Http2),
            (b"<!DOCTYPE", P::Http09),
            (b"SSH-", P::Ssh),
            (b"* OK", P::Imap),
            (b"+OK", P::Pop3),
            (b"-ERR", P::RedisOrPop3),
            (b"RFB ", P::Vnc),
            (b"AMQP", P::Amqp),
            (b"* PREAUTH", P::Imap),
            (b"* BYE", P::Imap),
            (b"-NOAUTH", P::Redis),
            (b"-DENIED", P::Redis),
            (b"ERROR\r\n", P::Memcached),
            (b"200 ", P::Nntp),
            (b"201 ", P::Nntp),
            (b"421 ", P::Smtp),
            (b"554 ", P::Smtp),
            (b"<?xml", P::Xmpp),
            (b"<stream", P::Xmpp),
            (b"\"IMPLEMENTATION\"", P::ManageSieve),
            (b"\xff\xfb", P::Telnet),
            (b"\xff\xfd", P::Telnet),
            (b"@RSYNCD:", P::Rsync),
        ];
        let opening = OPENINGS
            .iter()
            .find(|(bytes, _)| first_bytes.starts_with(bytes));
        if let Some((_, protocol)) = opening {
            return Some(*protocol);
        }
        match first_bytes {
            // SMTP and FTP greet alike; what follows the code tells them apart, if anything does.
            [b'2', b'2', b'0', ..] => {
                let text = String::from_utf8_lossy(first_bytes).to_ascii_uppercase();
                Some(if text.contains("FTP") {
                    Self::Ftp
                } else {
                    Self::Smtp
                })
            }
            // A packet's length in three bytes, its number, and version 10 of the protocol.
            [_, _, 0, 0, 10, b'0'..=b'9', ..] => Some(Self::MySql),
            // An error with its severity, or the refusal of a byte to go on with TLS.
            [b'E', 0, 0, _, _, b'S' | b'F', ..] | [b'N'] => Some(Self::PostgreSql),
            // The SETTINGS frame that an HTTP/2 server begins with.
            [0, 0, _, 4, 0, 0, 0, 0, 0, ..] => Some(Self::Http2),
            _ => None,
        }
    }

    /// Whether it can turn to TLS on the same connection.
    pub const fn has_starttls(self) -> bool {
        matches!(
            self,
            Self::Smtp
                | Self::Ftp
                | Self::Imap
                | Self::Pop3
                | Self::Nntp
                | Self::Xmpp
                | Self::ManageSieve
                | Self::MySql
                | Self::PostgreSql
        )
    }
}

impl fmt::Display for PlainProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "plain HTTP",
            Self::Http09 => "plain HTTP (version 0.9)",
            Self::Http2 => "plain HTTP/2",
            Self::Ssh => "SSH",
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
            Self::RedisOrPop3 => "Redis or POP3",
            Self::Redis => "Redis",
            Self::Vnc => "VNC",
            Self::Amqp => "AMQP",
            Self::Memcached => "memcached",
            Self::Nntp => "NNTP",
            Self::Smtp => "SMTP",
            Self::Ftp => "FTP",
            Self::Xmpp => "XMPP",
            Self::ManageSieve => "ManageSieve",
            Self::MySql => "MySQL",
            Self::PostgreSql => "PostgreSQL",
            Self::Telnet => "Telnet",
            Self::Rsync => "rsync",
        })
    }
}

/// What to do about it, for a client.
pub(super) fn not_tls_fix(protocol: Option<PlainProtocol>) -> String {
    use PlainProtocol as P;
    match protocol {
        None => "check the host and the port: another protocol is spoken there".to_owned(),
        Some(P::Http | P::Http09 | P::Http2) => {
            "use the port that speaks HTTPS: 443 is the usual one".to_owned()
        }
        Some(protocol) if protocol.has_starttls() => {
            format!("{protocol} begins in plain text: use its TLS port, or STARTTLS")
        }
        Some(protocol) => format!("this port is for {protocol}: check the port"),
    }
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
    use crate::error::{Error, PeerCause};
    use crate::phase::Phase;

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
