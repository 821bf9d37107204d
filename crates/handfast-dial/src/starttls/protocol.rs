//! The protocols with STARTTLS, by name.

use std::fmt;
use std::str::FromStr;

use handfast::escape_control;

/// A protocol that begins in plaintext and upgrades to TLS on the same connection.
///
/// ```
/// # use handfast_dial::StartTls;
/// let protocol: StartTls = "smtp".parse()?;
/// assert_eq!(protocol.default_port(), 25);
/// # Ok::<(), handfast_dial::UnknownStartTls>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartTls {
    /// Mail transfer and submission (RFC 3207).
    Smtp,
    /// IMAP (RFC 9051, section 6.2.1).
    Imap,
    /// POP3 (RFC 2595, section 4).
    Pop3,
    /// FTP, its control connection (RFC 4217).
    Ftp,
    /// LDAP (RFC 4511, section 4.14).
    Ldap,
    /// XMPP between client and server (RFC 6120, section 5).
    Xmpp,
    /// PostgreSQL's `SSLRequest`.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// ManageSieve (RFC 5804, section 2.2).
    Sieve,
    /// Network news (RFC 4642).
    Nntp,
}

impl StartTls {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Smtp,
        Self::Imap,
        Self::Pop3,
        Self::Ftp,
        Self::Ldap,
        Self::Xmpp,
        Self::Postgres,
        Self::Mysql,
        Self::Sieve,
        Self::Nntp,
    ];

    /// The name that [`FromStr`] reads: `smtp`, `imap`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Ftp => "ftp",
            Self::Ldap => "ldap",
            Self::Xmpp => "xmpp",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Sieve => "sieve",
            Self::Nntp => "nntp",
        }
    }

    /// The registered port of its plaintext form.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Smtp => 25,
            Self::Imap => 143,
            Self::Pop3 => 110,
            Self::Ftp => 21,
            Self::Ldap => 389,
            Self::Xmpp => 5222,
            Self::Postgres => 5432,
            Self::Mysql => 3306,
            Self::Sieve => 4190,
            Self::Nntp => 119,
        }
    }

    /// Whether the server sends first. A server that does not may expect TLS from the start.
    pub const fn server_speaks_first(self) -> bool {
        !matches!(self, Self::Ldap | Self::Xmpp | Self::Postgres)
    }
}

impl fmt::Display for StartTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "SMTP",
            Self::Imap => "IMAP",
            Self::Pop3 => "POP3",
            Self::Ftp => "FTP",
            Self::Ldap => "LDAP",
            Self::Xmpp => "XMPP",
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
            Self::Sieve => "ManageSieve",
            Self::Nntp => "NNTP",
        })
    }
}

impl FromStr for StartTls {
    type Err = UnknownStartTls;

    fn from_str(text: &str) -> Result<Self, UnknownStartTls> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownStartTls(text.to_owned()))
    }
}

/// No protocol of [`StartTls`] has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownStartTls(String);

impl fmt::Display for UnknownStartTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = StartTls::ALL.iter().map(|known| known.name()).collect();
        write!(
            f,
            "`{}` is none of {}",
            escape_control(&self.0),
            known.join(", ")
        )
    }
}

impl std::error::Error for UnknownStartTls {}
