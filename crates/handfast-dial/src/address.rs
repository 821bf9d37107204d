//! Parses `host:port`, and rejects hosts that would be parsed as an IPv4 address by mistake.

use std::net::IpAddr;

use handfast::Phase;

use crate::error::{Cause, Error};

/// Splits `host:port`. An IPv6 host is in brackets, which are removed.
///
/// # Errors
/// [`Cause::Address`].
///
/// ```
/// assert_eq!(handfast_dial::split_authority("[::1]:443")?, ("::1", 443));
/// # Ok::<(), handfast_dial::Error>(())
/// ```
pub fn split_authority(authority: &str) -> Result<(&str, u16), Error> {
    let split = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => authority
            .rsplit_once(':')
            .filter(|(host, _)| !host.contains(':')),
    };
    split
        .filter(|(host, _)| !host.is_empty())
        .and_then(|(host, port)| Some((host, port.parse().ok()?)))
        .ok_or_else(|| {
            let cause = Cause::Address {
                text: authority.to_owned(),
            };
            Error::new(Phase::Configure, cause)
        })
}

/// Rejects a host such as `8443`, `0x7f.1` or `127.1`: the C library, and URLs, read them as IPv4
/// addresses (`8443` is 0.0.32.251), which is never intended. No name ends in a number (RFC 3696, section 2).
///
/// # Errors
/// [`Cause::ServerName`].
pub fn refuse_number(host: &str) -> Result<(), Error> {
    let last = host.strip_suffix('.').unwrap_or(host);
    let last = last.rsplit('.').next().unwrap_or(last);
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()),
    };
    if !is_number || host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    let cause = Cause::ServerName {
        text: host.to_owned(),
        problem: match host.parse::<u16>() {
            Ok(port) => {
                format!("it is a number: a port follows the host, as in localhost:{port}")
            }
            Err(_) => {
                "it ends in a number and is not an IP address, which is written as in 127.0.0.1"
                    .to_owned()
            }
        },
    };
    Err(Error::new(Phase::Configure, cause))
}

/// [`refuse_number`] for the host of a URL as typed: a URL parser has already converted it to an address.
///
/// # Errors
/// [`Cause::ServerName`].
pub fn refuse_number_in_url(url: &str) -> Result<(), Error> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    match host.starts_with('[') {
        true => Ok(()),
        false => refuse_number(host.split(':').next().unwrap_or(host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_host_is_rejected_and_not_parsed_as_an_address() {
        for host in [
            "8443",
            "0",
            "0x20fb",
            "0x",
            "127.1",
            "0x7f.1",
            "017700000001",
            "1.2.3.4.5",
            "a.8443",
            "127.0.0.1.",
            "256.1.1.1",
        ] {
            let error = refuse_number(host).unwrap_err();
            assert_eq!(error.phase(), Phase::Configure, "{host}");
            assert_eq!(error.explain().id, "invalid-server-name", "{host}");
        }
        assert!(
            refuse_number("8443")
                .unwrap_err()
                .explain()
                .to_string()
                .contains("localhost:8443")
        );
        for (url, good) in [
            ("https://8443/", false),
            ("https://a:b@127.1:443/x", false),
            ("https://0x7f.1?x", false),
            ("https://127.0.0.1:8443/8443", true),
            ("https://[::1]:8443/", true),
            ("https://1:2@example.org/#1", true),
            ("localhost:8443", true),
        ] {
            assert_eq!(refuse_number_in_url(url).is_ok(), good, "{url}");
        }
        for host in [
            "127.0.0.1",
            "::1",
            "localhost",
            "8443.example",
            "a1",
            "1a",
            "x0x1f",
            "",
        ] {
            assert!(refuse_number(host).is_ok(), "{host}");
        }
    }

    #[test]
    fn authorities_are_split_or_rejected() {
        for (text, expected) in [
            ("example.org:443", Some(("example.org", 443))),
            ("127.0.0.1:8443", Some(("127.0.0.1", 8443))),
            ("[::1]:443", Some(("::1", 443))),
            ("::1:443", None),
            ("example.org", None),
            ("example.org:", None),
            ("example.org:70000", None),
            (":443", None),
            ("[]:443", None),
            ("[::1]", None),
        ] {
            assert_eq!(split_authority(text).ok(), expected, "{text}");
        }
    }
}
