//! `-v`: what happens, phase by phase, on stderr. Lines begin as curl's do: `*` about the exchange,
//! `>` what is sent, `<` what comes.

use std::fmt::Write;
use std::time::Duration;

use handfast::{PathAnchor, Report, TrustSource, escape_control, format_utc};
use handfast_https::client::{Event, Response};
use handfast_probe::UnverifiedReply;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, StatusCode, Version};

use crate::output::{Palette, Tone, note};
use crate::trust_args::trust_problems;

/// Fields whose values are nobody else's business: the standard ones, and what people name theirs.
pub(super) fn is_secret(name: &HeaderName) -> bool {
    let text = name.as_str();
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE].contains(name)
        || text.ends_with("-token")
        || ["api-key", "apikey", "secret", "password"]
            .iter()
            .any(|part| text.contains(part))
}

/// A field's value with what stands as `user:password@` in URLs hidden.
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
            tell(format!(
                "resolve: {} is {} ({})",
                escape_control(host),
                list.join(", "),
                millis(*took)
            ));
        }
        Event::Connected { address, took } => {
            tell(format!("connect: {address} ({})", millis(*took)));
        }
        Event::Proxied {
            proxy,
            server,
            took,
        } => {
            tell(format!(
                "proxy: {} connected to {} ({})",
                escape_control(proxy),
                escape_control(server),
                millis(*took)
            ));
        }
        Event::Secured { report } => secured(report),
        Event::Probing { error } => tell(format!(
            "handshake: {}; asking the server {}",
            error.explain().what,
            match UnverifiedReply::is_worthwhile(error) {
                true => "for its clock, without believing it",
                false => "what it accepts",
            }
        )),
        Event::Reused { address } => tell(format!("connection to {address} is used again")),
        Event::Retrying { error } => {
            tell(format!("not answered ({error}): sending the request again"));
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
            if *body_bytes > 0 {
                tell(format!("request: {body_bytes} bytes of body"));
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
            tell(format!("body: {framing}"));
        }
        Event::Redirecting { url, method } => tell(format!("redirected: {method} {url}")),
        Event::Completed {
            whole,
            traffic,
            ending,
            request_cut_short,
        } => {
            let remark = match whole.remark() {
                None => String::new(),
                Some(remark) => format!(", although the connection ended by {remark}"),
            };
            good(format!("response: whole, {} bytes{remark}", whole.bytes()));
            if *request_cut_short {
                tell("request: the server answered before it had taken all of it");
            }
            tell(format!(
                "received {} records, {} bytes ({} on the wire); sent {} records, {} bytes ({} on the wire)",
                traffic.records_received,
                traffic.plaintext_received,
                traffic.bytes_received,
                traffic.records_sent,
                traffic.plaintext_sent,
                traffic.bytes_sent,
            ));
            match ending {
                Some(ending) => tell(format!("end: {ending}")),
                None => tell("end: none, the connection is kept"),
            }
        }
        Event::Closed { address, outcome } => tell(format!("close: {address}: {outcome}")),
        _ => {}
    }
}

/// Which certificates are trusted, and what of them cannot vouch for anybody.
pub(super) fn trust(sources: &[TrustSource]) {
    for source in sources {
        tell(format!("trust: {}", escape_control(&source.to_string())));
        for problem in trust_problems(std::slice::from_ref(source)) {
            tell(format!("trust:   {problem}"));
        }
    }
}

fn secured(report: &Report) {
    let alpn = report.alpn.as_deref().map(String::from_utf8_lossy);
    tell(format!(
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
        tell("handshake: the server asked for a client certificate");
    }
    let Some(peer) = &report.peer else {
        line_toned('*', Tone::Bad, "server: NOT VERIFIED, it may be anybody");
        return;
    };
    let facts = peer.facts();
    good(format!(
        "server: verified as {}",
        report
            .server_name
            .as_deref()
            .map_or_else(|| "?".into(), escape_control)
    ));
    let names: Vec<_> = peer.names().iter().map(ToString::to_string).collect();
    tell(format!("  subject: {}", peer.subject()));
    tell(format!("  names:   {}", names.join(", ")));
    tell(format!("  issuer:  {}", facts.issuer));
    tell(format!(
        "  valid:   {} to {}",
        format_utc(facts.not_before),
        format_utc(facts.not_after)
    ));
    tell(format!(
        "  key:     {}, {}",
        facts.key_algorithm,
        peer.spki_sha256()
    ));
    match &report.staple {
        Some(Ok(response)) => tell(format!("  stapled: {response}")),
        Some(Err(problem)) => tell(format!("  stapled: what does not count: {problem}")),
        None => {}
    }
    match peer.path().anchor() {
        PathAnchor::Authority { subject } => tell(format!("  anchor:  {subject}")),
        PathAnchor::Itself => tell("  anchor:  itself: this very certificate is trusted"),
        _ => {}
    }
}

/// The head of a response as text, for `-i` and `-I`: as it came, or for a terminal without what
/// would move its cursor.
pub(super) fn head_text(response: &Response, for_terminal: bool) -> Vec<u8> {
    let mut text = status_line(response.version(), response.status()).into_bytes();
    text.extend_from_slice(b"\r\n");
    for (name, value) in response.headers() {
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
    text.extend_from_slice(b"\r\n");
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

fn tell(text: impl AsRef<str>) {
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
