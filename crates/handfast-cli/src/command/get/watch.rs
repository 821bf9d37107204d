//! `-v`: the phases on stderr. Lines begin as in curl: `*` for information, `>` for what is sent,
//! `<` for what is received.

use std::fmt::Write;
use std::time::Duration;

use handfast::{PathAnchor, Report, TrustSource, escape_control, format_utc};
use handfast_https::client::Event;
use handfast_probe::UnverifiedReply;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode, Version};

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

/// Shows an event on stderr.
pub(super) fn event(event: &Event<'_>) {
    lines(event, &mut Lines(&mut on_stderr));
}

/// The text for an event, line by line.
pub(super) fn lines(event: &Event<'_>, out: &mut Lines<'_>) {
    match event {
        Event::Resolved {
            host,
            addresses,
            took,
        } => {
            let list: Vec<_> = addresses.iter().map(|a| a.ip().to_string()).collect();
            out.print(format!(
                "resolve: {} is {} ({})",
                escape_control(host),
                list.join(", "),
                millis(*took)
            ));
        }
        Event::Connected { address, took } => {
            out.print(format!("connect: {address} ({})", millis(*took)));
        }
        Event::Proxied {
            proxy,
            server,
            took,
        } => {
            out.print(format!(
                "proxy: {} connected to {} ({})",
                escape_control(proxy),
                escape_control(server),
                millis(*took)
            ));
        }
        Event::Secured { report } => secured(report, out),
        Event::Unsecured { address } => {
            print(format!(
                "connection to {address}: plain HTTP, neither encrypted nor verified"
            ));
        }
        Event::Probing { error } => out.print(format!(
            "handshake: {}; asking the server {}",
            error.explain().what,
            match UnverifiedReply::is_worthwhile(error) {
                true => "for its clock, without verification",
                false => "what it accepts",
            }
        )),
        Event::Reused { address } => out.print(format!("connection to {address} is reused")),
        Event::Retrying { error } => {
            out.print(format!("not answered ({error}): sending the request again"));
        }
        Event::Requesting {
            method,
            url,
            version,
            headers,
            body_bytes,
        } => {
            out.line('>', format!("{method} {url} {version:?}"));
            out.fields('>', headers);
            out.line('>', "");
            if let Some(body_bytes) = body_bytes
                && *body_bytes > 0
            {
                out.print(format!("request: {body_bytes} bytes of body"));
            }
        }
        Event::Responding {
            version,
            status,
            headers,
            framing,
        } => {
            out.line('<', status_line(*version, *status));
            out.fields('<', headers);
            out.line('<', "");
            out.print(format!("body: {framing}"));
        }
        Event::Redirecting { url, method } => out.print(format!("redirected: {method} {url}")),
        Event::Completed {
            whole,
            trailers,
            traffic,
            ending,
            request_cut_short,
        } => {
            if let Some(trailers) = trailers {
                out.print("response: fields behind the body (trailers):");
                out.fields('<', trailers);
            }
            let remark = match whole.remark() {
                None => String::new(),
                Some(remark) => format!(", although the connection ended by {remark}"),
            };
            out.good(format!(
                "response: complete, {} bytes{remark}",
                whole.bytes()
            ));
            if *request_cut_short {
                out.print("request: the server responded before it had read all of it");
            }
            out.print(format!(
                "received {} records, {} bytes ({} on the wire); sent {} records, {} bytes ({} on the wire)",
                traffic.records_received,
                traffic.plaintext_received,
                traffic.bytes_received,
                traffic.records_sent,
                traffic.plaintext_sent,
                traffic.bytes_sent,
            ));
            match ending {
                Some(ending) => out.print(format!("end: {ending}")),
                None => out.print("end: none, the connection is kept"),
            }
        }
        Event::Closed { address, outcome } => out.print(format!("close: {address}: {outcome}")),
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

fn secured(report: &Report, out: &mut Lines<'_>) {
    let alpn = report.alpn.as_deref().map(String::from_utf8_lossy);
    out.print(format!(
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
        out.print("handshake: the server requested a client certificate");
    }
    let Some(peer) = &report.peer else {
        out.bad("server: NOT VERIFIED, its identity is unknown");
        return;
    };
    let facts = peer.facts();
    out.good(format!(
        "server: verified for {}",
        report
            .server_name
            .as_deref()
            .map_or_else(|| "?".into(), escape_control)
    ));
    let names: Vec<_> = peer.names().iter().map(ToString::to_string).collect();
    out.print(format!("  subject: {}", peer.subject()));
    out.print(format!("  names:   {}", names.join(", ")));
    out.print(format!("  issuer:  {}", facts.issuer));
    out.print(format!(
        "  valid:   {} to {}",
        format_utc(facts.not_before),
        format_utc(facts.not_after)
    ));
    out.print(format!(
        "  key:     {}, {}",
        facts.key_algorithm,
        peer.spki_sha256()
    ));
    match &report.staple {
        Some(Ok(response)) => out.print(format!("  stapled: {response}")),
        Some(Err(problem)) => out.print(format!("  stapled: invalid: {problem}")),
        None => {}
    }
    match peer.path().anchor() {
        PathAnchor::Authority { subject } => out.print(format!("  anchor:  {subject}")),
        PathAnchor::Itself => out.print("  anchor:  itself: this certificate is trusted"),
        _ => {}
    }
}

/// The head of a response as text, for `-i` and `-I`: unchanged, or for a terminal without control
/// characters.
pub(super) fn head_text(
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
    for_terminal: bool,
) -> Vec<u8> {
    let mut line = status_line(version, status);
    if for_terminal {
        line = Palette::stdout().paint(status_tone(status), line);
    }
    let mut text = line.into_bytes();
    text.extend_from_slice(b"\r\n");
    text.extend(fields_text(headers, for_terminal));
    text.extend_from_slice(b"\r\n");
    text
}

/// Header or trailer fields, a line for each, as [`head_text`].
pub(super) fn fields_text(fields: &HeaderMap, for_terminal: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in fields {
        match for_terminal {
            true => {
                let name = Palette::stdout().paint(Tone::Key, name);
                text.extend_from_slice(format!("{name}: ").as_bytes());
                let value = String::from_utf8_lossy(value.as_bytes());
                text.extend_from_slice(escape_control(&value).as_bytes());
            }
            false => {
                text.extend_from_slice(name.as_str().as_bytes());
                text.extend_from_slice(b": ");
                text.extend_from_slice(value.as_bytes());
            }
        }
        text.extend_from_slice(b"\r\n");
    }
    text
}

pub(super) fn status_line(version: Version, status: StatusCode) -> String {
    let mut line = format!("{version:?} {}", status.as_str());
    if let Some(reason) = status
        .canonical_reason()
        .filter(|_| version < Version::HTTP_2)
    {
        let _ = write!(line, " {reason}");
    }
    line
}

/// A field's value as people are shown it: without secrets, nor control characters.
pub(super) fn shown_value(name: &HeaderName, value: &HeaderValue) -> String {
    if is_secret(name) || value.is_sensitive() {
        return "(hidden)".into();
    }
    without_userinfo(&escape_control(&String::from_utf8_lossy(value.as_bytes())))
}

/// Takes lines: the mark, how it is meant, the text.
pub(super) struct Lines<'a>(pub(super) &'a mut dyn FnMut(char, Option<Tone>, &str));

impl Lines<'_> {
    fn print(&mut self, text: impl AsRef<str>) {
        (self.0)('*', None, text.as_ref());
    }

    fn good(&mut self, text: impl AsRef<str>) {
        (self.0)('*', Some(Tone::Good), text.as_ref());
    }

    fn bad(&mut self, text: impl AsRef<str>) {
        (self.0)('*', Some(Tone::Bad), text.as_ref());
    }

    fn line(&mut self, mark: char, text: impl AsRef<str>) {
        (self.0)(mark, None, text.as_ref());
    }

    fn fields(&mut self, mark: char, headers: &HeaderMap) {
        for (name, value) in headers {
            self.line(mark, format!("{name}: {}", shown_value(name, value)));
        }
    }
}

fn status_tone(status: StatusCode) -> Tone {
    match status.as_u16() {
        200..300 => Tone::Good,
        400.. => Tone::Bad,
        _ => Tone::Warning,
    }
}

fn on_stderr(mark: char, tone: Option<Tone>, text: &str) {
    let palette = Palette::stderr();
    let text = match (tone, text.split_once(": ")) {
        (Some(tone), _) => palette.paint(tone, text),
        (None, Some((name, value))) if mark != '*' => {
            format!("{}: {value}", palette.paint(Tone::Key, name))
        }
        (None, _) => text.to_owned(),
    };
    let mark = palette.paint(Tone::Faint, mark.to_string());
    note(format!("{mark} {text}").trim_end());
}

fn print(text: impl AsRef<str>) {
    on_stderr('*', None, text.as_ref());
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
