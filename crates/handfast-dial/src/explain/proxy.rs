//! Explanations of [`ProxyError`].

use handfast::{escape_control, quote_bytes};

use crate::proxy::problem::{ProxyError, ProxyProblem};

pub(super) fn evidence(error: &ProxyError) -> Vec<String> {
    match &error.problem {
        ProxyProblem::Refused { body, .. } if !body.is_empty() => {
            vec![format!("its page begins: {}", quote_bytes(body))]
        }
        ProxyProblem::NotHttp { first_bytes } | ProxyProblem::NotSocks { first_bytes }
            if !first_bytes.is_empty() =>
        {
            vec![format!("its first bytes: {}", quote_bytes(first_bytes))]
        }
        ProxyProblem::AuthenticationRequired { schemes, .. } if !schemes.is_empty() => {
            vec![format!(
                "it accepts: {}",
                escape_control(&schemes.join(", "))
            )]
        }
        _ => Vec::new(),
    }
}

pub(super) fn fix(error: &ProxyError) -> Option<String> {
    let ProxyProblem::AuthenticationRequired { .. } = &error.problem else {
        let text = match &error.problem {
            ProxyProblem::NotResolved => "check the proxy's name",
            ProxyProblem::Unreachable { .. } => "check the proxy's address, and that it is running",
            ProxyProblem::SocksRefused { reply: 3..=6 } => {
                "check the server's name and port: the proxy could not reach it"
            }
            ProxyProblem::SocksRefused { reply: 91 } => {
                "check the server's name and port: the proxy could not reach it, or its rules forbid it"
            }
            ProxyProblem::SocksRefused { reply: 8 } => {
                "let the proxy resolve the name: write it as socks5h://"
            }
            ProxyProblem::NeedsTls => {
                "give a proxy that is reached without TLS: http://, socks5:// or socks5h://"
            }
            ProxyProblem::TooLong { .. } => "use a shorter one",
            ProxyProblem::NeedsIpv4 => "use a SOCKS5 proxy: write it as socks5h://",
            ProxyProblem::NotSocks { first_bytes } if first_bytes.starts_with(b"HTTP/") => {
                "it is an HTTP proxy: write it as http://"
            }
            ProxyProblem::NotSocks { first_bytes }
                if matches!(first_bytes.first(), Some(4 | 5)) =>
            {
                "it speaks the other version of SOCKS: write it as socks4a:// or socks5h://"
            }
            ProxyProblem::NotSocks { .. } => {
                "check the proxy's address and port: it must be a SOCKS proxy"
            }
            ProxyProblem::Refused {
                status: 502..=504, ..
            } => "check the server's name and port: the proxy could not reach it",
            ProxyProblem::Refused { .. } | ProxyProblem::SocksRefused { .. } => {
                "ask the proxy's administrator, or connect without the proxy"
            }
            _ => "check the proxy's address and port: it must be an HTTP proxy (CONNECT)",
        };
        return Some(text.to_owned());
    };
    let (basic, digest) = (error.problem.takes_basic(), error.problem.takes_digest());
    Some(match (basic, digest) {
        (true, _) => "give a user name and password for the proxy".to_owned(),
        (_, true) => "give a user name and password for the proxy, to be sent as a digest".to_owned(),
        _ => "none of its authentication methods is supported: ask the proxy's administrator for Basic authentication"
            .to_owned(),
    })
}
