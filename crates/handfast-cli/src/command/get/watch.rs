//! `-v`: the phases on stderr. Lines begin as in curl: `*` for information, `>` for what is sent,
//! `<` for what is received.

use std::fmt::Write;
use std::time::Duration;

use handfast::{PathAnchor, Report, TrustSource, escape_control, format_utc};
use handfast_https::client::{Event, Response};
use handfast_probe::UnverifiedReply;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, StatusCode, Version};

use crate::output::{Palette, Tone, note};
use crate::trust_args::trust_problems;

/// Fields whose values are secret: the standard ones, and common names of custom ones.
pub(super) fn is_secret(name: &HeaderName) -> bool {
    let text = name.as_str();
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE].contains(name)
        || text.ends_with("-token")
        || ["api-key", "apikey", "secret", "password"]
            .iter()
            .any(|part| text.contains(part))
}

/// A field's value, with `user:password@` in URLs hidden.
fn without_userinfo(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("//") {
        let (before, after) = rest.split_at(at + 2);
        shown.push_str(before);
        let ends = |c: char| {
            matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>' | ',' | ';') || c.is_whitespace()
        };
        let end = after.find(ends).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                shown.push_str("(hidden)@");
                shown.push_str(host);
            }
            None => shown.push_str(authority),
        }
        rest = behind;
    }
    shown.push_str(rest);
    shown
}

pub(super) fn event(event: &Event<'_>) {
    match event {
        Event::Resolved {
            host,
            addresses,
            took,
        } => {
            let list: Vec<_> = addresses.iter().map(|a| a.ip().to_string()).collect();
            print(format!(
                "resolve: {} is {} ({})",
                escape_control(host),
                list.join(", "),
                millis(*took)
            ));
        }
        Event::Connected { address, took } => {
            print(format!("connect: {address} ({})", millis(*took)));
        }
        Event::Proxied {
            proxy,
            server,
            took,
        } => {
            print(format!(
                "proxy: {} connected to {} ({})",
                escape_control(proxy),
                escape_control(server),
                millis(*took)
            ));
        }
        Event::Secured { report } => secured(report),
        Event::Probing { error } => print(format!(
            "handshake: {}; asking the server {}",
            error.explain().what,
            match UnverifiedReply::is_worthwhile(error) {
                true => "for its clock, without verification",
                false => "what it accepts",
            }
        )),
        Event::Reused { address } => print(format!("connection to {address} is reused")),
        Event::Retrying { error } => {
            print(format!("not answered ({error}): sending the request again"));
        }
        Event::Requesting {
            method,
            url,
            version,
            headers,
            body_bytes,
        } => {
            line('>', format!("{method} {url} {version:?}"));
            fields('>', headers);
            line('>', "");
            if let Some(body_bytes) = body_bytes
                && *body_bytes > 0
            {
                print(format!("request: {body_bytes} bytes of body"));
            }
        }
        Event::Responding {
            version,
            status,
            headers,
            framing,
        } => {
            line('<', status_line(*version, *status));
            fields('<', headers);
            line('<', "");
            print(format!("body: {framing}"));
        }
        Event::Redirecting { url, method } => print(format!("redirected: {method} {url}")),
        Event::Completed {
            whole,
            trailers,
            traffic,
            ending,
            request_cut_short,
        } => {
            if let Some(trailers) = trailers {
                print("response: fields behind the body (trailers):");
                fields('<', trailers);
            }
            let remark = match whole.remark() {
                None => String::new(),
                Some(remark) => format!(", although the connection ended by {remark}"),
            };
            good(format!(
                "response: complete, {} bytes{remark}",
                whole.bytes()
            ));
            if *request_cut_short {
                print("request: the server responded before it had read all of it");
            }
            print(format!(
                "received {} records, {} bytes ({} on the wire); sent {} records, {} bytes ({} on the wire)",
                traffic.records_received,
                traffic.plaintext_received,
                traffic.bytes_received,
                traffic.records_sent,
                traffic.plaintext_sent,
                traffic.bytes_sent,
            ));
            match ending {
                Some(ending) => print(format!("end: {ending}")),
                None => print("end: none, the connection is kept"),
            }
        }
        Event::Closed { address, outcome } => print(format!("close: {address}: {outcome}")),
        _ => {}
    }
}

/// The trusted certificates, and those that cannot be trust anchors.
pub(super) fn trust(sources: &[TrustSource]) {
    for source in sources {
        print(format!("trust: {}", escape_control(&source.to_string())));
        for problem in trust_problems(std::slice::from_ref(source)) {
            print(format!("trust:   {problem}"));
        }
    }
}

fn secured(report: &Report) {
    let alpn = report.alpn.as_deref().map(String::from_utf8_lossy);
    print(format!(
        "handshake: {}, {}, {}, ALPN {}{} ({})",
        report.version,
        report.cipher_suite,
        report.group.unwrap_or("no key exchange"),
        alpn.as_deref()
            .map_or_else(|| "none".into(), escape_control),
        if report.resumed { ", resumed" } else { "" },
        millis(report.handshake)
    ));
    if report.client_certificate_requested {
        print("handshake: the server requested a client certificate");
    }
    let Some(peer) = &report.peer else {
        line_toned(
            '*',
            Tone::Bad,
            "server: NOT VERIFIED, its identity is unknown",
        );
        return;
    };
    let facts = peer.facts();
    good(format!(
        "server: verified for {}",
        report
            .server_name
            .as_deref()
            .map_or_else(|| "?".into(), escape_control)
    ));
    let names: Vec<_> = peer.names().iter().map(ToString::to_string).collect();
    print(format!("  subject: {}", peer.subject()));
    print(format!("  names:   {}", names.join(", ")));
    print(format!("  issuer:  {}", facts.issuer));
    print(format!(
        "  valid:   {} to {}",
        format_utc(facts.not_before),
        format_utc(facts.not_after)
    ));
    print(format!(
        "  key:     {}, {}",
        facts.key_algorithm,
        peer.spki_sha256()
    ));
    match &report.staple {
        Some(Ok(response)) => print(format!("  stapled: {response}")),
        Some(Err(problem)) => print(format!("  stapled: invalid: {problem}")),
        None => {}
    }
    match peer.path().anchor() {
        PathAnchor::Authority { subject } => print(format!("  anchor:  {subject}")),
        PathAnchor::Itself => print("  anchor:  itself: this certificate is trusted"),
        _ => {}
    }
}

/// The head of a response as text, for `-i` and `-I`: unchanged, or for a terminal without control
/// characters.
pub(super) fn head_text(response: &Response, for_terminal: bool) -> Vec<u8> {
    let mut text = status_line(response.version(), response.status()).into_bytes();
    text.extend_from_slice(b"\r\n");
    text.extend(fields_text(response.headers(), for_terminal));
    text.extend_from_slice(b"\r\n");
    text
}

/// Header or trailer fields, a line for each, as [`head_text`].
pub(super) fn fields_text(fields: &HeaderMap, for_terminal: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in fields {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        match for_terminal {
            true => {
                let value = String::from_utf8_lossy(value.as_bytes());
                text.extend_from_slice(escape_control(&value).as_bytes());
            }
            false => text.extend_from_slice(value.as_bytes()),
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}

fn status_line(version: Version, status: StatusCode) -> String {
    let mut line = format!("{version:?} {}", status.as_str());
    if let Some(reason) = status
        .canonical_reason()
        .filter(|_| version < Version::HTTP_2)
    {
        let _ = write!(line, " {reason}");
    }
    line
}

fn fields(mark: char, headers: &HeaderMap) {
    for (name, value) in headers {
        let shown = if is_secret(name) || value.is_sensitive() {
            "(hidden)".into()
        } else {
            without_userinfo(&escape_control(&String::from_utf8_lossy(value.as_bytes())))
        };
        line(mark, format!("{name}: {shown}"));
    }
}

fn print(text: impl AsRef<str>) {
    line('*', text);
}

fn good(text: impl AsRef<str>) {
    line_toned('*', Tone::Good, text);
}

fn line(mark: char, text: impl AsRef<str>) {
    let mark = Palette::stderr().paint(Tone::Faint, mark.to_string());
    note(format!("{mark} {}", text.as_ref()).trim_end());
}

fn line_toned(mark: char, tone: Tone, text: impl AsRef<str>) {
    line(mark, Palette::stderr().paint(tone, text));
}

fn millis(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_fields_are_hidden() {
        for (text, shown) in [
            ("https://u:s3cret@h/a", "https://(hidden)@h/a"),
            ("//u@h", "//(hidden)@h"),
            (
                "5; url=https://u:p@h/?next=//x@y",
                "5; url=https://(hidden)@h/?next=//(hidden)@y",
            ),
            (
                "<https://u:p@a/>; rel=x, <https://b/@c>",
                "<https://(hidden)@a/>; rel=x, <https://b/@c>",
            ),
            ("/a@b", "/a@b"),
            ("a // b@c", "a // b@c"),
        ] {
            assert_eq!(without_userinfo(text), shown);
        }
        for (name, secret) in [
            ("authorization", true),
            ("x-api-key", true),
            ("x-auth-token", true),
            ("set-cookie", true),
            ("location", false),
            ("www-authenticate", false),
        ] {
            assert_eq!(is_secret(&HeaderName::from_static(name)), secret, "{name}");
        }
    }
}
